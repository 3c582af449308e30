"""A list's signer on the STI-PA's revocation list (PROTOCOL section 2, rule 4), and lists that do not count."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hostile import Identity
from lib.crl import make_crl


@pytest.fixture
def crl(pa, tmp_path):
    """Makes the CRL of the root; `by`: an Identity that signs it."""

    def make(*serials, by=None, **kw):
        by = by or pa.root
        make_crl(None, tmp_path / "pa.crl", *serials, signer=(by.certificate, by.key), **kw)
        return tmp_path / "pa.crl"

    return make


def test_a_revoked_signer(pa, crl):
    path = crl()
    pa.take(pa.list(1), "--crl", path)
    crl(pa.signer.certificate.serial_number)
    for _ in range(2):  # the second time its chain comes from the cache
        pa.refuse("SIGNER", 2, "--crl", path, serve=pa.list(2), says="revoked")
    assert pa.fetch()[0] == 0, "without --crl nobody asks"


def test_a_revoked_ca_between(pa, crl):
    between = Identity("between", pa.root, ca=True)
    signer = Identity("signer below", between)
    pa.publish_certificate(signer.pem + between.pem)
    path = crl(between.certificate.serial_number)
    pa.refuse("SIGNER", 2, "--crl", path, serve=pa.list(1, key=signer.key))
    crl(signer.certificate.serial_number)  # the root's own number, not the one that `between` gave
    pa.take(pa.list(1, key=signer.key), "--crl", path)


def test_an_indirect_crl_by_a_signer_of_its_own(pa, crl, tmp_path):
    """Entries name the issuer; the CRL's signer is no anchor for lists."""
    other = Identity("CRL signer", ca=True)
    (tmp_path / "crl-signer.pem").write_bytes(other.pem)
    options = ("--crl", tmp_path / "pa.crl", "--crl-signer", tmp_path / "crl-signer.pem")
    crl(pa.signer.certificate.serial_number, by=other, issuer=pa.root.certificate.subject)
    pa.refuse("SIGNER", 2, *options, serve=pa.list(1), says="revoked")
    crl(pa.signer.certificate.serial_number, by=other)  # a number of its own
    pa.take(pa.list(1), *options)
    pa.refuse("SIGNER", 2, "--crl", tmp_path / "pa.crl", serve=pa.list(2))  # the anchors did not sign it
    below = Identity("below the CRL signer", other)
    pa.publish_certificate(below.pem)
    pa.refuse("SIGNER", 2, *options, serve=pa.list(3, key=below.key))


@pytest.mark.parametrize("which", ["overdue", "forged", "of a signer without cRLSign", "rubbish", "gone", "huge"])
def test_a_crl_that_does_not_count_refuses_every_list(pa, crl, which):
    path = crl()
    pa.take(pa.list(1), "--crl", path)
    if which == "overdue":
        crl(next_update=-1)
    elif which == "forged":
        forger = Identity("STI-PA root", ca=True, key=ec.generate_private_key(ec.SECP256R1()))
        crl(by=forger)
    elif which == "of a signer without cRLSign":
        crl(by=pa.signer)
    elif which == "gone":
        path.unlink()
    else:
        path.write_bytes(b"rubbish" if which == "rubbish" else bytes(17 << 20))
    answer = pa.refuse("SIGNER", 2, "--crl", path, serve=pa.list(2))
    if pa.implementation.ours:
        assert "CRL" in answer["detail"] or str(path) in answer["detail"] + answer.get("where", ""), answer
    crl()
    pa.take(pa.list(2), "--crl", path)


def test_usage(pa, crl, tmp_path):
    pa.refuse("USAGE", 1, "--crl-signer", pa.anchor)
    pa.refuse("USAGE", 1, "--crl", "")
    assert pa.fetch("--crl", crl(), "--crl-signer", tmp_path / "none.pem")[0] == 1
