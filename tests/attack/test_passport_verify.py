"""PROTOCOL sections 4 and 5 through `sticps passport verify`: each verdict, and what an x5u may do."""

import json
import time

import pytest
from hostile import DIGITAL_SIGNATURE, Hostile, Identity, endless, reply
from lib.passport import b64url, make_passport, passport_claims, sign, verify


class Sti:
    """An STI-CA, an SP's certificate and its repository."""

    def __init__(self, cli, pki, folder):
        self.cli, self.pki = cli, pki
        self.root = Identity("STI-CA", ca=True)
        self.sp = Identity("SHAKEN 1234", self.root, spc="1234")
        self.anchor = folder / "sti-ca.pem"
        self.anchor.write_bytes(self.root.pem)
        self.server = Hostile(pki.crt("repo-tls"), pki.key("repo-tls"))
        self.x5u = self.server.url + "/cert"
        self.server.routes["/cert"] = reply(self.sp.pem)

    def passport(self, *args, key=None, x5u=None, **kw):
        return make_passport(key or self.sp.key, x5u or self.x5u, *args, **kw)

    def verify(self, token, *args, lab=True):
        options = ["--anchor", self.anchor, "--tls-ca", self.pki.tls_ca, *(["--lab"] if lab else [])]
        return self.cli.json("passport", "verify", *options, *args, input=token)

    def refuse(self, verdict, token, *args, status=2, **kw):
        got, answer = self.verify(token, *args, **kw)
        assert (got, answer["code"]) == (status, verdict), answer
        return answer


@pytest.fixture
def sti(cli, pki, tmp_path):
    one = Sti(cli, pki, tmp_path)
    yield one
    one.server.close()


def test_a_good_one(sti):
    token = sti.passport("12025550100", ("12025550123", "12025550124"), attest="B")
    status, answer = sti.verify(token + "\n")
    assert status == 0, answer
    assert answer["attest"] == "B" and answer["spc"] == "1234" and answer["orig"] == "12025550100"
    assert answer["dest"] == ["12025550123", "12025550124"]


def test_malformed(sti):
    header, payload, signature = sti.passport().split(".")
    twice = b64url(json.dumps(passport_claims())[:-1] + ', "iat": 1}')
    for token in (
        "", "x", f"{header}.{payload}", f"{header}.{payload}.{signature}.x", f"{header}.{payload}.{signature}=",
        f"{header}.{b64url('[')}.{signature}", f"{b64url('{')}.{payload}.{signature}",
        f"{header}.{payload}.{signature};info=<{sti.x5u}>;alg=ES256",
        f"{header}.{twice}.{signature}",
    ):  # fmt: skip
        sti.refuse("MALFORMED", token)
    assert sti.server.requests == []


@pytest.mark.parametrize("iat, ok", [(-70, False), (-50, True), (4, True), (20, False), (-10**6, False)])
def test_stale(sti, iat, ok):
    token = sti.passport(iat=int(time.time()) + iat)
    if ok:
        assert sti.verify(token)[0] == 0
    else:
        sti.refuse("STALE_DATE", token)
        assert sti.server.requests == []


def test_at(sti):
    token = sti.passport(iat=1700000000)
    sti.refuse("STALE_DATE", token)
    sti.refuse("UNSUPPORTED_CREDENTIAL", token, "--at", "2023-11-14T22:13:30Z")  # its certificate did not exist
    sti.refuse("STALE_DATE", token, "--at", "1700000061")


@pytest.mark.parametrize("alg", ["none", "HS256", "RS256", "ES384", None])
def test_alg(sti, alg):
    sti.refuse("UNSUPPORTED_CREDENTIAL", sti.passport(header={"alg": alg}))


@pytest.mark.parametrize(
    "header, claims",
    [
        ({"typ": "JWT"}, {}), ({"typ": None}, {}), ({"ppt": "div"}, {}), ({"ppt": None}, {}), ({"crit": ["ppt"]}, {}),
        ({}, {"attest": "D"}), ({}, {"attest": "a"}), ({}, {"attest": None}), ({}, {"iat": "now"}), ({}, {"iat": None}),
        ({}, {"dest": {"tn": []}}), ({}, {"dest": {"uri": ["sip:a@b"]}}), ({}, {"dest": {"tn": "12025550123"}}),
        ({}, {"orig": {"tn": ["12025550100"]}}), ({}, {"orig": None}), ({}, {"orig": {"tn": "+12025550100"}}),
        ({}, {"dest": {"tn": ["1-202-555-0123"]}}), ({}, {"origid": "x"}), ({}, {"origid": None}),
    ],
    ids=str,
)  # fmt: skip
def test_claims(sti, header, claims):
    sti.refuse("INVALID_IDENTITY_HEADER", sti.passport(header=header, claims=claims))
    assert sti.server.requests == [], "nothing is fetched for a token that is refused already"


def test_other_claims_and_any_order(sti):
    token = sign(
        {"x5u": sti.x5u, "typ": "passport", "kid": "1", "ppt": "shaken", "alg": "ES256"},
        json.dumps(passport_claims() | {"rcd": {"nam": "X"}}, indent=3).encode(),
        sti.sp.key,
    )
    assert sti.verify(token)[0] == 0


def test_signature(sti):
    other = Identity("x")
    sti.refuse("INVALID_IDENTITY_HEADER", sti.passport(key=other.key))
    header, _, signature = sti.passport().split(".")
    sti.refuse("INVALID_IDENTITY_HEADER", f"{header}.{b64url(passport_claims())}.{signature}")


def test_certificates(sti):
    root = sti.root
    stranger = Identity("stranger", ca=True)
    server = Identity("x", root, server=True, spc="1234")
    for identity, *rest in (
        [Identity("x", stranger, spc="1234"), stranger],
        [Identity("x", spc="1234")],
        [Identity("x", root)],
        [Identity("x", root, spc="1234", days=(-10, -1))],
        [Identity("x", root, spc="1234", days=(1, 10))],
        [Identity("x", root, spc="1234", ca=True, usage=DIGITAL_SIGNATURE)],
        [Identity("x", root, spc="1234", usage=None)],
        [Identity("x", Identity("gone", root, ca=True), spc="1234")],
    ):
        sti.server.routes["/cert"] = reply(identity.pem + b"".join(one.pem for one in rest))
        sti.refuse("UNSUPPORTED_CREDENTIAL", sti.passport(key=identity.key))
    sti.server.routes["/cert"] = reply(server.pem)
    assert sti.verify(sti.passport(key=server.key))[0] == 0, "an extended key usage is nothing to refuse"


def test_no_basic_constraints_is_a_finding(sti):
    identity = Identity("x", sti.root, spc="1234", basic_constraints=False)
    sti.server.routes["/cert"] = reply(identity.pem)
    status, answer = sti.verify(sti.passport(key=identity.key))
    assert status == 0 and answer["findings"], answer


def test_the_web_pki_signs_no_passport(sti):
    sti.server.routes["/cert"] = reply(sti.pki.pem("repo-tls") + sti.pki.pem("tls-ca"))
    sti.refuse("UNSUPPORTED_CREDENTIAL", sti.passport(key=sti.pki.private_key("repo-tls")))


def test_cert_from_a_file(sti, tmp_path):
    file = tmp_path / "chain.pem"
    file.write_bytes(sti.sp.pem)
    assert sti.verify(sti.passport(x5u="https://certs.example.com/x"), "--cert", file)[0] == 0
    assert sti.server.requests == []


def test_nothing_to_trust(cli):
    status, answer = cli.json("passport", "verify", input="x")
    assert (status, answer["code"]) == (1, "USAGE")


# ---- section 4 ----


@pytest.mark.parametrize(
    "x5u",
    ["http://certs.example.com/x", "https://certs.example.com:444/x", "https://u@certs.example.com/x",
     "https://certs.example.com/x?", "https://certs.example.com/x#", "https://certs.example.com/x?a=b",
     "https://127.0.0.1/x", "https://localhost/x", "https://10.1.2.3/x", "https://[::1]/x", "https://certs/x", "",
     "ftp://certs.example.com/x", "certs.example.com/x", None, 5],
)  # fmt: skip
def test_x5u_form(sti, x5u):
    token = sti.passport(header={"x5u": x5u})
    sti.refuse("BAD_IDENTITY_INFO", token, lab=False)


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>", b"\x30\x82\x01\x01"])
def test_x5u_that_is_no_certificate(sti, content):
    sti.server.routes["/cert"] = reply(content)
    sti.refuse("BAD_IDENTITY_INFO", sti.passport())


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"", "404 Not Found"), reply(b"", "500 Oops"), reply(b"", "302 Found", Location="/other"), b"",
        reply(b"A" * 65537), endless(b"A" * 8192, first=b"HTTP/1.1 200 OK\r\n\r\n"),
        endless(b"X: y\r\n", 0.0, b"HTTP/1.1 200 OK\r\n"), reply(b"A", "304 Not Modified"),
        reply(b"0\r\n\r\n", Content_Length=None, Transfer_Encoding="gzip, gzip, gzip, chunked"),
    ],
    ids=["404", "500", "redirect", "nothing", "64 KiB and one", "endless", "endless headers", "304", "codings"],
)  # fmt: skip
def test_x5u_that_cannot_be_had(sti, answer):
    sti.server.routes["/cert"] = answer
    sti.server.routes["/other"] = reply(sti.sp.pem)
    sti.refuse("BAD_IDENTITY_INFO", sti.passport(), status=3)
    assert sti.server.paths() == ["/cert"]


def test_x5u_that_drips(sti):
    sti.server.routes["/cert"] = endless(b"A", 0.1, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    started = time.monotonic()
    sti.refuse("BAD_IDENTITY_INFO", sti.passport(), status=3)
    assert 1.5 < time.monotonic() - started < 6, "one total deadline of 2 s"


def test_x5u_of_64_kib_is_had(sti):
    sti.server.routes["/cert"] = reply(sti.sp.pem.ljust(65536, b"\n"))
    assert sti.verify(sti.passport())[0] == 0


# ---- making and looking ----


def test_sign(sti, tmp_path):
    key = tmp_path / "sp.key"
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key.write_bytes(sti.sp.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    done = sti.cli(
        "passport", "sign", "--key", key, "--x5u", sti.x5u, "--orig", "+1 (202) 555-0100", "--dest", "2025550123",
        "--dest", "12025550124", "--attest", "A", "--lab",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    header, payload = verify(done.stdout.strip(), sti.sp.key.public_key())
    assert header == {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": sti.x5u}
    assert payload["orig"] == {"tn": "12025550100"} and payload["dest"] == {"tn": ["12025550123", "12025550124"]}
    assert abs(payload["iat"] - time.time()) < 5
    assert sti.verify(done.stdout)[0] == 0
    again = sti.cli(
        "passport", "sign", "--key", key, "--x5u", "https://certs.example.com/x", "--orig", "12025550100", "--dest",
        "12025550123", "--attest", "C", "--iat", "1584983402", "--origid", "4aec94e2-508c-4c1c-907b-3737bac0a80e",
    )  # fmt: skip
    assert b64url(payload | {
        "attest": "C", "iat": 1584983402, "origid": "4aec94e2-508c-4c1c-907b-3737bac0a80e",
        "dest": {"tn": ["12025550123"]},
    }) == again.stdout.split(".")[1], "lexicographic order, no white space"  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"attest": "D"}, {"orig": "12"}, {"dest": "hello"}, {"x5u": "http://x.example.com/"}, {"origid": "x"}, {"key": "/none"}],
)
def test_sign_refuses(sti, tmp_path, change):
    values = {
        "key": sti.pki.key("sp1"), "x5u": "https://certs.example.com/x", "orig": "12025550100", "dest": "12025550123",
        "attest": "A",
    } | change  # fmt: skip
    args = [part for name, value in values.items() for part in (f"--{name}", value)]
    done = sti.cli("passport", "sign", *args)
    if change == {"orig": "12"}:
        assert done.returncode == 0  # one to fifteen digits are a number
    else:
        assert done.returncode == 1 and done.stdout == "", done.stderr


def test_inspect(sti, tmp_path):
    token = sti.passport()
    status, answer = sti.cli.json("passport", "inspect", "--lab", input=token)
    assert (status, answer["code"]) == (0, "OK")
    assert answer["payload"]["orig"] == {"tn": "12025550100"} and answer["signatureBytes"] == 64
    file = tmp_path / "token"
    file.write_text(sti.passport(claims={"attest": "Z"}, header={"x5u": "https://c.example.com/x"}))
    status, answer = sti.cli.json("passport", "inspect", file)
    assert (status, answer["code"]) == (2, "INVALID_IDENTITY_HEADER")
    assert answer["payload"]["attest"] == "Z"
    assert sti.cli.json("passport", "inspect", input="rubbish")[1]["code"] == "MALFORMED"
    control = sign({"alg": "ES256"}, {"a": "\x1b[31m"}, sti.sp.key)
    assert "\x1b" not in sti.cli("passport", "inspect", input=control).stdout
    assert sti.server.requests == []
