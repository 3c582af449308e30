"""Several sources for one list: mirrors and files share one floor, and what one of them does wrong is named."""

import json
import os
import socket
import time

import pytest
from hostile import Hostile, endless, reply


@pytest.fixture
def mirror(pa, pki):
    """A second server of the same STI-PA's lists, on a host of its own (by name)."""
    server = Hostile(pki.crt("repo-tls"), pki.key("repo-tls"))
    server.list_url = server.url + "/list"
    yield server
    server.close()


def fetch(pa, *sources, args=()):
    """(exit status, the JSON printed, standard error). Sources: a URL, or the path of a file."""
    line = []
    for source in sources:
        line += ["--url" if str(source).startswith("https:") else "--file", source]
    done = pa.cli(
        "list", "fetch", *line, "--anchor", pa.anchor, "--state", pa.state, "--tls-ca", pa.pki.tls_ca, "--lab",
        "--timeout", "20", "--json", *args,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout), done.stderr


def failed(answer):
    return [(one["source"], one["code"]) for one in answer["failed"]]


def test_the_next_source_when_the_first_is_away(pa, mirror, free_port):
    dead = f"https://127.0.0.1:{free_port()}/list"
    mirror.routes["/list"] = reply(pa.list(5))
    status, answer, stderr = fetch(pa, dead, mirror.list_url)
    assert (status, answer["status"], answer["sequence"], answer["source"]) == (0, "taken", 5, mirror.list_url)
    assert failed(answer) == [(dead, "FETCH")]
    assert f"warning: FETCH: {answer['failed'][0]['detail']} ({dead})" in stderr


def test_rollback_after_source_failure(pa, mirror):
    """The source dies, the mirror that is left has an older list: the floor is everybody's."""
    pa.take(pa.list(5))
    held = pa.snapshot()
    pa.server.routes["/list"] = reply(b"", "503 Service Unavailable")
    mirror.routes["/list"] = reply(pa.list(4))
    status, answer, _ = fetch(pa, pa.url, mirror.list_url)
    assert (status, answer["code"], answer["where"]) == (2, "ROLLBACK", mirror.list_url)
    assert pa.snapshot() == held


def test_a_mirror_that_rolls_back_is_named_while_another_satisfies(pa, mirror):
    pa.take(pa.list(5))
    mirror.routes["/list"] = reply(pa.list(4))
    pa.serve(pa.list(6))
    status, answer, _ = fetch(pa, mirror.list_url, pa.url)
    assert (status, answer["status"], answer["sequence"], answer["previous"]) == (0, "taken", 6, 5)
    assert failed(answer) == [(mirror.list_url, "ROLLBACK")]


def test_mirrors_that_disagree(pa, mirror):
    """Two lists under one number are found out at once, whichever of the mirrors is believed first."""
    pa.serve(pa.list(5))
    mirror.routes["/list"] = reply(pa.list(5, {"9999": "https://evil.example.com/x"}))
    status, answer, stderr = fetch(pa, pa.url, mirror.list_url)
    assert (status, answer["status"]) == (0, "taken")
    assert failed(answer) == [(mirror.list_url, "EQUIVOCATION")]
    assert "EQUIVOCATION" in stderr
    assert "1234" in pa.held()["cpsMapping"]


def test_equivocation_outweighs_what_else_went_wrong(pa, mirror, free_port):
    pa.take(pa.list(5))
    mirror.routes["/list"] = reply(pa.list(5, {}))
    pa.serve(pa.list(4))
    status, answer, _ = fetch(pa, f"https://127.0.0.1:{free_port()}/list", pa.url, mirror.list_url)
    assert (status, answer["code"], answer["where"]) == (2, "EQUIVOCATION", mirror.list_url)


def test_a_mirror_that_stands_still_holds_nothing_back(pa, mirror):
    """Freeze: the first source has what is held, for ever; the second has the news."""
    stale = pa.list(5)
    pa.take(stale)
    mirror.routes["/list"] = reply(stale)
    pa.serve(pa.list(6))
    status, answer, _ = fetch(pa, mirror.list_url, pa.url)
    assert (status, answer["status"], answer["sequence"], answer["failed"]) == (0, "taken", 6, [])


def test_each_source_has_its_share_of_the_deadline(pa, mirror):
    """A source that drips does not use up the time of the next."""
    mirror.routes["/list"] = endless(b"A", 0.1, b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    pa.serve(pa.list(5))
    started = time.monotonic()
    status, answer, _ = fetch(pa, mirror.list_url, pa.url, args=["--timeout", "6"])
    assert (status, answer["sequence"]) == (0, 5)
    assert failed(answer) == [(mirror.list_url, "FETCH")]
    assert "3000 ms" in answer["failed"][0]["detail"]
    assert time.monotonic() - started < 20


def test_one_deadline_for_all(pa):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    urls = [f"https://127.0.0.1:{one.getsockname()[1]}/list" for one in listeners]
    started = time.monotonic()
    status, answer, _ = fetch(pa, *urls, args=["--timeout", "4"])
    assert (status, answer["code"]) == (3, "FETCH")
    assert time.monotonic() - started < 12
    for one in listeners:
        one.close()


def test_the_certificate_of_a_mirrors_list_is_not_just_anywhere(pa, mirror):
    """Rule 3 holds for each source: its own host, or a configured one."""
    x5u = f"https://localhost:{pa.server.port}/cert"
    mirror.routes["/list"] = reply(pa.list(5, header={"x5u": x5u}))
    pa.serve(b"", status="404 Not Found")
    status, answer, _ = fetch(pa, pa.url, mirror.list_url)
    assert (status, answer["code"], answer["where"]) == (2, "HEADER", mirror.list_url)
    assert "/cert" not in pa.server.paths()
    status, answer, _ = fetch(pa, pa.url, mirror.list_url, args=["--x5u-host", "localhost"])
    assert (status, answer["sequence"]) == (0, 5)


def test_a_damaged_state_ends_it_at_once(pa, mirror):
    pa.take(pa.list(5))
    (pa.state / "cps-list.json").write_text("{}")
    status, answer, _ = fetch(pa, mirror.list_url, pa.url)
    assert (status, answer["code"]) == (1, "STATE")
    assert mirror.requests == []


# ---- files ----


@pytest.fixture
def copy(pa, tmp_path):
    """Writes a copy of a list; returns its path."""

    def write(body, name="copy.jwt"):
        (tmp_path / name).write_text(body)
        return tmp_path / name

    return write


def test_a_file_where_the_network_is_away(pa, copy, free_port):
    """Both forms; the chain comes from the state of an earlier fetch."""
    dead = f"https://127.0.0.1:{free_port()}/list"
    pa.take(pa.list(5))
    pa.publish_certificate(b"gone", status="404 Not Found")
    for file in (copy(pa.list(6)), copy('{"status":"success","cpsList":"%s"}' % pa.list(7), "envelope.json")):
        status, answer, _ = fetch(pa, dead, file)
        assert (status, answer["status"], answer["source"]) == (0, "taken", str(file))
    assert pa.held()["sequence"] == 7


def test_rollback_by_a_fallback_file(pa, copy, free_port):
    pa.take(pa.list(5))
    held = pa.snapshot()
    file = copy(pa.list(4))
    status, answer, _ = fetch(pa, f"https://127.0.0.1:{free_port()}/list", file)
    assert (status, answer["code"], answer["where"]) == (2, "ROLLBACK", str(file))
    assert pa.snapshot() == held


def test_a_file_raises_the_floor_for_the_network_too(pa, copy):
    file = copy(pa.list(6))
    assert fetch(pa, file, args=["--x5u-host", "127.0.0.1"])[0] == 0
    pa.refuse("ROLLBACK", 2, serve=pa.list(5))


def test_a_file_is_not_read_while_a_url_satisfies(pa, copy):
    pa.serve(pa.list(5))
    status, answer, _ = fetch(pa, pa.url, copy(pa.list(4)))
    assert (status, answer["sequence"], answer["failed"]) == (0, 5, [])


@pytest.mark.parametrize(
    "change, code",
    [
        ({"key": True}, "SIGNATURE"), ({"lifetime": -1}, "EXP"), ({"mapping": {"x": "y"}}, "PAYLOAD"),
        ({"header": {"alg": "none"}}, "HEADER"),
    ],
)  # fmt: skip
def test_every_rule_but_the_fetch_applies_to_a_file(pa, copy, change, code):
    if "key" in change:
        change = {"key": pa.root.key}
    status, answer, _ = fetch(pa, copy(pa.list(5, **change)), args=["--x5u-host", "127.0.0.1"])
    assert (status, answer["code"]) == (2, code), answer
    assert pa.held() is None


def test_the_certificate_of_a_file_is_on_a_host_that_was_named(pa, copy, free_port):
    file = copy(pa.list(5))
    status, answer, _ = fetch(pa, file)
    assert (status, answer["code"]) == (2, "HEADER")
    assert "--x5u-host" in answer["detail"]
    assert pa.server.requests == []
    status, answer, _ = fetch(pa, f"https://127.0.0.1:{free_port()}/list", file)
    assert (status, answer["sequence"]) == (0, 5)


@pytest.mark.parametrize("what", ["missing", "folder", "large", "empty"])
def test_a_file_that_is_no_list(pa, copy, tmp_path, what):
    file = {
        "missing": lambda: tmp_path / "nothing", "folder": lambda: tmp_path, "empty": lambda: copy(""),
        "large": lambda: copy("x" * (16 * 1024 * 1024 + 1)),
    }[what]()  # fmt: skip
    status, answer, _ = fetch(pa, file)
    assert (status, answer["code"]) == ((2, "FORM") if what == "empty" else (3, "FETCH")), answer
    other = copy(pa.list(5), "other.jwt")
    status, answer, _ = fetch(pa, file, other, args=["--x5u-host", "127.0.0.1"])
    assert (status, answer["sequence"]) == (0, 5), "the next file is read all the same"


@pytest.mark.parametrize("name", ["", b"caf\xe9.jwt", b"\xed\xa0\x80"])
def test_a_files_name_that_the_state_cannot_hold(pa, name):
    status, answer, _ = fetch(pa, os.fsdecode(name))
    assert (status, answer["code"]) == (1, "USAGE")


def test_a_files_name_in_another_alphabet(pa, copy):
    file = copy(pa.list(5), "список №1.jwt")
    status, answer, _ = fetch(pa, file, args=["--x5u-host", "127.0.0.1"])
    assert (status, answer["source"]) == (0, str(file)), answer
    assert pa.held()["source"] == str(file)


def test_no_source_at_all(pa):
    status, answer, _ = fetch(pa)
    assert (status, answer["code"]) == (1, "USAGE")
    assert "--file" in answer["detail"]
