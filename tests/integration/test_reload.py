"""SIGHUP: what takes effect without a restart, what is refused, and that the old state stays then."""

import json
import secrets
import shutil
import signal
import ssl

import pytest
from lib.net import wait_until
from lib.passport import make_passport

DEST, ORIG = "12025550123", "12015550100"


def messages(service, text):
    lines = [json.loads(line) for line in service.log_text().splitlines() if line.startswith("{")]
    return [line for line in lines if text in line["msg"]]


def reload(service):
    """Sends SIGHUP; returns the messages of that reload."""
    parts = 3 if "private" in service.config else 2
    before = len(messages(service, "reload"))
    service.daemon.signal(signal.SIGHUP)
    wait_until(lambda: len(messages(service, "reload")) >= before + parts, 5, what="reload")
    return messages(service, "reload")[before:]


def refused(lines):
    return [line["msg"] for line in lines if line["level"] == "error"]


def access_lines(service):
    return len(messages(service, "request"))


def certificate(port):
    return ssl.get_server_certificate(("127.0.0.1", port))


# ---- the registry ----


@pytest.fixture
def one(registry):
    return registry()


def expires_in(one):
    reply = one.anonymous.post("/api/v1/auth/login", {"userId": one.pa_user, "password": one.pa_password})
    assert reply.status == 200
    return reply.json["expiresIn"]


def test_settings_take_effect(one):
    assert expires_in(one) == 900
    one.reconfigure(
        session={"access_lifetime": 77}, log={"access": False}, list={"public": False, "debounce_ms": 50},
        limits={"per_address": 3},
    )
    assert refused(reload(one)) == []
    assert expires_in(one) == 77
    assert one.anonymous.get("/download/v1/cps-list").status == 401
    assert one.pa.get("/download/v1/cps-list").status == 200
    count = access_lines(one)
    for _ in range(8):
        one.anonymous.get("/health")
    assert access_lines(one) == count
    kept = [one.anonymous.session() for _ in range(3)]
    for each in kept:
        assert each.get("/health").status == 200
    with pytest.raises(OSError):
        one.anonymous.get("/health")
    for each in kept:
        each.close()

    one.reconfigure(session=None, log=None, list={"public": None}, limits=None)  # and back to the defaults
    wait_until(lambda: refused(reload(one)) == [], 5)
    assert expires_in(one) == 900
    assert one.anonymous.get("/download/v1/cps-list").status == 200
    wait_until(lambda: access_lines(one) > count, 10)


def test_the_period_takes_effect(one):
    sequence = one.anonymous.get("/ready").json["sequence"]
    one.reconfigure(list={"period": 1, "lifetime": 600})
    assert refused(reload(one)) == []
    wait_until(lambda: one.anonymous.get("/ready").json["sequence"] > sequence, 5)
    page = one.anonymous.get("/metrics").body.decode()
    assert "sticps_publishing_failed 0" in page


@pytest.mark.parametrize(
    "change, named",
    [
        ({"signer": {"id": 2}}, "signer.id"),
        ({"listen": ["127.0.0.1:1"]}, "listen"),
        ({"threads": 3}, "threads"),
        ({"base_url": "https://other.example.com"}, "base_url"),
        ({"database": {"connections": 5}}, "database.connections"),
        ({"lab": None}, "lab"),
        ({"cps_url": {"ports": [8443]}}, "cps_url"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_needs_a_restart_is_named_and_nothing_changes(registry, change, named):
    one = registry()
    one.reconfigure(session={"access_lifetime": 55}, **change)
    said = refused(reload(one))
    assert len(said) == 1 and named in said[0] and "restart" in said[0], said
    assert expires_in(one) == 900
    assert one.anonymous.get("/ready").status == 200


def test_a_changed_database_url_is_not_logged(one):
    secret = secrets.token_hex(8)
    one.reconfigure(database={"url": f"postgresql://u:{secret}@127.0.0.1/x"})
    said = refused(reload(one))
    assert "database.url" in said[0]
    assert secret not in one.log_text()


@pytest.mark.parametrize("text", ["", "{", "bogus: 1\n", None])
def test_a_configuration_that_cannot_be_used(one, text):
    good = one.config_path.read_text()
    if text is None:
        one.config_path.unlink()
    else:
        one.config_path.write_text(text)
    said = refused(reload(one))
    assert len(said) == 1 and "stays as it was" in said[0], said
    assert one.anonymous.get("/ready").status == 200 and expires_in(one) == 900
    one.config_path.write_text(good)
    assert refused(reload(one)) == []


def test_values_out_of_range_and_a_bad_signer(one):
    one.reconfigure(list={"lifetime": 8 * 86400})
    assert "list.lifetime" in refused(reload(one))[0]
    one.reconfigure(list={"lifetime": 86400})
    assert refused(reload(one)) == []


def test_a_bad_configuration_does_not_hold_up_the_certificate(registry, pki):
    one = registry(start=False)
    for kind in ("crt", "key"):
        shutil.copy(pki.dir / f"registry-tls.{kind}", one.dir / f"tls.{kind}")
    one.reconfigure(tls={"certificate": str(one.dir / "tls.crt"), "key": str(one.dir / "tls.key")})
    one.init()
    one.start()
    before = certificate(one.port)
    for kind in ("crt", "key"):
        shutil.copy(pki.dir / f"cps-tls.{kind}", one.dir / f"tls.{kind}")
    one.reconfigure(bogus=1)
    said = refused(reload(one))
    assert len(said) == 1 and "bogus" in said[0]
    wait_until(lambda: certificate(one.port) != before, 10)


def test_many_reloads_under_requests(one):
    session = one.anonymous.session()
    for i in range(20):
        one.reconfigure(session={"access_lifetime": 60 + i})
        one.daemon.signal(signal.SIGHUP)
        for _ in range(20):
            assert session.get("/download/v1/cps-list").status == 200
    session.close()
    wait_until(lambda: expires_in(one) == 79, 5)


# ---- the CPS ----


@pytest.fixture
def make(pki, cert_server):
    x5u = cert_server.url + "/sp1.crt"
    return lambda: make_passport(pki.private_key("sp1"), x5u, ORIG, [DEST])


def test_cps_settings_take_effect(cps, make):
    node = cps()
    assert node.deliver(make(), spc="5678").status == 404
    count = access_lines(node)
    token = secrets.token_urlsafe(16)
    old_token = node.private.token
    node.config_path.with_name("cps-private.token").write_text(token + "\n")
    node.reconfigure(spcs=["1234", "5678"], log={"access": True})
    assert refused(reload(node)) == []
    assert node.deliver(make(), spc="5678").status == 201
    assert node.deliver(make(), spc="1234").status == 201
    wait_until(lambda: access_lines(node) >= count + 2, 10)
    path = f"/passports/{DEST}/{ORIG}"
    assert node.private.get(path, token=old_token).status == 401
    assert len(node.private.get(path, token=token).json["passports"]) == 2


@pytest.mark.parametrize(
    "change, named",
    [
        ({"listen": ["127.0.0.1:1"]}, "listen"),
        ({"private": {"listen": ["127.0.0.1:1"]}}, "private.listen"),
        ({"freshness": {"max_age": 30}}, "freshness"),
        ({"store": {"max_entries": 5}}, "store"),
        ({"lab": False}, "lab"),
        ({"threads": 1}, "threads"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_cps_what_needs_a_restart_is_named_and_nothing_changes(cps, make, change, named):
    node = cps()
    node.reconfigure(spcs=["5678"], **change)
    said = refused(reload(node))
    assert len(said) == 1 and named in said[0] and "restart" in said[0], said
    assert node.deliver(make()).status == 201
    assert node.deliver(make(), spc="5678").status == 404


@pytest.mark.parametrize("text", ["", "{", "bogus: 1\n"])
def test_cps_a_configuration_that_cannot_be_used(cps, make, text):
    node = cps()
    node.config_path.write_text(text)
    said = refused(reload(node))
    assert len(said) == 1 and "stay as they were" in said[0], said
    assert node.deliver(make()).status == 201


def test_cps_an_empty_token_file(cps):
    node = cps()
    node.config_path.with_name("cps-private.token").write_text("\n")
    assert "token" in refused(reload(node))[0]
    assert node.private.get("/metrics").status == 200
