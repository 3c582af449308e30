"""What the rows of tests/bench/run share: printing, medians, CPU time, processors."""

import os
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("STICPS_BIN_DIR", ROOT / "build/release/bin")).resolve()

ROUNDS = 5
SECONDS = 3
CONNECTIONS = 16

median = statistics.median


def say(text):
    print(text, flush=True)


def spread(values):
    return f"{min(values):,.0f} to {max(values):,.0f}"


def row(name, figure, target, met, rest):
    """One line of the table; `target` is None where there is none."""
    wanted = f"target {target}: {'met' if met else 'MISSED'}" if target else "no target"
    say(f"{name:<10}{figure}   [{wanted}]\n          {rest}")


def cpu_seconds(pids, ended_children=False):
    """User and system time of these processes so far, and that of their children that have ended."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += sum(map(int, fields[11 : 15 if ended_children else 13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def pin(pids, cpus):
    """Every thread of these processes runs on `cpus` alone."""
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(task), cpus)


def two_cpus():
    """A processor for the server and one for the client."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        sys.exit("two processors are needed")
    return {cpus[0]}, {cpus[1]}


def build(target):
    """A measuring program of tests/bench, built beside the daemons."""
    import subprocess

    folder = BIN.parent
    subprocess.run(["cmake", "-DBUILD_TESTING=ON", folder], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", folder, "--target", target], check=True, stdout=subprocess.DEVNULL)
    return folder / "tests/bin" / target
