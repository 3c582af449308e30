"""Row rules: what belongs to an account stays out of reach of a request of another one, also when the function that
serves it has a bug. The bugs are planted here: functions as they would stand in sql/, without any check."""

import psycopg2
import pytest

SERVING, OWNER = "sticps_serving", "sticps_owner"
URL = "https://cps.example.com/{}"

# Each knows whose request it is, and then does not care.
BUGGY = """
CREATE FUNCTION buggy_rows(p_sid uuid, p_table text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
BEGIN
    RETURN QUERY EXECUTE format('SELECT t::text FROM %I t', p_table);
END $$;
CREATE FUNCTION buggy_do(p_sid uuid, p_statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    n bigint;
BEGIN
    EXECUTE p_statement;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;
CREATE FUNCTION careless_rows(p_table text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT t::text FROM %I t', p_table);
END $$;
INSERT INTO permission SELECT 'sticps_serving', 'EXECUTE', unnest(ARRAY['buggy_rows', 'buggy_do', 'careless_rows']);
SELECT permissions_apply();
"""

RULED = """
WITH RECURSIVE of_accounts (id) AS (
    SELECT attrelid FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
     WHERE attname = 'sp' AND c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
    UNION
    SELECT conrelid FROM pg_constraint JOIN of_accounts ON confrelid = id WHERE contype = 'f')
SELECT id::regclass::text, relrowsecurity AND relforcerowsecurity,
       (SELECT array_agg(polpermissive AND polcmd = '*') FROM pg_policy WHERE polrelid = id)
  FROM of_accounts JOIN pg_class ON oid = id
"""


@pytest.fixture(scope="module")
def reg(registry):
    """Two accounts that have one of everything."""
    one = registry()
    one.sids = {}
    for sp, spc in (("alpha", "1111"), ("beta", "2222")):
        api = one.add_sp(sp, spc)
        assert api.put(f"/api/v1/account/{sp}/cps/{spc}", {"url": URL.format(sp)}).status == 201
        assert api.post(f"/api/v1/account/{sp}/key", {"name": "k", "scopes": ["read"]}).status == 201
        setattr(one, sp, api)
        one.sids[sp] = sid_of(one, f"{sp}-admin")
    one.sids["pa"] = sid_of(one, one.pa_user)
    connection = one.database.connect(OWNER)
    connection.cursor().execute(BUGGY)
    connection.close()
    return one


def sid_of(reg, user):
    return reg.database.query("SELECT sid::text FROM session WHERE user_id = %s LIMIT 1", (user,))[0][0]


@pytest.fixture
def serving(reg):
    connection = reg.database.connect(SERVING)
    yield connection.cursor()
    connection.close()


def rows(cursor, sid, table):
    cursor.execute("SELECT buggy_rows(%s, %s)", (sid, table))
    return {row for (row,) in cursor.fetchall()}


def all_rows(reg, table, sp=None):
    """As the superuser sees them, whom no rule binds."""
    of_account = {
        "session": "WHERE user_id = %s || '-admin'", "refresh_token":
        "WHERE sid IN (SELECT sid FROM session WHERE user_id = %s || '-admin')"}.get(table, "WHERE sp = %s")
    found = reg.database.query(f"SELECT t::text FROM {table} t {of_account if sp else ''}", (sp,) if sp else None)
    return {row for (row,) in found}


def ruled(reg):
    return [name for name, _, _ in reg.database.query(RULED)]


# ---- what there is ----


def test_every_table_of_accounts_has_its_rule(reg):
    """Those with a column sp, and those that lead there by a reference."""
    found = reg.database.query(RULED)
    assert {"account", "account_user", "session", "refresh_token", "api_key", "spc_owner", "spc_period", "cps_entry",
            "audit"} <= {name for name, _, _ in found}
    for name, forced, policies in found:
        assert forced, f"{name} is without row rules, or its owner is above them"
        assert policies == [True], f"{name}: one rule for every command, nothing beside it"


def test_who_sets_the_scope(reg):
    """Every other function has the scope that caller_of gave it. Think twice before you add to this list."""
    found = reg.database.query(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosrc LIKE '%sticps.scope%'")
    assert {name for (name,) in found} == {
        "caller_of", "caller_id", "login_begin", "login_finish", "session_refresh", "user_id_taken"}


# ---- bugs ----


@pytest.mark.parametrize("table", [
    "account", "account_user", "session", "refresh_token", "api_key", "spc_owner", "spc_period", "cps_entry", "audit"])
def test_reading_everything_gives_ones_own(reg, serving, table):
    alpha, beta = all_rows(reg, table, "alpha"), all_rows(reg, table, "beta")
    assert alpha and beta and not alpha & beta
    assert rows(serving, reg.sids["alpha"], table) == alpha
    assert rows(serving, reg.sids["beta"], table) == beta
    assert rows(serving, reg.sids["pa"], table) == all_rows(reg, table) >= alpha | beta
    assert rows(serving, "00000000-0000-0000-0000-000000000009", table) == set()
    assert rows(serving, "00000000-0000-0000-0000-000000000001", table) == set()  # a key from elsewhere


def test_a_function_that_never_asks_who_calls_sees_nothing(reg, serving):
    for table in ruled(reg):
        serving.execute("SELECT careless_rows(%s)", (table,))
        assert serving.fetchall() == [], table


WRITES = [
    "UPDATE cps_entry SET url = 'https://mallory.example.com/' WHERE spc = '{spc}'",
    "DELETE FROM cps_entry WHERE spc = '{spc}'",
    "DELETE FROM api_key WHERE sp = '{sp}'",
    "UPDATE account_user SET password = 'x' WHERE user_id = '{sp}-admin'",
    "UPDATE account SET state = 'suspended' WHERE sp = '{sp}'",
    "UPDATE session SET expires_at = 'epoch' WHERE user_id = '{sp}-admin'",
    "DELETE FROM refresh_token WHERE sid IN (SELECT sid FROM session WHERE user_id = '{sp}-admin')",
    "UPDATE spc_owner SET spc = '{spc}' WHERE spc = '{spc}'",
]


@pytest.mark.parametrize("statement", WRITES)
def test_writing_to_another_account_meets_no_row(reg, statement):
    """Tried within a transaction on one's own rows too, where it does meet some: the test can fail."""
    before = {table: all_rows(reg, table) for table in ruled(reg)}
    connection = reg.database.connect(SERVING)
    connection.autocommit = False
    cursor = connection.cursor()
    cursor.execute("SELECT buggy_do(%s, %s)", (reg.sids["alpha"], statement.format(sp="beta", spc="2222")))
    assert cursor.fetchone()[0] == 0
    cursor.execute("SELECT buggy_do(%s, %s)", (reg.sids["alpha"], statement.format(sp="alpha", spc="1111")))
    assert cursor.fetchone()[0] > 0
    connection.rollback()
    connection.close()
    assert {table: all_rows(reg, table) for table in ruled(reg)} == before


@pytest.mark.parametrize("statement", [
    "INSERT INTO spc_owner (spc, sp) VALUES ('3333', 'beta')",
    "UPDATE spc_owner SET sp = 'beta' WHERE spc = '1111'",
    "INSERT INTO cps_entry (spc, sp, url, version, updated_by) VALUES ('2222', 'beta', 'https://m.example.com/', 99999, 'm')",
    "INSERT INTO cps_entry (spc, sp, url, version, updated_by) VALUES ('2222', 'beta', 'https://m.example.com/', 99999, 'm')"
    " ON CONFLICT (spc) DO UPDATE SET url = excluded.url",
    "INSERT INTO cps_entry (spc, sp, url, version, updated_by) VALUES ('2222', 'alpha', 'https://m.example.com/', 99999, 'm')"
    " ON CONFLICT (spc) DO UPDATE SET url = excluded.url",
    "INSERT INTO account_user (user_id, role, sp, password) VALUES ('mallory', 'sp-admin', 'beta', 'x')",
    "INSERT INTO account_user (user_id, role, password) VALUES ('mallory', 'pa-admin', 'x')",
    "UPDATE account_user SET role = 'pa-admin', sp = NULL WHERE user_id = 'alpha-admin'",
    "INSERT INTO audit (user_id, action, sp) VALUES ('alpha-admin', 'entry.put', 'beta')",
    "INSERT INTO session (user_id, expires_at) VALUES ('beta-admin', now() + interval '1 day')",
    "INSERT INTO account (sp, name) VALUES ('gamma', 'G')",
])
def test_putting_something_into_another_account_is_an_error(reg, serving, statement):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="row-level security"):
        serving.execute("SELECT buggy_do(%s, %s)", (reg.sids["alpha"], statement))


def test_an_entry_cannot_stand_under_an_account_that_does_not_own_its_spc(reg, serving):
    """By the reference, also for the STI-PA, who may do everything else."""
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        serving.execute("SELECT buggy_do(%s, %s)", (reg.sids["pa"], "UPDATE cps_entry SET sp = 'alpha' WHERE spc = '2222'"))


# ---- the scope itself ----


def test_the_scope_ends_with_the_transaction(reg, serving):
    """A pooler may give the connection to somebody else after each."""
    for sid in (reg.sids["pa"], reg.sids["alpha"], None):
        rows(serving, sid, "account")
        serving.execute("SELECT coalesce(current_setting('sticps.scope', true), '')")
        assert serving.fetchone() == ("",)
    serving.execute("SELECT outcome FROM login_begin('beta-admin', '192.0.2.9')")
    serving.execute("SELECT careless_rows('account_user')")
    assert serving.fetchall() == []


def test_a_credential_overrides_what_the_connection_says(reg, serving):
    serving.execute("SET sticps.scope = '*'")
    assert rows(serving, reg.sids["alpha"], "account") == all_rows(reg, "account", "alpha")
    assert rows(serving, None, "account") == set()
    serving.execute("SELECT outcome FROM entry_get(%s, 'beta', '2222')", (reg.sids["alpha"],))
    assert serving.fetchone() == ("FORBIDDEN",)


def test_the_owner_sees_what_it_asks_for(reg):
    connection = reg.database.connect(OWNER)
    cursor = connection.cursor()
    for scope, expected in (("", set()), ("beta", {"beta"}), ("*", {"alpha", "beta"})):
        cursor.execute("SELECT set_config('sticps.scope', %s, false)", (scope,))
        cursor.execute("SELECT sp FROM account")
        assert {sp for (sp,) in cursor.fetchall()} == expected
    connection.close()


# ---- what the rules must not break ----


def test_a_user_id_of_another_account_is_taken(reg):
    """The row that is in the way cannot be seen; the request must not wait for it."""
    for user in ("beta-admin", reg.pa_user):
        reply = reg.alpha.put(f"/api/v1/account/alpha/user/{user}", {"role": "sp-viewer"})
        assert (reply.status, reply.code) == (409, "USER_ID_TAKEN")
    assert reg.alpha.put("/api/v1/account/alpha/user/alpha-viewer", {"role": "sp-viewer"}).status == 201


def test_the_statements_keep_their_indexes(reg):
    """As the functions keep their plans: made once, for any scope."""
    reg.database.query("INSERT INTO account (sp, name) VALUES ('many', 'M')")
    reg.database.query("INSERT INTO spc_owner (spc, sp) SELECT i::text, 'many' FROM generate_series(4000, 9999) i")
    reg.database.query("INSERT INTO cps_entry (spc, sp, url, version, updated_by) SELECT i::text, 'many', 'https://x.example.com/', "
                       "nextval('entry_version'), 'm' FROM generate_series(4000, 9999) i")
    reg.database.query("INSERT INTO audit (user_id, action, sp) SELECT 'm', 'test', 'many' FROM generate_series(1, 6000)")
    reg.database.query("INSERT INTO account_user (user_id, role, sp, password) SELECT 'u' || i, 'sp-viewer', 'many', 'x'"
                       " FROM generate_series(1, 3000) i")
    reg.database.query("INSERT INTO session (user_id, expires_at) SELECT 'u' || i, now() + interval '1 day' FROM generate_series(1, 3000) i")
    reg.database.query("ANALYZE")
    connection = reg.database.connect(OWNER)
    cursor = connection.cursor()
    cursor.execute("SET plan_cache_mode = force_generic_plan; SET sticps.scope = 'many'")
    for number, (statement, arguments, index) in enumerate([
        ("SELECT * FROM cps_entry WHERE spc = $1", "'4000'", "cps_entry_pkey"),
        ("SELECT * FROM spc_owner WHERE spc = $1 AND sp = $2 FOR UPDATE", "'4000', 'many'", "spc_owner"),
        ("SELECT * FROM session WHERE sid = $1::uuid", f"'{reg.sids['alpha']}'", "session_pkey"),
        ("SELECT max(id) FROM audit WHERE $1", "true", "audit_pkey"),
        ("SELECT * FROM audit WHERE sp = $1 ORDER BY id DESC LIMIT 3", "'alpha'", "audit_sp"),
        ("UPDATE cps_entry SET published_sequence = 1 WHERE version = ANY ($1::bigint[])", "'{1,2}'", "cps_entry_version_key"),
    ]):
        cursor.execute(f"PREPARE s{number} AS {statement}")
        cursor.execute(f"EXPLAIN EXECUTE s{number} ({arguments})")
        plan = "\n".join(line for (line,) in cursor.fetchall())
        assert index in plan and "Seq Scan" not in plan, plan
    connection.close()
