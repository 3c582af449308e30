"""The CSV that `sticps npdb build` reads: routing guides, lists of ports and what vendors make of them. What a guide says
on a day is worked out here a second time, from docs/npdb-format.md."""

import csv
import hashlib
import json
import os
import random
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DAY = "2024-03-01"
ROWS = ("blocks", "duplicates", "overridden", "superseded", "ended", "future", "skipped")


def build(cli, tmp_path, *args, output="n.npdb"):
    """What the build says, and the file's hash."""
    done = cli("npdb", "build", "-o", tmp_path / output, *args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), hashlib.sha256((tmp_path / output).read_bytes()).hexdigest()


def look_up(cli, file, numbers):
    """{number: (SPC, LRN)}."""
    found = {}
    for at in range(0, len(numbers), 200):
        done = cli("npdb", "lookup", file, *numbers[at : at + 200], "--json")
        assert done.returncode in (0, 4), done.stderr
        for line in map(json.loads, done.stdout.splitlines()):
            found[line["number"]] = (line["spc"], line["lrn"])
    return found


def test_the_example(bin_dir, tmp_path):
    document = (ROOT / "docs/npdb-format.md").read_text()
    commands, said = re.search(r"### An example.*?```sh\n(.*?)```\n\n```\n(.*?)```", document, re.S).groups()
    env = {**os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-euc", commands], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    built, answers = done.stdout.split("\n", 1)
    assert answers == said
    for count in ("3 blocks", "1 ports", "1 superseded", "1 ended", "1 future", "0 skipped"):
        assert f" {count}" in built


# ---- a routing guide ----

LERG6 = ["LATA", "LATA_NAME", "STATUS", "EFF_DATE", "NPA", "NXX", "BLOCK_ID", "COC_TYPE", "AOCN", "OCN", "LOC_NAME"]


def guide(rng, codes=40):
    """Rows as a routing guide has them: holders over time, pooled thousands, disconnects."""
    rows = []
    for _ in range(codes):
        npa, nxx = f"{rng.randint(2, 4)}0{rng.randint(1, 3)}", f"{rng.randint(2, 9)}0{rng.randint(0, 3)}"
        for block in ["A", *rng.sample("0123456789", rng.randint(0, 4))]:
            dates = rng.sample(["19960501", "20191231", "20240229", "20240301", "20240302", "20250101"], rng.randint(1, 4))
            for date in ["", *dates] if rng.random() < 0.5 else dates:
                rows.append({
                    "LATA": "132", "LATA_NAME": "NEW YORK, METRO", "STATUS": rng.choice(["", "E", "e", "M", "D", "D", "X"]),
                    "EFF_DATE": date, "NPA": npa, "NXX": nxx, "BLOCK_ID": block if block != "A" else rng.choice("Aa"),
                    "COC_TYPE": "EOC", "AOCN": "0001", "OCN": f"{rng.randint(1, 9)}{rng.choice('0A')}00", "LOC_NAME": 'THE "X"',
                })  # fmt: skip
    return one_word_a_day(rows)


def one_word_a_day(rows):
    """Without rows that contradict others: one holder for a block on one day. A disconnect that is to come tells of today."""
    said = {}
    for row in rows:
        date = "" if row["STATUS"] == "D" and row["EFF_DATE"] > "20240301" else row["EFF_DATE"]
        said.setdefault((row["NPA"], row["NXX"], row["BLOCK_ID"].upper(), row["STATUS"] == "D" and date != "", date), row)
    return list(said.values())


def holders(rows):
    """{prefix: OCN} on the first of March 2024."""
    held = {}
    for row in rows:
        prefix = row["NPA"] + row["NXX"] + ("" if row["BLOCK_ID"] in "Aa" else row["BLOCK_ID"])
        ends, future = row["STATUS"] == "D", row["EFF_DATE"] > "20240301"
        if row["STATUS"] == "X" or (future and not ends):
            continue
        date, owner = ("", row["OCN"]) if future else (row["EFF_DATE"], None if ends else row["OCN"])
        held[prefix] = max(held.get(prefix, ("", False, None)), (date, owner is not None, owner))
    return {prefix: owner for prefix, (_, _, owner) in held.items() if owner is not None}


def write_guide(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, LERG6)
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("seed", range(4))
def test_a_routing_guide_in_any_order(cli, tmp_path, seed):
    rng = random.Random(seed)
    rows = guide(rng)
    held = holders(rows)
    hashes = set()
    for order in ("given", "reversed", "shuffled"):
        rows = {"given": rows, "reversed": rows[::-1], "shuffled": rng.sample(rows, len(rows))}[order]
        write_guide(tmp_path / "guide.csv", rows)
        said, digest = build(cli, tmp_path, "--blocks", tmp_path / "guide.csv", "--as-of", DAY)
        assert sum(said[name] for name in ROWS) == len(rows), "every row is counted once"
        assert said["blocks"] == len(held)
        assert min(said["superseded"], said["ended"], said["future"], said["skipped"]) > 0
        hashes.add(digest)
    half = len(rows) // 2
    write_guide(tmp_path / "1.csv", rows[:half])
    write_guide(tmp_path / "2.csv", rows[half:])
    hashes.add(build(cli, tmp_path, "--blocks", tmp_path / "2.csv", "--blocks", tmp_path / "1.csv", "--as-of", DAY)[1])
    assert len(hashes) == 1

    numbers = [prefix + "0" * (10 - len(prefix)) for prefix in {*held, *(row["NPA"] + row["NXX"] + x for row in rows for x in "059")}]
    found = look_up(cli, tmp_path / "n.npdb", numbers)
    for number in numbers:
        assert found[number] == (held.get(number[:7], held.get(number[:6])), None), number


def test_the_day_is_today_unless_said(cli, tmp_path):
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=400), today - timedelta(days=2), today + timedelta(days=2)]
    (tmp_path / "b.csv").write_text("Prefix,OCN,Effective Date\n" + "".join(f"202555,{n}111,{day}\n" for n, day in enumerate(days)))
    for as_of, spc in ([], "1111"), (["--as-of", str(days[0])], "0111"), (["--as-of", str(days[2])], "2111"):
        build(cli, tmp_path, "--blocks", tmp_path / "b.csv", *as_of)
        assert look_up(cli, tmp_path / "n.npdb", ["2025550123"])["2025550123"][0] == spc
    said, _ = build(cli, tmp_path, "--blocks", tmp_path / "b.csv", "--as-of", str(days[0] - timedelta(days=1)))
    assert (said["blocks"], said["future"]) == (0, 3)


# ---- lists of ports ----

PORTS = {  # number: (LRN, SPID)
    "2025550101": ("3035550000", "S001"), "2025550102": ("", "S001"), "2025550103": ("", "2222"), "8005550104": ("", "ABC01"),
    "+442079460018": ("", "S001"),
}  # fmt: skip


@pytest.mark.parametrize("form", ["commas", "semicolons", "tabs", "no heading"])
def test_lists_of_ports(cli, tmp_path, form):
    rows, args = [["TN", "Name", "LRN", "SPID"], *([tn, "A; B", lrn, spid] for tn, (lrn, spid) in PORTS.items())], []
    if form == "semicolons":
        rows[0] = ["Rufnummer", "Name", "routing number", "Anbieter"]
        args = ["--ports-columns", "tn=rufnummer,lrn=ROUTING NUMBER,spid=Anbieter"]
    if form == "no heading":
        rows, args = rows[1:], ["--ports-columns", "tn=1,lrn=3,spid=4"]
    with (tmp_path / "p.csv").open("w", newline="", encoding="utf-8-sig") as file:
        separator = {"semicolons": ";", "tabs": "\t"}.get(form, ",")
        csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL if form == "commas" else csv.QUOTE_MINIMAL).writerows(rows)
    (tmp_path / "blocks.csv").write_text("303555;5555\n")
    (tmp_path / "spid.csv").write_text("S001,1111\n")
    (tmp_path / "ocn.csv").write_text("# merged\n1111,9999\n5555,6666\n6666,7777\n")
    tables = ["--spid-map", tmp_path / "spid.csv", "--ocn-map", tmp_path / "ocn.csv"]
    said, _ = build(cli, tmp_path, "--blocks", tmp_path / "blocks.csv", "--ports", tmp_path / "p.csv", *args, *tables)
    assert said["ports"] == 5
    assert look_up(cli, tmp_path / "n.npdb", list(PORTS)) == {
        "2025550101": ("6666", "13035550000"), "2025550102": ("9999", None), "2025550103": ("2222", None),
        "8005550104": ("ABC01", None), "+442079460018": ("9999", None),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "text", "told"),
    [
        ([], "TN,carrier\n2025550123,1234\n", "there are TN, carrier; say which it is (--ports-columns lrn=NAME)"),
        ([], "TN,Phone,LRN\n1,2,3\n", "'TN' and 'Phone' may both be tn"),
        ([], "TN,LRN,Effective\n2025550123,3035550000,01/02/2024\n", "may be 20240102 or 20240201; say the order"),
        ([], "1|2025550123|3035550000\n", "there are more than two columns"),
        (["--ports-columns", "tn=2"], "1|2025550123|3035550000\n", "there is no heading"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_remedy(cli, tmp_path, args, text, told):
    (tmp_path / "p.csv").write_text(text)
    done = cli("npdb", "build", "-o", tmp_path / "n.npdb", "--ports", tmp_path / "p.csv", *args)
    assert done.returncode == 1
    assert told in done.stderr and f"{tmp_path}/p.csv:" in done.stderr
    assert not (tmp_path / "n.npdb").exists()


@pytest.mark.parametrize(
    "args",
    [
        ["--ports-columns", "number=TN"], ["--blocks-columns", "lrn=LRN"], ["--separator", "x"], ["--date-order", "ydm"],
        ["--as-of", "tomorrow"], ["--spid-map", "/nowhere/at/all"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_options_that_mean_nothing(cli, tmp_path, args):
    (tmp_path / "p.csv").write_text("2025550123,1234\n")
    done = cli("npdb", "build", "-o", tmp_path / "n.npdb", "--ports", tmp_path / "p.csv", *args)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert not (tmp_path / "n.npdb").exists()


# ---- the numbering of the world ----


def test_the_real_codes_as_they_are(cli, tmp_path):
    """Files of real codes load by their own headings; owners are made up, for nobody publishes them."""
    folder = Path(os.environ.get("STICPS_TEST_DATA") or "/nonexistent")
    if not (folder / "nanp-npanxx.csv").exists():
        pytest.skip("STICPS_TEST_DATA names no folder with nanp-npanxx.csv and e164-carrier-prefixes.csv")
    owners = {}
    with (folder / "nanp-npanxx.csv").open(newline="", encoding="utf-8") as file, (tmp_path / "us.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["NPANXX", "Place", "OCN"])
        for n, row in enumerate(csv.DictReader(file)):
            owners[row["npanxx"]] = f"{n % 9000 + 1000}"
            writer.writerow([row["npanxx"], row["place"], owners[row["npanxx"]]])
    said, _ = build(cli, tmp_path, "--blocks", tmp_path / "us.csv")
    assert said["blocks"] == len(owners) > 30000
    sample = random.Random(1).sample(sorted(owners), 1000)
    found = look_up(cli, tmp_path / "n.npdb", [code + "0000" for code in sample])
    assert all(found[code + "0000"] == (owners[code], None) for code in sample)

    done = cli("npdb", "build", "-o", tmp_path / "w.npdb", "--blocks", folder / "e164-carrier-prefixes.csv")
    assert done.returncode == 1 and "prefix, carrier; say which it is (--blocks-columns spc=NAME)" in done.stderr
