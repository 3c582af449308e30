"""`sticps doctor`: each step, its cause by name, what to do, and the exit status. That its verdict on a list is that
of `list fetch` is tests/attack/test_doctor_agrees.py."""

import datetime
import fcntl
import json
import os
import socket
import subprocess
import time
from email.utils import formatdate

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from lib import sti
from lib.crl import make_crl
from lib.net import free_port


class Doctor:
    """doctor("cps", url) → exit status; then `steps` and look up by name: doctor["cps.tls"]."""

    def __init__(self, cli, pki):
        self.cli, self.pki = cli, pki
        self.steps = []

    def __call__(self, *args, lab=True, roots=True):
        options = [*(["--lab"] if lab else []), *(["--tls-ca", self.pki.tls_ca] if roots else [])]
        status, self.steps = self.cli.json("doctor", *args, *options)
        assert isinstance(self.steps, list), self.steps
        for step in self.steps:
            assert set(step) == {"subject", "step", "result", "code", "looked", "cause", "remedy"}
            if step["result"] == "ok":
                assert (step["code"], step["cause"], step["remedy"]) == ("OK", "", "")
            else:
                assert step["code"] != "OK" and step["cause"] and step["remedy"].endswith(".")
        failed = any(step["result"] == "failed" for step in self.steps)
        assert failed == (status != 0)
        return status

    def all(self, name):
        return [step for step in self.steps if f"{step['subject']}.{step['step']}" == name]

    def __getitem__(self, name):
        (step,) = self.all(name)
        return step

    def names(self):
        return [f"{step['subject']}.{step['step']}" for step in self.steps]


@pytest.fixture
def doctor(cli, pki):
    return Doctor(cli, pki)


@pytest.fixture(scope="module")
def host(registry):
    """A registry with a list of one entry."""
    one = registry()
    sp = one.add_sp("alpha", "1234")
    assert sp.put("/api/v1/account/alpha/cps/1234", {"url": "https://cps.example.com/cps/company/1234"}).status == 201
    deadline = time.monotonic() + 30
    while one.anonymous.get("/download/v1/cps-list/2").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return one


def list_options(host, pki, state=None):
    options = ["--url", host.base_url + "/download/v1/cps-list", "--anchor", pki.list_anchor]
    return options + (["--state", state] if state else [])


# ---- a list ----


def test_a_registry_in_health(doctor, cli, host, pki, tmp_path):
    """Every step of a list, in order; what would be taken, then what is held."""
    state = tmp_path / "state"
    options = list_options(host, pki, state)
    assert doctor("list", *options) == 0
    assert doctor.names() == [
        "anchor.file", "state.directory", "state.cps-list", "list.url", "list.dns", "list.connect", "list.tls",
        "list.http", "list.clock", "list.form", "list.header", "list.signer", "list.signature", "list.payload",
        "list.version", "list.exp", "list.sequence", "list.shrink", "list.verdict",
    ]  # fmt: skip
    assert not state.exists(), "looking makes nothing"
    assert "would be taken" in doctor["list.verdict"]["looked"]
    assert "status 200, application/jwt" in doctor["list.http"]["looked"]
    assert "TLSv1.3" in doctor["list.tls"]["looked"] and "IP Address:127.0.0.1" in doctor["list.tls"]["looked"]
    assert "certificateId_1.crt" in doctor["list.header"]["looked"]
    assert "Test STI-PA List Signer" in doctor["list.signer"]["looked"]
    assert doctor["list.payload"]["looked"] == "1 CPS URLs"

    done = cli("list", "fetch", *options, "--tls-ca", pki.tls_ca, "--lab")
    assert done.returncode == 0, done.stderr
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in state.rglob("*") if path.is_file()}
    assert doctor("list", *options) == 0
    assert "is the one that is held" in doctor["list.verdict"]["looked"]
    assert "the floor is" in doctor["state.cps-list"]["looked"] and "state.lock" in doctor.names()
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in state.rglob("*") if path.is_file()} == before


def test_lines_for_people(cli, host, pki):
    """A line a step, and the same without --json as with it."""
    options = [*list_options(host, pki), "--tls-ca", pki.tls_ca, "--lab"]
    done = cli("doctor", "list", *options)
    _, steps = cli.json("doctor", "list", *options)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == len(steps)
    for line, step in zip(lines, steps):
        assert line.split()[:2] == [step["result"], f"{step['subject']}.{step['step']}"]
    done = cli("doctor", "list", *options[:-1])  # not in the lab
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("failed")]
    assert done.returncode == 2 and line.split()[1] == "list.connect" and "; ADDRESS: " in line


def test_the_wrong_list(doctor, host, pki):
    """The rule's name is the one that `list fetch` would give, and no step after it is told."""
    assert doctor("list", *list_options(host, pki), "--kind", "ca") == 2
    assert doctor["list.payload"]["code"] == "PAYLOAD" and doctor.names()[-1] == "list.payload"
    assert doctor("list", *list_options(host, pki)[:-1], pki.crt("sti-ca")) == 2
    assert doctor["list.signer"]["code"] == "SIGNER" and "--anchor" in doctor["list.signer"]["remedy"]
    assert doctor("list", "--url", host.base_url + "/nowhere", "--anchor", pki.list_anchor) == 3
    assert doctor["list.http"]["code"] == "FETCH" and "status 404" in doctor["list.http"]["looked"]
    assert doctor("list", "--url", "http://a.example/", "--anchor", pki.list_anchor) == 1
    assert doctor["list.url"]["code"] == "USAGE" and doctor.names()[-1] == "list.url"


def test_the_lists_certificate_is_away(doctor, host, pki, new_cert_server):
    """The way to the signer's certificate has steps of its own."""
    mirror = new_cert_server("registry-tls")
    url = mirror.serve("/list", host.list_token().encode())
    assert doctor("list", "--url", url, "--anchor", pki.list_anchor) == 0, "the same host, another port"
    port = free_port()
    gone = host.list_token()  # its x5u names a port where nobody listens
    header, payload, signature = gone.split(".")
    import base64

    decoded = json.loads(base64.urlsafe_b64decode(header + "=="))
    decoded["x5u"] = f"https://127.0.0.1:{port}/cert"
    header = base64.urlsafe_b64encode(json.dumps(decoded).encode()).rstrip(b"=").decode()
    mirror.serve("/list", f"{header}.{payload}.{signature}".encode())
    assert doctor("list", "--url", url, "--anchor", pki.list_anchor) == 3
    assert doctor["signer.connect"]["code"] == "FETCH" and "refused" in doctor["signer.connect"]["cause"]
    assert "list.header" in doctor.names() and "list.signer" not in doctor.names()


def test_the_servers_clock(doctor, pki, host, new_cert_server):
    """A clock that is off is a warning and changes no exit status."""
    mirror = new_cert_server("registry-tls")

    def answer(handler):
        body = host.list_token().encode()
        handler.send_response_only(200)
        handler.send_header("Date", formatdate(time.time() + 3600, usegmt=True))
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    url = mirror.serve("/list", answer)
    assert doctor("list", "--url", url, "--anchor", pki.list_anchor) == 0
    assert doctor["list.clock"]["code"] == "CLOCK" and doctor["list.clock"]["looked"].startswith("-3")


# ---- this machine ----


def test_anchors(doctor, pki, tmp_path):
    def anchor(name, days):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.utcnow()
        cert = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=100))
            .not_valid_after(now + datetime.timedelta(days=days)).sign(key, hashes.SHA256())
        )  # fmt: skip
        return cert.public_bytes(Encoding.PEM)

    file = tmp_path / "anchors.pem"
    file.write_bytes(anchor("long", 90) + anchor("short", 5) + anchor("over", -3))
    assert doctor("--anchor", file) == 0, "an anchor that ended is a warning: the others count"
    long, short, over = doctor.all("anchor.file")
    assert (long["code"], short["code"], over["code"]) == ("OK", "EXPIRES_SOON", "EXPIRED")
    assert "/CN=long" in long["looked"] and " days" in long["looked"]
    file.write_bytes(b"rubbish")
    assert doctor("--anchor", file, "--anchor", pki.list_anchor) == 1
    assert [step["result"] for step in doctor.all("anchor.file")] == ["failed", "ok"]


def test_the_state(doctor, cli, host, pki, tmp_path):
    state = tmp_path / "state"
    options = list_options(host, pki, state)
    assert doctor("--state", state) == 0
    assert doctor["state.cps-list"]["code"] == "NO_LIST"
    assert cli("list", "fetch", *options, "--tls-ca", pki.tls_ca, "--lab").returncode == 0
    state.chmod(0o777)
    assert doctor("--state", state) == 0
    assert doctor["state.directory"]["code"] == "OPEN" and doctor["state.cps-list"]["code"] == "OK"
    state.chmod(0o755)

    file = state / "cps-list.json"
    good = file.read_bytes()
    file.write_bytes(good[:-20])
    assert doctor("list", *options) == 1, "as list fetch says, before it asks the network"
    assert doctor["state.cps-list"]["code"] == "STATE" and "list.url" not in doctor.names()
    file.write_bytes(good)

    with open(state / "cps-list.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert doctor("--state", state) == 1
    assert doctor["state.lock"]["code"] == "STATE"
    assert doctor("--state", state) == 0

    (tmp_path / "file").write_text("")
    assert doctor("--state", tmp_path / "file") == 1
    assert doctor["state.directory"]["code"] == "FILE"


@pytest.mark.skipif(os.geteuid() != 0, reason="takes the rights of another user, which needs root")
def test_a_state_that_is_anothers(cli, pki, tmp_path_factory):
    """As the user that runs the client, not as root, who may write everywhere."""
    folder = tmp_path_factory.mktemp("others")
    for path in (folder, folder.parent, folder.parent.parent):
        path.chmod(0o755)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", cli.program, "doctor", "--state", folder, "--json"],
        capture_output=True, text=True, timeout=60, check=False, env=cli.env,
    )  # fmt: skip
    if "Permission denied" in done.stderr and not done.stdout:
        pytest.skip("the program is in a folder that only root may enter")
    steps = {step["step"]: step for step in json.loads(done.stdout)}
    assert (done.returncode, steps["directory"]["code"]) == (1, "FILE"), done


def test_the_crl(doctor, pki, tmp_path):
    signer = (pki.certificate("sti-pa-root"), pki.private_key("sti-pa-root"))
    path = tmp_path / "pa.crl"
    make_crl(None, path, signer=signer, next_update=30 * 86400)
    assert doctor("--crl", path, "--anchor", pki.list_anchor) == 0
    assert doctor["crl.file"]["code"] == "OK"
    make_crl(None, path, signer=signer, next_update=3600)
    assert doctor("--crl", path, "--anchor", pki.list_anchor) == 0
    assert doctor["crl.file"]["code"] == "EXPIRES_SOON"
    assert doctor("--crl", path, "--anchor", pki.crt("sti-ca")) == 2, "not by this anchor: lists would be refused"
    assert doctor["crl.file"]["code"] == "SIGNER"


@pytest.fixture(scope="module")
def npdb(cli, tmp_path_factory):
    folder = tmp_path_factory.mktemp("npdb")
    (folder / "blocks.csv").write_text("202-555,1234\n303-555,5678\n")
    (folder / "ports.csv").write_text("3035550123,2025550000\n")
    file = folder / "numbers.npdb"
    done = cli("npdb", "build", "--blocks", folder / "blocks.csv", "--ports", folder / "ports.csv", "-o", file)
    assert done.returncode == 0, done.stderr
    return file


def test_portability_files(doctor, npdb, tmp_path):
    assert doctor("--npdb", npdb) == 0
    assert "2 blocks, 1 ported numbers, 2 carriers" in doctor["npdb.file"]["looked"]
    copy = tmp_path / "copy.npdb"
    data = bytearray(npdb.read_bytes())
    copy.write_bytes(data)
    os.utime(copy, (time.time() - 30 * 86400,) * 2)
    assert doctor("--npdb", copy) == 0
    assert doctor["npdb.file"]["code"] == "OLD" and "30 days" in doctor["npdb.file"]["looked"]
    data[-1] ^= 1
    copy.write_bytes(data)
    assert doctor("--npdb", copy, "--npdb", npdb) == 1, "the whole file is verified"
    assert [step["code"] for step in doctor.all("npdb.file")] == ["NPDB", "OK"]


def test_all_at_once(doctor, host, pki, npdb, tmp_path):
    assert doctor(*list_options(host, pki, tmp_path), "--npdb", npdb) == 0
    assert {name.split(".")[0] for name in doctor.names()} == {"anchor", "state", "npdb", "list"}
    assert doctor(*list_options(host, pki, tmp_path), "--npdb", tmp_path / "none") == 1
    assert doctor["list.verdict"]["result"] == "ok", "one trouble does not hide the rest"


# ---- a CPS, and the way to it ----


def test_a_cps(doctor, cps):
    one = cps()
    assert doctor("cps", one.company_url()) == 0
    names = ["cps.url", "cps.dns", "cps.connect", "cps.tls", "cps.http"]
    assert [name for name in doctor.names() if name != "cps.clock"] == names
    assert "/health: status 200" in doctor["cps.http"]["looked"]
    assert doctor("cps", one.company_url(), lab=False) == 2
    assert doctor["cps.url"]["code"] == "URL", "no literal, no port outside a lab"


@pytest.mark.parametrize(
    "url, code",
    [("https://cps.example.com/x?y", "URL"), ("http://cps.example.com/", "URL"), ("https://u@cps.example.com/", "URL"),
     ("cps.example.com", "URL"), ("https://cps/", "URL"), ("", "URL")],
)  # fmt: skip
def test_urls_that_no_list_may_hold(doctor, url, code):
    assert doctor("cps", url, lab=False) == 2
    assert doctor.names() == ["cps.url"] and doctor["cps.url"]["code"] == code


def test_a_url_that_the_registry_refuses(doctor, cps):
    """A list may hold what is not in normal form; the registry takes it not."""
    one = cps()
    assert doctor("cps", one.base_url + "/a/../cps/company/1234") == 0
    assert doctor["cps.url"]["result"] == "warning" and doctor["cps.url"]["code"] == "URL"


def test_nobody_there(doctor):
    assert doctor("cps", f"https://127.0.0.1:{free_port()}/x") == 3
    assert doctor["cps.connect"]["code"] == "FETCH" and "refused" in doctor["cps.connect"]["cause"]
    assert "cps.http" not in doctor.names(), "one failure, one step"
    assert doctor("cps", "https://no-such-host.invalid/x") == 3
    assert doctor["cps.dns"]["code"] == "FETCH" and "cps.connect" not in doctor.names()


def test_one_address_of_two(doctor, pki, new_cert_server):
    """localhost is 127.0.0.1 and, where there is one, ::1; what answers on one of them is reached."""
    server = new_cert_server()
    server.serve("/health", b"{}")
    assert doctor("cps", f"https://localhost:{server.port}/x") == 0
    results = [step["result"] for step in doctor.all("cps.connect")]
    assert results.count("ok") == 1 and "failed" not in results


def tls_certificate(pki, tmp_path, name, days=(-2, 30), issuer="tls-ca"):
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    ca = pki.certificate(issuer)
    builder = (
        x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(ca.subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )  # fmt: skip
    certificate, key_file = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.write_bytes(builder.sign(pki.private_key(issuer), hashes.SHA256()).public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key_file


@pytest.mark.parametrize(
    "name, days, roots, fault",
    [("other.example", (-2, 30), True, "name: "), ("localhost", (-9, -2), True, "expiry: "),
     ("localhost", (2, 9), True, "expiry: "), ("localhost", (-2, 30), False, "chain: ")],
    ids=["name", "expired", "not yet", "root"],
)  # fmt: skip
def test_tls_that_is_not_trusted(doctor, pki, tmp_path, name, days, roots, fault):
    from lib.cert_server import CertServer

    server = CertServer(*tls_certificate(pki, tmp_path, name, days))
    try:
        server.serve("/health", b"{}")
        assert doctor("cps", f"https://localhost:{server.port}/x", roots=roots) == 3
        step = doctor["cps.tls"]
        assert step["code"] == "FETCH" and fault in step["cause"] and f"/CN={name}" in step["looked"]
        assert "cps.http" not in doctor.names()
        assert [other for other in ("name: ", "expiry: ", "chain: ") if other in step["cause"]] == [fault]
    finally:
        server.close()


def test_a_certificate_that_ends_soon(doctor, pki, tmp_path):
    from lib.cert_server import CertServer

    server = CertServer(*tls_certificate(pki, tmp_path, "localhost", (-2, 5)))
    try:
        server.serve("/health", b"{}")
        assert doctor("cps", f"https://localhost:{server.port}/x") == 0
        assert doctor["cps.tls"]["code"] == "EXPIRES_SOON"
    finally:
        server.close()


def test_no_tls_at_all(doctor):
    """A server of plain HTTP, and one that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert doctor("cps", f"https://127.0.0.1:{silent.getsockname()[1]}/x", "--deadline", "500") == 3
        assert doctor["cps.tls"]["code"] == "FETCH" and "in time" in doctor["cps.tls"]["cause"]


def test_a_cps_that_is_ill(doctor, new_cert_server):
    server = new_cert_server()
    server.serve("/health", b"{}")
    server.status = 503
    assert doctor("cps", server.url + "/x") == 3
    assert doctor["cps.http"]["code"] == "FETCH" and "status 503" in doctor["cps.http"]["looked"]


# ---- a certificate ----


def test_an_sti_certificate(doctor, cert_server, pki):
    url = cert_server.url + "/sp1.crt"
    assert doctor("x5u", url, "--anchor", pki.crt("sti-ca")) == 0
    assert "SPC 1234" in doctor["x5u.certificate"]["looked"]
    assert {step["code"] for step in doctor.all("x5u.finding")} == {"FINDING"}
    assert doctor("x5u", url) == 0
    assert doctor["x5u.trust"]["code"] == "UNCHECKED"
    assert doctor("x5u", url, "--anchor", pki.crt("tls-ca")) == 2
    assert doctor["x5u.certificate"]["code"] == "UNSUPPORTED_CREDENTIAL"
    assert doctor("x5u", url, "--anchor", pki.crt("sti-ca"), lab=False) == 2
    assert doctor["x5u.url"]["code"] == "URL"


@pytest.mark.parametrize("fault", ["expired", "no SPC", "two SPCs", "no key usage", "rubbish", "away", "revoked"])
def test_certificates_that_passport_verify_refuses(doctor, cli, cert_server, pki, tmp_path, fault):
    """The code is the verdict that a PASSporT with this x5u would get."""
    kw = {"expired": {"days": (-9, -1)}, "no SPC": {"tnauthlist": None}, "no key usage": {"usage": False},
          "two SPCs": {"tnauthlist": sti.tnauthlist("1234", "5678")}, "revoked": {"serial": 77}}.get(fault, {})  # fmt: skip
    key, x5u = sti.issue(pki, cert_server, f"doctor-{fault.replace(' ', '-')}", **kw)
    options = ["--anchor", pki.crt("sti-ca")]
    if fault == "rubbish":
        x5u = cert_server.serve("/rubbish.crt", b"no certificate")
    elif fault == "away":
        x5u = cert_server.url + "/none.crt"
    elif fault == "revoked":
        signer = (pki.certificate("sti-pa-root"), pki.private_key("sti-pa-root"))
        make_crl(None, tmp_path / "crl", 77, signer=signer, issuer=pki.certificate("sti-ca").subject)
        options += ["--crl", tmp_path / "crl", "--crl-signer", pki.list_anchor]
    key_file = tmp_path / "key.pem"
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    signed = cli("passport", "sign", "--key", key_file, "--x5u", x5u, "--orig", "2025550100", "--dest", "2025550123",
                 "--attest", "A")  # fmt: skip
    assert signed.returncode == 0, signed.stderr
    status, verdict = cli.json("passport", "verify", *options, "--tls-ca", pki.tls_ca, "--lab", input=signed.stdout)
    assert doctor("x5u", x5u, *options) == status, verdict
    (failed,) = [step for step in doctor.steps if step["result"] == "failed"]
    if fault == "away":  # 436 to a PASSporT, and that the network is to blame is the exit status
        assert (status, failed["code"], verdict["code"]) == (3, "FETCH", "BAD_IDENTITY_INFO")
    else:
        assert (status, failed["code"]) == (2, verdict["code"])


# ---- a number ----


def test_a_number(doctor, cli, host, pki, npdb, tmp_path):
    state = tmp_path / "state"
    ways = ["--npdb", npdb, "--state", state]
    assert doctor("number", "2025550123", *ways) == 4
    assert doctor["number.list"]["code"] == "NO_LIST"
    fetched = cli("list", "fetch", *list_options(host, pki, state), "--tls-ca", pki.tls_ca, "--lab")
    assert fetched.returncode == 0, fetched.stderr
    assert doctor("number", "+1 202-555-0123", *ways) == 3, "cps.example.com is nowhere"
    names = ["number.number", "number.carrier", "number.spc", "number.list", "number.url", "cps.url", "cps.dns"]
    assert doctor.names()[: len(names)] == names
    assert doctor["number.url"]["looked"] == "https://cps.example.com/cps/company/1234"
    assert doctor("number", "3035550123", *ways) == 3
    assert "ported, LRN 12025550000" in doctor["number.carrier"]["looked"]
    assert doctor("number", "3035550124", *ways) == 4
    assert doctor["number.url"]["code"] == "CARRIER_HAS_NO_CPS"
    (tmp_path / "override.csv").write_text("5678,1234\n")
    assert doctor("number", "3035550124", *ways, "--override", tmp_path / "override.csv") == 3
    assert doctor["number.spc"]["looked"] == "SPC 1234 for 5678"
    assert doctor("number", "4045550124", *ways) == 4
    assert doctor["number.carrier"]["code"] == "NO_CARRIER"
    assert doctor("number", "hello", *ways) == 4
    assert doctor["number.number"]["code"] == "NOT_A_NUMBER"


# ---- the command line ----


@pytest.mark.parametrize(
    "args",
    [[], ["nobody"], ["list"], ["list", "--url", "https://a.example"], ["x5u"], ["cps"], ["cps", "a", "b"], ["number", "1"],
     ["list", "extra", "--url", "https://a.example", "--anchor", "x"], ["x5u", "u", "--crl", "f"]],
    ids=" ".join,
)  # fmt: skip
def test_usage(cli, args):
    status, answer = cli.json("doctor", *args)
    assert (status, answer["status"], answer["code"]) == (1, "error", "USAGE")
