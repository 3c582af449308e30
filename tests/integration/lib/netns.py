"""Hosts on one switch, each a network namespace, whose cables can be pulled one by one or one way. Needs root."""

import ctypes
import os
import subprocess
from contextlib import contextmanager

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
NOBODY = "02:00:00:00:00:01"  # no host has this address: frames to it go nowhere, in silence


def ip(*words, check=True):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20, check=False)
    assert not check or done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done


def trouble():
    """Why no namespaces can be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"try{os.getpid()}"
    made = ip("netns", "add", name, check=False)
    if made.returncode != 0:
        return f"no network namespace can be made: {made.stderr.strip()}"
    tried = ip("-n", name, "link", "add", "try", "type", "bridge", check=False)
    ip("netns", "delete", name, check=False)
    return f"no bridge can be made in a network namespace: {tried.stderr.strip()}" if tried.returncode else None


class Network:
    """`add` hosts, then `run`, `enter` and disturb them. Nothing of it is visible outside; close() ends it."""

    def __init__(self):
        self.prefix = f"st{os.getpid()}"
        self.addresses = {}
        self._switch = f"{self.prefix}-switch"
        ip("netns", "add", self._switch)
        self._in(self._switch, "link", "add", "switch", "type", "bridge")
        self._in(self._switch, "link", "set", "switch", "up")

    @staticmethod
    def _in(namespace, *words, check=True):
        return ip("-n", namespace, *words, check=check)

    def namespace(self, host):
        return f"{self.prefix}-{host}"

    def add(self, host, address):
        """A host with this IPv4 address, of 10.77.0.0/24."""
        self.addresses[host] = address
        space = self.namespace(host)
        ip("netns", "add", space)
        self._in(space, "link", "set", "lo", "up")
        self._in(self._switch, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", space)
        self._in(self._switch, "link", "set", host, "master", "switch", "up")
        self._in(space, "address", "add", f"{address}/24", "dev", "eth0")
        self._in(space, "link", "set", "eth0", "up")
        return address

    def argv(self, host, *argv):
        """A command line that runs on that host; the process is the command itself, not a parent of it."""
        return ["ip", "netns", "exec", self.namespace(host), *argv]

    @contextmanager
    def enter(self, host):
        """This thread, and every thread and process that it starts, is on that host."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.namespace(host)}", os.O_RDONLY)
        try:
            assert _libc.setns(there, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            yield
        finally:
            assert _libc.setns(here, CLONE_NEWNET) == 0
            os.close(here)
            os.close(there)

    def pull(self, host):
        """Its cable is pulled: both ends hear nothing, and no connection is closed."""
        self._in(self._switch, "link", "set", host, "down")

    def plug(self, host):
        self._in(self._switch, "link", "set", host, "up")

    def lose(self, source, target):
        """What `source` sends to `target` is lost, in silence; the other way works."""
        self._in(self.namespace(source), "neighbour", "replace", self.addresses[target], "lladdr", NOBODY,
                 "nud", "permanent", "dev", "eth0")

    def find(self, source, target):
        self._in(self.namespace(source), "neighbour", "delete", self.addresses[target], "dev", "eth0", check=False)

    def close(self):
        for host in self.addresses:
            ip("netns", "delete", self.namespace(host), check=False)
        ip("netns", "delete", self._switch, check=False)
