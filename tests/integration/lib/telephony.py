"""SIP in tests: the shipped configuration under Debian's Kamailio, and SIPp at both ends of its calls."""

import itertools
import re
import socket
import subprocess
from pathlib import Path

from .fronts import ETC, adapt, program
from .net import wait_until
from .process import Daemon

SCENARIOS = Path(__file__).resolve().parents[1] / "sipp"


def udp_port(host="127.0.0.1"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


class Kamailio:
    """packaging/etc/kamailio.cfg with the names that it lets an operator set, `changes` its text (fronts.adapt)."""

    def __init__(self, folder, names, changes=None):
        self.folder, self.port = Path(folder), udp_port()
        self.folder.mkdir(parents=True)
        self.control = f"unix:{self.folder}/control"
        config = self.folder / "kamailio.cfg"
        config.write_text(adapt((ETC / "kamailio.cfg").read_text(), changes or {}))
        names = {"LISTEN": f"udp:127.0.0.1:{self.port}", "CONTROL": f'"{self.control}"', **names}
        argv = [program("kamailio"), "-DD", "-E", "-f", config, "-Y", self.folder, "-w", self.folder]
        for name, value in names.items():
            argv += ["-A", f"{name}={value}"]
        self.daemon = Daemon(argv, self.folder / "kamailio.log", self._ready)

    def _ready(self):
        done = subprocess.run([program("kamcmd"), "-s", self.control, "core.uptime"], capture_output=True, check=False)
        return done.returncode == 0

    def start(self):
        self.daemon.start()
        return self

    def close(self):
        self.daemon.close()

    def log_text(self):
        return self.daemon.log_text()

    def rpc(self, *command):
        """What kamcmd prints."""
        return subprocess.run([program("kamcmd"), "-s", self.control, *command], capture_output=True, text=True,
                              check=True, timeout=30).stdout

    def counters(self):
        """The counters of the PASSporTs: name → number."""
        return {name: int(value) for name, value in re.findall(r"(\w+): (\d+)", self.rpc("cnt.grp_get_all", "passports"))}

    def queued(self):
        """PASSporTs that wait for the agent."""
        return int(re.search(r"size: (\d+)", self.rpc("mqueue.get_sizes"))[1])


class Called:
    """A SIPp that answers every call. identity(call_id): the Identity header that the call came with, or ""."""

    def __init__(self, folder):
        self.port, self._logs = udp_port(), Path(folder) / "called.log"
        self.uri = f"sip:127.0.0.1:{self.port}"
        self._output = open(Path(folder) / "called.output", "wb")
        self._process = subprocess.Popen(
            [program("sipp"), "-sf", SCENARIOS / "called.xml", "-i", "127.0.0.1", "-p", str(self.port), "-nostdin",
             "-trace_logs", "-log_file", self._logs, "-timer_resol", "1"],
            stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output, cwd=folder,
        )
        wait_until(self._listens, 20, what="sipp to listen")

    def _listens(self):
        assert self._process.poll() is None, "sipp ended"
        local = f"0100007F:{self.port:04X} "
        return local in Path("/proc/net/udp").read_text()

    def identity(self, call_id):
        found = re.findall(rf"^{re.escape(call_id)}=(.*)$", self._logs.read_text(), re.M)
        assert len(found) == 1, (call_id, found)
        return found[0].strip()

    def close(self):
        self._process.kill()
        self._process.wait()
        self._output.close()


class Calls:
    """How calls went, as the calling SIPp saw it. delays: code → milliseconds from the INVITE, a call each."""

    def __init__(self, log):
        sent, delays, self.final = {}, {100: {}, 200: {}}, {}
        for line in log.read_text().splitlines():
            _, _, epoch, way, call_id, cseq, first = line.split("\t")[:7]
            if cseq != "CSeq:1 INVITE":
                continue
            if way == "S":
                sent.setdefault(call_id, float(epoch))  # again: a retransmission
                continue
            code = int(first.split(" ")[1])
            if code in delays:
                delays[code].setdefault(call_id, (float(epoch) - sent[call_id]) * 1000)
            if code >= 200:
                self.final[call_id] = code
        self.ids = list(sent)
        self.delays = {code: list(by_call.values()) for code, by_call in delays.items()}


class Caller:
    """Makes calls through a proxy: Caller(folder, port).calls([(from, to), …]) → Calls, all of them ended."""

    def __init__(self, folder, port, host="127.0.0.1"):
        self.folder, self.port, self.host = Path(folder), port, host
        self._number = itertools.count()

    def calls(self, numbers, rate=100, *, header="Subject: none", answered=True, timeout=120):
        """`answered`: a call that is not fails the test."""
        name = f"calling-{next(self._number)}"
        file, log = self.folder / f"{name}.csv", self.folder / f"{name}.log"
        file.write_text("SEQUENTIAL\n" + "".join(f"{caller};{called}\n" for caller, called in numbers))
        argv = [program("sipp"), "-sf", SCENARIOS / "calling.xml", "-i", self.host, "-p", str(udp_port(self.host)),
                f"127.0.0.1:{self.port}", "-inf", file, "-key", "header", header, "-nostdin", "-timer_resol", "1",
                "-m", str(len(numbers)), "-l", str(len(numbers)), "-r", str(rate),
                "-timeout", str(timeout), "-timeout_error", "-trace_shortmsg", "-shortmessage_file", log,
                "-trace_err", "-error_file", self.folder / f"{name}.err"]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, cwd=self.folder,
                              timeout=timeout + 30, check=False)
        calls = Calls(log)
        assert len(calls.ids) == len(numbers), (len(calls.ids), done.stdout[-2000:])
        if answered:
            assert done.returncode == 0, done.stdout.decode(errors="replace")[-3000:]
            assert set(calls.final.values()) == {200}, calls.final
        return calls
