#!/usr/bin/python3
"""A client as one writes it in an afternoon: it fetches over TLS, takes the newest list, and leaves out most checks.

It speaks the command protocol of README.md, so that test_runner.py can show that the suite finds what it lacks. What
it does check: TLS, the JSON, the signature by whatever certificate the x5u gives, and exp. Nobody should run it."""

import argparse
import base64
import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature


def answer(exit_status, /, **members):
    print(json.dumps(members))
    sys.exit(exit_status)


def decode(segment):
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def fetch(url, tls_ca, timeout):
    context = ssl.create_default_context(cafile=tls_ca)
    try:
        with urllib.request.urlopen(url, timeout=timeout, context=context) as got:
            return got.read()
    except (OSError, urllib.error.URLError, ValueError) as error:
        answer(3, status="error", code="FETCH", detail=str(error))


def accept(body, options):
    """Sequence and mapping of a list that seems good."""
    text = body.decode().strip()
    if text.startswith("{"):
        text = json.loads(text)["cpsList"]
    signing_input, _, signature = text.rpartition(".")
    header, payload = (json.loads(decode(part)) for part in signing_input.split("."))
    certificate = x509.load_pem_x509_certificate(fetch(header["x5u"], options.tls_ca, options.timeout))
    raw = decode(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    try:
        certificate.public_key().verify(der, signing_input.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        answer(2, status="error", code="SIGNATURE", detail="")
    if payload["exp"] <= time.time():
        answer(2, status="error", code="EXP", detail="")
    return payload


def refresh(state, arguments):
    parser = argparse.ArgumentParser()
    for name in ("--url", "--anchor", "--tls-ca"):
        parser.add_argument(name)
    parser.add_argument("--timeout", type=float)
    parser.add_argument("--lab", action="store_true")
    options, others = parser.parse_known_args(arguments)
    if others:
        sys.exit(5)
    file = state / "list.json"
    held = json.loads(file.read_text()) if file.exists() else {"sequence": 0}
    try:
        payload = accept(fetch(options.url, options.tls_ca, options.timeout), options)
        mapping, sequence = payload["cpsMapping"], payload["sequence"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        answer(2, status="error", code="PAYLOAD", detail=str(error))
    same = held.get("cpsMapping") == mapping and held["sequence"] == sequence
    file.write_text(json.dumps({"sequence": sequence, "exp": payload["exp"], "cpsMapping": mapping}))
    answer(0, status="current" if same else "taken", code="OK", sequence=sequence, entries=len(mapping),
           exp=payload["exp"], previous=held["sequence"], missed=max(0, sequence - held["sequence"] - 1))


def resolve(state, number):
    if not (state / "list.json").exists():
        answer(4, code="NO_LIST")
    held = json.loads((state / "list.json").read_text())
    for line in (state / "numbers.csv").read_text().splitlines():
        prefix, spc = line.split(",")
        if number.startswith("1" + prefix.replace("-", "")) and spc in held["cpsMapping"]:
            answer(0, url=held["cpsMapping"][spc], sequence=held["sequence"], code="OK")
    answer(4, code="CARRIER_HAS_NO_CPS")


def main():
    command, state, arguments = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    if command == "init":
        state.mkdir()
        (state / "numbers.csv").write_bytes(Path(arguments[0]).read_bytes())
        answer(0, status="ready", code="OK")
    elif command == "refresh":
        refresh(state, arguments)
    elif command == "resolve":
        resolve(state, arguments[0])
    sys.exit(5)


main()
