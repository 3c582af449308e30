"""The list of approved STI-CAs, published from a directory: PROTOCOL section 1."""

import base64
import datetime
import gzip
import hashlib
import json
import signal
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lib.net import wait_until
from lib.passport import make_passport, verify
from lib.process import run

BARE, ENVELOPE = "/download/v1/ca-list", "/api/v1/ca-list"
ORIG, DEST = "12025550100", "12025550123"


def new_ca(folder, name, *, subject=None):
    """A root made by openssl; its file is folder/name.crt."""
    key, path = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key],
                   check=True, capture_output=True)
    subprocess.run(["openssl", "req", "-new", "-x509", "-key", key, "-out", path, "-days", "365", "-subj",
                    subject or f"/C=US/O=Test {name}/CN=Root {name}", "-addext", "keyUsage=critical,keyCertSign"],
                   check=True, capture_output=True)
    return path


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def newest(reg):
    reply = reg.anonymous.get(BARE)
    return claims(reply.body.decode()) if reply.status == 200 else None


def wait_for_list(reg, probe, what, timeout=15):
    return wait_until(lambda: c if (c := newest(reg)) and probe(c) else None, timeout, 0.05, what=what)


def fingerprint(pem):
    return hashlib.sha256(base64.b64decode("".join(pem.decode().split("-----")[2].split()))).hexdigest()


def ca_events(reg):
    events = reg.pa.get("/api/v1/audit?limit=1000").json["events"]
    return [e for e in reversed(events) if e["action"].startswith("ca.")]


def put(folder, name, content):
    """As an administrator does who knows what he is doing: whole, or not at all."""
    (folder / f".{name}.new").write_bytes(content)
    (folder / f".{name}.new").rename(folder / name)


@pytest.fixture
def with_cas(registry, pki, tmp_path):
    """A registry that publishes the CAs of reg.cas, at first the PKI's STI-CA."""
    cas = tmp_path / "cas"
    cas.mkdir()
    put(cas, "sti-ca.pem", pki.pem("sti-ca"))
    reg = registry(ca_list={"directory": str(cas)})
    reg.cas = cas
    wait_for_list(reg, lambda c: True, "the first list")
    return reg


def test_the_first_list(with_cas, pki):
    token = with_cas.anonymous.get(BARE).body.decode()
    header, payload = verify(token, pki.certificate("list-signer").public_key())
    assert header == {"alg": "ES256", "typ": "JWT",
                      "x5u": with_cas.base_url + "/download/v1/certificate/certificateId_1.crt"}
    assert list(payload) == ["version", "sequence", "exp", "trustList"]
    assert (payload["version"], payload["sequence"]) == ("1.0", 1)
    assert abs(payload["exp"] - time.time() - 86400) < 30
    assert payload["trustList"] == [pki.certificate("sti-ca").public_bytes(serialization.Encoding.PEM).decode()]
    cps = claims(with_cas.list_token())
    assert cps["sequence"] == 1 and "trustList" not in cps, "each kind has its own sequence"


def test_additions_and_removals_are_published_and_audited(with_cas, pki, tmp_path):
    second = new_ca(tmp_path, "second", subject="/O=Größe \\/ \"Söhne\", Inc./CN=Root 2").read_bytes()
    put(with_cas.cas, "second.crt", second)
    both = wait_for_list(with_cas, lambda c: len(c["trustList"]) == 2, "both")
    assert both["sequence"] == 2
    put(with_cas.cas, "copy-of-second.crt", second)
    (with_cas.cas / "README").write_text("not a certificate\n")
    (with_cas.cas / ".hidden.pem").write_text("not a certificate\n")
    time.sleep(2.5)
    assert newest(with_cas)["sequence"] == 2, "nothing has changed"
    (with_cas.cas / "sti-ca.pem").unlink()
    left = wait_for_list(with_cas, lambda c: len(c["trustList"]) == 1, "one")
    assert left["sequence"] == 3 and left["trustList"] == [second.decode()]

    events = ca_events(with_cas)
    assert [(e["action"], e["userId"], e["detail"]["sha256"]) for e in events] == [
        ("ca.add", "sticps-registryd", fingerprint(pki.pem("sti-ca"))),
        ("ca.add", "sticps-registryd", fingerprint(second)),
        ("ca.remove", "sticps-registryd", fingerprint(pki.pem("sti-ca"))),
    ]
    assert events[0]["detail"]["subject"] == "CN=Test STI-CA Root,O=Test STI-CA,C=US"
    assert events[1]["detail"]["subject"].startswith("CN=Root 2,O=Gr")
    history = with_cas.pa.get("/api/v1/publications").json["publications"]
    assert {p["sequence"] for p in history} == {1}, "the history of cpsMapping is another"


def test_sighup_looks_at_once(with_cas, tmp_path):
    times = []
    for i in range(4):  # a look every 2 s by itself: four in a row within half a second each are none of these
        put(with_cas.cas, f"new{i}.crt", new_ca(tmp_path, f"new{i}").read_bytes())
        started = time.monotonic()
        with_cas.daemon.signal(signal.SIGHUP)
        wait_for_list(with_cas, lambda c, n=i + 2: len(c["trustList"]) == n, "the new CA")
        times.append(time.monotonic() - started)
    assert sum(times) < 6, times


def damage(kind, folder, pki):
    if kind == "no PEM":
        put(folder, "bad.pem", b"damaged\n")
    elif kind == "half written":
        put(folder, "bad.pem", pki.pem("sti-pa-root")[:300])
    elif kind == "no CA":
        put(folder, "bad.pem", pki.pem("sp1"))
    elif kind == "two in one":
        put(folder, "bad.pem", pki.pem("sti-ca") + pki.pem("sti-pa-root"))
    elif kind == "a key":
        put(folder, "bad.pem", pki.key("sti-ca").read_bytes())
    elif kind == "a folder":
        (folder / "bad.pem").mkdir()
    elif kind == "empty":
        (folder / "sti-ca.pem").unlink()
    elif kind == "gone":
        folder.rename(folder.with_name("elsewhere"))


@pytest.mark.parametrize("kind", ["no PEM", "half written", "no CA", "two in one", "a key", "a folder", "empty", "gone"])
def test_a_directory_that_cannot_be_taken_whole_changes_nothing_and_is_complained_of(with_cas, pki, kind):
    before = with_cas.anonymous.get(BARE).body
    damage(kind, with_cas.cas, pki)
    if kind not in ("empty", "gone"):
        put(with_cas.cas, "good.crt", pki.pem("tls-ca"))  # not taken either: whole or not at all
    wait_until(lambda: "sticps_ca_list_failed 1" in with_cas.anonymous.get("/metrics").body.decode(), 5)
    complaint = wait_until(lambda: [json.loads(line) for line in with_cas.log_text().splitlines()
                                    if "the last ca-list stays" in line], 20)
    assert complaint[0]["level"] == "error" and str(with_cas.cas) in complaint[0]["msg"]
    if kind not in ("empty", "gone"):
        assert "bad.pem" in complaint[0]["msg"]
    time.sleep(0.5)
    assert with_cas.anonymous.get(BARE).body == before
    assert with_cas.anonymous.get("/ready").status == 200, "the CPS list is as good as before"
    assert with_cas.check().returncode == 1
    # a restart finds the last good set in the database, and goes on renewing it
    with_cas.stop()
    with_cas.reconfigure(ca_list={"lifetime": 8, "period": 1})
    with_cas.start()
    renewed = wait_for_list(with_cas, lambda c: c["sequence"] > 1, "the renewal")
    assert renewed["trustList"] == claims(before.decode())["trustList"]
    assert len(ca_events(with_cas)) == 1
    # repaired
    if kind == "gone":
        with_cas.cas.mkdir()
    for path in with_cas.cas.iterdir():
        path.rmdir() if path.is_dir() else path.unlink()
    put(with_cas.cas, "sti-pa-root.pem", pki.pem("sti-pa-root"))
    wait_for_list(with_cas, lambda c: c["trustList"] != renewed["trustList"], "the repaired directory")
    wait_until(lambda: "sticps_ca_list_failed 0" in with_cas.anonymous.get("/metrics").body.decode(), 5)


def test_nothing_is_published_before_there_ever_was_a_good_directory(registry, tmp_path):
    reg = registry(ca_list={"directory": str(tmp_path / "none")})
    wait_until(lambda: "sticps_ca_list_failed 1" in reg.anonymous.get("/metrics").body.decode(), 5)
    for path in (BARE, ENVELOPE):
        reply = reg.anonymous.get(path)
        assert (reply.status, reply.code) == (503, "UNAVAILABLE")
    assert claims(reg.list_token())["sequence"] == 1, "the CPS list does not wait for it"


def test_an_expired_ca_is_published_with_a_warning(with_cas):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Expired")])
    now = datetime.datetime.utcnow()
    expired = (x509.CertificateBuilder(name, name, key.public_key(), 7, now - datetime.timedelta(9),
                                       now - datetime.timedelta(1))
               .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))
    put(with_cas.cas, "expired.crt", expired.public_bytes(serialization.Encoding.PEM))
    wait_for_list(with_cas, lambda c: len(c["trustList"]) == 2, "both")
    assert any("expired.crt" in line and "has expired" in line and '"warn"' in line
               for line in with_cas.log_text().splitlines())


def test_how_it_is_served(with_cas, pki, tmp_path):
    for i in range(3):
        put(with_cas.cas, f"more{i}.crt", new_ca(tmp_path, f"more{i}").read_bytes())
    with_cas.daemon.signal(signal.SIGHUP)
    wait_for_list(with_cas, lambda c: len(c["trustList"]) == 4, "all four")
    get = with_cas.anonymous.get
    bare = get(BARE)
    sequence = claims(bare.body.decode())["sequence"]
    assert bare.headers["content-type"] == "application/jwt"
    assert bare.headers["cache-control"] == "public, max-age=60"
    assert "Accept-Encoding" in bare.headers["vary"]
    packed = get(BARE, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip" and gzip.decompress(packed.body) == bare.body
    envelope = get(ENVELOPE)
    assert envelope.json.keys() == {"status", "message", "caList"}
    assert (envelope.json["status"], envelope.json["caList"]) == ("success", bare.body.decode())
    etags = [bare.headers["etag"], packed.headers["etag"], envelope.headers["etag"]]
    assert len(set(etags)) == 3 and all(tag.startswith('"') for tag in etags)
    for path, tag in ((BARE, etags[0]), (ENVELOPE, etags[2]), (f"{BARE}/{sequence}", etags[0])):
        reply = get(path, headers={"If-None-Match": tag})
        assert (reply.status, reply.body) == (304, b"")
    for number in range(1, sequence + 1):
        reply = get(f"{BARE}/{number}")
        assert reply.status == 200 and claims(reply.body.decode())["sequence"] == number
        assert "immutable" in reply.headers["cache-control"]
    assert get(f"{BARE}/{sequence}").body == bare.body
    assert get(f"{BARE}/1").body != get("/download/v1/cps-list/1").body
    for number in (sequence + 1, 0, "01", "x"):
        assert get(f"{BARE}/{number}").code == "NOT_FOUND"
    reply = with_cas.anonymous.post(BARE)
    assert reply.status == 405 and "GET" in reply.headers["allow"]


def test_a_list_that_needs_a_session(registry, pki, tmp_path):
    (tmp_path / "ca.pem").write_bytes(pki.pem("sti-ca"))
    reg = registry(ca_list={"directory": str(tmp_path)}, list={"public": False})
    wait_until(lambda: reg.pa.get(BARE).status == 200, 5)
    for path in (BARE, ENVELOPE, BARE + "/1"):
        assert reg.anonymous.get(path).status == 401
        assert reg.pa.get(path).status == 200
        assert reg.pa.get(path).headers["cache-control"].startswith("private")


def test_the_other_node_serves_it_and_takes_over(with_cas, registry, tmp_path):
    other = registry(database=with_cas.database, start=False, ca_list={"directory": str(with_cas.cas)})
    other.start()
    wait_for_list(other, lambda c: True, "the list of the first node")
    put(with_cas.cas, "second.crt", new_ca(tmp_path, "second").read_bytes())
    wait_for_list(other, lambda c: len(c["trustList"]) == 2, "the change")
    sequence = newest(other)["sequence"]
    with_cas.kill()
    (with_cas.cas / "second.crt").unlink()
    after = wait_for_list(other, lambda c: len(c["trustList"]) == 1, "the change by the second node", 12)
    assert after["sequence"] > sequence


def test_our_client_takes_it(with_cas, cli, pki, tmp_path):
    for url in (BARE, ENVELOPE):
        state = tmp_path / url.replace("/", "_")
        fetch = ["list", "fetch", "--kind", "ca", "--url", with_cas.base_url + url, "--anchor", pki.list_anchor,
                 "--state", state, "--lab", "--tls-ca", pki.tls_ca]
        done = cli(*fetch)
        assert done.returncode == 0, done.stderr
        status, shown = cli.json("list", "show", "--kind", "ca", "--state", state)
        assert status == 0 and shown["sequence"] == newest(with_cas)["sequence"]
        # and refuses the one for the other
        wrong = cli(*[("cps" if arg == "ca" else arg) for arg in fetch[:-4]], *fetch[-4:])
        assert wrong.returncode == 2, (wrong.stdout, wrong.stderr)


def test_a_cps_takes_its_anchors_from_the_registry(with_cas, cps, cert_server, pki, tmp_path):
    node = cps(start=False)
    node.reconfigure(anchors={"bundle": None, "ca_list": {
        "url": with_cas.base_url + BARE, "anchor": str(pki.list_anchor), "state": str(node.dir / "state"), "period": 1}})
    node.start()

    def deliver():
        return node.deliver(make_passport(pki.private_key("sp1"), cert_server.url + "/sp1.crt", ORIG, [DEST])).status

    wait_until(lambda: deliver() == 201, 8, 0.1, what="trust in the STI-CA")
    put(with_cas.cas, "other.pem", new_ca(tmp_path, "other").read_bytes())
    (with_cas.cas / "sti-ca.pem").unlink()
    wait_until(lambda: deliver() == 437, 10, 0.1, what="the end of that trust")
    put(with_cas.cas, "sti-ca.pem", pki.pem("sti-ca"))
    wait_until(lambda: deliver() == 201, 10, 0.1, what="its return")


def test_configuration(registry, tmp_path, pki):
    reg = registry(start=False)
    (tmp_path / "ca.pem").write_bytes(pki.pem("sti-ca"))
    for ca_list, word in [({"directory": str(tmp_path), "lifetime": 100, "period": 51}, "ca_list.period"),
                          ({"directory": str(tmp_path), "lifetime": 700000}, "ca_list.lifetime"),
                          ({"lifetime": 100}, "directory"), ({"directory": str(tmp_path / "none")}, "none")]:
        reg.reconfigure(ca_list=None)
        reg.reconfigure(ca_list=ca_list)
        done = run([reg.program, "-t", "-c", reg.config_path])
        assert done.returncode == 1 and word in done.stderr, (ca_list, done.stderr)
    reg.reconfigure(ca_list=None)
    reg.reconfigure(ca_list={"directory": str(tmp_path)})
    assert reg.check().returncode == 0
