"""A daemon under test: started, watched, stopped, killed, and its log read for what must never be there."""

import os
import re
import signal
import subprocess
from pathlib import Path

from .net import wait_until

# What a sanitizer or an assert writes; any of these in a daemon's or command's output fails the test.
FINDINGS = re.compile(
    r"ERROR: (Address|Leak|Memory)Sanitizer|runtime error: |WARNING: ThreadSanitizer|: Assertion `"
)
SANITIZER_EXIT = 86
_SUPPRESSIONS = Path(__file__).resolve().parents[2] / "tsan.supp"
_LEAKS = Path(__file__).resolve().parents[2] / "lsan.supp"


def sanitizer_env():
    """The environment of every program under test: a finding ends it with a status of its own."""
    env = dict(os.environ)
    env["ASAN_OPTIONS"] = f"exitcode={SANITIZER_EXIT}:detect_leaks=1:detect_stack_use_after_return=1"
    env["UBSAN_OPTIONS"] = f"exitcode={SANITIZER_EXIT}:print_stacktrace=1:halt_on_error=1"
    env["TSAN_OPTIONS"] = f"exitcode={SANITIZER_EXIT}:halt_on_error=0:second_deadlock_stack=1"
    env["LSAN_OPTIONS"] = f"suppressions={_LEAKS}:print_suppressions=0"
    if _SUPPRESSIONS.exists():
        env["TSAN_OPTIONS"] += f":suppressions={_SUPPRESSIONS}"
    return env


def findings(text):
    """The first sanitizer report or failed assert in `text`, with what follows it, or None."""
    match = FINDINGS.search(text)
    return text[max(0, match.start() - 100) : match.start() + 6000] if match else None


class Daemon:
    """One daemon process. `log` is the file that its standard output and error go to, across restarts."""

    def __init__(self, argv, log, ready, env=None, cwd=None):
        self.argv = [str(part) for part in argv]
        self.log = Path(log)
        self._ready = ready
        self._env = {**sanitizer_env(), **(env or {})}
        self._cwd = cwd
        self._process = None

    @property
    def pid(self):
        return self._process.pid

    @property
    def running(self):
        return self._process is not None and self._process.poll() is None

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self, wait=True, timeout=30.0):
        assert not self.running
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, cwd=self._cwd
            )
        if wait:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=30.0):
        def probe():
            if not self.running:
                raise AssertionError(
                    f"{self.argv[0]} ended with {self._process.returncode} before it was ready:\n"
                    + self.log_text()[-4000:]
                )
            try:
                return self._ready()
            except OSError:
                return False

        wait_until(probe, timeout, what=f"readiness of {self.argv[0]}")

    def stop(self, timeout=30.0):
        """SIGTERM; the daemon drains and must end with 0. Returns at once when it is not running."""
        if not self.running:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{self.argv[0]} did not end within {timeout} s of SIGTERM") from None
        self.check_log()
        assert status == 0, f"{self.argv[0]} ended with {status}:\n{self.log_text()[-4000:]}"

    def kill(self):
        """SIGKILL, as a power cut does."""
        if self.running:
            self._process.kill()
        self._process.wait()

    def signal(self, number):
        self._process.send_signal(number)

    def restart(self, wait=True):
        self.stop()
        return self.start(wait)

    def check_log(self):
        report = findings(self.log_text())
        assert report is None, f"{self.argv[0]}: {report}"

    def cpu_seconds(self):
        """User and system CPU time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        """End of the test: what is still running stops as it should, and the log is clean."""
        try:
            self.stop()
        finally:
            if self.running:
                self.kill()
        self.check_log()


def run(argv, *, input=None, timeout=60.0, env=None, cwd=None):
    """Runs a command of ours to its end. A sanitizer finding or death by signal fails the test."""
    if isinstance(input, str):
        input = input.encode()
    done = subprocess.run(
        [str(part) for part in argv], input=input, capture_output=True, timeout=timeout,
        env={**sanitizer_env(), **(env or {})}, cwd=cwd, check=False,
    )
    done.stdout = done.stdout.decode(errors="replace")
    done.stderr = done.stderr.decode(errors="replace")
    report = findings(done.stderr) or findings(done.stdout)
    assert report is None, f"{argv}: {report}"
    assert done.returncode >= 0, f"{argv} died by signal {-done.returncode}: {done.stderr}"
    assert done.returncode != SANITIZER_EXIT, f"{argv}: {done.stderr}"
    return done
