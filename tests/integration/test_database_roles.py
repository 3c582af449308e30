"""What each role may do in the database: what its part of the program needs, and nothing else (docs/database.md)."""

import re

import psycopg2
import pytest
from lib.pki import ROOT
from lib.process import run

SERVING, PUBLISHING, AUDITING, OWNER = "sticps_serving", "sticps_publishing", "sticps_auditing", "sticps_owner"
DENIED = psycopg2.errors.InsufficientPrivilege


@pytest.fixture(scope="module")
def reg(registry):
    one = registry()
    one.alpha = one.add_sp("alpha", "1234")
    return one


@pytest.fixture(scope="module")
def asked(reg):
    """A function: asked(role, statement) → rows, or the exception."""
    connections = {}

    def ask(role, statement, *args):
        if role not in connections:
            connections[role] = reg.database.connect(role)
        cursor = connections[role].cursor()
        try:
            cursor.execute(statement, args)
            return cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
            return error

    yield ask
    for connection in connections.values():
        connection.close()


def granted(reg, role, privilege="EXECUTE"):
    return {name for (name,) in reg.database.query(
        "SELECT object FROM permission WHERE role = %s AND privilege = %s", (role, privilege))}


def relations(reg):
    return [name for (name,) in reg.database.query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'S')")]


# ---- the code and the table ----


def requested_functions():
    """The functions that the statements of the request handlers call, from the C text."""
    texts = {path: path.read_text() for path in (ROOT / "server").rglob("*.[ch]")}
    macros = {name: text for source in texts.values()
              for name, text in re.findall(r'^#define (\w+)\s+("(?:[^"\\]|\\.)*")$', source, re.M)}
    functions = set()
    for path, text in texts.items():
        for statement in re.findall(r"struct db_statement \w+ = \{(.*?)\};", text, re.S):
            statement = re.sub(r"\b[A-Z]+\b(?=[^\"]*(?:\"[^\"]*\"[^\"]*)*$)", lambda m: macros.get(m[0], m[0]), statement)
            sql = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', statement)[1:])
            called = set(re.findall(r"\b(\w+)\(", sql)) - {"length"}
            assert called, f"{path}: a statement of requests that calls no function: {sql}"
            functions |= called
    return functions


def test_the_requests_may_call_what_they_call_and_nothing_else(reg):
    assert granted(reg, SERVING) == requested_functions() | {"role_excess"}


def test_every_function_is_sealed(reg):
    """Those that a role may call have the owner's rights and a fixed path; PUBLIC may call none."""
    called = granted(reg, SERVING) | granted(reg, PUBLISHING) | granted(reg, AUDITING)
    rows = reg.database.query(
        "SELECT proname, prosecdef, proconfig, has_function_privilege('public', oid, 'EXECUTE'), proowner::regrole::text"
        "  FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
    assert len(rows) > 60
    for name, definer, settings, public, owner in rows:
        assert owner == OWNER, name
        assert not public, f"PUBLIC may call {name}"
        assert definer == (name in called), name
        if definer:
            assert "search_path=public, pg_temp" in settings, name


@pytest.mark.parametrize("role", [SERVING, PUBLISHING, AUDITING])
def test_no_role_has_more_than_its_rows(reg, role):
    """By the catalog, with what comes by membership and from PUBLIC."""
    functions = reg.database.query(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND has_function_privilege(%s, oid, 'EXECUTE')",
        (role,))
    assert {name for (name,) in functions} == granted(reg, role)
    for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
        by_column = "" if privilege in ("DELETE", "TRUNCATE", "TRIGGER") else f" OR has_any_column_privilege(%(r)s, oid, '{privilege}')"
        tables = reg.database.query(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm')"
            f" AND (has_table_privilege(%(r)s, oid, '{privilege}'){by_column})", {"r": role})
        assert {name for (name,) in tables} == granted(reg, role, privilege), privilege
    assert reg.database.query(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,"
        " pg_has_role(rolname, 'sticps_owner', 'MEMBER') FROM pg_roles WHERE rolname = %s", (role,)) == [(False,) * 6]


def test_the_serving_role_gets_nowhere(reg, asked):
    """Tried, not looked up."""
    for name in relations(reg):
        assert isinstance(asked(SERVING, f"SELECT * FROM {name}"), DENIED), name
    for statement in (
        "INSERT INTO account (sp, name) VALUES ('mallory', 'M')",
        "UPDATE account_user SET role = 'pa-admin'",
        "DELETE FROM audit",
        "TRUNCATE cps_entry",
        "SELECT nextval('entry_version')",
        "SELECT audit_write('x', NULL, 'x', NULL, NULL, NULL)",
        "SELECT first_admin('mallory', 'x')",
        "SELECT entry_set_all('x', NULL, 'alpha', '{}', '{}', false)",
        "SELECT publication_store('cps-list', 9, 9, 'x', 'x', 'x', 0, 'x', 0)",
        "SELECT permissions_apply()",
        "CREATE TABLE public.x (i integer)",
        "CREATE TEMP TABLE account (i integer)",
        "CREATE FUNCTION public.now() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA x",
        "SET ROLE sticps_owner",
        "SET SESSION AUTHORIZATION sticps_owner",
        "ALTER FUNCTION session_check(uuid) SECURITY INVOKER",
        "GRANT sticps_owner TO sticps_serving",
    ):
        assert isinstance(asked(SERVING, statement), DENIED), statement
    assert asked(SERVING, "SELECT outcome FROM session_check(gen_random_uuid())") == [("UNAUTHENTICATED",)]


def test_a_path_of_the_caller_changes_nothing(reg, asked):
    """The functions look where the owner's objects are, wherever the caller points."""
    asked(SERVING, "SET search_path = pg_temp, nowhere")
    assert asked(SERVING, "SELECT outcome FROM public.login_begin('pa-admin', '192.0.2.1')") == [("OK",)]
    asked(SERVING, "RESET search_path")


def test_the_publisher_and_the_auditor_get_no_further(reg, asked):
    for role in (PUBLISHING, AUDITING):
        for table in set(relations(reg)) - granted(reg, role, "SELECT"):
            assert isinstance(asked(role, f"SELECT * FROM {table}"), DENIED), (role, table)
    assert isinstance(asked(PUBLISHING, "UPDATE publication SET jws = 'x'"), DENIED)
    assert isinstance(asked(PUBLISHING, "SELECT entry_put(NULL, NULL, 'alpha', '1234', 'https://x.example.com', NULL)"), DENIED)
    assert isinstance(asked(AUDITING, "SELECT housekeeping()"), DENIED)


def test_the_rights_on_tables_are_those_of_the_document(reg):
    text = (ROOT / "docs/database.md").read_text()
    told = {(role, right, table) for role, right, tables in re.findall(r"^\| `(\w+)` \| (\w+) \| (`.*`) \|$", text, re.M)
            for table in re.findall(r"`(\w+)`", tables)}
    assert told == set(reg.database.query("SELECT role, privilege, object FROM permission WHERE privilege <> 'EXECUTE'"))


# ---- what init does ----


def test_init_puts_back_what_somebody_opened(reg, asked):
    asked(OWNER, "GRANT SELECT ON account_user TO PUBLIC")
    asked(OWNER, "GRANT UPDATE (role) ON account_user TO sticps_serving")
    asked(OWNER, "GRANT EXECUTE ON FUNCTION first_admin(text, text) TO sticps_serving")
    asked(OWNER, "ALTER FUNCTION entry_put(uuid, inet, text, text, text, text[]) SECURITY INVOKER RESET ALL")
    asked(OWNER, "CREATE FUNCTION forgotten() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    try:
        assert isinstance(asked(SERVING, "SELECT forgotten()"), DENIED)  # from the first moment on
        said = {text for (text,) in asked(SERVING, "SELECT role_excess('sticps_serving')")}
        assert said == {"may SELECT the table account_user", "may UPDATE the table account_user",
                        "may call the function first_admin(text,text)"}
        reg.init()
        assert asked(SERVING, "SELECT role_excess('sticps_serving')") == []
        test_every_function_is_sealed(reg)
        test_no_role_has_more_than_its_rows(reg, SERVING)
    finally:
        asked(OWNER, "DROP FUNCTION forgotten()")


def test_a_row_that_names_nothing_stops_init(reg, asked):
    asked(OWNER, "INSERT INTO permission VALUES ('sticps_serving', 'EXECUTE', 'no_such_function')")
    try:
        done = run([reg.program, "-c", reg.config_path, "init"])
        assert done.returncode == 2 and "no_such_function" in done.stderr, done.stderr
    finally:
        asked(OWNER, "DELETE FROM permission WHERE object = 'no_such_function'")
    refused = asked(OWNER, "INSERT INTO permission VALUES ('sticps_serving', 'SELECT', 'account')")
    assert isinstance(refused, psycopg2.errors.CheckViolation)


# ---- what the daemon says to a role that is too strong ----


def outside_a_lab(one, **database):
    one.reconfigure(lab=False, base_url="https://sti-pa.example.com", database=database)
    return one


def test_a_role_that_may_more_is_refused(registry, reg):
    for role, words in ((None, "superuser"), (OWNER, "owner of the schema")):
        one = outside_a_lab(registry(database=reg.database, start=False), url=reg.database.url_of(role) if role else reg.database.url)
        done = run([one.program, "-c", one.config_path], timeout=20)
        assert done.returncode == 2 and words in done.stderr and "database.url" in done.stderr, done.stderr


def test_a_role_that_may_nothing_is_refused(registry, reg):
    one = outside_a_lab(registry(database=reg.database, start=False), url=reg.database.url_of(AUDITING))
    done = run([one.program, "-c", one.config_path], timeout=20)
    assert done.returncode == 2 and "database.url" in done.stderr and "init" in done.stderr, done.stderr


def test_the_restricted_roles_start_outside_a_lab(registry, reg):
    one = outside_a_lab(registry(database=reg.database, start=False))
    one.start()
    assert "may do more" not in one.log_text()
    one.stop()


def test_one_role_for_all_is_for_a_lab_and_said_loudly(registry, new_database):
    """The owner alone, without a superuser's help."""
    database = new_database()
    one = registry(database=database, start=False)
    one.reconfigure(database={"url": database.url_of(OWNER), "publisher_url": None, "auditor_url": None, "owner_url": None})
    one.init()
    one.start()
    assert "LAB SETTING: the role of database.url may do more than serve" in one.log_text()
    alpha = one.add_sp("alpha", "1234")
    assert alpha.put("/api/v1/account/alpha/cps/1234", {"url": "https://cps.example.com/x"}).status == 201
    done = run([one.program, "audit", "verify", "-c", one.config_path])
    assert done.returncode == 0, done.stderr
