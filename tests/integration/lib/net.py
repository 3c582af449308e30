"""Ports, waiting, and a small HTTPS client over http.client, so that the tests need no third-party one."""

import http.client
import json as jsonlib
import socket
import ssl
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


def free_port() -> int:
    """A TCP port on loopback that nobody listens on just now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(probe, timeout=10.0, interval=0.02, what="the condition"):
    """Calls probe() until it gives something true, which is returned; an AssertionError after `timeout` s."""
    end = time.monotonic() + timeout
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {timeout} s (last: {result!r})")
        time.sleep(interval)


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float = field(default=0.0)

    @property
    def json(self):
        return jsonlib.loads(self.body)

    @property
    def code(self):
        """The stable code of a problem body, checked to be one (RFC 9457, PROTOCOL section 3)."""
        assert self.headers.get_content_type() == "application/problem+json", (self.status, self.body)
        problem = self.json
        assert {"type", "title", "status", "code"} <= problem.keys(), problem
        assert problem["status"] == self.status, problem
        return problem["code"]


class UnixConnection(http.client.HTTPConnection):
    """HTTP on a socket of the file system."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Api:
    """Requests to one server. `token`, when set, goes as a bearer token; `json` or `body` is the body.

    A new connection for each request, so that a test may kill the server between two; `session()` keeps one.
    With `unix` it is reached by that socket. With a `contract` (lib/contract.py) every answer is judged by it, but for requests that say unjudged=True.
    """

    def __init__(self, base_url, ca=None, token=None, timeout=15.0, client_cert=None, contract=None, unix=None):
        self.base_url = base_url.rstrip("/")
        self._unix = unix
        self.token = token
        self.timeout = timeout
        self.contract = contract
        self._parts = urlsplit(self.base_url)
        self._tls = None
        if self._parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=str(ca) if ca else None)
            if client_cert:
                self._tls.load_cert_chain(*[str(part) for part in client_cert])
        self._ca = ca
        self._kept = None
        self._keep = False

    def with_token(self, token):
        """The same server, another identity."""
        other = Api(self.base_url, self._ca, token, self.timeout, contract=self.contract, unix=self._unix)
        other._tls = self._tls
        return other

    def session(self):
        """The same server and identity over one kept connection; close() ends it. One thread only."""
        other = self.with_token(self.token)
        other._keep = True
        return other

    def close(self):
        if self._kept:
            self._kept.close()
            self._kept = None

    def _connect(self):
        if self._kept:
            return self._kept
        host, port = self._parts.hostname, self._parts.port
        if self._unix:
            connection = UnixConnection(self._unix, self.timeout)
        elif self._tls:
            connection = http.client.HTTPSConnection(host, port, timeout=self.timeout, context=self._tls)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self.timeout)
        if self._keep:
            self._kept = connection
        return connection

    def request(self, method, path, *, json=None, body=None, headers=None, token=..., unjudged=False):
        send = {}
        if json is not None:
            body = jsonlib.dumps(json).encode()
            send["Content-Type"] = "application/json"
        if isinstance(body, str):
            body = body.encode()
        bearer = self.token if token is ... else token
        if bearer is not None:
            send["Authorization"] = f"Bearer {bearer}"
        for name, value in (headers or {}).items():
            for sent in [s for s in send if s.lower() == name.lower()]:
                del send[sent]
            if value is not None:
                send[name] = value
        started = time.monotonic()
        connection = self._connect()
        try:
            connection.request(method, self._parts.path + path, body=body, headers=send)
            response = connection.getresponse()
            data = response.read()
        except Exception:
            self.close()
            raise
        finally:
            if not self._keep:
                connection.close()
        reply = Reply(response.status, response.headers, data, time.monotonic() - started)
        if self.contract and not unjudged:
            self.contract.check(method, self._parts.path + path, send, body, reply)
        return reply

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def put(self, path, json=None, **kw):
        return self.request("PUT", path, json=json, **kw)

    def post(self, path, json=None, **kw):
        return self.request("POST", path, json=json, **kw)

    def delete(self, path, **kw):
        return self.request("DELETE", path, **kw)
