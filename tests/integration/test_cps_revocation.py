"""sticps-cpsd and the STI-PA's revocation list: whom it names is believed no more (PROTOCOL section 5)."""

import signal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from lib.crl import make_crl
from lib.net import wait_until
from lib.passport import make_passport
from lib.sti import issue

SERIAL, OTHER = 77001, 77002
_numbers = iter(range(12015570000, 12015580000))


@pytest.fixture
def issuer(pki):
    return pki.certificate("sti-ca").subject


@pytest.fixture
def start(cps, pki, tmp_path, issuer):
    """A node that asks the CRL at tmp_path/sti-pa.crl, which names nobody yet."""

    def start(*serials, **changes):
        make_crl(pki, tmp_path / "sti-pa.crl", *serials, issuer=issuer)
        crl = {"file": str(tmp_path / "sti-pa.crl"), "signer": str(pki.crt("sti-pa-root"))}
        return cps(crl=crl, **changes)

    return start


@pytest.fixture(scope="module")
def signers(pki, cert_server):
    return [issue(pki, cert_server, f"cps-revoked-{number}", serial=number) for number in (SERIAL, OTHER)]


def deliver(node, signer):
    key, x5u = signer
    return node.deliver(make_passport(key, x5u, str(next(_numbers))))


def assert_revoked(reply):
    assert (reply.status, reply.code) == (437, "UNSUPPORTED_CREDENTIAL"), reply.body
    assert "revoked" in reply.json["detail"]


def test_the_list_counts_as_soon_as_it_is_there(start, signers, pki, tmp_path, issuer):
    path = tmp_path / "sti-pa.crl"
    node = start(OTHER)
    assert deliver(node, signers[0]).status == 201
    assert_revoked(deliver(node, signers[1]))
    make_crl(pki, path, SERIAL, OTHER, issuer=issuer)  # also for a certificate that is kept checked
    wait_until(lambda: deliver(node, signers[0]).status == 437, 20, 0.2, what="the new CRL counts")
    make_crl(pki, path, SERIAL)  # the same number of another issuer
    wait_until(lambda: deliver(node, signers[0]).status == 201, 20, 0.2, what="the next CRL counts")
    assert deliver(node, signers[1]).status == 201


def test_what_cannot_be_relied_on_changes_nothing(start, signers, pki, tmp_path, issuer):
    """Overdue, by a stranger, a delta, with a demand nobody knows, no CRL at all, gone: the last good one stays."""
    path = tmp_path / "sti-pa.crl"
    stranger = (pki.certificate("sti-pa-root"), ec.generate_private_key(ec.SECP256R1()))
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    bad = [
        lambda: make_crl(pki, path, next_update=-60, issuer=issuer),
        lambda: make_crl(pki, path, signer=stranger, issuer=issuer),
        lambda: make_crl(pki, path, signer=(pki.certificate("sti-ca"), pki.private_key("sti-ca"))),
        lambda: make_crl(pki, path, extension=x509.DeltaCRLIndicator(1)),
        lambda: make_crl(pki, path, extension=unknown),
        lambda: path.write_text("rubbish"),
        lambda: path.unlink(),
    ]
    node = start(OTHER)
    for number, change in enumerate(bad, 1):
        change()
        wait_until(lambda: node.log_text().count("the last good CRL stays") >= number, 20, 0.1, what=f"change {number}")
        assert deliver(node, signers[0]).status == 201
        assert_revoked(deliver(node, signers[1]))


def test_nobody_is_believed_when_it_is_overdue(start, signers, pki, tmp_path, issuer):
    path = tmp_path / "sti-pa.crl"
    node = start()
    make_crl(pki, path, next_update=4, issuer=issuer)
    node.daemon.signal(signal.SIGHUP)
    reply = wait_until(lambda: r if (r := deliver(node, signers[0])).status == 503 else None, 30, 0.2, what="overdue")
    assert reply.headers["Retry-After"]
    make_crl(pki, path, issuer=issuer)
    wait_until(lambda: deliver(node, signers[0]).status == 201, 20, 0.2, what="the next CRL counts")


def test_at_the_start(start, cps, pki, tmp_path):
    node = start(start=False)
    assert node.check().returncode == 0
    (tmp_path / "sti-pa.crl").write_text("rubbish")
    done = node.check()
    assert done.returncode != 0 and "sti-pa.crl" in done.stderr, done.stderr
    make_crl(pki, tmp_path / "sti-pa.crl", next_update=-1)
    done = node.check()
    assert done.returncode != 0 and "nextUpdate" in done.stderr, done.stderr
    for crl in ({"file": "x"}, {"signer": "x"}, {"file": "x", "signer": "y", "bogus": 1}):
        assert cps(start=False, crl=crl).check().returncode != 0
