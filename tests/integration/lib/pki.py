"""The test PKI, made by the same script as the quick start's, and single certificates under it by openssl."""

import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

ROOT = Path(__file__).resolve().parents[3]


class Pki:
    """Files NAME.crt and NAME.key of one folder, e.g. pki.crt("sp1")."""

    def __init__(self, folder):
        self.dir = Path(folder)
        subprocess.run([str(ROOT / "packaging/pki.sh"), str(self.dir)], check=True, capture_output=True)

    def crt(self, name) -> Path:
        return self.dir / f"{name}.crt"

    def key(self, name) -> Path:
        return self.dir / f"{name}.key"

    def pem(self, name) -> bytes:
        return self.crt(name).read_bytes()

    def certificate(self, name) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.pem(name))

    def private_key(self, name):
        return load_pem_private_key(self.key(name).read_bytes(), None)

    @property
    def tls_ca(self) -> Path:
        return self.crt("tls-ca")

    @property
    def list_anchor(self) -> Path:
        return self.crt("sti-pa-root")
