"""STI certificates, and requests proved by them: made with cryptography and PyJWT from docs/PROTOCOL.md, never
with the code under test."""

import base64
import datetime
import hashlib
import json
import time
import uuid
from urllib.parse import urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


def tnauthlist(*spcs):
    """The DER of a TNAuthList (RFC 8226 s9) of these SPCs."""
    entries = b""
    for spc in spcs:
        inner = b"\x16" + bytes([len(spc)]) + spc.encode()
        entries += b"\xa0" + bytes([len(inner)]) + inner
    return b"\x30" + bytes([len(entries)]) + entries


def issue(pki, cert_server, name, *, ca="sti-ca", key=None, tnauthlist=tnauthlist("1234"), days=(-1, 30), usage=True,
          serial=None):
    """An STI certificate, served by the repository; returns (private key, x5u). `ca` None: a stranger's."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    issuer, now = pki.certificate(ca or "sti-ca"), datetime.datetime.utcnow()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"SHAKEN {name}")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if usage:
        builder = builder.add_extension(
            x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True
        )
    if tnauthlist:
        oid = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26")
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, tnauthlist), critical=False)
    signer = ec.generate_private_key(ec.SECP256R1()) if ca is None else pki.private_key(ca)
    cert = builder.sign(signer, hashes.SHA256())
    return key, cert_server.serve(f"/{name}.crt", cert.public_bytes(Encoding.PEM))


def body_hash(body):
    return "sha256-" + base64.b64encode(hashlib.sha256(body).digest()).decode()


class Prover:
    """Signs requests to one registry with the key of one STI certificate."""

    def __init__(self, api, key, x5u, spc="1234", base_url=None):
        self.api, self.key, self.x5u, self.spc = api, key, x5u, spc
        self.base_url = base_url or api.base_url  # as the registry calls itself

    def claims(self, method, path, content=b"", **changes):
        """The claims of PROTOCOL section 3; a change to None removes one."""
        now = int(time.time())
        claims = {
            "iss": self.spc,
            "aud": urlsplit(self.base_url).hostname,
            "action": "provision",
            "iat": now,
            "exp": now + 60,
            "jti": str(uuid.uuid4()),
            "htm": method,
            "htu": self.base_url + path,
            "body": body_hash(content),
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, method, path, content=b"", *, header=None, key=None, algorithm="ES256", **changes):
        headers = {"x5u": self.x5u} | (header or {})
        return jwt.encode(self.claims(method, path, content, **changes), key or self.key, algorithm, headers)

    def request(self, method, path, url=None, *, headers=None, **kw):
        """Signs and sends; `url` is the CPS URL to set."""
        body = json.dumps({"url": url}).encode() if url is not None else b""
        return self.send(method, path, self.token(method, path, body, **kw), body, headers)

    def send(self, method, path, token, body=b"", headers=None):
        headers = dict(headers or {})
        if body:
            headers.setdefault("Content-Type", "application/json")
        return self.api.request(method, path, body=body or None, headers=headers, token=token)

    def put(self, path, url, **kw):
        return self.request("PUT", path, url, **kw)

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def delete(self, path, **kw):
        return self.request("DELETE", path, **kw)
