"""The `sticps` command as a command: help, order of options, what goes where, exit statuses."""

import json
import subprocess

import pytest

COMMANDS = [
    "list fetch", "list show", "list reset", "list recover", "npdb build", "npdb lookup", "npdb merge", "npdb info", "npdb verify",
    "npdb diff", "npdb dump", "resolve", "passport sign",
    "passport inspect", "passport verify", "deliver", "retrieve", "provision get", "provision put", "provision delete",
    "doctor",
]  # fmt: skip
NETWORK = {"list fetch", "list recover", "passport verify", "deliver", "retrieve", "provision get", "provision put", "provision delete",
           "doctor"}  # fmt: skip


def test_version(cli):
    done = cli("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sticps ") and done.stdout.split()[1].count(".") == 2


@pytest.mark.parametrize("args", [["help"], ["--help"], ["-h"]])
def test_help_names_every_command(cli, args):
    done = cli(*args)
    assert (done.returncode, done.stderr) == (0, "")
    for name in COMMANDS:
        assert f"sticps {name} " in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(cli, name):
    done = cli(*name.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: sticps {name} ")
    assert ("--tls-ca" in done.stdout) == (name in NETWORK)
    assert "--json" in done.stdout


@pytest.mark.parametrize("args", [[], ["nonsense"], ["list"], ["list", "nonsense"], ["passport"]])
def test_no_such_command(cli, args):
    done = cli(*args)
    assert (done.returncode, done.stdout) == (1, "")
    assert "usage" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["list", "show"], ["list", "show", "--state", "x", "--nonsense"],
        ["list", "show", "--state", "x", "extra"], ["list", "show", "--state", "x", "--kind", "dog"],
        ["list", "reset", "--state", "x", "--to", "-1"], ["list", "reset", "--state", "x", "--to", "1x"],
        ["list", "reset", "--state", "x", "--to", " 1"], ["list", "reset", "--state", "x"],
        ["list", "reset", "--state", "x", "--to", "9" * 30], ["resolve", "--state", "x", "--npdb", "y"],
        ["resolve", "2025550123", "--state", "x"], ["npdb", "build", "-o", "x"], ["npdb", "merge", "x", "-o", "x"],
        ["npdb", "merge", "x", "--changes", "x", "-o", "y"], ["npdb", "info"], ["npdb", "verify", "x"], ["npdb", "dump", "x"], ["npdb", "lookup", "x"],
        ["retrieve", "1", "--url", "https://a.example"], ["deliver", "a", "b", "--state", "x", "--npdb", "y"],
        ["list", "fetch", "--url", "https://a.example", "--anchor", "/none", "--state", "x"],
        ["list", "fetch", "--url", "https://a.example", "--anchor", "/dev/null", "--state", "x"],
        ["list", "fetch", "--url", "https://a.example", "--anchor", "/", "--state", "x", "--timeout", "0"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_usage_errors(cli, args, tmp_path):
    done = cli(*args, "--json", cwd=tmp_path, input="x")
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "error" and answer["detail"]
    assert done.stderr.startswith(f"sticps: {answer['code']}: ") and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "a usage error makes nothing"


def test_a_value_is_missing(cli):
    done = cli("list", "show", "--state")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--state wants a value" in done.stderr


def test_error_without_json(cli, tmp_path):
    done = cli("list", "show", "--state", tmp_path / "none")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("sticps: NO_LIST: ") and done.stderr.rstrip().endswith(")")
    assert not (tmp_path / "none").exists(), "showing makes nothing"


def test_options_anywhere(cli, tmp_path):
    (tmp_path / "b.csv").write_text("202-555,1234\n")
    file = tmp_path / "n.npdb"
    assert cli("npdb", "build", "-o", file, "--blocks", tmp_path / "b.csv").returncode == 0
    for args in (
        ["--json", "npdb-file", "2025550123"], ["npdb-file", "--json", "2025550123"], ["npdb-file", "2025550123", "--json"],
    ):  # fmt: skip
        done = cli("npdb", "lookup", *[file if arg == "npdb-file" else arg for arg in args])
        assert (done.returncode, json.loads(done.stdout)["spc"]) == (0, "1234")
    done = cli("npdb", "lookup", file, "2025550123", "3035550123", "x", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 4
    assert [line["code"] for line in lines] == ["OK", "NO_CARRIER", "NOT_A_NUMBER"]
    assert cli("npdb", "lookup", file, "2025550123").stdout == "12025550123 1234\n"


def test_bad_csv_names_each_row(cli, tmp_path):
    (tmp_path / "b.csv").write_text("202-555,1234\nhello\n202-556,!!\n")
    done = cli("npdb", "build", "-o", tmp_path / "n", "--blocks", tmp_path / "b.csv")
    assert done.returncode == 1
    assert f"{tmp_path}/b.csv:2: " in done.stderr and f"{tmp_path}/b.csv:3: " in done.stderr
    assert not (tmp_path / "n").exists()


def test_full_output(cli):
    """A full disk behind standard output is no success."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [cli.program, "passport", "inspect", "--json"], input=b"a.b.c", stdout=full, stderr=subprocess.PIPE,
            env=cli.env, check=False,
        )  # fmt: skip
    assert done.returncode != 0


def test_lab_warns(cli, tmp_path):
    done = cli("deliver", "--state", tmp_path, "--npdb", tmp_path / "none", "--lab", input="x")
    assert "warning: --lab" in done.stderr
