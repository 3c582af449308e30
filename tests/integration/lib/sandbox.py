"""Hosts on which an operator's commands run as they stand: each has a network of its own, and /etc, /usr, /var and
/root that are the machine's with whatever the commands do to them, until the host is closed. Needs root.

One shell for each host, so that variables and functions last from one block to the next."""

import os
import subprocess
import time
from pathlib import Path

from .pki import ROOT
from .process import sanitizer_env

LIB = Path(__file__).resolve().parent

SETUP = r"""
set -eu
base=$1; shift
mount -t tmpfs tmpfs "$base/disk"
for folder in etc usr var root; do
    mkdir "$base/disk/$folder" "$base/disk/$folder.work"
    mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$base/disk/$folder,workdir=$base/disk/$folder.work" "/$folder"
done
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /usr/src/sticps
mount --bind "$1" /usr/src/sticps
[ ! -d "$2" ] || { mkdir -p /usr/src/sticps/build/release; mount --bind "$2" /usr/src/sticps/build/release; }
cp "$3" /usr/local/bin/systemctl; chmod 755 /usr/local/bin/systemctl
cp "$3" /usr/local/bin/journalctl; chmod 755 /usr/local/bin/journalctl
cat "$base/hosts" >/etc/hosts
cat "$4" >>/etc/ssl/certs/ca-certificates.crt
rm -rf /var/lib/postgresql/* /etc/postgresql/* /etc/sticps
install -d -o postgres -g postgres /run/postgresql
cd /root
"""

LOOP = r"""
set -Eu -o pipefail
while read -r script; do
    FAILED=
    trap 'FAILED=${FAILED:-$BASH_COMMAND}' ERR
    . "$script" >"$script.out" 2>"$script.err" </dev/null
    trap - ERR
    printf '%s' "$FAILED" >"$script.new"
    mv "$script.new" "$script.failed"
done
"""


class Host:
    """One host. `run` gives a block of shell commands to its shell."""

    def __init__(self, name, network, folder, addresses, build, trusted):
        self.name = name
        self._base = Path(folder) / name
        (self._base / "disk").mkdir(parents=True)
        os.chmod(folder, 0o755)
        sti_pa = name if name in ("pa1", "pa2") else "pa1"
        lines = [f"{address} {other}" for other, address in addresses.items()]
        (self._base / "hosts").write_text(
            "\n".join(["127.0.0.1 localhost", f"{addresses[sti_pa]} sti-pa.example.com", *lines]) + "\n")
        (self._base / "setup").write_text(SETUP)
        (self._base / "loop").write_text(LOOP)
        inner = (f'bash "{self._base}/setup" "{self._base}" "{ROOT}" "{build}" "{LIB}/systemctl.py" "{trusted}" '
                 f'&& cd /root && exec bash "{self._base}/loop"')
        self._log = open(self._base / "log", "ab")
        self._shell = subprocess.Popen(
            ["ip", "netns", "exec", network.namespace(name), "unshare", "--mount", "--pid", "--fork", "--kill-child",
             "--mount-proc", "--uts", "--propagation", "private", "bash", "-c", inner],
            stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, start_new_session=True, cwd="/",
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8",
                 **{name: value for name, value in sanitizer_env().items() if name.endswith("SAN_OPTIONS")}},
        )
        self._count = 0

    def run(self, block, timeout=120):
        """What the block printed; an AssertionError with all of it when a command of it fails."""
        self._count += 1
        script = self._base / f"{self._count:03}"
        script.write_text(block)
        self._shell.stdin.write(f"{script}\n".encode())
        self._shell.stdin.flush()
        failed, end = Path(f"{script}.failed"), time.monotonic() + timeout
        while not failed.exists():
            assert self._shell.poll() is None, f"{self.name}: {(self._base / 'log').read_text()}"
            assert time.monotonic() < end, f"{self.name}: not done in {timeout} s:\n{block}\n{self._said(script)}"
            time.sleep(0.02)
        command = failed.read_text()
        assert not command, f"{self.name}: this failed: {command}\nin\n{block}\n{self._said(script)}"
        return Path(f"{script}.out").read_text()

    @staticmethod
    def _said(script):
        texts = [Path(f"{script}.{kind}") for kind in ("out", "err")]
        return "\n".join(f"-- {one.suffix[1:]}\n{one.read_text(errors='replace')[-3000:]}" for one in texts if one.exists())

    def close(self):
        """Every process of the host goes with its shell."""
        self._shell.stdin.close()
        self._shell.kill()
        self._shell.wait()
        self._log.close()
