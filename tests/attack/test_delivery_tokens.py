"""Deliveries to a CPS that demands a request token (PROTOCOL section 6). The CPS here believes nothing: it checks
each token with PyJWT against the certificate's key."""

import json
import subprocess
import time

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hostile import Identity, reply
from lib.passport import make_passport
from lib.sti import body_hash
from test_delivery import osp  # noqa: F401

PATH = "/cps/company/1234"
CHALLENGE = {"WWW_Authenticate": 'Bearer realm="cps"'}


class Demanding:
    """A CPS that answers 201 to whoever shows a good token, once for each jti, and 401 to others."""

    def __init__(self, osp, key):
        self.osp, self.key = osp, key
        self.tokens, self.faults = [], []
        self.challenge = CHALLENGE
        osp.server.routes[PATH] = self
        self.after = None  # called with the number of tokens seen, may answer itself

    def __call__(self, connection, request):
        _, headers = request
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if token:
            self.check(token, self.osp.server.posted[-1][1])
            if self.after and self.after(len(self.tokens), connection):
                return
        good = token and not self.faults
        connection.sendall(reply(b"", "201 Created") if good else reply(b"{}", "401 Unauthorized", **self.challenge))

    def check(self, token, body):
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, self.key.public_key(), ["ES256"], audience="127.0.0.1")
            assert set(header) == {"alg", "typ", "x5u"} and (header["alg"], header["typ"]) == ("ES256", "JWT")
            assert header["x5u"] == "https://certs.example.com/sti.pem"
            assert set(claims) == {"iss", "aud", "action", "iat", "exp", "jti", "htm", "htu", "body"}
            assert (claims["iss"], claims["action"], claims["htm"]) == ("1234", "publish", "POST")
            assert claims["htu"] == self.osp.server.url + PATH and claims["body"] == body_hash(body)
            assert abs(claims["iat"] - time.time()) < 30 and claims["exp"] - claims["iat"] <= 60
            assert claims["jti"] not in [one["jti"] for one in self.tokens]
            self.tokens.append(claims)
        except Exception as fault:  # noqa: BLE001: whatever is wrong is the test's to see
            self.faults.append(repr(fault))


@pytest.fixture
def sti(tmp_path):
    """The sender's STI certificate; .options for the command."""
    one = Identity("SHAKEN 1234", spc="1234")
    pem = one.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "sti.key").write_bytes(pem)
    (tmp_path / "sti.crt").write_bytes(one.pem)
    one.options = ["--sti-key", tmp_path / "sti.key", *WHO]
    return one


WHO = ["--sti-spc", "1234", "--sti-x5u", "https://certs.example.com/sti.pem"]


@pytest.fixture
def cps(osp, sti):  # noqa: F811
    return Demanding(osp, sti.key)


def deliver(osp, *args, **kw):  # noqa: F811
    token = make_passport(osp.signer.key, osp.x5u, "12025550100", ("12025550123",))
    options = ["--state", osp.state, "--npdb", osp.npdb, "--tls-ca", osp.pki.tls_ca, "--lab", "--deadline", "20000"]
    return token, *osp.cli.json("deliver", *options, *args, input=token + "\n", **kw)


def test_a_token_on_demand(osp, sti, cps):  # noqa: F811
    """The first request has none; the second is the same with one, made for it alone."""
    for count in (1, 2):
        token, status, answer = deliver(osp, *sti.options)
        assert (status, answer["status"], cps.faults) == (0, "delivered", []), answer
        assert len(cps.tokens) == count
    assert answer["deliveries"][0]["problem"] == ""
    assert osp.server.posted[-2:] == [(PATH, token.encode())] * 2
    authorized = ["authorization" in headers for path, headers in osp.server.requests if path == PATH]
    assert authorized == [False, True] * 2


@pytest.mark.parametrize(
    "challenge", ["bearer", "Bearer", 'Basic realm="x", Bearer', "Basic, bearer realm=cps,error=none"]
)
def test_challenges(osp, sti, cps, challenge):  # noqa: F811
    cps.challenge = {"WWW_Authenticate": challenge}
    _, status, answer = deliver(osp, *sti.options)
    assert (status, cps.faults) == (0, []), answer


@pytest.mark.parametrize("challenge", [None, "Basic", 'Basic realm="x"', "BearerX", "Digest, Negotiate", ""])
def test_no_challenge_no_token(osp, sti, cps, challenge):  # noqa: F811
    """A 401 that asks for something else is the definite answer that it is."""
    cps.challenge = {"WWW_Authenticate": challenge}
    _, status, answer = deliver(osp, *sti.options)
    assert (status, answer["code"]) == (2, "REJECTED")
    assert len(osp.server.posted) == 1


@pytest.mark.parametrize("answer", ["400 Bad", "403 No", "429 Slow", "500 Oops", "503 Busy"])
def test_only_401_is_a_challenge(osp, sti, answer):  # noqa: F811
    osp.server.routes[PATH] = reply(b"", answer, **CHALLENGE)
    _, status, _ = deliver(osp, *sti.options)
    assert status in (2, 3)
    assert len(osp.server.posted) == 1


def test_without_a_key(osp, cps):  # noqa: F811
    _, status, answer = deliver(osp)
    assert (status, answer["code"]) == (2, "REJECTED") and "no STI key" in answer["detail"]
    assert len(osp.server.posted) == 1


def test_a_token_that_is_refused(osp, sti):  # noqa: F811
    """One token for one challenge: the second 401 is final."""
    body = json.dumps({"code": "UNAUTHENTICATED", "detail": "not you"})
    osp.server.routes[PATH] = reply(body, "401 No", Content_Type="application/problem+json", **CHALLENGE)
    _, status, answer = deliver(osp, *sti.options)
    assert (status, answer["code"]) == (2, "REJECTED") and "not you" in answer["detail"]
    assert len(osp.server.posted) == 2


def test_a_broken_connection_costs_the_token(osp, sti, cps):  # noqa: F811
    """The CPS may have seen it: what is tried again gets a token of its own."""
    cps.after = lambda seen, connection: seen == 1  # and the connection is closed without an answer
    _, status, answer = deliver(osp, *sti.options)
    assert (status, cps.faults, len(cps.tokens)) == (0, [], 2), answer
    authorized = ["authorization" in headers for path, headers in osp.server.requests if path == PATH]
    assert authorized == [False, True, False, True]


def test_usage(osp, sti, tmp_path):  # noqa: F811
    key = tmp_path / "sti.key"
    for line in (["--sti-key", key], ["--sti-key", key, "--sti-spc", "1234"], WHO, ["--module", "x"],
                 ["--sti-key", tmp_path / "none", *WHO], ["--sti-key", tmp_path / "sti.crt", *WHO],
                 ["--sti-key", key, "--sti-spc", "1", "--sti-x5u", "https://a.example/x"],
                 ["--sti-key", key, "--sti-spc", "1234", "--sti-x5u", "http://a.example/x"],
                 ["--sti-key", "pkcs11:token=x", *WHO]):  # fmt: skip
        _, status, answer = deliver(osp, *line)
        assert status == 1, answer
    assert osp.server.posted == []


# ---- a key in an HSM ----

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "pin-of-the-token-4711"


@pytest.fixture
def hsm(tmp_path, monkeypatch, sti):
    """A SoftHSM with the STI key in it; its options."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    tool = ["softhsm2-util", "--pin", PIN]
    subprocess.run([*tool, "--init-token", "--free", "--label", "as", "--so-pin", "87654321"], check=True,
                   capture_output=True, timeout=60)  # fmt: skip
    subprocess.run([*tool, "--import", tmp_path / "sti.key", "--token", "as", "--label", "sti", "--id", "01"], check=True,
                   capture_output=True, timeout=60)  # fmt: skip
    pin = tmp_path / "pin"
    pin.touch(0o600)
    pin.write_text(PIN + "\n")
    uri = "pkcs11:token=as;object=sti;type=private"
    return ["--sti-key", uri, *WHO, "--sti-cert", tmp_path / "sti.crt", "--module", MODULE, "--pin-file", pin]


def test_a_key_in_an_hsm(osp, cps, hsm):  # noqa: F811
    _, status, answer = deliver(osp, *hsm)
    assert (status, answer["status"], cps.faults, len(cps.tokens)) == (0, "delivered", [], 1), answer


def test_an_hsm_that_has_another_key(osp, cps, hsm, tmp_path):  # noqa: F811
    (tmp_path / "sti.crt").write_bytes(Identity("SHAKEN 1234", spc="1234").pem)
    _, status, answer = deliver(osp, *hsm)
    assert (status, answer["code"]) == (1, "CRYPTO"), answer
    assert osp.server.posted == []


def test_the_manuals_example(osp, sti, cps, example, tmp_path):  # noqa: F811
    token = make_passport(osp.signer.key, osp.x5u, "12025550100", ("12025550123",))
    done = example("sticps_signing", osp.state, osp.npdb, WHO[1], WHO[3], tmp_path / "sti.key", input=token + "\n")
    assert (done.returncode, done.stdout, cps.faults) == (0, "OK\n", []), done.stderr
    assert len(cps.tokens) == 1
