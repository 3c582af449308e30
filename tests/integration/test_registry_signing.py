"""The signer's certificate: its rotation under clients, its end, and that of the TLS certificate."""

import base64
import datetime
import json
import select
import socket
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lib.net import wait_until
from lib.passport import verify


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def reissue(pki, path, name, issuer, end, key=None):
    """`name`'s certificate again, to end in `end` seconds, for `key` if given."""
    now = datetime.datetime.now(datetime.timezone.utc)
    old = pki.certificate(name)
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, key.public_key() if key else old.public_key(), x509.random_serial_number(),
        now - datetime.timedelta(hours=1), now + datetime.timedelta(seconds=end),
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    path.write_bytes(builder.sign(pki.private_key(issuer), hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def second(pki, tmp_path):
    """Another signer: key, certificate, id 2."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "second.key"
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.NoEncryption()))
    crt = reissue(pki, tmp_path / "second.crt", "list-signer", "sti-pa-root", 86400 * 90, key)
    return {"id": 2, "key": str(path), "certificate": str(crt)}


def certificate(reg, number):
    return reg.anonymous.get(f"/download/v1/certificate/certificateId_{number}.crt")


# ---- the end of a certificate ----


def test_no_list_outlives_its_signer(registry, pki, tmp_path):
    crt = reissue(pki, tmp_path / "short.crt", "list-signer", "sti-pa-root", 3600)
    end = int(x509.load_pem_x509_certificate(crt.read_bytes()).not_valid_after.replace(
        tzinfo=datetime.timezone.utc).timestamp())
    (tmp_path / "cas").mkdir()
    (tmp_path / "cas/one.pem").write_bytes(pki.pem("sti-ca"))
    reg = registry(signer={"certificate": str(crt)}, list={"lifetime": 7200, "period": 1},
                   ca_list={"directory": str(tmp_path / "cas"), "lifetime": 7200, "period": 1})
    ca_list = wait_until(lambda: r if (r := reg.anonymous.get("/download/v1/ca-list")).status == 200 else None, 5)
    assert claims(reg.list_token())["exp"] == claims(ca_list.body.decode())["exp"] == end
    time.sleep(3)
    assert claims(reg.list_token())["sequence"] == 1, "another list would not live longer"
    before = claims(reg.list_token())["sequence"]
    sp = reg.add_sp("alpha", "1234")
    assert sp.put("/api/v1/account/alpha/cps/1234", {"url": "https://cps.example.com/x"}).status == 201
    changed = wait_until(lambda: c if (c := claims(reg.list_token()))["sequence"] > before else None, 10)
    assert changed["exp"] == end
    # the lifetime wins where it is shorter
    reg.stop()
    reg.reconfigure(list={"lifetime": 600})
    reg.start()
    reg.pa.post("/api/v1/publications")
    shorter = wait_until(lambda: c if (c := claims(reg.list_token()))["exp"] < end else None, 10)
    assert abs(shorter["exp"] - time.time() - 600) < 30


def test_ends_are_announced(registry, pki, tmp_path):
    reg = registry()
    assert "within two weeks" not in reg.log_text()
    crt = reissue(pki, tmp_path / "tls.crt", "registry-tls", "tls-ca", 86400 * 13)
    warned = registry(tls={"certificate": str(crt)})
    said = wait_until(lambda: [json.loads(line) for line in warned.log_text().splitlines()
                               if "within two weeks" in line], 3)
    assert len(said) == 1 and said[0]["level"] == "warn" and "TLS certificate" in said[0]["msg"]


# ---- the next signer ----


def test_the_next_certificate_is_there_before_it_signs_and_stays(registry, pki, second):
    reg = registry(next_signer=second)
    pem = open(second["certificate"], "rb").read()
    assert certificate(reg, 2).body == pem
    assert certificate(reg, 2).headers["cache-control"] == "public, max-age=31536000, immutable"
    header, _ = verify(reg.list_token(), pki.certificate("list-signer").public_key())
    assert header["x5u"].endswith("certificateId_1.crt"), "it does not sign yet"
    # a node that was never told of it has it too
    other = registry(database=reg.database, start=False)
    other.start()
    wait_until(lambda: certificate(other, 2).status == 200, 10)
    assert certificate(other, 2).body == pem
    other.stop()
    # rotated, and the first forgotten: it is served for the lists that it signed
    old = reg.list_token()
    reg.stop()
    reg.reconfigure(signer=second, next_signer=None)
    reg.start()
    new = wait_until(lambda: t if (t := reg.list_token()) != old else None, 10)
    header, payload = verify(new, x509.load_pem_x509_certificate(pem).public_key())
    assert header["x5u"].endswith("certificateId_2.crt") and payload["sequence"] == 2
    assert reg.anonymous.get("/download/v1/cps-list/1").body.decode() == old
    assert certificate(reg, 1).body == pki.pem("list-signer")


def test_a_next_signer_that_could_not_sign_is_refused(registry, pki, second):
    reg = registry(start=False)
    for changes, word in [({"id": 1}, "next_signer.id"), ({"id": 0}, "next_signer.id"),
                          ({"key": str(pki.key("list-signer"))}, "key"),
                          ({"certificate": str(pki.crt("sti-pa-root"))}, "sti-pa-root"),
                          ({"certificate": str(pki.crt("registry-tls"))}, "registry-tls"),
                          ({"key": "none.key"}, "none.key")]:
        reg.reconfigure(next_signer={**second, **changes})
        done = reg.check()
        assert done.returncode == 1 and word in done.stderr, (changes, done.stderr)
    reg.reconfigure(next_signer=second)
    assert reg.check().returncode == 0


class Balancer:
    """Forwards each connection to the backend of the moment, as a proxy in front of the nodes does."""

    def __init__(self):
        self.backend = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client, self.backend), daemon=True).start()

    @staticmethod
    def _forward(client, port):
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            peers = {client: server, server: client}
            while True:
                for ready in select.select(list(peers), [], [], 30)[0] or [None]:
                    data = ready.recv(65536) if ready else b""
                    if not data:
                        return
                    peers[ready].sendall(data)

    def close(self):
        self._listener.close()


def test_rotation_node_by_node_under_a_fetching_client(registry, cli, pki, second, tmp_path):
    balancer = Balancer()
    base = f"https://127.0.0.1:{balancer.port}"
    a = registry(base_url=base, next_signer=second)
    b = registry(database=a.database, start=False, base_url=base, next_signer=second)
    b.start()
    balancer.backend = a.port
    stop, outcomes = threading.Event(), []

    def fetch_all_the_time():
        number = 0
        while not stop.is_set():
            # one client keeps its state, the other has never seen a certificate
            for state in (tmp_path / "kept", tmp_path / f"fresh{number}"):
                done = cli("list", "fetch", "--url", base + "/download/v1/cps-list", "--anchor", pki.list_anchor,
                           "--state", state, "--lab", "--tls-ca", pki.tls_ca)
                outcomes.append((done.returncode, done.stdout, done.stderr))
            number += 1

    def restart(node, other):
        balancer.backend = other.port
        time.sleep(0.5)  # what is under way on the node ends
        node.stop()
        node.reconfigure(signer=second, next_signer=None)
        node.start()

    client = threading.Thread(target=fetch_all_the_time)
    client.start()
    try:
        wait_until(lambda: len(outcomes) >= 4, 20)
        restart(a, b)
        during = len(outcomes)
        wait_until(lambda: len(outcomes) >= during + 4, 20)
        balancer.backend = a.port
        restart(b, a)
        key = x509.load_pem_x509_certificate(open(second["certificate"], "rb").read()).public_key()

        def signed_by_second():
            header = json.loads(base64.urlsafe_b64decode((token := a.list_token()).split(".")[0] + "=="))
            return header["x5u"].endswith("certificateId_2.crt") and verify(token, key)

        wait_until(signed_by_second, 10)
        after = len(outcomes)
        wait_until(lambda: len(outcomes) >= after + 4, 20)
    finally:
        stop.set()
        client.join()
        balancer.close()
    assert [o for o in outcomes if o[0] != 0] == []
    state, shown = cli.json("list", "show", "--state", tmp_path / "kept")
    assert state == 0 and shown["sequence"] == claims(a.list_token())["sequence"] >= 2
