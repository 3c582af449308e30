"""`sticps npdb merge`, `diff`, `dump`, `verify`, `info` and `lookup` from standard input, through the command."""

import json
import random
import resource
import subprocess
import threading

import pytest

BLOCKS = "202555,1234\n2025557,7777\n303555,3035\n+44,4444\n"
PORTS = "2025550001,3035550000\n2025550002,3035550000\n8005550000,RSP01\n+442079460000,ABCD\n"


class World:
    def __init__(self, cli, folder):
        self.cli, self.folder = cli, folder
        self.old = self.build("old", BLOCKS, PORTS, "--sequence", "41")

    def put(self, name, text):
        (self.folder / name).write_text(text)
        return self.folder / name

    def build(self, name, blocks, ports, *more):
        done = self.cli("npdb", "build", "--blocks", self.put("b.csv", blocks), "--ports", self.put("p.csv", ports), "-o",
                        self.folder / name, *more)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return self.folder / name

    def merge(self, ports, *more, blocks=None, old=None, new="new"):
        given = ["--block-changes", self.put("bc.csv", blocks)] if blocks is not None else []
        return self.cli("npdb", "merge", old or self.old, "--changes", self.put("c.csv", ports), *given, "-o",
                        self.folder / new, *more)  # fmt: skip


@pytest.fixture
def world(cli, tmp_path):
    return World(cli, tmp_path)


# ---- merge ----


def test_a_merge_is_a_rebuild(world):
    done = world.merge("2025550001,-\n2025550003,3035550009\n8005550000,RSP02\n2025550777,-\n",
                       blocks="303555,9035\n2025557,delete\n+4420,-\n")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 portedIn, 1 moved, 1 portedBack, 3 blocksChanged, 1 unchanged" in done.stdout
    rebuilt = world.build("rebuilt", "202555,1234\n303555,9035\n+44,4444\n+4420,-\n",
                          "2025550002,3035550000\n2025550003,3035550009\n8005550000,RSP02\n+442079460000,ABCD\n",
                          "--sequence", "42")  # fmt: skip
    assert (world.folder / "new").read_bytes() == rebuilt.read_bytes()
    status, told = world.cli.json("npdb", "diff", world.old, rebuilt)
    assert (status, told["status"]) == (1, "different")
    assert (told["portedIn"], told["portedBack"], told["moved"]) == (1, 1, 1)
    assert (told["blocksAdded"], told["blocksRemoved"], told["blocksChanged"]) == (1, 1, 1)
    _, told = world.cli.json("npdb", "merge", world.old, "--changes", world.put("c.csv", "2025550001,-\n"), "-o", world.folder / "n",
                             "--sequence", "9")  # fmt: skip
    assert (told["status"], told["portedBack"], told["ports"]) == ("merged", 1, 3)
    assert "sequence 9," in world.cli("npdb", "info", world.folder / "n").stdout


def test_the_day_is_merged_in_place(world):
    assert world.merge("2025550001,-\n", new="old").returncode == 0
    assert world.cli("npdb", "lookup", world.old, "2025550001").stdout == "12025550001 1234\n"
    assert sorted(p.name for p in world.folder.iterdir()) == ["b.csv", "c.csv", "old", "p.csv"]


@pytest.mark.parametrize(
    ("changes", "where", "what"),
    [
        ("2025550001,-\nx,-\n", "c.csv:2", ""),
        ("2025550001,delete\n", "c.csv:1", "neither an LRN"),
        ("2025550001,-\n2025550002,-\n2025550001,ABCD\n", "c.csv:3", "has ABCD here but no row"),
        ("1055550001,-\n", "c.csv:1", "[2-9]xx"),
    ],
)
def test_bad_changes_are_named(world, changes, where, what):
    before = world.old.read_bytes()
    done = world.merge(changes, new="old")
    assert done.returncode == 1
    assert where in done.stderr and what in done.stderr
    assert world.old.read_bytes() == before


def test_last_wins(world):
    assert world.merge("2025550001,-\n2025550001,ABCD\n", "--last-wins").returncode == 0
    assert "ABCD ported" in world.cli("npdb", "lookup", world.folder / "new", "2025550001").stdout


def test_a_damaged_base_is_refused(world):
    data = bytearray(world.old.read_bytes())
    data[-3] ^= 1
    world.old.write_bytes(data)
    done = world.merge("2025550001,-\n")
    assert done.returncode == 1 and str(world.old) in done.stderr
    assert not (world.folder / "new").exists()
    assert world.cli("npdb", "verify", world.old).returncode == 1


def test_the_disk_is_full(world):
    """A limit on the size of files stands for it: nothing is left, and OLD is as it was."""
    before = world.old.read_bytes()
    changes = world.put("c.csv", "2025550001,-\n")
    done = subprocess.run(
        [world.cli.program, "npdb", "merge", world.old, "--changes", changes, "-o", world.old], capture_output=True, text=True,
        env=world.cli.env, check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )  # fmt: skip
    assert done.returncode != 0
    assert world.old.read_bytes() == before
    assert sorted(p.name for p in world.folder.iterdir()) == ["b.csv", "c.csv", "old", "p.csv"]


# ---- diff and dump, at some size ----


def random_rows(rng, count):
    ports = {f"{rng.choice([202, 303, 989])}{rng.choice([555, 556, 600])}{rng.randrange(10000):04}":
             f"303{rng.randrange(550, 560)}{rng.randrange(40):04}" for _ in range(count)}  # fmt: skip
    blocks = {f"{npa}{nxx}": f"{rng.randrange(1000, 1040)}" for npa in (202, 303, 989) for nxx in range(550, 610)
              if rng.random() < 0.8}  # fmt: skip
    return blocks, ports


def text_of(rows):
    return "".join(f"{key},{value}\n" for key, value in rows.items())


def test_diff_dump_and_merge_agree(world):
    rng = random.Random(7)
    blocks, ports = random_rows(rng, 20000)
    old = world.build("old", text_of(blocks), text_of(ports), "--sequence", "1")
    more_blocks, more_ports = random_rows(rng, 3000)
    for key in rng.sample(sorted(ports), 2000):
        del ports[key]
    for key in rng.sample(sorted(blocks), 9):
        del blocks[key]
    new = world.build("new", text_of(blocks | dict(list(more_blocks.items())[:9])), text_of(ports | more_ports), "--sequence", "2")

    assert world.cli("npdb", "diff", old, old).returncode == 0
    changes, block_changes = world.folder / "diff.csv", world.folder / "blocks-diff.csv"
    done = world.cli("npdb", "diff", old, new, "--changes", changes, "--block-changes", block_changes)
    assert done.returncode == 1, done.stderr
    figures = [int(part.split()[0]) for part in done.stdout.split(", ")]
    assert sum(figures[:3]) == len(changes.read_text().splitlines()) > 3000
    assert sum(figures[3:]) == len(block_changes.read_text().splitlines()) > 5
    merged = world.folder / "merged"
    done = world.cli("npdb", "merge", old, "--changes", changes, "--block-changes", block_changes, "-o", merged)
    assert done.returncode == 0, done.stderr
    assert merged.read_bytes() == new.read_bytes()
    assert world.cli("npdb", "verify", merged).stdout == f"{merged}: verified\n"

    b, p = world.folder / "dump-b.csv", world.folder / "dump-p.csv"
    done = world.cli("npdb", "dump", new, "--blocks", b, "--ports", p)
    assert done.returncode == 0, done.stderr
    assert len(p.read_text().splitlines()) == len(ports | more_ports)
    again = world.folder / "again"
    assert world.cli("npdb", "build", "--blocks", b, "--ports", p, "-o", again, "--sequence", "2").returncode == 0
    assert again.read_bytes() == new.read_bytes()
    done = world.cli("npdb", "dump", new, "--ports", "-")
    assert done.stdout == p.read_text() and done.stderr.startswith(f"{new}: 0 blocks, ")


def test_trouble_is_no_difference(world):
    """As diff(1): 2 for trouble, in whatever form it comes."""
    for args in ([world.old], [world.old, world.folder / "none"], [world.old, world.put("x", "hello")], [world.old, world.old, "--nonsense"],
                 [world.old, world.old, "--changes", world.folder / "none" / "x"]):  # fmt: skip
        done = world.cli("npdb", "diff", *args)
        assert done.returncode == 2 and done.stderr, args


@pytest.mark.parametrize(
    "args", [["dump", "FILE"], ["dump", "FILE", "--blocks", "-", "--ports", "-"], ["dump", "FILE", "--ports", "-", "--json"]]
)
def test_usage(world, args):
    done = world.cli("npdb", *[world.old if arg == "FILE" else arg for arg in args])
    assert done.returncode == 1 and "USAGE" in done.stderr


def test_rows_that_cannot_be_written(world):
    for tool in (["dump", world.old, "--ports", "/dev/full"], ["diff", world.old, world.build("n", BLOCKS, ""), "--changes", "/dev/full"]):
        done = world.cli("npdb", *tool)
        assert done.returncode != 0 and "/dev/full" in done.stderr, tool


# ---- info and verify ----


def test_info(world):
    status, told = world.cli.json("npdb", "info", world.old)
    assert status == 0
    assert (told["ports"], told["blocks"], told["sequence"], told["lrns"], told["spcs"]) == (4, 4, 41, 1, 6)
    assert told["bytes"] == world.old.stat().st_size
    encoding = told["encoding"]
    assert encoding["blocks"] == 2 == sum(part["blocks"] for part in encoding["levels"].values())
    assert encoding["bytes"] == told["sections"]["blocks"] == sum(part["bytes"] for part in encoding["symbols"].values())
    text = world.cli("npdb", "info", world.old).stdout
    assert f"sequence 41, {told['bytes']} bytes" in text and "3 pages of the index" in text


def test_verify_looks_beyond_checksums(world):
    assert world.cli.json("npdb", "verify", world.old)[1]["status"] == "verified"
    done = world.cli("npdb", "verify", world.put("x", "hello" * 100))
    assert done.returncode == 1 and "NPDB" in done.stderr
    assert world.cli("npdb", "verify", world.folder / "none").returncode == 1


# ---- lookup from standard input ----


def test_lookup_answers_each_line(world):
    asked = "2025550001\n+1 (202) 555-7000\r\nabc\n\n8005550000\n011\n+442079460000\n" + "9" * 300000 + "\n3039990000"
    done = world.cli("npdb", "lookup", world.old, input=asked)
    assert done.returncode == 4 and done.stderr == ""
    assert done.stdout.splitlines() == [
        "12025550001 3035 ported lrn 13035550000", "12025557000 7777", "? line 3 is not a telephone number",
        "? line 4 is not a telephone number", "18005550000 RSP01 ported", "011 -", "442079460000 ABCD ported",
        "? line 8 is not a telephone number", "13039990000 -",
    ]  # fmt: skip
    done = world.cli("npdb", "lookup", world.old, "--json", input="2025550001\nabc\n2025557000\n")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["code"] for line in lines] == ["OK", "NOT_A_NUMBER", "OK"]
    assert lines[1]["where"] == "line 2" and lines[0]["lrn"] == "13035550000"
    assert world.cli("npdb", "lookup", world.old, input="").returncode == 0
    assert world.cli("npdb", "lookup", world.old, input="2025550001\n" * 1000).stdout.count("\n") == 1000


def test_lookup_answers_before_the_end_of_input(world):
    """A program asks one by one over a pipe."""
    with subprocess.Popen(
        [world.cli.program, "npdb", "lookup", world.old], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=world.cli.env
    ) as asked:
        watch = threading.Timer(60, asked.kill)
        watch.start()
        for number, spc in (("2025550001", "3035"), ("2025557000", "7777")):
            asked.stdin.write(number + "\n")
            asked.stdin.flush()
            assert asked.stdout.readline().split()[1] == spc
        asked.stdin.close()
        assert asked.wait() == 0
        watch.cancel()


def test_line_and_input_say_the_same(world):
    numbers = [f"202555{n:04}" for n in range(0, 9999, 111)]
    by_line = world.cli("npdb", "lookup", world.old, *numbers)
    by_input = world.cli("npdb", "lookup", world.old, input="\n".join(numbers) + "\n")
    assert by_line.stdout == by_input.stdout and len(by_line.stdout.splitlines()) == len(numbers)
