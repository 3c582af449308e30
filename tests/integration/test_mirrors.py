"""Several sources of a real registry: two nodes, one of which dies, and a copy that somebody carried."""

import time

import pytest
from lib.net import wait_until


@pytest.fixture(scope="module")
def nodes(registry):
    """Two nodes of one registry."""
    one = registry()
    one.add_sp("alpha", "1234", "5678")
    other = registry(database=one.database, start=False)
    other.reconfigure(base_url=one.base_url)
    other.start()
    return one, other


def publish(nodes, spc):
    """A new list, on both nodes; returns its sequence."""
    one, other = nodes
    before = one.list_token()
    url = f"https://cps.example.com/{spc}/{time.monotonic_ns()}"
    assert one.pa.put(f"/api/v1/account/alpha/cps/{spc}", {"url": url}).status in (200, 201)
    wait_until(lambda: one.list_token() == other.list_token() != before, 20, what="the list on both nodes")


def fetch(cli, nodes, pki, state, *args):
    urls = [word for node in nodes for word in ("--url", f"{node.base_url}/download/v1/cps-list")]
    return cli.json(
        "list", "fetch", *urls, "--anchor", pki.list_anchor, "--state", state, "--tls-ca", pki.tls_ca, "--lab", *args
    )


def test_nodes_agree_and_one_is_enough(cli, nodes, pki, tmp_path):
    one, other = nodes
    publish(nodes, "1234")
    status, answer = fetch(cli, nodes, pki, tmp_path)
    assert (status, answer["status"], answer["failed"]) == (0, "taken", []), answer
    first = answer["sequence"]
    publish(nodes, "5678")
    (tmp_path / "copy.jwt").write_text(one.list_token())
    newest = first + 1

    state = tmp_path / "carried"  # a client that has never seen the network but for the certificate
    status, answer = cli.json(
        "list", "fetch", "--file", tmp_path / "copy.jwt", "--x5u-host", "127.0.0.1", "--anchor", pki.list_anchor,
        "--state", state, "--tls-ca", pki.tls_ca, "--lab",
    )  # fmt: skip
    assert (status, answer["sequence"]) == (0, newest), answer

    one.kill()  # with the certificate, which has its address
    try:
        status, answer = fetch(cli, nodes, pki, tmp_path)
        assert (status, answer["status"], answer["sequence"]) == (0, "taken", newest), answer
        assert [(f["source"], f["code"]) for f in answer["failed"]] == [(f"{one.base_url}/download/v1/cps-list", "FETCH")]
        status, answer = fetch(cli, nodes, pki, state)
        assert (status, answer["status"]) == (0, "current"), answer
    finally:
        one.start()
