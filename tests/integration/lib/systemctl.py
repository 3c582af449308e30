#!/usr/bin/python3
"""systemctl and journalctl for a sandbox host where systemd is not process 1 (lib/sandbox.py installs it there).

Reads the real unit file: ExecStart, ExecReload by SIGHUP, User, Type=notify, AmbientCapabilities, directories. PostgreSQL's units
go to pg_ctlcluster. `start` returns when the service says READY=1, as systemctl does."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

RUN, LOG = Path("/run/systemctl"), Path("/var/log/units")
DEADLINE = 60.0


def setting(name, key, default=None):
    for folder in ("/etc/systemd/system", "/lib/systemd/system"):
        path = Path(folder) / f"{name}.service"
        if path.exists():
            found = re.search(rf"^{key}=(.*)$", path.read_text(), re.M)
            return found[1] if found else default
    sys.exit(f"Unit {name}.service not found.")


def pid_of(name):
    """The running process, or None."""
    try:
        pid = int((RUN / name).read_text())
        return pid if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z" else None
    except OSError:
        return None


def make_folder(name, key, parent, mode):
    if folder := setting(name, key):
        path, user = parent / folder, setting(name, "User", "root")
        path.mkdir(parents=True, exist_ok=True)
        shutil.chown(path, user, setting(name, "Group", user))
        path.chmod(int(setting(name, f"{key}Mode", mode), 8))


def start(name):
    if pid_of(name):
        return 0
    make_folder(name, "RuntimeDirectory", Path("/run"), "0755")
    make_folder(name, "StateDirectory", Path("/var/lib"), "0755")
    RUN.mkdir(exist_ok=True)
    LOG.mkdir(exist_ok=True)
    address = str(RUN / f"{name}.notify")
    Path(address).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    os.chmod(address, 0o777)
    user = setting(name, "User", "root")
    argv = ["setpriv", "--reuid", user, "--regid", setting(name, "Group", user), "--init-groups"]
    if "CAP_NET_BIND_SERVICE" in setting(name, "AmbientCapabilities", ""):
        argv += ["--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service"]
    with open(LOG / name, "ab") as log:
        process = subprocess.Popen(argv + setting(name, "ExecStart").split(), stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, env={**os.environ, "NOTIFY_SOCKET": address}, start_new_session=True)
    (RUN / name).write_text(str(process.pid))
    listener.settimeout(0.1)
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            if b"READY=1" in listener.recv(4096):
                return 0
        except TimeoutError:
            if process.poll() is not None:
                break
    print(f"Job for {name}.service failed. See journalctl -u {name}.", file=sys.stderr)
    return 1


def stop(name):
    if pid := pid_of(name):
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + DEADLINE
        while pid_of(name):
            if time.monotonic() > end:
                return 1
            time.sleep(0.05)
    return 0


def cluster(verb, version, name):
    done = subprocess.run(["pg_ctlcluster", "--skip-systemctl-redirect", version, name, verb], check=False)
    return 0 if done.returncode in (0, 2) else done.returncode  # 2: it is so already


def main():
    if Path(sys.argv[0]).name == "journalctl":
        print((LOG / sys.argv[sys.argv.index("-u") + 1]).read_text(), end="")
        return 0
    os.umask(0o022)
    verb, *names = [word for word in sys.argv[1:] if not word.startswith("--")]
    now = "--now" in sys.argv
    if verb == "daemon-reload":
        return 0
    for name in names:
        if found := re.fullmatch(r"postgresql@(\d+)-(\w+)", name):
            status = cluster(verb, *found.groups())
        elif verb == "enable":
            status = start(name) if now else 0
        elif verb in ("start", "stop"):
            status = start(name) if verb == "start" else stop(name)
        elif verb == "restart":
            status = stop(name) or start(name)
        elif verb == "reload":
            os.kill(pid_of(name), signal.SIGHUP)
            time.sleep(1)  # systemd waits for the daemon's READY=1 here
            status = 0
        elif verb == "is-active":
            status = 0 if pid_of(name) else 3
        else:
            sys.exit(f"this systemctl knows no {verb}")
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
