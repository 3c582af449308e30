"""The suite itself: against a client that leaves checks out, the tests of exactly these checks fail."""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

EXPECTED = {  # what weak_client.py does right, lacks, and does not offer
    "test_list_fetch.py::test_other_wrappings_are_taken[chunked]": "PASSED",
    "test_list_fetch.py::test_other_wrappings_are_taken[envelope]": "PASSED",
    "test_list_fetch.py::test_tls_root_unknown": "PASSED",
    "test_list_rules.py::test_exp[-1]": "PASSED",
    "test_list_rules.py::test_signature[another key]": "PASSED",
    "test_list_rules.py::test_exp[604900]": "FAILED",
    "test_list_rules.py::test_rollback": "FAILED",
    "test_list_rules.py::test_equivocation": "FAILED",
    "test_list_rules.py::test_signer[unknown root]": "FAILED",
    "test_list_rules.py::test_signer[expired]": "FAILED",
    "test_list_rules.py::test_bad_entries[http]": "FAILED",
    "test_list_rules.py::test_shrink[one to none]": "FAILED",
    "test_list_fetch.py::test_redirects_are_not_followed[302 Found]": "FAILED",
    "test_list_over_time.py::test_mix_of_leaf_and_key": "FAILED",
    "test_list_over_time.py::test_equivocation_with_an_earlier_list_is_remembered": "SKIPPED",
}


def test_the_suite_finds_what_a_client_lacks(bin_dir):
    line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=no", "-v", "--color=no",
            "--implementation", HERE / "weak_client.py", *(HERE / name for name in EXPECTED)]  # fmt: skip
    env = {name: value for name, value in os.environ.items() if name != "STICPS_IMPLEMENTATION"}
    env |= {"STICPS_BIN_DIR": str(bin_dir), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=300, check=False, cwd=HERE)
    outcomes = dict(re.findall(r"(test_\w+\.py::\S.*?) (PASSED|FAILED|SKIPPED|ERROR)", done.stdout))
    assert outcomes == EXPECTED, done.stdout + done.stderr
