"""Death and failure at every point of persisting: strace(1) ends the client, or lets a call fail, at each single system
call that touches its state. Whatever was done, the next start needs no operator, has the old list or the new one whole,
and has a floor that is not below what was accepted (PROTOCOL section 2, rule 8)."""

import re
import shutil
import subprocess

import pytest
from lib.process import sanitizer_env

OLD, NEW = {"1234": "https://old.example.com/"}, {"1234": "https://new.example.com/"}
BEFORE = ["first list", "next list"]


def can_trace():
    return shutil.which("strace") and subprocess.run(["strace", "-o", "/dev/null", "true"], check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_trace(), reason="strace cannot trace here")


class Persisting:
    """A fetch of list 6 from a state that is put back before each try."""

    def __init__(self, pa, before):
        self.pa = pa
        self.old = pa.list(5, OLD)
        self.new = pa.list(6, NEW)
        if before == "next list":
            pa.take(pa.list(4, OLD))
            pa.take(self.old)
        self.before = None if before == "first list" else OLD["1234"]
        self.backup = pa.dir / "backup"
        shutil.copytree(pa.state, self.backup)
        self.trace = pa.dir / "trace"
        self.paths = []
        pa.serve(self.new)

    def fetch(self, *strace):
        """Restores the state, fetches under strace, returns the exit status; negative: killed."""
        shutil.rmtree(self.pa.state)
        shutil.copytree(self.backup, self.pa.state)
        self.pa.serve(self.new)
        only = [word for path in self.paths for word in ("-P", path)]
        # LeakSanitizer traces, too, and cannot be traced
        env = sanitizer_env() | {"ASAN_OPTIONS": sanitizer_env()["ASAN_OPTIONS"] + ":detect_leaks=0"}
        line = ["strace", "-f", "-y", "-qq", "-o", self.trace, *only, *strace]
        line += self.pa.implementation.argv("refresh", self.pa.state, *self.pa.options())
        done = subprocess.run(line, env=env | self.pa.implementation.env, capture_output=True, timeout=60, check=False)
        return done.returncode

    def calls(self):
        """The traced calls, in order: (process, name, the rest of the line)."""
        rows = [re.match(r"(\d+) +(\w+)\((.*)", line) for line in self.trace.read_text(errors="replace").splitlines()]
        return [row.groups() for row in rows if row]

    def points(self):
        """(name of a system call, how often it touches the state) of a fetch that succeeds."""
        assert self.fetch() == 0
        inside = [rest for _, _, rest in self.calls() if f"{self.pa.state}" in rest]
        found = {path for rest in inside for path in re.findall(re.escape(str(self.pa.state)) + r'[^">,\s]*', rest)}
        self.paths = sorted(found)
        assert self.fetch() == 0
        counts = {}
        for process, name, _ in self.calls():
            if name not in ("execve", "exit_group"):  # whose arguments only name the state
                counts[name, process] = counts.get((name, process), 0) + 1
        most = {}
        for (name, _), count in counts.items():
            most[name] = max(most.get(name, 0), count)
        return sorted(most.items())

    def check(self, what, done=False):
        """The next start. `done`: the fetch said that the new list was taken."""
        pa = self.pa
        status, answer = pa.resolve()
        url = answer.get("url") or None
        assert url in ({NEW["1234"]} if done else {self.before, NEW["1234"]}), (what, answer)
        assert status == (4 if url is None else 0), (what, answer)
        if self.before is not None:
            pa.refuse("ROLLBACK", 2, serve=pa.list(4, OLD))
        if url == NEW["1234"]:
            pa.refuse("ROLLBACK", 2, serve=self.old)
        pa.serve(self.new)
        status, answer = pa.fetch()
        assert (status, answer["status"]) == (0, "current" if url == NEW["1234"] else "taken"), (what, answer)
        assert pa.resolve()[1]["url"] == NEW["1234"], what


@pytest.mark.parametrize("before", BEFORE)
def test_killed_at_every_system_call(pa, before):
    one = Persisting(pa, before)
    killed = 0
    for name, count in one.points():
        for nth in range(1, count + 1):
            what = f"killed at {name} number {nth}"
            status = one.fetch(f"--inject={name}:signal=KILL:when={nth}")
            killed += status < 0
            assert status < 0, f"{what}: it ended with {status}"
            one.check(what)
    assert killed > 8, "this persists nothing, or strace did not see it"


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_an_error_of_every_system_call(pa, before, error):
    """A disk that breaks or is full at this call and works again afterwards."""
    one = Persisting(pa, before)
    for name, count in one.points():
        for nth in range(1, count + 1):
            what = f"{error} from {name} number {nth}"
            status = one.fetch(f"--inject={name}:error={error}:when={nth}")
            assert status in (0, 1), f"{what}: it ended with {status}"
            one.check(what, done=status == 0)


def test_what_is_renamed_is_synced(pa):
    """A power cut keeps what was synced: the new file before it takes the old one's place, its folder before anybody
    is told that the list is taken."""
    one = Persisting(pa, "next list")
    assert one.fetch() == 0
    calls = [(name, rest) for _, name, rest in one.calls()]
    state = re.escape(str(pa.state))
    renames = [(i, rest) for i, (name, rest) in enumerate(calls) if name.startswith("rename") and str(pa.state) in rest]
    assert renames, "nothing is renamed into place"
    told = max(i for i, (name, rest) in enumerate(calls) if name.startswith("write") and rest.startswith("1<"))
    for at, rest in renames:
        source = re.search(rf'{state}/([^">]+)', rest)[1]
        touched = [(i, name) for i, (name, text) in enumerate(calls)
                   if i < at and f"{pa.state}/{source}>" in text and name in ("write", "pwrite64", "writev", "fsync", "fdatasync")]
        assert touched and touched[-1][1] in ("fsync", "fdatasync"), f"{source} is renamed before it is synced"
        folder = [i for i, (name, text) in enumerate(calls) if name == "fsync" and f"<{pa.state}>" in text and i > at]
        assert folder and folder[0] < told, "the folder is not synced before the list is said to be taken"
