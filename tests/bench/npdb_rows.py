"""The rows of tests/bench/npdb, each measured and printed."""

import json
import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

from common import BIN, median, say

PEERS = {  # how many times smaller, how many times as fast
    "LMDB": (20, 5),
    "SQLite": (15, 7),
    "sorted array": (9, 4),
    "open hash": (12, 0.85),
}


def row(name, figure, floor, met, rest):
    wanted = f"floor {floor}: {'met' if met else 'MISSED'}" if floor else "no floor"
    say(f"{name:<13}{figure}   [{wanted}]\n             {rest}")


# ---------------------------------------------------------------- running what is measured


def written(pid, seen):
    """Notes the size of every regular file that the process has open for writing, by inode."""
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            flags = int(Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split("flags:")[1].split()[0], 8)
            stat = os.stat(f"/proc/{pid}/fd/{fd}")
            if flags & os.O_ACCMODE != os.O_RDONLY and stat.st_mode & 0o170000 == 0o100000:
                seen[stat.st_ino] = max(seen.get(stat.st_ino, 0), stat.st_size)
    except OSError:
        pass  # a descriptor that was closed meanwhile, or the end of the process


def run_measured(command, output, work):
    """Runs it; wall and CPU seconds, the most memory that was resident, bytes written to files other than `output`."""
    started = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               env={**os.environ, "TMPDIR": str(work)})
    seen, pid = {}, 0
    while pid == 0:
        written(process.pid, seen)
        time.sleep(0.02)
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{process.stderr.read().decode()}")
    seen.pop(output.stat().st_ino, None)
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "resident": usage.ru_maxrss * 1024,
            "temporary": sum(seen.values())}


# ---------------------------------------------------------------- build and size


def header(file):
    """Ported numbers, and the size of the section of blocks: docs/npdb-format.md, "The layout"."""
    with open(file, "rb") as npdb:
        head = npdb.read(256)
    if head[:8] != b"STICNPDB" or struct.unpack_from("<I", head, 8)[0] != 2:
        sys.exit(f"{file} is no portability file of version 2")
    return struct.unpack_from("<Q", head, 32)[0], struct.unpack_from("<Q", head, 48 + 8)[0]


def build_rows(data, file, work, builds):
    csv = ["--blocks", data / "blocks.csv", "--ports", data / "ports.csv"]
    command = [BIN / "sticps", "npdb", "build", *csv, "-o", file]
    runs = [run_measured(command, file, work) for _ in range(builds)]
    ported, _ = header(file)
    rate = ported / median([run["seconds"] for run in runs]) / 1e6
    cpu_rate = ported / median([run["cpu"] for run in runs]) / 1e6
    resident, temporary = max(run["resident"] for run in runs), max(run["temporary"] for run in runs) / ported
    row("build", f"{rate:.1f} M rows/s, {resident / 1e6:.0f} MB resident, {temporary:.2f} temporary bytes per row",
        "≥ 15 M, ≤ 200 MB, ≤ 5 B", rate >= 15 and resident <= 200e6 and temporary <= 5,
        ", ".join(f"{run['seconds']:.1f} s with {run['cpu']:.1f} s of CPU" for run in runs) +
        f", which is {cpu_rate:.1f} M rows for each second of CPU; {ported:,} rows in random order,"
        f" {(data / 'ports.csv').stat().st_size / 1e9:.2f} GB of CSV")
    return {"ported": ported, "build": runs}


def size_rows(file, description):
    size = file.stat().st_size
    ported, payload = header(file)
    row("size", f"{size / ported:.4f} bytes per ported number", "≤ 0.60", size / ported <= 0.6,
        f"{size:,} bytes for {ported:,} ported numbers")
    if description:
        ratio = payload / ported / description
        row("payload", f"{ratio:.3f} × the description", "≤ 1.45", ratio <= 1.45,
            f"blocks of {payload:,} bytes, {payload / ported:.4f} per ported number, against {description:.4f}")
    return {"bytes": size, "payload": payload, "description": description}


# ---------------------------------------------------------------- lookups


def spread(values):
    return f"{min(values):,.0f} to {max(values):,.0f}"


def lookup_rows(program, data, file, work, asked, rounds, peers):
    text = subprocess.run([program, file, data / "blocks.csv", data / "ports.csv", str(asked), str(rounds), work,
                           *(["peers"] if peers else [])], check=True, stdout=subprocess.PIPE, text=True).stdout
    result = json.loads(text)
    miss, find, batch = result["missNs"], result["findNs"], result["batchNs"]
    for name, ours, floor in (("lookup", find, 2.5), ("batch", batch, 0.6)):
        # a round's figures were measured in turns, so the ratio of each round counts
        ratio = median([mine / bare for mine, bare in zip(ours, miss)])
        row(name, f"{ratio:.2f} × one DRAM miss", f"≤ {floor}", ratio <= floor,
            f"{median(ours):,.0f} ns against {median(miss):,.0f} ns ({spread(ours)}, {spread(miss)})")
    for name, peer in result.get("peers", {}).items():
        smaller = peer["bytes"] / file.stat().st_size
        faster = median([theirs / mine for theirs, mine in zip(peer["ns"], find)])
        least = PEERS[name]
        row(name, f"{smaller:.1f} × smaller, {faster:.2f} × as fast", f"≥ {least[0]} ×, ≥ {least[1]} ×",
            smaller >= least[0] and faster >= least[1],
            f"{peer['bytes']:,} bytes; {median(peer['ns']):,.0f} ns ({spread(peer['ns'])}) against {median(find):,.0f}")
    return result


# ---------------------------------------------------------------- merge

DAY = 467  # of so many ported numbers one changes in a day: 1.5 million of 700 million


def make_changes(data, count, path):
    """A day: of five numbers two move to another carrier, two are ported for the first time, one is ported back.
    They are spread as the rows of the CSV are, that is over all of the country."""
    rng = random.Random(1)
    changes, seen = {}, {}  # seen: by area, the LRN of the last row, for carriers have one in each area
    with open(data / "ports.csv", encoding="ascii") as ports:
        for line in ports:
            number, lrn = line.rstrip().split(",")
            kind = rng.randrange(5)
            if kind >= 3:  # in the thousand of a ported number another
                number = f"{number[:7]}{rng.randrange(1000):03d}"
            changes[number] = "-" if kind == 0 else seen.get(number[:3], lrn)
            seen[number[:3]] = lrn
            if len(changes) == count:
                break
    path.write_text("".join(f"{number},{owner}\n" for number, owner in changes.items()), encoding="ascii")
    return len(changes)


def merge_row(data, file, work, ported, merges):
    changes, merged = work / "changes.csv", work / "merged.npdb"
    count = make_changes(data, ported // DAY, changes)
    command = [BIN / "sticps", "npdb", "merge", file, "--changes", changes, "-o", merged]
    runs = [run_measured(command, merged, work) for _ in range(merges)]
    seconds = median([run["seconds"] for run in runs])
    row("merge", f"{seconds:.1f} s", "≤ 10 s", seconds <= 10,
        f"{count:,} changes into {ported:,} ported numbers; " +
        ", ".join(f"{run['seconds']:.1f} s with {run['cpu']:.1f} s of CPU" for run in runs) +
        f"; {runs[0]['resident'] / 1e6:.0f} MB resident, with the mapped file")
    return {"changes": count, "bytes": merged.stat().st_size, "merge": runs}
