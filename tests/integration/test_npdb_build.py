"""`sticps npdb build` at the size of some hundred thousand rows: the same bytes for any order, any number of threads and
any way in; bounded; and nothing half done, whatever happens to it."""

import hashlib
import json
import os
import pty
import random
import resource
import select
import signal
import subprocess
import time

import pytest

ROWS = 600_000
NPAS = ["202", "303", "415", "989"]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """blocks.csv, and ports.csv in no order: numbers of four NPAs and of other countries, with LRNs and SPCs."""
    folder = tmp_path_factory.mktemp("plan")
    draw = random.Random(20)
    with open(folder / "blocks.csv", "w") as out:
        for npa in NPAS:
            for nxx in range(200, 1000):
                out.write(f"{npa}{nxx},{draw.randrange(40):04}\n")
                if nxx % 9 == 0:
                    out.write(f"{npa}{nxx}{nxx // 9 % 10},{draw.choice(['-', '9ABC', '8XYZ'])}\n")
        out.write("1,0001\n1606,0606\n+44,UK00\n")
    numbers = draw.sample(range(len(NPAS) * 8_000_000), ROWS)
    with open(folder / "ports.csv", "w") as out:
        for number in numbers:
            npa, rest = divmod(number, 8_000_000)
            owner = f"{draw.choice(NPAS)}{draw.randrange(200, 300)}0000" if number % 5 else f"{draw.randrange(60):04}"
            out.write(f"{NPAS[npa]}{rest + 2_000_000},{owner}\n")
        for number in range(500):
            out.write(f"+4479{number:08},UK{number % 7:02}\n")
    return folder


def build(cli, plan, output, *args, ports="ports.csv", **more):
    return cli("npdb", "build", "--blocks", plan / "blocks.csv", "--ports", plan / ports, "-o", output, *args, **more)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def built(plan, bin_dir):
    done = subprocess.run([bin_dir / "sticps", "npdb", "build", "--blocks", plan / "blocks.csv", "--ports",
                           plan / "ports.csv", "-o", plan / "first.npdb", "--json"],
                          capture_output=True, text=True, timeout=600)  # fmt: skip
    assert done.returncode == 0, done
    figures = json.loads(done.stdout)
    assert figures["ports"] == ROWS + 500 and figures["duplicates"] == 0
    assert figures["bytes"] == (plan / "first.npdb").stat().st_size
    return plan / "first.npdb"


def test_the_order_of_rows_does_not_matter(cli, plan, built, tmp_path):
    rows = (plan / "ports.csv").read_text().splitlines(keepends=True)
    random.Random(3).shuffle(rows)
    orders = {"sorted": sorted(rows), "reversed": sorted(rows, reverse=True), "shuffled": rows}
    for name, some in orders.items():
        (tmp_path / name).write_text("".join(some))
        done = build(cli, plan, tmp_path / "out", ports=tmp_path / name, timeout=600)
        assert done.returncode == 0, done
        assert digest(tmp_path / "out") == digest(built), name


def test_threads_and_files_do_not_matter(cli, plan, built, tmp_path):
    rows = (plan / "ports.csv").read_text().splitlines(keepends=True)
    for name, part in (("a", rows[::3]), ("b", rows[1::3]), ("c", rows[2::3])):
        (tmp_path / name).write_text("".join(part))
    for threads in ("1", "2", "5", "8"):
        done = cli("npdb", "build", "--blocks", plan / "blocks.csv", "--ports", tmp_path / "c", "--ports", tmp_path / "a",
                   "--ports", tmp_path / "b", "-o", tmp_path / "out", "--threads", threads, timeout=600)  # fmt: skip
        assert done.returncode == 0, done
        assert digest(tmp_path / "out") == digest(built), threads


def test_a_pipe_will_do(cli, plan, built, tmp_path):
    done = build(cli, plan, tmp_path / "out", ports="/dev/stdin", input=(plan / "ports.csv").read_bytes(), timeout=600)
    assert done.returncode == 0, done
    assert digest(tmp_path / "out") == digest(built)


def test_contradictions_are_named_with_their_lines(cli, plan, tmp_path):
    rows = (plan / "ports.csv").read_text().splitlines(keepends=True)
    first, number = 17, rows[16].split(",")[0]
    (tmp_path / "more.csv").write_text("TN,SPC\n" + rows[20] + f"1{number},ZZZZ\n" + f"{number},ZZZY\n")
    args = ["npdb", "build", "--ports", plan / "ports.csv", "--ports", tmp_path / "more.csv", "-o", tmp_path / "out"]
    for threads in ("1", "4"):
        done = cli(*args, "--threads", threads, timeout=600)
        assert done.returncode == 1 and "1 more rows" in done.stderr, done
        for line, spc in ((3, "ZZZZ"), (4, "ZZZY")):
            assert f"more.csv:{line}: 1{number} has {spc} here but " in done.stderr
        assert done.stderr.count(f"{plan}/ports.csv:{first}\n") == 2
        assert os.listdir(tmp_path) == ["more.csv"]
    done = cli(*args, "--last-wins", timeout=600)
    assert done.returncode == 0 and "1 duplicates, 2 overridden" in done.stdout
    assert cli("npdb", "lookup", tmp_path / "out", number).stdout == f"1{number} ZZZY ported\n"


def test_contradictions_in_a_pipe_are_named_without(cli, tmp_path):
    text = "2025550100,1234\n2025550101,1234\n2025550100,ABCD\n"
    done = cli("npdb", "build", "--ports", "/dev/stdin", "-o", tmp_path / "out", input=text)
    assert done.returncode == 1 and "12025550100 has different owners" in done.stderr, done
    assert "2025550101" not in done.stderr and os.listdir(tmp_path) == []


def test_faults_have_their_lines_and_a_limit(cli, plan, tmp_path):
    rows = (plan / "ports.csv").read_text().splitlines(keepends=True)
    wrong = [100_000, 300_000, 300_001, 500_000]
    for line in wrong:
        rows[line - 1] = "nonsense\n"
    rows[399_999] = "2" * 600_000 + "\n"  # longer than a piece
    (tmp_path / "ports.csv").write_text("".join(rows))
    args = ["npdb", "build", "--ports", tmp_path / "ports.csv", "-o", tmp_path / "out"]
    told = []
    for threads in ("1", "2", "8"):
        done = cli(*args, "--threads", threads, timeout=600)
        assert done.returncode == 1 and "4 more rows" in done.stderr, done
        told.append(done.stderr)
        for line in [*wrong, 400_000]:
            assert f"ports.csv:{line}: " in done.stderr
    assert told[0] == told[1] == told[2]
    done = cli(*args, "--max-faults", "1", timeout=600)
    assert done.returncode == 1 and "ports.csv:100000: " in done.stderr and ":500000:" not in done.stderr
    assert os.listdir(tmp_path) == ["ports.csv"]


def lrns(path, count, numbers):
    """`count` ported numbers, each with an LRN that no other has."""
    with open(path, "w") as out:
        for row in range(count):
            out.write(f"{numbers + row},{3_032_000_000 + row * 7}\n")
    return path


def test_an_area_code_has_65535_owners(cli, tmp_path):
    fits = lrns(tmp_path / "fits.csv", 65_534, 2_022_000_000)
    done = cli("npdb", "build", "--ports", fits, "-o", tmp_path / "out", timeout=600)
    assert done.returncode == 0 and "65534 lrns" in done.stdout, done
    for row in (0, 1, 255, 256, 257, 999, 1000, 40_000, 65_533):
        done = cli("npdb", "lookup", tmp_path / "out", str(2_022_000_000 + row))
        assert done.stdout == f"1{2_022_000_000 + row} - ported lrn 1{3_032_000_000 + row * 7}\n"
    over = lrns(tmp_path / "over.csv", 65_536, 2_022_000_000)
    done = cli("npdb", "build", "--ports", over, "-o", tmp_path / "none", timeout=600)
    assert done.returncode == 1 and "NPA 202 have more than 65535 different owners" in done.stderr, done
    assert not (tmp_path / "none").exists()


def test_a_file_has_a_million_owners(cli, tmp_path):
    over = lrns(tmp_path / "over.csv", 2**20, 2_022_000_000)
    done = cli("npdb", "build", "--ports", over, "-o", tmp_path / "none", timeout=600)
    assert done.returncode == 1 and "more than 1048574 different owners" in done.stderr, done
    assert not (tmp_path / "none").exists()


# ---- what can happen to it ----


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_build_that_is_killed(bin_dir, plan, tmp_path, end):
    output = tmp_path / "out"
    output.write_text("old")
    # a shell lets its background processes, such as these tests may be, ignore SIGINT
    running = subprocess.Popen(["env", "--default-signal=INT", bin_dir / "sticps", "npdb", "build", "--ports",
                                "/dev/stdin", "-o", output], stdin=subprocess.PIPE)  # fmt: skip
    running.stdin.write((plan / "ports.csv").read_bytes())  # more than a pipe holds: much of it has been read
    running.stdin.flush()
    files = f"/proc/{running.pid}/fd"
    until = time.monotonic() + 60
    while not any(str(tmp_path) in os.readlink(f"{files}/{fd}") for fd in os.listdir(files)):
        assert time.monotonic() < until, "no temporary file"
        time.sleep(0.01)
    assert sorted(os.listdir(tmp_path)) == ["out"]
    running.send_signal(end)
    assert running.wait(60) == -end
    running.stdin.close()
    assert os.listdir(tmp_path) == ["out"] and output.read_text() == "old"


def in_mounts(script, *args):
    """Runs a shell script that may mount what it likes."""
    done = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
    if done.returncode != 0:
        pytest.skip("may not make a mount namespace")
    return subprocess.run(["unshare", "--mount", "sh", "-euc", script, "sh", *map(str, args)], capture_output=True,
                          text=True, timeout=600)  # fmt: skip


@pytest.mark.parametrize("kilobytes", [64, 800, 3600])
def test_a_full_disk(bin_dir, plan, tmp_path, kilobytes):
    """64 kB hold nothing of it, 800 the temporary file not, 3600 that one but not the output."""
    done = in_mounts(
        f'mount -t tmpfs -o size={kilobytes}k none "$2"; echo old > "$2/out"; code=0; '
        '"$1" npdb build --blocks "$3/blocks.csv" --ports "$3/ports.csv" -o "$2/out" || code=$?; '
        'ls "$2"; cat "$2/out"; exit $code', bin_dir / "sticps", tmp_path, plan)  # fmt: skip
    assert done.returncode == 1 and done.stdout == "out\nold\n", done
    assert "No space left on device" in done.stderr and "/out" in done.stderr


def test_without_proc_a_file_has_a_name_from_the_beginning(bin_dir, plan, built, tmp_path):
    done = in_mounts(
        'umount -l /proc; '
        '"$1" npdb build --blocks "$3/blocks.csv" --ports "$3/ports.csv" -o "$2/out"; ls "$2"',
        bin_dir / "sticps", tmp_path, plan)  # fmt: skip
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "out", done
    assert digest(tmp_path / "out") == digest(built)


def test_a_limit_on_the_size_of_files(bin_dir, plan, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run([bin_dir / "sticps", "npdb", "build", "--ports", plan / "ports.csv", "-o", tmp_path / "out"],
                          preexec_fn=limit, capture_output=True, text=True, timeout=600)  # fmt: skip
    assert done.returncode == 1 and "File too large" in done.stderr, done
    assert os.listdir(tmp_path) == []


def test_files_that_cannot_be_read(cli, plan, tmp_path):
    for ports in (tmp_path / "none.csv", tmp_path):
        done = build(cli, plan, tmp_path / "out", ports=ports)
        assert done.returncode == 1 and str(ports) in done.stderr, done
    done = build(cli, plan, tmp_path / "no" / "folder" / "out")
    assert done.returncode == 1 and "No such file" in done.stderr, done


# ---- what it shows ----


def test_the_sequence_is_in_the_header(cli, plan, built, tmp_path):
    done = build(cli, plan, tmp_path / "out", "--sequence", "20260301", timeout=600)
    assert done.returncode == 0, done
    data = (tmp_path / "out").read_bytes()
    assert int.from_bytes(data[24:32], "little") == 20260301
    assert data[256:] == built.read_bytes()[256:]


def test_progress_is_for_terminals_alone(cli, bin_dir, plan, tmp_path):
    assert build(cli, plan, tmp_path / "out", timeout=600).stderr == ""
    try:
        leader, follower = pty.openpty()
    except OSError as error:  # no /dev/pts is mounted here
        pytest.skip(f"no terminal: {error}")
    args = [bin_dir / "sticps", "npdb", "build", "--ports", "/dev/stdin", "-o", tmp_path / "out"]
    running = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=follower)
    os.close(follower)
    shown = b""
    for part in range(4):  # slowly enough for the line to be drawn again
        running.stdin.write(b"".join(b"20255%05d,1234\n" % n for n in range(part * 25000, part * 25000 + 25000)))
        time.sleep(0.15)
    running.stdin.close()
    while select.select([leader], [], [], 60)[0]:
        try:
            shown += os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
    assert running.wait(60) == 0
    assert b"\r\x1b[Kreading, " in shown and b" rows, " in shown and b"M rows/s" in shown
    assert shown.endswith(b"\r\x1b[K")  # and is taken away
