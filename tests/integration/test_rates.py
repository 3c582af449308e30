"""Rate limits: requests by address, writes by SP; 429 with Retry-After, and what is never limited."""

import signal
import time

from lib.exposition import page_of
from lib.net import wait_until
from lib.passport import make_passport

URL = {"url": "https://cps.example.com/a"}


def check_429(reply):
    assert (reply.status, reply.code) == (429, "TOO_MANY_REQUESTS")
    assert 1 <= int(reply.headers["Retry-After"]) <= 60
    return int(reply.headers["Retry-After"])


def statuses(api, method, path, times, **kw):
    session = api.session()
    replies = [session.request(method, path, **kw) for _ in range(times)]
    session.close()
    return replies


def limited(one, name):
    return page_of(one.anonymous.get("/metrics")).value(name)


# ---- by address ----


def test_off_by_default(registry):
    one = registry()
    assert {r.status for r in statuses(one.anonymous, "GET", "/api/v1/audit", 400)} == {401}
    assert limited(one, "sticps_requests_limited_total") == 0


def test_requests_of_an_address(registry):
    one = registry(limits={"requests_per_second": 1, "requests_burst": 20})
    time.sleep(2)  # what signing in has cost comes back
    replies = statuses(one.anonymous, "GET", "/api/v1/audit", 40)
    refused = [r for r in replies if r.status == 429]
    assert 15 <= len(refused) <= 23
    assert {r.status for r in replies} == {401, 429}
    assert {check_429(r) for r in refused} == {1}
    # over other connections, on other threads, to other paths, to none: it is one address
    for path in ("/api/v1/audit", "/nothing", "/download/v1/cps-list/1", "/download/v1/certificate/certificateId_1.crt"):
        seen = [one.anonymous.get(path).status for _ in range(3)]
        assert seen.count(429) >= 2, (path, seen)
    assert limited(one, "sticps_requests_limited_total") >= len(refused) + 8
    wait_until(lambda: one.anonymous.get("/api/v1/audit").status == 401, 5)


def test_the_list_and_the_probes_are_never_limited(registry):
    one = registry(limits={"requests_per_second": 1, "requests_burst": 3})
    statuses(one.anonymous, "GET", "/nothing", 10)
    for path in ("/download/v1/cps-list", "/api/v1/cps-list", "/health", "/ready", "/metrics"):
        assert {r.status for r in statuses(one.anonymous, "GET", path, 30)} == {200}, path
    for path in ("/download/v1/ca-list", "/api/v1/ca-list"):  # there is none here
        assert {r.status for r in statuses(one.anonymous, "GET", path, 30)} == {404}, path
    check_429(statuses(one.anonymous, "GET", "/nothing", 5)[-1])


def test_a_reload_sets_and_lifts_it(registry):
    one = registry()
    one.reconfigure(limits={"requests_per_second": 1, "requests_burst": 2})
    one.daemon.signal(signal.SIGHUP)
    wait_until(lambda: one.anonymous.get("/nothing").status == 429, 5)
    one.reconfigure(limits=None)
    one.daemon.signal(signal.SIGHUP)
    wait_until(lambda: one.anonymous.get("/nothing").status == 404, 5)
    assert {r.status for r in statuses(one.anonymous, "GET", "/nothing", 100)} == {404}


# ---- by SP ----


def test_writes_of_an_sp(registry):
    one = registry(limits={"writes_per_second": 1, "writes_burst": 10})
    alpha, beta = one.add_sp("alpha", "1111"), one.add_sp("beta", "2222")
    path = "/api/v1/account/alpha/cps/1111"
    replies = statuses(alpha, "PUT", path, 25, json=URL)
    done = [r for r in replies if r.status in (200, 201)]
    assert 10 <= len(done) <= 18
    for reply in replies[len(done):]:
        if reply.status == 429:
            assert check_429(reply) == 1
    refused = [r.status for r in replies].count(429)
    assert refused == 25 - len(done) and limited(one, "sticps_writes_limited_total") == refused
    assert "too many writes for this account" in one.log_text()
    # DELETE is a write; reading is not, nor is what others write
    assert statuses(alpha, "DELETE", path, 3)[-1].status == 429
    assert {r.status for r in statuses(alpha, "GET", path, 20)} <= {200, 404}
    assert beta.put("/api/v1/account/beta/cps/2222", URL).status == 201
    assert one.pa.put("/api/v1/account/gamma", {"name": "gamma"}).status == 201
    wait_until(lambda: alpha.put(path, URL).status in (200, 201), 5)


def test_nobody_uses_up_what_others_may_write(registry):
    one = registry(limits={"writes_per_second": 1, "writes_burst": 5})
    alpha, beta = one.add_sp("alpha", "1111"), one.add_sp("beta", "2222")
    path = "/api/v1/account/alpha/cps/1111"
    assert {r.status for r in statuses(beta, "PUT", path, 30, json=URL)} == {403}
    assert {r.status for r in statuses(one.anonymous, "PUT", path, 30, json=URL)} == {401}
    assert [r.status for r in statuses(alpha, "PUT", path, 5, json=URL)] == [201, 200, 200, 200, 200]


# ---- the CPS ----


def test_cps_deliveries_of_an_address(cps, pki, cert_server):
    dest, orig = "12025550123", "12015550100"
    node = cps(limits={"requests_per_second": 1, "requests_burst": 5})
    time.sleep(1)
    tokens = [
        make_passport(pki.private_key("sp1"), cert_server.url + "/sp1.crt", orig, [dest]) for _ in range(15)
    ]
    replies = [node.deliver(token) for token in tokens]
    held = [r.status for r in replies].count(201)
    assert 5 <= held <= 12
    for reply in replies:
        assert reply.status == 201 or check_429(reply) == 1
    assert {r.status for r in statuses(node.public, "GET", "/health", 30)} == {200}
    # the STI-VS asks for each call: never limited
    path = f"/passports/{dest}/{orig}"
    assert [r.status for r in statuses(node.private, "GET", path, 30)] == [200] + [404] * 29
    page = page_of(node.private.get("/metrics"))
    assert page.value("sticps_requests_limited_total") == 15 - held
