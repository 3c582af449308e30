"""The portability file against a reader written from its description alone (lib/npdb_file.py), and against what its
rows say."""

import json
import random

import pytest
from lib import npdb_file
from lib.npdb_file import Block, NpdbFile, crc32c, is_plan

RANDOM = 100_000
AT_ONCE = 250


class Rows:
    """A numbering plan, and what it says of a number (docs/npdb-format.md, "What a lookup answers")."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.blocks, self.ports = {}, {}
        self.make_blocks()
        self.make_ports()

    def spc(self, group, count):
        return f"{group}{self.random.randrange(count):03d}"

    def make_blocks(self):
        pick = self.random
        self.codes = [f"1{npa}{nxx}" for npa in (200, 201, 305, 999) for nxx in pick.sample(range(200, 1000), 60)]
        self.codes += [f"1{npa}{nxx}" for npa in (200, 999) for nxx in (200, 999)]
        for code in self.codes:
            self.blocks[code] = self.spc("0", 40)
            for x in pick.sample(range(10), pick.choice([0, 0, 2, 5])):
                self.blocks[f"{code}{x}"] = pick.choice([self.spc("7", 40), "-"])
        for prefix in ("1201", "12015", "1640", "1999", "44", "447911", "33", "336", "8", "123456789012345"):
            if not prefix.startswith("1234"):
                self.blocks[prefix] = self.spc("W", 9)
        self.blocks["3361"] = self.blocks["120157"] = "-"

    def owner(self, shape):
        """Who a number is ported to: an LRN of a code in service or not, or a carrier by its name."""
        if shape["spcs"] and self.random.random() < 0.3:
            return self.spc("A", shape["spcs"])
        code = self.random.choice(self.codes[: shape["codes"]])
        return "12223334444" if self.random.random() < 0.01 else f"{code}{self.random.randrange(shape['lrns']):04d}"

    def make_ports(self):
        pick = self.random
        for code in pick.sample(self.codes, 60) + ["1305222", "1200200", "1999999"]:
            for x in pick.sample(range(10), pick.choice([1, 1, 3, 10])):
                # the NPA 999 comes to more than 256 owners, with more than 256 of them in a thousand
                shape = {"spcs": pick.choice([0, 3, 30]), "codes": pick.choice([1, 4, 200]), "lrns": 2}
                if code.startswith("1999") and x == 9:
                    shape = {"spcs": 0, "codes": 200, "lrns": 9}
                share, run = pick.choice([0.002, 0.1, 0.4, 0.9, 1]), pick.choice([1, 10, 100])
                for first in range(0, 1000, run):
                    who = self.owner(shape)
                    for number in range(first, first + run):
                        if pick.random() < share:
                            self.ports[f"{code}{x}{number:03d}"] = who if run > 1 else self.owner(shape)
        for npa in (800, 833):
            for _ in range(3000):
                self.ports[f"1{npa}{pick.randrange(200, 230)}{pick.randrange(3000):04d}"] = self.spc("RSP", 300)[:5]
        for _ in range(50):
            self.ports[f"447911{pick.randrange(100):03d}"] = self.spc("F", 9)
        self.ports["33"] = "F000"  # a number of the digits of a prefix

    def find(self, digits):
        if (said := self.ports.get(digits)) is not None:
            if len(said) < 11:
                return "", said, True
            owner = self.blocks.get(said[:7], "-")
            return said, "" if owner == "-" else owner, True
        for count in range(len(digits), 0, -1):
            if (owner := self.blocks.get(digits[:count])) is not None:
                return "", "" if owner == "-" else owner, False
        return "", "", False

    def write(self, folder, order):
        blocks = [f"+{prefix},{owner}\n" for prefix, owner in self.blocks.items()]
        ports = [f"+{number},{owner}\n" for number, owner in self.ports.items()]
        for name, lines in (("blocks", blocks), ("ports", ports)):
            order(lines)
            (folder / f"{name}.csv").write_text("".join(lines))

    def some_number(self):
        """In, beside and far from what is assigned, ported and not, of any length."""
        pick = self.random
        match pick.randrange(8):
            case 0:
                return "".join(pick.choices("0123456789", k=pick.randint(1, 15)))
            case 1:
                return f"1{pick.randint(200, 999)}{pick.randrange(10**7):07d}"
            case 2:
                return pick.choice(self.codes) + f"{pick.randrange(10**4):04d}"
            case 3:
                return f"1{pick.choice([800, 833, 844])}{pick.randrange(190, 240)}{pick.randrange(4000):04d}"
            case 4:
                return pick.choice(["44791", "336", "8", "7"]) + f"{pick.randrange(10**4):04d}"
            case _:
                return f"{int(pick.choice(self.numbers)) + pick.choice([0, 0, 0, 1, -1, 10, 1000])}"

    def edges(self):
        """The first and the last number of every thousand around the assigned ones, and of every prefix."""
        thousands = set()
        for code in self.codes:
            for x in range(int(code) * 10 - 1, int(code) * 10 + 11):
                thousands.add(str(x))
        for thousand in sorted(thousands):
            yield from (f"{thousand}000", f"{thousand}999", f"{thousand}99", f"{thousand}9990")
        for prefix in self.blocks:
            yield from (prefix, f"{int(prefix) - 1}", f"{int(prefix) + 1}", f"{prefix}0", f"{prefix}99"[:15])


@pytest.fixture(scope="module")
def rows():
    made = Rows(20261123)
    made.numbers = list(made.ports)
    return made


@pytest.fixture(scope="module")
def path(cli, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("npdb-file")
    rows.write(folder, rows.random.shuffle)
    return build(cli, folder)


def build(cli, folder):
    done = cli("npdb", "build", "--blocks", folder / "blocks.csv", "--ports", folder / "ports.csv", "-o", folder / "npdb")
    assert done.returncode == 0, done.stderr
    return folder / "npdb"


def test_the_page_describes_the_file(path, rows):
    """Every byte is where and what the page says, the blocks in their one right form."""
    file = NpdbFile(path.read_bytes())
    file.check()
    assert file.ports == sum(is_plan(number) for number in rows.ports)
    assert max(count for _, _, _, count in file.npas) > 256, "the rows have an NPA of many owners"
    blocks = [Block(file.data, (slot - npdb_file.BLOCK) * 8) for slot in all_slots(file) if slot & npdb_file.BLOCK]
    assert {(block.wide, block.decades) for block in blocks} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert len({block.levels for block in blocks}) >= 5 and max(block.count for block in blocks) > 256


def all_slots(file):
    return [file.slot(page, place) for page, *_ in file.npas if page for place in range(8000)]


def look_up(cli, path, numbers):
    """→ (LRN, SPC, ported) of each, by `sticps npdb lookup`."""
    for at in range(0, len(numbers), AT_ONCE):
        some = numbers[at : at + AT_ONCE]
        done = cli("npdb", "lookup", "--json", path, *[f"+{digits}" for digits in some])
        assert done.returncode in (0, 4), done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert [answer["tn"] for answer in answers] == some
        yield from ((answer["lrn"] or "", answer["spc"] or "", answer["ported"]) for answer in answers)


def test_the_same_answers(cli, path, rows):
    """100,000 random numbers and every boundary: `sticps npdb lookup`, the independent reader and the rows agree."""
    file, seen = NpdbFile(path.read_bytes()), set()
    numbers = [*rows.edges(), *rows.numbers, *(rows.some_number() for _ in range(RANDOM))]
    numbers = [digits for digits in numbers if 1 <= len(digits) <= 15 and digits[0] != "0"]
    for digits, found in zip(numbers, look_up(cli, path, numbers), strict=True):
        expected = rows.find(digits)
        assert (digits, *found) == (digits, *file.find(digits)) == (digits, *expected)
        seen.add((bool(expected[0]), bool(expected[1]), expected[2], is_plan(digits)))
    # (LRN, SPC, ported, of the plan): all there are
    assert seen == {
        (False, False, False, False), (False, False, False, True), (False, True, False, False), (False, True, False, True),
        (False, True, True, False), (False, True, True, True), (True, False, True, True), (True, True, True, True),
    }  # fmt: skip


def test_the_order_of_rows_does_not_matter(cli, path, rows, tmp_path):
    for order in (list.sort, list.reverse):
        rows.write(tmp_path, order)
        assert build(cli, tmp_path).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("what", ["magic", "version", "crc", "owners", "slot", "block", "padding"])
def test_the_check_finds_damage(cli, tmp_path, what):
    """A checker that finds nothing would prove nothing."""
    (tmp_path / "blocks.csv").write_text("202-555,1234\n")
    (tmp_path / "ports.csv").write_text("".join(f"2025550{number},{1000 + number}\n" for number in range(100, 200)))
    data = bytearray(build(cli, tmp_path).read_bytes())
    NpdbFile(bytes(data)).check()
    file = NpdbFile(bytes(data))
    first = (next(slot for slot in all_slots(file) if slot & npdb_file.BLOCK) - npdb_file.BLOCK) * 8
    place = {
        "magic": 0, "version": 8, "crc": 252, "owners": file.at["owners"] + 56, "slot": file.at["index"] + 5,
        "block": first + 12, "padding": 250,
    }[what]  # fmt: skip
    data[place] ^= 1
    if what not in ("magic", "version", "crc"):  # sums that match, so that what they cover is looked at
        for i, name in enumerate(npdb_file.SECTIONS):
            crc = crc32c(data[file.at[name]:file.at[name] + file.size[name]])
            data[64 + 24 * i:68 + 24 * i] = crc.to_bytes(4, "little")
        data[252:256] = crc32c(data[:252]).to_bytes(4, "little")
    with pytest.raises((AssertionError, IndexError, UnicodeDecodeError)):
        NpdbFile(bytes(data)).check()
