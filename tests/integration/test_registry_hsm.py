"""The signer's key in an HSM (SoftHSM): signing, rotation from and to a file, a token that goes away, bad settings.

The tokens are made and filled by SoftHSM's own tool, and signatures are checked by python3-cryptography."""

import json
import signal
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lib.net import wait_until
from lib.passport import verify
from lib.process import run

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "pin-of-the-token-4711"


class Hsm:
    """A SoftHSM of its own with one token, `sticps`."""

    def __init__(self, folder):
        self.dir = folder
        self.tokens = folder / "tokens"
        self.tokens.mkdir()
        self.conf = folder / "softhsm2.conf"
        self.conf.write_text(f"directories.tokendir = {self.tokens}\nlog.level = ERROR\n")
        self.pin_file = folder / "pin"
        self.pin_file.touch(0o600)
        self.pin_file.write_text(PIN + "\n")

    def tool(self, *arguments):
        subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)

    def add(self, label, number, key, token="sticps"):
        pem = self.dir / "import.pem"
        pem.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                          serialization.NoEncryption()))
        self.tool("--import", str(pem), "--token", token, "--label", label, "--id", number, "--pin", PIN)
        pem.unlink()

    def plug_out(self):
        self.tokens.rename(self.dir / "away")

    def plug_in(self):
        (self.dir / "away").rename(self.tokens)

    def signer(self, label, number, certificate):
        return {"id": number, "key": f"pkcs11:token=sticps;object={label};type=private", "module": MODULE,
                "pin_file": str(self.pin_file), "certificate": str(certificate)}


def issue(pki, path, key):
    """A list signer's certificate for `key`, under the test PKI's root."""
    old = pki.certificate("list-signer")
    builder = x509.CertificateBuilder(old.issuer, old.subject, key.public_key(), x509.random_serial_number(),
                                      old.not_valid_before, old.not_valid_after)
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    path.write_bytes(builder.sign(pki.private_key("sti-pa-root"), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def key():
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def crt(pki, key, tmp_path_factory):
    return issue(pki, tmp_path_factory.mktemp("hsm-crt") / "hsm.crt", key)


@pytest.fixture
def hsm(tmp_path, monkeypatch, key):
    one = Hsm(tmp_path)
    monkeypatch.setenv("SOFTHSM2_CONF", str(one.conf))
    one.tool("--init-token", "--free", "--label", "sticps", "--pin", PIN, "--so-pin", "87654321")
    one.add("list-signer", "01", key)
    return one


def messages(reg):
    return [json.loads(line) for line in reg.log_text().splitlines()]


def header_of(reg, key):
    return verify(reg.list_token(), key.public_key())[0]


def sequence(reg, key):
    return verify(reg.list_token(), key.public_key())[1]["sequence"]


def test_the_hsm_signs(registry, hsm, key, crt, pki, cli, tmp_path):
    (tmp_path / "cas").mkdir()
    (tmp_path / "cas/one.pem").write_bytes(pki.pem("sti-ca"))
    reg = registry(signer=hsm.signer("list-signer", 1, crt), ca_list={"directory": str(tmp_path / "cas")})
    sp = reg.add_sp("alpha", "1234")
    assert sp.put("/api/v1/account/alpha/cps/1234", {"url": "https://cps.example.com/x"}).status == 201
    wait_until(lambda: verify(reg.list_token(), key.public_key())[1]["cpsMapping"].get("1234"), 10)
    ca_list = wait_until(lambda: r if (r := reg.anonymous.get("/download/v1/ca-list")).status == 200 else None, 10)
    assert verify(ca_list.body.decode(), key.public_key())[1]["trustList"]
    done = cli("list", "fetch", "--url", reg.base_url + "/download/v1/cps-list", "--anchor", pki.list_anchor,
               "--state", tmp_path / "state", "--lab", "--tls-ca", pki.tls_ca)
    assert done.returncode == 0, done.stderr
    assert reg.check().returncode == 0  # while the daemon holds its session
    assert PIN not in reg.log_text()


def test_rotation_from_a_file_to_the_hsm_and_back(registry, hsm, key, crt, pki):
    in_hsm = hsm.signer("list-signer", 2, crt)
    in_file = {"id": 3, "key": str(pki.key("list-signer")), "certificate": str(pki.crt("list-signer")),
               "module": None, "pin_file": None}
    reg = registry(next_signer=in_hsm)
    assert reg.anonymous.get("/download/v1/certificate/certificateId_2.crt").body == crt.read_bytes()
    assert header_of(reg, pki.private_key("list-signer"))["x5u"].endswith("certificateId_1.crt")

    def rotate(signer, next_signer):
        last = reg.list_token()
        reg.stop()
        reg.reconfigure(signer=signer, next_signer=None)
        reg.reconfigure(next_signer=next_signer)
        reg.start()
        wait_until(lambda: reg.list_token() != last, 10)

    back = {name: value for name, value in in_file.items() if value is not None}
    rotate(in_hsm, back)
    assert header_of(reg, key)["x5u"].endswith("certificateId_2.crt")
    assert sequence(reg, key) == 2
    rotate(in_file, None)
    assert header_of(reg, pki.private_key("list-signer"))["x5u"].endswith("certificateId_3.crt")
    assert sequence(reg, pki.private_key("list-signer")) == 3


def test_a_token_that_goes_away_stops_publishing_until_it_is_back(registry, hsm, key, crt):
    reg = registry(signer=hsm.signer("list-signer", 1, crt))
    sp = reg.add_sp("alpha", "1234")
    assert sp.put("/api/v1/account/alpha/cps/1234", {"url": "https://cps.example.com/1"}).status == 201
    wait_until(lambda: sequence(reg, key) == 2, 10)
    last = reg.list_token()
    hsm.plug_out()
    assert sp.put("/api/v1/account/alpha/cps/1234", {"url": "https://cps.example.com/2"}).status == 200
    ready = wait_until(lambda: r if (r := reg.anonymous.get("/ready")).status == 503 else None, 10)
    assert any("HSM" in reason for reason in ready.json["reasons"]), ready.json
    said = [line for line in messages(reg) if "NOTHING NEW IS PUBLISHED" in line["msg"]]
    assert said and said[0]["level"] == "error" and "HSM" in said[0]["msg"]
    assert reg.list_token() == last
    # a reload cannot use the signer either, and changes nothing
    reg.daemon.signal(signal.SIGHUP)
    wait_until(lambda: any("REFUSED" in line["msg"] and "HSM" in line["msg"] for line in messages(reg)), 10)
    assert reg.check().returncode == 1
    hsm.plug_in()
    wait_until(lambda: reg.anonymous.get("/ready").status == 200, 20)
    wait_until(lambda: sequence(reg, key) == 3, 10)
    assert verify(reg.list_token(), key.public_key())[1]["cpsMapping"]["1234"] == "https://cps.example.com/2"
    reg.daemon.signal(signal.SIGHUP)
    wait_until(lambda: any(line["msg"] == "reload: the configuration was read again" for line in messages(reg)), 10)
    assert reg.pa.post("/api/v1/publications").status in (200, 202)
    wait_until(lambda: sequence(reg, key) == 4, 10)
    assert PIN not in reg.log_text()


@pytest.fixture
def reg(registry, hsm, crt):
    return registry(start=False, signer=hsm.signer("list-signer", 1, crt))


def refusal(reg):
    """What -t and a start say; both must end with 1."""
    told = reg.check()
    assert told.returncode == 1, told
    started = run([reg.program, "-c", reg.config_path])
    assert started.returncode == 1 and started.stderr == told.stderr
    assert PIN not in told.stderr
    return told.stderr


@pytest.mark.parametrize("change, word", [
    ({"key": "pkcs11:token=sticps;object=none"}, "no private EC key"),
    ({"key": "pkcs11:token=other;object=list-signer"}, "no token"),
    ({"key": f"pkcs11:token=sticps;object=list-signer?pin-value={PIN}"}, "pin_file"),
    ({"key": "pkcs11:token=sticps;object=list-signer?module-path=/x.so"}, "module"),
    ({"key": "pkcs11:token=%"}, "RFC 7512"),
    ({"module": None}, "signer.module is missing"),
    ({"module": "none.so"}, "none.so"),
    ({"module": "/etc/passwd"}, "/etc/passwd"),
    ({"pin_file": None}, "pin_file is missing"),
    ({"pin_file": "none.pin"}, "none.pin"),
], ids=lambda value: None if isinstance(value, dict) else value.replace(" ", "-").replace("/", "_"))
def test_settings_that_cannot_be_used_end_the_start(reg, change, word):
    reg.reconfigure(signer=change)
    assert word in refusal(reg)


def test_a_file_takes_neither_module_nor_pin(reg, pki):
    reg.reconfigure(signer={"key": str(pki.key("list-signer")), "certificate": str(pki.crt("list-signer"))})
    assert "signer.module is for a key in an HSM" in refusal(reg)
    reg.reconfigure(signer={"module": None})
    assert "signer.pin_file is for a key in an HSM" in refusal(reg)


def test_relative_names_start_at_the_configuration(reg, hsm):
    link = reg.dir / "hsm.so"
    link.symlink_to(MODULE)
    (reg.dir / "hsm.pin").touch(0o600)
    (reg.dir / "hsm.pin").write_text(PIN)
    reg.reconfigure(signer={"module": "hsm.so", "pin_file": "hsm.pin"})
    assert reg.check().returncode == 0


def test_wrong_pins_and_open_pin_files(reg, hsm):
    hsm.pin_file.chmod(0o644)
    assert "chmod 600" in refusal(reg)
    hsm.pin_file.chmod(0o600)
    hsm.pin_file.write_text("not-the-pin-0815\n")
    said = refusal(reg)
    assert "refuses the PIN" in said and "not-the-pin-0815" not in said


def test_the_key_must_be_that_of_the_certificate(reg, hsm, pki):
    reg.reconfigure(signer={"certificate": str(pki.crt("list-signer"))})
    assert "expected key" in refusal(reg)
    hsm.add("list-signer", "02", pki.private_key("list-signer"))
    assert "several private keys" in refusal(reg)
    reg.reconfigure(signer={"key": "pkcs11:token=sticps;object=list-signer;id=%02"})
    assert reg.check().returncode == 0


def test_a_missing_token_ends_the_start(reg, hsm):
    hsm.plug_out()
    assert "signer id 1, key in an HSM" in refusal(reg)


def test_the_next_signer_is_held_to_the_same(reg, hsm, pki, crt):
    in_hsm = reg.config["signer"]
    reg.reconfigure(signer={"key": str(pki.key("list-signer")), "certificate": str(pki.crt("list-signer")),
                            "module": None, "pin_file": None})
    reg.reconfigure(next_signer={**in_hsm, "id": 2})
    assert reg.check().returncode == 0
    reg.reconfigure(next_signer={"module": None})
    assert "next_signer.module is missing" in refusal(reg)
    reg.reconfigure(next_signer={"module": MODULE, "key": "pkcs11:token=sticps;object=none"})
    assert "signer id 2" in refusal(reg)
