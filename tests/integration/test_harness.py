"""The harness itself: what a sanitizer or an assert reports in a program under test fails the test; distributions are
told apart when they are apart."""

import random
import subprocess
import sys

import pytest
from lib.distributions import Comparison
from lib.net import Reply, wait_until
from lib.pki import ROOT
from lib.process import Daemon, findings, run

FAULTS = {
    "address": "char *p = malloc(8); free(p); return p[argc];",
    "leak": "char *volatile p = malloc(8); p = NULL; return p != NULL;",
    "undefined": "int big = 2147483647; return (big + argc) > 0;",
    "thread": "pthread_t t; pthread_create(&t, NULL, f, NULL); shared = 1; pthread_join(t, NULL); return 0;",
    "assert": "assert(argc > 5); return 0;",
}


def build(folder, name, body):
    source = folder / f"{name}.c"
    source.write_text(
        "#include <assert.h>\n#include <pthread.h>\n#include <stdlib.h>\n"
        "int shared;\nvoid *f(void *a) { shared = 2; return a; }\n"
        f"int main(int argc, char **argv) {{ (void)argv; {body} }}\n"
    )
    sanitizer = {"leak": "address", "assert": None}.get(name, name)
    flags = [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"] if sanitizer else []
    subprocess.run(["gcc", "-g", "-w", *flags, "-o", folder / name, source, "-lpthread"], check=True)
    return folder / name


@pytest.mark.parametrize("name", FAULTS)
def test_a_finding_in_a_command_fails(tmp_path, name):
    with pytest.raises(AssertionError):
        run([build(tmp_path, name, FAULTS[name])])


def test_a_clean_command_does_not_fail(tmp_path):
    assert run([build(tmp_path, "address", "return 3;")]).returncode == 3


@pytest.mark.parametrize("name", ["address", "thread"])
def test_a_finding_in_a_daemon_fails(tmp_path, name):
    program = build(tmp_path, name, FAULTS[name])
    daemon = Daemon([program], tmp_path / "log", ready=lambda: True).start(wait=False)
    wait_until(lambda: not daemon.running, what="its end")
    with pytest.raises(AssertionError):
        daemon.close()


def test_a_daemon_that_ends_badly_fails(tmp_path):
    daemon = Daemon(["/bin/sleep", "60"], tmp_path / "log", ready=lambda: True).start()
    with pytest.raises(AssertionError):
        daemon.stop()  # it dies of SIGTERM, it does not end with 0


def test_ordinary_output_is_no_finding():
    assert findings('{"level":"error","msg":"no database: cannot be reached"}') is None


def test_code_wants_a_whole_problem_body():
    import email.message

    headers = email.message.Message()
    headers["Content-Type"] = "application/problem+json"
    assert Reply(404, headers, b'{"type":"t","title":"T","status":404,"code":"NOT_FOUND"}').code == "NOT_FOUND"
    for body in (b'{"type":"t","title":"T","status":400,"code":"X"}', b'{"status":404,"code":"X"}'):
        with pytest.raises(AssertionError):
            _ = Reply(404, headers, body).code


def totals(folder, *runners):
    done = subprocess.run([sys.executable, str(ROOT / "packaging/test_totals.py"), str(folder),
                           *(runners or ("unit", "integration"))],
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()[-1]


def test_totals(tmp_path):
    assert totals(tmp_path) == (1, "0 passed, 2 failed")  # no report is a failure of each runner
    (tmp_path / "unit.xml").write_text('<testsuite><testcase name="a" status="run"/></testsuite>')
    (tmp_path / "integration.xml").write_text("<testsuites><testsuite/></testsuites>")
    assert totals(tmp_path) == (1, "1 passed, 1 failed")  # nothing ran is a failure too
    (tmp_path / "integration.xml").write_text(
        '<testsuites><testsuite><testcase name="b"/><testcase name="c"><skipped/></testcase></testsuite></testsuites>'
    )
    assert totals(tmp_path) == (0, "2 passed, 0 failed")
    (tmp_path / "unit.xml").write_text(
        '<testsuite><testcase name="a" status="fail"><failure/></testcase><testcase name="b" status="run"/></testsuite>'
    )
    assert totals(tmp_path) == (1, "2 passed, 1 failed")
    assert totals(tmp_path, "integration") == (0, "1 passed, 0 failed")


def batches(rng, setting, count=10, size=20):
    """Calls of about a millisecond; `setting` adds to all of a batch, or to the batches that it names."""
    return [[rng.expovariate(1) + setting(number) for _ in range(size)] for number in range(count)]


@pytest.mark.parametrize(
    "setting, differs",
    [
        (lambda number: 0, []),
        (lambda number: 0.3, []),  # less than calls vary by
        (lambda number: 500 * (number == 3), []),  # one bad moment
        (lambda number: 50, [0.5, 0.95]),
    ],
    ids=["same", "small", "moment", "slow"],
)
def test_distributions_differ_by_a_setting_and_not_by_chance(setting, differs):
    rng = random.Random(4)
    assert Comparison(batches(rng, setting), batches(rng, lambda number: 0)).differs == differs


def test_distributions_differ_where_only_some_calls_wait():
    rng = random.Random(4)
    some = [[delay + 100 * (number % 5 == 0) for number, delay in enumerate(batch)]
            for batch in batches(rng, lambda number: 0)]
    assert Comparison(some, batches(rng, lambda number: 0)).differs == [0.95]
