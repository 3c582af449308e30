"""Proxies in front: whose request it is, and the examples of packaging/etc under the real nginx and HAProxy."""

import json
import socket
import ssl
import subprocess

import pytest
from lib.fronts import haproxy, nginx
from lib.net import Api, free_port, wait_until

CLIENT, OTHER = "203.0.113.9", "198.51.100.7"


def last_address(reg, user):
    """The address of the newest sign-in of a user, from the audit trail."""
    events = reg.pa.get("/api/v1/audit?limit=1000").json["events"]
    return next(e["address"] for e in events if e["userId"] == user and e["action"] == "session.login")


def sign_in(api, reg, **kw):
    reply = api.post("/api/v1/auth/login", {"userId": reg.pa_user, "password": reg.pa_password}, **kw)
    assert reply.status == 200, reply.body
    return last_address(reg, reg.pa_user)


def raw(port, pki, data, before=b"", source=None):
    """The first line of the answer to raw bytes over TLS; `before` goes ahead of TLS."""
    context = ssl.create_default_context(cafile=str(pki.tls_ca))
    with socket.create_connection(("127.0.0.1", port), 10, source_address=source and (source, 0)) as plain:
        plain.sendall(before)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
            tls.sendall(data)
            answer = b""
            while piece := tls.recv(65536):
                answer += piece
    return answer


def login_request(reg, forwarded=None, more=""):
    body = json.dumps({"userId": reg.pa_user, "password": reg.pa_password})
    head = f"X-Forwarded-For: {forwarded}\r\n" if forwarded else ""
    return (f"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}{more}"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}").encode()


# ---- what is believed ----


def test_nobody_is_believed_by_default(registry):
    reg = registry()
    assert sign_in(reg.anonymous, reg, headers={"X-Forwarded-For": CLIENT, "Forwarded": f"for={CLIENT}"}) == "127.0.0.1"


def test_a_trusted_proxy_names_the_client(registry):
    reg = registry(proxy={"trusted": ["127.0.0.1", "10.0.0.0/8"]})
    for value, client in ((None, "127.0.0.1"), (CLIENT, CLIENT), (f"{OTHER}, {CLIENT}", CLIENT),
                          (f"{OTHER},{CLIENT}, 10.1.2.3", CLIENT), ("2001:db8::1", "2001:db8::1"),
                          (f"{CLIENT}, unknown", "127.0.0.1"), (f"{CLIENT}:443", "127.0.0.1")):
        assert sign_in(reg.anonymous, reg, headers={"X-Forwarded-For": value}) == client, value
    assert f'"client":"{CLIENT}"' in reg.log_text(), "the access log too"
    assert sign_in(reg.anonymous, reg, headers={"Forwarded": f"for={CLIENT}", "X-Real-IP": CLIENT}) == "127.0.0.1"


def test_several_lines_are_one(registry, pki):
    reg = registry(proxy={"trusted": ["127.0.0.1"]})
    raw(reg.port, pki, login_request(reg, OTHER, f"X-Forwarded-For: {CLIENT}\r\n"))
    assert last_address(reg, reg.pa_user) == CLIENT


def test_others_are_not_believed(registry, pki):
    reg = registry(proxy={"trusted": ["127.0.0.9"], "protocol": True})
    assert sign_in(reg.anonymous, reg, headers={"X-Forwarded-For": CLIENT}) == "127.0.0.1"
    line = f"PROXY TCP4 {CLIENT} 127.0.0.1 4711 443\r\n".encode()
    with pytest.raises(OSError):
        raw(reg.port, pki, login_request(reg), before=line)
    answer = raw(reg.port, pki, login_request(reg), before=line, source="127.0.0.9")
    assert answer.startswith(b"HTTP/1.1 200 ") and last_address(reg, reg.pa_user) == CLIENT


def test_the_proxy_protocol(registry, pki):
    reg = registry(proxy={"trusted": ["127.0.0.1"], "protocol": True})
    for line, forwarded, client in (
            (f"PROXY TCP4 {CLIENT} 127.0.0.1 4711 443", None, CLIENT),
            ("PROXY TCP6 2001:db8::1 ::1 4711 443", None, "2001:db8::1"),
            ("PROXY UNKNOWN", None, "127.0.0.1"),
            (None, None, "127.0.0.1"),
            (None, CLIENT, CLIENT),  # a proxy that speaks HTTP
            (f"PROXY TCP4 {CLIENT} 127.0.0.1 4711 443", OTHER, CLIENT),  # the client's own writing
            ("PROXY TCP4 127.0.0.1 127.0.0.1 4711 443", CLIENT, CLIENT)):  # a trusted proxy behind it
        before = line.encode() + b"\r\n" if line else b""
        answer = raw(reg.port, pki, login_request(reg, forwarded), before=before)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert last_address(reg, reg.pa_user) == client, (line, forwarded)
    for bad in (b"PROXY TCP4 x y 1 2\r\n", b"PROXY TCP4 203.0.113.9\r\n", b"proxy\r\n", b"\r\n\r\n\x00\r\nQUIT\n"):
        with pytest.raises(OSError):
            raw(reg.port, pki, login_request(reg), before=bad)
    raw(reg.port, pki, login_request(reg), before=b"PROXY " + b"A" * 500 + b"\r\n")
    assert last_address(reg, reg.pa_user) == "127.0.0.1", "of a family that is not known"
    assert sign_in(reg.anonymous, reg) == "127.0.0.1", "still well"


def test_without_the_switch_a_proxy_line_is_refused(registry, pki):
    reg = registry(proxy={"trusted": ["127.0.0.1"]})
    with pytest.raises(OSError):
        raw(reg.port, pki, login_request(reg), before=f"PROXY TCP4 {CLIENT} 127.0.0.1 1 443\r\n".encode())


def test_rates_count_the_client_and_not_the_proxy(registry):
    reg = registry(proxy={"trusted": ["127.0.0.1"]}, limits={"requests_per_second": 1, "requests_burst": 5})
    path = "/download/v1/certificate/certificateId_1.crt"
    seen = [reg.anonymous.get(path, headers={"X-Forwarded-For": CLIENT}).status for _ in range(12)]
    assert seen.count(200) >= 5 and 429 in seen
    assert reg.anonymous.get(path, headers={"X-Forwarded-For": OTHER}).status == 200
    forged = [reg.anonymous.get(path, headers={"X-Forwarded-For": f"192.0.2.{i}, {CLIENT}"}).status for i in range(6)]
    assert 429 in forged, "what the client writes itself does not help"


def test_connections_of_a_proxy_are_everybodys(registry, pki):
    reg = registry(proxy={"trusted": ["127.0.0.1"]}, limits={"per_address": 3})
    context = ssl.create_default_context(cafile=str(pki.tls_ca))
    kept = [context.wrap_socket(socket.create_connection(("127.0.0.1", reg.port)), server_hostname="127.0.0.1")
            for _ in range(12)]
    assert reg.anonymous.get("/health").status == 200
    for each in kept:
        each.close()


def test_the_allow_list_of_a_key_sees_the_client(registry):
    reg = registry(proxy={"trusted": ["127.0.0.1"]})
    reg.add_sp("alpha", "1234")
    made = reg.pa.post("/api/v1/account/alpha/key", {"name": "k", "scopes": ["read"], "addresses": [f"{CLIENT}/32"]})
    machine = reg.anonymous.with_token(made.json["key"])
    path = "/api/v1/account/alpha/cps"
    assert machine.get(path, headers={"X-Forwarded-For": CLIENT}).status == 200
    for value in (OTHER, None, f"{CLIENT}, {OTHER}"):
        assert machine.get(path, headers={"X-Forwarded-For": value}).status == 403, value


def test_the_cps_sees_the_client_too(cps):
    node = cps(proxy={"trusted": ["127.0.0.1"]}, log={"access": True})
    assert node.public.get("/health", headers={"X-Forwarded-For": CLIENT}).status == 200
    wait_until(lambda: f'"client":"{CLIENT}"' in node.log_text(), what="the access log")


@pytest.mark.parametrize("proxy, said", [({"trusted": ["proxy.example.com"]}, "proxy.trusted: proxy.example.com"),
                                         ({"trusted": ["10.0.0.1/8"]}, "10.0.0.0/8"), ({"protocol": True}, "proxy.protocol")])
def test_the_configuration_is_checked(registry, cps, proxy, said):
    for one in (registry(start=False, proxy=proxy), cps(start=False, proxy=proxy)):
        done = one.check()
        assert done.returncode == 1 and said in done.stderr, done.stderr


# ---- the examples ----


@pytest.fixture
def behind(registry):
    """Two nodes of one registry at 127.0.0.1, which believe what comes from there."""

    def make(base_url, **proxy):
        changes = {"proxy": {"trusted": ["127.0.0.1"], **proxy}, "base_url": base_url}
        first = registry(**changes)
        second = registry(database=first.database, start=False, **changes)
        second.start()
        return first, second

    return make


def check_front(front, reg, pki, cli, folder):
    """A client's day through the front: sign-in, a change, the list, a fetch; and who it was."""
    api = Api(f"https://127.0.0.1:{front.port}", pki.tls_ca)
    wait_until(lambda: api.get("/ready").status == 200, 20, what="a node behind the front")
    address = sign_in(api, reg, headers={"X-Forwarded-For": CLIENT})
    assert address == "127.0.0.1", "the peer of the front, not what it wrote"
    reg.add_sp("alpha", "1234")
    pa = api.with_token(reg.pa.token)
    assert pa.put("/api/v1/account/alpha/cps/1234", {"url": "https://cps.example.com/1"}).status == 201
    big = {"cpsMapping": {"1234": "https://cps.example.com/" + "x" * 1900}, }
    assert pa.put("/api/v1/account/alpha/cps", big).status == 200
    wait_until(lambda: b"." in api.get("/download/v1/cps-list").body, what="the list")
    packed = api.get("/download/v1/cps-list", headers={"Accept-Encoding": "gzip"})
    assert packed.status == 200 and packed.headers["ETag"]
    held = lambda: {"If-None-Match": api.get("/download/v1/cps-list").headers["ETag"]}  # noqa: E731
    # the nodes take up a new list one after the other
    wait_until(lambda: api.get("/download/v1/cps-list", headers=held()).status == 304, 10, what="304 through the front")
    done = cli("list", "fetch", "--url", f"https://127.0.0.1:{front.port}/download/v1/cps-list", "--anchor",
               pki.list_anchor, "--state", folder / "state", "--tls-ca", pki.tls_ca, "--lab")
    assert done.returncode == 0, done.stdout + done.stderr
    return api


def answers(api):
    """The status of /health; None when the front closes."""
    try:
        return api.get("/health").status
    except OSError:
        return None


def check_failover(api, first, second):
    first.stop()
    wait_until(lambda: all(answers(api) == 200 for _ in range(4)), 30, what="the other node alone")
    second.stop()
    wait_until(lambda: answers(api) in (502, 503, None), 30, what="no node")
    first.start()
    wait_until(lambda: answers(api) == 200, 30, what="a node again")


def check_smuggling(port, pki):
    """What a daemon and a front could read differently is refused before any handler (docs/DESIGN.md)."""
    for head in ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n",
                 "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"):
        answer = raw(port, pki, (f"POST /api/v1/auth/logout HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n"
                                 "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n").encode())
        status = int(answer.split()[1])
        assert status in (400, 401, 411, 415, 501) and answer.count(b"HTTP/1.1 ") == 1, (head, answer)


NAME = "sti-pa.example.com"


def test_nginx_in_front(behind, pki, cli, tmp_path):
    port = free_port()
    first, second = behind(f"https://127.0.0.1:{port}")
    front = nginx(tmp_path / "nginx", "nginx-proxy.conf", {
        "/etc/nginx/tls/sti-pa.crt": pki.crt("registry-tls"), "/etc/nginx/tls/sti-pa.key": pki.key("registry-tls"),
        "/etc/nginx/tls/nodes-ca.crt": pki.tls_ca, f"node1.{NAME}:8443": f"127.0.0.1:{first.port}",
        f"node2.{NAME}:8443": f"127.0.0.1:{second.port}", f"server_name {NAME}": "server_name 127.0.0.1",
        f"proxy_ssl_name {NAME}": "proxy_ssl_name localhost", "fail_timeout=5s": "fail_timeout=1s"}, port)
    try:
        api = check_front(front, first, pki, cli, tmp_path)
        assert api.get("/metrics").status == 404
        check_smuggling(port, pki)
        assert all("/smuggled" not in node.log_text() for node in (first, second))
        done = subprocess.run(["curl", "-sS", "--http2", "--cacert", str(pki.tls_ca), "-o", "/dev/null", "-w",
                               "%{http_version} %{http_code}", f"https://127.0.0.1:{port}/download/v1/cps-list"],
                              capture_output=True, text=True, timeout=30)
        assert done.stdout == "2 200", done.stderr
        check_failover(api, first, second)
    finally:
        front.close()


def test_haproxy_in_front(behind, pki, cli, tmp_path):
    port = free_port()
    first, second = behind(f"https://127.0.0.1:{port}")
    both = tmp_path / "both.pem"
    both.write_bytes(pki.crt("registry-tls").read_bytes() + pki.key("registry-tls").read_bytes())
    front = haproxy(tmp_path / "haproxy", "haproxy-proxy.cfg", {
        "bind :443": f"bind 127.0.0.1:{port}", "/etc/haproxy/tls/sti-pa.pem": both,
        "/etc/haproxy/tls/nodes-ca.crt": pki.tls_ca, "maxconn 20000": "maxconn 500", "192.0.2.11:8443": f"127.0.0.1:{first.port}",
        "192.0.2.12:8443": f"127.0.0.1:{second.port}", NAME: "localhost", "inter 2s": "inter 300ms"}, port)
    try:
        api = check_front(front, first, pki, cli, tmp_path)
        assert api.get("/metrics").status == 404
        check_smuggling(port, pki)
        assert all("/smuggled" not in node.log_text() for node in (first, second))
        check_failover(api, first, second)
    finally:
        front.close()


def test_haproxy_that_lets_tls_pass(behind, pki, cli, tmp_path):
    port = free_port()
    first, second = behind(f"https://127.0.0.1:{port}", protocol=True)
    front = haproxy(tmp_path / "haproxy", "haproxy-passthrough.cfg", {
        "bind :443": f"bind 127.0.0.1:{port}", "/etc/haproxy/tls/nodes-ca.crt": pki.tls_ca, "maxconn 20000": "maxconn 500",
        "192.0.2.11:8443": f"127.0.0.1:{first.port}", "192.0.2.12:8443": f"127.0.0.1:{second.port}",
        NAME: "localhost", "inter 2s": "inter 300ms"}, port)
    try:
        api = Api(f"https://127.0.0.1:{port}", pki.tls_ca)
        wait_until(lambda: answers(api) == 200, 20, what="a node behind the front")
        # from another address than the proxy's own, which no header can do here
        raw(port, pki, login_request(first), source="127.0.0.77")
        assert last_address(first, first.pa_user) == "127.0.0.77"
        raw(port, pki, login_request(first, forwarded=CLIENT), source="127.0.0.77")
        assert last_address(first, first.pa_user) == "127.0.0.77", "the client's own writing"
        check_failover(api, first, second)
    finally:
        front.close()
