"""Fast-forward: for an hour somebody signed with the STI-PA's key and published a huge sequence. Nothing but an
operator's explicit command brings a client back, and it leaves a record."""

import json
import os
import pty
import subprocess
import time

import pytest
from hostile import Identity, reply

HUGE = 9 * 10**15
LOST = {"1234": "https://evil.example.com/x"}


@pytest.fixture
def locked(pa):
    """A client that has taken the huge sequence; the STI-PA goes on at 43."""
    pa.take(pa.list(42))
    pa.take(pa.list(HUGE, LOST))
    pa.serve(pa.list(43))
    return pa


def options(pa, *args):
    return [
        "list", "recover", "--url", pa.url, "--anchor", pa.anchor, "--state", pa.state, "--tls-ca", pa.pki.tls_ca,
        "--lab", *args,
    ]  # fmt: skip


def recover(pa, *args):
    return pa.cli.json(*options(pa, *args))


def audit(pa):
    file = pa.state / "audit.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def refused(pa, code, status, *args):
    before, lines = pa.snapshot(), audit(pa)
    got, answer = recover(pa, *args)
    assert (got, answer["code"]) == (status, code), answer
    assert (pa.snapshot(), audit(pa)) == (before, lines), "nothing is changed"
    return answer


def test_nothing_but_the_command_brings_it_back(locked):
    pa = locked
    for _ in range(3):
        pa.refuse("ROLLBACK", 2)
    assert audit(pa) == []


def test_recovered(locked):
    pa = locked
    began = time.time()
    status, answer = recover(pa, "--yes")
    assert (status, answer["status"], answer["previous"], answer["floor"]) == (0, "recovered", HUGE, 43), answer
    held = pa.held()
    assert (held["sequence"], held["source"]) == (43, pa.url)
    assert held["cpsMapping"]["1234"] != LOST["1234"]
    [line] = audit(pa)
    assert (line["what"], line["list"], line["floorBefore"], line["floor"]) == ("recover", "cps", HUGE, 43)
    assert line["heldBefore"]["sequence"] == HUGE and line["held"]["sha256"] == held["sha256"]
    assert line["uid"] == os.getuid() and "loginUid" in line and line["pid"] > 0
    assert abs(time.mktime(time.strptime(line["at"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - began) < 3600 * 2
    # from here on as if it had never been
    pa.take(pa.list(44))
    pa.refuse("ROLLBACK", 2, serve=pa.list(43))


def test_not_without_a_word(locked):
    """Standard input is no terminal: it shows what there is, and changes nothing."""
    pa = locked
    answer = refused(pa, "USAGE", 1)
    assert "--yes" in answer["detail"]
    done = pa.cli(*options(pa), input="yes\n")
    assert done.returncode == 1 and audit(pa) == []
    assert f"sequence {HUGE}, 1 entries" in done.stderr and "sequence 43, 1 entries" in done.stderr
    assert pa.held()["sequence"] == HUGE


def on_terminal(pa, answer):
    """(exit status, everything on the terminal)"""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [str(word) for word in [pa.cli.program, *options(pa)]], stdin=follower, stdout=follower, stderr=follower,
        env=os.environ | pa.cli.env,
    )  # fmt: skip
    os.close(follower)
    seen = b""
    try:
        while b"Type yes" not in seen:
            seen += os.read(leader, 4096)
        os.write(leader, answer)
        while True:
            seen += os.read(leader, 4096)
    except OSError:
        pass  # the other end is closed: it has ended
    status = process.wait(timeout=60)
    os.close(leader)
    return status, seen.decode()


def test_asks_on_a_terminal(locked):
    pa = locked
    for word in (b"no\n", b"y\n", b"\n", b"yes, of course\n", b"\x04"):
        status, seen = on_terminal(pa, word)
        assert (status, audit(pa)) == (1, []), seen
    status, seen = on_terminal(pa, b"yes\n")
    assert status == 0 and "recovered: sequence 43" in seen, seen
    assert pa.held()["sequence"] == 43


@pytest.mark.parametrize(
    "code, make",
    [
        ("SIGNER", lambda pa: pa.list(43, header={"x5u": pa.server.url + "/other"}, key=pa.other.key)),
        ("SIGNATURE", lambda pa: pa.list(43, key=pa.root.key)),
        ("EXP", lambda pa: pa.list(43, lifetime=-1)),
        ("PAYLOAD", lambda pa: pa.list(43, {"x": "y"})),
        ("HEADER", lambda pa: pa.list(43, header={"alg": "none"})),
        ("FORM", lambda pa: "hello"),
    ],
)
def test_every_rule_but_the_floor_applies(locked, code, make):
    pa = locked
    pa.other = Identity("nobody")
    pa.server.routes["/other"] = reply(pa.other.pem)
    pa.serve(make(pa))
    refused(pa, code, 2, "--yes")


def test_shrink_needs_its_own_word(pa):
    many = {f"{i:04}": f"https://cps.example.com/{i}" for i in range(100)}
    pa.take(pa.list(HUGE, many))
    pa.serve(pa.list(43))
    refused(pa, "SHRINK", 2, "--yes")
    assert recover(pa, "--yes", "--accept-shrink")[0] == 0


def test_a_source_that_is_away(locked):
    pa = locked
    pa.server.routes["/list"] = reply(b"", "503 Service Unavailable")
    refused(pa, "FETCH", 3, "--yes")


@pytest.mark.parametrize("sequence", [HUGE, HUGE + 1])
def test_nothing_to_recover_from(locked, sequence):
    """What a fetch takes is fetched; this is no second way round a question."""
    pa = locked
    pa.serve(pa.list(sequence, LOST) if sequence > HUGE else json.loads(pa.snapshot())["held"]["jws"])
    assert "fetch" in refused(pa, "USAGE", 1, "--yes")["detail"]


def test_an_equivocation_is_recovered_from(pa):
    """The thief used the next number only: 43 was accepted with his bytes."""
    pa.take(pa.list(43, LOST))
    pa.refuse("EQUIVOCATION", 2, serve=pa.list(43))
    assert recover(pa, "--yes")[0] == 0
    assert pa.held()["cpsMapping"]["1234"] != LOST["1234"]
    pa.refuse("EQUIVOCATION", 2, serve=pa.list(43, LOST))


def test_what_cannot_be_recorded_is_not_done(locked):
    pa = locked
    (pa.state / "audit.log").mkdir()
    before = pa.snapshot()
    status, answer = recover(pa, "--yes")
    assert (status, answer["code"]) == (1, "FILE"), answer
    assert answer["where"] == str(pa.state / "audit.log")
    status, answer = pa.cli.json("list", "reset", "--state", pa.state, "--to", "1")
    assert (status, answer["code"]) == (1, "FILE"), answer
    assert pa.snapshot() == before


def test_a_reset_is_recorded_too(locked):
    pa = locked
    assert pa.cli.json("list", "reset", "--state", pa.state, "--to", "42")[0] == 0
    assert recover(pa, "--yes")[1]["code"] == "USAGE", "43 is above the floor now"
    pa.take(pa.list(43))
    [line] = audit(pa)
    assert (line["what"], line["floor"], line["held"]) == ("reset", 42, None)


def test_the_other_list_stays_as_it_is(locked):
    pa = locked
    payload = pa.payload(7, trustList=[pa.root.pem.decode()])
    del payload["cpsMapping"]
    pa.take(pa.sign(pa.header(), payload), "--kind", "ca")
    before = (pa.state / "ca-list.json").read_bytes()
    pa.serve(pa.list(43))
    assert recover(pa, "--yes")[0] == 0
    assert (pa.state / "ca-list.json").read_bytes() == before


def test_by_a_file(locked, tmp_path, free_port):
    pa = locked
    (tmp_path / "copy.jwt").write_text(pa.list(43))
    pa.url = f"https://127.0.0.1:{free_port()}/list"
    status, answer = recover(pa, "--yes", "--file", tmp_path / "copy.jwt")
    assert (status, answer["sequence"], answer["source"]) == (0, 43, str(tmp_path / "copy.jwt")), answer
