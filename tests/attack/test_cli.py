"""What the `sticps` command promises whatever it meets: one JSON object with --json, the exit status, a clean terminal."""

import json
import subprocess

import pytest
from hostile import Encoding, reply
from lib.passport import sign

COMMANDS = [
    ["list", "fetch"], ["list", "show"], ["list", "reset"], ["npdb", "build"], ["npdb", "lookup"], ["resolve"],
    ["passport", "sign"], ["passport", "inspect"], ["passport", "verify"], ["deliver"], ["retrieve"],
]  # fmt: skip


def run(bin_dir, *args, input=b""):
    """Arguments may be bytes, which need not be UTF-8."""
    done = subprocess.run([bin_dir / "sticps", *args], input=input, capture_output=True, timeout=60)
    assert done.returncode in range(5), done
    assert b"\x1b" not in done.stdout + done.stderr, done
    return done


@pytest.mark.parametrize("args", [[], ["bogus"], ["list"], ["list", "bogus"], ["passport"]], ids=str)
def test_no_such_command(bin_dir, args):
    plain, in_json = run(bin_dir, *args), run(bin_dir, *args, "--json")
    assert plain.returncode == in_json.returncode == 1
    assert plain.stdout == b"" and b"usage: sticps" in plain.stderr
    assert json.loads(in_json.stdout)["code"] == "USAGE"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("args", [["--bogus"], ["--state"], [b"\xff\x1b[31m"] * 9], ids=["option", "value", "many"])
def test_one_object_for_a_wrong_line(bin_dir, command, args):
    done = run(bin_dir, *command, "--json", *args)
    assert done.returncode in (1, 2), done
    assert set(json.loads(done.stdout)) >= {"status", "code", "where", "detail"}, done


@pytest.fixture
def npdb(cli, tmp_path):
    (tmp_path / "blocks.csv").write_text("202-555,1234\n312-555,-\n")
    file = tmp_path / "numbers.npdb"
    assert cli("npdb", "build", "--blocks", tmp_path / "blocks.csv", "-o", file).returncode == 0
    return file


def test_npdb_lookup_exit_status(bin_dir, npdb):
    assert run(bin_dir, "npdb", "lookup", npdb, "2025550123").returncode == 0
    assert run(bin_dir, "npdb", "lookup", npdb, "2025550123", "--json").returncode == 0
    for others in ("3125550123", "2125550123", "hello"):
        assert run(bin_dir, "npdb", "lookup", npdb, others, "2025550123").returncode == 4


def test_arguments_that_are_not_utf8(bin_dir, npdb, tmp_path):
    number = b"202\xff\x1b[31m\x9b"
    done = run(bin_dir, "resolve", number, "2025550123", "--state", tmp_path / "s", "--npdb", npdb, "--json")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["code"] for one in answers] == ["NOT_A_NUMBER", "NO_LIST"] and done.returncode == 4, done
    done = run(bin_dir, "resolve", number, "--state", tmp_path / "s", "--npdb", npdb)
    assert done.returncode == 4 and b"NOT_A_NUMBER" in done.stdout and b"\x9b" not in done.stdout
    output = str(tmp_path).encode() + b"/\xff.npdb"
    done = run(bin_dir, "npdb", "build", "--blocks", tmp_path / "blocks.csv", "-o", output, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["status"] == "built", done


@pytest.mark.parametrize(
    "args", [["--version"], ["help"], ["npdb", "lookup", "{npdb}", "2025550123"],
             ["npdb", "lookup", "{npdb}", "2025550123", "--json"], ["list", "show", "--help"]], ids=str,
)  # fmt: skip
def test_output_that_cannot_be_written(bin_dir, npdb, args):
    with open("/dev/full", "w") as full:
        line = [bin_dir / "sticps", *(part.format(npdb=npdb) for part in args)]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.count("standard output cannot be written") == 1, done


# ---- what a peer says stays off the terminal ----


@pytest.mark.parametrize("text", ["a.b.c\x1b[31m", "a.\u009b31m.c", "a b", "a\nb", ""])
def test_retrieved_texts_are_tokens(cli, pa, text):
    pa.server.routes["/passports/12025550123/12025550100"] = reply(json.dumps({"passports": ["a.b.c", text]}))
    line = ["retrieve", "2025550123", "2025550100", "--url", pa.server.url, "--tls-ca", pa.pki.tls_ca]
    status, answer = cli.json(*line)
    assert (status, answer["code"]) == (3, "FETCH"), answer
    done = cli(*line)
    assert (done.returncode, done.stdout) == (3, "")


def test_json_is_ascii(bin_dir, pa):
    done = run(bin_dir, "passport", "inspect", "--json", input=sign({"a": "\x1b[31m"}, {"b": "\u009b31m"}, pa.signer.key).encode())
    assert json.loads(done.stdout)["payload"] == {"b": "\u009b31m"}
    assert done.stdout.isascii()


def test_text_around_a_trusted_certificate(bin_dir, pa):
    pem = "\x1b[31m\u009b31m\n" + pa.pki.pem("sti-ca").decode()
    pa.serve(pa.sign(pa.header(), pa.payload(5, cpsMapping=None, trustList=[pem])))
    assert pa.fetch("--kind", "ca")[0] == 0
    done = run(bin_dir, "list", "show", "--state", pa.state, "--kind", "ca")
    assert b"-----BEGIN CERTIFICATE-----\n" in done.stdout and done.stdout.isascii()
    done = run(bin_dir, "list", "show", "--state", pa.state, "--kind", "ca", "--json")
    assert json.loads(done.stdout)["trustList"] == [pem]


def test_a_password_in_an_address_is_not_repeated(cli, pa):
    url = pa.url.replace("https://", "https://user:secret99@")
    for done in (
        cli("list", "fetch", "--url", url, "--anchor", pa.anchor, "--state", pa.state, "--json"),
        cli("retrieve", "2025550123", "2025550100", "--url", url, "--json"),
    ):
        assert done.returncode == 1 and json.loads(done.stdout)["code"] == "USAGE"
        assert "secret99" not in done.stdout + done.stderr
        assert "'@'" in done.stdout, "the reason is told"


def test_tls_roots_in_der(pa, tmp_path):
    """What --tls-ca takes, it uses."""
    from cryptography.x509 import load_pem_x509_certificate

    pa.serve(pa.list(1))
    file = tmp_path / "ca.der"
    file.write_bytes(load_pem_x509_certificate(open(pa.pki.tls_ca, "rb").read()).public_bytes(Encoding.DER))
    options = ["--url", pa.url, "--anchor", pa.anchor, "--state", pa.state, "--lab", "--tls-ca", file]
    status, answer = pa.cli.json("list", "fetch", *options)
    assert status == 0, answer
