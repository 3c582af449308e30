"""tests/bench/npdb runs from the workload to the table, and the sizes that it prints are what they shall be. Sizes are
exact; times are not looked at."""

import json
import subprocess

import pytest
from lib.pki import ROOT


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    subprocess.run([ROOT / "tests/bench/npdb", "--ports", "1M", "--work", folder, "--rounds", "1", "--asked", "20k",
                    "--json", folder / "figures.json"], check=True, timeout=600)
    return json.loads((folder / "figures.json").read_text())


def test_a_ported_number_takes_six_tenths_of_a_byte(figures):
    size = figures["size"]
    assert size["ported"] == 1_010_007  # the same seed, the same data
    assert size["bytes"] / size["ported"] <= 0.60


def test_the_blocks_are_near_what_is_in_them(figures):
    size = figures["size"]
    assert 1 <= size["payload"] / size["ported"] / size["description"] <= 1.45


@pytest.mark.parametrize("peer, times", [("LMDB", 20), ("SQLite", 15), ("sorted array", 9), ("open hash", 12)])
def test_the_file_is_smaller_than_its_peers(figures, peer, times):
    assert figures["lookup"]["peers"][peer]["bytes"] >= times * figures["size"]["bytes"]
