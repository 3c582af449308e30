"""`sticps doctor list` gives the verdict of `sticps list fetch`, by the same name and exit status, and writes
nothing: every test of a hostile list is run once more with the doctor in front of each fetch."""

import hashlib

import pytest
from hostile import Hostile, StiPa, reply

from test_list_fetch import *  # noqa: F401,F403
from test_list_revocation import *  # noqa: F401,F403
from test_list_rules import *  # noqa: F401,F403

# They measure how long one fetch takes, and here are two.
del test_a_drip_meets_the_deadline, test_a_dripping_certificate_meets_the_deadline  # noqa: F821
del test_issuers_of_great_keys  # noqa: F821: making those keys takes half a minute


def fingerprint(folder):
    """What is in a folder: names, kinds, times of change and contents."""
    if not folder.is_dir():
        return folder.exists()
    return {
        str(path): (path.lstat().st_mtime_ns, path.is_symlink(), path.is_file() and
                    hashlib.sha256(path.read_bytes()).hexdigest())
        for path in [folder, *folder.rglob("*")]
    }  # fmt: skip


class Doctored(StiPa):
    """An StiPa that asks the doctor before it fetches, and compares."""

    compared = 0

    def fetch(self, *args, url=None, lab=True, **kw):
        options = ["--url", url or self.url, "--anchor", self.anchor, "--state", self.state]
        options += ["--tls-ca", self.tls_ca, "--timeout", "20", *(["--lab"] if lab else []), *args]
        before, requests = fingerprint(self.state), list(self.server.requests)
        said, steps = self.cli.json("doctor", "list", *options, **kw)
        assert fingerprint(self.state) == before, "the doctor changed the state"
        self.server.requests[:] = requests
        status, answer = super().fetch(*args, url=url, lab=lab, **kw)
        self.compare(said, steps, status, answer)
        return status, answer

    def compare(self, said, steps, status, answer):
        assert said == status, (steps, answer)
        if isinstance(steps, dict):  # the command line itself
            assert (status, steps["code"]) == (1, answer["code"])
            return
        failed = [step for step in steps if step["result"] == "failed"]
        assert [step["code"] for step in failed] == ([answer["code"]] if status else []), (steps, answer)
        assert all(step["cause"] and step["remedy"] for step in steps if step["result"] != "ok")
        if status == 0:
            word = "would be taken" if answer["status"] == "taken" else "is the one that is held"
            assert steps[-1]["step"] == "verdict" and word in steps[-1]["looked"]
        Doctored.compared += 1


@pytest.fixture
def pa(implementation, cli, pki, tmp_path):
    one = Doctored(cli, pki, tmp_path, implementation)
    yield one
    one.close()


def test_the_doctor_was_asked():
    """Runs last in this file: nothing above would notice if the fixture were another."""
    assert Doctored.compared > 100


@pytest.fixture
def mirror(pki):
    server = Hostile(pki.crt("repo-tls"), pki.key("repo-tls"))
    yield server
    server.close()


@pytest.mark.parametrize("case", ["disagrees", "rolls back", "is away", "both are refused"])
def test_several_sources(pa, cli, pki, mirror, case):
    """Each source has its steps; what one gets wrong is a warning while another satisfies."""
    pa.take(pa.list(5))
    pa.serve(pa.list(6))
    if case in ("rolls back", "both are refused"):
        mirror.routes["/list"] = reply(pa.list(4))
    elif case == "disagrees":
        mirror.routes["/list"] = reply(pa.list(6, {}))
    if case == "both are refused":
        pa.serve(pa.list(5, {"9999": "https://a.example.com/x"}))
    options = ["--url", pa.url, "--url", mirror.url + "/list", "--anchor", pa.anchor, "--state", pa.state]
    options += ["--tls-ca", pki.tls_ca, "--lab"]
    said, steps = cli.json("doctor", "list", *options)
    status, answer = cli.json("list", "fetch", *options)
    assert said == status == (2 if case == "both are refused" else 0)
    bad = [step["code"] for step in steps if step["result"] == ("failed" if status else "warning")]
    if status:
        assert bad == ["EQUIVOCATION", "ROLLBACK"] and answer["code"] in bad
    else:
        assert bad == [one["code"] for one in answer["failed"]] == [
            {"disagrees": "EQUIVOCATION", "rolls back": "ROLLBACK", "is away": "FETCH"}[case]
        ]
        assert "would be taken, after 5" in steps[-1]["looked"]


def test_a_file(pa, cli, pki, tmp_path):
    """A copy of the list, where no URL gives one."""
    pa.take(pa.list(5))
    copy = tmp_path / "copy.jwt"
    for content, code in ((pa.list(6), None), (pa.list(4), "ROLLBACK"), (None, "FETCH")):
        copy.unlink(missing_ok=True)
        if content:
            copy.write_text(content)
        options = ["--file", copy, "--anchor", pa.anchor, "--state", pa.state, "--tls-ca", pki.tls_ca, "--lab"]
        options += ["--x5u-host", "127.0.0.1"]
        said, steps = cli.json("doctor", "list", *options)
        status, _ = cli.json("list", "fetch", *options)
        assert said == status
        assert [step["code"] for step in steps if step["result"] == "failed"] == ([code] if code else [])
        assert "list.file" in [f"{step['subject']}.{step['step']}" for step in steps]
