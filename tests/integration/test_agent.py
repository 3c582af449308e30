"""sticps-agent against the real registry and the real CPS: what an STI-AS that is not written in C asks of it."""

import concurrent.futures
import contextlib
import grp
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest
from lib import contract
from lib.exposition import Page
from lib.net import wait_until
from lib.passport import make_passport
from lib.pki import ROOT
from lib.process import run

DEST, ORIG = "12025550123", "12015550100"


@pytest.fixture(scope="module")
def path(registry, cps, cert_server, cli, agent, pki, tmp_path_factory):
    """Registry, CPS of SPC 1234 and agent, the list fetched by the agent itself."""

    class Path:
        pass

    p = Path()
    p.dir = tmp_path_factory.mktemp("path")
    p.registry, p.cert_server = registry(), cert_server
    p.cps = cps(limits={"per_address": 2000}, x5u={"deadline_ms": 10000})
    p.sp = p.registry.add_sp("alpha", "1234")
    reply = p.sp.put("/api/v1/account/alpha/cps/1234", {"url": p.cps.company_url("1234")})
    assert reply.status == 201, reply.body
    p.npdb = numbers(cli, p.dir)
    p.settings = {"list": {"urls": [f"{p.registry.base_url}/download/v1/cps-list"]}, "npdb": [str(p.npdb)]}
    p.agent = agent(**p.settings).wait_for_list(2)
    return p


def numbers(cli, folder, blocks="1202555,5678\n1303555,1234\n", ports="12025550123,13035550000\n"):
    (folder / "blocks.csv").write_text(blocks)
    (folder / "ports.csv").write_text(ports)
    done = cli("npdb", "build", "--blocks", folder / "blocks.csv", "--ports", folder / "ports.csv", "-o",
               folder / "numbers.npdb")
    assert done.returncode == 0, done.stderr
    return folder / "numbers.npdb"


@pytest.fixture
def passport(path, pki):
    """A function that makes a PASSporT of a call, by default from ORIG to DEST."""
    key, x5u = pki.private_key("sp2"), path.cert_server.url + "/sp2.crt"
    return lambda orig=ORIG, dest=(DEST,), **kw: make_passport(key, x5u, orig, list(dest), **kw)


@pytest.fixture
def one(path, agent):
    """An agent of the test's own, with the list; changes go to the configuration."""
    made = []

    def make(**changes):
        made.append(agent(**{**path.settings, **changes}).wait_for_list(2))
        return made[-1]

    yield make
    for each in made:
        each.close()


def messages(service, text):
    lines = [json.loads(line) for line in service.log_text().splitlines() if line.startswith("{")]
    return [line for line in lines if text in line["msg"]]


# ---- delivery ----


def test_a_passport_is_queued_at_once_and_arrives(path, passport):
    token = passport("12015550101")
    reply = path.agent.deliver(token)
    assert reply.status == 202, reply.body
    assert reply.json == {"status": "queued", "id": reply.headers["X-Request-Id"]}
    held = wait_until(lambda: r if (r := path.cps.retrieve(DEST, "12015550101")).status == 200 else None, 30)
    assert held.json["passports"] == [token]


@pytest.mark.parametrize(
    "query, headers",
    [("?wait=1", {}), ("", {"Prefer": "wait"}), ("", {"Prefer": "respond-async;x=1, WAIT=5"}), ("?wait=0", {"Prefer": "wait"})],
)
def test_who_waits_hears_of_each_cps(path, passport, query, headers):
    token = passport("12015550102")
    reply = path.agent.deliver(token, query, headers)
    assert reply.status == 200, reply.body
    assert (reply.json["status"], reply.json["code"]) == ("delivered", "OK")
    assert reply.json["id"] == reply.headers["X-Request-Id"]
    [one] = reply.json["deliveries"]
    assert (one["url"], one["code"], one["httpStatus"], one["tries"]) == (path.cps.company_url("1234"), "OK", 201, 1)
    assert path.cps.retrieve(DEST, "12015550102").json["passports"] == [token]


@pytest.mark.parametrize("headers", [{}, {"Prefer": "respond-async"}, {"Prefer": "waiting, handling=wait"}])
def test_nobody_waits_who_did_not_ask(path, passport, headers):
    assert path.agent.deliver(passport("12015550103"), headers=headers).status == 202


def test_white_space_behind_a_token_is_nobodys_fault(path, passport):
    assert path.agent.deliver(passport("12015550104") + "\r\n").status == 202


@pytest.mark.parametrize(
    "dest, code",
    [(["12025550124"], "CARRIER_HAS_NO_CPS"), (["442079460000"], "NO_CARRIER")],
)
def test_a_call_without_a_cps(path, passport, dest, code):
    assert path.agent.deliver(passport(dest=dest)).status == 202
    outcome = path.agent.outcome(passport(dest=dest))
    assert (outcome["status"], outcome["code"], outcome["deliveries"]) == ("failed", code, [])
    assert outcome["detail"]


def test_what_the_cps_says_of_a_forged_one(path, pki):
    forged = make_passport(pki.private_key("sp1"), path.cert_server.url + "/sp2.crt", ORIG, [DEST])
    outcome = path.agent.outcome(forged)
    assert (outcome["status"], outcome["code"]) == ("failed", "REJECTED")
    [one] = outcome["deliveries"]
    assert (one["httpStatus"], one["problem"]) == (438, "INVALID_IDENTITY_HEADER") and one["detail"]


@pytest.mark.parametrize(
    "change, status, code",
    [
        (lambda t, make: "", 400, "MALFORMED"),
        (lambda t, make: "a.b", 400, "MALFORMED"),
        (lambda t, make: t + ";info=<https://x.example.com>", 400, "MALFORMED"),
        (lambda t, make: t + "\n" + t, 400, "MALFORMED"),
        (lambda t, make: make(header={"alg": "HS256"}), 437, "UNSUPPORTED_CREDENTIAL"),
        (lambda t, make: make(header={"ppt": "div"}), 438, "INVALID_IDENTITY_HEADER"),
        (lambda t, make: make(claims={"dest": None}), 438, "INVALID_IDENTITY_HEADER"),
        (lambda t, make: make(header={"x5u": "http://x.example.com/a.crt"}), 436, "BAD_IDENTITY_INFO"),
    ],
)
@pytest.mark.parametrize("query", ["", "?wait=1"])
def test_what_no_cps_would_take_is_told_at_once(path, passport, change, status, code, query):
    reply = path.agent.deliver(change(passport(), passport), query)
    assert (reply.status, reply.code) == (status, code)
    assert reply.json["detail"]


def test_bodies_and_queries_that_do_not_belong(path, passport):
    post = path.agent.api.post
    assert post("/v1/deliver", body=passport(), headers={"Content-Type": "text/plain"}).status == 415
    assert post("/v1/deliver", body=passport(), headers={"Content-Type": None}).status == 415
    assert path.agent.deliver("a" * (16 * 1024 + 1)).code == "TOO_LARGE"
    assert path.agent.deliver(passport(), "?wait=yes").code == "INVALID"
    assert path.agent.deliver(passport(), "?deadline=5").code == "INVALID"
    assert path.agent.api.get("/v1/resolve/1?x=1").code == "INVALID"
    assert path.agent.api.get("/v1/deliver").code == "METHOD_NOT_ALLOWED"
    assert path.agent.api.get("/v1/nothing").code == "NOT_FOUND"


def in_parallel(agent, make, origs, query=""):
    """Delivers a PASSporT of each caller from one of 20 clients, on both sockets; returns the answers. A token is made
    just before it is sent: it is fresh for a minute, which a sanitizer's thousand may exceed."""
    def worker(number):
        api = (agent.local if number % 2 else agent.api).session()
        replies = [agent.deliver(make(orig), query, api=api) for orig in origs[number::20]]
        api.close()
        return replies

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        return sum(pool.map(worker, range(20)), [])


def test_a_thousand_deliveries_side_by_side(path, passport, one):
    agent = one(threads=2, delivery={"deadline_ms": 10000})
    origs = [f"1201556{number:04}" for number in range(1000)]
    assert {reply.status for reply in in_parallel(agent, passport, origs)} == {202}
    wait_until(lambda: agent.status()["deliveries"]["underWay"] == 0, 60)
    assert sum(agent.outcomes().values()) == 1000, "each ended, whatever so many at once did to the CPS"
    agent.restart().wait_for_list(2)
    before = accepted(path.cps)
    replies = in_parallel(agent, passport, origs, "?wait=1")
    assert {(reply.status, reply.json["code"]) for reply in replies} == {(200, "OK")}
    assert len({reply.json["id"] for reply in replies}) == 1000
    assert agent.outcomes() == {"OK": 1000}
    assert accepted(path.cps) - before == 1000


def accepted(cps):
    page = Page(cps.private.get("/metrics").body.decode())
    return page.families["sticps_cps_verdicts_total"]["samples"][
        ("sticps_cps_verdicts_total", frozenset({("code", "ACCEPTED")}))]


def test_deliveries_are_logged_where_the_configuration_wants_it(one, passport):
    agent = one(log={"deliveries": True, "access": True})
    token = passport()
    delivered, none = agent.deliver(token).json["id"], agent.deliver(passport(dest=["442079460000"])).json["id"]
    told = wait_until(lambda: t if len(t := [m for m in messages(agent, "delivery") if "id" in m]) == 2 else None, 10)
    lines = {line["id"]: line for line in told}
    assert (lines[delivered]["code"], lines[delivered]["status"]) == ("OK", 201)
    assert lines[none]["code"] == "NO_CARRIER"
    assert [line["request"] for line in messages(agent, "request") if line["path"] == "/v1/deliver"] == [delivered, none]
    for secret in (token, DEST, ORIG, "442079460000"):
        assert secret not in agent.log_text()


# ---- resolving ----


def test_resolve_is_what_the_command_says(path, cli):
    for number in ("+1 (202) 555-0123", "13035550199", "12025550124", "442079460000", "abc", "é"):
        _, told = cli.json("resolve", number, "--state", path.agent.state, "--npdb", path.npdb)
        assert path.agent.resolve(number) == told
    assert path.agent.resolve(DEST)["url"] == path.cps.company_url("1234")


def test_a_change_of_the_list_arrives_by_itself(path, registry, one):
    agent = one()
    sequence = agent.status()["list"]["sequence"]
    reply = path.sp.put("/api/v1/account/alpha/cps/1234", {"url": path.cps.company_url("1234") + "/x"})
    assert reply.status == 200, reply.body
    wait_until(lambda: agent.resolve(DEST)["url"].endswith("/1234/x"), 30, what="the new URL")
    path.sp.put("/api/v1/account/alpha/cps/1234", {"url": path.cps.company_url("1234")})
    agent.wait_for_list(sequence + 2)
    assert agent.resolve(DEST)["url"] == path.cps.company_url("1234")


def test_portability_files_that_change_are_opened_anew(path, one, cli, tmp_path):
    file = tmp_path / "mine.npdb"
    shutil.copy(path.npdb, file)
    (tmp_path / "other").mkdir()
    agent = one(npdb=[str(file), str(path.npdb)])
    assert agent.resolve("12025550124")["carrier"] == "5678"
    assert agent.resolve("13125550100")["code"] == "NO_CARRIER"
    (tmp_path / "other" / "broken").write_bytes(b"no portability file")
    os.replace(tmp_path / "other" / "broken", file)
    wait_until(lambda: messages(agent, "cannot be used"), 10)
    assert agent.resolve("12025550124")["carrier"] == "5678"
    os.replace(numbers(cli, tmp_path / "other", blocks="1312555,1234\n1202555,9999\n"), file)
    wait_until(lambda: agent.resolve("13125550100")["code"] == "OK", 10)
    assert agent.resolve("12025550124")["carrier"] == "9999", "the first file that knows a number decides"
    assert agent.resolve("13035550199")["carrier"] == "1234", "the second file is asked as well"


# ---- how it is ----


def test_status(path):
    shown = path.agent.status()
    held = shown["list"]
    assert held["entries"] == 1 and held["freshness"] == "fresh" and held["source"] == path.settings["list"]["urls"][0]
    assert shown["sources"] == path.settings["list"]["urls"] and shown["npdb"] == [str(path.npdb)]
    wait_until(lambda: path.agent.status()["refresh"], 10)
    assert path.agent.status()["refresh"]["code"] == "OK"
    assert shown["deliveries"] == {"underWay": 0, "limit": 4096}


def test_ready_and_why_not(path, agent):
    assert path.agent.api.get("/ready").status == 200
    bare = agent(npdb=None, list={"urls": []})
    reply = bare.api.get("/ready")
    assert (reply.status, reply.json["reasons"]) == (503, ["no list is held", "no portability file is configured"])
    assert bare.api.get("/health").status == 200
    assert bare.status()["list"] is None and bare.status()["refresh"] is None
    assert bare.resolve(DEST)["freshness"] == "none"


def test_metrics(path):
    path.agent.resolve(DEST)
    page = Page(path.agent.api.get("/metrics").body.decode())
    assert page.families["sticps_agent_list_entries"]["samples"][("sticps_agent_list_entries", frozenset())] == 1
    for name in ("list_sequence", "list_left_seconds", "list_age_seconds", "deliveries_under_way", "events_total"):
        assert f"sticps_agent_{name}" in page.families
    durations = page.families["sticps_agent_delivery_duration_seconds"]["samples"]
    count = durations[("sticps_agent_delivery_duration_seconds_count", frozenset())]
    within = [value for (name, labels), value in durations.items() if name.endswith("_bucket")]
    assert within == sorted(within) and within[-1] == count
    requests = page.families["sticps_agent_requests_total"]["samples"]
    assert {dict(labels)["connection"] for _, labels in requests} == {"new", "resumed", "kept"}
    assert {"sticps_agent_cps_paused", "sticps_agent_deliveries_waiting"} <= page.families.keys()
    requests = page.families["sticps_http_requests_total"]["samples"]
    assert any(("route", "/v1/resolve/{tn}") in labels for _, labels in requests)


def test_the_document_was_judged_by_all_of_it(path, passport):
    """Runs behind the others: what the document has and no answer showed is asked for elsewhere, by name."""
    path.agent.api.get("/health"), path.agent.api.get("/ready"), path.agent.status(), path.agent.deliver(passport())
    elsewhere = {("get", "/ready", 503), ("get", "/v1/resolve/{tn}", 503), ("post", "/v1/deliver", 503)}
    bare = {(m, p, s) for m, p, s in contract.AGENT.documented() if s == 400 and p != "/v1/deliver"}
    asked = contract.AGENT.seen | elsewhere | bare
    if {("get", "/metrics", 200), ("post", "/v1/deliver", 437)} <= contract.AGENT.seen:
        assert contract.AGENT.documented() <= asked


# ---- the socket ----


def test_the_socket_of_the_file_system(path, passport, one):
    agent = one(socket={"mode": "0600"}, log={"access": True})
    assert agent.deliver(passport("12015550105"), "?wait=1", api=agent.local).json["code"] == "OK"
    assert agent.local.get("/v1/resolve/" + DEST).json["url"] == path.cps.company_url("1234")
    assert stat.S_IMODE(agent.socket_path.stat().st_mode) == 0o600
    assert {line["client"] for line in messages(agent, "request")} == {"127.0.0.1", f"uid:{os.geteuid()}"}
    agent.stop()
    assert not agent.socket_path.exists()
    assert list(agent.socket_path.parent.glob("agent.sock*")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_who_may_use_the_socket(one, tmp_path_factory):
    agent = one(socket={"mode": "0660", "group": "daemon"})
    assert agent.socket_path.stat().st_gid == grp.getgrnam("daemon").gr_gid
    for parent in list(agent.socket_path.parents)[:4]:
        parent.chmod(0o755)
    program = "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"

    def connect(*groups):
        return subprocess.run(["setpriv", "--reuid", "nobody", "--regid", "nogroup", *groups, "/usr/bin/python3", "-c", program,
                               str(agent.socket_path)], capture_output=True, text=True, check=False)

    assert connect("--groups", "daemon").returncode == 0
    refused = connect("--clear-groups")
    assert refused.returncode != 0 and "PermissionError" in refused.stderr


def test_a_socket_that_a_dead_agent_left_is_replaced(one):
    agent = one()
    agent.kill()
    assert agent.socket_path.exists()
    agent.start()
    assert agent.local.get("/health").status == 200


def test_a_socket_that_is_in_use_is_left_alone(path, one, agent):
    first = one()
    second = agent(start=False, listen=[f"unix:{first.socket_path}"], **path.settings)
    done = run([second.program, "-c", second.config_path])
    assert done.returncode == 2 and "another process listens there" in done.stderr, done.stderr
    assert first.local.get("/health").status == 200


def test_what_is_no_socket_is_left_alone(path, agent, tmp_path):
    file = tmp_path / "agent.sock"
    file.write_text("dear")
    one = agent(start=False, listen=[f"unix:{file}"], **path.settings)
    done = run([one.program, "-c", one.config_path])
    assert done.returncode == 2 and "no socket" in done.stderr, done.stderr
    assert file.read_text() == "dear"


def test_an_agent_takes_over_while_the_one_before_drains(path, one, agent):
    """The name is the newcomer's from its first moment; the other's end does not take it away."""
    first = one()
    second = agent(start=False, listen=[f"unix:{first.socket_path}"], **path.settings)
    second._alive = None
    waiting = socket.socket(socket.AF_UNIX)
    waiting.connect(str(first.socket_path))
    waiting.sendall(b"POST /v1/deliver HTTP/1.1\r\nHost: x\r\n")  # holds the first one's drain up
    first.daemon.signal(signal.SIGTERM)
    wait_until(lambda: messages(first, "stopping"), 10)

    def takes_over():
        second.daemon.start(wait=False)
        wait_until(lambda: messages(second, "listening") or not second.daemon.running, 20)
        return second.daemon.running

    wait_until(takes_over, 20)
    waiting.close()
    first.stop()
    assert first.local.get("/health").status == 200  # the same path, the other process
    second.daemon._process.send_signal(signal.SIGTERM)
    assert second.daemon._process.wait(30) == 0


# ---- local clients that misbehave ----


def half_open(agent, count):
    made = []
    for number in range(count):
        if number % 2:
            made.append(socket.create_connection(("127.0.0.1", agent.port)))
        else:
            made.append(socket.socket(socket.AF_UNIX))
            made[-1].connect(str(agent.socket_path))
        made[-1].sendall(b"POST /v1/deliver HTTP/1.1\r\nHost: x\r\nContent-Type: application/passport\r\nContent-")
    return made


def test_half_open_clients_hold_nobody_up_and_are_cut(one, passport):
    agent = one()
    made = half_open(agent, 60)
    assert agent.outcome(passport("12015550106"))["code"] == "OK"
    for client in made:
        client.settimeout(40)
        try:
            while client.recv(4096):
                pass
        except ConnectionResetError:
            pass
        client.close()


def test_connections_have_a_limit(one):
    agent = one(limits={"connections": 10})
    made = half_open(agent, 9)

    def refused():
        try:
            agent.local.get("/health")
        except OSError:
            return True
        return False

    def full():  # a connection of before may have had a place until now
        with contextlib.suppress(OSError):
            made.extend(half_open(agent, 1))
        return refused()

    wait_until(full, 20, what="a refused connection")
    for client in made:
        client.close()
    wait_until(lambda: not refused(), 20, what="room again")


def test_a_client_that_leaves_while_it_waits_loses_nothing(path, one, passport):
    agent = one()
    token = passport("12015550107")
    body = f"POST /v1/deliver?wait=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/passport\r\nContent-Length: {len(token)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", agent.port)) as client:
        client.sendall(body.encode() + token.encode())
    wait_until(lambda: path.cps.retrieve(DEST, "12015550107").status == 200, 10)
    assert agent.api.get("/health").status == 200


# ---- reload, restart, end ----


def reload(agent):
    """Sends SIGHUP; returns the message of that reload."""
    before = len(messages(agent, "reload"))
    agent.daemon.signal(signal.SIGHUP)
    wait_until(lambda: len(messages(agent, "reload")) > before, 20, what="reload")
    return messages(agent, "reload")[-1]


def test_a_reload_takes_up_settings_and_files(path, one, passport, tmp_path):
    agent = one()
    assert agent.resolve("12025550124")["code"] == "CARRIER_HAS_NO_CPS"
    for _ in range(3):
        agent.outcome(passport())
    table = tmp_path / "override.csv"
    table.write_text("5678,1234\n")
    agent.reconfigure(override=str(table), delivery={"queue": 7}, log={"access": True})
    assert reload(agent)["level"] == "info"
    assert agent.resolve("12025550124")["url"] == path.cps.company_url("1234")
    assert agent.status()["deliveries"]["limit"] == 7
    assert messages(agent, "request"), "the access log is on"
    assert agent.outcomes() == {"OK": 3}, "counters go on where they were"
    agent.outcome(passport())
    assert agent.outcomes() == {"OK": 4}
    table.write_text("")  # and back, by the file alone
    reload(agent)
    assert agent.resolve("12025550124")["code"] == "CARRIER_HAS_NO_CPS"


@pytest.mark.parametrize(
    "change, named",
    [
        ({"listen": ["127.0.0.1:1"]}, "listen needs a restart"),
        ({"socket": {"mode": "0600"}}, "socket needs a restart"),
        ({"threads": 3}, "threads needs a restart"),
        ({"npdb": ["/nonexistent"]}, "/nonexistent"),
        ({"list": {"anchors": ["/nonexistent"]}}, "/nonexistent"),
        ({"colour": 1}, "unknown key: colour"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_reload_that_cannot_be_used_changes_nothing(path, one, change, named):
    agent = one()
    agent.reconfigure(delivery={"queue": 7}, **change)
    said = reload(agent)
    assert said["level"] == "error" and named in said["msg"] and "stays as it was" in said["msg"], said
    assert agent.status()["deliveries"]["limit"] == 4096
    assert agent.resolve(DEST)["code"] == "OK"


def test_reloads_under_load(path, one, passport):
    """Deliveries that a reload meets end in the client that began them; none is lost, and no request fails."""
    agent = one(threads=2, delivery={"deadline_ms": 10000})
    before, codes, stop = accepted(path.cps), [], []

    def worker(number):
        api = agent.local.session()
        while not stop:
            token = passport(f"1201558{number}{len(codes) % 1000:03}")
            codes.append(agent.deliver(token, "?wait=1", api=api).json["code"])
            assert api.get("/v1/resolve/" + DEST).json["code"] == "OK"
        api.close()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(worker, number) for number in range(4)]
        reloads = [reload(agent)["level"] for _ in range(5)]
        stop.append(True)
        for each in workers:
            each.result()
    assert reloads == ["info"] * 5
    assert set(codes) == {"OK"}
    assert agent.outcomes() == {"OK": len(codes)}
    assert accepted(path.cps) - before == len(codes)


def test_killed_and_restarted_it_answers_from_the_held_list(path, one, passport):
    agent = one()
    sequence = agent.status()["list"]["sequence"]
    agent.kill()
    agent.reconfigure(list={"urls": ["https://127.0.0.1:1/download/v1/cps-list"]})  # the STI-PA is away
    agent.start()
    assert agent.api.get("/ready").status == 200 and agent.status()["list"]["sequence"] == sequence
    assert agent.outcome(passport("12015550108"))["code"] == "OK"
    wait_until(lambda: agent.status()["refresh"], 20)
    assert agent.status()["refresh"]["code"] == "FETCH"


def test_another_process_may_fetch_the_list(path, agent, cli, pki):
    other = agent(npdb=[str(path.npdb)])  # no source of its own
    assert other.resolve(DEST)["code"] == "NO_LIST"
    done = cli("list", "fetch", "--url", path.settings["list"]["urls"][0], "--anchor", pki.list_anchor, "--state",
               other.state, "--tls-ca", pki.tls_ca, "--lab")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: other.resolve(DEST)["code"] == "OK", 10)


# ---- configuration ----


@pytest.mark.parametrize(
    "address", ["0.0.0.0:8085", "[::]:8085", ":8085", "192.0.2.1:8085", "localhost:8085", "[::ffff:192.0.2.1]:80", "127.0.0.1"]
)
def test_only_this_machine_is_listened_to(path, agent, address):
    one = agent(start=False, listen=[address], **path.settings)
    done = one.check()
    assert done.returncode == 1 and address in done.stderr and "loopback" in done.stderr
    one.reconfigure(allow_remote=True)
    assert one.check().returncode == 0


@pytest.mark.parametrize("address", ["127.0.0.1:8085", "127.1.2.3:0", "[::1]:8085", "unix:/run/x.sock"])
def test_addresses_of_this_machine(path, agent, address):
    assert agent(start=False, listen=[address], **path.settings).check().returncode == 0


@pytest.mark.parametrize(
    "change, named",
    [
        ({"listen": None}, "listen is missing"),
        ({"listen": ["unix:"]}, "unix:: a socket's path must be absolute"),
        ({"listen": ["unix:run/agent.sock"]}, "unix:run/agent.sock: a socket's path must be absolute"),
        ({"list": {"state": None}}, "list.state is missing"),
        ({"list": {"anchors": None}}, "list.anchors is missing"),
        ({"list": {"crl": {"file": "x"}}}, "list.crl"),
        ({"list": {"urls": ["http://sti-pa.example.com/"]}}, "https"),
        ({"socket": {"mode": "rw-"}}, "socket.mode"),
        ({"socket": {"group": "no-such-group"}}, "no-such-group"),
        ({"delivery": {"deadline_ms": 10001}}, "delivery.deadline_ms must be from 10 to 10000"),
        ({"default_country": 2}, "default_country"),
        ({"npdb": ["nowhere.npdb"]}, "nowhere.npdb"),
        ({"override": "nowhere.csv"}, "nowhere.csv"),
        ({"sti": {"key": "x"}}, "sti: key, spc and x5u"),
        ({"sti": {"key": "nowhere.key", "spc": "1234", "x5u": "https://x.example.com/a"}}, "nowhere.key"),
        ({"colour": 1}, "unknown key: colour"),
        ({"lab": "perhaps"}, "lab"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_in_the_configuration_are_named(path, agent, change, named):
    one = agent(start=False, **path.settings)
    one.reconfigure(**change)
    done = one.check()
    assert done.returncode == 1 and named in done.stderr, done.stderr
    started = run([one.program, "-c", one.config_path])
    assert started.returncode == 1 and named in started.stderr


def test_the_configuration_that_is_shipped(path, agent, pki):
    """As it is, but for the names of its files; and with every default written out."""
    one = agent(start=False, **path.settings)
    shipped = (ROOT / "packaging/etc/agent.yaml").read_text()
    text = shipped.replace("/var/lib/sticps/numbers.npdb", str(path.npdb))
    (one.dir / "sti-pa-root.pem").write_bytes(pki.list_anchor.read_bytes())
    one.config_path.write_text(text)
    assert one.check().returncode == 0, one.check().stderr
    for key in ("files", "crl", "override", "group", "sti", "key", "spc", "x5u"):  # these name what is not there
        text = re.sub(rf"^( *# +{key}: .*)$", "", text, flags=re.M)
    text = re.sub(r"^( *)# ( *[a-z_0-9]+:(?: .*)?)$", r"\1\2", text, flags=re.M)
    for line in ("  period: 300", "delivery:", "  deadline_ms: 400", "default_country: 1"):
        assert re.search(f"^{line}( |$)", text, re.M), text
    one.config_path.write_text(text)
    assert one.check().returncode == 0, one.check().stderr


def test_settings_on_the_command_line(path, agent, pki, cli, tmp_path):
    """In place of a file, and over one; a reload keeps them."""
    bare = agent(start=False, **path.settings)
    flags = ["--listen", f"unix:{bare.socket_path}", "--listen", f"127.0.0.1:{bare.port}", "--url",
             path.settings["list"]["urls"][0], "--anchor", pki.list_anchor, "--state", bare.state, "--npdb", path.npdb,
             "--tls-ca", pki.tls_ca, "--period", "1", "--deadline", "2000", "--lab"]
    done = run([bare.program, "-t", *flags])
    assert (done.returncode, done.stdout) == (0, "sticps-agent: the command line is well formed\n"), done.stderr
    bare.daemon.argv = [str(part) for part in [bare.program, *flags]]
    bare.start().wait_for_list(2)
    assert bare.resolve("12025550124")["code"] == "CARRIER_HAS_NO_CPS"
    assert reload(bare)["level"] == "info"
    assert bare.resolve(DEST)["code"] == "OK"
    bare.stop()

    table = tmp_path / "override.csv"
    table.write_text("5678,1234\n")
    over = agent(start=False, **path.settings)
    over.daemon.argv += ["--override", str(table), "--allow-port", "8443"]
    over.start().wait_for_list(2)
    assert over.resolve("12025550124")["code"] == "OK"
    for wrong, named in ((["--period", "0"], "--period: '0'"), (["--allow-port", "65536"], "--allow-port: '65536'"),
                         (["--period", "x"], "'x' is no number"), (["--deadline", "10001"], "delivery.deadline_ms"),
                         (["--colour"], "Usage:"), (["more"], "Usage:"), (["--crl", "x"], "list.crl")):
        done = run([over.program, "-t", "-c", over.config_path, *wrong])
        assert done.returncode == 1 and named in done.stderr, (wrong, done.stderr)
    done = run([over.program, "-t", "--lab"])
    assert done.returncode == 1 and "command line: listen is missing" in done.stderr, done.stderr


def test_the_command_starts_the_agent(path, agent, cli):
    one = agent(start=False, **path.settings)
    done = cli("agent", "-t", "-c", one.config_path)
    assert (done.returncode, done.stdout) == (0, f"sticps-agent: {one.config_path} is well formed\n"), done.stderr
    assert cli("agent", "--version").stdout.startswith("sticps-agent ")
    assert not one.state.exists(), "a check leaves nothing behind"
