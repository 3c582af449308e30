"""A TLS server that answers with whatever bytes a test wants, and an STI-PA whose every word can be wrong."""

import base64
import ipaddress
import json
import socket
import ssl
import threading
import time
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier


def reply(body=b"", status="200 OK", **headers):
    """The bytes of one whole answer. Header names are written with _ for -."""
    if isinstance(body, str):
        body = body.encode()
    headers.setdefault("Content_Length", str(len(body)))
    lines = [f"HTTP/1.1 {status}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


class Hostile:
    """routes: path → bytes to send, or a function (connection, request) that sends them itself. `name`: its host's name
    in `url`, where that is not the address.

    `requests` holds (path, {header: value}) of each request, header names in lower case; `posted` holds
    (path, body) of each POST.
    """

    def __init__(self, certificate, key, host="127.0.0.1", configure=None, port=0, name=None):
        self.routes = {}
        self.requests = []
        self.posted = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(str(certificate), str(key))
        if configure:
            configure(self._tls)
        self._listener = socket.create_server((host, port))
        self.port = self._listener.getsockname()[1]
        self.url = f"https://{name or host}" + ("" if self.port == 443 else f":{self.port}")
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def close(self):
        """Wakes the acceptor before the descriptor's number is free for the next server."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()

    def paths(self):
        return [path for path, _ in self.requests]

    def _accept(self):
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw):
        try:
            raw.settimeout(30)
            with self._tls.wrap_socket(raw, server_side=True) as connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    got = connection.recv(65536)
                    if not got:
                        return
                    head += got
                head, body = head.split(b"\r\n\r\n", 1)
                lines = head.decode().split("\r\n")
                method, path = lines[0].split(" ")[:2]
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
                self.requests.append((path, headers))
                while len(body) < int(headers.get("content-length", 0)):
                    body += connection.recv(65536)
                if method == "POST":
                    self.posted.append((path, body))
                answer = self.routes.get(path, reply(b"no such file", "404 Not Found"))
                if callable(answer):
                    answer(connection, (path, headers))
                else:
                    connection.sendall(answer)
        except OSError:
            pass  # clients that hang up are what these tests are about


def endless(chunk, pause=0.0, first=b""):
    """An answer that never ends."""

    def send(connection, _request):
        connection.sendall(first)
        while True:
            connection.sendall(chunk)
            time.sleep(pause)

    return send


def b64(data):
    if isinstance(data, (dict, list)):
        data = json.dumps(data, separators=(",", ":"))
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw_signature(key, signing_input, algorithm=None):
    algorithm = algorithm or hashes.SHA256()
    size = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(signing_input.encode(), ec.ECDSA(algorithm)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


DIGITAL_SIGNATURE = dict.fromkeys(
    "content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
    "encipher_only decipher_only".split(),
    False,
) | {"digital_signature": True}
SIGN_CERTIFICATES = DIGITAL_SIGNATURE | {"digital_signature": False, "key_cert_sign": True, "crl_sign": True}

_serial = 1000


def _general_name(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Identity:
    """A certificate and its key. `issuer` None: self-signed."""

    def __init__(
        self, name, issuer=None, *, ca=False, usage=..., server=False, spc=None, key=None, days=(-1, 30),
        basic_constraints=True, names=(),
    ):
        global _serial
        _serial += 1
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(timezone.utc).replace(microsecond=0)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(self.key.public_key())
            .serial_number(_serial)
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
        )
        if basic_constraints:
            builder = builder.add_extension(x509.BasicConstraints(ca, None), True)
        if usage is ...:
            usage = SIGN_CERTIFICATES if ca else DIGITAL_SIGNATURE
        if usage:
            builder = builder.add_extension(x509.KeyUsage(**usage), True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), False)
        if server:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        if spc:
            inner = b"\x16" + bytes([len(spc)]) + spc.encode()
            tagged = b"\xa0" + bytes([len(inner)]) + inner
            builder = builder.add_extension(
                x509.UnrecognizedExtension(
                    ObjectIdentifier("1.3.6.1.5.5.7.1.26"), b"\x30" + bytes([len(tagged)]) + tagged
                ),
                False,
            )
        self.certificate = builder.sign((issuer or self).key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(Encoding.PEM)

    def write(self, folder, name):
        """(file of the certificate, file of the key)."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, key


NUMBERS = "202-555,1234\n303-555,5678\n"  # blocks of numbers and who serves them
NUMBER = "12025550123"  # of 1234


class StiPa:
    """Root, signer and server of a list, and the implementation under attack with a state of its own.

    `server`: a Hostile whose certificate is below `tls_ca`; by default one of the test PKI on 127.0.0.1.
    """

    def __init__(self, cli, pki, folder, implementation, server=None, tls_ca=None):
        self.cli, self.pki, self.dir, self.implementation = cli, pki, folder, implementation
        self.root = Identity("STI-PA root", ca=True)
        self.signer = Identity("list signer", self.root)
        self.server = server or Hostile(pki.crt("repo-tls"), pki.key("repo-tls"))
        self.anchor = folder / "anchor.pem"
        self.anchor.write_bytes(self.root.pem)
        self.tls_ca = tls_ca or pki.tls_ca
        self.state = folder / "state"
        self.url = self.server.url + "/list"
        self.x5u = self.server.url + "/cert"
        self.publish_certificate(self.signer.pem)
        self.init()

    def init(self):
        (self.dir / "numbers.csv").write_text(NUMBERS)
        status, answer = self.implementation("init", self.state, self.dir / "numbers.csv")
        assert status == 0, answer

    def close(self):
        self.server.close()

    def publish_certificate(self, pem, **headers):
        self.server.routes["/cert"] = reply(pem, **headers)

    # ---- making lists ----

    def header(self, **changes):
        header = {"alg": "ES256", "typ": "JWT", "x5u": self.x5u} | changes
        return {name: value for name, value in header.items() if value is not None}

    def payload(self, sequence=1, mapping=None, lifetime=3600, **changes):
        payload = {
            "version": "1.0",
            "sequence": sequence,
            "exp": int(time.time()) + lifetime,
            "cpsMapping": {"1234": "https://cps.example.com/cps/company/1234"} if mapping is None else mapping,
        } | changes
        return {name: value for name, value in payload.items() if value is not None}

    def sign(self, header, payload, key=None):
        """Header and payload: dicts, or the very text or bytes."""
        signing_input = f"{b64(header)}.{b64(payload)}"
        return f"{signing_input}.{b64(raw_signature(key or self.signer.key, signing_input))}"

    def list(self, sequence=1, mapping=None, *, header=None, key=None, **changes):
        return self.sign(self.header(**(header or {})), self.payload(sequence, mapping, **changes), key)

    # ---- serving and fetching ----

    def serve(self, body, **headers):
        self.server.routes["/list"] = body if callable(body) else reply(body, **headers)

    def fetch(self, *args, url=None, lab=True, **kw):
        """(exit status, the JSON printed)."""
        return self.implementation("refresh", self.state, *self.options(url, lab), *args, **kw)

    def options(self, url=None, lab=True):
        options = ["--url", url or self.url, "--anchor", self.anchor, "--tls-ca", self.tls_ca, "--timeout", "20"]
        return options + (["--lab"] if lab else [])

    def take(self, body, *args, **kw):
        """Serves and fetches a list that must be taken."""
        self.serve(body)
        status, answer = self.fetch(*args, **kw)
        assert (status, answer["status"]) == (0, "taken"), answer
        return answer

    def resolve(self, number=NUMBER, *args, **kw):
        """(exit status, the JSON printed): what a call to that number would be delivered to."""
        return self.implementation("resolve", self.state, number, *args, **kw)

    def held(self):
        status, answer = self.implementation("show", self.state)
        return answer if status == 0 else None

    def snapshot(self):
        """What changes when the held list does: the state's very bytes where we know them."""
        if not self.implementation.ours:
            return self.resolve()
        file = self.state / "cps-list.json"
        return file.read_bytes() if file.exists() else None

    def named(self, answer, *codes):
        """Is the refusal called one of these? Another implementation may have no names (README.md)."""
        return answer["code"] in (codes if self.implementation.ours else (*codes, ""))

    def refuse(self, code, status, *args, serve=None, says="", **kw):
        """Fetches what must be refused with this code and exit status, the held list untouched. `says`: a part of
        our own explanation."""
        if serve is not None:
            self.serve(serve)
        before = self.snapshot()
        got, answer = self.fetch(*args, **kw)
        assert (got, answer["status"]) == (status, "error"), answer
        assert self.named(answer, code), answer
        if self.implementation.ours:
            assert answer["detail"] and says in answer["detail"], answer
        assert self.snapshot() == before, "a refused fetch changed the state"
        return answer
