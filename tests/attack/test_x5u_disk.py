"""Certificate chains in the state directory (PROTOCOL section 4): a restart does without the x5u's host, and what
is on the disk is believed no more than what comes from the network."""

import json

import pytest
from hostile import Hostile, Identity, reply
from lib.passport import make_passport

GONE = reply(b"gone", "404 Not Found")


def chains(pa):
    return sorted((pa.state / "x5u").glob("*.chain"))


def forget_lists(pa):
    """As if no list had been fetched: their state keeps a chain of its own."""
    for file in pa.state.glob("*-list.json"):
        file.unlink()


def test_a_list_is_accepted_while_the_host_of_its_certificate_is_away(pa):
    pa.take(pa.list(5))
    assert len(chains(pa)) == 1
    forget_lists(pa)
    pa.server.routes["/cert"] = GONE
    pa.server.requests.clear()
    pa.take(pa.list(6))
    assert pa.server.paths() == ["/list"]


def test_a_rotated_certificate_is_fetched_and_replaces_the_kept_one(pa):
    """Rule 4: a cached chain that fails is fetched once more."""
    pa.take(pa.list(5))
    forget_lists(pa)
    before = chains(pa)[0].read_text()
    pa.signer = Identity("next signer", pa.root)
    pa.publish_certificate(pa.signer.pem)
    pa.take(pa.list(6))
    assert chains(pa)[0].read_text() != before
    forget_lists(pa)
    pa.server.routes["/cert"] = GONE
    pa.take(pa.list(7))


def test_a_bad_signature_does_not_take_the_kept_chain_away(pa, pki):
    """The mirror serves a forgery under the genuine x5u while that is out of reach; the real list comes next."""
    mirror = Hostile(pki.crt("repo-tls"), pki.key("repo-tls"))
    pa.take(pa.list(5))
    kept = chains(pa)[0].read_text()
    forget_lists(pa)
    pa.server.routes["/cert"] = GONE
    mirror.routes["/list"] = reply(pa.list(6, key=Identity("nobody").key))
    pa.serve(pa.list(6))
    status, answer = pa.fetch("--url", mirror.url + "/list", url=pa.url)
    assert (status, answer["status"], len(answer["failed"])) == (0, "taken", 1), answer
    forget_lists(pa)
    status, answer = pa.cli.json(
        "list", "fetch", "--url", mirror.url + "/list", "--url", pa.url, "--anchor", pa.anchor, "--state", pa.state,
        "--tls-ca", pki.tls_ca, "--lab",
    )  # fmt: skip
    assert (status, answer["status"], len(answer["failed"])) == (0, "taken", 1), answer
    assert chains(pa)[0].read_text() == kept
    mirror.close()


@pytest.mark.parametrize("whose", ["another root's", "a stranger's leaf", "garbage"])
def test_a_planted_chain_is_not_believed(pa, whose):
    pa.take(pa.list(5))
    forget_lists(pa)
    file = chains(pa)[0]
    genuine = file.read_text()
    evil_root = Identity("evil root", ca=True)
    evil = Identity("evil signer", evil_root)
    planted = {
        "another root's": evil.pem + evil_root.pem, "a stranger's leaf": Identity("self").pem, "garbage": b"garbage\n"
    }[whose]  # fmt: skip
    heading = genuine[: genuine.index("-----BEGIN")]
    file.write_text(heading + planted.decode() + "end\n")
    pa.refuse("SIGNATURE", 2, serve=pa.list(6, key=evil.key))
    file.write_text(heading + planted.decode() + "end\n")
    pa.take(pa.list(6))
    assert file.read_text().split("\n", 3)[3] == genuine.split("\n", 3)[3], "replaced by the genuine one"


def test_no_store_is_not_kept(pa):
    pa.publish_certificate(pa.signer.pem, Cache_Control="no-store")
    pa.take(pa.list(5))
    assert chains(pa) == []
    assert json.loads(pa.snapshot())["held"]["signer"]["pem"] == ""


def test_failures_are_not_kept(pa):
    pa.server.routes["/cert"] = GONE
    pa.refuse("FETCH", 3, serve=pa.list(5))
    pa.publish_certificate(pa.signer.pem)
    pa.take(pa.list(5))


def test_a_folder_that_cannot_be_written_is_no_error(pa):
    pa.state.mkdir(exist_ok=True)
    (pa.state / "x5u").write_text("in the way")
    pa.take(pa.list(5))
    assert pa.fetch()[1]["status"] == "current"


# ---- PASSporTs ----


@pytest.fixture
def verify(pa):
    """Verifies a PASSporT with the list of STI-CAs in pa's state; pa.sp signs, its certificate is at /sti."""
    pa.sti_root = Identity("STI-CA", ca=True)
    pa.sp = Identity("SHAKEN 1234", pa.sti_root, spc="1234")
    pa.server.routes["/sti"] = reply(pa.sp.pem)
    payload = pa.payload(1, trustList=[pa.sti_root.pem.decode()])
    del payload["cpsMapping"]
    pa.take(pa.sign(pa.header(), payload), "--kind", "ca")

    def run():
        token = make_passport(pa.sp.key, pa.server.url + "/sti", "12025550100", ("12025550123",))
        return pa.cli.json(
            "passport", "verify", "--ca-state", pa.state, "--tls-ca", pa.pki.tls_ca, "--lab", input=token
        )

    return run


def test_a_passport_is_verified_while_its_x5u_is_away(pa, verify):
    assert verify()[0] == 0
    pa.server.routes["/sti"] = GONE
    status, answer = verify()
    assert (status, answer["spc"]) == (0, "1234"), answer
    assert pa.server.paths().count("/sti") == 1


def test_a_renewed_certificate_under_the_old_x5u(pa, verify):
    assert verify()[0] == 0
    pa.sp = Identity("SHAKEN 1234", pa.sti_root, spc="1234")
    status, answer = verify()
    assert (status, answer["code"]) == (2, "INVALID_IDENTITY_HEADER"), answer
    pa.server.routes["/sti"] = reply(pa.sp.pem)
    assert verify()[0] == 0
    pa.server.routes["/sti"] = GONE
    assert verify()[0] == 0
