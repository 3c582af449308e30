"""The STI-PA's revocation list, served from a file."""

import pytest
from cryptography import x509
from lib.crl import make_crl
from lib.net import wait_until

PATH = "/download/v1/crl"


@pytest.fixture
def with_crl(registry, pki, tmp_path):
    """A registry that serves reg.crl, whose DER is reg.der."""
    path = tmp_path / "sti-pa.crl"
    der = make_crl(pki, path, 7)
    reg = registry(crl={"file": str(path)})
    reg.crl, reg.der = path, der
    wait_until(lambda: reg.anonymous.get(PATH).status == 200, 5)
    return reg


def served(reg, der):
    wait_until(lambda: reg.anonymous.get(PATH).body == der, 6, what="the new CRL")


def failed(reg):
    lines = reg.anonymous.get("/metrics").body.decode().splitlines()
    return [line for line in lines if line.startswith("sticps_crl_failed ")] == ["sticps_crl_failed 1"]


def test_as_der_with_etag(with_crl):
    reply = with_crl.anonymous.get(PATH)
    assert (reply.status, reply.body) == (200, with_crl.der)
    assert reply.headers["content-type"] == "application/pkix-crl"
    assert reply.headers["cache-control"] == "public, max-age=60"
    assert [revoked.serial_number for revoked in x509.load_der_x509_crl(reply.body)] == [7]
    etag = reply.headers["etag"]
    again = with_crl.anonymous.get(PATH, headers={"If-None-Match": etag})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    assert with_crl.anonymous.get(PATH, headers={"If-None-Match": '"other"'}).status == 200
    assert with_crl.anonymous.post(PATH).status == 405


@pytest.mark.parametrize("der", [True, False], ids=["DER", "PEM"])
def test_a_changed_file_is_served_without_a_signal(with_crl, pki, der):
    etag = with_crl.anonymous.get(PATH).headers["etag"]
    new = make_crl(pki, with_crl.crl, 7, 8, der=der)
    served(with_crl, new)
    reply = with_crl.anonymous.get(PATH, headers={"If-None-Match": etag})
    assert reply.status == 200 and reply.headers["etag"] != etag


@pytest.mark.parametrize("bad", [b"", b"damaged\n", "half", "longer", "a certificate", None], ids=str)
def test_what_is_no_crl_leaves_the_last_good_one(with_crl, pki, bad):
    content = {"half": with_crl.der[:-5], "longer": with_crl.der + b"x", "a certificate": pki.pem("sp1")}.get(bad, bad)
    if content is None:
        with_crl.crl.unlink()
    else:
        with_crl.crl.write_bytes(content)
    wait_until(lambda: failed(with_crl), 6)
    assert with_crl.anonymous.get(PATH).body == with_crl.der
    assert with_crl.anonymous.get("/ready").status == 200
    wait_until(lambda: "the last good CRL stays" in with_crl.log_text(), 10)
    done = with_crl.check()
    assert done.returncode == 1 and str(with_crl.crl) in done.stderr
    # a start goes on without one, and takes it when it comes
    with_crl.restart()
    assert with_crl.anonymous.get(PATH).code == "UNAVAILABLE"
    new = make_crl(pki, with_crl.crl, 9)
    served(with_crl, new)
    assert not failed(with_crl)


def test_an_overdue_crl_is_served_with_a_warning(with_crl, pki):
    served(with_crl, make_crl(pki, with_crl.crl, next_update=-60))
    wait_until(lambda: "nextUpdate" in with_crl.log_text(), 10)


def test_with_a_signer_configured_no_other_ones_list_is_taken(registry, pki, tmp_path):
    path = tmp_path / "sti-pa.crl"
    by_another = (pki.certificate("sti-ca"), pki.private_key("sti-ca"))
    make_crl(pki, path, 7, signer=by_another)
    reg = registry(crl={"file": str(path), "signer": str(pki.crt("sti-pa-root"))})
    wait_until(lambda: failed(reg), 6)
    assert reg.anonymous.get(PATH).code == "UNAVAILABLE"
    done = reg.check()
    assert done.returncode == 1 and "crl.file" in done.stderr and "none of the certificates" in done.stderr
    first = make_crl(pki, path, 7)
    served_first = wait_until(lambda: (reply := reg.anonymous.get(PATH)).status == 200 and reply, 6)
    assert served_first.body == first and not failed(reg) and reg.check().returncode == 0
    # the name of the right issuer does not make it the right signature
    make_crl(pki, path, signer=(pki.certificate("sti-pa-root"), by_another[1]))
    wait_until(lambda: failed(reg), 6)
    assert reg.anonymous.get(PATH).body == first
    wait_until(lambda: "the signature does not match" in reg.log_text(), 10)
    # late, but of the right signer: passed on with a warning, as without one
    served(reg, make_crl(pki, path, next_update=-60))


def test_without_configuration_there_is_none(registry):
    assert registry().anonymous.get(PATH).code == "NOT_FOUND"
