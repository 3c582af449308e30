"""The private side of sticps-cpsd: who gets PASSporTs, in which form, and when."""

import datetime
import signal
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from lib.net import Api, wait_until
from lib.passport import make_passport

DEST = "12025550123"


@pytest.fixture(scope="module")
def node(cps):
    return cps()


_numbers = iter(range(12015540000, 12015550000))


@pytest.fixture
def orig():
    """A calling number that no other test uses."""
    return str(next(_numbers))


@pytest.fixture(scope="module")
def make(pki, cert_server):
    key, x5u = pki.private_key("sp1"), cert_server.url + "/sp1.crt"
    return lambda orig, dest=(DEST,), **kw: make_passport(key, x5u, orig, dest, **kw)


def assert_problem(reply, status, code):
    assert (reply.status, reply.code) == (status, code), (reply.status, reply.body)


# ---- numbers ----


@pytest.mark.parametrize(
    "dest", ["12025550123", "2025550123", "+12025550123", "%2B12025550123", "1-202-555-0123", "1.202.555.0123",
             "%2B1%20(202)%20555-0123", "(202)%20555-0123"]
)
def test_ways_of_writing_a_number(node, make, orig, dest):
    token = make(orig)
    assert node.deliver(token).status == 201
    reply = node.retrieve(dest, orig)
    assert (reply.status, reply.json) == (200, {"passports": [token]})
    assert reply.headers.get_content_type() == "application/json"
    assert "no-store" in reply.headers["Cache-Control"]


def test_plus_takes_no_country_code(node, make, orig):
    """+2025550123 is a number in Egypt, not one in Washington."""
    assert node.deliver(make(orig)).status == 201
    assert_problem(node.retrieve("+2025550123", orig), 404, "NOT_FOUND")
    assert node.retrieve(DEST, orig).status == 200


def test_without_a_default_country(cps, make, orig):
    node = cps(default_country=0)
    assert node.deliver(make(orig)).status == 201
    assert_problem(node.retrieve("2025550123", orig), 404, "NOT_FOUND")
    assert node.retrieve(DEST, orig).status == 200


@pytest.mark.parametrize("dest", ["abc", "1202555012x", "1234567890123456", "+", "-", "1%2B2", "%00", "12%2f34"])
def test_what_is_no_number(node, orig, dest):
    reply = node.retrieve(dest, orig)
    assert reply.status in (400, 404)
    if reply.status == 400:
        assert reply.code == "NOT_A_NUMBER"
    assert node.retrieve(orig, dest).status == reply.status


def test_nothing_held(node):
    assert_problem(node.retrieve("12025550000", "12025550001"), 404, "NOT_FOUND")


def test_direction_counts(node, make, orig):
    assert node.deliver(make(orig)).status == 201
    assert_problem(node.retrieve(orig, DEST), 404, "NOT_FOUND")
    assert node.retrieve(DEST, orig).status == 200


# ---- who may ask ----


@pytest.mark.parametrize("token", [None, "wrong", "", "x" * 5000])
def test_without_the_token(node, make, orig, token):
    assert node.deliver(make(orig)).status == 201
    reply = node.private.get(f"/passports/{DEST}/{orig}", token=token)
    assert_problem(reply, 401, "UNAUTHENTICATED")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert node.retrieve(DEST, orig).status == 200


def test_near_misses_of_the_token(node, orig):
    for token in (node.token[:-1], node.token + "x", node.token[:-1] + "~", node.token.swapcase()):
        assert node.private.get(f"/passports/{DEST}/{orig}", token=token).status == 401
    reply = node.private.get(f"/passports/{DEST}/{orig}", token=None, headers={"Authorization": f"Basic {node.token}"})
    assert reply.status == 401


def test_who_may_not_ask_learns_nothing(node, orig):
    """Neither a bad number nor a missing PASSporT shows to somebody without the token."""
    for dest in ("abc", DEST):
        assert node.private.get(f"/passports/{dest}/{orig}", token="wrong").status == 401


@pytest.fixture(scope="module")
def client_cert(pki, tmp_path_factory):
    """Certificate and key of an STI-VS, under the TLS root."""
    folder = tmp_path_factory.mktemp("sti-vs")
    key, now, ca = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.utcnow(), pki.certificate("tls-ca")
    cert = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sti-vs")]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(pki.private_key("tls-ca"), hashes.SHA256())
    )
    (folder / "vs.crt").write_bytes(cert.public_bytes(Encoding.PEM))
    (folder / "vs.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "vs.crt", folder / "vs.key"


def test_mutual_tls(cps, make, pki, client_cert, orig):
    node = cps(private={"token_file": None, "client_ca": str(pki.tls_ca)})
    assert node.deliver(make(orig)).status == 201
    with pytest.raises((ssl.SSLError, OSError)):
        node.private.get(f"/passports/{DEST}/{orig}")
    stranger = Api(node.private_url, pki.tls_ca, client_cert=(pki.crt("sp1"), pki.key("sp1")))
    with pytest.raises((ssl.SSLError, OSError)):
        stranger.get(f"/passports/{DEST}/{orig}")
    server = Api(node.private_url, pki.tls_ca, client_cert=(pki.crt("cps-tls"), pki.key("cps-tls")))
    with pytest.raises((ssl.SSLError, OSError)):  # a certificate for servers is none for clients
        server.get(f"/passports/{DEST}/{orig}")
    known = Api(node.private_url, pki.tls_ca, client_cert=client_cert)
    assert known.get(f"/passports/{DEST}/{orig}").status == 200


def test_mutual_tls_and_token(cps, make, pki, client_cert, orig):
    node = cps(private={"client_ca": str(pki.tls_ca)})
    assert node.deliver(make(orig)).status == 201
    known = Api(node.private_url, pki.tls_ca, client_cert=client_cert)
    assert known.get(f"/passports/{DEST}/{orig}").status == 401
    assert known.get(f"/passports/{DEST}/{orig}", token=node.token).status == 200


def test_the_metrics_token_opens_the_metrics_alone(cps, make, orig, tmp_path):
    secret = tmp_path / "metrics.token"
    secret.write_text("for-prometheus\n")
    node = cps(private={"metrics_token_file": str(secret)})
    assert node.deliver(make(orig)).status == 201
    assert_problem(node.private.get(f"/passports/{DEST}/{orig}", token="for-prometheus"), 401, "UNAUTHENTICATED")
    for token in ("for-prometheus", node.token):
        assert node.private.get("/metrics", token=token).status == 200
    for token in ("for-prometheu", "for-prometheus1", None):
        assert node.private.get("/metrics", token=token).status == 401
    secret.write_text("another\n")
    node.daemon.signal(signal.SIGHUP)
    wait_until(lambda: node.private.get("/metrics", token="another").status == 200, 10)
    assert node.private.get("/metrics", token="for-prometheus").status == 401
    assert node.retrieve(DEST, orig).status == 200


def test_health_and_methods(node, make, orig):
    assert node.private.get("/health", token=None).status == 200
    assert node.private.post("/cps/company/1234", body="x").status == 404
    assert node.deliver(make(orig)).status == 201
    reply = node.private.request("HEAD", f"/passports/{DEST}/{orig}")
    assert reply.status == 405 and "GET" in reply.headers["Allow"]
    assert node.private.delete(f"/passports/{DEST}/{orig}").status == 405
    assert node.retrieve(DEST, orig).status == 200


# ---- waiting ----


def test_wait_that_ends_empty(node, orig):
    reply = node.retrieve(f"{DEST}", f"{orig}?wait=400")
    assert_problem(reply, 404, "NOT_FOUND")
    assert 0.35 <= reply.seconds < 3


def test_wait_for_what_is_there(node, make, orig):
    assert node.deliver(make(orig)).status == 201
    reply = node.retrieve(DEST, f"{orig}?wait=5000")
    assert reply.status == 200 and reply.seconds < 2


def test_wait_for_what_comes(node, make, orig):
    token = make(orig)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(node.retrieve, DEST, f"{orig}?wait=10000")
        time.sleep(0.3)
        assert not waiting.done()
        assert node.deliver(make("12015549999")).status == 201  # another call wakes nobody
        time.sleep(0.2)
        assert not waiting.done()
        assert node.deliver(token).status == 201
        reply = waiting.result(5)
    assert (reply.status, reply.json) == (200, {"passports": [token]})
    assert_problem(node.retrieve(DEST, orig), 404, "NOT_FOUND")


def test_two_wait_and_one_gets_it(node, make, orig):
    token = make(orig)
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(node.retrieve, DEST, f"{orig}?wait=1500") for _ in range(6)]
        time.sleep(0.4)
        assert node.deliver(token).status == 201
        replies = [one.result(10) for one in waiting]
    assert sorted(reply.status for reply in replies) == [200] + [404] * 5
    assert [reply.json["passports"] for reply in replies if reply.status == 200] == [[token]]
    assert all(reply.seconds > 1.4 for reply in replies if reply.status == 404)


def test_waits_for_either_of_several_numbers(node, make, orig):
    token = make(orig, ["12025550123", "12025550124"])
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(node.retrieve, d, f"{orig}?wait=1500") for d in ("12025550123", "12025550124")]
        time.sleep(0.4)
        assert node.deliver(token).status == 201
        replies = [one.result(10) for one in waiting]
    assert sorted(reply.status for reply in replies) == [200, 404]


@pytest.mark.parametrize("wait", ["-1", "x", "1.5", ""])
def test_wait_that_is_no_number(node, make, orig, wait):
    assert node.deliver(make(orig)).status == 201
    assert node.retrieve(DEST, f"{orig}?wait={wait}").status == 422
    assert node.retrieve(DEST, orig).status == 200


def ask_and_leave(node, pki, path, how):
    context = ssl.create_default_context(cafile=str(pki.tls_ca))
    raw = socket.create_connection(("127.0.0.1", node.private_port))
    tls = context.wrap_socket(raw, server_hostname="127.0.0.1")
    tls.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {node.token}\r\n\r\n".encode())
    time.sleep(0.2)
    if how == "reset":
        tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    elif how == "close_notify":
        tls.settimeout(0.1)
        try:
            tls.unwrap()
        except (OSError, ssl.SSLError):
            pass
    tls.close()


@pytest.mark.parametrize("how", ["close", "close_notify", "reset"])
def test_a_client_that_left_swallows_nothing(node, make, pki, orig, how):
    for _ in range(3):
        ask_and_leave(node, pki, f"/passports/{DEST}/{orig}?wait=5000", how)
    token = make(orig)
    assert node.deliver(token).status == 201
    time.sleep(0.1)
    reply = node.retrieve(DEST, orig)
    assert (reply.status, reply.json) == (200, {"passports": [token]})


def test_one_left_and_one_stayed(node, make, pki, orig):
    with ThreadPoolExecutor(1) as pool:
        ask_and_leave(node, pki, f"/passports/{DEST}/{orig}?wait=5000", "close")
        waiting = pool.submit(node.retrieve, DEST, f"{orig}?wait=5000")
        time.sleep(0.3)
        token = make(orig)
        assert node.deliver(token).status == 201
        assert waiting.result(5).json == {"passports": [token]}


def test_a_hundred_wait_and_each_gets_its_own(node, make):
    calls = {str(12015545000 + i): make(str(12015545000 + i)) for i in range(100)}
    with ThreadPoolExecutor(100) as pool:
        waiting = {orig: pool.submit(node.retrieve, DEST, f"{orig}?wait=15000") for orig in calls}
        time.sleep(1.0)
        for token in calls.values():
            assert node.deliver(token).status == 201
        for orig, one in waiting.items():
            assert one.result(15).json == {"passports": [calls[orig]]}


def test_sigterm_while_waiting(cps, make):
    node = cps()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(node.retrieve, DEST, f"1201555{i:04}?wait=20000") for i in range(4)]
        time.sleep(0.5)
        started = time.monotonic()
        node.stop()  # fails unless it exits with 0
        assert time.monotonic() - started < 5
        for one in waiting:
            reply = one.result(5)
            assert_problem(reply, 503, "UNAVAILABLE")
            assert reply.headers["Retry-After"]


def test_put_and_take_at_once(node, make):
    """Writers and waiters race for the same calls: each token comes out exactly once."""
    origs = [str(12015547000 + i) for i in range(20)]
    sent, got, stop = [], [], threading.Event()
    lock = threading.Lock()

    def take(orig):
        api = node.private.session()
        while not stop.is_set():
            reply = api.get(f"/passports/{DEST}/{orig}?wait=200")
            if reply.status == 200:
                with lock:
                    got.extend(reply.json["passports"])
        api.close()

    takers = [threading.Thread(target=take, args=(orig,)) for orig in origs[:10] * 2]
    for taker in takers:
        taker.start()
    for _ in range(10):
        for orig in origs[:10]:
            token = make(orig)
            sent.append(token)
            assert node.deliver(token).status == 201
    try:
        wait_until(lambda: len(got) >= len(sent), 5, what="every token")
    finally:
        stop.set()
        for taker in takers:
            taker.join()
    assert sorted(got) == sorted(sent)
