"""Many connections that do nothing, and what happens at the limits. Slow bodies and slow readers are in
tests/unit/test_http_limits.c."""

import itertools
import re
import resource
import selectors
import socket
import time
from pathlib import Path

import pytest
from lib.net import wait_until

MANY = 10_000  # the default of limits.connections
ADDRESSES = 50  # that they come from: limits.per_address is 256 by default
PATH = "/download/v1/cps-list"


def metric(reg, name):
    return float(re.search(rf"^{name} (\S+)", reg.anonymous.get("/metrics").body.decode(), re.M)[1])


def resident(reg):
    """Bytes."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{reg.pid}/status").read_text())[1]) * 1024


def dial(reg, address):
    """A connection from one of loopback's many addresses; the kernel's part of it alone."""
    client = socket.socket()
    client.settimeout(10)
    client.bind((address, 0))
    client.connect(("127.0.0.1", reg.port))
    return client


def is_closed(client, within=5.0):
    client.settimeout(within)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


class Crowd:
    """Keeps as many connections open as it is told, that begin a TLS handshake and say no more, replacing those
    that the server has cut."""

    def __init__(self, reg):
        self._reg = reg
        self._selector = selectors.DefaultSelector()
        self._number = 0
        self.cut = 0

    def __len__(self):
        return len(self._selector.get_map())

    def look(self):
        """Forgets those that were cut."""
        for key, _ in self._selector.select(0):
            self._selector.unregister(key.fileobj)
            key.fileobj.close()
            self.cut += 1

    def fill(self, count):
        self.look()
        while len(self) < count:
            self._number += 1
            client = dial(self._reg, f"127.0.1.{self._number % ADDRESSES + 1}")
            client.send(b"\x16\x03\x01\x02\x00")  # a handshake of 512 bytes begins: OpenSSL makes room for it
            self._selector.register(client, selectors.EVENT_READ)

    def close(self):
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()


@pytest.fixture
def descriptors():
    """Enough of them for this test's side; the daemon sees to itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < MANY + 1024:
        pytest.skip(f"a process may have only {hard} open files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_silent_connections_are_no_matter(registry, descriptors):
    one = registry()
    served, before = one.list_token(), resident(one)
    crowd = Crowd(one)
    try:

        def held():
            crowd.fill(MANY - 50)
            return metric(one, "sticps_connections_open") > 0.95 * MANY

        wait_until(held, 60, what="ten thousand connections")
        started = time.monotonic()
        assert one.list_token() == served
        assert one.pa.get("/api/v1/publications").status == 200
        assert time.monotonic() - started < 5
        each = (resident(one) - before) / MANY
        # 46 KiB as measured, nearly all of it OpenSSL's; a sanitizer has its own idea of memory
        sanitized = any(preset in one.program.parts for preset in ("asan", "tsan"))
        assert sanitized or each < 64 * 1024, f"{each:.0f} bytes for each connection"
        # they are cut when their handshake has taken too long, and take nothing with them
        wait_until(lambda: crowd.look() or len(crowd) == 0, 30, what="the end of the silent ones")
        assert one.list_token() == served
        wait_until(lambda: metric(one, "sticps_connections_open") < 10, 10)
    finally:
        crowd.close()


def test_the_limits_of_connections(registry):
    one = registry(limits={"connections": 40, "per_address": 10})
    held = [dial(one, "127.0.1.1") for _ in range(10)]
    try:
        refused = metric(one, "sticps_connections_refused_total")
        assert is_closed(dial(one, "127.0.1.1")), "the eleventh of one address"
        assert metric(one, "sticps_connections_refused_total") == refused + 1
        assert one.list_token(), "another address is not touched"
        for last in (2, 3, 4):
            held += [dial(one, f"127.0.1.{last}") for _ in range(10)]

        others = itertools.count(5)

        def full():  # a connection of before may have had a place until now; silent ones are cut after 5 s
            held.append(dial(one, f"127.0.1.{next(others)}"))
            return is_closed(held[-1], 0.2) and not answered(one)

        wait_until(full, 10, what="the limit of all")
        held.pop(0).close()
        wait_until(lambda: answered(one), 10, what="the place that became free")
    finally:
        for client in held:
            client.close()
    assert wait_until(lambda: answered(one), 5)


def answered(reg):
    try:
        return reg.anonymous.get(PATH).status == 200
    except OSError:
        return False
