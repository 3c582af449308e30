"""Whether a CPS answers, asked before its URL is taken (cps_check): policies, what counts as an answer, one request
and the whole mapping, and a checker that dies. The CPSs are Python servers with real certificates."""

import datetime
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from lib.cert_server import CertServer
from lib.net import free_port as any_free_port
from lib.net import wait_until
from lib.sti import Prover

ENTRY = "/api/v1/account/alpha/cps/1234"


ports = set()  # that were used here: a result is kept for its host and port


def free_port():
    """A port that no test here has used."""
    while (port := any_free_port()) in ports:
        pass
    ports.add(port)
    return port


def process_of(registry):
    """The checker's process id, or None."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)
            name, parent = fields[0].split("(", 1)[1], int(fields[1].split()[1])
        except (OSError, IndexError):
            continue
        if parent == registry.pid and name.startswith("sticps-cps-chec"):
            return int(stat.parent.name)
    return None


@pytest.fixture(scope="module")
def checked(registry, pki):
    """A function: a registry with that policy, and an SP's Api; SPC 1234 to 1299 are the SP's."""
    made = {}

    def make(policy):
        if policy not in made:
            reg = registry(cps_check={"policy": policy, "timeout_ms": 1500}, tls_ca=str(pki.tls_ca))
            made[policy] = reg, reg.add_sp("alpha", *[str(spc) for spc in range(1234, 1300)])
        return made[policy]

    return make


@pytest.fixture
def cps(pki):
    """A CPS that answers; one of its own for each test, because results are kept."""
    made = []

    def make(certificate=pki.crt("cps-tls"), health=b"{}"):
        made.append(CertServer(certificate, pki.key("cps-tls")))
        while made[-1].port in ports:
            made.append(CertServer(certificate, pki.key("cps-tls")))
        ports.add(made[-1].port)
        if health is not None:
            made[-1].serve("/health", health)
        return made[-1]

    yield make
    for server in made:
        server.close()


def reissue(pki, path, *, name=None, end=3600):
    """The CPS's certificate again, for another name or ended."""
    old = pki.certificate("cps-tls")
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), x509.random_serial_number(),
                                      now - datetime.timedelta(days=2), now + datetime.timedelta(seconds=end))
    for extension in old.extensions:
        value = extension.value
        if name and isinstance(value, x509.SubjectAlternativeName):
            value = x509.SubjectAlternativeName([x509.DNSName(name)])
        builder = builder.add_extension(value, extension.critical)
    path.write_bytes(builder.sign(pki.private_key("tls-ca"), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM))
    return path


def slow_drip(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.2)
    except OSError:
        pass


def redirect(handler):
    handler.send_response(302)
    handler.send_header("Location", "https://elsewhere.example.com/health")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def bad_cps(kind, cps, pki, tmp_path):
    """A URL whose CPS does not answer as it must, and a word of the reason."""
    if kind == "expired certificate":
        return cps(reissue(pki, tmp_path / "c.crt", end=-60)).url, "certificate"
    if kind == "wrong name":
        return cps(reissue(pki, tmp_path / "c.crt", name="elsewhere.example.com")).url, "127.0.0.1"
    if kind == "untrusted root":
        crt = tmp_path / "c.crt"
        subprocess.run(["openssl", "req", "-x509", "-new", "-key", pki.key("cps-tls"), "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-out", crt], check=True, capture_output=True)
        return cps(crt).url, "certificate"
    if kind == "no /health":
        return cps(health=None).url, "404"
    if kind == "redirect":
        return cps(health=redirect).url, "302"
    if kind == "slow drip":
        return cps(health=slow_drip).url, "1500 ms"
    if kind == "too large":
        return cps(health=b"x" * 70000).url, "bytes"
    if kind == "nobody listens":
        return f"https://127.0.0.1:{free_port()}", "cannot connect"
    assert kind == "no such name"
    return "https://cps.does-not-exist.invalid", "resolved"


KINDS = ["expired certificate", "wrong name", "untrusted root", "no /health", "redirect", "slow drip", "too large",
         "nobody listens", "no such name"]


def test_off_is_the_default_and_asks_nobody(registry, cps):
    reg = registry()
    sp, server = reg.add_sp("alpha", "1234"), cps()
    reply = sp.put(ENTRY, {"url": server.url + "/cps"})
    assert reply.status == 201 and "check" not in reply.json
    assert not server.hits and process_of(reg) is None


def test_a_good_cps(checked, cps):
    for policy in "warn", "require":
        server, (reg, sp) = cps(), checked(policy)
        reply = sp.put(ENTRY, {"url": server.url + "/cps/company/1234"})
        assert reply.status in (200, 201), reply.body
        check = reply.json["check"]
        assert check["ok"] is True and check["status"] == 200 and "detail" not in check and check["ms"] < 5000
        assert reply.headers["etag"] == f'"{reply.json["version"]}"'
        assert dict(server.hits) == {"/health": 1}
        assert sp.get(ENTRY).json["url"] == server.url + "/cps/company/1234"
        assert "check" not in sp.get(ENTRY).json
        # kept for a while: another URL of the host is not asked again
        assert sp.put(ENTRY, {"url": server.url + "/other"}).json["check"]["ok"] is True
        assert dict(server.hits) == {"/health": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_cps(checked, cps, pki, tmp_path, kind):
    url, word = bad_cps(kind, cps, pki, tmp_path)
    reg, sp = checked("warn")
    reply = sp.put(ENTRY, {"url": url + "/cps"})
    assert reply.status in (200, 201), reply.body
    assert reply.json["check"]["ok"] is False and word in reply.json["check"]["detail"], reply.json
    assert "--" not in reply.json["check"]["detail"], "advice for a command's options"
    assert sp.get(ENTRY).json["url"] == url + "/cps"

    reg, sp = checked("require")
    before = sp.get(ENTRY)
    reply = sp.put(ENTRY, {"url": url + "/cps"})
    assert reply.status == 422 and reply.code == "CPS_CHECK_FAILED"
    assert [error["pointer"] for error in reply.json["errors"]] == ["/url"]
    assert word in reply.json["errors"][0]["detail"] and word in reply.json["detail"]
    after = sp.get(ENTRY)
    assert (after.status, after.body) == (before.status, before.body)


def test_nobody_makes_the_registry_call_hosts_for_what_is_not_his(checked, cps):
    reg, sp = checked("require")
    server = cps()
    assert sp.put("/api/v1/account/alpha/cps/9999", {"url": server.url + "/x"}).status == 403
    assert sp.put("/api/v1/account/beta/cps/1234", {"url": server.url + "/x"}).status == 403
    assert sp.put("/api/v1/account/alpha/cps", {"cpsMapping": {"9999": server.url + "/x"}}).code == "SPC_NOT_OWNED"
    forged = reg.anonymous.with_token("sticps_000000000000_" + "0" * 64)
    assert forged.put(ENTRY, {"url": server.url + "/x"}).status == 401
    assert reg.anonymous.put(ENTRY, {"url": server.url + "/x"}).status == 401
    assert not server.hits
    sp.put(ENTRY, {"url": server.url + "/x"})
    assert sp.put(ENTRY, {"url": cps().url + "/y"}, headers={"If-Match": '"999999"'}).status == 412


def test_an_api_key_is_checked_for_too(checked, cps):
    reg, sp = checked("require")
    made = reg.pa.post("/api/v1/account/alpha/key", {"name": "machine", "scopes": ["read", "write"]})
    assert made.status == 201, made.body
    machine = reg.anonymous.with_token(made.json["key"])
    reply = machine.put(ENTRY, {"url": cps().url + "/machine"})
    assert reply.status in (200, 201) and reply.json["check"]["ok"] is True
    assert reply.json["updatedBy"].startswith("key:")


def test_a_proof_is_used_once_and_checked_for(registry, pki, cert_server, cps, tmp_path):
    """A proof is good for one call of the database, and a checked write makes two."""
    (tmp_path / "cas").mkdir()
    (tmp_path / "cas/sti-ca.pem").write_bytes(pki.pem("sti-ca"))
    reg = registry(cps_check={"policy": "require"}, tls_ca=str(pki.tls_ca),
                   ca_list={"directory": str(tmp_path / "cas")})
    reg.add_sp("alpha", "1234")
    sp1 = Prover(reg.anonymous, pki.private_key("sp1"), cert_server.url + "/sp1.crt")
    wait_until(lambda: sp1.get(ENTRY).status != 503, 15, what="proofs are taken")
    body = json.dumps({"url": cps().url + "/proof"}).encode()
    token = sp1.token("PUT", ENTRY, body)
    reply = sp1.send("PUT", ENTRY, token, body)
    assert reply.status == 201 and reply.json["check"]["ok"] is True and reply.json["updatedBy"] == "sti:1234"
    assert sp1.send("PUT", ENTRY, token, body).code == "PROOF_REPLAYED"
    assert sp1.put(ENTRY, f"https://127.0.0.1:{free_port()}/x").code == "CPS_CHECK_FAILED"


def test_checks_are_counted(checked, cps):
    reg, sp = checked("warn")

    def counts():
        page = reg.anonymous.get("/metrics").body.decode()
        return {name: int(value) for name, value in
                re.findall(r'^sticps_cps_checks_total\{result="(\w+)"\} (\d+)$', page, re.M)}

    before = counts()
    sp.put(ENTRY, {"url": cps().url + "/counted"})
    sp.put(ENTRY, {"url": f"https://127.0.0.1:{free_port()}/x"})
    after = counts()
    assert {name: after[name] - before[name] for name in after} == {"good": 1, "bad": 1, "unknown": 0}


# ---- the whole mapping ----


def mapping(*urls):
    return {str(1234 + i): url for i, url in enumerate(urls)}


def test_bulk_asks_each_host_once(checked, cps):
    one, two = cps(), cps()
    bad = f"https://127.0.0.1:{free_port()}"
    urls = [f"{one.url}/{i}" for i in range(20)] + [f"{two.url}/{i}" for i in range(20)] + [bad + "/a", bad + "/b"]
    reg, sp = checked("warn")
    dry = sp.put("/api/v1/account/alpha/cps?dryRun=true", {"cpsMapping": mapping(*urls)})
    assert dry.status == 200 and dry.json["dryRun"] is True
    checks = {check["host"]: check for check in dry.json["checks"]}
    assert {host: check["ok"] for host, check in checks.items()} == {one.url: True, two.url: True, bad: False}
    assert dict(one.hits) == dict(two.hits) == {"/health": 1}
    reply = sp.put("/api/v1/account/alpha/cps", {"cpsMapping": mapping(*urls)})
    assert reply.status == 200 and reply.json["dryRun"] is False and len(reply.json["checks"]) == 3
    assert len(sp.get("/api/v1/account/alpha/cps?limit=1000").json["entries"]) == 42
    assert dict(one.hits) == {"/health": 1}


def test_bulk_names_every_entry_whose_cps_does_not_answer(checked, cps):
    good, bad = cps(), f"https://127.0.0.1:{free_port()}"
    reg, sp = checked("require")
    before = sp.get("/api/v1/account/alpha/cps").body
    for path in "/api/v1/account/alpha/cps", "/api/v1/account/alpha/cps?dryRun=true":
        reply = sp.put(path, {"cpsMapping": mapping(good.url + "/a", bad + "/b", good.url + "/c", bad + "/d")})
        assert reply.status == 422 and reply.code == "CPS_CHECK_FAILED", reply.body
        assert [error["pointer"] for error in reply.json["errors"]] == ["/cpsMapping/1235", "/cpsMapping/1237"]
    assert sp.get("/api/v1/account/alpha/cps").body == before
    csv = sp.put("/api/v1/account/alpha/cps", body=f"SPC,URL\n1234,{good.url}/a\n1235,{bad}/b\n",
                 headers={"Content-Type": "text/csv"})
    assert [error["pointer"] for error in csv.json["errors"]] == ["/line/3"]
    assert sp.put("/api/v1/account/alpha/cps", {"cpsMapping": mapping(good.url + "/a")}).json["checks"][0]["ok"]
    assert sp.put("/api/v1/account/alpha/cps", {"cpsMapping": {}}).json["checks"] == []


def test_bulk_with_too_many_hosts(checked):
    urls = [f"https://127.0.0.1:{port}/x" for port in range(20001, 20067)]
    reg, sp = checked("warn")
    reply = sp.put("/api/v1/account/alpha/cps?dryRun=true", {"cpsMapping": mapping(*urls)})
    assert reply.status == 200 and len(reply.json["checks"]) == 64
    reg, sp = checked("require")
    reply = sp.put("/api/v1/account/alpha/cps", {"cpsMapping": mapping(*urls)})
    assert reply.code == "CPS_CHECK_FAILED" and len(reply.json["errors"]) == 66
    assert sum("at most 64 hosts" in error["detail"] for error in reply.json["errors"]) == 2


# ---- the checker itself ----


def test_the_checker_has_few_rights(checked, cps):
    reg, sp = checked("warn")
    sp.put(ENTRY, {"url": cps().url + "/cps"})
    pid = process_of(reg)
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    if os.geteuid() == 0:
        assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", status, re.M)
        assert re.search(r"^Gid:\t65534\t65534\t65534\t65534$", status, re.M)
        assert re.search(r"^Groups:\s*$", status, re.M)
        assert re.search(r"^CapEff:\t0+$", status, re.M)
        # nothing of the daemon's but its log: no listener, no database, no file
        shared = set.intersection(*[{os.readlink(f"/proc/{one}/fd/{fd}") for fd in os.listdir(f"/proc/{one}/fd")}
                                    for one in (pid, reg.pid)])
        assert {name for name in shared if not name.startswith("anon_inode:")} <= {str(reg.daemon.log), "/dev/null"}
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"PGPASSWORD" not in environment


def test_a_killed_checker_is_started_again(checked, cps):
    reg, sp = checked("require")
    assert sp.put(ENTRY, {"url": cps().url + "/1"}).status in (200, 201)
    os.kill(process_of(reg), signal.SIGKILL)
    wait_until(lambda: "the checker of CPS URLs ended by signal 9" in reg.log_text(), 10)
    reply = sp.put(ENTRY, {"url": cps().url + "/2"})
    assert reply.status == 200 and reply.json["check"]["ok"] is True
    assert process_of(reg) is not None


def test_a_checker_that_dies_or_hangs_amid_a_check(checked, cps):
    """warn goes on with a note, require says 503; a later check works."""
    for policy, kill in [("warn", signal.SIGKILL), ("require", signal.SIGKILL), ("warn", signal.SIGSTOP),
                         ("require", signal.SIGSTOP)]:
        reg, sp = checked(policy)
        assert sp.put(ENTRY, {"url": cps().url + "/first"}).json["check"]["ok"] is True
        entered, replies = threading.Event(), []

        def hold(handler):
            entered.set()
            time.sleep(1)

        url = cps(health=hold).url + "/held"
        asking = threading.Thread(target=lambda: replies.append(sp.put(ENTRY, {"url": url})))
        asking.start()
        assert entered.wait(10)
        os.kill(process_of(reg), kill)
        asking.join(20)
        reply = replies[0]
        if policy == "warn":
            assert reply.status == 200 and reply.json["check"]["ok"] is None
            assert "the checker ended" in reply.json["check"]["detail"] and "ms" not in reply.json["check"]
        else:
            assert reply.status == 503 and reply.code == "UNAVAILABLE" and reply.headers["retry-after"]
            assert sp.get(ENTRY).json["url"] != url
        assert sp.put(ENTRY, {"url": cps().url + "/after"}).json["check"]["ok"] is True


def test_slow_checks_hold_up_nobody_else(checked, cps):
    reg, sp = checked("warn")
    server = cps(health=slow_drip)
    asking = [threading.Thread(target=sp.put, args=(f"/api/v1/account/alpha/cps/{spc}", {"url": server.url + "/x"}))
              for spc in range(1240, 1250)]
    for thread in asking:
        thread.start()
    wait_until(lambda: server.hits["/health"], 10)
    assert reg.anonymous.get("/download/v1/cps-list").status == 200
    assert sp.get("/api/v1/account/alpha/cps").status == 200
    assert any(thread.is_alive() for thread in asking), "they were answered before the check could end"
    for thread in asking:
        thread.join(20)
    assert server.hits["/health"] == 1


def test_a_client_that_leaves_amid_a_check(checked, cps):
    reg, sp = checked("require")
    server = cps(health=slow_drip)
    impatient = sp.with_token(sp.token)
    impatient.timeout = 0.5
    with pytest.raises(OSError):
        impatient.put(ENTRY, {"url": server.url + "/left"})
    assert sp.put(ENTRY, {"url": cps().url + "/stayed"}).status in (200, 201)
    time.sleep(2)  # until the abandoned check has ended
    assert sp.get(ENTRY).json["url"].endswith("/stayed")


def test_the_policy_changes_on_reload(registry, pki, cps):
    reg = registry(cps_check={"policy": "off"}, tls_ca=str(pki.tls_ca))
    sp, bad = reg.add_sp("alpha", "1234"), f"https://127.0.0.1:{free_port()}/x"

    def reload(policy, timeout_ms):
        count = reg.log_text().count("the configuration was read again")
        reg.reconfigure(cps_check={"policy": policy, "timeout_ms": timeout_ms})
        reg.daemon.signal(signal.SIGHUP)
        wait_until(lambda: reg.log_text().count("the configuration was read again") > count, 10)

    reload("require", 1000)
    assert sp.put(ENTRY, {"url": bad}).code == "CPS_CHECK_FAILED"
    reload("off", 1000)
    assert "check" not in sp.put(ENTRY, {"url": bad}).json


@pytest.mark.parametrize("settings, word", [
    ({"policy": "maybe"}, "maybe"), ({"policy": True}, "cps_check"), ({"timeout_ms": 50}, "cps_check.timeout_ms"),
    ({"timeout_ms": 20000}, "cps_check.timeout_ms"), ({"colour": "red"}, "colour")])
def test_settings(registry, settings, word):
    reg = registry(start=False)
    assert reg.check().returncode == 0
    reg.reconfigure(cps_check=settings)
    done = reg.check()
    assert done.returncode == 1 and word in done.stderr, done.stderr


def test_a_missing_checker_is_told(registry, bin_dir, tmp_path, pki):
    """The checker belongs beside the daemon."""
    alone = tmp_path / "sticps-registryd"
    os.link(bin_dir / "sticps-registryd", alone) if os.stat(bin_dir).st_dev == os.stat(tmp_path).st_dev else \
        alone.write_bytes((bin_dir / "sticps-registryd").read_bytes())
    alone.chmod(0o755)
    reg = registry(start=False, cps_check={"policy": "warn"})
    done = subprocess.run([alone, "-t", "-c", reg.config_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "sticps-cps-check" in done.stderr and "beside" in done.stderr
    reg.reconfigure(cps_check={"policy": "off"})
    done = subprocess.run([alone, "-t", "-c", reg.config_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Checker:
    """The program without the registry: orders and reports are the structs of common/cps_check.h."""

    ORDER = struct.Struct("=QI2056s4x")
    REPORT = struct.Struct("=QIII480s4x")

    def __init__(self, bin_dir, *arguments):
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(10)
        self.process = subprocess.Popen([bin_dir / "sticps-cps-check", *map(str, arguments)], stdin=theirs)
        theirs.close()

    def send(self, number, url, ms=2000):
        self.channel.send(self.ORDER.pack(number, ms, url.encode()))

    def ask(self, url, **kw):
        self.send(7, url, **kw)
        number, good, status, _, detail = self.REPORT.unpack(self.channel.recv(4096))
        assert number == 7
        return good, status, detail.rstrip(b"\0").decode()

    def close(self):
        self.channel.close()
        assert self.process.wait(5) == 0


def test_the_checker_connects_to_no_private_address_outside_a_lab(bin_dir, pki, cps):
    """A name that leads to loopback is found out after DNS, and nothing is sent there."""
    server = cps()
    checker = Checker(bin_dir, "--tls-ca", pki.tls_ca)
    for host in "localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.1.2.3", "169.254.169.254", "0.0.0.0":
        assert checker.ask(f"https://{host}:{server.port}/health") == (
            0, 0, "the host's address is loopback, private or special, where no CPS may be"), host
    assert not server.hits
    checker.close()
    lab = Checker(bin_dir, "--lab", "--tls-ca", pki.tls_ca)
    assert lab.ask(f"https://localhost:{server.port}/health") == (1, 200, "")
    lab.close()


def test_the_checker_takes_nothing_but_orders(bin_dir):
    checker = Checker(bin_dir, "--lab")
    for junk in b"x", b"\0" * 100, b"y" * 5000:
        checker.channel.send(junk)
    for url in "http://127.0.0.1/", "file:///etc/passwd", "", "x" * 2056, "https://user@127.0.0.1/health":
        good, status, detail = checker.ask(url)
        assert (good, status) == (0, 0) and detail, url
    for number in range(40):  # more than it runs at a time, each held up until its deadline
        checker.send(number, f"https://192.0.2.{number}/health", ms=300)
    reports = [Checker.REPORT.unpack(checker.channel.recv(4096)) for _ in range(40)]
    assert {report[0] for report in reports} == set(range(40)) and not any(report[1] for report in reports)
    checker.close()


def test_the_checker_is_nobodys_command(bin_dir):
    done = subprocess.run([bin_dir / "sticps-cps-check"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1 and "sticps-registryd" in json.loads(done.stderr)["reason"]
