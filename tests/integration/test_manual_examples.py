"""The programs of the manual's pages and of docs/examples: each is compiled as it stands against the installed library
and runs against a real registry and CPS."""

import re

import pytest
from lib import manual
from lib.manual import EXAMPLES
from lib.pki import ROOT
from lib.process import run

# name → (arguments, status, what it prints; … stands for anything)
RUNS = {
    "libsticps": ("{anchor} {state} {list} {npdb} 12025550123 2025550124 abc", 0,
                  "12025550123 OK {url}\n2025550124 CARRIER_HAS_NO_CPS \nabc NOT_A_NUMBER \n"),
    "sticps_allocator": ("", 0, "taken\n0 left\n"),
    "sticps_client": ("{anchor} {list}", 0, "list 2\n"),
    "sticps_numbers": ("{state} {npdb} 5035550100 5035550101", 0, "15035550100 13035550000 {url}\n15035550101  NO_CARRIER\n"),
    "sticps_error": ("{npdb}", 2, "USAGE: {npdb}: …\n"),
    "sticps_events": ("{anchor} {list}.gone", 0,
                      '# TYPE sticps_events_total counter\nsticps_events_total{{event="list",code="FETCH"}} 1\n'
                      "# TYPE sticps_deliveries_under_way gauge\nsticps_deliveries_under_way 0\n"),
    "sticps_list": ("{anchor} {new} {list}", 0, "list 2, taken\n1234 {url}\n"),
    "sticps_npdb": ("{blocks} {ports} {new}.npdb 2025550123", 0, "1 ported; 12025550123: ported 13035550000 1234\n"),
    "sticps_options": ("{new} {list} {anchor}", 0, "info list OK: list 2 is taken, after 0 ({list})\n"),
    "sticps_provision": ("{registry} alpha 1234 {sp1_key} {x5u} {url}", 0, '{{…"url" : "{url}"…}}\n'),
    "sticps_refresh": ("{anchor} {new} {list}.gone {file}", 0, "list 2 from {file}\n"),
    "sticps_resolve": ("{state} {npdb} +1-202-555-0123 3035550199 2025550124", 0,
                       "12025550123 ported to 1234: {url}\n13035550199 1234: {url}\n12025550124 5678: CARRIER_HAS_NO_CPS\n"
                       "…"),
    "sticps_stats": ("", 0, "".join(f'deliveries_ms_bucket{{{{le="{4 ** i}"}}}} 0\n' for i in range(6)) + "deliveries_ms_sum 0\n"),
    "sticps_x5u": ("{x5u}", 0, "-----BEGIN CERTIFICATE-----…-----END CERTIFICATE-----\ngood until …, … bytes\n"),
}
# in tests of their own below
DELIVERY = ("sticps_deliver", "sticps_inbox", "sticps_retrieve", "sticps_signing", "sti-as")


def matches(expected, printed):
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), printed, re.S) is not None


def test_every_example_runs():
    assert EXAMPLES.keys() == RUNS.keys() | set(DELIVERY), "give each example its arguments and what it prints, above"
    for page in manual.PAGES:
        assert len(manual.examples(page)) == 1, f"{page.name}: one complete program, between .EX and .EE"


@pytest.mark.parametrize("name", RUNS)
def test_example(example, path, pki, tmp_path, name):
    arguments, status, expected = RUNS[name]
    facts = {"anchor": pki.list_anchor, "state": path.state, "list": path.list_url, "npdb": path.npdb, "url": path.url,
             "new": tmp_path / "new", "blocks": path.dir / "blocks.csv", "ports": path.dir / "ports.csv",
             "registry": path.registry.base_url, "file": path.dir / "list.jwt", "sp1_key": pki.key("sp1"), "x5u": path.cert_server.url + "/sp1.crt"}
    facts["file"].write_text(path.token)
    done = example(name, *arguments.format(**facts).split())
    printed = done.stdout if done.stdout else done.stderr
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert matches(expected.format(**facts), printed), f"{printed}\ninstead of\n{expected.format(**facts)}"


def test_a_passport_is_delivered_and_retrieved(example, path, passport):
    token = passport("12025550123")
    done = example("sticps_deliver", path.state, path.npdb, input=token + "\n")
    assert (done.returncode, done.stdout) == (0, f"{path.url}: OK 201 , 1 tries\n"), done.stderr
    ask = (path.cps.private_url, path.cps.token, "202-555-0123", "12015550100")
    done = example("sticps_retrieve", *ask)
    assert (done.returncode, done.stdout) == (0, token + "\n"), done.stderr
    done = example("sticps_retrieve", *ask)
    assert done.returncode == 2 and done.stderr.startswith("NOT_FOUND: "), done.stderr


def test_a_delivery_with_a_key(example, path, passport, pki):
    """The CPS here demands no token; one that does is in tests/attack/test_delivery_tokens.py."""
    who = ("1234", path.cert_server.url + "/sp1.crt")
    token = passport("12025550123")
    done = example("sticps_signing", path.state, path.npdb, *who, pki.key("sp1"), input=token + "\n")
    assert (done.returncode, done.stdout) == (0, "OK\n"), done.stderr
    assert path.cps.retrieve("12025550123", "12015550100").json["passports"] == [token]
    done = example("sticps_signing", path.state, path.npdb, *who, "/none", input=passport("12025550123") + "\n")
    assert done.returncode == 1 and done.stderr.startswith("FILE: "), done.stderr


def test_results_are_collected(example, path, passport):
    tokens = [passport("12025550123"), passport("12025550124"), passport("12025550123", "--iat", "1700000000")]
    done = example("sticps_inbox", path.state, path.npdb, input="\n".join(tokens))
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["1: OK", "2: CARRIER_HAS_NO_CPS", "3: REJECTED"]
    assert path.cps.retrieve("12025550123", "12015550100").json["passports"] == [tokens[0]]


def test_an_old_passport_is_refused(example, path, passport):
    done = example("sticps_deliver", path.state, path.npdb, input=passport("12025550123", "--iat", "1700000000") + "\n")
    assert matches(f"{path.url}: REJECTED 403 STALE_DATE, 1 tries\nREJECTED: …\n", done.stdout), done.stdout


def test_the_sti_as(example, path, pki, passport, tmp_path):
    assert len(EXAMPLES["sti-as"].splitlines()) < 40
    tokens = [passport("12025550123"), passport("13035550199"), passport("12025550124"), "nonsense"]
    done = example("sti-as", pki.list_anchor, tmp_path / "state", path.list_url, path.npdb, input="\n".join(tokens))
    assert done.returncode == 0, done.stderr
    answers = sorted(line.split()[0] for line in done.stdout.splitlines())
    assert answers == ["CARRIER_HAS_NO_CPS", "MALFORMED", "OK", "OK"], done.stdout
    for dest, token in zip(("12025550123", "13035550199"), tokens):
        assert path.cps.retrieve(dest, "12015550100").json["passports"] == [token]
    done = example("sti-as", pki.crt("sti-ca"), tmp_path / "other", path.list_url, path.npdb, input=tokens[0])
    assert done.returncode == 1 and done.stderr.startswith("SIGNER: "), done.stderr
    done = example("sti-as")
    assert (done.returncode, done.stderr) == (1, "USAGE: sti-as ANCHOR STATE-DIR LIST-URL NPDB\n")


def test_python(path, bin_dir):
    if re.search(r"^STICPS_SANITIZE:STRING=.", (bin_dir.parent / "CMakeCache.txt").read_text(), re.M):
        pytest.skip("Python itself has no sanitizer in it")
    program = [ROOT / "docs/examples/resolve.py", path.state, path.npdb]
    env = {"LD_LIBRARY_PATH": str(bin_dir.parent / "lib")}
    done = run([*program, "+1-202-555-0123", "2025550124", "abc"], env=env)
    assert (done.returncode, done.stdout) == (
        0, f"12025550123 OK {path.url}\n12025550124 CARRIER_HAS_NO_CPS \nabc NOT_A_NUMBER \n"), done.stderr
    done = run([program[0], path.state, "/none", "1"], env=env)
    assert done.returncode == 1 and done.stderr.startswith("FILE: /none: "), done.stderr
