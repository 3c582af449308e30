"""sticps-agent before CPSs and an STI-PA that do it harm: whoever delivers hears at once, and each outcome is told."""

import signal
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hostile import Hostile, endless, reply
from lib.net import wait_until
from lib.passport import make_passport
from test_delivery_tokens import Demanding

DEST = {"good": "12025550123", "bad": "12125550123"}


@pytest.fixture
def bad(pki):
    """A CPS beside the good one."""
    one = Hostile(pki.crt("repo-tls"), pki.key("repo-tls"))
    yield one
    one.close()


@pytest.fixture
def served(pa, bad, agent, tmp_path):
    """A function that starts an agent on a list of pa's; pa.server is also the good CPS."""
    (tmp_path / "blocks.csv").write_text("202-555,1234\n212-555,5678\n")
    npdb = tmp_path / "numbers.npdb"
    assert pa.cli.json("npdb", "build", "--blocks", tmp_path / "blocks.csv", "-o", npdb)[0] == 0
    made = []

    def make(bad_url=None, lifetime=3600, **changes):
        pa.mapping = {"1234": f"{pa.server.url}/cps/company/1234", "5678": bad_url or f"{bad.url}/cps/company/5678"}
        pa.server.routes["/cps/company/1234"] = reply(status="201 Created")
        pa.serve(pa.list(7, pa.mapping, lifetime=lifetime))
        settings = {"list": {"urls": [pa.url], "anchors": [str(pa.anchor)]}, "npdb": [str(npdb)]}
        for name, value in changes.items():
            settings[name] = {**settings.get(name, {}), **value} if isinstance(value, dict) else value
        made.append(agent(**settings).wait_for_list(7))
        return made[-1]

    yield make
    for each in made:
        each.close()


def token(pki, kind="good", *more):
    return make_passport(pki.private_key("sp1"), "https://cr.example.com/sp1.crt", "12025550100",
                         [DEST[kind], *(DEST[one] for one in more)])


def answer_late(seconds):
    def send(connection, _request):
        time.sleep(seconds)
        connection.sendall(reply(status="201 Created"))

    return send


def drip(connection, _request):
    for byte in reply(b"x" * 4000, "201 Created"):
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


BAD = {
    "never answers": lambda connection, _request: connection.recv(1),
    "drips": drip,
    "endless body": endless(b"x" * 65536, first=b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n\r\n"),
    "endless headers": endless(b"X-Y: " + b"z" * 1000 + b"\r\n", first=b"HTTP/1.1 201 Created\r\n"),
    "garbage": b"\x00\xff\r\n\r\n" * 100,
    "closes": b"",
    "redirects": reply(status="307 Temporary Redirect", Location="https://example.com/"),
    "fails": reply(b"{", "500 Internal Server Error", Content_Type="application/problem+json"),
    "200": reply(b"fine"),
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_cps_holds_up_nobody(pa, bad, pki, served, how):
    """The caller is answered while the CPS does what it likes; the good CPS of the same call has its PASSporT."""
    agent = served(delivery={"deadline_ms": 3000})
    bad.routes["/cps/company/5678"] = BAD[how]
    started = time.monotonic()
    assert [agent.deliver(token(pki, "bad")).status for _ in range(3)] == [202] * 3
    assert agent.api.get("/v1/resolve/" + DEST["bad"]).json["code"] == "OK"
    assert time.monotonic() - started < 2.9, "an answer waited for the CPS"
    outcome = agent.outcome(token(pki, "bad", "good"))
    codes = {one["url"][-4:]: one["code"] for one in outcome["deliveries"]}
    assert outcome["status"] == "failed" and codes == {"1234": "OK", "5678": outcome["code"]}
    assert outcome["code"] in ("FETCH", "PAUSED")
    assert agent.outcome(token(pki))["code"] == "OK"


def test_a_cps_that_is_down(pa, pki, served, free_port):
    agent = served(bad_url=f"https://127.0.0.1:{free_port()}/cps/company/5678")
    outcome = agent.outcome(token(pki, "bad"))
    assert (outcome["code"], outcome["deliveries"][0]["httpStatus"]) == ("FETCH", 0)
    for _ in range(10):
        assert agent.deliver(token(pki, "bad")).status == 202
    wait_until(lambda: agent.outcome(token(pki, "bad"))["code"] == "PAUSED", 20, what="the CPS left in peace")
    [cps] = [cps for cps in agent.status()["cps"] if cps["pausedMs"] > 0]
    assert cps["failures"] >= 5 and cps["underWay"] == 0
    assert agent.outcome(token(pki))["code"] == "OK"


def test_a_full_queue_is_told_and_empties(pa, bad, pki, served):
    agent = served(delivery={"queue": 5, "deadline_ms": 4000})
    bad.routes["/cps/company/5678"] = BAD["never answers"]
    replies = [agent.deliver(token(pki, "bad")) for _ in range(8)]
    assert [one.status for one in replies] == [202] * 5 + [503] * 3
    assert replies[-1].code == "BUSY" and int(replies[-1].headers["Retry-After"]) >= 1
    assert agent.deliver(token(pki), "?wait=1").code == "BUSY"
    wait_until(lambda: agent.deliver(token(pki)).status == 202, 30, what="room in the queue")


def test_a_cps_that_demands_a_request_token(bad, pki, served):
    cps = Demanding(SimpleNamespace(server=bad), pki.private_key("sp1"))
    sti = {"key": str(pki.key("sp1")), "spc": "1234", "x5u": "https://certs.example.com/sti.pem"}
    agent = served(bad_url=bad.url + "/cps/company/1234", sti=sti)
    assert agent.outcome(token(pki, "bad"))["code"] == "OK"
    assert len(cps.tokens) == 1 and not cps.faults
    agent.reconfigure(sti=None)
    agent.daemon.signal(signal.SIGHUP)
    wait_until(lambda: "were read again" in agent.log_text(), 20)
    outcome = agent.outcome(token(pki, "bad"))
    assert (outcome["code"], outcome["deliveries"][0]["httpStatus"]) == ("REJECTED", 401)


def test_an_end_waits_for_deliveries_under_way(pa, bad, pki, served):
    """SIGTERM: what was queued is delivered, and who waits gets an answer."""
    agent = served(log={"deliveries": True}, delivery={"deadline_ms": 10000})
    bad.routes["/cps/company/5678"] = answer_late(1.5)
    queued = agent.deliver(token(pki, "bad")).json["id"]
    waited = []
    waiter = threading.Thread(target=lambda: waited.append(agent.outcome(token(pki, "bad"))["code"]))
    waiter.start()
    wait_until(lambda: len(bad.posted) == 2, 10, what="both at the CPS")
    agent.daemon.signal(signal.SIGTERM)
    waiter.join(30)
    assert waited == ["OK"]
    agent.daemon._process.wait(30)
    assert f'"id":"{queued}","code":"OK"' in agent.log_text()


def test_a_reload_waits_for_deliveries_under_way(pa, bad, pki, served):
    agent = served(log={"deliveries": True}, delivery={"deadline_ms": 10000})
    bad.routes["/cps/company/5678"] = answer_late(1.5)
    queued = agent.deliver(token(pki, "bad")).json["id"]
    wait_until(lambda: bad.posted, 10)
    agent.daemon.signal(signal.SIGHUP)
    assert agent.outcome(token(pki))["code"] == "OK", "others go on meanwhile"
    wait_until(lambda: "were read again" in agent.log_text(), 20)
    assert f'"id":"{queued}","code":"OK"' in agent.log_text()


def test_an_expired_list_answers_nobody(pa, pki, served):
    agent = served(lifetime=6)
    pa.server.routes["/list"] = reply(status="404 Not Found")
    assert agent.api.get("/ready").status == 200
    wait_until(lambda: agent.api.get("/ready").status == 503, 20, what="the end of the list")
    assert agent.api.get("/ready").json["reasons"] == ["the held list has expired"]
    assert agent.outcome(token(pki))["code"] == "LIST_EXPIRED"
    assert agent.resolve(DEST["good"])["freshness"] == "expired" == agent.status()["list"]["freshness"]
    agent.reconfigure(list={"grace": 3600})
    agent.daemon.signal(signal.SIGHUP)
    wait_until(lambda: agent.resolve(DEST["good"])["freshness"] == "stale", 20, what="the grace period")
    assert agent.outcome(token(pki))["code"] == "OK" and agent.api.get("/ready").status == 200
    pa.serve(pa.list(8, pa.mapping))
    agent.wait_for_list(8, timeout=60)
    assert agent.resolve(DEST["good"])["freshness"] == "fresh"


@pytest.mark.parametrize("code", ["ROLLBACK", "EQUIVOCATION", "SIGNATURE"])
def test_a_wrong_list_changes_nothing_and_is_told(pa, pki, served, code):
    agent = served()
    other = {"1234": "https://127.0.0.1:1/elsewhere"}
    wrong = pa.list(6 if code == "ROLLBACK" else 7, other)
    pa.serve(wrong if code != "SIGNATURE" else pa.list(8, other, key=pki.private_key("sp1")))
    wait_until(lambda: (agent.status()["refresh"] or {}).get("code") == code, 30, what=code)
    assert agent.resolve(DEST["good"])["url"] == pa.mapping["1234"]
    page = agent.api.get("/metrics").body.decode()
    assert f'sticps_agent_events_total{{event="list",code="{code}"}}' in page


def test_a_mirror_takes_over(pa, pki, served):
    agent = served(list={"urls": ["https://127.0.0.1:1/list", pa.url], "files": ["/nonexistent/list"]})
    assert agent.resolve(DEST["good"])["url"] == pa.mapping["1234"]
    shown = agent.status()
    assert shown["sources"] == ["https://127.0.0.1:1/list", pa.url, "/nonexistent/list"]
    assert shown["list"]["source"] == pa.url


def test_threads_do_not_pile_up(pa, pki, served):
    """Every reload makes a client; the ones before it are gone, with threads and descriptors."""
    agent = served()

    def resources():
        return len(list(Path(f"/proc/{agent.pid}/task").iterdir())), len(list(Path(f"/proc/{agent.pid}/fd").iterdir()))

    before = resources()
    for count in range(1, 6):
        agent.daemon.signal(signal.SIGHUP)
        wait_until(lambda: agent.log_text().count("were read again") == count, 20)
    wait_until(lambda: resources()[0] == before[0] and resources()[1] <= before[1] + 2, 20, what=f"{before}")


def test_a_local_flood_of_half_requests_leaves_deliveries_alone(pa, pki, served):
    agent = served(limits={"connections": 400})
    made = []
    for _ in range(350):
        made.append(socket.socket(socket.AF_UNIX))
        made[-1].connect(str(agent.socket_path))
        made[-1].sendall(b"POST /v1/deliver HTTP/1.1\r\nHost: x\r\nContent-Type: application/passport\r\n"
                         b"Content-Length: 16000\r\n\r\n" + b"a" * 8000)
    assert agent.outcome(token(pki))["code"] == "OK"
    for client in made:
        client.close()
