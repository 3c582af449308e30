"""Revocation lists, made by the cryptography package."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization


def make_crl(pki, path, *serials, der=True, next_update=86400):
    """The STI-PA root's CRL with these serial numbers; renamed into place. Returns its DER."""
    now = datetime.datetime.utcnow()
    builder = (x509.CertificateRevocationListBuilder().issuer_name(pki.certificate("sti-pa-root").subject)
               .last_update(now - datetime.timedelta(days=2)).next_update(now + datetime.timedelta(seconds=next_update)))
    for serial in serials:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build())
    crl = builder.sign(pki.private_key("sti-pa-root"), hashes.SHA256())
    encoding = serialization.Encoding.DER if der else serialization.Encoding.PEM
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(crl.public_bytes(encoding))
    fresh.rename(path)
    return crl.public_bytes(serialization.Encoding.DER)
