"""The history that anyone can check, against the verifier in lib/transparency.py."""

import hashlib
import threading
import time

import psycopg2
import pytest
from lib.net import wait_until
from lib.pki import ROOT
from lib.transparency import (COLUMNS, CONSISTENCY, HEAD, INCLUSION, audit_chain, consistent, get, included,
                              jws_by_leaf, leaf_hash, links, newest_sequence, publish, row_bytes, sha256, tamper,
                              tree, unbase64, verify, wait_until_linked)


@pytest.fixture(scope="module")
def reg(registry):
    one = registry()
    one.alpha = one.add_sp("alpha", "1234", "1235")
    return one


# ---- roots and proofs ----


def test_every_root_and_every_proof(reg):
    """All pairs of sizes up to 70 publications, against the JWSs as PostgreSQL holds them."""
    for i in range(5):
        reg.alpha.put("/api/v1/account/alpha/cps/1234", {"url": f"https://cps.example.com/{i}"})
        publish(reg)
    size = publish(reg, max(1, 70 - newest_sequence(reg)))
    lists = jws_by_leaf(reg)
    assert len(lists) == size >= 70
    leaves = [leaf_hash(jws) for jws in lists]
    roots = [None] + [tree(leaves[:n]) for n in range(1, size + 1)]
    api = reg.anonymous.session()

    newest = get(api, HEAD)
    assert (newest["treeSize"], newest["sequence"], newest["list"]) == (size, size, "cps-list")
    for n in range(1, size + 1):
        head = get(api, HEAD, treeSize=n)
        assert (head["treeSize"], head["sequence"], unbase64(head["rootHash"])) == (n, n, roots[n])
        for sequence in range(1, n + 1):
            proof = get(api, INCLUSION, sequence=sequence, treeSize=n)
            assert proof["leafIndex"] == sequence - 1
            assert unbase64(proof["rootHash"]) == roots[n]
            assert unbase64(proof["leafHash"]) == leaves[sequence - 1]
            path = [unbase64(p) for p in proof["inclusionPath"]]
            assert included(leaves[sequence - 1], proof["leafIndex"], n, path, roots[n])
            assert not included(leaf_hash(b"another list"), proof["leafIndex"], n, path, roots[n])
        for first in range(1, n + 1):
            proof = get(api, CONSISTENCY, first=first, second=n)
            assert unbase64(proof["firstHash"]) == roots[first]
            assert unbase64(proof["secondHash"]) == roots[n]
            path = [unbase64(p) for p in proof["consistencyPath"]]
            assert consistent(first, roots[first], n, roots[n], path)
            if first < n:
                assert not consistent(first, sha256(b"another history"), n, roots[n], path)
    api.close()
    done = verify(reg)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"cps-list: {size} publications hold, the last is {size}, root {roots[size].hex()}\n" in done.stdout


def test_the_leaf_is_what_clients_download(reg):
    served = reg.anonymous.get("/download/v1/cps-list/1").body
    proof = get(reg.anonymous, INCLUSION, sequence=1, treeSize=1)
    assert unbase64(proof["leafHash"]) == unbase64(proof["rootHash"]) == leaf_hash(served)
    assert proof["inclusionPath"] == []


def test_a_list_is_in_the_tree_when_it_is_served(reg):
    sequence = publish(reg)
    wait_until(lambda: reg.anonymous.get(f"/download/v1/cps-list/{sequence}").status == 200, 10)
    head = get(reg.anonymous, HEAD)
    assert head["sequence"] >= sequence
    get(reg.anonymous, INCLUSION, sequence=sequence, treeSize=head["treeSize"])


def test_what_names_a_size_is_immutable(reg):
    immutable = "public, max-age=31536000, immutable"
    for path in (HEAD + "?treeSize=1", INCLUSION + "?sequence=1&treeSize=2", CONSISTENCY + "?first=1&second=2"):
        assert reg.anonymous.get(path).headers["Cache-Control"] == immutable
    assert reg.anonymous.get(HEAD).headers["Cache-Control"] == "public, max-age=10"
    assert reg.anonymous.get(HEAD + "?treeSize=9999999").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("query,status,word", [
    (HEAD + "?treeSize=9007199254740991", 404, None),
    (HEAD + "?list=ca-list", 404, None),
    (HEAD + "?treeSize=0", 422, "treeSize"),
    (HEAD + "?treeSize=9007199254740992", 422, "treeSize"),
    (HEAD + "?treeSize=x", 422, "treeSize"),
    (HEAD + "?list=", 422, "list"),
    (HEAD + "?list=cps-list'--", 422, "list"),
    (HEAD + "?size=3", 422, "unknown"),
    (INCLUSION + "?sequence=1&treeSize=1000000", 404, None),
    (INCLUSION + "?sequence=1000000&treeSize=2", 404, None),
    (INCLUSION + "?sequence=1&treeSize=1&list=ca-list", 404, None),
    (INCLUSION + "?sequence=3&treeSize=2", 422, "treeSize"),
    (INCLUSION + "?sequence=3", 422, "treeSize"),
    (INCLUSION + "?treeSize=3", 422, "sequence"),
    (INCLUSION + "?sequence=-1&treeSize=3", 422, "sequence"),
    (INCLUSION + "?sequence=1&sequence=2&treeSize=3", 422, "sequence"),
    (CONSISTENCY + "?first=1&second=1000000", 404, None),
    (CONSISTENCY + "?first=1&second=2&list=ca-list", 404, None),
    (CONSISTENCY + "?first=3&second=2", 422, "first"),
    (CONSISTENCY + "?first=0&second=2", 422, "first"),
    (CONSISTENCY + "?first=1", 422, "second"),
    (CONSISTENCY + "?second=1", 422, "first"),
    (CONSISTENCY + "?first=1&second=2&third=3", 422, "unknown"),
])
def test_errors(reg, query, status, word):
    publish(reg, max(0, 3 - newest_sequence(reg)))
    reply = reg.anonymous.get(query)
    assert (reply.status, reply.code) == (status, {404: "NOT_FOUND", 422: "INVALID"}[status])
    if word:
        assert word in reply.json["detail"]


def test_a_private_list_has_a_private_history(registry):
    one = registry(list={"public": False})
    for path in (HEAD, INCLUSION + "?sequence=1&treeSize=1", CONSISTENCY + "?first=1&second=1"):
        reply = one.anonymous.get(path)
        assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")
        reply = one.pa.get(path)
        assert reply.status == 200
        assert reply.headers["Cache-Control"].startswith("private, ")


def test_sequence_numbers_that_were_passed_over(registry):
    """As after a restore: leaves stay without gaps, and the history holds."""
    one = registry()
    publish(one, 2)
    one.stop()
    assert one.database.query("SELECT sequence_raise('an operator', 'cps-list', 103)") == [(3,)]
    one.start()
    wait_until(lambda: one.database.query("SELECT max(sequence) FROM publication WHERE kind = 'cps-list'") == [(104,)],
               20, what="the publication after the gap")
    head = get(one.anonymous, HEAD)
    assert (head["treeSize"], head["sequence"]) == (4, 104)
    proof = get(one.anonymous, INCLUSION, sequence=104, treeSize=4)
    assert proof["leafIndex"] == 3
    leaves = [leaf_hash(jws) for jws in jws_by_leaf(one)]
    assert included(leaves[3], 3, 4, [unbase64(p) for p in proof["inclusionPath"]], tree(leaves))
    assert one.anonymous.get(INCLUSION + "?sequence=50&treeSize=4").status == 404
    assert verify(one).returncode == 0


def test_each_kind_of_list_has_its_own_tree(registry):
    one = registry()
    for i in range(1, 6):
        one.database.query(
            "SELECT publication_store('ca-list', %s, 1, %s, %s, '', 0, 'test', 1)",
            (i, f"a.{i}.b", hashlib.sha256(f"a.{i}.b".encode()).hexdigest()),
        )
    leaves = [leaf_hash(jws) for jws in jws_by_leaf(one, "ca-list")]
    head = get(one.anonymous, HEAD, list="ca-list")
    assert (head["list"], head["treeSize"], unbase64(head["rootHash"])) == ("ca-list", len(leaves), tree(leaves))
    proof = get(one.anonymous, CONSISTENCY, list="ca-list", first=3, second=5)
    path = [unbase64(p) for p in proof["consistencyPath"]]
    assert consistent(3, tree(leaves[:3]), 5, tree(leaves[:5]), path)
    proof = get(one.anonymous, INCLUSION, list="ca-list", sequence=2, treeSize=5)
    assert included(leaves[proof["leafIndex"]], proof["leafIndex"], 5,
                    [unbase64(p) for p in proof["inclusionPath"]], tree(leaves[:5]))
    assert get(one.anonymous, HEAD)["treeSize"] == len(jws_by_leaf(one))
    done = verify(one)
    assert done.returncode == 0, done.stdout
    assert "ca-list: 5 publications hold" in done.stdout


def test_a_damaged_node_makes_no_proof(registry):
    """What does not hold is not handed out, and the log says what to do."""
    one = registry()
    publish(one, 4)
    tamper(one.database, "UPDATE tree_node SET hash = sha256('x') WHERE level = 1 AND index = 0")
    reply = one.anonymous.get(INCLUSION + "?sequence=3&treeSize=4")
    assert (reply.status, reply.code) == (500, "INTERNAL")
    assert "audit verify" in one.log_text()
    tamper(one.database, "DELETE FROM tree_node WHERE level = 1 AND index = 0")
    assert one.anonymous.get(CONSISTENCY + "?first=3&second=4").status == 500
    get(one.anonymous, CONSISTENCY, first=4, second=4)


# ---- the audit chain ----


def test_the_example_of_the_document():
    row = ("41", "1590000000123456", "alice", "192.0.2.1/32", "account.put", "alpha", None, '{"name":"Alp"}')
    assert row_bytes(row).decode() in (ROOT / "docs/transparency.md").read_text()


def test_every_audit_row_is_linked_as_the_document_says(reg):
    reg.pa.put("/api/v1/account/unicode", {"name": "Zürich · 電話"})
    wait_until_linked(reg.database)
    assert links(reg.database) == audit_chain(reg.database)
    assert any(row[0] is None for row in reg.database.query("SELECT address FROM audit")), "a NULL address"


def test_no_column_of_an_audit_row_is_left_out(reg):
    """Who adds a column has to add it to the row's bytes, in sql/, in audit_verify.c and in the document."""
    columns = reg.database.query(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'audit' ORDER BY ordinal_position")
    assert tuple(name for (name,) in columns) == COLUMNS


def test_publications_commit_to_the_audit_chain(reg):
    reg.pa.put("/api/v1/account/committed", {"name": "x"})
    wait_until_linked(reg.database)
    newest = reg.database.query("SELECT max(id) FROM audit_link")[0][0]
    publish(reg)
    head = get(reg.anonymous, HEAD)["auditHead"]
    assert head["id"] >= newest
    assert unbase64(head["hash"]) == dict(audit_chain(reg.database))[head["id"]]
    ids = [i for (i,) in reg.database.query("SELECT audit_id FROM tree_head WHERE kind = 'cps-list' ORDER BY size")]
    assert ids == sorted(ids)


INSERT = "INSERT INTO audit (user_id, action) VALUES ('test', %s) RETURNING id"


class Writer:
    """A transaction that writes one audit row when it is told to."""

    def __init__(self, database):
        self.connection = psycopg2.connect(database.url)
        self.cursor = self.connection.cursor()

    def number(self):
        self.cursor.execute("SELECT pg_current_xact_id()")

    def write(self):
        self.cursor.execute(INSERT, ("test.write",))
        return self.cursor.fetchone()[0]

    def end(self, commit=True):
        self.connection.commit() if commit else self.connection.rollback()
        self.connection.close()


@pytest.mark.parametrize("numbered_first", [False, True])
@pytest.mark.parametrize("commit", [True, False])
def test_links_wait_for_lower_ids(reg, numbered_first, commit):
    """A high id is committed while a lower one is open; with its transaction number before or after."""
    wait_until_linked(reg.database)
    early, late = Writer(reg.database), Writer(reg.database)
    if numbered_first:
        late.number()
    low, high = early.write(), late.write()
    assert low < high
    late.end()
    time.sleep(1.0)
    assert reg.database.query("SELECT count(*) FROM audit_link WHERE id >= %s", (low,)) == [(0,)]
    done = verify(reg)
    assert done.returncode == 0 and "; 1 newer rows are not linked yet" in done.stdout, done.stdout
    early.end(commit)
    wait_until_linked(reg.database)
    linked = [i for i, _ in links(reg.database)]
    assert (low in linked, high in linked) == (commit, True)
    assert links(reg.database) == audit_chain(reg.database)
    assert verify(reg).returncode == 0


def test_many_writers_and_one_chain(reg):
    """Every row gets its link, in the order of ids, whatever the order of commits."""
    failed = []

    def write(seed):
        try:
            for i in range(60):
                writer = Writer(reg.database)
                if (i + seed) % 3 == 0:
                    writer.number()
                writer.write()
                if (i + seed) % 4 == 0:
                    time.sleep(0.01)
                writer.end((i + seed) % 5 != 0)
        except Exception as error:  # shown by the assertion below
            failed.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    seen = []
    while any(thread.is_alive() for thread in threads):
        now = links(reg.database)
        assert now[: len(seen)] == seen, "a link was changed, or one came between"
        seen = now
        time.sleep(0.05)
    assert not failed
    wait_until_linked(reg.database)
    assert links(reg.database) == audit_chain(reg.database)
    assert verify(reg).returncode == 0


@pytest.mark.parametrize("table", ["audit_link", "tree_node", "tree_head"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET hash = NULL", "TRUNCATE {}"])
def test_the_history_is_append_only(reg, table, statement):
    statement = statement.format(table).replace("hash", "root" if table == "tree_head" else "hash")
    with pytest.raises(psycopg2.errors.RaiseException):
        reg.database.query(statement)


def test_linking_goes_on_after_failover(registry, reg):
    """A second node takes over and continues the same chain."""
    other = registry(database=reg.database, start=False, base_url=reg.base_url)
    other.start()
    reg.stop()
    try:
        reg.database.query(INSERT, ("test.failover",))
        wait_until(lambda: reg.database.query(
            "SELECT (SELECT max(id) FROM audit) = (SELECT max(id) FROM audit_link)")[0][0], 15, what="the link")
        assert links(reg.database) == audit_chain(reg.database)
    finally:
        other.stop()
        reg.start()
