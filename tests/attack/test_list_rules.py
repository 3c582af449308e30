"""PROTOCOL section 2, rules 2 to 9: each has its object that must be refused by that rule's name (exit 2)."""

import json
import time

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hostile import DIGITAL_SIGNATURE, Identity, StiPa, b64, raw_signature, reply

URL = "https://cps.example.com/x"


# ---- 2 FORM ----

JWS = "{jws}"
FORMS = {
    "empty": "",
    "status error": '{"status":"error","cpsList":"%s"}' % JWS,
    "no status": '{"cpsList":"%s"}' % JWS,
    "no list": '{"status":"success","message":"x"}',
    "list is null": '{"status":"success","cpsList":null}',
    "list is an object": '{"status":"success","cpsList":{}}',
    "the other list's envelope": '{"status":"success","caList":"%s"}' % JWS,
    "duplicate in the envelope": '{"status":"success","cpsList":"x","cpsList":"%s"}' % JWS,
    "envelope cut": '{"status":"success","cpsList":"%s"' % JWS,
    "text after the envelope": '{"status":"success","cpsList":"%s"} x' % JWS,
    "line break inside the envelope's list": '{"status":"success","cpsList":"%s\\n\\n"}' % JWS,
    "envelope in an array": '[{"status":"success","cpsList":"%s"}]' % JWS,
    "space before": " " + JWS,
    "space after": JWS + " ",
    "two line breaks": JWS + "\n\n",
    "NUL after": JWS + "\0",
    "byte order mark": "\ufeff" + JWS,
    "quoted": '"%s"' % JWS,
    "four segments": JWS + ".AAAA",
    "dot after": JWS + ".",
    "PASSporT info": JWS + ";info=<https://x.example.com/c>",
    "HTML": "<html>it works</html>",
}


@pytest.mark.parametrize("form", FORMS)
def test_form(pa, form):
    pa.refuse("FORM", 2, serve=FORMS[form].replace(JWS, pa.list(5)))


def form_edits():
    def unused_bits(part):
        """Another last character that decodes to the same bytes when nobody looks at the unused bits."""
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        assert len(part) % 4 in (2, 3)
        return part[:-1] + alphabet[alphabet.index(part[-1]) | 1]

    return {
        "two segments": lambda h, p, s: f"{h}.{p}",
        "one segment": lambda h, p, s: h,
        "empty header": lambda h, p, s: f".{p}.{s}",
        "empty payload": lambda h, p, s: f"{h}..{s}",
        "padding": lambda h, p, s: f"{h}.{p}.{s}==",
        "base64 alphabet": lambda h, p, s: f"{h}.{p}.{s[:-4]}+/+/",
        "line break within": lambda h, p, s: f"{h}.{p[:20]}\n{p[20:]}.{s}",
        "impossible length": lambda h, p, s: f"{h}.{p}.{s[:-1]}",
        "unused bits": lambda h, p, s: f"{h}.{p}.{unused_bits(s)}",
        "percent": lambda h, p, s: f"{h}.{p}.%{s[1:]}",
    }


@pytest.mark.parametrize("edit", form_edits())
def test_form_of_segments(pa, edit):
    pa.refuse("FORM", 2, serve=form_edits()[edit](*pa.list(5).split(".")))


# ---- 3 HEADER ----


@pytest.mark.parametrize(
    "change",
    [
        {"alg": None}, {"alg": "none"}, {"alg": "None"}, {"alg": "es256"}, {"alg": "ES384"}, {"alg": "ES256K"},
        {"alg": "HS256"}, {"alg": "RS256"}, {"alg": "EdDSA"}, {"alg": ["ES256"]}, {"alg": 256},
        {"typ": None}, {"typ": "jwt"}, {"typ": "passport"}, {"typ": "JOSE"}, {"typ": 1},
        {"alg": None, "ALG": "ES256"}, {"x5u": None, "X5U": "{x5u}"}, {"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": None, "x5u": None},
        {"x5u": 5}, {"x5u": ""}, {"x5u": "http://{host}/cert"}, {"x5u": "https://other.example.com/cert"},
        {"x5u": "https://127.0.0.2:{port}/cert"}, {"x5u": "{x5u}?a=b"}, {"x5u": "{x5u}?"}, {"x5u": "{x5u}#f"},
        {"x5u": "{x5u}#"}, {"x5u": "https://u@{host}/cert"}, {"x5u": "https://u:p@{host}/cert"},
        {"x5u": "https://{host}@evil.example.com/cert"}, {"x5u": "https://{host}\\@evil.example.com/cert"},
        {"x5u": "file:///etc/passwd"}, {"x5u": "/cert"}, {"x5u": "{x5u} "}, {"x5u": "{x5u}\n"},
    ],
    ids=lambda change: json.dumps(change),
)  # fmt: skip
def test_header(pa, change):
    host, port = f"127.0.0.1:{pa.server.port}", pa.server.port
    change = {
        name: value.replace("{host}", host).replace("{x5u}", pa.x5u).replace("{port}", str(port))
        if isinstance(value, str) else value
        for name, value in change.items()
    }  # fmt: skip
    pa.refuse("HEADER", 2, serve=pa.list(5, header=change))
    assert pa.server.paths() == ["/list"], "nothing is fetched for a header that is refused"


@pytest.mark.parametrize(
    "header",
    [
        '{"alg":"ES256","alg":"ES256","typ":"JWT","x5u":"%s"}', '["ES256"]', '"ES256"', "null", "5", "",
        '{"alg":"ES256","typ":"JWT","x5u":"%s"}x', '{"alg":"ES256","typ":"JWT","x5u":"%s","a":"\udcff"}',
        '{"alg":"ES256","typ":"JWT","x5u":"%s","a":' + "[" * 20 + "]" * 20 + "}",
    ],
)  # fmt: skip
def test_header_that_is_no_object(pa, header):
    text = header.replace("%s", pa.x5u)
    code = "FORM" if text == "" else "HEADER"
    pa.refuse(code, 2, serve=pa.sign(text, pa.payload(5)))


def test_other_header_members_are_ignored(pa):
    pa.take(pa.list(5, header={"kid": "1", "jku": "https://evil.example.com", "x5c": ["AAAA"], "jwk": {}, "ppt": "x"}))


def test_alg_none_without_a_signature(pa):
    header, payload, _ = pa.list(5, header={"alg": "none"}).split(".")
    pa.refuse("HEADER", 2, serve=f"{header}.{payload}.")


def test_signed_with_the_public_key_as_secret(pa):
    """HS256 with the certificate as the secret: the old trick on verifiers that let the header choose."""
    signing_input = b64(pa.header(alg="HS256")) + "." + b64(pa.payload(5))
    mac = hmac.HMAC(pa.signer.pem, hashes.SHA256())
    mac.update(signing_input.encode())
    pa.refuse("HEADER", 2, serve=f"{signing_input}.{b64(mac.finalize())}")


def test_x5u_host_by_configuration(pa):
    x5u = f"https://localhost:{pa.server.port}/cert"
    pa.refuse("HEADER", 2, serve=pa.list(5, header={"x5u": x5u}))
    status, answer = pa.fetch("--x5u-host", "other.example.com", "--x5u-host", "LOCALHOST")
    assert (status, answer["status"]) == (0, "taken"), answer


# ---- 4 SIGNER ----


def signers(pa):
    root = pa.root
    stranger = Identity("stranger", ca=True)
    sti_ca = Identity("STI-CA", ca=True)
    below = [Identity("1", root, ca=True)]
    for i in range(2, 6):
        below.append(Identity(str(i), below[-1], ca=True))
    no_ca = Identity("not a CA", root)
    expired_ca = Identity("expired CA", root, ca=True, days=(-10, -5))
    return {
        "unknown root": (Identity("x", stranger), stranger),
        "self-signed": (Identity("x"),),
        "same name as the anchor": (Identity("x", Identity("STI-PA root", ca=True)),),
        "STI certificate": (Identity("SHAKEN 1234", sti_ca, spc="1234"), sti_ca),
        "expired": (Identity("x", root, days=(-10, -1)),),
        "not yet valid": (Identity("x", root, days=(1, 10)),),
        "expired intermediate": (Identity("x", expired_ca), expired_ca),
        "issued by a leaf": (Identity("x", no_ca), no_ca),
        "a CA": (Identity("x", root, ca=True, usage=DIGITAL_SIGNATURE),),
        "serverAuth": (Identity("x", root, server=True),),
        "TNAuthList": (Identity("x", root, spc="1234"),),
        "no key usage": (Identity("x", root, usage=None),),
        "not for signatures": (
            Identity("x", root, usage=DIGITAL_SIGNATURE | {"digital_signature": False, "key_agreement": True}),
        ),
        "six certificates": (Identity("x", below[3]), *below[3::-1]),
        "no intermediate": (Identity("x", below[0]),),
        "P-384": (Identity("x", root, key=ec.generate_private_key(ec.SECP384R1())),),
        "secp256k1": (Identity("x", root, key=ec.generate_private_key(ec.SECP256K1())),),
    }


SIGNERS = [
    "unknown root", "self-signed", "same name as the anchor", "STI certificate", "expired", "not yet valid",
    "expired intermediate", "issued by a leaf", "a CA", "serverAuth", "TNAuthList", "no key usage",
    "not for signatures", "six certificates", "no intermediate", "P-384", "secp256k1",
]  # fmt: skip


@pytest.mark.parametrize("which", SIGNERS)
def test_signer(pa, which):
    chain = signers(pa)[which]
    pa.publish_certificate(b"".join(one.pem for one in chain))
    pa.refuse("SIGNER", 2, serve=pa.list(5, key=chain[0].key))


def test_rsa_signer(pa):
    key = rsa.generate_private_key(65537, 2048)
    pa.publish_certificate(Identity("x", pa.root, key=key).pem)
    signing_input = b64(pa.header()) + "." + b64(pa.payload(5))
    signature = key.sign(signing_input.encode(), padding.PKCS1v15(), hashes.SHA256())
    pa.refuse("SIGNER", 2, serve=f"{signing_input}.{b64(signature)}")


def test_issuers_of_great_keys(pa):
    """A received issuer's key costs whoever checks it; an anchor's was chosen by whoever trusts it."""
    great = Identity("great", pa.root, ca=True, key=rsa.generate_private_key(65537, 4104))
    leaf = Identity("x", great)
    pa.publish_certificate(leaf.pem + great.pem)
    pa.refuse("SIGNER", 2, serve=pa.list(5, key=leaf.key), says="4096 bits")
    pa.anchor.write_bytes(great.pem)
    pa.take(pa.list(5, key=leaf.key))
    usual = Identity("usual", pa.root, ca=True, key=rsa.generate_private_key(65537, 3072))
    leaf = Identity("y", usual)
    pa.publish_certificate(leaf.pem + usual.pem)
    pa.anchor.write_bytes(pa.root.pem)
    pa.take(pa.list(6, key=leaf.key))


def test_the_servers_own_certificate_signs_nothing(pa):
    """TLS roots are never anchors: a key of the web's PKI, valid for this very host, signs no list."""
    pa.publish_certificate(pa.pki.pem("repo-tls") + pa.pki.pem("tls-ca"))
    pa.refuse("SIGNER", 2, serve=pa.list(5, key=pa.pki.private_key("repo-tls")))
    plain = Identity("x", ca=True)
    roots = pa.dir / "roots.pem"
    roots.write_bytes(pa.pki.pem("tls-ca") + plain.pem)
    leaf = Identity("y", plain)
    pa.publish_certificate(leaf.pem + plain.pem)
    pa.refuse("SIGNER", 2, "--tls-ca", roots, serve=pa.list(5, key=leaf.key))


def test_expired_anchor(pa):
    root = Identity("old root", ca=True, days=(-10, -1))
    leaf = Identity("x", root)
    pa.publish_certificate(leaf.pem)
    pa.anchor.write_bytes(root.pem)
    pa.refuse("SIGNER", 2, serve=pa.list(5, key=leaf.key))


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", b"\x30\x82"])
def test_x5u_that_is_no_certificate(pa, content):
    pa.publish_certificate(content)
    pa.refuse("SIGNER", 2, serve=pa.list(5))


def test_a_private_key_is_no_certificate(pa):
    pa.publish_certificate(pa.pki.key("list-signer").read_bytes())
    pa.refuse("SIGNER", 2, serve=pa.list(5))


def test_x5u_that_cannot_be_had(pa):
    pa.serve(pa.list(5))
    for answer in (
        reply(b"", "404 Not Found"),
        reply(b"", "302 Found", Location=pa.url),
        reply(pa.signer.pem + b"\n" * 65536),
        reply(pa.signer.pem, Content_Length="5000"),
        b"",
    ):
        pa.server.routes["/cert"] = answer
        pa.refuse("FETCH", 3)


def test_good_chains(pa):
    a = Identity("a", pa.root, ca=True)
    b = Identity("b", a, ca=True)
    c = Identity("c", b, ca=True)
    leaf = Identity("x", c)
    stranger = Identity("stranger", ca=True)
    for sequence, chain in enumerate(
        [[leaf, c, b, a], [leaf, a, b, c, pa.root], [leaf, stranger, b, a, c]], start=1
    ):
        pa.publish_certificate(b"".join(one.pem for one in chain), Cache_Control="no-store")
        pa.take(pa.list(sequence, key=leaf.key))


def test_der_chain(pa):
    from cryptography.hazmat.primitives.serialization import Encoding

    pa.publish_certificate(pa.signer.certificate.public_bytes(Encoding.DER))
    pa.take(pa.list(1))


def test_anchors_overlap(pa):
    """Trust rotation: old and new root side by side, each good until it is removed."""
    new_root = Identity("new root", ca=True)
    new_signer = Identity("new signer", new_root)
    new_anchor = pa.dir / "new.pem"
    new_anchor.write_bytes(new_root.pem)
    pa.take(pa.list(1), "--anchor", new_anchor)
    pa.server.routes["/cert2"] = reply(new_signer.pem)
    x5u = pa.server.url + "/cert2"
    pa.refuse("SIGNER", 2, serve=pa.list(2, header={"x5u": x5u}, key=new_signer.key))
    pa.take(pa.list(2, header={"x5u": x5u}, key=new_signer.key), "--anchor", new_anchor)
    pa.anchor.write_bytes(new_root.pem)
    pa.refuse("SIGNER", 2, serve=pa.list(3))


def test_a_cached_chain_that_fails_is_fetched_once_more(pa):
    pa.take(pa.list(1))
    renewed = Identity("list signer", pa.root)
    pa.publish_certificate(renewed.pem)
    pa.server.requests.clear()
    pa.take(pa.list(2, key=renewed.key))
    assert pa.server.paths() == ["/list", "/cert"]
    pa.server.requests.clear()
    pa.refuse("SIGNATURE", 2, serve=pa.list(3))
    assert pa.server.paths() == ["/list", "/cert"], "once more, and not again"


@pytest.mark.parametrize(
    "headers, cached",
    [
        ({}, True), ({"Cache_Control": "max-age=60"}, True), ({"Cache_Control": "public, MAX-AGE=60"}, True),
        ({"Cache_Control": "max-age=0"}, False), ({"Cache_Control": "no-store"}, False),
        ({"Cache_Control": "no-cache, max-age=60"}, False), ({"Cache_Control": "max-age=60", "Age": "61"}, False),
        ({"Expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, False), ({"Expires": "0"}, False),
        ({"Expires": "Fri, 31 Dec 2100 00:00:00 GMT"}, True),
    ],
    ids=str,
)  # fmt: skip
def test_caching_headers_of_the_certificate(pa, headers, cached):
    pa.publish_certificate(pa.signer.pem, **headers)
    pa.take(pa.list(1))
    pa.take(pa.list(2))
    assert pa.server.paths().count("/cert") == (1 if cached else 2)


# ---- 5 SIGNATURE ----


def signatures(pa, signing_input):
    good = raw_signature(pa.signer.key, signing_input)
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big")
    return {
        "DER": pa.signer.key.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256())),
        "another key": raw_signature(ec.generate_private_key(ec.SECP256R1()), signing_input),
        "another text": raw_signature(pa.signer.key, signing_input + "A"),
        "SHA-384": raw_signature(pa.signer.key, signing_input, hashes.SHA384()),
        "zero": bytes(64),
        "r zero": bytes(32) + good[32:],
        "s zero": good[:32] + bytes(32),
        "r is n": n.to_bytes(32, "big") + good[32:],
        "s is n": good[:32] + n.to_bytes(32, "big"),
        "both are n": n.to_bytes(32, "big") * 2,
        "all ones": b"\xff" * 64,
        "empty": b"",
        "short": good[:63],
        "long": good + b"\0",
        "swapped": good[32:] + good[:32],
        "bit": good[:40] + bytes([good[40] ^ 1]) + good[41:],
        "r as r+n, cut": ((r + n) % 2**256).to_bytes(32, "big") + s.to_bytes(32, "big"),
    }


@pytest.mark.parametrize(
    "which",
    ["DER", "another key", "another text", "SHA-384", "zero", "r zero", "s zero", "r is n", "s is n", "both are n", "all ones", "empty",
     "short", "long", "swapped", "bit", "r as r+n, cut"],
)  # fmt: skip
def test_signature(pa, which):
    signing_input = b64(pa.header()) + "." + b64(pa.payload(5))
    pa.refuse("SIGNATURE", 2, serve=f"{signing_input}.{b64(signatures(pa, signing_input)[which])}")


def test_payload_changed_after_signing(pa):
    header, payload, signature = pa.list(5).split(".")
    changed = b64(pa.payload(6, {"1234": "https://evil.example.com/"}))
    pa.refuse("SIGNATURE", 2, serve=f"{header}.{changed}.{signature}")


# ---- 6 PAYLOAD ----

MAPPINGS = {
    "lower-case key": {"123a": URL}, "three characters": {"123": URL}, "five digits": {"12345": URL},
    "empty key": {"": URL}, "keys that fold to one": {"123A": URL, "123a": URL + "/evil"},
    "Resp Org IDs that fold to one": {"VWC55": URL, "vwc55": URL + "/evil"},
    "Unicode that folds to ASCII": {"12K4": URL, "12\u212a4": URL}, "full width": {"\uff11234": URL}, "key with a space": {" 123": URL}, "Resp Org ID lower case": {"vwc55": URL},
    "Resp Org ID of another form": {"VW155": URL}, "not ASCII": {"12\u0663\u0664": URL},
    "http": {"1234": "http://cps.example.com/x"}, "no scheme": {"1234": "cps.example.com"}, "empty": {"1234": ""},
    "null": {"1234": None}, "number": {"1234": 5}, "array": {"1234": [URL]}, "object": {"1234": {"url": URL}},
    "userinfo": {"1234": "https://u@cps.example.com/x"}, "query": {"1234": URL + "?a=b"},
    "empty query": {"1234": URL + "?"}, "fragment": {"1234": URL + "#f"}, "empty fragment": {"1234": URL + "#"},
    "space": {"1234": URL + " y"}, "backslash": {"1234": "https://cps.example.com\\x"},
    "control": {"1234": URL + "\x01"}, "not ASCII URL": {"1234": "https://cps.example.com/\u00e9"},
    "too long": {"1234": URL + "y" * 2048}, "one bad among many": {f"{i:04}": URL for i in range(999)} | {"9999": "x"},
}  # fmt: skip


@pytest.mark.parametrize("which", MAPPINGS)
def test_bad_entries(pa, which):
    pa.refuse("PAYLOAD", 2, serve=pa.list(5, MAPPINGS[which]))


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/x", "https://127.0.0.1:8443/x", "https://[::1]/x", "https://localhost:8443/x"]
)
def test_the_lab_opens_loopback_and_private_literals(pa, url):
    """Outside the lab they are refused: tests/unit/test_list_accept.c."""
    pa.take(pa.list(5, {"1234": url}))


@pytest.mark.parametrize("url", ["https://8.8.8.8/x", "https://169.254.169.254/x", "https://[2606:4700::1]/x",
                                 "https://0.0.0.0/x", "https://2130706433/x", "https://127.1/x"])  # fmt: skip
def test_the_lab_opens_no_other_literals(pa, url):
    pa.refuse("PAYLOAD", 2, serve=pa.list(5, {"1234": url}))


CLAIMS = [
    {"cpsMapping": None}, {"cpsMapping": []}, {"cpsMapping": "x"}, {"cpsMapping": 1}, {"trustList": []},
    {"trustList": ["x"], "cpsMapping": None}, {"trustList": None, "cpsMapping": None, "crl": "x"},
    {"sequence": None}, {"sequence": 0}, {"sequence": -1}, {"sequence": "5"}, {"sequence": 5.0}, {"sequence": True},
    {"sequence": 2**53}, {"sequence": 2**64 + 5}, {"sequence": []}, {"sequence": None, "Sequence": 5},
    {"cpsMapping": None, "CPSMapping": {"1234": URL}}, {"cpsMapping": None, "cpsmapping": {"1234": URL}},
]  # fmt: skip


@pytest.mark.parametrize("change", CLAIMS, ids=json.dumps)
def test_claims(pa, change):
    payload = pa.payload(5)
    for name, value in change.items():
        payload[name] = value
        if value is None:
            del payload[name]
    pa.refuse("PAYLOAD", 2, serve=pa.sign(pa.header(), payload))


def texts(pa):
    good = json.dumps(pa.payload(5))
    return {
        "empty": ("", "FORM"),
        "duplicate claim": good[:-1] + ', "sequence": 6}',
        "duplicate claim, escaped": good[:-1] + ', "\\u0073equence": 6}',
        "duplicate key": good.replace('{"1234"', '{"1234": "https://evil.example.com/x", "1234"'),
        "cut": good[:-1],
        "trailing comma": good[:-1] + ",}",
        "comment": good + "/* */",
        "trailing brace": good + "}",
        "second value": good + good,
        "array": "[" + good + "]",
        "string": json.dumps(good),
        "sequence 6.0": good.replace('"sequence": 5', '"sequence": 6.0'),
        "sequence 6e0": good.replace('"sequence": 5', '"sequence": 6e0'),
        "sequence 1e400": good.replace('"sequence": 5', '"sequence": 1e400'),
        "sequence 06": good.replace('"sequence": 5', '"sequence": 06'),
        "sequence +6": good.replace('"sequence": 5', '"sequence": +6'),
        "sequence of a thousand digits": good.replace('"sequence": 5', '"sequence": ' + "9" * 1000),
        "NaN": good.replace('"sequence": 5', '"sequence": NaN'),
        "NUL escaped": good[:-1] + ', "a\\u0000b": 1}',
        "NUL in a URL": good.replace("example.com", "example.com\\u0000.evil"),
        "NUL raw": good + "\0",
        "control raw": good[:-1] + ', "a": "\x01"}',
        "bad UTF-8": good[:-1] + ', "a": "\udcff"}',
        "overlong UTF-8": good[:-1] + ', "a": "\udcc0\udcaf"}',
        "surrogate in UTF-8": good[:-1] + ', "a": "\udced\udca0\udc80"}',
        "lone surrogate escaped": good[:-1] + ', "a": "\\ud800"}',
        "deep": good[:-1] + ', "a": ' + "[" * 17 + "]" * 17 + "}",
        "very deep": good[:-1] + ', "a": ' + "[" * 200_000 + "]" * 200_000 + "}",
        "byte order mark": "\ufeff" + good,
        "UTF-16": good.encode("utf-16").decode("utf-8", "surrogateescape"),
    }


@pytest.mark.parametrize(
    "which",
    ["empty", "duplicate claim", "duplicate claim, escaped", "duplicate key", "cut", "trailing comma", "comment",
     "trailing brace", "second value", "array", "string", "sequence 6.0", "sequence 6e0", "sequence 1e400",
     "sequence 06", "sequence +6", "sequence of a thousand digits", "NaN", "NUL escaped", "NUL in a URL", "NUL raw",
     "control raw", "bad UTF-8", "overlong UTF-8", "surrogate in UTF-8", "lone surrogate escaped", "deep",
     "very deep", "byte order mark", "UTF-16"],
)  # fmt: skip
def test_texts(pa, which):
    text = texts(pa)[which]
    text, code = text if isinstance(text, tuple) else (text, "PAYLOAD")
    pa.refuse(code, 2, serve=pa.sign(pa.header(), text))


def test_a_genuine_list_of_the_other_kind(pa):
    """Same signer, same header: the payload is what tells them apart."""
    ca_list = pa.sign(pa.header(), pa.payload(5, cpsMapping=None, trustList=[pa.pki.pem("sti-ca").decode()]))
    pa.refuse("PAYLOAD", 2, serve=ca_list)
    status, answer = pa.fetch("--kind", "ca")
    assert (status, answer["entries"]) == (0, 1), answer
    pa.serve(pa.list(6))
    status, answer = pa.fetch("--kind", "ca")
    assert status == 2 and pa.named(answer, "PAYLOAD"), answer
    status, shown = pa.implementation("show", pa.state, "--kind", "ca")
    assert shown["trustList"] == [pa.pki.pem("sti-ca").decode()]


def test_an_spc_token_is_no_list(pa):
    token = pa.sign(pa.header(), {"exp": int(time.time()) + 600, "jti": "x", "atc": {"tktype": "TNAuthList"}})
    pa.refuse("PAYLOAD", 2, serve=token)


def test_what_is_good_about_a_payload(pa):
    mapping = {
        "1234": "https://cps.example.com/cps/company/1234",
        "818H": "HTTPS://CPS.Example.COM/a/../b",  # not in normal form, but right
        "VWC55": "https://cps.example.com",
        "0000": "https://a.b.c.example.com/%7euser/",
    }
    pa.take(pa.list(5, mapping, iss="somebody", nested=[{"a": [1.5, None, True]}]))
    assert pa.held()["cpsMapping"] == mapping
    pa.take(pa.list(2**53 - 1, mapping))


# ---- 7 VERSION, EXP ----


@pytest.mark.parametrize("version", ["2.0", "1.1", "", "1", 1.0, 1, None, "1.0 "])
def test_version(pa, version):
    payload = pa.payload(5) | {"version": version}
    if version is None:
        del payload["version"]
    pa.serve(pa.sign(pa.header(), payload))
    status, answer = pa.fetch()
    expected = ["VERSION"] if isinstance(version, str) else ["VERSION", "PAYLOAD"]
    assert status == 2 and pa.named(answer, *expected), answer
    assert pa.held() is None


@pytest.mark.parametrize("lifetime", [-3600, -1, 0, 7 * 86400 + 100, 10**9])
def test_exp(pa, lifetime):
    pa.refuse("EXP", 2, serve=pa.list(5, lifetime=lifetime))


@pytest.mark.parametrize("exp", ["soon", 1e9, 4102444800.0, True, None, -1, 2**63, "4102444800"])
def test_exp_that_is_no_time(pa, exp):
    payload = pa.payload(5) | {"exp": exp}
    if exp is None:
        del payload["exp"]
    pa.serve(pa.sign(pa.header(), payload))
    status, answer = pa.fetch()
    assert status == 2 and pa.named(answer, "EXP", "PAYLOAD"), answer
    assert pa.held() is None


def test_claims_that_differ_in_case_are_others(pa):
    """Neither a duplicate nor the claim: a parser that folds names would take the larger sequence, or the other list."""
    pa.take(pa.list(5, Sequence=2**50, EXP=1, CpsMapping={"1234": "https://evil.example.com/x"}, TrustList=[]))
    assert pa.held()["sequence"] == 5
    status, answer = pa.resolve()
    assert (status, answer["url"]) == (0, "https://cps.example.com/cps/company/1234"), answer


def test_max_lifetime(pa):
    pa.refuse("EXP", 2, "--max-lifetime", "600", serve=pa.list(5, lifetime=3600))
    pa.take(pa.list(5, lifetime=86400 * 20), "--max-lifetime", str(86400 * 30))


# ---- 8 ROLLBACK, EQUIVOCATION ----


def test_rollback(pa):
    first, second = pa.list(5), pa.list(6)
    pa.take(first)
    pa.take(second)
    pa.refuse("ROLLBACK", 2, serve=first)
    pa.refuse("ROLLBACK", 2, serve=pa.list(5))
    pa.refuse("ROLLBACK", 2, serve=pa.list(1))
    assert pa.held()["sequence"] == 6


def test_the_same_bytes_are_quietly_current(pa):
    jws = pa.list(5)
    pa.take(jws)
    for body in (jws, jws + "\n", '{"status":"success","cpsList":"%s"}' % jws):
        pa.serve(body)
        status, answer = pa.fetch()
        assert (status, answer["status"]) == (0, "current"), answer


def test_equivocation(pa):
    payload = pa.payload(5)
    pa.take(pa.sign(pa.header(), payload))
    pa.refuse("EQUIVOCATION", 2, serve=pa.list(5, {"1234": "https://evil.example.com/x"}))
    pa.refuse("EQUIVOCATION", 2, serve=pa.sign(pa.header(), payload))  # the same claims signed again


def test_a_gap_is_noted(pa):
    pa.take(pa.list(5))
    answer = pa.take(pa.list(9))
    assert (answer["previous"], answer["missed"]) == (5, 3)


def test_a_current_list_is_still_judged(pa):
    """Rules 2 to 7 come first, also for a sequence that is held."""
    exp = pa.take(pa.list(5, lifetime=6))["exp"]
    time.sleep(max(0, exp + 0.1 - time.time()))
    pa.refuse("EXP", 2)


def test_the_floor_is_shared_by_all_sources(pa):
    pa.take(pa.list(6))
    pa.server.routes["/fallback"] = reply(pa.list(5))
    pa.refuse("ROLLBACK", 2, url=pa.server.url + "/fallback")


def test_the_floor_outlives_failures(pa):
    pa.take(pa.list(6))
    pa.refuse("FETCH", 3, serve=lambda c, _: c.sendall(b""))
    pa.refuse("ROLLBACK", 2, serve=pa.list(5))


def test_a_refused_list_raises_no_floor(pa):
    pa.take(pa.list(5))
    pa.refuse("SIGNATURE", 2, serve=pa.list(2**53 - 1)[:-4] + "AAAA")
    pa.refuse("EXP", 2, serve=pa.list(2**53 - 1, lifetime=-5))
    pa.take(pa.list(6))


def test_the_kinds_have_floors_of_their_own(pa):
    pa.take(pa.list(50))
    pa.serve(pa.sign(pa.header(), pa.payload(5, cpsMapping=None, trustList=[pa.pki.pem("sti-ca").decode()])))
    assert pa.fetch("--kind", "ca")[0] == 0


def reset(pa, to):
    return pa.implementation("reset", pa.state, str(to))


def test_reset_lowers_and_never_raises(pa):
    lists = {n: pa.list(n) for n in (4, 5, 6, 7)}
    for n in (5, 6, 7):
        pa.take(lists[n])
    assert reset(pa, 8)[0] == 1
    assert pa.held()["sequence"] == 7
    status, answer = reset(pa, 5)
    assert (status, answer["previous"], answer["floor"], answer["dropped"]) == (0, 7, 5, True)
    assert pa.held() is None
    pa.refuse("ROLLBACK", 2, serve=lists[4])
    pa.refuse("EQUIVOCATION", 2, serve=pa.list(5, {"1234": "https://evil.example.com/x"}))
    pa.take(lists[5])
    pa.take(pa.list(6, {"1234": "https://other.example.com/x"}))  # forgotten, as asked for


def test_reset_to_the_held_list_keeps_it(pa):
    pa.take(pa.list(5))
    status, answer = reset(pa, 5)
    assert (status, answer["dropped"]) == (0, False)
    assert pa.held()["sequence"] == 5


# ---- 9 SHRINK ----


def entries(n, start=0):
    return {f"{i:04}": f"https://cps.example.com/{i}" for i in range(start, start + n)}


@pytest.mark.parametrize(
    "held, now",
    [(1, {}), (3, {}), (3, {"9999": URL}), (100, entries(79)), (100, entries(100, 21)), (1000, entries(799))],
    ids=["one to none", "three to none", "all replaced", "21 of 100", "21 replaced", "201 of 1000"],
)
def test_shrink(pa, held, now):
    pa.take(pa.list(1, entries(held)))
    pa.refuse("SHRINK", 2, serve=pa.list(2, now))
    status, answer = pa.fetch("--accept-shrink")
    assert (status, answer["status"], answer["entries"]) == (0, "taken", len(now))


@pytest.mark.parametrize(
    "held, now",
    [(20, entries(1)), (100, entries(80)), (100, entries(100, 20)), (200, entries(179)), (1000, entries(800))],
    ids=["19 of 20", "20 of 100", "20 replaced", "21 of 200", "20 percent of 1000"],
)
def test_losses_that_may_be(pa, held, now):
    pa.take(pa.list(1, entries(held)))
    pa.take(pa.list(2, now))


def test_the_first_list_may_be_empty(pa):
    pa.take(pa.list(1, {}))
    pa.take(pa.list(2, {}))
    pa.take(pa.list(3, entries(5)))


def test_shrink_comes_after_equivocation(pa):
    pa.take(pa.list(1, entries(5)))
    pa.refuse("EQUIVOCATION", 2, serve=pa.list(1, {}))
    pa.refuse("SHRINK", 2, serve=pa.list(2, {}))


def test_two_parties_do_not_mix(pa, pki, tmp_path):
    """One anchor does not sign for another's client."""
    (tmp_path / "other").mkdir()
    other = StiPa(pa.cli, pki, tmp_path / "other", pa.implementation)
    other.url, other.server = pa.url, pa.server
    pa.take(pa.list(5))
    other.refuse("SIGNER", 2)
