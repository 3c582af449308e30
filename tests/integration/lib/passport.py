"""SHAKEN PASSporTs and other compact JWS made with PyJWT and cryptography: never with the code under test."""

import base64
import json
import time
import uuid

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature


def b64url(data) -> str:
    if isinstance(data, (dict, list)):
        data = compact(data)
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64url_decode(text) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value) -> bytes:
    """Keys in lexicographic order, no white space (RFC 8225 s9)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sign(header, payload, key) -> str:
    """Compact JWS, ES256. Header and payload are dicts, or the bytes to sign as they are."""
    signing_input = f"{b64url(header)}.{b64url(payload)}"
    r, s = decode_dss_signature(key.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signing_input}.{b64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def verify(token, public_key):
    """(header, payload) of a compact JWS whose ES256 signature holds; raises otherwise."""
    header, payload, signature = token.split(".")
    raw = b64url_decode(signature)
    assert len(raw) == 64, len(raw)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public_key.verify(der, f"{header}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
    return json.loads(b64url_decode(header)), json.loads(b64url_decode(payload))


def passport_claims(orig="12025550100", dest=("12025550123",), *, attest="A", iat=None, origid=None):
    return {
        "attest": attest,
        "dest": {"tn": list(dest)},
        "iat": int(time.time()) if iat is None else iat,
        "orig": {"tn": orig},
        "origid": origid or str(uuid.uuid4()),
    }


def make_passport(key, x5u, *args, header=None, claims=None, **kw) -> str:
    """One SHAKEN PASSporT. `header` and `claims` change or (value None) remove members."""
    head = {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": x5u}
    body = passport_claims(*args, **kw)
    for part, changes in ((head, header), (body, claims)):
        for name, value in (changes or {}).items():
            if value is None:
                part.pop(name, None)
            else:
                part[name] = value
    return sign(head, body, key)
