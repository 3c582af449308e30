"""The main path with independent tools on the other side: PyJWT and OpenSSL judge the list, secsipidx makes and
judges PASSporTs, an HTTP client that is not ours delivers and retrieves."""

import json
import subprocess
import time
import uuid

import jwt
import pytest
from lib.passport import b64url_decode, make_passport


def segments(token):
    return [b64url_decode(part) for part in token.split(".")]


def test_list_is_exactly_as_the_document_shows_it(path, pki):
    header, payload, signature = segments(path.token)
    x5u = f"{path.registry.base_url}/download/v1/certificate/certificateId_1.crt"
    assert header.decode() == json.dumps({"alg": "ES256", "typ": "JWT", "x5u": x5u}, separators=(",", ":"))
    claims = json.loads(payload)
    assert payload.decode() == json.dumps(
        {"version": "1.0", "sequence": 2, "exp": claims["exp"], "cpsMapping": {"1234": path.url}},
        separators=(",", ":"),
    )
    assert 86400 - 60 <= claims["exp"] - time.time() <= 86400
    assert len(signature) == 64


def test_first_list_was_empty(path):
    claims = json.loads(segments(path.first)[1])
    assert (claims["sequence"], claims["cpsMapping"]) == (1, {})


def test_list_verifies_with_pyjwt(path, pki):
    chain = path.registry.anonymous.get("/download/v1/certificate/certificateId_1.crt").body
    assert chain == pki.pem("list-signer")
    claims = jwt.decode(path.token, pki.certificate("list-signer").public_key(), algorithms=["ES256"])
    assert claims["cpsMapping"] == {"1234": path.url}
    header, payload, signature = path.token.split(".")
    other = "A" if payload[20] != "A" else "B"
    forged = f"{header}.{payload[:20]}{other}{payload[21:]}.{signature}"
    with pytest.raises(jwt.InvalidTokenError):
        jwt.decode(forged, pki.certificate("list-signer").public_key(), algorithms=["ES256"])


def test_list_verifies_with_openssl_alone(path, pki, tmp_path):
    header, payload, _ = path.token.split(".")
    raw = segments(path.token)[2]
    (tmp_path / "signed").write_text(f"{header}.{payload}")
    (tmp_path / "signature.cnf").write_text(
        f"asn1=SEQUENCE:s\n[s]\nr=INTEGER:0x{raw[:32].hex()}\ns=INTEGER:0x{raw[32:].hex()}\n"
    )
    (tmp_path / "signer.crt").write_bytes(
        path.registry.anonymous.get("/download/v1/certificate/certificateId_1.crt").body
    )

    def openssl(*args):
        return subprocess.run(["openssl", *args], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert "OK" in openssl("verify", "-CAfile", str(pki.list_anchor), "signer.crt")
    (tmp_path / "signer.pub").write_text(openssl("x509", "-in", "signer.crt", "-noout", "-pubkey"))
    openssl("asn1parse", "-genconf", "signature.cnf", "-noout", "-out", "signature.der")
    assert "Verified OK" in openssl(
        "dgst", "-sha256", "-verify", "signer.pub", "-signature", "signature.der", "signed"
    )


def test_envelope_holds_the_same_list(path):
    reply = path.registry.anonymous.get("/api/v1/cps-list")
    assert reply.status == 200
    assert reply.json["status"] == "success"
    assert reply.json["cpsList"] == path.token


def test_entry_says_that_it_is_published(path):
    entry = path.sp.get("/api/v1/account/alpha/cps/1234").json
    assert (entry["spc"], entry["url"], entry["publishedSequence"]) == ("1234", path.url, 2)


def test_list_show(path, cli):
    status, shown = cli.json("list", "show", "--state", path.state)
    assert status == 0
    assert shown["sequence"] == 2 and shown["entries"] == 1 and not shown["expired"]
    assert shown["cpsMapping"] == {"1234": path.url}
    assert shown["source"] == f"{path.registry.base_url}/download/v1/cps-list"


@pytest.mark.parametrize(
    "number, spc",
    [("12025550123", "1234"), ("+1 (202) 555-0123", "1234"), ("3035550199", "1234")],
)
def test_resolve_to_the_url(path, cli, number, spc):
    done = cli("resolve", number, "--state", path.state, "--npdb", path.npdb, "--json")
    assert done.returncode == 0, done.stderr
    assert path.url in done.stdout and spc in done.stdout


@pytest.mark.parametrize(
    "number, reason",
    [("12025550124", "CARRIER_HAS_NO_CPS"), ("442079460000", "NO_CARRIER"), ("abc", "NOT_A_NUMBER")],
)
def test_resolve_says_why_there_is_none(path, cli, number, reason):
    done = cli("resolve", number, "--state", path.state, "--npdb", path.npdb, "--json")
    assert done.returncode == 4, (done.returncode, done.stderr)
    assert reason in done.stdout + done.stderr


def test_deliver_and_retrieve(path, cli, passport):
    token = passport("12025550123")
    done = cli("deliver", "--state", path.state, "--npdb", path.npdb, *path.net, input=token)
    assert done.returncode == 0, done.stderr
    reply = path.cps.retrieve("12025550123", "12015550100")
    assert (reply.status, reply.json["passports"]) == (200, [token])
    gone = path.cps.retrieve("12025550123", "12015550100")
    assert (gone.status, gone.code) == (404, "NOT_FOUND")


def test_retrieve_command(path, cli, pki, tmp_path):
    token = make_passport(pki.private_key("sp2"), path.cert_server.url + "/sp2.crt", "12015550111", ["12025550123"])
    assert path.cps.deliver(token).status == 201
    token_file = tmp_path / "token"
    token_file.write_text(path.cps.token + "\n")
    ask = ("retrieve", "--url", path.cps.private_url, "--token-file", token_file, *path.net, "+1 202-555-0123",
           "2015550111")
    done = cli(*ask)
    assert done.returncode == 0, done.stderr
    assert token in done.stdout
    assert cli(*ask).returncode == 4


def test_secsipidx_makes_one_that_the_cps_takes(path, pki):
    identity = subprocess.run(
        ["secsipidx", "-sign-full", "-orig-tn", "12015550122", "-dest-tn", "12025550123", "-attest", "B",
         "-orig-id", str(uuid.uuid4()), "-x5u", path.cert_server.url + "/sp2.crt", "-k", str(pki.key("sp2"))],
        check=True, capture_output=True, text=True,
    ).stdout.strip()
    token = identity.split(";")[0]
    assert path.cps.deliver(token).status == 201
    assert path.cps.retrieve("12025550123", "12015550122").json["passports"] == [token]
    # the whole Identity header is no PASSporT
    assert path.cps.deliver(identity).code == "MALFORMED"


def test_secsipidx_accepts_one_of_ours(path, pki, passport, tmp_path):
    token = passport("12025550123")
    x5u = path.cert_server.url + "/sp2.crt"
    identity = tmp_path / "identity"
    identity.write_text(f"{token};info=<{x5u}>;alg=ES256;ppt=shaken")

    def check(name):
        return subprocess.run(
            ["secsipidx", "-check", "-fidentity", str(identity), "-fpubkey", str(pki.crt(name)), "-expire", "60"],
            capture_output=True, text=True, check=False,
        ).returncode

    assert check("sp2") == 0
    assert check("sp1") != 0


def test_ours_is_in_lexicographic_order_without_white_space(passport):
    header, payload, _ = segments(passport("12025550123"))
    for text in (header, payload):
        assert text.decode() == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def test_forged_one_is_refused_and_not_held(path, pki):
    forged = make_passport(pki.private_key("sp1"), path.cert_server.url + "/sp2.crt", "12015550133", ["12025550123"])
    reply = path.cps.deliver(forged)
    assert (reply.status, reply.code) == (438, "INVALID_IDENTITY_HEADER")
    assert path.cps.retrieve("12025550123", "12015550133").status == 404
