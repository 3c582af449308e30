"""sticps-agent against the real registry and the real CPS: what an STI-AS that is not written in C asks of it."""

import pytest
from lib.net import wait_until
from lib.passport import make_passport

DEST, ORIG = "12025550123", "12015550100"


@pytest.fixture(scope="module")
def path(registry, cps, cert_server, cli, agent, pki, tmp_path_factory):
    """Registry, CPS of SPC 1234 and agent, the list fetched by the agent itself."""

    class Path:
        pass

    p = Path()
    p.dir = tmp_path_factory.mktemp("path")
    p.registry, p.cps, p.cert_server = registry(), cps(), cert_server
    p.sp = p.registry.add_sp("alpha", "1234")
    reply = p.sp.put("/api/v1/account/alpha/cps/1234", {"url": p.cps.company_url("1234")})
    assert reply.status == 201, reply.body
    (p.dir / "blocks.csv").write_text("1202555,5678\n1303555,1234\n")
    (p.dir / "ports.csv").write_text("12025550123,13035550000\n")
    p.npdb = p.dir / "numbers.npdb"
    done = cli("npdb", "build", "--blocks", p.dir / "blocks.csv", "--ports", p.dir / "ports.csv", "-o", p.npdb)
    assert done.returncode == 0, done.stderr
    p.list_url = f"{p.registry.base_url}/download/v1/cps-list"
    p.settings = {"list": {"urls": [p.list_url]}, "npdb": [str(p.npdb)]}
    p.agent = agent(**p.settings).wait_for_list(2)
    return p


@pytest.fixture
def passport(path, pki):
    """A function that makes a PASSporT of a call, by default from ORIG to DEST."""
    key, x5u = pki.private_key("sp2"), path.cert_server.url + "/sp2.crt"
    return lambda orig=ORIG, dest=(DEST,), **kw: make_passport(key, x5u, orig, list(dest), **kw)


def test_a_passport_is_queued_at_once_and_arrives(path, passport):
    token = passport("12015550101")
    reply = path.agent.deliver(token)
    assert reply.status == 202, reply.body
    assert reply.json == {"status": "queued", "id": reply.headers["X-Request-Id"]}
    held = wait_until(lambda: r if (r := path.cps.retrieve(DEST, "12015550101")).status == 200 else None)
    assert held.json["passports"] == [token]


def test_who_waits_hears_of_each_cps(path, passport):
    token = passport("12015550102")
    outcome = path.agent.outcome(token)
    assert outcome["status"] == "delivered" and outcome["code"] == "OK"
    [one] = outcome["deliveries"]
    assert (one["url"], one["code"], one["httpStatus"]) == (path.cps.company_url("1234"), "OK", 201)
    assert path.cps.retrieve(DEST, "12015550102").json["passports"] == [token]


def test_resolve_is_what_the_command_says(path, cli):
    for number in ("+1 (202) 555-0123", "13035550199", "12025550124", "442079460000", "abc"):
        _, told = cli.json("resolve", number, "--state", path.agent.state, "--npdb", path.npdb)
        assert path.agent.resolve(number) == told
    assert path.agent.resolve(DEST)["url"] == path.cps.company_url("1234")
