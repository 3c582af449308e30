import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from lib.fixtures import *  # noqa: E402,F401,F403

import pytest  # noqa: E402

from hostile import StiPa  # noqa: E402
from implementation import OURS, Implementation  # noqa: E402

# What needs nothing but the command protocol. The other files are about this repository's programs.
BLACK_BOX = {"test_list_fetch.py", "test_list_rules.py", "test_list_revocation.py", "test_list_over_time.py",
             "test_list_names.py", "test_list_crash.py"}


def pytest_addoption(parser):
    parser.addoption("--implementation", metavar="PROGRAM", default=os.environ.get("STICPS_IMPLEMENTATION"),
                     help="attack this implementation's adapter instead of the sticps command (tests/attack/README.md)")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--implementation"):
        others = [one for one in items if one.path.name not in BLACK_BOX]
        items[:] = [one for one in items if one.path.name in BLACK_BOX]
        config.hook.pytest_deselected(items=others)


@pytest.fixture(scope="session")
def implementation(request, bin_dir):
    """What is attacked: the `sticps` command, or what --implementation names."""
    return Implementation(request.config.getoption("--implementation") or OURS, bin_dir)


@pytest.fixture
def pa(implementation, cli, pki, tmp_path):
    """An STI-PA (hostile.StiPa) with an empty client state."""
    one = StiPa(cli, pki, tmp_path, implementation)
    yield one
    one.close()
