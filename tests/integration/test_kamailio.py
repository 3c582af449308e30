"""Debian's Kamailio with the shipped configuration signs the calls of SIPp, and the agent delivers their PASSporTs:
they arrive, each once, and no call waits for them, whatever the CPS or the agent does.

STICPS_CALLS sets how many calls are measured in each setting (default 100):
STICPS_CALLS=1000 packaging/test.sh --only integration -- -k kamailio -s
"""

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lib.distributions import Comparison
from lib.fronts import adapt, program
from lib.net import free_port, wait_until
from lib.passport import make_passport, verify
from lib.pki import ROOT
from lib.telephony import Called, Caller, Kamailio

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "attack"))

from hostile import Hostile, endless, reply  # noqa: E402

CALLS = int(os.environ.get("STICPS_CALLS", "100"))
BATCHES = 10
CALLER = "12015550100"
# called numbers by their first digits: the carrier's CPS is …
FAST, SLOW, DOWN, DRIP, GARBAGE, ENDLESS = (f"120255{digit}" for digit in range(1, 7))
SPCS = {FAST: "1234", SLOW: "2222", DOWN: "3333", DRIP: "4444", GARBAGE: "5555", ENDLESS: "6666"}
# … and one that SIP reaches, so that nothing is delivered
OVER_SIP = "1303555"


def path(prefix):
    return f"/cps/company/{SPCS[prefix]}"


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    one = Called(tmp_path_factory.mktemp("called"))
    yield one
    one.close()


def slow(connection, _request):
    time.sleep(0.4)
    connection.sendall(reply(status="201 Created"))


@pytest.fixture(scope="module")
def hostile(pki):
    """First digits → a CPS that answers in its own bad way; each is a host of its own to the agent."""
    answers = {
        SLOW: slow,
        DRIP: endless(b"x", 0.05, first=b"HTTP/1.1 201 Created\r\nX-Drip: "),
        GARBAGE: b"220 mail.example.com ESMTP\r\n",
        ENDLESS: endless(b"x" * 65536, first=b"HTTP/1.1 201 Created\r\n\r\n"),
    }
    servers = {}
    for prefix, answer in answers.items():
        servers[prefix] = Hostile(pki.crt("cps-tls"), pki.key("cps-tls"))
        servers[prefix].routes[path(prefix)] = answer
    yield servers
    for server in servers.values():
        server.close()


@pytest.fixture(scope="module")
def cpsd(cps):
    return cps()


@pytest.fixture(scope="module")
def agent_of_all(registry, cpsd, hostile, cli, agent, tmp_path_factory):
    """An agent that knows each carrier's CPS from the registry's list. Its deadline is that of the harness, so that a
    busy machine loses no PASSporT, and a bad CPS keeps many of them for long."""
    folder, one = tmp_path_factory.mktemp("numbers"), registry()
    sp = one.add_sp("alpha", *SPCS.values())
    urls = {SPCS[prefix]: server.url + path(prefix) for prefix, server in hostile.items()}
    urls[SPCS[FAST]] = cpsd.company_url()
    urls[SPCS[DOWN]] = f"https://127.0.0.1:{free_port()}{path(DOWN)}"
    answer = sp.put("/api/v1/account/alpha/cps", {"cpsMapping": urls})
    assert answer.status == 200, answer.body
    (folder / "blocks.csv").write_text("".join(f"{prefix},{spc}\n" for prefix, spc in SPCS.items()))
    (folder / "ports.csv").write_text("")
    done = cli("npdb", "build", "--blocks", folder / "blocks.csv", "--ports", folder / "ports.csv", "-o",
               folder / "npdb")
    assert done.returncode == 0, done.stderr
    return agent(
        list={"urls": [f"{one.base_url}/download/v1/cps-list"]}, npdb=[str(folder / "npdb")]
    ).wait_for_list(2)


@pytest.fixture(scope="module")
def new_kamailio(pki, cert_server, called, tmp_path_factory):
    """A function: new_kamailio(agent's URL, changes=…, NAME=value …) → a running Kamailio."""
    made = []

    def make(url, changes=None, **names):
        names = {
            "CUSTOMERS": '"127.0.0.1/32,127.0.0.3/32"',
            "PEERS": '"127.0.0.1/32,127.0.0.2/32"',
            "SIP_PEER": f'"{called.uri}"',
            "GATEWAY": f'"{called.uri}"',
            "STI_KEY": f'"{pki.key("sp2")}"',
            "STI_X5U": f'"{cert_server.url}/sp2.crt"',
            "AGENT": f'"agent=>{url}"',
            **names,
        }
        made.append(Kamailio(tmp_path_factory.mktemp("kamailio") / "run", names, changes))
        return made[-1].start()

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def kamailio(new_kamailio, agent_of_all):
    return new_kamailio(agent_of_all.base_url, MAX_AGE="30")


@pytest.fixture(scope="module")
def caller(kamailio, tmp_path_factory):
    return Caller(tmp_path_factory.mktemp("calling"), kamailio.port)


def numbers(prefix, count, start=0):
    return [(CALLER, f"{prefix}{number:04}") for number in range(start, start + count)]


def token_of(called, calls):
    """The PASSporT with which the only one of these calls came to the called side."""
    [call_id] = calls.ids
    return called.identity(call_id).split(";")[0]


def retrieved(cpsd, number, orig=CALLER):
    """What the CPS holds for a call by now, or soon."""
    answer = cpsd.retrieve(number, f"{orig}?wait=10000")
    assert answer.status == 200, (number, answer.status, answer.body)
    return answer.json["passports"]


def test_the_call_and_the_cps_have_the_same_passport(kamailio, caller, called, cpsd, cert_server):
    calls = caller.calls(numbers(FAST, 1, 9000))
    identity = called.identity(calls.ids[0])
    token, _, parameters = identity.partition(";")
    assert parameters == f"info=<{cert_server.url}/sp2.crt>;alg=ES256;ppt=shaken"
    assert retrieved(cpsd, f"{FAST}9000") == [token]


def test_nothing_is_delivered_for_a_call_over_sip(kamailio, caller, called):
    before = kamailio.counters()
    calls = caller.calls(numbers(OVER_SIP, 1))
    assert token_of(called, calls)
    assert kamailio.counters() == before


@pytest.mark.parametrize(
    "orig, dest, header, attest, claimed",
    [
        (CALLER, f"{OVER_SIP}0001", "Subject: own", "A", CALLER),
        ("+12015550100", f"+{OVER_SIP}0001", "Subject: with plus", "A", CALLER),
        ("2015550100", f"{OVER_SIP[1:]}0001", "Subject: ten digits", "A", CALLER),
        ("12125550100", f"{OVER_SIP}0001", "Subject: another's number", "B", "12125550100"),
        ("12125550100", f"{OVER_SIP}0001", "P-Asserted-Identity: <sip:+12015550199@example.com>", "A", "12015550199"),
        ("anonymous", f"{OVER_SIP}0001", "P-Asserted-Identity: <tel:+1-201-555-0199>", "A", "12015550199"),
    ],
)
def test_what_is_signed(caller, called, pki, cert_server, orig, dest, header, attest, claimed):
    token = token_of(called, caller.calls([(orig, dest)], header=header))
    head, claims = verify(token, pki.certificate("sp2").public_key())
    assert head == {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": f"{cert_server.url}/sp2.crt"}
    assert (claims["attest"], claims["orig"]["tn"], claims["dest"]["tn"]) == (attest, claimed, [f"{OVER_SIP}0001"])


def test_a_call_without_a_number_goes_on_unsigned(kamailio, caller, called):
    before = kamailio.counters()
    assert token_of(called, caller.calls([("anonymous", f"{FAST}0001")])) == ""
    assert kamailio.counters() == before


def test_a_call_goes_on_when_the_key_is_not_there(new_kamailio, called, tmp_path):
    one = new_kamailio("http://127.0.0.1:9", STI_KEY=f'"{tmp_path}/none.key"')
    assert token_of(called, Caller(tmp_path, one.port).calls(numbers(FAST, 1))) == ""
    assert one.counters()["queued"] == 0
    assert "not signed: secsipid says" in one.log_text()


def test_a_customers_own_identity_is_delivered_as_it_is(caller, called, cpsd, pki, cert_server):
    x5u = f"{cert_server.url}/sp1.crt"
    token = make_passport(pki.private_key("sp1"), x5u, CALLER, [f"{FAST}9001"])
    header = f"Identity: {token};info=<{x5u}>;alg=ES256;ppt=shaken"
    calls = caller.calls(numbers(FAST, 1, 9001), header=header)
    assert called.identity(calls.ids[0]) == header.removeprefix("Identity: ")
    assert retrieved(cpsd, f"{FAST}9001") == [token]


@pytest.mark.parametrize("value", ["$shv(agent_away)", "a.b", "a.b.c d", ";info=<https://example.com>", "a" * 3000],
                         ids=["variable", "two", "space", "none", "long"])
def test_an_identity_that_is_none_is_not_queued(kamailio, caller, value):
    before = kamailio.counters()
    caller.calls(numbers(FAST, 1), header=f"Identity: {value}")
    assert kamailio.counters() == before


@pytest.mark.parametrize("host, code", [("127.0.0.2", 403), ("127.0.0.3", 200), ("127.0.0.4", 403)],
                         ids=["peer", "customer", "stranger"])
def test_only_customers_make_calls(kamailio, tmp_path, host, code):
    calls = Caller(tmp_path, kamailio.port, host).calls(numbers(OVER_SIP, 1), answered=code == 200)
    assert list(calls.final.values()) == [code]


def test_the_agent_is_killed_and_nothing_is_lost(kamailio, agent_of_all, caller, cpsd):
    before = kamailio.counters()
    agent_of_all.kill()
    caller.calls(numbers(FAST, 20, 8000))
    agent_of_all.start()
    ends = ("accepted", "dropped", "late", "refused")
    wait_until(lambda: sum(kamailio.counters()[end] - before[end] for end in ends) == 20, 60, what="their ends")
    after = kamailio.counters()
    assert {name: after[name] - before[name] for name in after} == {
        "queued": 20, "accepted": 20, "dropped": 0, "late": 0, "refused": 0,
    }
    for _, number in numbers(FAST, 20, 8000):
        assert len(retrieved(cpsd, number)) == 1
    assert "agent does not take PASSporTs" in kamailio.log_text()
    assert "agent takes PASSporTs again" in kamailio.log_text()


def test_the_queue_is_bounded_in_number_and_in_time(new_kamailio, called, tmp_path):
    """Before an agent that takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        one = new_kamailio(f"http://127.0.0.1:{silent.getsockname()[1]}", QUEUE_SIZE="10", MAX_AGE="1")
        Caller(tmp_path, one.port).calls(numbers(FAST, 50))
        assert one.queued() <= 10
        counted = one.counters()
        assert counted["queued"] == 50 and counted["dropped"] >= 50 - 10 - 2, counted
        # what waits grows old, and goes when its turn comes
        wait_until(lambda: one.queued() == 0, 60, what="the queue to empty")
        wait_until(lambda: sum(one.counters().values()) == 2 * 50, 60, what="each to be accounted for")
        counted = one.counters()
        assert counted["late"] >= 1 and counted["accepted"] == 0, counted


def test_the_two_requests_of_the_asterisk_page(agent_of_all, cpsd, pki, cert_server):
    signer = f"127.0.0.1:{free_port()}"
    page = re.search(r"^```sh\n(.*?)^```$", (ROOT / "docs/asterisk.md").read_text(), re.M | re.S)[1]
    commands = adapt(page, {
        "127.0.0.1:8090": signer, "127.0.0.1:8085": f"127.0.0.1:{agent_of_all.port}", "12025550123": f"{FAST}7000",
        "https://certificates.example.com/sti.pem": f"{cert_server.url}/sp2.crt",
    })
    secsipidx = subprocess.Popen([program("secsipidx"), "-http-srv", signer, "-k", pki.key("sp2")],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: subprocess.run(["curl", "-s", "-o", "/dev/null", signer], check=False).returncode == 0, 20)
        done = subprocess.run(["sh", "-euc", commands], capture_output=True, text=True, check=False, timeout=60)
    finally:
        secsipidx.kill()
        secsipidx.wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith('{"status":"queued"'), done.stdout
    assert len(retrieved(cpsd, f"{FAST}7000")) == 1


def measure(caller, on, off=(OVER_SIP,), batches=BATCHES, size=CALLS // BATCHES, after=None):
    """Batches of calls to `on` and to `off` in turn; gives the code of each answer → Comparison."""
    delays = {code: {on: [], off: []} for code in (100, 200)}
    for batch in range(batches):
        for setting in (on, off) if batch % 2 else (off, on):
            prefixes = itertools.cycle(setting)
            made = [(CALLER, f"{next(prefixes)}{number:04}") for number in range(batch * size, (batch + 1) * size)]
            calls = caller.calls(made)
            for code, both in delays.items():
                both[setting].append(calls.delays[code])
            if after and setting == on:
                after(made)
    results = {code: Comparison(both[on], both[off]) for code, both in delays.items()}
    for code, result in results.items():
        print(f"\nINVITE to {code}:\n{result}")
    return results


def differs(results):
    return {code: result.differs for code, result in results.items() if result.differs}


def test_no_call_waits_for_a_fast_cps_and_each_passport_arrives(kamailio, caller, cpsd):
    private = cpsd.private.session()

    def each_arrives(made):
        for orig, dest in made:
            answer = private.get(f"/passports/{dest}/{orig}?wait=5000")
            assert answer.status == 200 and len(answer.json["passports"]) == 1, (dest, answer.status)

    before = kamailio.counters()
    results = measure(caller, (FAST,), after=each_arrives)
    after = kamailio.counters()
    assert after["queued"] - before["queued"] == after["accepted"] - before["accepted"] == CALLS // BATCHES * BATCHES
    assert not differs(results)


@pytest.mark.parametrize(
    "carriers", [(SLOW,), (DOWN,), (DRIP, GARBAGE, ENDLESS)], ids=["slow", "down", "hostile"]
)
def test_no_call_waits_for_a_cps(kamailio, caller, hostile, carriers):
    accepted = kamailio.counters()["accepted"] + CALLS // BATCHES * BATCHES
    results = measure(caller, carriers)
    wait_until(lambda: kamailio.counters()["accepted"] == accepted, 30, what="the agent to have them all")
    for prefix in set(carriers) & set(hostile):
        assert hostile[prefix].posted, prefix
    assert not differs(results)


def test_no_call_waits_for_the_agent(kamailio, caller, agent_of_all):
    agent_of_all.daemon.signal(signal.SIGSTOP)
    try:
        results = measure(caller, (FAST,))
    finally:
        agent_of_all.daemon.signal(signal.SIGCONT)
    assert not differs(results)


def test_a_call_that_delivers_itself_is_seen_to_wait(new_kamailio, hostile, tmp_path):
    """The control: with a delivery in the SIP worker, to the slow CPS, the same comparison says that calls differ."""
    one = new_kamailio(
        f"{hostile[SLOW].url};verify_peer=0",
        {'mq_add("passports", "$TS", "$var(passport)")':
            f'http_connect("agent", "{path(SLOW)}", "application/passport", "$var(passport)", "$var(answer)")'},
    )
    results = measure(Caller(tmp_path, one.port), (SLOW,), batches=8, size=8)
    assert differs(results) == {100: [0.5, 0.95], 200: [0.5, 0.95]}


def test_a_retransmitted_invite_is_one_call(kamailio):
    before = kamailio.counters()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind(("127.0.0.1", 0))
        host, port = caller.getsockname()
        to = f"sip:{DOWN}0000@127.0.0.1:{kamailio.port}"
        invite = "\r\n".join([
            f"INVITE {to} SIP/2.0", f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKtwice", "Max-Forwards: 70",
            f"From: <sip:{CALLER}@{host}>;tag=1", f"To: <{to}>", "Call-ID: twice", "CSeq: 1 INVITE",
            f"Contact: <sip:{CALLER}@{host}:{port}>", "Content-Length: 0", "", "",
        ]).encode()
        for _ in range(5):
            caller.sendto(invite, ("127.0.0.1", kamailio.port))
        caller.settimeout(10)
        while not caller.recv(65536).startswith(b"SIP/2.0 200 "):
            pass
    assert kamailio.counters()["queued"] - before["queued"] == 1
