"""Names that lie: DNS rebinding, and a drip under the stages before TLS (PROTOCOL section 2 rule 1, section 4).

Outside the lab setting: in a network namespace the STI-PA has a public address, and the test its own name server."""

import os
import socket
import threading
import time

import pytest
from hostile import Hostile, Identity, StiPa
from internet import FAR, PUBLIC, Internet
from lib.netns import trouble

NAME = "sti-pa.example.com"
PRIVATE = ["127.0.0.1", "10.77.0.53", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fe80::1",
           "64:ff9b::7f00:1"]  # fmt: skip

no_namespaces = trouble()
if no_namespaces and os.environ.get("STICPS_FAILOVER") != "required":
    pytestmark = pytest.mark.skip(reason=no_namespaces)


@pytest.fixture(scope="module")
def internet():
    one = Internet()
    yield one
    one.close()


class Victim:
    """Counts who connects to an address of the inside."""

    def __init__(self, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family)
        self.visitors = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self):
        while True:
            try:
                self._listener.accept()[0].close()
            except OSError:
                return
            self.visitors += 1

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def public(internet, implementation, cli, pki, tmp_path):
    """A `pa` at https://sti-pa.example.com/list, fetched without --lab; victims listen at 443 of the inside."""
    ca = Identity("TLS CA", ca=True)
    identity = Identity(NAME, ca, server=True, names=[NAME])
    (tmp_path / "tls-ca.pem").write_bytes(ca.pem)
    with internet.enter():
        server = Hostile(*identity.write(tmp_path, "server"), host=PUBLIC, port=443, name=NAME)
        victims = [Victim(address, 443) for address in ("127.0.0.1", "10.77.0.53", "::1")]
    one = StiPa(cli, pki, tmp_path, implementation, server, tmp_path / "tls-ca.pem")
    one.internet, one.names, one.victims = internet, internet.names, victims
    one.names.answers = {NAME: [PUBLIC]}
    one.names.asked.clear()
    yield one
    visitors = sum(victim.visitors for victim in victims)
    one.close()
    for victim in victims:
        victim.close()
    assert visitors == 0, "somebody inside was connected to"


def outside(pa):
    return {"lab": False, "under": pa.internet.argv}


def test_a_public_name_is_fetched_from(public):
    """What the tests below have wrong is right here: the namespace, the name server, TLS by name."""
    public.take(public.list(5), **outside(public))
    assert public.server.paths() == ["/list", "/cert"]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_of_a_private_address(public, address):
    public.names.answers[NAME] = [address]
    public.refuse("ADDRESS", 2, serve=public.list(5), **outside(public))
    assert public.server.requests == []


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_is_rebound(public, address):
    """Public when it was first asked for, private ever after: neither the list nor its certificate comes from inside."""
    public.names.answers[NAME] = lambda asked: [PUBLIC] if asked <= 1 else [address]
    public.serve(public.list(5))
    status, answer = public.fetch(**outside(public))
    assert (status, answer["status"]) in ((0, "taken"), (2, "error")), answer  # the address may be remembered
    public.refuse("ADDRESS", 2, serve=public.list(6), **outside(public))
    assert public.server.paths().count("/list") == 1


def test_a_certificate_on_a_private_address(public):
    """The x5u's host is a configured one; where its name leads is checked all the same."""
    other = "certs.example.com"
    public.names.answers[other] = ["10.77.0.53"]
    public.x5u = f"https://{other}/cert"
    public.refuse("ADDRESS", 2, "--x5u-host", other, serve=public.list(5), **outside(public))
    assert public.server.paths() == ["/list"]


@pytest.mark.parametrize("addresses", [[FAR, "127.0.0.1"], [FAR, "::1"], ["127.0.0.1", FAR], ["::1", "10.77.0.53", FAR]])
def test_no_private_address_among_public_ones(public, addresses):
    """The one that does not answer is waited for; the ones inside are not tried."""
    public.names.answers[NAME] = addresses
    public.serve(public.list(5))
    status, answer = public.fetch("--timeout", "4", **outside(public))
    assert status in (2, 3) and public.named(answer, "ADDRESS", "FETCH"), answer


def test_a_drip_under_connect(public):
    public.names.answers[NAME] = [FAR]
    started = time.monotonic()
    public.refuse("FETCH", 3, "--timeout", "2", serve=public.list(5), **outside(public))
    assert time.monotonic() - started < 8


@pytest.mark.parametrize("how", ["silence", "drip"])
def test_a_drip_under_dns(public, how):
    """A resolver waits for minutes; the deadline is the client's own."""
    public.names.answers[NAME] = how
    started = time.monotonic()
    public.refuse("FETCH", 3, "--timeout", "2", serve=public.list(5), **outside(public))
    assert time.monotonic() - started < 8
    assert public.names.asked and (how == "silence" or public.names.dripped), "nobody was asked"
