"""A wall clock of its own for one process, by libfaketime: it can be stepped while the process runs. The monotonic
clock stays the machine's, as it does when a real clock is stepped."""

from pathlib import Path

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def sweep():
    """Removes what processes that were killed have left of the library's shared memory."""
    for path in Path("/dev/shm").glob("*faketime_*"):
        pid = path.name.rpartition("_")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            path.unlink(missing_ok=True)


class Clock:
    """`argv` goes before the command line of the process; `step(seconds)` sets how far its clock is off."""

    def __init__(self, path):
        assert _LIBRARIES, "libfaketime is missing (the package libfaketime)"
        self.path = Path(path)
        self.offset = None
        self.step(0)
        self.path.chmod(0o644)
        # by env(1) and not in the environment: a program in between that changes the user would fail
        self.argv = [
            "env", f"LD_PRELOAD={_LIBRARIES[0]}", f"FAKETIME_TIMESTAMP_FILE={self.path}",
            "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1",
        ]

    def step(self, seconds):
        self.offset = seconds
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.chmod(0o644)
        fresh.rename(self.path)
