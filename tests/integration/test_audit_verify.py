"""`sticps-registryd audit verify`: a history that holds, one of an earlier version, and every kind of change."""

import hashlib

import pytest
from lib.passport import b64url
from lib.pki import ROOT
from lib.process import run
from lib.services import Database, merge, write_config
from lib.transparency import (HEAD, ZEROS, audit_chain, get, leaf_hash, links, newest_sequence, publish, tamper,
                              tree, unbase64, verify, wait_until_linked)


# ---- an upgrade ----


def earlier_list(sequence):
    """A list in the form of one; the registry reads what it said last, and asks nobody who signed it."""
    header = {"alg": "ES256", "typ": "JWT", "x5u": "https://sti-pa.example.com/download/v1/certificate/certificateId_1.crt"}
    payload = {"version": "1.0", "sequence": sequence, "exp": 99, "cpsMapping": {}}
    return ".".join((b64url(header), b64url(payload), b64url(bytes(64))))


def test_what_was_there_before_joins_the_history(registry, new_database):
    database = new_database()
    connection = database.connect("sticps_owner")
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE schema_migration (number integer PRIMARY KEY, name text NOT NULL, "
                   "sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())")
    for path in sorted((ROOT / "sql").glob("*.sql")):
        if path.name.endswith("_transparency.sql"):
            break
        text = path.read_text()
        cursor.execute(text)
        cursor.execute("INSERT INTO schema_migration (number, name, sha256) VALUES (%s, %s, %s)",
                       (int(path.name[:3]), path.name, hashlib.sha256(text.encode()).hexdigest()))
    lists = [earlier_list(i) for i in range(1, 12)]
    for i, jws in enumerate(lists, 1):
        cursor.execute("INSERT INTO publication VALUES ('cps-list', %s, 99, %s, %s, '', 0, 'change', now())",
                       (i, jws, hashlib.sha256(jws.encode()).hexdigest()))
    cursor.execute("UPDATE list_state SET sequence = 11 WHERE kind = 'cps-list'")
    cursor.execute("INSERT INTO audit (user_id, action) SELECT 'before', 'test.' || i FROM generate_series(1, 4500) i")
    connection.close()

    one = registry(database=database, start=False)
    one.init()
    leaves = [leaf_hash(jws.encode()) for jws in lists]
    assert [bytes(r) for (r,) in database.query("SELECT root FROM tree_head ORDER BY size")] == [
        tree(leaves[:n]) for n in range(1, 12)]
    assert verify(one).returncode == 0
    one.start()
    wait_until_linked(database)
    assert links(database) == audit_chain(database)
    done = verify(one)
    assert done.returncode == 0 and "0 newer rows" in done.stdout, done.stdout
    head = get(one.anonymous, HEAD, treeSize=11)
    assert (head["auditHead"]["id"], unbase64(head["auditHead"]["hash"])) == (0, ZEROS)


# ---- tampering ----


@pytest.fixture(scope="module")
def history(registry):
    """A stopped registry with a history, of which each test gets a copy."""
    one = registry()
    one.add_sp("alpha", "1234", "1235")
    for i in range(5):
        one.pa.put("/api/v1/account/alpha", {"name": f"Alpha {i}"})
        wait_until_linked(one.database)
        publish(one)
    wait_until_linked(one.database)
    one.stop()
    assert newest_sequence(one) == 6 and len(links(one.database)) >= 10
    return one


@pytest.fixture
def copy(history):
    other = Database(history.database.name + "_copy", history.database.name)
    yield other
    other.drop()


def test_a_stopped_history_holds(history, copy):
    done = verify(history, copy)
    assert (done.returncode, done.stderr) == (0, "")
    chain = audit_chain(copy)
    assert done.stdout.splitlines()[0] == (
        f"audit: {len(chain)} rows hold, the last is {chain[-1][0]} with {chain[-1][1].hex()}; "
        "0 newer rows are not linked yet")


REWRITE = """
DO $$
DECLARE h bytea := decode(repeat('00', 32), 'hex'); a audit;
BEGIN
    FOR a IN SELECT * FROM audit ORDER BY id LOOP
        h := sha256(h || audit_bytes(a));
        UPDATE audit_link SET hash = h WHERE id = a.id;
    END LOOP;
END $$"""


@pytest.mark.parametrize("statements,found", [
    (["UPDATE audit SET at = at + interval '1 microsecond' WHERE id = 5"], "audit: row 5 does not match"),
    (["UPDATE audit SET user_id = 'mallory' WHERE id = 1"], "audit: row 1 does not match"),
    (["UPDATE audit SET address = '192.0.2.66' WHERE id = 4"], "audit: row 4 does not match"),
    (["UPDATE audit SET address = NULL WHERE id = 4"], "audit: row 4 does not match"),
    (["UPDATE audit SET action = action || ' ' WHERE id = 6"], "audit: row 6 does not match"),
    (["UPDATE audit SET sp = 'beta' WHERE id = 3"], "audit: row 3 does not match"),
    (["UPDATE audit SET spc = '9999' WHERE id = 3"], "audit: row 3 does not match"),
    (["UPDATE audit SET spc = '' WHERE id = 2"], "audit: row 2 does not match"),
    (["UPDATE audit SET detail = '{}' WHERE id = 7"], "audit: row 7 does not match"),
    (["UPDATE audit SET detail = (detail::text || ' ')::json WHERE id = (SELECT min(id) FROM audit WHERE detail IS NOT NULL)"],
     " does not match its link"),
    (["UPDATE audit SET user_id = 'x' WHERE id IN (4, 8)"], "audit: row 4 does not match"),
    (["DELETE FROM audit WHERE id = 5"], "audit: row 5 is missing"),
    (["DELETE FROM audit", "DELETE FROM audit_link WHERE id > 1"], "audit: row 1 is missing"),
    (["DELETE FROM audit WHERE id = 5", "DELETE FROM audit_link WHERE id = 5"], "audit: row 6 does not match"),
    (["INSERT INTO audit (id, user_id, action) OVERRIDING SYSTEM VALUE VALUES (0, 'x', 'y')"],
     "audit: row 0 has no link"),
    (["INSERT INTO audit (id, user_id, action) OVERRIDING SYSTEM VALUE VALUES (-7, 'x', 'y')"],
     "audit: row -7 has no link"),
    (["DELETE FROM audit_link WHERE id = 5"], "audit: row 5 has no link"),
    (["UPDATE audit_link SET hash = sha256('x') WHERE id = 5"], "audit: row 5 does not match"),
    (["INSERT INTO audit_link VALUES (100000, sha256('x'))"], "audit: row 100000 is missing"),
    (["INSERT INTO audit OVERRIDING SYSTEM VALUE SELECT id + 1000, at, user_id, address, action, sp, spc, detail "
      "FROM audit WHERE id = 5", "DELETE FROM audit WHERE id = 5"], "audit: row 5 is missing"),
    (["DELETE FROM audit WHERE id >= (SELECT max(audit_id) FROM tree_head)",
      "DELETE FROM audit_link WHERE id >= (SELECT max(audit_id) FROM tree_head)"],
     "cps-list: publication 6 commits to another audit chain"),
    (["UPDATE audit SET user_id = 'x' WHERE id = 5", REWRITE], "commits to another audit chain"),
])
def test_a_changed_audit_trail_is_found(history, copy, statements, found):
    tamper(copy, *statements)
    done = verify(history, copy)
    assert done.returncode == 2, done.stdout
    assert found in done.stdout
    assert "the history does not hold" in done.stderr


LEAF = "sha256('\\x00'::bytea || convert_to((SELECT jws FROM publication WHERE sequence = 3), 'UTF8'))"


@pytest.mark.parametrize("statements,found", [
    (["UPDATE publication SET jws = jws || 'A' WHERE sequence = 3"], "publication 3 is not the one whose SHA-256"),
    (["UPDATE publication SET jws = 'a.b.c', sha256 = encode(sha256('a.b.c'), 'hex') WHERE sequence = 3"],
     "publication 3 is not the one whose hash is in the tree"),
    (["UPDATE publication SET jws = 'a.b.c', sha256 = encode(sha256('a.b.c'), 'hex') WHERE sequence = 3",
      f"UPDATE tree_node SET hash = {LEAF} WHERE level = 0 AND index = 2"],
     "the root stored with publication 3 is not"),
    (["UPDATE publication SET sha256 = repeat('0', 64) WHERE sequence = 1"],
     "publication 1 is not the one whose SHA-256"),
    (["DELETE FROM publication WHERE sequence = 2"], "publication 2 is missing"),
    (["DELETE FROM publication WHERE sequence = 2", "DELETE FROM tree_head WHERE sequence = 2"],
     "publication 3 should be number 2 of the tree"),
    (["DELETE FROM tree_head WHERE sequence = 4"], "publication 4 should be number 4 of the tree"),
    (["DELETE FROM publication WHERE sequence = 6", "DELETE FROM tree_head WHERE sequence = 6"],
     "publications 6 to 6 are missing, and nobody passed over them"),
    (["UPDATE publication SET sequence = sequence + 100 WHERE sequence = 4"], "publication 4 is missing"),
    (["UPDATE tree_head SET root = sha256('x') WHERE sequence = 5"], "the root stored with publication 5 is not"),
    (["UPDATE tree_node SET hash = sha256('x') WHERE level = 1 AND index = 1"],
     "the nodes of the tree that publication 4 completes were changed"),
    (["DELETE FROM tree_node WHERE level = 2 AND index = 0"],
     "the nodes of the tree that publication 4 completes were changed"),
    (["UPDATE tree_head SET audit_hash = sha256('x') WHERE sequence = 5"],
     "publication 5 commits to another audit chain"),
    (["INSERT INTO publication VALUES ('cps-list', 7, 1, 'a', encode(sha256('a'), 'hex'), '', 0, 'x', now())"],
     "publication 7 should be number 7 of the tree"),
])
def test_a_changed_publication_is_found(history, copy, statements, found):
    tamper(copy, *statements)
    done = verify(history, copy)
    assert done.returncode == 2, done.stdout
    assert "cps-list: " in done.stdout and found in done.stdout
    assert done.stdout.startswith("audit: ") and "rows hold" in done.stdout.splitlines()[0]


def test_both_parts_are_named(history, copy):
    tamper(copy, "UPDATE audit SET sp = 'x' WHERE id = 3", "DELETE FROM publication WHERE sequence = 2")
    done = verify(history, copy)
    assert done.returncode == 2
    assert "audit: row 3 " in done.stdout and "cps-list: publication 2 is missing" in done.stdout


def test_verify_on_a_command_line(history, copy):
    program = history.program
    assert run([program, "audit"]).returncode == 1
    assert run([program, "audit", "check"]).returncode == 1
    assert run([program, "-t", "audit", "verify", "-c", history.config_path]).returncode == 1
    assert run([program, "audit", "verify", "-c", "/nonexistent"]).returncode == 1
    path = history.dir / "nowhere.yaml"
    write_config(path, merge(history.config, {"database": {"auditor_url": "postgresql://127.0.0.1:1/x"}}))
    done = run([program, "audit", "verify", "-c", path])
    assert done.returncode == 2 and "cannot be reached" in done.stderr
