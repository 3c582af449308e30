"""traceparent: into the access log and back with the answer when it is valid, as if not there otherwise."""

import http.client
import json
import ssl

import pytest
from lib.net import wait_until

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{ID}-{SPAN}-01"


@pytest.fixture(scope="module")
def one(registry):
    return registry()


def line_of(service, reply):
    """The access log line of an answer."""
    wanted = reply.headers["X-Request-Id"]

    def find():
        lines = [json.loads(line) for line in service.log_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("request") == wanted and line["msg"] == "request"]

    return wait_until(find, 10)[0]


@pytest.mark.parametrize("path, status", [("/health", 200), ("/nothing", 404), ("/api/v1/audit", 401)])
def test_valid(one, path, status):
    reply = one.anonymous.get(path, headers={"traceparent": VALID, "tracestate": "vendor=1"})
    assert reply.status == status
    assert reply.headers["traceparent"] == VALID
    assert line_of(one, reply)["trace"] == ID


def test_through_the_database(one):
    reply = one.pa.get("/api/v1/publications", headers={"TraceParent": VALID})
    assert reply.headers["traceparent"] == VALID
    line = line_of(one, reply)
    assert (line["trace"], line["user"]) == (ID, one.pa_user)


def test_a_later_version_and_unknown_flags(one):
    for value in (f"01-{ID}-{SPAN}-03-more", f"00-{ID}-{SPAN}-ff"):
        reply = one.anonymous.get("/health", headers={"traceparent": value})
        assert reply.headers["traceparent"] == VALID


@pytest.mark.parametrize(
    "value",
    [
        "", "x", VALID.upper(), VALID + "-x", "ff" + VALID[2:], f"00-{'0' * 32}-{SPAN}-01", f"00-{ID}-{'0' * 16}-01",
        VALID[:-1], VALID.replace("4bf9", '4"f9'), f"{VALID}, {VALID}",
    ],
)
def test_invalid(one, value):
    reply = one.anonymous.get("/health", headers={"traceparent": value})
    assert reply.status == 200
    assert "traceparent" not in reply.headers
    assert "trace" not in line_of(one, reply)


def test_two_are_none(one, pki):
    context = ssl.create_default_context(cafile=str(pki.tls_ca))
    connection = http.client.HTTPSConnection("127.0.0.1", one.port, context=context)
    connection.putrequest("GET", "/health")
    connection.putheader("traceparent", VALID)
    connection.putheader("traceparent", VALID)
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 200 and response.getheader("traceparent") is None
    connection.close()


def test_none(one):
    reply = one.anonymous.get("/health")
    assert "traceparent" not in reply.headers and "trace" not in line_of(one, reply)


def test_the_cps(cps):
    node = cps(log={"access": True})
    reply = node.deliver("nonsense", headers={"traceparent": VALID})
    assert reply.status == 400 and reply.headers["traceparent"] == VALID
    assert line_of(node, reply)["trace"] == ID
