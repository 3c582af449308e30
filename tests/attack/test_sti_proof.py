"""Proofs by STI certificate that must not pass, and x5u servers that misbehave (PROTOCOL sections 3 and 4)."""

import base64
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hostile import Hostile, Identity, b64, endless, raw_signature, reply
from lib.net import wait_until
from lib.passport import make_passport
from lib.sti import Prover, body_hash, issue, tnauthlist

ENTRY = "/api/v1/account/alpha/cps/1234"
BODY = b'{"url":"https://mallory.example.com/"}'
DEADLINE_MS = 3000  # a good certificate is there within this on a loaded machine, too


@pytest.fixture(scope="module")
def settings(pki, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cas")
    (folder / "sti-ca.pem").write_bytes(pki.pem("sti-ca"))
    return {"ca_list": {"directory": str(folder)}, "tls_ca": str(pki.tls_ca), "threads": 1,
            "sti_proof": {"fetches_per_second": 1000, "proofs_per_second": 1000, "deadline_ms": DEADLINE_MS,
                          "max_pending": 4}}


@pytest.fixture(scope="module")
def start(registry, settings, pki, cert_server):
    """A function that starts a registry with an account and its prover, ready to take proofs."""

    def make(**changes):
        reg = registry(**(settings | changes))
        reg.admin = reg.add_sp("alpha", "1234")
        reg.sp1 = Prover(reg.anonymous, pki.private_key("sp1"), cert_server.url + "/sp1.crt")
        wait_until(lambda: reg.sp1.put(ENTRY, "https://cps.example.com/").status in (200, 201), 20,
                   what="proofs are taken")
        return reg

    return make


@pytest.fixture(scope="module")
def reg(start):
    return start()


@pytest.fixture(scope="module")
def sp1(reg):
    return reg.sp1


@pytest.fixture
def repository(pki):
    """A hostile x5u server."""
    server = Hostile(pki.crt("repo-tls"), pki.key("repo-tls"))
    yield server
    server.close()


def nothing_is_fetched(reg):
    page = reg.anonymous.get("/metrics").body.decode()
    return "\nsticps_sti_proof_fetches 0\n" in page


@pytest.fixture(autouse=True)
def nothing_is_changed(request):
    """No attack of this file may change the entry, nor leave a fetch behind."""
    yield
    if "reg" in request.fixturenames:
        reg = request.getfixturevalue("reg")
        wait_until(lambda: nothing_is_fetched(reg), 15, what="all fetches have ended")
        assert reg.admin.get(ENTRY).json["url"] == "https://cps.example.com/"


def refused(answer, code, status=401):
    assert (answer.status, answer.code) == (status, code), (answer.status, answer.body)
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json["detail"]
    return answer.json["detail"]


def attack(prover, code, status=401, **changes):
    """Sends a request whose token has these changes, which must be refused."""
    return refused(prover.send("PUT", ENTRY, prover.token("PUT", ENTRY, BODY, **changes), BODY), code, status)


# ---- claims ----

NOW = int(time.time())  # for parameters; tests that need the very second take it themselves

CLAIMS = [(name, None, "PROOF_CLAIM") for name in ("iss", "aud", "action", "iat", "exp", "jti", "htm", "htu", "body")]
CLAIMS += [(name, value, "PROOF_CLAIM") for name in ("iss", "aud", "action", "jti", "htm", "htu", "body")
           for value in (1, True, ["1234"], {"a": 1})]
CLAIMS += [(name, value, "PROOF_CLAIM") for name in ("iat", "exp")
           for value in (str(NOW), NOW + 0.5, True, [], -1, 2**63)]
CLAIMS += [
    ("iss", "", "PROOF_CLAIM"), ("iss", "12345", "PROOF_CLAIM"), ("iss", "'; DROP TABLE audit", "PROOF_CLAIM"),
    ("jti", "", "PROOF_CLAIM"), ("jti", "x" * 129, "PROOF_CLAIM"), ("jti", "a b", "PROOF_CLAIM"),
    ("jti", "é", "PROOF_CLAIM"),
]
CLAIMS += [(name, value, "PROOF_MISMATCH") for name, values in {
    "aud": ["registry.example.com", "", "127.0.0.1.", "https://127.0.0.1"],
    "action": ["publish", "", "PROVISION"],
    "htm": ["GET", "put", "DELETE", ""],
    "body": ["", body_hash(b""), body_hash(BODY + b" "), body_hash(BODY)[7:], body_hash(BODY).rstrip("="),
             "sha256-" + hashlib.sha256(BODY).hexdigest()],
}.items() for value in values]


@pytest.mark.parametrize("name,value,code", CLAIMS, ids=lambda value: str(value)[:20])
def test_claims(sp1, cert_server, name, value, code):
    hits = cert_server.hits["/sp1.crt"]
    assert name in attack(sp1, code, **{name: value})
    assert cert_server.hits["/sp1.crt"] == hits


@pytest.mark.parametrize("iat,exp,named", [
    (0, 61, "exp"), (0, 3600, "exp"), (0, 0, "exp"), (0, -1, "exp"), (-120, -60, "exp"), (-61, 0, "exp"),
    (-3600, 10, "exp"),
    (30, 60, "iat"), (3600, 3660, "iat"), (2**62, 2**62 + 60, "iat")])
def test_times(sp1, iat, exp, named):
    now = int(time.time())
    assert named in attack(sp1, "PROOF_TIME", iat=now + iat, exp=now + exp)


def test_the_token_of_another_request(reg, sp1):
    url = reg.base_url + ENTRY
    for htu in (url + "/", url[:-1], url + "?", url + "?x=1", url + "#", url.replace("https", "http"), ENTRY,
                url.replace("127.0.0.1", "localhost"), url.replace("/api", "//api"), url.replace("alpha", "%61lpha"),
                f"https://127.0.0.1:{reg.port + 1}{ENTRY}", "https://127.0.0.1" + ENTRY,
                url.replace("https://", "https://mallory@"), url.replace("/cps/", "/x/../cps/"), ""):
        attack(sp1, "PROOF_MISMATCH", htu=htu)
    # what is sent must be what is signed, too
    body = b'{"url":"https://cps.example.com/other"}'
    token = sp1.token("PUT", ENTRY, body)
    refused(sp1.send("PUT", ENTRY, token, BODY), "PROOF_MISMATCH")
    refused(sp1.send("DELETE", ENTRY, token), "PROOF_MISMATCH")
    refused(sp1.send("PUT", ENTRY + "?x=1", token, body), "PROOF_MISMATCH")
    refused(sp1.send("PUT", ENTRY.replace("alpha", "beta"), token, body), "PROOF_MISMATCH")
    refused(sp1.send("PUT", ENTRY.replace("1234", "%31234"), token, body), "PROOF_MISMATCH")


def test_the_host_header_has_no_say(reg, sp1):
    """A relay that names itself in Host cannot use what was signed for it."""
    token = sp1.token("PUT", ENTRY, BODY, aud="relay.example.com", htu="https://relay.example.com" + ENTRY)
    answer = sp1.send("PUT", ENTRY, token, BODY, {"Host": "relay.example.com"})
    refused(answer, "PROOF_MISMATCH")


# ---- the token's form ----


def compact(header, payload, key=None):
    signing_input = f"{b64(header)}.{b64(payload)}"
    return f"{signing_input}.{b64(raw_signature(key, signing_input)) if key else ''}"


@pytest.mark.parametrize("algorithm", [
    "none", "None", "HS256", "RS256", "PS256", "ES384", "ES256K", "EdDSA", "es256", "", None])
def test_algorithms(pki, sp1, algorithm):
    header = {"alg": algorithm, "typ": "JWT", "x5u": sp1.x5u}
    if algorithm is None:
        del header["alg"]
    signing_input = f"{b64(header)}.{b64(sp1.claims('PUT', ENTRY, BODY))}"
    secret = pki.pem("sp1")  # the public key as a secret: the classic confusion
    signatures = [b"", hmac.new(secret, signing_input.encode(), hashlib.sha256).digest(),
                  raw_signature(sp1.key, signing_input)]
    for signature in signatures:
        refused(sp1.send("PUT", ENTRY, f"{signing_input}.{b64(signature)}", BODY), "PROOF_ALGORITHM")


def test_real_tokens_of_other_algorithms(sp1):
    for key, algorithm in [(rsa.generate_private_key(65537, 2048), "RS256"),
                           (ec.generate_private_key(ec.SECP384R1()), "ES384"), ("secret", "HS256")]:
        attack(sp1, "PROOF_ALGORITHM", key=key, algorithm=algorithm)


def test_headers(sp1):
    good = {"alg": "ES256", "typ": "JWT", "x5u": sp1.x5u}
    claims = sp1.claims("PUT", ENTRY, BODY)
    for changes, code in [
        ({"typ": "passport", "ppt": "shaken"}, "PROOF_MALFORMED"), ({"typ": None}, "PROOF_MALFORMED"),
        ({"typ": "jwt"}, "PROOF_MALFORMED"), ({"crit": ["exp"]}, "PROOF_MALFORMED"), ({"crit": []}, "PROOF_MALFORMED"),
        ({"x5u": 5}, "PROOF_X5U"), ({"x5u": ""}, "PROOF_X5U"), ({"x5u": [sp1.x5u]}, "PROOF_X5U"),
        ({"x5u": "http://127.0.0.1/a"}, "PROOF_X5U"), ({"x5u": "file:///etc/passwd"}, "PROOF_X5U"),
        ({"x5u": "https://u@127.0.0.1/a"}, "PROOF_X5U"), ({"x5u": sp1.x5u + "?a"}, "PROOF_X5U"),
        ({"x5u": sp1.x5u + "#"}, "PROOF_X5U"), ({"x5u": "https://8.8.8.8/a"}, "PROOF_X5U"),
    ]:
        header = {name: value for name, value in (good | changes).items() if value is not None}
        refused(sp1.send("PUT", ENTRY, compact(header, claims, sp1.key), BODY), code)


def test_form(sp1):
    token = sp1.token("PUT", ENTRY, BODY)
    header, payload, signature = token.split(".")
    twice = b64('{"alg":"ES256","typ":"JWT","x5u":"%s","x5u":"%s"}' % (sp1.x5u, sp1.x5u))
    claims = json.dumps(sp1.claims("PUT", ENTRY, BODY))
    for bad in [f"{header}.{payload}", f"{header}.{payload}.{signature}.x", f"{header}..{signature}",
                f"{header}.{b64('[]')}.{signature}", f"{header}.{b64('null')}.{signature}",
                f"{header}.{b64('{')}.{signature}", f"{header}.{b64(claims + ' x')}.{signature}",
                f"{header}.{b64(claims[:-1] + ',' + claims[1:])}.{signature}",
                f"{header}.{b64(b'{%s}' % (b'[' * 50))}.{signature}", f"{header}.{payload}=.{signature}",
                f"{header}.{b64('{' + ' ' * 9000 + claims[1:])}.{signature}"]:
        refused(sp1.send("PUT", ENTRY, bad, BODY), "PROOF_MALFORMED")
    # what has no x5u is no proof at all, and an access token that is none either
    for bad in ["x", f"{twice}.{payload}.{signature}", f"{b64('{}')}.{payload}.{signature}", f".{payload}.{signature}",
                compact({"alg": "ES256", "typ": "JWT"}, sp1.claims("PUT", ENTRY, BODY), sp1.key)]:
        refused(sp1.send("PUT", ENTRY, bad, BODY), "UNAUTHENTICATED")


def test_signatures(sp1):
    token = sp1.token("PUT", ENTRY, BODY)
    signing_input, signature = token.rsplit(".", 1)
    raw = base64.urlsafe_b64decode(signature + "==")
    for bad in [raw[:63], raw + b"\0", b"", b"\0" * 64, b"\xff" * 64, raw[32:] + raw[:32],
                raw[:63] + bytes([raw[63] ^ 1]),
                sp1.key.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256())),
                raw_signature(sp1.key, signing_input, hashes.SHA384())]:
        refused(sp1.send("PUT", ENTRY, f"{signing_input}.{b64(bad)}", BODY), "PROOF_SIGNATURE")


def test_another_key(pki, sp1):
    attack(sp1, "PROOF_SIGNATURE", key=pki.private_key("sp2"))
    attack(sp1, "PROOF_SIGNATURE", key=ec.generate_private_key(ec.SECP256R1()))


# ---- confusion ----


def test_a_passport_is_no_proof(sp1):
    refused(sp1.send("PUT", ENTRY, make_passport(sp1.key, sp1.x5u), BODY), "PROOF_MALFORMED")
    # nor one that has all claims of a proof
    token = make_passport(sp1.key, sp1.x5u, claims=sp1.claims("PUT", ENTRY, BODY))
    refused(sp1.send("PUT", ENTRY, token, BODY), "PROOF_MALFORMED")


def test_a_signed_list_is_no_proof(reg, sp1):
    refused(sp1.send("PUT", ENTRY, reg.list_token(), BODY), "PROOF_CLAIM")


def test_a_proof_is_no_access_token(reg, sp1):
    for method, path in [("GET", "/api/v1/account/alpha/cps"), ("POST", "/api/v1/auth/logout"),
                         ("GET", "/api/v1/audit")]:
        refused(sp1.request(method, path), "UNAUTHENTICATED")
    refused(reg.anonymous.post("/api/v1/auth/token", {"refreshToken": sp1.token("GET", ENTRY)}), "UNAUTHENTICATED")


def test_an_access_token_dressed_as_a_proof(reg, sp1):
    header, payload, signature = reg.admin.token.split(".")
    dressed = b64(json.loads(base64.urlsafe_b64decode(header + "==")) | {"x5u": sp1.x5u})
    refused(sp1.send("PUT", ENTRY, f"{dressed}.{payload}.{signature}", BODY), "PROOF_ALGORITHM")


def test_text_for_the_database_is_data(reg, sp1):
    for jti in ("');DROP%20TABLE%20audit;--", '"}', "\\", "{}", "$1", "proof"):
        token = sp1.token("GET", ENTRY, jti=jti)
        assert sp1.send("GET", ENTRY, token).status == 200
        refused(sp1.send("GET", ENTRY, token), "PROOF_REPLAYED")
    kept = reg.database.query("SELECT count(*) FROM sti_proof WHERE jti = %s", ("');DROP%20TABLE%20audit;--",))
    assert kept == [(1,)]


# ---- certificates ----

CERTIFICATES = {
    "expired": {"days": (-30, -1)}, "not yet": {"days": (1, 30)}, "another CA": {"ca": "sti-pa-root"},
    "a stranger's": {"ca": None}, "no TNAuthList": {"tnauthlist": None},
    "empty TNAuthList": {"tnauthlist": tnauthlist()},
    "two SPCs": {"tnauthlist": tnauthlist("1234", "5678")}, "no key usage": {"usage": False},
    "P-384": {"key": ec.generate_private_key(ec.SECP384R1())},
    "RSA": {"key": rsa.generate_private_key(65537, 2048)}, "broken TNAuthList": {"tnauthlist": b"\x30\x03\xa0\x01"},
    "lower-case SPC": {"tnauthlist": tnauthlist("abcd")}, "another SPC": {"tnauthlist": tnauthlist("5678")},
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificates(reg, pki, cert_server, sp1, name):
    own, x5u = issue(pki, cert_server, name.replace(" ", "-"), **CERTIFICATES[name])
    key = own if isinstance(own, ec.EllipticCurvePrivateKey) and own.curve.name == "secp256r1" else sp1.key
    assert "SPC" in attack(Prover(reg.anonymous, key, x5u), "PROOF_CERTIFICATE") or name != "another SPC"


def test_a_ca_of_its_own_making(reg, cert_server):
    """A chain that is whole in itself leads nowhere."""
    root = Identity("Test STI-CA Root", ca=True)
    leaf = Identity("SHAKEN 1234", root, spc="1234")
    x5u = cert_server.serve("/own-ca.crt", leaf.pem + root.pem)
    attack(Prover(reg.anonymous, leaf.key, x5u), "PROOF_CERTIFICATE")


def test_the_certificate_of_another_beside_the_own(reg, pki, cert_server):
    """The first certificate is the one that counts, whatever stands behind it."""
    mallory = Identity("SHAKEN 1234", spc="1234")
    x5u = cert_server.serve("/beside.crt", mallory.pem + pki.pem("sp1") + pki.pem("sti-ca"))
    attack(Prover(reg.anonymous, mallory.key, x5u), "PROOF_CERTIFICATE")
    x5u = cert_server.serve("/behind.crt", pki.pem("sp1") + mallory.pem)
    attack(Prover(reg.anonymous, mallory.key, x5u), "PROOF_SIGNATURE")


def test_a_certificate_issued_anew_under_its_url(reg, pki, cert_server):
    old, x5u = issue(pki, cert_server, "renewed")
    assert Prover(reg.anonymous, old, x5u).get(ENTRY).status == 200
    new, _ = issue(pki, cert_server, "renewed")
    assert Prover(reg.anonymous, new, x5u).get(ENTRY).status == 200
    refused(Prover(reg.anonymous, old, x5u).get(ENTRY), "PROOF_SIGNATURE")
    hits = cert_server.hits["/renewed.crt"]
    for _ in range(5):  # no storm
        refused(Prover(reg.anonymous, old, x5u).get(ENTRY), "PROOF_SIGNATURE")
    assert cert_server.hits["/renewed.crt"] == hits


# ---- servers ----


def test_what_is_no_certificate(reg, pki, sp1, repository):
    whole = pki.pem("sp1")
    routes = {"/text": reply("no certificate"), "/empty": reply(b""), "/half": reply(whole[:200]), "/missing": None,
              "/error": reply(whole, "500 Internal Server Error"), "/created": reply(whole, "201 Created"),
              "/large": reply(whole + b"#" * 70000), "/moved": reply(b"", "302 Found", Location=sp1.x5u),
              "/here": reply(whole, "301 Moved Permanently", Location="/sp1.crt"),
              "/short": reply(whole, Content_Length=str(len(whole) + 10)), "/key": reply(pki.key("sp2").read_bytes()),
              "/headers": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 70000 + b"\r\n\r\n" + whole}
    for path, answer in routes.items():
        if answer is not None:
            repository.routes[path] = answer
        attack(sp1, "PROOF_X5U", header={"x5u": repository.url + path})
    assert "/sp1.crt" not in repository.paths()


@pytest.mark.parametrize("how", ["slow", "dripping", "deaf", "endless headers"])
def test_slow_servers_are_given_up_and_hold_up_nobody(reg, sp1, repository, how):
    if how == "deaf":
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/deaf"
    else:
        head = b"HTTP/1.1 200 OK\r\n"
        repository.routes["/slow"] = {
            "slow": lambda connection, _request: time.sleep(20),
            "dripping": endless(b"#", 0.05, head + b"Content-Length: 60000\r\n\r\n"),
            "endless headers": endless(b"X: y\r\n", 0.05, head)}[how]
        url = repository.url + "/slow"
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        waiting = pool.submit(attack, sp1, "PROOF_X5U", header={"x5u": url})
        answered = 0
        while not waiting.done():  # on the very thread that waits: this registry has one
            assert reg.admin.get(ENTRY).status == 200
            assert sp1.get(ENTRY).status == 200
            answered += 1
        waiting.result()
        assert answered >= 3
        assert time.monotonic() - started < 15
    # remembered: the next one is refused without another fetch
    requests = len(repository.requests)
    attack(sp1, "PROOF_X5U", header={"x5u": url})
    assert len(repository.requests) == requests


def test_one_fetch_for_many(reg, pki, sp1, repository):
    """Of requests that name one certificate at once, the first fetches and all get on."""
    def answer(connection, _request):
        time.sleep(0.4)
        connection.sendall(reply(pki.pem("sp1")))

    repository.routes["/shared"] = answer
    prover = Prover(reg.anonymous, sp1.key, repository.url + "/shared")
    with ThreadPoolExecutor(12) as pool:
        assert [r.status for r in pool.map(lambda _: prover.get(ENTRY), range(12))] == [200] * 12
    assert repository.paths().count("/shared") == 1


def test_more_than_may_be_pending(reg, sp1, repository):
    """The fifth certificate is not fetched while four are: 503, and soon."""
    repository.routes.update({f"/many-{i}": lambda connection, _request: time.sleep(20) for i in range(12)})
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda i: sp1.get(ENTRY, header={"x5u": f"{repository.url}/many-{i}"}), range(12)))
    codes = sorted(answer.code for answer in answers)
    # a loaded machine may take so long that the first have ended before the last come
    assert "UNAVAILABLE" in codes and set(codes) <= {"UNAVAILABLE", "PROOF_X5U"}, codes
    assert all(answer.headers["retry-after"] for answer in answers if answer.status == 503)
    assert len(set(repository.paths())) < 12
    assert sp1.get(ENTRY).status == 200


def test_clients_that_leave_while_a_certificate_is_fetched(reg, sp1, repository):
    repository.routes.update({f"/left-{i}": lambda connection, _request: time.sleep(20) for i in range(3)})
    context = ssl.create_default_context(cafile=str(reg.ca))
    connections = [http.client.HTTPSConnection("127.0.0.1", reg.port, context=context, timeout=5) for _ in range(3)]
    for i, connection in enumerate(connections):
        token = sp1.token("GET", ENTRY, header={"x5u": f"{repository.url}/left-{i}"})
        connection.request("GET", ENTRY, headers={"Authorization": "Bearer " + token})
    wait_until(lambda: not nothing_is_fetched(reg), 10, what="a fetch is under way")
    for connection in connections:
        connection.close()
    wait_until(lambda: nothing_is_fetched(reg), 15, what="the fetches have ended")
    assert sp1.get(ENTRY).status == 200


def test_stopping_while_a_certificate_is_fetched(start, repository):
    reg = start()
    repository.routes["/stop"] = lambda connection, _request: time.sleep(20)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(
        reg.sp1.get(ENTRY, header={"x5u": repository.url + "/stop"}).status))
    thread.start()
    wait_until(lambda: repository.requests, 5)
    reg.stop()  # a bad exit fails the fixture
    thread.join(20)
    assert answers in ([401], [503])


def test_closed_addresses(start, pki, registry, settings):
    """Without the lab setting no private address is asked, by whatever name."""
    reg = registry(**(settings | {"lab": False, "base_url": "https://registry.example.com"}))
    reg.add_sp("alpha", "1234")
    prover = Prover(reg.anonymous, pki.private_key("sp1"), None, base_url="https://registry.example.com")
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    wait_until(lambda: prover.get(ENTRY, header={"x5u": "https://localtest.invalid/a"}).status == 401, 20)
    for x5u in ("https://127.0.0.1/a", "https://localhost/a", "https://[::1]/a", "https://10.1.2.3/a",
                "https://169.254.169.254/a", f"https://cert.example.com:{listener.getsockname()[1]}/a",
                "https://2130706433/a", "https://0x7f.1/a"):
        refused(prover.get(ENTRY, header={"x5u": x5u}), "PROOF_X5U")
    with pytest.raises(TimeoutError):
        listener.accept()


def test_many_at_once_on_one_entry(reg, sp1):
    """Distinct proofs at once are as many requests; each is used once."""
    def once(i):
        return sp1.get(ENTRY, jti=f"many-{uuid.uuid4()}").status

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(once, range(64))) == {200}
