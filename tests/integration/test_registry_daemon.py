"""The program: configuration, `init`, start and end, and a database that comes and goes."""

import datetime
import http.client
import json
import os
import re
import signal
import socket
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from lib.crl import make_crl
from lib.net import wait_until
from lib.pki import ROOT
from lib.process import run


class Wire:
    """A TCP connection to the database that can be cut: `up`, `refuse` (and drop what is open) or `hang`."""

    def __init__(self, host, port):
        self.target = (host, int(port))
        self.mode = "up"
        self.pairs = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            if self.mode == "refuse":
                client.close()
                continue
            upstream = socket.create_connection(self.target)
            self.pairs.append((client, upstream))
            for a, b in ((client, upstream), (upstream, client)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, source, sink):
        try:
            while data := source.recv(65536):
                while self.mode == "hang":
                    time.sleep(0.02)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self, mode="refuse"):
        self.mode = mode
        if mode == "refuse":
            for pair in self.pairs:
                for end in pair:
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
            self.pairs.clear()

    def mend(self):
        self.mode = "up"

    def close(self):
        self.server.close()
        self.cut()


@pytest.fixture(scope="module")
def wired(registry, new_database):
    """A running registry whose database hangs on a Wire."""
    database = new_database()
    wire = Wire(os.environ["PGHOST"], os.environ["PGPORT"])
    one = registry(database=database, start=False)
    one.init()
    one.reconfigure(database=database.urls(wire.port))
    one.start()
    one.wire = wire
    one.alpha = one.add_sp("alpha", "1234")
    yield one
    wire.mend()
    one.stop()
    wire.close()


# ---- configuration ----


@pytest.fixture
def fresh(registry):
    """A registry that was not initialised nor started."""
    return registry(start=False)


def test_a_good_configuration_is_0(fresh):
    done = fresh.check()
    assert (done.returncode, done.stderr) == (0, "")
    assert "in order" in done.stdout


def test_the_example_configuration_is_well_formed(fresh, pki, tmp_path):
    """packaging/etc/registryd.yaml with files of ours where it expects them, and once with all that is commented out."""
    text = (ROOT / "packaging/etc/registryd.yaml").read_text()
    (tmp_path / "tls").mkdir()
    for name, ours in {"tls/registry": "registry-tls", "signer": "list-signer", "roots": "tls-ca"}.items():
        (tmp_path / f"{name}.crt").write_bytes(pki.crt(ours).read_bytes())
        (tmp_path / f"{name}.key").write_bytes(pki.key(ours).read_bytes())
    (tmp_path / "roots.pem").write_bytes(pki.crt("tls-ca").read_bytes())
    (tmp_path / "sti-ca").mkdir()
    (tmp_path / "sti-ca/one.pem").write_bytes(pki.crt("sti-ca").read_bytes())
    make_crl(pki, tmp_path / "sti-pa.crl")
    (tmp_path / "sti-pa-root.pem").write_bytes(pki.list_anchor.read_bytes())
    (tmp_path / "export").mkdir()
    whole = text.replace("  # connections:", "  connections:").replace("/var/lib/sticps/export", "export")
    start = whole.index("# threads:")
    whole = whole[:start] + re.sub(r"^# ?", "", whole[start:], flags=re.M)
    for number, variant in enumerate((text, whole)):
        path = tmp_path / f"{number}.yaml"
        path.write_text(variant)
        done = run([fresh.program, "-t", "-c", path])
        assert done.returncode == 0, done.stderr + variant


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"colour": "red"}, ["colour"]),
        ({"tls": {"certficate": "x"}}, ["certficate"]),
        ({"list": {"lifetyme": 3}}, ["lifetyme"]),
        ({"base_url": None}, ["base_url"]),
        ({"signer": None}, ["signer"]),
        ({"database": {"url": None}}, ["url"]),
        ({"listen": []}, ["listen"]),
        ({"listen": "127.0.0.1:1"}, ["listen"]),
        ({"threads": "many"}, ["threads"]),
        ({"threads": -1}, ["threads"]),
        ({"threads": 65}, ["threads"]),
        ({"lab": "flase"}, ["lab"]),
        ({"list": {"public": "of"}}, ["public"]),
        ({"list": {"lifetime": 8 * 86400}}, ["list.lifetime"]),
        ({"list": {"lifetime": 100, "period": 60}}, ["list.period"]),
        ({"signer": {"id": 0}}, ["signer.id"]),
        ({"session": {"access_lifetime": 100, "refresh_lifetime": 50}}, ["session.refresh_lifetime"]),
        ({"base_url": "http://sti-pa.example.com"}, ["base_url"]),
        ({"base_url": "https://sti-pa.example.com/"}, ["base_url"]),
        ({"base_url": "https://sti-pa.example.com?x"}, ["base_url"]),
        ({"lab": False}, ["x5u"]),  # a loopback base_url, which clients would refuse
        ({"cps_url": {"ports": [70000]}}, ["ports"]),
        ({"cps_url": {"ports": [0]}}, ["ports"]),
        ({"database": {"url": "no such thing at all"}}, ["database.url"]),
        ({"tls": {"key": "/nonexistent.key"}}, ["/nonexistent.key"]),
        ({"tls": {"certificate": "/nonexistent.crt"}}, ["/nonexistent.crt"]),
        ({"signer": {"key": "/nonexistent.key"}}, ["/nonexistent.key"]),
        ({"signer": {"certificate": "/nonexistent.crt"}}, ["/nonexistent.crt"]),
        ({"tls_ca": "/nonexistent.pem"}, ["/nonexistent.pem"]),
    ],
)
def test_what_is_wrong_is_named_and_1(fresh, changes, words):
    fresh.reconfigure(**changes)
    for done in (fresh.check(), run([fresh.program, "-c", fresh.config_path])):
        assert done.returncode == 1, done.stderr
        assert all(word in done.stderr for word in words), done.stderr


def test_the_line_of_an_unknown_key_is_named(fresh):
    fresh.config_path.write_text("threads: 2\nlist:\n  # colour: red\n  period: 5\n  colour: red\n")
    assert "line 5: unknown key: colour" in fresh.check().stderr


@pytest.mark.parametrize("text", ["", "a: [", "- x", "just text", "threads: 2\n\tx: 1\n", "threads: 2\nthreads: *a\n"])
def test_what_is_not_yaml_of_ours_is_1(fresh, text):
    fresh.config_path.write_text(text)
    done = fresh.check()
    assert done.returncode == 1 and str(fresh.config_path) in done.stderr


def test_relative_paths_are_relative_to_the_file(fresh, pki):
    for name in ("registry-tls", "list-signer"):
        for kind in ("crt", "key"):
            (fresh.dir / f"{name}.{kind}").write_bytes((pki.dir / f"{name}.{kind}").read_bytes())
    fresh.reconfigure(
        tls={"certificate": "registry-tls.crt", "key": "registry-tls.key"},
        signer={"certificate": "list-signer.crt", "key": "./list-signer.key"}, tls_ca="registry-tls.crt",
    )
    assert run([fresh.program, "-t", "-c", fresh.config_path], cwd="/").returncode == 0
    assert run([fresh.program, "-t", "-c", fresh.config_path.name], cwd=fresh.dir).returncode == 0


@pytest.mark.parametrize(
    "certificate,key",
    [
        ("list-signer", "registry-tls"),  # not its key
        ("registry-tls", "registry-tls"),  # serverAuth
        ("sp1", "sp1"),  # TNAuthList
        ("sti-pa-root", "sti-pa-root"),  # a CA
    ],
)
def test_what_clients_would_refuse_as_a_signer_is_refused(fresh, pki, certificate, key):
    fresh.reconfigure(signer={"certificate": str(pki.crt(certificate)), "key": str(pki.key(key))})
    for done in (fresh.check(), run([fresh.program, "-c", fresh.config_path])):
        assert done.returncode == 1
        assert str(pki.crt(certificate)) in done.stderr


def make_signer(folder, *, curve="P-256", usage="critical,digitalSignature", days="1"):
    """A self-signed certificate by openssl."""
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-nodes", "-days", days,
            "-subj", "/CN=signer", "-addext", "basicConstraints=critical,CA:FALSE",
            "-keyout", folder / "s.key", "-out", folder / "s.crt"]
    if usage:
        argv += ["-addext", f"keyUsage={usage}"]
    done = run(argv)
    assert done.returncode == 0, done.stderr
    return {"certificate": str(folder / "s.crt"), "key": str(folder / "s.key")}


@pytest.mark.parametrize("kw", [{"curve": "P-384"}, {"usage": "critical,keyAgreement"}, {"usage": None}])
def test_signer_must_haves(fresh, tmp_path, kw):
    fresh.reconfigure(signer=make_signer(tmp_path, **kw))
    assert fresh.check().returncode == 1


def test_control_a_signer_with_all_must_haves(fresh, tmp_path):
    fresh.reconfigure(signer=make_signer(tmp_path))
    assert fresh.check().returncode == 0


def reissue(pki, path, begin, end):
    """The list signer's certificate again, valid from `begin` to `end` (seconds from now)."""
    now = datetime.datetime.now(datetime.timezone.utc)
    old = pki.certificate("list-signer")
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), x509.random_serial_number(),
        now + datetime.timedelta(seconds=begin), now + datetime.timedelta(seconds=end),
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    signed = builder.sign(pki.private_key("sti-pa-root"), hashes.SHA256())
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return {"certificate": str(path)}


@pytest.mark.parametrize("begin,end", [(-200, -100), (100, 200)])
def test_a_signer_that_is_not_valid_now_is_refused(fresh, tmp_path, pki, begin, end):
    fresh.reconfigure(signer=reissue(pki, tmp_path / "signer.crt", begin, end))
    assert fresh.check().returncode == 1


def test_nothing_is_published_with_an_expired_signer(registry, tmp_path, pki):
    one = registry(start=False)
    one.init()
    one.reconfigure(signer=reissue(pki, tmp_path / "signer.crt", -100, 6))
    one.start()
    assert "ends within two weeks" in one.log_text()
    before = one.list_token()
    time.sleep(7)
    one.pa.post("/api/v1/publications")
    reply = wait_until(lambda: r if (r := one.anonymous.get("/ready")).status == 503 else None, 10)
    assert any("expired" in reason for reason in reply.json["reasons"])
    assert one.list_token() == before
    one.stop()
    one.reconfigure(signer={"id": 2, **reissue(pki, tmp_path / "new.crt", -100, 86400 * 30)})
    one.start()
    assert wait_until(lambda: one.list_token() != before, 10)


# ---- command line ----


def test_help_and_version(fresh):
    assert "Usage:" in run([fresh.program, "--help"]).stdout
    assert re.match(r"sticps-registryd \d+\.\d+\.\d+", run([fresh.program, "--version"]).stdout)


@pytest.mark.parametrize("argv", [["--nonsense"], ["frobnicate"], ["init", "more"], ["-c"], ["-t", "init"], ["--pa-user", "x"],
                                  ["init", "--pa-user", "a b"], ["init", "--pa-user", ""]])
def test_wrong_usage_is_1(fresh, argv):
    assert run([fresh.program, *argv]).returncode == 1


def test_a_missing_file_is_1(fresh):
    done = run([fresh.program, "-c", "/nonexistent.yaml"])
    assert done.returncode == 1 and "/nonexistent.yaml" in done.stderr


# ---- init ----


def test_init_prints_the_password_once_and_is_safe_to_repeat(fresh):
    first = run([fresh.program, "init", "-c", fresh.config_path, "--pa-user", "root.pa"])
    assert first.returncode == 0, first.stderr
    assert re.search(r"^userId: root\.pa$", first.stdout, re.M)
    password = re.search(r"^password: (\S{16,})$", first.stdout, re.M)[1]
    before = fresh.database.query("SELECT (SELECT key FROM token_key)::text, count(*) FROM account_user")
    again = run([fresh.program, "-c", fresh.config_path, "init"])
    assert again.returncode == 0
    assert "password:" not in again.stdout and "already" in again.stdout
    assert fresh.database.query("SELECT (SELECT key FROM token_key)::text, count(*) FROM account_user") == before
    fresh.start()
    assert fresh.sign_in("root.pa", password).get("/api/v1/audit").status == 200


def test_init_without_a_database_is_2(fresh, free_port):
    fresh.reconfigure(database={"owner_url": f"postgresql://x:sEcReT@127.0.0.1:{free_port()}/x"})
    done = run([fresh.program, "-c", fresh.config_path, "init"])
    assert done.returncode == 2
    assert "sEcReT" not in done.stderr + done.stdout


@pytest.mark.parametrize("prepare", [None, "INSERT INTO schema_migration (number, name, sha256) SELECT 999, '999_future.sql', sha256 FROM schema_migration LIMIT 1",
                                     "UPDATE schema_migration SET sha256 = 'x' WHERE number = 1", "DELETE FROM schema_migration WHERE number = (SELECT max(number) FROM schema_migration)"])
def test_another_schema_is_refused(fresh, prepare):
    if prepare:
        fresh.init()
        fresh.database.query(prepare)
    done = run([fresh.program, "-c", fresh.config_path], timeout=20)
    assert done.returncode == 2, done.stderr


# ---- start and end ----


def test_one_line_per_listener_with_its_address(registry, free_port):
    ports = [free_port(), free_port()]
    one = registry(start=False)
    one.reconfigure(listen=[f"127.0.0.1:{one.port}", f"127.0.0.1:{ports[0]}", f"[::1]:{ports[1]}"])
    one.init()
    one.start()
    lines = [json.loads(line) for line in one.log_text().splitlines() if '"listening"' in line]
    assert {(x["address"].strip("[]"), x["port"]) for x in lines} == {("127.0.0.1", one.port), ("127.0.0.1", ports[0]), ("::1", ports[1])}


def test_lab_is_loud(wired):
    assert "LAB SETTING" in wired.log_text()


def test_a_port_in_use_is_2(fresh, wired):
    fresh.reconfigure(listen=[f"127.0.0.1:{wired.port}"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        fresh.reconfigure(listen=[f"127.0.0.1:{taken.getsockname()[1]}"])
        fresh.init()
        assert run([fresh.program, "-c", fresh.config_path], timeout=20).returncode == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_1_1_is_refused(wired):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", wired.port)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)


def test_sigterm_finishes_what_is_in_hand_and_ends_with_0(registry):
    one = registry()
    connection = http.client.HTTPSConnection("127.0.0.1", one.port, timeout=15, context=one.anonymous._tls)
    idle = http.client.HTTPSConnection("127.0.0.1", one.port, timeout=15, context=one.anonymous._tls)
    idle.request("GET", "/health")
    idle.getresponse().read()
    body = json.dumps({"userId": one.pa_user, "password": one.pa_password})
    connection.request("POST", "/api/v1/auth/login", body, {"Content-Type": "application/json"})
    time.sleep(0.03)  # the password is being hashed
    os.kill(one.pid, signal.SIGTERM)
    reply = connection.getresponse()
    assert reply.status == 200 and b"accessToken" in reply.read()
    started = time.monotonic()
    one.stop()  # waits, and checks that it ended with 0
    assert time.monotonic() - started < 10
    with pytest.raises(OSError):
        one.anonymous.get("/health")
    one.start()
    os.kill(one.pid, signal.SIGINT)
    assert one.daemon._process.wait(15) == 0


def test_sighup_reads_the_tls_files_again(registry, pki):
    one = registry(start=False)
    for kind in ("crt", "key"):
        (one.dir / f"tls.{kind}").write_bytes((pki.dir / f"registry-tls.{kind}").read_bytes())
    one.reconfigure(tls={"certificate": "tls.crt", "key": "tls.key"})
    one.init()
    one.start()

    def serial():
        pem = ssl.get_server_certificate(("127.0.0.1", one.port))
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    before = serial()
    (one.dir / "tls.key").write_text("rubbish")
    os.kill(one.pid, signal.SIGHUP)
    wait_until(lambda: "stay as they were" in one.log_text(), 10)
    assert serial() == before
    for kind in ("crt", "key"):
        (one.dir / f"tls.{kind}").write_bytes((pki.dir / f"cps-tls.{kind}").read_bytes())
    os.kill(one.pid, signal.SIGHUP)
    wait_until(lambda: serial() != before, 10)


def test_nothing_secret_is_logged(wired):
    wired.sign_in(wired.pa_user, wired.pa_password)
    log = wired.log_text()
    password = re.search(r"//[^:]*:([^@]*)@", wired.database.url)[1]
    for secret in (wired.pa_password, wired.pa.token, wired.alpha.token, password):
        assert secret and secret not in log
    assert all(json.loads(line)["level"] for line in log.splitlines())


# ---- the database comes and goes ----


def ready(one):
    return one.anonymous.get("/ready")


@pytest.mark.parametrize("mode", ["refuse", "hang"])
def test_without_the_database_the_list_is_served_and_writes_are_503(wired, mode):
    path = "/api/v1/account/alpha/cps/1234"
    assert wired.alpha.put(path, {"url": f"https://cps.example.com/before/{mode}"}).status in (200, 201)
    wait_until(lambda: wired.alpha.get(path).json["publishedSequence"], 10)
    before = wired.list_token()
    wired.wire.cut(mode)
    try:
        wait_until(lambda: ready(wired).status == 503, 15, what="readiness notices")
        reply = ready(wired)
        assert any("database" in reason for reason in reply.json["reasons"])
        for method, where, json_body in (
            ("PUT", path, {"url": "https://cps.example.com/lost"}), ("GET", path, None), ("DELETE", path, None),
            ("GET", "/api/v1/audit", None), ("GET", "/download/v1/cps-list/1", None),
        ):
            reply = wired.alpha.request(method, where, json=json_body)
            assert (reply.status, reply.code) == (503, "UNAVAILABLE"), (method, where)
            assert int(reply.headers["Retry-After"]) >= 1
            assert reply.seconds < 10
        reply = wired.anonymous.post("/api/v1/auth/login", {"userId": wired.pa_user, "password": wired.pa_password})
        assert reply.status == 503 and reply.headers["Retry-After"]
        assert wired.alpha.get(path, token="forged").status == 401
        assert wired.list_token() == before
        sequence = wired.anonymous.get("/api/v1/cps-list").json
        assert sequence["cpsList"] == before
        assert wired.anonymous.get("/health").status == 200
    finally:
        wired.wire.mend()
    wait_until(lambda: ready(wired).status == 200, 20, what="recovery")
    assert wired.alpha.put(path, {"url": f"https://cps.example.com/after/{mode}"}).status == 200
    wait_until(lambda: wired.list_token() != before, 10, what="publication after recovery")


def test_connections_killed_by_the_server_are_made_anew(wired):
    for _ in range(3):
        wired.database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        wait_until(lambda: ready(wired).status == 200, 10)
    assert wait_until(lambda: wired.alpha.get("/api/v1/account/alpha/cps").status == 200, 5)


def test_a_start_without_the_database_recovers(registry, new_database):
    database = new_database()
    wire = Wire(os.environ["PGHOST"], os.environ["PGPORT"])
    one = registry(database=database, start=False)
    one.init()
    one.reconfigure(database=database.urls(wire.port))
    wire.cut()
    one.start(wait=False)
    wait_until(lambda: '"listening"' in one.log_text(), 10)
    assert one.anonymous.get("/health").status == 200
    reply = ready(one)
    assert reply.status == 503 and len(reply.json["reasons"]) >= 2
    for path in ("/download/v1/cps-list", "/api/v1/cps-list"):
        reply = one.anonymous.get(path)
        assert (reply.status, reply.code) == (503, "UNAVAILABLE")
        assert int(reply.headers["Retry-After"]) >= 1
    assert one.anonymous.get("/api/v1/audit").status == 401
    assert one.anonymous.get("/api/v1/audit", token="x").status == 503, "nobody can be told from anybody else yet"
    login = {"userId": one.pa_user, "password": one.pa_password}
    assert one.anonymous.post("/api/v1/auth/login", login).status == 503
    wire.mend()
    wait_until(lambda: ready(one).status == 200, 15)
    assert json.loads(one.sign_in(one.pa_user, one.pa_password).get("/api/v1/publications").body)["publications"]
    one.stop()
    wire.close()


def test_a_database_put_back_to_an_earlier_state_never_repeats_a_number(registry):
    one = registry()
    one.pa.post("/api/v1/publications")
    wait_until(lambda: ready(one).json["sequence"] == 2, 10)
    served = one.list_token()
    one.database.query("ALTER TABLE publication DISABLE TRIGGER ALL")
    one.database.query("DELETE FROM publication WHERE sequence = 2")
    one.database.query("UPDATE list_state SET sequence = 1")
    one.pa.post("/api/v1/publications")
    reply = wait_until(lambda: r if (r := ready(one)).status == 503 else None, 5)
    assert any("--to 2" in reason for reason in reply.json["reasons"]), reply.json
    time.sleep(1)
    assert one.list_token() == served
    assert one.database.query("SELECT max(sequence) FROM publication") == [(1,)]


def test_metrics(wired):
    text = wired.anonymous.get("/metrics").body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values["sticps_database_up"] == "1" and values["sticps_publisher_leader"] == "1"
    assert int(values["sticps_list_sequence"]) == ready(wired).json["sequence"]
    assert int(values["sticps_connections_accepted_total"]) > 0
    assert float(values["sticps_list_expires_timestamp_seconds"]) > time.time()


