"""What systemd hears of the daemons, and the unit files as systemd itself judges them."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest
from lib.net import wait_until
from lib.pki import ROOT

UNITS = ["sticps-registryd", "sticps-cpsd", "sticps-agent"]


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)
        self.heard = []

    def listen(self):
        """All messages so far."""
        while True:
            try:
                self.heard.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return self.heard

    def wait_for(self, start, timeout=10):
        return wait_until(lambda: [m for m in self.listen() if m.startswith(start)], timeout, what=start)


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    name = str(tmp_path / "notify")
    if request.param == "abstract":
        name = "@sticps-" + os.urandom(6).hex()
    one = Manager(name.replace("@", "\0"))
    one.name = name
    yield one
    one.socket.close()


def supervise(service, manager, **env):
    service.daemon._env.update({"NOTIFY_SOCKET": manager.name, **env})
    service.daemon.start(wait=False)


@pytest.mark.parametrize("kind", ["registry", "cps", "agent"])
def test_states_in_order(request, kind, manager):
    one = request.getfixturevalue(kind)(start=False)
    if kind == "registry":
        one.init()
    supervise(one, manager)
    manager.wait_for("READY=1")
    one.daemon.wait_ready()  # it listens already
    one.daemon.signal(signal.SIGHUP)
    wait_until(lambda: len(manager.wait_for("READY=1")) == 2, 5)
    one.stop()
    heard = manager.listen()
    assert [m.split("\n")[0] for m in heard] == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    stamp = int(re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", heard[1])[1])
    assert abs(stamp / 1e6 - time.clock_gettime(time.CLOCK_MONOTONIC)) < 60


def test_not_ready_before_it_listens(registry, manager):
    one, other = registry(), registry(start=False)
    other.reconfigure(listen=one.config["listen"])
    supervise(other, manager)
    wait_until(lambda: not other.daemon.running, 10)
    assert manager.listen() == []


def test_watchdog(cps, manager):
    node = cps(start=False)
    supervise(node, manager, WATCHDOG_USEC="300000")
    wait_until(lambda: len([m for m in manager.listen() if m == "WATCHDOG=1"]) >= 5, 10)
    node.daemon.signal(signal.SIGSTOP)
    time.sleep(0.5)
    count = len(manager.listen())
    time.sleep(0.8)
    assert len(manager.listen()) == count
    node.daemon.signal(signal.SIGCONT)
    wait_until(lambda: len(manager.listen()) > count, 5)


def test_no_watchdog_unless_asked_for(cps, manager):
    node = cps(start=False)
    supervise(node, manager)
    manager.wait_for("READY=1")
    time.sleep(0.5)
    assert manager.listen() == ["READY=1"]


# ---- the units ----


def unit(name):
    return ROOT / f"packaging/systemd/{name}.service"


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_starts_what_takes_these_arguments(bin_dir, name):
    command = re.search(r"^ExecStart=(.*)$", unit(name).read_text(), re.M)[1].split()
    assert command[0] == f"/usr/sbin/{name}"
    done = subprocess.run([bin_dir / name, "-t", *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Usage" not in done.stderr  # no such configuration, but no wrong usage


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_unit(bin_dir, tmp_path, name):
    text = unit(name).read_text().replace("/usr/sbin/", f"{bin_dir}/")
    text = re.sub(r"^Documentation=.*\n", "", text, flags=re.M)  # the page is not installed here
    (tmp_path / f"{name}.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / f"{name}.service"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and name not in done.stderr, done.stderr


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_the_unit_is_hardened(name):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=25", unit(name)],
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stdout[-500:]
