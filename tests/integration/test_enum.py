"""ENUM as a source of numbers: the command and the agent against NSD, and against a DNS server with every fault."""

import json
import socket
import struct
import time

import pytest
from lib.dns import FakeDns, Nsd, enum_name, naptr, string, tel
from lib.exposition import Page
from lib.net import wait_until
from lib.passport import make_passport

APEX = "e164.test"
PORTED, NOT_PORTED, LARGE, UNKNOWN, WEIRD = (f"1503555010{i}" for i in range(5))
LRN, CARRIER = "13035550000", "1234"


def record(number, regexp, order=10, services="E2U+pstn:tel"):
    return f'{enum_name(number, APEX)}. NAPTR {order} 10 "u" "{services}" "{regexp}" .\n'


ZONE = (
    record(PORTED, tel(PORTED, LRN), 20)
    + record(PORTED, "!^.*$!sip:a@b.example!", 10, "E2U+sip")
    + record(NOT_PORTED, tel(NOT_PORTED))
    # more than fits into a datagram
    + "".join(record(LARGE, f"!^.*$!sip:{'x' * 150}{i}@b.example!", 100 + i, "E2U+sip") for i in range(30))
    + record(LARGE, tel(LARGE, LRN))
    + record(WEIRD, r"!^(.*)$!tel:\\1;npdi;rn=+13035550000!")
)


@pytest.fixture(scope="module")
def nsd(tmp_path_factory):
    server = Nsd(tmp_path_factory.mktemp("nsd"), APEX, ZONE).start()
    yield server
    server.stop()


@pytest.fixture
def fake():
    server = FakeDns()
    yield server
    server.close()


@pytest.fixture
def resolve(cli, path):
    """A function: resolve(server, number, …) → each answer, from `sticps resolve --json`."""

    def run(server, *words):
        done = cli("resolve", *words, "--state", path.state, "--npdb", path.npdb, "--enum-apex", APEX, "--enum-server",
                   server.address, "--json")
        assert done.returncode in (0, 4), done.stderr
        text, answers, decoder = done.stdout, [], json.JSONDecoder()
        while text.strip():
            one, end = decoder.raw_decode(text.lstrip())
            answers.append(one)
            text = text.lstrip()[end:]
        return answers

    return run


# ---- against NSD ----


@pytest.mark.parametrize("number", [PORTED, LARGE])
def test_a_ported_number_has_the_carrier_of_its_lrn(nsd, path, resolve, number):
    [answer] = resolve(nsd, number, "--enum-deadline", "10000")
    assert (answer["code"], answer["lrn"], answer["spc"], answer["ported"]) == ("OK", LRN, CARRIER, True)
    assert answer["url"] == path.url


def test_what_enum_does_not_tell(nsd, resolve):
    answers = resolve(nsd, NOT_PORTED, UNKNOWN, WEIRD, "12025550199", "--enum-deadline", "10000")
    assert [a["code"] for a in answers] == ["NO_CARRIER"] * 3 + ["CARRIER_HAS_NO_CPS"]
    assert "no source names" in answers[0]["detail"] and "no source names" in answers[1]["detail"]
    assert "a source failed" in answers[2]["detail"]


def test_a_number_is_asked_for_once(fake, resolve):
    fake.answer = lambda request: request.answer(naptr(tel(PORTED, LRN)))
    answers = resolve(fake, PORTED, PORTED, "+1 503-555-0100", "--enum-deadline", "10000")
    assert [a["code"] for a in answers] == ["OK"] * 3
    assert [r.name for r in fake.seen] == [enum_name(PORTED, APEX)]


def test_files_first_or_enum_first(fake, resolve):
    """The number's own row in the file names another carrier."""
    number = "12025550199"
    fake.answer = lambda request: request.answer(naptr(tel(number, LRN)))
    assert [a["spc"] for a in resolve(fake, number)] == ["5678"]
    assert not fake.seen
    assert [a["spc"] for a in resolve(fake, number, "--enum-first", "--enum-deadline", "10000")] == [CARRIER]


@pytest.mark.parametrize("words, text", [
    (["--enum-server", "192.0.2.1"], "--enum-apex"), (["--enum-first"], "--enum-apex"),
    (["--enum-apex", "a..b"], "domain name"), (["--enum-apex", "a.b", "--enum-server", "dns.example"], "no address"),
])  # fmt: skip
def test_options_that_make_no_sense(cli, path, words, text):
    done = cli("resolve", PORTED, "--state", path.state, "--npdb", path.npdb, *words)
    assert (done.returncode, done.stdout) == (1, "") and text in done.stderr


# ---- faults ----


def large(request):
    """A record that no datagram of ours holds."""
    return [naptr(tel(PORTED, LRN))] + [naptr("!^.*$!sip:" + "x" * 200 + "!", services="E2U+sip") for _ in range(8)]


def tcp_only(over_tcp):
    return lambda request: over_tcp(request) if request.tcp else request.answer(truncated=True)


def drip(request):
    whole = request.answer(*large(request))
    whole = struct.pack(">H", len(whole)) + whole
    return [whole[i : i + 1] for i in range(len(whole))]


def too_long(request):
    return [struct.pack(">H", 65535) + b"\0" * 70000]


FAULTS = {
    "silence": lambda request: None,
    "nothing": lambda request: b"",
    "noise": lambda request: b"\xff" * 300,
    "another id": lambda request: request.answer(naptr(tel(PORTED, LRN)), number=request.number ^ 1),
    "another question": lambda request: request.answer(
        naptr(tel(PORTED, LRN)), question=string("x") + request.question[1 + request.question[0] :]),
    "a server error": lambda request: request.answer(rcode=2),
    "refusal": lambda request: request.answer(rcode=5),
    "a loop of names": lambda request: request.answer(b"\xc0" + bytes([12 + len(request.question)]) + b"\0" * 20),
    "half a record": lambda request: request.answer(naptr(tel(PORTED, LRN)))[:-12],
    "truncated, and silence over tcp": tcp_only(lambda request: None),
    "truncated, and a drip over tcp": tcp_only(drip),
    "truncated, and truncated over tcp": lambda request: request.answer(truncated=True),
    "truncated, and noise over tcp": tcp_only(lambda request: b"\xff" * 64),
    "truncated, and a length over tcp that nothing follows": tcp_only(lambda request: [b"\xff\xff", b"x"]),
    "truncated, and as much as there can be": tcp_only(too_long),
    "another number": lambda request: request.answer(naptr(tel("15035550199", LRN))),
    "a thousand records": lambda request: request.answer(*[b"\xc0\x0c" + struct.pack(">HHIH", 35, 1, 1, 0)] * 1000)
    if request.tcp else request.answer(truncated=True),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_no_answer_and_the_next_source_decides(fake, resolve, fault):
    fake.answer = FAULTS[fault]
    unknown, known = resolve(fake, PORTED, "12025550199", "--enum-first", "--enum-deadline", "300")
    assert (unknown["code"], unknown["lrn"]) == ("NO_CARRIER", None), unknown
    assert "a source failed" in unknown["detail"]
    assert known["spc"] == "5678"  # the file's
    assert fake.seen


def test_truncated_and_whole_over_tcp(fake, resolve):
    fake.answer = tcp_only(lambda request: request.answer(*large(request)))
    [answer] = resolve(fake, PORTED, "--enum-deadline", "10000")
    assert (answer["code"], answer["lrn"]) == ("OK", LRN)
    assert [r.tcp for r in fake.seen] == [False, True]


def test_the_second_server_when_the_first_is_dead(fake, resolve):
    fake.answer = lambda request: request.answer(naptr(tel(PORTED, LRN)))
    silent = FakeDns()
    try:
        [answer] = resolve(fake, PORTED, "--enum-server", silent.address, "--enum-deadline", "10000")
    finally:
        silent.close()
    assert (answer["code"], answer["lrn"]) == ("OK", LRN)
    assert silent.seen and fake.seen


def test_queries_cannot_be_guessed(fake, resolve):
    """Each has a source port and an id of its own."""
    numbers = [f"150355502{i:02}" for i in range(30)]
    fake.answer = lambda request: request.answer(rcode=3)
    resolve(fake, *numbers, "--enum-deadline", "10000")
    assert len({r.name for r in fake.seen}) == 30
    assert len(fake.sources) > 20 and len({r.number for r in fake.seen}) > 25


def test_nobody_listens(resolve):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:  # bound for nobody else to take, and closed
        held.bind(("127.0.0.1", 0))

        class Dead:
            address = "127.0.0.1:%d" % held.getsockname()[1]

    [answer] = resolve(Dead, PORTED)
    assert answer["code"] == "NO_CARRIER" and "a source failed" in answer["detail"]


# ---- the agent ----


@pytest.fixture
def daemon(path, agent):
    """A function: an agent that asks `server`; changes go to `enum`."""
    made = []

    def start(server, **changes):
        made.append(agent(list={"urls": [path.list_url]}, npdb=[str(path.npdb)],
                          enum={"apex": APEX, "servers": [server.address], "deadline_ms": 10000, **changes}))
        return made[-1].wait_for_list(2)

    yield start
    for one in made:
        one.close()


@pytest.fixture
def passport(path, pki):
    key, x5u = pki.private_key("sp2"), path.cert_server.url + "/sp2.crt"
    return lambda orig, *dest: make_passport(key, x5u, orig, list(dest))


def counts(daemon):
    families = Page(daemon.api.get("/metrics").body.decode()).families
    samples = families["sticps_agent_events_total"]["samples"].items()
    return {dict(labels)["code"]: value for (_, labels), value in samples if ("event", "enum") in labels and value}


def test_the_agent_asks_enum(nsd, path, daemon, passport):
    one = daemon(nsd)
    assert one.resolve(PORTED)["lrn"] == LRN
    assert one.resolve(UNKNOWN)["code"] == "NO_CARRIER"
    outcome = one.outcome(passport("12015550170", LARGE, PORTED, NOT_PORTED, "12025550123"))
    assert (outcome["status"], [d["url"] for d in outcome["deliveries"]]) == ("delivered", [path.url]), outcome
    assert counts(one) == {"OK": 4}  # what was asked for twice was remembered


def test_the_agent_does_not_wait_for_a_silent_server(fake, path, daemon, passport):
    """A delivery to whom the file knows is not held up, and one to whom it does not is by the deadline at most."""
    one = daemon(fake, deadline_ms=200, first=True)
    for i in range(5):
        outcome = one.outcome(passport(f"1201555018{i}", "12025550123"))
        assert outcome["status"] == "delivered", outcome
    assert sum(counts(one).values()) <= 5
    assert one.resolve("12025550124")["code"] == "CARRIER_HAS_NO_CPS"  # of the file
    fake.answer = lambda request: request.answer(naptr(tel(PORTED, LRN)))
    wait_until(lambda: one.resolve(PORTED)["lrn"] == LRN, 60, what="ENUM after its server is back")


def test_a_deliverys_deadline_holds_for_enum_too(fake, path, agent, passport):
    one = agent(list={"urls": [path.list_url]}, npdb=[str(path.npdb)], delivery={"deadline_ms": 500},
                enum={"apex": APEX, "servers": [fake.address], "deadline_ms": 10000}).wait_for_list(2)
    begun = time.monotonic()
    outcome = one.outcome(passport("12015550190", UNKNOWN))
    assert (outcome["status"], outcome["code"]) == ("failed", "NO_CARRIER")
    assert time.monotonic() - begun < 9  # not ENUM's ten seconds
    one.close()


@pytest.mark.parametrize("enum, text", [
    ({"servers": ["192.0.2.1"]}, "enum.apex"), ({"apex": "a..b"}, "domain name"),
    ({"apex": APEX, "servers": ["dns.example"]}, "no address"), ({"apex": APEX, "deadline_ms": 10001}, "enum.deadline_ms"),
    ({"apex": APEX, "server": "192.0.2.1"}, "server"),
])  # fmt: skip
def test_a_configuration_that_makes_no_sense(agent, path, enum, text):
    one = agent(start=False, list={"urls": [path.list_url]}, npdb=[str(path.npdb)], enum=enum)
    done = one.check()
    assert done.returncode != 0 and text in done.stderr + done.stdout
