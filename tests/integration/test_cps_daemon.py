"""sticps-cpsd as a program: configuration, start, reload, stop, and where its trust comes from."""

import json
import os
import shutil
import signal
import subprocess
import time
import uuid

import pytest
from lib.net import free_port, wait_until
from lib.passport import make_passport, sign
from lib.process import run

DEST, ORIG = "12025550123", "12015550100"


@pytest.fixture(scope="module")
def make(pki, cert_server):
    x5u = cert_server.url + "/sp1.crt"
    return lambda **kw: make_passport(pki.private_key("sp1"), x5u, ORIG, [DEST], **kw)


def messages(node, text):
    lines = [json.loads(line) for line in node.log_text().splitlines() if line.startswith("{")]
    return [line for line in lines if text in line["msg"]]


# ---- command line and configuration ----


def test_help_and_version(bin_dir):
    for option in ("--help", "-h"):
        done = run([bin_dir / "sticps-cpsd", option])
        assert done.returncode == 0 and "Usage" in done.stdout
    for option in ("--version", "-V"):
        done = run([bin_dir / "sticps-cpsd", option])
        assert done.returncode == 0 and done.stdout.startswith("sticps-cpsd 0.")


@pytest.mark.parametrize("args", [["--nothing"], ["extra"], ["-c"], ["-c", "/nonexistent/cpsd.yaml"], ["-t", "-c", "/"]])
def test_wrong_usage(bin_dir, args):
    done = run([bin_dir / "sticps-cpsd", *args])
    assert done.returncode == 1 and done.stderr


def test_check(cps):
    done = cps(start=False).check()
    assert done.returncode == 0, done.stderr


def test_the_example_is_well_formed(bin_dir, pki, tmp_path):
    """packaging/etc/cpsd.yaml with its files in place."""
    from lib.pki import ROOT

    text = (ROOT / "packaging/etc/cpsd.yaml").read_text()
    (tmp_path / "cpsd.yaml").write_text(text)
    (tmp_path / "tls").mkdir()
    shutil.copy(pki.crt("cps-tls"), tmp_path / "tls/cps.crt")
    shutil.copy(pki.key("cps-tls"), tmp_path / "tls/cps.key")
    shutil.copy(pki.crt("sti-ca"), tmp_path / "sti-ca.pem")
    (tmp_path / "retrieval.token").write_text("0123456789abcdef0123456789abcdef\n")
    done = run([bin_dir / "sticps-cpsd", "-t", "-c", tmp_path / "cpsd.yaml"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "change, named",
    [
        ({"bogus": 1}, "bogus"),
        ({"store": {"bogus": 1}}, "bogus"),
        ({"listen": None}, "listen"),
        ({"listen": []}, "listen"),
        ({"tls": None}, "tls"),
        ({"tls": {"certificate": "missing.crt"}}, "missing.crt"),
        ({"private": None}, "private"),
        ({"private": {"token_file": None}}, "token_file"),
        ({"private": {"token_file": "missing.token"}}, "missing.token"),
        ({"private": {"client_ca": "missing.pem"}}, "missing.pem"),
        ({"private": {"metrics_token_file": "missing.token"}}, "missing.token"),
        ({"private": {"token_file": None, "client_ca": "x.pem", "metrics_token_file": "y"}}, "metrics_token_file"),
        ({"spcs": []}, "spcs"),
        ({"spcs": ["12"]}, "12"),
        ({"spcs": ["1234", "toolong"]}, "toolong"),
        ({"anchors": None}, "anchors"),
        ({"anchors": {"bundle": None}}, "anchors"),
        ({"anchors": {"bundle": "missing.pem"}}, "missing.pem"),
        ({"anchors": {"ca_list": {"url": "https://a.example/l", "anchor": "x.pem"}}}, "anchors"),
        ({"lab": "perhaps"}, "lab"),
        ({"threads": -1}, "threads"),
        ({"threads": 17}, "threads"),
        ({"freshness": {"max_age": 0}}, "max_age"),
        ({"freshness": {"max_age": "long"}}, "max_age"),
        ({"store": {"max_entries": 0}}, "max_entries"),
        ({"x5u": {"deadline_ms": 1}}, "deadline_ms"),
        ({"default_country": 44}, "default_country"),
        ({"tls_ca": "missing.pem"}, "missing.pem"),
        ({"log": {"access": "maybe"}}, "access"),
    ],
    ids=str,
)
def test_configuration_that_cannot_be(cps, change, named):
    node = cps(start=False, **change)
    done = node.check()
    assert done.returncode == 1
    assert named in done.stderr, done.stderr
    assert run([node.program, "-c", node.config_path]).returncode == 1  # nor does it start


def test_key_and_certificate_that_do_not_fit(cps, pki):
    done = cps(start=False, tls={"key": str(pki.key("repo-tls"))}).check()
    assert done.returncode == 1, done.stderr


def test_a_bundle_without_a_certificate(cps, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    assert cps(start=False, anchors={"bundle": str(empty)}).check().returncode == 1


@pytest.mark.parametrize("content", ["", "\n \n", "two words\n", "two\nlines\n"])
def test_a_token_file_without_a_token(cps, tmp_path, content):
    token = tmp_path / "token"
    token.write_text(content)
    assert cps(start=False, private={"token_file": str(token)}).check().returncode == 1


def test_duplicate_keys(cps):
    node = cps(start=False)
    node.config_path.write_text(node.config_path.read_text().rstrip()[:-1] + ', "lab": false}\n')
    assert node.check().returncode == 1


def test_paths_start_at_the_configuration_file(cps, pki):
    node = cps(start=False)
    shutil.copy(pki.crt("sti-ca"), node.dir / "near.pem")
    node.reconfigure(anchors={"bundle": "near.pem"})
    done = run([node.program, "-t", "-c", node.config_path.name], cwd=node.dir)
    assert done.returncode == 0, done.stderr
    done = run([node.program, "-t", "-c", node.config_path], cwd="/")
    assert done.returncode == 0, done.stderr


def test_an_address_in_use(cps):
    node, other = cps(), cps(start=False)
    other.reconfigure(listen=node.config["listen"])
    done = run([other.program, "-c", other.config_path])
    assert done.returncode == 2
    assert str(node.port) in done.stderr


# ---- running ----


def test_says_where_it_listens_and_that_it_is_a_lab(cps):
    node = cps(listen=["127.0.0.1:0", f"127.0.0.1:{free_port()}"], start=False)
    node.daemon.start(wait=False)
    wait_until(lambda: len(messages(node, "listening")) == 3, 5, what="three listeners")
    lines = messages(node, "listening")
    assert sorted(line["listener"] for line in lines) == ["private", "public", "public"]
    assert all(line["port"] > 0 for line in lines)
    assert [line["level"] for line in messages(node, "LAB")] == ["warn"]


def test_no_lab_no_loopback(cps, make):
    node = cps(lab=False)
    reply = node.deliver(make())
    assert (reply.status, reply.code) == (436, "BAD_IDENTITY_INFO")
    assert not messages(node, "LAB")


def test_all_on_one_thread(cps, make):
    node = cps(threads=1)
    token = make()
    assert node.deliver(token).status == 201
    assert node.retrieve(DEST, ORIG).json == {"passports": [token]}


def test_reload_takes_new_anchors_and_keeps_the_old_when_the_new_are_bad(cps, make, pki):
    node = cps(start=False)
    bundle = node.dir / "anchors.pem"
    bundle.write_bytes(pki.pem("sti-pa-root"))
    node.reconfigure(anchors={"bundle": str(bundle)})
    node.start()
    assert node.deliver(make()).code == "UNSUPPORTED_CREDENTIAL"

    bundle.write_bytes(pki.pem("sti-pa-root") + pki.pem("sti-ca"))
    node.daemon.signal(signal.SIGHUP)
    wait_until(lambda: messages(node, "reload"), 5, what="reload")
    for _ in range(8):  # on every thread
        assert node.deliver(make()).status == 201

    bundle.write_text("damaged\n")
    node.daemon.signal(signal.SIGHUP)
    wait_until(lambda: [m for m in messages(node, "reload") if m["level"] == "error"], 5, what="a complaint")
    for _ in range(8):
        assert node.deliver(make()).status == 201

    bundle.write_bytes(pki.pem("sti-pa-root"))  # the STI-CA is approved no longer
    count = len(messages(node, "reload"))
    node.daemon.signal(signal.SIGHUP)
    wait_until(lambda: len(messages(node, "reload")) > count, 5, what="reload")
    for _ in range(8):
        assert node.deliver(make()).code == "UNSUPPORTED_CREDENTIAL"


def test_stop_is_quick_and_clean(cps, make):
    node = cps()
    assert node.deliver(make()).status == 201
    kept = node.public.session()
    assert kept.get("/health").status == 200
    started = time.monotonic()
    node.stop()
    assert time.monotonic() - started < 5
    kept.close()
    node.start()
    assert node.retrieve(DEST, ORIG).status == 404  # memory ends with the process
    node.daemon.signal(signal.SIGINT)
    wait_until(lambda: not node.daemon.running, 5, what="end after SIGINT")


# ---- trust from the STI-PA's list ----


@pytest.fixture
def ca_list(pki, new_cert_server):
    """A source of the signed list of STI-CAs; set(names, …) changes what it serves."""

    class Source:
        def __init__(self):
            self.server = new_cert_server("registry-tls")
            self.server.headers = {"Content-Type": "application/jwt"}
            self.path = f"/download/v1/ca-list-{uuid.uuid4()}"
            self.url = self.server.url + self.path
            self.x5u = self.server.serve("/download/v1/certificate/certificateId_1.crt", pki.pem("list-signer"))
            self.sequence = 0

        def set(self, *names, lifetime=3600, key="list-signer"):
            self.sequence += 1
            header = {"alg": "ES256", "typ": "JWT", "x5u": self.x5u}
            payload = {"version": "1.0", "sequence": self.sequence, "exp": int(time.time()) + lifetime,
                       "trustList": [pki.pem(name).decode() for name in names]}
            self.server.serve(self.path, sign(header, payload, pki.private_key(key)).encode())

        def config(self, node, period=1):
            return {"bundle": None, "ca_list": {"url": self.url, "anchor": str(pki.list_anchor),
                                                "state": str(node.dir / "state"), "period": period}}

    return Source()


def with_list(cps, ca_list, **kw):
    node = cps(start=False)
    node.reconfigure(anchors=ca_list.config(node, **kw))
    return node


def eventually(node, make, status, timeout=8):
    wait_until(lambda: node.deliver(make()).status == status, timeout, 0.1, what=f"answer {status}")


def test_list_of_cas(cps, make, ca_list):
    ca_list.set("sti-ca")
    node = with_list(cps, ca_list).start()
    eventually(node, make, 201)
    ca_list.set("sti-pa-root")  # another CA, ours is approved no longer
    eventually(node, make, 437)
    ca_list.set("sti-pa-root", "sti-ca")
    eventually(node, make, 201)


def test_a_list_that_is_not_there_yet(cps, make, ca_list):
    node = with_list(cps, ca_list).start()
    reply = node.deliver(make())
    assert (reply.status, reply.code) == (503, "UNAVAILABLE")
    assert int(reply.headers["Retry-After"]) >= 1
    assert node.public.get("/health").status == 200
    ca_list.set("sti-ca")
    eventually(node, make, 201)


def test_a_forged_list_changes_nothing(cps, make, ca_list):
    ca_list.set("sti-ca")
    node = with_list(cps, ca_list).start()
    eventually(node, make, 201)
    ca_list.set("sti-pa-root", key="sp1")
    wait_until(lambda: [m for m in messages(node, "not taken") if m["code"] == "SIGNATURE"], 8, what="refusal")
    assert node.deliver(make()).status == 201


def test_restart_without_the_list_server(cps, make, ca_list):
    ca_list.set("sti-ca")
    node = with_list(cps, ca_list).start()
    eventually(node, make, 201)
    node.stop()
    del ca_list.server.files[ca_list.path]
    node.start()
    for _ in range(4):
        assert node.deliver(make()).status == 201


def test_restart_without_the_certificates_host(cps, make, ca_list, cert_server, pki):
    """The chain of an x5u is kept beside the list of STI-CAs, for as long as it may be."""
    ca_list.set("sti-ca")
    node = with_list(cps, ca_list).start()
    eventually(node, make, 201)
    node.stop()
    hits = cert_server.hits["/sp1.crt"]
    pem = cert_server.files.pop("/sp1.crt")
    try:
        node.start()
        eventually(node, make, 201)
        assert cert_server.hits["/sp1.crt"] == hits
    finally:
        cert_server.files["/sp1.crt"] = pem


def test_an_expired_list_fails_closed(cps, make, ca_list):
    ca_list.set("sti-ca", lifetime=10)
    node = with_list(cps, ca_list).start()
    eventually(node, make, 201, timeout=8)
    del ca_list.server.files[ca_list.path]
    eventually(node, make, 503, timeout=20)
    node.restart()  # the held list is no better for a restart
    assert node.deliver(make()).status == 503
    ca_list.set("sti-ca")
    eventually(node, make, 201)


# ---- at rest ----


def test_idle_costs_nothing(cps):
    node = cps()
    time.sleep(0.5)
    before = node.daemon.cpu_seconds()
    time.sleep(2)
    assert node.daemon.cpu_seconds() - before < 0.2


def test_no_descriptor_is_lost(cps, make):
    node = cps()
    for _ in range(5):
        node.deliver(make())

    def descriptors():
        return len(os.listdir(f"/proc/{node.pid}/fd"))

    time.sleep(0.5)
    before = descriptors()
    for _ in range(50):
        node.deliver(make())
        node.retrieve(DEST, ORIG)
    wait_until(lambda: descriptors() <= before + 2, 15, what="descriptors to be given back")


def test_curl_speaks_to_it(cps, make, pki):
    """Another client's TLS, and a body that comes after 100-continue."""
    node = cps()
    token = make()
    done = subprocess.run(
        ["curl", "-sS", "--cacert", str(pki.tls_ca), "-H", "Content-Type: application/passport", "-H",
         "Expect: 100-continue", "--data-binary", "@-", "-w", "%{http_code} %{http_version}", node.company_url()],
        input=token, capture_output=True, text=True, check=True,
    )
    assert done.stdout.endswith("201 1.1"), done
