"""DNS servers for ENUM: NSD with a zone of the test's own, and a small one that answers as the test wants, for the faults
that no real one has."""

import socket
import socketserver
import struct
import subprocess
import threading
from pathlib import Path

from .net import wait_until

NAPTR, SOA = 35, 6


def dns_port():
    """A port on loopback that nobody has for UDP or TCP just now."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            try:
                other.bind(one.getsockname())
                return one.getsockname()[1]
            except OSError:
                continue


def enum_name(number, apex):
    """RFC 6116 section 3.2, from canonical digits."""
    return ".".join(reversed(number)) + "." + apex


def tel(number, rn=None, extra=""):
    """The regexp of a NAPTR record that says where the number is ported to."""
    return f"!^.*$!tel:+{number};npdi{f';rn=+{rn}' if rn else ''}{extra}!"


class Nsd:
    """NSD on loopback, with the zone `apex`. `records` is the text of the zone, without its SOA."""

    def __init__(self, folder, apex, records):
        self.folder, self.apex = Path(folder), apex
        self.port = dns_port()
        self.address = f"127.0.0.1:{self.port}"
        (self.folder / "zone").write_text(
            f"$ORIGIN {apex}.\n$TTL 300\n@ SOA ns.{apex}. hostmaster.{apex}. 1 3600 600 86400 60\n@ NS ns.{apex}.\n"
            f"ns A 127.0.0.1\n{records}"
        )
        (self.folder / "nsd.conf").write_text(
            f'server:\n  ip-address: 127.0.0.1@{self.port}\n  username: ""\n  chroot: ""\n  zonesdir: "{folder}"\n'
            f'  pidfile: "{folder}/nsd.pid"\n  database: ""\n  xfrdfile: ""\n  zonelistfile: "{folder}/zones"\n'
            f'  xfrdir: "{folder}"\n  server-count: 1\n  rrl-ratelimit: 0\n  logfile: "{folder}/nsd.log"\n  verbosity: 1\n'
            f'remote-control:\n  control-enable: no\nzone:\n  name: "{apex}"\n  zonefile: zone\n'
        )
        self._process = None

    def start(self):
        # -d: in the foreground; it is ours to end
        self._process = subprocess.Popen(["/usr/sbin/nsd", "-d", "-c", self.folder / "nsd.conf"],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, 30, what="an answer of NSD")
        return self

    def _answers(self):
        assert self._process.poll() is None, (self.folder / "nsd.log").read_text()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            s.connect(("127.0.0.1", self.port))
            try:
                s.send(query(self.apex, SOA))
                return bool(struct.unpack(">H", s.recv(512)[6:8])[0])
            except OSError:
                return False

    def stop(self):
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None


# ---- messages ----


def wire_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def query(name, kind=NAPTR, number=7):
    return struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + wire_name(name) + struct.pack(">HH", kind, 1)


def string(text):
    data = text.encode()
    return bytes([len(data)]) + data


def naptr(regexp, *, order=10, preference=10, flags="u", services="E2U+pstn:tel", owner=b"\xc0\x0c", ttl=300):
    """A record whose owner is the name that was asked for."""
    data = struct.pack(">HH", order, preference) + string(flags) + string(services) + string(regexp) + b"\0"
    return owner + struct.pack(">HHIH", NAPTR, 1, ttl, len(data)) + data


class Request:
    """What a client asks, and the answer to it."""

    def __init__(self, data, tcp):
        self.data, self.tcp = data, tcp
        self.number = struct.unpack(">H", data[:2])[0]
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        self.name = ".".join(labels)
        self.question = data[12 : at + 5]

    def answer(self, *records, rcode=0, truncated=False, number=None, question=None):
        flags = 0x8180 | rcode | (0x200 if truncated else 0)
        header = struct.pack(">HHHHHH", self.number if number is None else number, flags, 1, len(records), 0, 0)
        return header + (question or self.question) + b"".join(records)


class FakeDns:
    """Answers as `answer(request)` says: bytes, a list of them (over TCP with pauses between them), or None for silence.

    `seen` has every request: set .answer anew at any time."""

    def __init__(self, answer=lambda request: None):
        self.answer = answer
        self.seen = []
        self.sources = set()
        self.over = threading.Event()
        fake = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                data, sock = self.request
                request = Request(data, tcp=False)
                fake.seen.append(request)
                fake.sources.add(self.client_address[1])
                said = fake.answer(request)
                for one in [said] if isinstance(said, bytes) else said or []:
                    sock.sendto(one, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self):
                size = self.rfile.read(2)
                if len(size) < 2:
                    return
                request = Request(self.rfile.read(struct.unpack(">H", size)[0]), tcp=True)
                fake.seen.append(request)
                said = fake.answer(request)
                try:
                    if isinstance(said, bytes):
                        self.wfile.write(struct.pack(">H", len(said)) + said)
                    for part in said if isinstance(said, list) else []:
                        self.wfile.write(part)
                        if fake.over.wait(0.02):
                            return
                    if said is None:
                        fake.over.wait(30)
                except OSError:
                    pass

        class UdpServer(socketserver.ThreadingUDPServer):
            daemon_threads = True

        class TcpServer(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.port = dns_port()
        self.address = f"127.0.0.1:{self.port}"
        self._servers = [UdpServer(("127.0.0.1", self.port), Udp), TcpServer(("127.0.0.1", self.port), Tcp)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.over.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
