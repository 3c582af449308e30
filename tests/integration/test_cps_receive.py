"""The public side of sticps-cpsd: which PASSporTs it takes, and the verdict on each that it does not."""

import json
import socket
import ssl
import subprocess
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from lib.net import free_port, wait_until
from lib.passport import b64url, make_passport, passport_claims, sign
from lib.sti import issue

ORIG, DEST = "12015550100", "12025550123"


@pytest.fixture(scope="module")
def node(cps):
    return cps()


@pytest.fixture(scope="module")
def key(pki):
    return pki.private_key("sp1")


@pytest.fixture(scope="module")
def x5u(cert_server):
    return cert_server.url + "/sp1.crt"


_numbers = iter(range(12015560000, 12015570000))


@pytest.fixture
def orig():
    """A calling number that no other test uses."""
    return str(next(_numbers))


def assert_refused(reply, status, code):
    assert (reply.status, reply.code) == (status, code), (reply.status, reply.body)
    assert len(reply.json["detail"]) > 10


# ---- what is taken ----


def test_accepted_retrieved_and_deleted(node, key, x5u, orig):
    token = make_passport(key, x5u, orig)
    reply = node.deliver(token)
    assert (reply.status, reply.json["status"]) == (201, "success")
    assert reply.headers.get_content_type() == "application/json"
    reply = node.retrieve(DEST, orig)
    assert (reply.status, reply.json) == (200, {"passports": [token]})
    assert_gone(node, orig)


def assert_gone(node, orig, dest=DEST):
    assert_refused(node.retrieve(dest, orig), 404, "NOT_FOUND")


def test_one_made_by_pyjwt(node, key, x5u, orig):
    claims = passport_claims(orig)
    token = jwt.encode(
        claims, key, algorithm="ES256", headers={"typ": "passport", "ppt": "shaken", "x5u": x5u}
    )
    assert node.deliver(token).status == 201
    assert node.retrieve(DEST, orig).json == {"passports": [token]}


def test_one_made_by_secsipidx(node, pki, x5u, orig):
    identity = subprocess.run(
        ["secsipidx", "-sign-full", "-orig-tn", orig, "-dest-tn", DEST, "-attest", "A", "-orig-id",
         str(uuid.uuid4()), "-x5u", x5u, "-k", str(pki.key("sp1"))],
        check=True, capture_output=True, text=True,
    ).stdout.strip()
    assert node.deliver(identity.split(";")[0]).status == 201
    assert node.retrieve(DEST, orig).status == 200
    assert_refused(node.deliver(identity), 400, "MALFORMED")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_line_break_at_the_end(node, key, x5u, orig, ending):
    token = make_passport(key, x5u, orig)
    assert node.deliver(token + ending).status == 201
    assert node.retrieve(DEST, orig).json == {"passports": [token]}


@pytest.mark.parametrize(
    "media_type", ["application/passport; charset=utf-8", "Application/Passport", "application/passport;"]
)
def test_media_type_with_parameters(node, key, x5u, orig, media_type):
    assert node.deliver(make_passport(key, x5u, orig), headers={"Content-Type": media_type}).status == 201


@pytest.mark.parametrize("separator", ["\n", "\r\n"])
def test_three_of_one_call_newest_first(node, key, x5u, orig, separator):
    now = int(time.time())
    tokens = [make_passport(key, x5u, orig, iat=now - age) for age in (20, 0, 10)]
    assert node.deliver(separator.join(tokens)).status == 201
    assert node.retrieve(DEST, orig).json["passports"] == [tokens[1], tokens[2], tokens[0]]


def test_any_claim_order_white_space_and_further_claims(node, key, x5u, orig):
    header = json.dumps({"x5u": x5u, "typ": "passport", "kid": "1", "ppt": "shaken", "alg": "ES256"}, indent=1)
    claims = {"rcd": {"nam": "Bob"}, **passport_claims(orig)}
    token = sign(header, json.dumps(claims, indent=2), key)
    assert node.deliver(token).status == 201
    assert node.retrieve(DEST, orig).json["passports"] == [token]


def test_several_called_numbers_are_one_passport(node, key, x5u, orig):
    dests = ["12025550123", "12025550124", "442079460000"]
    token = make_passport(key, x5u, orig, dests)
    assert node.deliver(token).status == 201
    assert node.retrieve(dests[2], orig).json["passports"] == [token]
    for dest in dests:
        assert_gone(node, orig, dest)


def test_the_same_token_is_held_once(node, key, x5u, orig):
    token = make_passport(key, x5u, orig)
    assert node.deliver(token).status == 201
    assert node.deliver(token).status == 201
    assert node.deliver(f"{token}\n{token}").status == 201
    assert node.retrieve(DEST, orig).json["passports"] == [token]
    assert node.deliver(token).status == 201  # handed over already
    assert_gone(node, orig)


def test_ten_digits_and_eleven_are_one_call(node, key, x5u, orig):
    token = make_passport(key, x5u, orig[1:], ["2025550123"])
    assert node.deliver(token).status == 201
    assert node.retrieve("12025550123", orig).json["passports"] == [token]


def test_a_thousand_at_once(node, key, x5u):
    tokens = {str(12015570000 + i): make_passport(key, x5u, str(12015570000 + i)) for i in range(1000)}

    def work(part):
        api = node.public.session()
        try:
            return [
                api.post("/cps/company/1234", body=token, headers={"Content-Type": "application/passport"}).status
                for token in part
            ]
        finally:
            api.close()

    every = list(tokens.values())
    with ThreadPoolExecutor(8) as pool:
        for statuses in pool.map(work, [every[i::8] for i in range(8)]):
            assert set(statuses) == {201}
    private = node.private.session()
    for orig, token in tokens.items():
        reply = private.get(f"/passports/{DEST}/{orig}")
        assert (reply.status, reply.json) == (200, {"passports": [token]})
    assert private.get(f"/passports/{DEST}/12015570000").status == 404
    private.close()


# ---- where it may be sent ----


@pytest.mark.parametrize("spc", ["5678", "9999", "12345", "x", "12%2034", "1234x", "%31%32%33%35"])
def test_a_company_code_that_is_not_served(node, key, x5u, orig, spc):
    assert_refused(node.deliver(make_passport(key, x5u, orig), spc), 404, "NOT_FOUND")
    assert_gone(node, orig)


def test_several_company_codes(cps, key, x5u, orig):
    node = cps(spcs=["1234", "818h", "VWC55"])
    for spc in ("1234", "818H", "818h", "vwc55"):
        assert node.deliver(make_passport(key, x5u, orig), spc).status == 201
    assert node.deliver(make_passport(key, x5u, orig), "818G").status == 404
    assert len(node.retrieve(DEST, orig).json["passports"]) == 4


def test_other_paths_and_methods(node):
    assert node.public.get("/health").status == 200
    assert_refused(node.public.get("/nothing"), 404, "NOT_FOUND")
    assert_refused(node.public.get("/cps/company"), 404, "NOT_FOUND")
    reply = node.public.get("/cps/company/1234")
    assert_refused(reply, 405, "METHOD_NOT_ALLOWED")
    assert reply.headers["Allow"] == "POST"


def test_nothing_is_handed_over_in_public(node, key, x5u, orig):
    assert node.deliver(make_passport(key, x5u, orig)).status == 201
    reply = node.public.get(f"/passports/{DEST}/{orig}", token=node.token)
    assert_refused(reply, 404, "NOT_FOUND")
    assert node.retrieve(DEST, orig).status == 200


# ---- the body ----


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/json", "application/passports", ""])
def test_another_media_type(node, key, x5u, orig, media_type):
    reply = node.deliver(make_passport(key, x5u, orig), headers={"Content-Type": media_type})
    assert_refused(reply, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert_gone(node, orig)


def padded(key, x5u, orig, size):
    """A PASSporT of `size` bytes, as exactly as base64url allows (never more)."""
    plain = len(make_passport(key, x5u, orig, claims={"pad": ""}))
    token = make_passport(key, x5u, orig, claims={"pad": "x" * ((size - plain) * 3 // 4)})
    assert size - 2 <= len(token) <= size
    return token


def test_size(node, key, x5u, orig):
    token = padded(key, x5u, orig, 16384)
    assert node.deliver(token).status == 201
    assert_refused(node.deliver(token + "\n" * (16385 - len(token))), 413, "TOO_LARGE")
    assert_refused(node.deliver("x" * 100_000), 413, "TOO_LARGE")
    assert node.retrieve(DEST, orig).json["passports"] == [token]


def test_all_or_none(node, key, x5u, orig, pki):
    good, other = make_passport(key, x5u, orig), make_passport(key, x5u, orig)
    forged = make_passport(pki.private_key("sp2"), x5u, orig)
    stale = make_passport(key, x5u, orig, iat=int(time.time()) - 70)
    elsewhere = make_passport(key, x5u, orig, ["12025550199"])
    assert_refused(node.deliver(f"{good}\n{forged}"), 438, "INVALID_IDENTITY_HEADER")
    assert_refused(node.deliver(f"{good}\n{other}\n{stale}"), 403, "STALE_DATE")
    assert_refused(node.deliver(f"{good}\n{elsewhere}"), 400, "MALFORMED")
    assert_refused(node.deliver("\n".join([good, other, good, other])), 400, "MALFORMED")
    assert_refused(node.deliver(f"{good}\n\n{other}"), 400, "MALFORMED")
    assert_gone(node, orig)


@pytest.mark.parametrize(
    "body", ["", "\n", "x", "a.b.c", "a.b", "{}", "....", "é.é.é", "\0", "a" * 16384, "eyJ9.eyJ9.", "\n\n\n"]
)
def test_malformed(node, body):
    assert_refused(node.deliver(body), 400, "MALFORMED")


# ---- verdicts ----


def test_reason_phrases(node, pki, cert_server, key, x5u):
    """RFC 8224 s6.2.2 gives them; they are also the titles."""
    stranger, url = issue(pki, cert_server, "phrase", ca="sti-pa-root")
    for token, line in [
        ("x", "400 Bad Request"),
        (make_passport(key, x5u, iat=1), "403 Stale Date"),
        (make_passport(key, "http://a.example/x"), "436 Bad Identity Info"),
        (make_passport(stranger, url), "437 Unsupported Credential"),
        (make_passport(key, x5u, claims={"attest": "Z"}), "438 Invalid Identity Header"),
    ]:
        done = subprocess.run(
            ["curl", "-sSi", "--cacert", str(pki.tls_ca), "-H", "Content-Type: application/passport", "--data-binary",
             "@-", node.company_url()],
            input=token, capture_output=True, text=True, check=True,
        )
        assert done.stdout.splitlines()[0] == f"HTTP/1.1 {line}", done.stdout
        assert node.deliver(token).json["title"] == line[4:]


@pytest.mark.parametrize(
    "age, status", [(0, 201), (58, 201), (62, 403), (3600, 403), (-3, 201), (-7, 403), (-3600, 403)]
)
def test_freshness(node, key, x5u, orig, age, status):
    reply = node.deliver(make_passport(key, x5u, orig, iat=int(time.time()) - age))
    assert reply.status == status
    if status == 403:
        assert_refused(reply, 403, "STALE_DATE")
        assert_gone(node, orig)


HEADER_FAULTS = [
    ({"alg": "RS256"}, 437, "UNSUPPORTED_CREDENTIAL"),
    ({"alg": "none"}, 437, "UNSUPPORTED_CREDENTIAL"),
    ({"alg": "es256"}, 437, "UNSUPPORTED_CREDENTIAL"),
    ({"alg": None}, 437, "UNSUPPORTED_CREDENTIAL"),
    ({"typ": "JWT"}, 438, "INVALID_IDENTITY_HEADER"),
    ({"typ": None}, 438, "INVALID_IDENTITY_HEADER"),
    ({"ppt": "div"}, 438, "INVALID_IDENTITY_HEADER"),
    ({"ppt": None}, 438, "INVALID_IDENTITY_HEADER"),
    ({"crit": ["x"]}, 438, "INVALID_IDENTITY_HEADER"),
    ({"x5u": None}, 436, "BAD_IDENTITY_INFO"),
    ({"x5u": 7}, 436, "BAD_IDENTITY_INFO"),
    ({"x5u": "http://certs.example.com/a.crt"}, 436, "BAD_IDENTITY_INFO"),
    ({"x5u": "https://user@certs.example.com/a.crt"}, 436, "BAD_IDENTITY_INFO"),
    ({"x5u": "https://certs.example.com/a.crt?x=1"}, 436, "BAD_IDENTITY_INFO"),
    ({"x5u": "https://certs.example.com/a.crt#"}, 436, "BAD_IDENTITY_INFO"),
]


@pytest.mark.parametrize("change, status, code", HEADER_FAULTS, ids=lambda value: str(value))
def test_header(node, key, x5u, orig, change, status, code):
    assert_refused(node.deliver(make_passport(key, x5u, orig, header=change)), status, code)
    assert_gone(node, orig)


@pytest.mark.parametrize(
    "change",
    [
        {"attest": None}, {"attest": "D"}, {"attest": "a"}, {"attest": 1}, {"dest": None}, {"dest": {"tn": []}},
        {"dest": {"tn": "12025550123"}}, {"dest": {"tn": ["+12025550123"]}}, {"dest": {"tn": ["1234567890123456"]}},
        {"dest": {"uri": ["sip:a@b.c"]}}, {"orig": None}, {"orig": {"tn": ["12015550100"]}},
        {"orig": {"tn": "+12015550100"}}, {"iat": None}, {"iat": "1700000000"}, {"iat": 1700000000.5},
        {"origid": None}, {"origid": "not-a-uuid"},
    ],
    ids=str,
)
def test_claims(node, key, x5u, change):
    assert_refused(node.deliver(make_passport(key, x5u, claims=change)), 438, "INVALID_IDENTITY_HEADER")


def test_duplicate_keys(node, key, x5u):
    header = b'{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"%s"}' % x5u.encode()
    claims = json.dumps(passport_claims()).encode()
    assert_refused(node.deliver(sign(header[:-1] + b',"alg":"ES256"}', claims, key)), 400, "MALFORMED")
    assert_refused(node.deliver(sign(header, claims[:-1] + b',"attest":"A"}', key)), 400, "MALFORMED")


def test_signature(node, key, x5u, orig):
    token = make_passport(key, x5u, orig)
    signed, signature = token.rpartition(".")[::2]
    other = make_passport(key, x5u, orig).rpartition(".")[2]
    assert_refused(node.deliver(f"{signed}.{other}"), 438, "INVALID_IDENTITY_HEADER")
    assert_refused(node.deliver(f"{signed}.{b64url(bytes(64))}"), 438, "INVALID_IDENTITY_HEADER")
    assert node.deliver(token).status == 201


def test_a_key_of_somebody_else(node, pki, x5u, orig):
    forged = make_passport(pki.private_key("sp2"), x5u, orig)
    for _ in range(5):
        assert_refused(node.deliver(forged), 438, "INVALID_IDENTITY_HEADER")
    assert_gone(node, orig)


@pytest.mark.parametrize(
    "name, special",
    [
        ("other-ca", {"ca": "sti-pa-root"}),
        ("expired", {"days": (-30, -1)}),
        ("not-yet", {"days": (1, 30)}),
        ("no-tnauthlist", {"tnauthlist": None}),
        ("no-usage", {"usage": False}),
        ("two-spcs", {"tnauthlist": bytes.fromhex("3010a006160431323334a006160435363738")}),
        ("p-384", {"key": ec.generate_private_key(ec.SECP384R1())}),
    ],
)
def test_certificate(node, pki, cert_server, key, orig, name, special):
    own, url = issue(pki, cert_server, name, **special)
    by = own if isinstance(own.curve, ec.SECP256R1) else key
    assert_refused(node.deliver(make_passport(by, url, orig)), 437, "UNSUPPORTED_CREDENTIAL")
    assert_gone(node, orig)


def test_certificate_as_it_should_be(node, pki, cert_server, orig):
    own, url = issue(pki, cert_server, "made-here")
    assert node.deliver(make_passport(own, url, orig)).status == 201


def test_certificate_issued_anew_under_its_url(node, pki, cert_server, orig):
    old, url = issue(pki, cert_server, "renewed")
    assert node.deliver(make_passport(old, url, orig)).status == 201
    new, _ = issue(pki, cert_server, "renewed")
    token = make_passport(new, url, orig)
    # each server thread keeps its own
    for _ in range(4):
        assert node.deliver(token).status == 201


def test_forged_tokens_do_not_fetch(node, pki, cert_server, orig):
    own, url = issue(pki, cert_server, "stormy")
    assert node.deliver(make_passport(own, url, orig)).status == 201
    forged = make_passport(pki.private_key("sp2"), url, orig)
    for _ in range(40):
        assert_refused(node.deliver(forged), 438, "INVALID_IDENTITY_HEADER")
    assert cert_server.hits["/stormy.crt"] <= 1 + node.config["threads"]


@pytest.mark.parametrize(
    "content", [b"<html>not here</html>", b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_x5u_without_a_certificate(node, key, cert_server, orig, content):
    url = cert_server.serve(f"/bad-{uuid.uuid4()}.crt", content)
    assert_refused(node.deliver(make_passport(key, url, orig)), 436, "BAD_IDENTITY_INFO")


def test_x5u_that_is_not_there(node, key, cert_server, orig):
    reply = node.deliver(make_passport(key, cert_server.url + "/none.crt", orig))
    assert_refused(reply, 436, "BAD_IDENTITY_INFO")
    reply = node.deliver(make_passport(key, f"https://127.0.0.1:{free_port()}/a.crt", orig))
    assert_refused(reply, 436, "BAD_IDENTITY_INFO")


def test_nothing_is_fetched_for_what_is_refused_anyway(node, key, cert_server, orig, pki):
    url = cert_server.serve("/untouched.crt", pki.pem("sp1"))
    stale = make_passport(key, url, orig, iat=1)
    no_claim = make_passport(key, url, orig, claims={"attest": None})
    good = make_passport(key, url, orig)
    for body in (stale, no_claim, f"{good}\n{stale}", f"{good}\n{good}\n{no_claim}"):
        assert node.deliver(body).status in (403, 438)
    assert cert_server.hits["/untouched.crt"] == 0
    assert node.deliver(good).status == 201
    assert cert_server.hits["/untouched.crt"] >= 1


class Silent:
    """A server that takes connections and says nothing."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.url = f"https://127.0.0.1:{self.socket.getsockname()[1]}/silent.crt"


def test_a_silent_x5u_stalls_nobody_else(cps, key, x5u):
    node = cps(x5u={"deadline_ms": 1500})
    assert node.deliver(make_passport(key, x5u, "12015590000")).status == 201
    silents = [Silent() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(node.deliver, make_passport(key, silent.url, "12015590001")) for silent in silents]
        time.sleep(0.3)
        for i in range(50):
            reply = node.deliver(make_passport(key, x5u, str(12015590100 + i)))
            assert reply.status == 201
        assert not any(one.done() for one in waiting)
        for one in waiting:
            assert_refused(one.result(), 436, "BAD_IDENTITY_INFO")
            assert 1.0 < one.result().seconds < 5.0
    for silent in silents:
        silent.socket.close()


def test_fetches_under_way_are_bounded(cps, key, x5u):
    node = cps(x5u={"deadline_ms": 1500, "max_pending": 2}, threads=1)
    silents = [Silent() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda s: node.deliver(make_passport(key, s.url, "12015590001")), silents))
    assert sorted(reply.status for reply in replies) == [436, 436, 503, 503]
    for reply in replies:
        if reply.status == 503:
            assert int(reply.headers["Retry-After"]) >= 1
            assert reply.code == "UNAVAILABLE"
    for silent in silents:
        silent.socket.close()


def test_a_client_that_leaves_while_the_certificate_is_fetched(cps, key, cert_server, pki, orig):
    node = cps(threads=1)
    gate = threading.Event()

    def slow(handler):
        gate.wait(5)
        body = pki.pem("sp1")
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    url = cert_server.serve("/gated.crt", slow)
    token = make_passport(key, url, orig).encode()
    context = ssl.create_default_context(cafile=str(pki.tls_ca))
    for _ in range(5):
        raw = socket.create_connection(("127.0.0.1", node.port))
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as tls:
            tls.sendall(
                b"POST /cps/company/1234 HTTP/1.1\r\nHost: a\r\nContent-Type: application/passport\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(token), token)
            )
            time.sleep(0.05)
    gate.set()
    assert node.deliver(make_passport(key, url, orig)).status == 201
    assert node.public.get("/health").status == 200


# ---- bounds ----


def test_a_full_store_says_so(cps, key, x5u, orig):
    node = cps(store={"max_entries": 3})
    for _ in range(3):
        assert node.deliver(make_passport(key, x5u, orig)).status == 201
    reply = node.deliver(make_passport(key, x5u, orig))
    assert_refused(reply, 503, "UNAVAILABLE")
    assert int(reply.headers["Retry-After"]) >= 1


def test_what_is_held_ends_with_its_time(cps, key, x5u, orig):
    node = cps(freshness={"max_age": 2, "max_ahead": 1})
    token = make_passport(key, x5u, orig)
    assert node.deliver(token).status == 201
    assert node.retrieve(DEST, orig).status == 200
    token = make_passport(key, x5u, orig)
    iat = time.time()
    assert node.deliver(token).status == 201
    wait_until(lambda: time.time() > iat + 4, 6, what="time to pass")
    assert_gone(node, orig)
    assert_refused(node.deliver(token), 403, "STALE_DATE")


# ---- the log ----


def test_the_log_tells_each_decision_and_no_secret(cps, key, x5u, pki):
    node = cps(log={"access": True})
    orig = "12015599876"
    token = make_passport(key, x5u, orig)
    assert node.deliver(token).status == 201
    assert node.deliver(make_passport(pki.private_key("sp2"), x5u, orig)).status == 438
    assert node.retrieve(DEST, orig).status == 200
    assert node.private.get(f"/passports/{DEST}/{orig}", token="wrong").status == 401

    def decisions():
        lines = [json.loads(line) for line in node.log_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["msg"] == "passport"]

    wait_until(lambda: len(decisions()) == 2, 10, what="two decisions in the log")
    accepted, refused = decisions()
    assert (accepted["verdict"], accepted["signer_spc"], accepted["x5u_host"]) == ("ACCEPTED", "1234", "127.0.0.1")
    assert accepted["orig"] == "*********76" and accepted["dest"] == "*********23"
    assert refused["verdict"] == "INVALID_IDENTITY_HEADER" and "signature" in refused["reason"]
    log = node.log_text()
    assert token not in log and token.rpartition(".")[2] not in log
    assert node.token not in log
