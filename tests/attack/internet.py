"""A small internet in a network namespace: public addresses, and a name server that says what a test wants. Needs root."""

import shutil
import socket
import struct
import threading
import time
from pathlib import Path

from lib.netns import Network, ip

PUBLIC = "93.184.216.34"  # an address that no special range holds, on the namespace's own loopback
FAR = "93.184.215.1"  # another one, to which packets go and from which nothing comes back
RESOLVER = "10.77.0.53"
A, AAAA = 1, 28


class NameServer:
    """answers: what a name resolves to, a list of addresses, or a function of how often it was asked that gives one.
    "silence": never answered. "drip": over TCP only, a byte at a time."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.dripped = 0
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((RESOLVER, 53))
        self._tcp = socket.create_server((RESOLVER, 53))
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def close(self):
        for one in (self._udp, self._tcp):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # an unconnected UDP socket says so, and wakes up nevertheless
            one.close()

    def _serve_udp(self):
        while True:
            try:
                query, peer = self._udp.recvfrom(4096)
            except OSError:
                return
            if not query:
                return  # closed
            reply = self._reply(query)
            if reply is not None:
                self._udp.sendto(reply, peer)

    def _serve_tcp(self):
        while True:
            try:
                connection = self._tcp.accept()[0]
            except OSError:
                return
            self.dripped += 1
            threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    @staticmethod
    def _drip(connection):
        try:
            with connection:
                connection.sendall(struct.pack("!H", 60000))
                while True:
                    connection.sendall(b"\0")
                    time.sleep(0.1)
        except OSError:
            pass

    def _reply(self, query):
        end = query.index(b"\0", 12)
        labels, at = [], 12
        while at < end:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, kind = ".".join(labels).lower(), struct.unpack("!H", query[end + 1 : end + 3])[0]
        question = query[12 : end + 5]
        answer = self.answers.get(name, [])
        if kind == A:
            self.asked.append(name)
        if callable(answer):
            answer = answer(self.asked.count(name))
        if answer == "silence":
            return None
        flags = 0x8380 if answer == "drip" else 0x8180  # truncated: come by TCP
        family = socket.AF_INET if kind == A else socket.AF_INET6
        records = [] if answer == "drip" else [one for one in answer if (":" in one) == (kind == AAAA)]
        head = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        return head + question + b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(packed)) + packed
            for packed in (socket.inet_pton(family, one) for one in records)
        )  # time to live 0: ask again each time


class Internet:
    """One host. `argv` puts a command on it, `enter()` the caller's thread. resolv.conf is the host's own there."""

    def __init__(self):
        self.network = Network()
        self.network.add("host", RESOLVER)
        space = self.network.namespace("host")
        ip("-n", space, "address", "add", f"{PUBLIC}/32", "dev", "lo")
        ip("-n", space, "route", "add", "default", "dev", "eth0")
        ip("-n", space, "neighbour", "replace", FAR, "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eth0")
        self._etc = Path("/etc/netns") / space  # ip netns exec lays it over /etc
        self._etc.mkdir(parents=True)
        (self._etc / "resolv.conf").write_text(f"nameserver {RESOLVER}\noptions timeout:30 attempts:5\n")
        self.argv = self.network.argv("host")
        with self.enter():
            self.names = NameServer()

    def enter(self):
        return self.network.enter("host")

    def close(self):
        self.names.close()
        self.network.close()
        shutil.rmtree(self._etc)
