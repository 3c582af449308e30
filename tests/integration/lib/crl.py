"""Revocation lists, made by the cryptography package."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization


def make_crl(pki, path, *serials, der=True, next_update=86400, issuer=None, signer=None, extension=None):
    """The STI-PA root's CRL with these serial numbers; renamed into place. Returns its DER.

    `issuer` is the name of the CA whose certificates these are, which makes the CRL an indirect one. `signer`:
    (certificate, key) instead of the root's. `extension`: a critical one more.
    """
    now = datetime.datetime.utcnow()
    certificate, key = signer or (pki.certificate("sti-pa-root"), pki.private_key("sti-pa-root"))
    builder = (x509.CertificateRevocationListBuilder().issuer_name(certificate.subject)
               .last_update(now - datetime.timedelta(days=2)).next_update(now + datetime.timedelta(seconds=next_update)))
    if issuer:
        builder = builder.add_extension(x509.IssuingDistributionPoint(
            None, None, only_contains_user_certs=False, only_contains_ca_certs=False, only_some_reasons=None,
            indirect_crl=True, only_contains_attribute_certs=False), critical=True)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        if issuer:
            revoked = revoked.add_extension(x509.CertificateIssuer([x509.DirectoryName(issuer)]), critical=True)
        builder = builder.add_revoked_certificate(revoked.build())
    if extension:
        builder = builder.add_extension(extension, critical=True)
    crl = builder.sign(key, hashes.SHA256())
    encoding = serialization.Encoding.DER if der else serialization.Encoding.PEM
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(crl.public_bytes(encoding))
    fresh.rename(path)
    return crl.public_bytes(serialization.Encoding.DER)
