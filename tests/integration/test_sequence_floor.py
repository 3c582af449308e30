"""A database that was put back to an earlier state: nothing is published from it before a person says so, what was
served is served on, and the way out is the one that the message names."""

import errno
import os
import re
import subprocess

import psycopg2
import pytest
from lib.exposition import page_of
from lib.net import wait_until
from lib.process import run
from lib.services import Database

URL = "https://cps.example.com/{}"


class Backup:
    """A copy of the registry's database, and its way back under the same name."""

    def __init__(self, reg, *others):
        self.reg = reg
        for node in (reg, *others):
            node.stop()
        self.copy = Database(template=reg.database.name)
        for node in (reg, *others):
            node.start()

    def restore(self):
        """Under a registry that may be running: its connections break, and it comes back to the older state."""
        name, copy = self.reg.database.name, self.copy.name
        Database._admin(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        Database._admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

        def renamed():
            try:
                Database._admin(f'ALTER DATABASE "{name}" RENAME TO "{name}_lost"')
                return True
            except psycopg2.errors.ObjectInUse:
                return False

        wait_until(renamed, 20, what="the last connection has ended")
        Database._admin(f'ALTER DATABASE "{copy}" RENAME TO "{name}"')
        Database._admin(f'DROP DATABASE "{name}_lost" WITH (FORCE)')


@pytest.fixture
def make(registry, new_database, tmp_path):
    """A registry with SP alpha and a state directory, unless told otherwise."""

    def make(**changes):
        one = registry(**{"state": str(tmp_path / "state"), **changes})
        one.alpha = one.add_sp("alpha", "1234")
        publish(one, "first")
        return one

    return make


def last(reg):
    return reg.database.query("SELECT sequence FROM list_state WHERE kind = 'cps-list'")[0][0]


def served(reg):
    """Sequence and bytes of what is served."""
    reply = reg.anonymous.get("/download/v1/cps-list")
    assert reply.status == 200, reply.body
    return int(re.match(r'"(\d+)-', reply.headers["ETag"])[1]), reply.body


def publish(reg, name):
    """One more publication, for a new URL."""
    before = last(reg)
    reply = reg.alpha.put("/api/v1/account/alpha/cps/1234", {"url": URL.format(name)})
    assert reply.status in (200, 201), reply.body
    wait_until(lambda: last(reg) > before and served(reg)[0] == last(reg), 20, what=f"publication of {name}")


def reasons(reg):
    reply = reg.anonymous.get("/ready", unjudged=True)
    return " ".join(reply.json["reasons"])


def wait_refused(reg, words):
    wait_until(lambda: words in reasons(reg), 20, what=f"the refusal: {words}")
    assert page_of(reg.anonymous.get("/metrics")).value("sticps_publishing_failed") == 1


def raise_sequence(reg, *args):
    return run([reg.program, "-c", reg.config_path, "sequence", "raise", *map(str, args)])


def do_as_told(reg):
    """Runs the command of the message, whole as it stands there; returns the number."""
    command = re.search(r"sticps-registryd (sequence raise --list cps-list --to (\d+))", reasons(reg))
    assert command, reasons(reg)
    done = run([reg.program, *command[1].split(), "-c", reg.config_path])
    assert done.returncode == 0, done.stderr
    return int(command[2])


def verify(reg):
    return run([reg.program, "audit", "verify", "-c", reg.config_path])


def nothing_comes(reg):
    """Two seconds, ten times the debounce: no publication is made, though one is due."""
    before = last(reg), served(reg)
    with pytest.raises(AssertionError):
        wait_until(lambda: (last(reg), served(reg)) != before, 2)


def test_a_database_put_back_under_a_running_node(make):
    reg = make()
    backup = Backup(reg)
    publish(reg, "lost-1")
    publish(reg, "lost-2")
    sequence, jws = served(reg)
    backup.restore()
    wait_refused(reg, f"the database ends with cps-list {sequence - 2}, but this node has seen {sequence}")
    assert reg.alpha.put("/api/v1/account/alpha/cps/1234", {"url": URL.format("after")}).status == 200
    nothing_comes(reg)
    assert served(reg) == (sequence, jws), "reads go on from memory"

    assert do_as_told(reg) == sequence
    wait_until(lambda: served(reg)[0] == sequence + 1, 20, what="the next publication")
    wait_until(lambda: reg.anonymous.get("/ready").status == 200, 20, what="readiness")
    for lost in (sequence - 1, sequence):
        assert reg.anonymous.get(f"/download/v1/cps-list/{lost}").status == 404
    assert reg.anonymous.get(f"/download/v1/cps-list/{sequence - 2}").status == 200
    raised = reg.database.query("SELECT user_id, detail FROM audit WHERE action = 'sequence.raise'")
    assert raised == [("sticps-registryd", {"list": "cps-list", "from": sequence - 2, "to": sequence})]
    publish(reg, "healed")


def test_the_history_holds_over_the_gap(make):
    """Leaves have no gap where sequences have one, and `audit verify` asks for the audit row of it."""
    reg = make()
    sequence = last(reg)
    assert raise_sequence(reg, "--to", sequence + 5).returncode == 0
    wait_until(lambda: served(reg)[0] == sequence + 6, 20, what="the publication after the gap")
    proof = reg.anonymous.get(f"/api/v1/transparency/inclusion?sequence={sequence + 6}&treeSize={sequence + 1}").json
    assert proof["leafIndex"] == sequence
    assert reg.anonymous.get(f"/api/v1/transparency/inclusion?sequence={sequence + 3}&treeSize={sequence + 1}",
                             unjudged=True).status == 404
    wait_until(lambda: verify(reg).returncode == 0, 20, what="the history holds")
    assert f"the last is {sequence + 6}" in verify(reg).stdout
    # raised, and not published yet
    reg.stop()
    assert raise_sequence(reg, "--to", sequence + 50).returncode == 0
    assert verify(reg).returncode == 0


def test_a_gap_that_nobody_ordered_is_found(make):
    reg = make()
    sequence = last(reg)
    reg.stop()
    reg.database.query("UPDATE list_state SET sequence = sequence + 3 WHERE kind = 'cps-list'")
    done = verify(reg)
    assert done.returncode == 2
    assert f"publications {sequence + 1} to {sequence + 3} are missing, and nobody passed over them" in done.stdout
    reg.start()
    wait_until(lambda: last(reg) == sequence + 4, 20, what="a publication beyond")
    done = verify(reg)
    assert done.returncode == 2 and f"publications {sequence + 1} to {sequence + 3} are missing" in done.stdout


def test_a_restarted_node_remembers(make):
    reg = make()
    backup = Backup(reg)
    publish(reg, "lost")
    sequence, jws = served(reg)
    reg.stop()
    backup.restore()
    reg.start(wait=False)
    wait_until(lambda: _answers(reg), 20, what="the node")
    wait_refused(reg, f"but this node has seen {sequence}")
    assert served(reg) == (sequence, jws), "it serves what it kept"
    nothing_comes(reg)
    do_as_told(reg)
    wait_until(lambda: served(reg)[0] == sequence + 1, 20, what="the next publication")


def _answers(reg):
    try:
        return reg.anonymous.get("/health").status == 200
    except OSError:
        return False


def test_a_node_without_its_database_serves_what_it_kept(make, free_port):
    reg = make()
    kept = served(reg)
    reg.stop()
    nowhere = f"postgresql://x:x@127.0.0.1:{free_port()}/x"
    reg.reconfigure(database={"url": nowhere, "publisher_url": nowhere})
    reg.start(wait=False)
    wait_until(lambda: _answers(reg), 20, what="the node")
    assert served(reg) == kept
    assert "database" in reasons(reg)


def test_another_list_under_the_same_number(make):
    """Two databases went on from one backup: the numbers agree, the bytes do not."""
    reg = make()
    backup = Backup(reg)
    publish(reg, "one-history")
    sequence, jws = served(reg)
    reg.stop()
    backup.restore()
    state = reg.config["state"]
    reg.reconfigure(state=None)
    reg.start()
    publish(reg, "another-history")
    while last(reg) < sequence:
        publish(reg, f"another-{last(reg)}")
    assert served(reg)[1] != jws
    now = last(reg)
    reg.stop()
    reg.reconfigure(state=state)
    reg.start(wait=False)
    wait_until(lambda: _answers(reg), 20, what="the node")
    wait_refused(reg, f"the cps-list {sequence} that this node has seen is not the one in the database")
    nothing_comes(reg)
    assert served(reg) == (sequence, jws), "no second list is served under the number"
    assert do_as_told(reg) == now + 1
    wait_until(lambda: served(reg)[0] == now + 2, 20, what="the next publication")


def test_a_follower_refuses_as_well(make, registry, tmp_path):
    reg = make()
    other = registry(database=reg.database, base_url=reg.base_url, state=str(tmp_path / "other"), start=False)
    other.start()
    backup = Backup(reg, other)
    publish(reg, "lost")
    sequence, jws = served(reg)
    wait_until(lambda: served(other)[0] == sequence, 20, what="the list on the other node")
    other.stop()
    reg.stop()
    backup.restore()
    reg.start(wait=False)
    other.start(wait=False)
    for node in (reg, other):
        wait_until(lambda: _answers(node), 20, what="the node")
        wait_refused(node, f"but this node has seen {sequence}")
        assert served(node) == (sequence, jws)
    do_as_told(other)
    for node in (reg, other):
        wait_until(lambda: served(node)[0] == sequence + 1, 20, what="the next publication")
        wait_until(lambda: node.anonymous.get("/ready").status == 200, 20, what="readiness")
    other.stop()


# ---- witnesses ----


@pytest.fixture
def cdn(new_cert_server):
    """Where clients get the list: shows what was put there."""
    return new_cert_server()


def witness(pki, *urls, **more):
    return {"tls_ca": str(pki.tls_ca), "witness": {"cps_list": list(urls), "anchors": str(pki.list_anchor), **more}}


def test_a_witness_remembers_for_a_node_that_lost_its_own(make, pki, cdn):
    reg = make(state=None)
    backup = Backup(reg)
    publish(reg, "lost")
    sequence, jws = served(reg)
    url = cdn.serve("/list", jws)
    reg.stop()
    backup.restore()
    reg.reconfigure(**witness(pki, url))
    reg.start(wait=False)
    wait_until(lambda: _answers(reg), 20, what="the node")
    wait_refused(reg, f"but {url} has seen {sequence}")
    assert cdn.hits["/list"] == 1
    assert last(reg) == sequence - 1, "nothing was published before the witness was asked"
    assert do_as_told(reg) == sequence
    wait_until(lambda: reg.anonymous.get("/download/v1/cps-list").headers.get("ETag", "").startswith(f'"{sequence + 1}-'),
               20, what="the next publication")


def test_a_witness_that_cannot_be_read_or_believed_holds_nothing_up(make, pki, cdn, free_port):
    """Nobody there; a list that another signed; and one that is behind, as caches are."""
    reg = make(state=None)
    behind = cdn.serve("/behind", served(reg)[1])
    publish(reg, "newer")
    forged = cdn.serve("/forged", served(reg)[1][:-8] + b"AAAAAAAA")
    gone = f"https://127.0.0.1:{free_port()}/list"
    reg.stop()
    reg.reconfigure(**witness(pki, gone, forged, behind))
    reg.start()
    publish(reg, "newest")
    wait_until(lambda: page_of(reg.anonymous.get("/metrics")).value("sticps_witnesses_failing") == 2, 20)
    assert reg.log_text().count("cannot be read, and publishing goes on without it") == 2


def test_the_list_of_cas_has_its_own_floor_and_witness(make, pki, cdn, tmp_path):
    (tmp_path / "cas").mkdir()
    (tmp_path / "cas/one.pem").write_bytes(pki.crt("sti-ca").read_bytes())
    reg = make(ca_list={"directory": str(tmp_path / "cas")}, state=None)
    wait_until(lambda: reg.anonymous.get("/download/v1/ca-list").status == 200, 20, what="the list of STI-CAs")
    backup = Backup(reg)
    (tmp_path / "cas/two.pem").write_bytes(pki.crt("tls-ca").read_bytes())
    wait_until(lambda: reg.database.query("SELECT sequence FROM list_state WHERE kind = 'ca-list'") == [(2,)], 20)
    wait_until(lambda: '"2-' in reg.anonymous.get("/download/v1/ca-list").headers["ETag"], 20)
    url = cdn.serve("/cas", reg.anonymous.get("/download/v1/ca-list").body)
    reg.stop()
    backup.restore()
    reg.reconfigure(tls_ca=str(pki.tls_ca), witness={"ca_list": [url], "anchors": str(pki.list_anchor)})
    reg.start(wait=False)
    wait_until(lambda: f"the database ends with ca-list 1, but {url} has seen 2" in reg.log_text(), 20)
    publish(reg, "the-other-list-goes-on")
    assert raise_sequence(reg, "--list", "ca-list", "--to", 2).returncode == 0
    wait_until(lambda: '"3-' in reg.anonymous.get("/download/v1/ca-list").headers.get("ETag", ""), 20, what="list 3")
    assert wait_until(lambda: verify(reg).returncode == 0, 20)


# ---- the state directory ----


def test_a_damaged_state_is_named_at_the_start(make):
    reg = make()
    reg.stop()
    for damage in (b"", b"a.b.c", b"e30.e30.e30"):
        (reg.dir / "x").write_bytes(damage)
        path = f"{reg.config['state']}/cps-list.jwt"
        with open(path, "wb") as kept:
            kept.write(damage)
        done = run([reg.program, "-c", reg.config_path], timeout=20)
        assert done.returncode == 2
        assert f"{path} is damaged" in done.stderr and "Remove it when" in done.stderr


def test_a_state_directory_that_cannot_be_made_is_named_at_the_start(make):
    reg = make()
    reg.stop()
    reg.reconfigure(state="/proc/nothing/here")
    done = run([reg.program, "-c", reg.config_path], timeout=20)
    assert done.returncode == 2
    assert "state" in done.stderr and "/proc/nothing/here cannot be made" in done.stderr


def test_a_full_disk_under_the_state_stops_nothing(make, tmp_path):
    """The mark is lost with the next restart, and everybody is told."""
    disk = tmp_path / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], check=False,
                      capture_output=True).returncode != 0:
        pytest.skip("no right to mount")
    try:
        reg = make(state=str(disk / "state"))
        assert page_of(reg.anonymous.get("/metrics")).value("sticps_state_failed") == 0
        ballast = os.open(disk / "ballast", os.O_WRONLY | os.O_CREAT)
        try:
            while os.write(ballast, b"x" * 1024):
                pass
        except OSError as full:
            assert full.errno == errno.ENOSPC
        os.close(ballast)
        publish(reg, "on-a-full-disk")
        assert page_of(reg.anonymous.get("/metrics")).value("sticps_state_failed") == 1
        assert "cps-list.jwt cannot be written: No space left on device" in reg.log_text()
        (disk / "ballast").unlink()
        publish(reg, "with-room-again")
        assert page_of(reg.anonymous.get("/metrics")).value("sticps_state_failed") == 0
        reg.stop()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


# ---- the command and the configuration ----


def test_the_sequence_goes_upwards_only(make):
    reg = make()
    before = last(reg)
    for to in (before, before - 1 or 1, 1):
        done = raise_sequence(reg, "--to", to)
        assert done.returncode == 2
        assert f"--to {to}" in done.stderr and "only goes upwards" in done.stderr
    assert last(reg) == before
    assert reg.database.query("SELECT 1 FROM audit WHERE action = 'sequence.raise'") == []


@pytest.mark.parametrize("args", [
    [], ["--to", "0"], ["--to", "-1"], ["--to", "x"], ["--to", "5x"], ["--to", "9007199254740991"],
    ["--to", "99999999999999999999"], ["--to", "5", "--list", "list"], ["--to", "5", "-t"], ["--to", "5", "more"],
])
def test_wrong_usage_is_1(registry, args):
    reg = registry(start=False)
    done = raise_sequence(reg, *args)
    assert done.returncode == 1 and done.stderr


def test_to_and_list_belong_to_raise(registry):
    reg = registry(start=False)
    for args in (["--to", "5"], ["init", "--list", "ca-list"]):
        assert run([reg.program, "-c", reg.config_path, *args]).returncode == 1


@pytest.mark.parametrize("changes,words", [
    ({"anchors": "x.pem"}, "witness needs cps_list or ca_list"),
    ({"cps_list": ["https://a.example.com/l"]}, "anchors"),
    ({"cps_list": ["http://a.example.com/l"], "anchors": "x.pem"}, "witness.cps_list"),
    ({"ca_list": ["nonsense"], "anchors": "x.pem"}, "witness.ca_list"),
    ({"cps_list": ["https://a.example.com/l"] * 9, "anchors": "x.pem"}, "cps_list"),
])
def test_a_bad_witness_is_named(registry, changes, words):
    reg = registry(start=False, witness=changes)
    done = reg.check()
    assert done.returncode == 1 and words in done.stderr, done.stderr


def test_a_witness_without_anchors_on_disk_ends_the_start(registry):
    reg = registry(start=False, witness={"cps_list": ["https://a.example.com/l"], "anchors": "missing.pem"})
    reg.init()
    done = run([reg.program, "-c", reg.config_path], timeout=20)
    assert done.returncode == 2 and "witness.anchors" in done.stderr and "missing.pem" in done.stderr
