"""The fixtures. Run under pg_virtualenv with STICPS_BIN_DIR naming the programs to test (packaging/test.sh does)."""

import os
from pathlib import Path

import pytest

from . import net
from .cert_server import CertServer
from .manual import Examples
from .pki import ROOT, Pki
from .services import Agent, Cli, Cps, Database, Registry


@pytest.fixture(scope="session")
def bin_dir():
    """Where the programs under test are."""
    folder = Path(os.environ.get("STICPS_BIN_DIR", ROOT / "build/release/bin")).resolve()
    assert folder.is_dir(), f"{folder} does not exist: build first, or set STICPS_BIN_DIR"
    return folder


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """The test PKI (lib/pki.py)."""
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def free_port():
    """A function that returns a free port."""
    return net.free_port


@pytest.fixture(scope="session")
def api(pki):
    """A function: api(base_url, token=None) → Api that trusts the test TLS root."""
    return lambda base_url, token=None, **kw: net.Api(base_url, pki.tls_ca, token, **kw)


@pytest.fixture(scope="session")
def example(bin_dir, pki, tmp_path_factory):
    """A function: example(name, *arguments, input=None) → what an example of the manual did (lib/manual.py)."""
    return Examples(bin_dir.parent, tmp_path_factory.mktemp("examples"), pki)


@pytest.fixture(scope="session")
def cli(bin_dir):
    """The `sticps` command (lib/services.py, Cli)."""
    return Cli(bin_dir)


@pytest.fixture(scope="module")
def new_database():
    """A function that makes a fresh database; all are dropped at the end of the module."""
    assert "PGHOST" in os.environ, "no private PostgreSQL: run under pg_virtualenv (packaging/test.sh)"
    made = []

    def make():
        made.append(Database())
        return made[-1]

    yield make
    for one in made:
        one.drop()


@pytest.fixture(scope="module")
def database(new_database):
    """One fresh database for the module."""
    return new_database()


def _close_all(services):
    errors = []
    for service in reversed(services):
        try:
            service.close()
        except AssertionError as error:
            errors.append(str(error))
    assert not errors, "\n".join(errors)


@pytest.fixture(scope="module")
def registry(bin_dir, pki, new_database, tmp_path_factory):
    """A factory: registry(**config_changes) → a running Registry on a fresh database, PA signed in (.pa).

    Pass database=… to share one (as a second node does), start=False to get it configured but not started
    (neither `init`). Stopped at the end of the module, where a bad exit or a sanitizer finding fails.
    """
    made = []

    def make(*, database=None, start=True, **changes):
        one = Registry(
            bin_dir, tmp_path_factory.mktemp("registry"), pki, database or new_database(), changes
        )
        made.append(one)
        if start:
            one.init()
            one.start()
        return one

    yield make
    _close_all(made)


@pytest.fixture(scope="module")
def cps(bin_dir, pki, tmp_path_factory):
    """A factory: cps(**config_changes) → a running Cps that serves SPC 1234. start=False: not started."""
    made = []

    def make(*, start=True, **changes):
        one = Cps(bin_dir, tmp_path_factory.mktemp("cps"), pki, changes)
        made.append(one)
        if start:
            one.start()
        return one

    yield make
    _close_all(made)


@pytest.fixture(scope="module")
def agent(bin_dir, pki, tmp_path_factory):
    """A factory: agent(**config_changes) → a running Agent; it needs list.urls and npdb. start=False: not started."""
    made = []

    def make(*, start=True, **changes):
        one = Agent(bin_dir, tmp_path_factory.mktemp("agent"), pki, changes)
        made.append(one)
        if start:
            one.start()
        return one

    yield make
    _close_all(made)


@pytest.fixture(scope="module")
def cert_server(pki):
    """The STI certificate repository: /sp1.crt and /sp2.crt over TLS, with request counters (.hits)."""
    server = CertServer(pki.crt("repo-tls"), pki.key("repo-tls"))
    for name in ("sp1", "sp2"):
        server.serve(f"/{name}.crt", pki.pem(name))
    yield server
    server.close()


@pytest.fixture(scope="module")
def new_cert_server(pki):
    """A function that starts further CertServers, e.g. with another certificate: new_cert_server("cps-tls")."""
    made = []

    def make(tls="repo-tls", **kw):
        made.append(CertServer(pki.crt(tls), pki.key(tls), **kw))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def path(registry, cps, cert_server, cli, pki, tmp_path_factory):
    """The way of a call: registry and CPS running, SPC 1234 of account alpha provisioned and published, the list
    fetched, a portability file built. Proofs by STI certificate are taken."""

    class Path:
        pass

    p = Path()
    p.dir = tmp_path_factory.mktemp("path")
    (p.dir / "cas").mkdir()
    (p.dir / "cas/sti-ca.pem").write_bytes(pki.pem("sti-ca"))
    p.registry = registry(ca_list={"directory": str(p.dir / "cas")}, tls_ca=str(pki.tls_ca))
    p.cps, p.cert_server = cps(), cert_server
    p.sp = p.registry.add_sp("alpha", "1234")
    p.url = p.cps.company_url("1234")
    p.first = p.registry.list_token()
    reply = p.sp.put("/api/v1/account/alpha/cps/1234", {"url": p.url})
    assert reply.status == 201, reply.body
    p.token = net.wait_until(
        lambda: token if (token := p.registry.list_token()) != p.first else None, 30, what="publication"
    )
    (p.dir / "blocks.csv").write_text("1202555,5678\n1303555,1234\n")
    (p.dir / "ports.csv").write_text("12025550123,13035550000\n")
    p.npdb, p.state = p.dir / "numbers.npdb", p.dir / "state"
    done = cli("npdb", "build", "--blocks", p.dir / "blocks.csv", "--ports", p.dir / "ports.csv", "-o", p.npdb)
    assert done.returncode == 0, done.stderr
    p.net = ("--tls-ca", pki.tls_ca, "--lab")
    p.list_url = f"{p.registry.base_url}/download/v1/cps-list"
    done = cli("list", "fetch", "--url", p.list_url, "--anchor", pki.list_anchor, "--state", p.state, *p.net)
    assert done.returncode == 0, done.stderr
    return p


@pytest.fixture(scope="module")
def passport(path, cli, pki):
    """A function that signs as SP 5678: passport(dest, *further_arguments) → a compact PASSporT from 12015550100."""

    def sign(dest, *extra):
        done = cli("passport", "sign", "--key", pki.key("sp2"), "--x5u", path.cert_server.url + "/sp2.crt", "--attest",
                   "A", "--orig", "12015550100", "--dest", dest, *extra, "--lab")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return sign
