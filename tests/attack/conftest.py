import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from lib.fixtures import *  # noqa: E402,F401,F403

import pytest  # noqa: E402

from hostile import StiPa  # noqa: E402


@pytest.fixture
def pa(cli, pki, tmp_path):
    """An STI-PA (hostile.StiPa) with an empty client state."""
    one = StiPa(cli, pki, tmp_path)
    yield one
    one.server.close()
