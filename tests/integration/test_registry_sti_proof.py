"""Proof by STI certificate (PROTOCOL section 3): an SP provisions its own SPC with nothing but its certificate."""

import hashlib
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lib.crl import make_crl
from lib.net import wait_until
from lib.sti import Prover, body_hash, issue, tnauthlist

ENTRY = "/api/v1/account/alpha/cps/1234"
OTHER = "/api/v1/account/beta/cps/5678"
URL = "https://cps.example.com/{}"

_numbers = iter(range(10000))


def new_url():
    """A CPS URL that no other request sets."""
    return URL.format(next(_numbers))


def taking_proofs(reg):
    """Waits until the list of STI-CAs is there and in use, which GET of an unknown proof shows."""
    wait_until(lambda: reg.anonymous.get("/download/v1/ca-list").status == 200, 15, what="the list of STI-CAs")


@pytest.fixture(scope="module")
def cas(pki, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cas")
    (folder / "sti-ca.pem").write_bytes(pki.pem("sti-ca"))
    return folder


@pytest.fixture(scope="module")
def settings(pki, cas):
    return {"ca_list": {"directory": str(cas)}, "tls_ca": str(pki.tls_ca),
            "sti_proof": {"fetches_per_second": 1000, "proofs_per_second": 1000}}


@pytest.fixture(scope="module")
def reg(registry, settings):
    one = registry(**settings)
    one.alpha = one.add_sp("alpha", "1234", "1111")
    one.beta = one.add_sp("beta", "5678")
    taking_proofs(one)
    return one


@pytest.fixture(scope="module")
def sp1(reg, pki, cert_server):
    prover = Prover(reg.anonymous, pki.private_key("sp1"), cert_server.url + "/sp1.crt")
    wait_until(lambda: prover.get(ENTRY).status != 503, 15, what="proofs are taken")
    return prover


@pytest.fixture(scope="module")
def sp2(reg, sp1, pki, cert_server):
    return Prover(reg.anonymous, pki.private_key("sp2"), cert_server.url + "/sp2.crt", "5678")


def assert_refused(reply, status, code):
    assert (reply.status, reply.code) == (status, code), (reply.status, reply.body)
    assert reply.status != 401 or reply.headers["www-authenticate"] == "Bearer"


def metric(reg, name):
    lines = reg.anonymous.get("/metrics").body.decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


# ---- what it opens ----


def test_put_get_delete_without_a_session(reg, sp1):
    sp1.delete(ENTRY)
    url = new_url()
    created = sp1.put(ENTRY, url)
    assert created.status == 201, created.body
    assert created.headers["location"] == ENTRY
    assert (created.json["spc"], created.json["url"], created.json["updatedBy"]) == ("1234", url, "sti:1234")
    assert sp1.put(ENTRY, url).status == 200
    read = sp1.get(ENTRY)
    assert (read.status, read.json["url"]) == (200, url)
    assert read.headers["etag"] == created.headers["etag"]
    assert reg.alpha.get(ENTRY).json["url"] == url
    head = sp1.request("HEAD", ENTRY)
    assert (head.status, head.body) == (200, b"")
    gone = sp1.delete(ENTRY)
    assert (gone.status, gone.body) == (204, b"")
    assert_refused(sp1.get(ENTRY), 404, "NOT_FOUND")


def test_what_it_sets_is_published(reg, sp1):
    url = new_url()
    assert sp1.put(ENTRY, url).status in (200, 201)
    wait_until(lambda: sp1.get(ENTRY).json["publishedSequence"], 10, what="the publication")


def test_preconditions_are_those_of_everybody(sp1):
    etag = sp1.put(ENTRY, new_url()).headers["etag"]
    assert_refused(sp1.put(ENTRY, new_url(), headers={"If-Match": '"1"'}), 412, "PRECONDITION_FAILED")
    assert_refused(sp1.delete(ENTRY, headers={"If-Match": '"1"'}), 412, "PRECONDITION_FAILED")
    assert_refused(sp1.get(ENTRY, headers={"If-Match": '"1"'}), 412, "PRECONDITION_FAILED")
    assert sp1.get(ENTRY, headers={"If-None-Match": etag}).status == 304
    assert sp1.put(ENTRY, new_url(), headers={"If-Match": etag}).status == 200


def test_a_bad_body_hears_what_is_wrong(sp1):
    body = b'{"url":"http://cps.example.com/"}'
    reply = sp1.send("PUT", ENTRY, sp1.token("PUT", ENTRY, body), body)
    assert_refused(reply, 422, "INVALID")
    assert [error["pointer"] for error in reply.json["errors"]] == ["/url"]
    body = b'{"url":'
    assert_refused(sp1.send("PUT", ENTRY, sp1.token("PUT", ENTRY, body), body), 400, "NOT_JSON")
    reply = sp1.send("PUT", ENTRY, sp1.token("PUT", ENTRY, body), body, {"Content-Type": "text/plain"})
    assert_refused(reply, 415, "UNSUPPORTED_MEDIA_TYPE")
    body = b" " * 70000
    assert_refused(sp1.send("PUT", ENTRY, sp1.token("PUT", ENTRY, body), body), 413, "TOO_LARGE")


def test_lower_case_in_the_path(reg, pki, cert_server, sp1):
    """The path is signed as it is sent; the SPC in it is folded, as for everybody."""
    reg.pa.put("/api/v1/account/alpha/spc/VWC55")
    key, x5u = issue(pki, cert_server, "resporg", tnauthlist=tnauthlist("VWC55"))
    prover = Prover(reg.anonymous, key, x5u, "VWC55")
    assert prover.put("/api/v1/account/alpha/cps/vwc55", new_url()).status == 201


def test_the_bare_token_is_taken_too(reg, sp1):
    reply = reg.anonymous.get(ENTRY, headers={"Authorization": sp1.token("GET", ENTRY)})
    assert reply.status == 200


def test_body_may_be_left_out_when_there_is_none(sp1):
    assert sp1.get(ENTRY, body=None).status == 200
    assert sp1.get(ENTRY, body=body_hash(b"")).status == 200


# ---- what it does not open ----


def test_an_spc_of_another(reg, sp1, sp2):
    before = reg.beta.put(OTHER, {"url": new_url()}).json["version"]
    for method, path in [("PUT", OTHER), ("GET", OTHER), ("DELETE", OTHER),
                         ("PUT", "/api/v1/account/beta/cps/1234"), ("GET", "/api/v1/account/beta/cps/1234"),
                         ("PUT", "/api/v1/account/nobody/cps/1234"),
                         ("PUT", "/api/v1/account/alpha/cps/1111"), ("GET", "/api/v1/account/alpha/cps/1111")]:
        reply = sp1.request(method, path, new_url() if method == "PUT" else None)
        assert_refused(reply, 403, "FORBIDDEN")
    assert reg.beta.get(OTHER).json["version"] == before
    assert sp2.get(OTHER).status == 200


ELSEWHERE = [
    ("GET", "/api/v1/account/alpha/cps"), ("PUT", "/api/v1/account/alpha/cps"), ("GET", "/api/v1/account/alpha"),
    ("PUT", "/api/v1/account/alpha/state"), ("PUT", "/api/v1/account/alpha/spc/1234"),
    ("DELETE", "/api/v1/account/alpha/spc/1234"), ("PUT", "/api/v1/account/alpha/user/mallory"),
    ("DELETE", "/api/v1/account/alpha/user/alpha-admin"), ("PUT", "/api/v1/user/mallory"),
    ("GET", "/api/v1/publications"), ("POST", "/api/v1/publications"), ("GET", "/api/v1/audit"),
    ("POST", "/api/v1/auth/logout"), ("GET", "/api/v1/account/alpha/key"), ("POST", "/api/v1/account/alpha/key"),
]


@pytest.mark.parametrize("method,path", ELSEWHERE, ids=lambda value: value.replace("/api/v1/", ""))
def test_nothing_else(reg, sp1, method, path):
    body = json.dumps({"cpsMapping": {"1234": new_url()}}).encode() if method in ("PUT", "POST") else b""
    assert_refused(sp1.send(method, path, sp1.token(method, path, body), body), 401, "UNAUTHENTICATED")


def test_an_spc_that_nobody_owns(reg, pki, cert_server, sp1):
    """Who owns an SPC is the STI-PA's word; a certificate gives nobody one."""
    key, x5u = issue(pki, cert_server, "unowned", tnauthlist=tnauthlist("9999"))
    prover = Prover(reg.anonymous, key, x5u, "9999")
    assert_refused(prover.put("/api/v1/account/alpha/cps/9999", new_url()), 403, "FORBIDDEN")
    assert reg.database.query("SELECT count(*) FROM spc_owner WHERE spc = '9999'") == [(0,)]


def test_a_transfer_takes_the_right_along(reg, pki, cert_server, sp1):
    reg.pa.put("/api/v1/account/alpha/spc/7777")
    key, x5u = issue(pki, cert_server, "moving", tnauthlist=tnauthlist("7777"))
    prover = Prover(reg.anonymous, key, x5u, "7777")
    old, new = "/api/v1/account/alpha/cps/7777", "/api/v1/account/beta/cps/7777"
    assert prover.put(old, new_url()).status == 201
    assert reg.pa.put("/api/v1/account/beta/spc/7777?transfer=true").status == 201
    assert_refused(prover.put(old, new_url()), 403, "FORBIDDEN")
    assert prover.put(new, new_url()).status == 201


def test_a_suspended_sp(reg, sp1):
    def state(value):
        assert reg.pa.put("/api/v1/account/alpha/state", {"state": value}).status == 200

    state("suspended")
    try:
        assert_refused(sp1.put(ENTRY, new_url()), 403, "ACCOUNT_SUSPENDED")
        assert_refused(sp1.get(ENTRY), 403, "ACCOUNT_SUSPENDED")
    finally:
        state("active")
    assert sp1.put(ENTRY, new_url()).status in (200, 201)


# ---- what is left behind ----


def test_the_audit_names_the_certificate(reg, sp1, pki):
    url = new_url()
    sp1.put(ENTRY, url)
    sp1.delete(ENTRY)
    sp1.put(ENTRY, url)
    events = reg.alpha.get("/api/v1/audit?limit=3").json["events"]
    assert [event["action"] for event in events] == ["entry.put", "entry.delete", "entry.put"]
    cert = pki.certificate("sp1")
    spki = cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for event in events:
        assert (event["userId"], event["address"], event["sp"], event["spc"]) == (
            "sti:1234", "127.0.0.1", "alpha", "1234")
        named = event["detail"]["certificate"]
        assert int(named["serial"], 16) == cert.serial_number
        assert named["issuer"] == cert.issuer.rfc4514_string()
        assert (named["spc"], named["keySha256"]) == ("1234", hashlib.sha256(spki).hexdigest())
    assert events[0]["detail"]["url"] == url


def test_the_audit_of_others_is_as_before(reg):
    reg.alpha.put("/api/v1/account/alpha/cps/1111", {"url": new_url()})
    event = reg.alpha.get("/api/v1/audit?limit=1").json["events"][0]
    assert event["detail"].keys() == {"url", "was", "version"} and event["userId"] == "alpha-admin"


def test_refusals_are_logged_and_leave_no_audit_row(reg, sp1):
    before = reg.alpha.get("/api/v1/audit?limit=1").json["events"][0]["id"]
    assert_refused(sp1.put(ENTRY, new_url(), action="publish"), 401, "PROOF_MISMATCH")
    assert reg.alpha.get("/api/v1/audit?limit=1").json["events"][0]["id"] == before
    wait_until(lambda: '"PROOF_MISMATCH"' in reg.log_text(), 5)


def test_metrics(reg, sp1):
    def verdicts(verdict):
        return metric(reg, f'sticps_sti_proofs_total{{verdict="{verdict}"}}')

    accepted, refused = verdicts("accepted"), verdicts("refused")
    sp1.get(ENTRY)
    sp1.get(ENTRY, action="publish")
    assert (verdicts("accepted"), verdicts("refused")) == (accepted + 1, refused + 1)


# ---- once, on all nodes ----


def test_a_jti_is_good_once(reg, sp1):
    body = json.dumps({"url": new_url()}).encode()
    token = sp1.token("PUT", ENTRY, body)
    assert sp1.send("PUT", ENTRY, token, body).status in (200, 201)
    for _ in range(2):
        assert_refused(sp1.send("PUT", ENTRY, token, body), 401, "PROOF_REPLAYED")
    jti = "again-" + new_url()[-8:].replace("/", "")
    assert sp1.get(ENTRY, jti=jti).status == 200
    assert_refused(sp1.delete(ENTRY, jti=jti), 401, "PROOF_REPLAYED")  # of another request, too


def test_a_refusal_of_the_entry_uses_it_up(sp1):
    token = sp1.token("DELETE", ENTRY)
    assert_refused(sp1.send("DELETE", ENTRY, token, headers={"If-Match": '"1"'}), 412, "PRECONDITION_FAILED")
    assert_refused(sp1.send("DELETE", ENTRY, token), 401, "PROOF_REPLAYED")


def test_a_jti_belongs_to_its_spc(sp1, sp2):
    """Nobody can use up another's."""
    assert sp1.get(ENTRY, jti="shared").status == 200
    assert sp2.get(OTHER, jti="shared").status in (200, 404)


@pytest.fixture(scope="module")
def second(reg, registry, settings):
    one = registry(database=reg.database, start=False, **settings)
    one.start()
    taking_proofs(one)
    return one


def at_node(prover, node):
    """The same prover, sending to another node behind the same public address."""
    other = Prover(prover.api, prover.key, prover.x5u, prover.spc)
    other.send = lambda method, path, token, body=b"", headers=None: node.anonymous.request(
        method, path, body=body or None, token=token,
        headers=({"Content-Type": "application/json"} if body else {}) | (headers or {}))
    return other


def test_a_jti_is_good_once_on_all_nodes(reg, second, sp1):
    second.stop()
    second.reconfigure(base_url=reg.base_url)
    second.start()
    there = at_node(sp1, second)
    wait_until(lambda: there.get(ENTRY).status != 503, 15, what="the second node takes proofs")
    body = json.dumps({"url": new_url()}).encode()
    token = sp1.token("PUT", ENTRY, body)
    assert sp1.send("PUT", ENTRY, token, body).status in (200, 201)
    assert_refused(there.send("PUT", ENTRY, token, body), 401, "PROOF_REPLAYED")
    token = sp1.token("GET", ENTRY)
    assert there.send("GET", ENTRY, token).status == 200
    assert_refused(sp1.send("GET", ENTRY, token), 401, "PROOF_REPLAYED")

    # at once, at both: exactly one wins
    for _ in range(5):
        body = json.dumps({"url": new_url()}).encode()
        token = sp1.token("PUT", ENTRY, body)
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda i: [sp1, there][i % 2].send("PUT", ENTRY, token, body), range(8)))
        assert sorted(reply.status for reply in replies) == [200] + 7 * [401], [r.body for r in replies]
        assert {reply.code for reply in replies if reply.status == 401} == {"PROOF_REPLAYED"}
    events = reg.alpha.get("/api/v1/audit?limit=1000").json["events"]
    urls = [event["detail"]["url"] for event in events if event["action"] == "entry.put"]
    assert urls.count(json.loads(body)["url"]) == 1


def test_a_proof_whose_transaction_failed_is_as_good_as_new(reg, sp1):
    """The connection is killed while the change waits for a lock: 503, nothing is changed, nothing used up."""
    sp1.put(ENTRY, new_url())
    url = new_url()
    body = json.dumps({"url": url}).encode()
    token = sp1.token("PUT", ENTRY, body)
    holder = psycopg2.connect(reg.database.url)
    holder.cursor().execute("SELECT 1 FROM spc_owner WHERE spc = '1234' FOR UPDATE")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sp1.send, "PUT", ENTRY, token, body)
        kill = ("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock'")
        wait_until(lambda: reg.database.query(kill), 10, what="the request waits for the lock")
        assert_refused(waiting.result(), 503, "UNAVAILABLE")
    holder.rollback()
    holder.close()
    assert sp1.get(ENTRY).json["url"] != url
    assert sp1.send("PUT", ENTRY, token, body).status == 200
    assert_refused(sp1.send("PUT", ENTRY, token, body), 401, "PROOF_REPLAYED")


def test_housekeeping_keeps_what_could_come_again(reg, sp1):
    token = sp1.token("GET", ENTRY)
    assert sp1.send("GET", ENTRY, token).status == 200
    reg.database.query("INSERT INTO sti_proof (spc, jti, expires_at, certificate) VALUES "
                       "('1234', 'old', now() - interval '25 hours', '{}'), "
                       "('1234', 'young', now() - interval '23 hours', '{}') RETURNING 1")
    reg.database.query("SELECT housekeeping()")
    kept = {jti for jti, in reg.database.query("SELECT jti FROM sti_proof WHERE certificate::text = '{}'")}
    assert kept == {"young"}
    assert_refused(sp1.send("GET", ENTRY, token), 401, "PROOF_REPLAYED")


def test_the_databases_clock_has_a_word(reg):
    """What housekeeping has forgotten cannot come back, even if a node's clock stands still."""
    late = json.dumps({"spc": "1234", "jti": "late", "exp": int(time.time()) - 4000, "certificate": {}})
    rows = reg.database.query("SELECT outcome FROM entry_get(caller_id(%s), 'alpha', '1234')", ("proof " + late,))
    assert rows == [("PROOF_TIME",)]
    assert reg.database.query("SELECT count(*) FROM sti_proof WHERE jti = 'late'") == [(0,)]


def test_other_functions_know_no_proof(reg):
    """A handler that called the wrong function with a proof would get nothing."""
    proof = {"spc": "1234", "exp": int(time.time()) + 60, "certificate": {}}
    calls = {
        "entry_list": "caller_id(%s), 'alpha', 10, ''", "account_get": "caller_id(%s), 'alpha'",
        "entry_put_all": "caller_id(%s), '127.0.0.1', 'alpha', '{1234}', '{https://x.example.com}', false",
        "audit_list": "caller_id(%s), 10, NULL", "publication_list": "caller_id(%s), 10, NULL",
        "spc_put": "caller_id(%s), NULL, 'alpha', '4444', true",
        "user_put": "caller_id(%s), NULL, 'alpha', 'mallory', 'sp-admin', 'x'",
    }
    for number, (name, arguments) in enumerate(calls.items()):
        text = "proof " + json.dumps(proof | {"jti": f"wrong-{number}"})
        for expected in ("first", "replayed"):
            rows = reg.database.query(f"SELECT outcome FROM {name}({arguments})", (text,))
            assert rows == [("FORBIDDEN",)], (name, expected, rows)


# ---- who is trusted ----


def test_closed_without_a_list_of_stis(registry, pki, cert_server):
    reg = registry(tls_ca=str(pki.tls_ca))
    reg.add_sp("alpha", "1234")
    prover = Prover(reg.anonymous, pki.private_key("sp1"), cert_server.url + "/sp1.crt")
    reply = prover.put(ENTRY, new_url())
    assert_refused(reply, 401, "PROOF_CLOSED")
    assert "approved STI-CAs" in reply.json["detail"]


def test_switched_off(registry, settings, pki, cert_server):
    reg = registry(**(settings | {"sti_proof": {"enabled": False}}))
    prover = Prover(reg.anonymous, pki.private_key("sp1"), cert_server.url + "/sp1.crt")
    taking_proofs(reg)
    assert_refused(prover.get(ENTRY), 401, "PROOF_CLOSED")
    assert "sticps_sti_proofs_total" not in reg.anonymous.get("/metrics").body.decode()


def test_a_ca_that_is_taken_off_the_list(registry, settings, pki, cert_server, tmp_path):
    folder = tmp_path / "cas"
    folder.mkdir()
    (folder / "sti-ca.pem").write_bytes(pki.pem("sti-ca"))
    (folder / "other.pem").write_bytes(pki.pem("sti-pa-root"))
    reg = registry(**(settings | {"ca_list": {"directory": str(folder)}}))
    reg.add_sp("alpha", "1234")
    prover = Prover(reg.anonymous, pki.private_key("sp1"), cert_server.url + "/sp1.crt")
    taking_proofs(reg)
    wait_until(lambda: prover.put(ENTRY, new_url()).status in (200, 201), 15, what="the proof is taken")
    (folder / "sti-ca.pem").unlink()
    reply = wait_until(lambda: r if (r := prover.get(ENTRY)).status == 401 else None, 20, 0.2, what="the CA is gone")
    assert_refused(reply, 401, "PROOF_CERTIFICATE")


def test_revoked(registry, settings, pki, cert_server, tmp_path):
    """By the CRL that the registry serves, which is indirect: entries name their issuer. A good certificate that
    is revoked later, which is kept, is refused as soon as the CRL is read; so is one whose CRL is overdue."""
    path = tmp_path / "sti-pa.crl"
    issuer = pki.certificate("sti-ca").subject
    serial, other = 4242, 4243
    make_crl(pki, path, other, issuer=issuer)
    reg = registry(**(settings | {"crl": {"file": str(path)}}))
    reg.add_sp("alpha", "1234")
    taking_proofs(reg)
    good, revoked = [Prover(reg.anonymous, *issue(pki, cert_server, f"revoked-{number}", serial=number))
                     for number in (serial, other)]
    wait_until(lambda: good.put(ENTRY, new_url()).status in (200, 201), 15, what="the proof is taken")
    reply = revoked.put(ENTRY, new_url())
    assert_refused(reply, 401, "PROOF_CERTIFICATE")
    assert "revoked" in reply.json["detail"]
    make_crl(pki, path, serial, other, issuer=issuer)
    wait_until(lambda: good.get(ENTRY).status == 401, 20, 0.2, what="the new CRL counts")
    make_crl(pki, path, serial)  # the same number of another issuer
    wait_until(lambda: good.get(ENTRY).status == 200, 20, 0.2, what="the next CRL counts")
    assert metric(reg, "sticps_sti_proofs_open ") == 1
    make_crl(pki, path, issuer=issuer, next_update=-60)
    reply = wait_until(lambda: r if (r := good.get(ENTRY)).status == 503 else None, 20, 0.2, what="an overdue CRL")
    assert_refused(reply, 503, "UNAVAILABLE")
    assert reply.headers["retry-after"]
    wait_until(lambda: "NO PROOF BY STI CERTIFICATE IS TAKEN: the CRL" in reg.log_text(), 5)
    assert metric(reg, "sticps_sti_proofs_open ") == 0


def test_a_crl_that_is_configured_is_waited_for(registry, settings, pki, cert_server, tmp_path):
    path = tmp_path / "sti-pa.crl"
    reg = registry(**(settings | {"crl": {"file": str(path)}}))
    reg.add_sp("alpha", "1234")
    taking_proofs(reg)
    prover = Prover(reg.anonymous, pki.private_key("sp1"), cert_server.url + "/sp1.crt")
    assert_refused(prover.put(ENTRY, new_url()), 503, "UNAVAILABLE")
    make_crl(pki, path, issuer=pki.certificate("sti-ca").subject)
    wait_until(lambda: prover.put(ENTRY, new_url()).status in (200, 201), 20, 0.2, what="the CRL is there")


# ---- beside the check of the CPS ----


def test_with_a_check_of_the_cps_it_is_used_once_too(registry, settings, pki, cert_server):
    """The database is asked twice for one such request: may it, and then the change."""
    reg = registry(**(settings | {"cps_check": {"policy": "warn"}}))
    reg.add_sp("alpha", "1234")
    taking_proofs(reg)
    prover = Prover(reg.anonymous, pki.private_key("sp1"), cert_server.url + "/sp1.crt")
    wait_until(lambda: prover.get(ENTRY).status == 404, 15, what="proofs are taken")
    body = json.dumps({"url": "https://127.0.0.1/"}).encode()
    token = prover.token("PUT", ENTRY, body)
    reply = prover.send("PUT", ENTRY, token, body)
    assert (reply.status, reply.json["check"]["ok"]) == (201, False), reply.body
    assert_refused(prover.send("PUT", ENTRY, token, body), 401, "PROOF_REPLAYED")
    other = prover.send("PUT", OTHER, prover.token("PUT", OTHER, body, iss="5678"), body)
    assert_refused(other, 401, "PROOF_CERTIFICATE")
    assert reg.pa.get("/api/v1/audit?limit=1").json["events"][0]["userId"] == "sti:1234"


# ---- limits ----


def test_rates_before_any_fetch(registry, settings, pki, new_cert_server):
    reg = registry(**(settings | {"threads": 1, "sti_proof": {"fetches_per_second": 1, "proofs_per_second": 1}}))
    reg.add_sp("alpha", "1234")
    taking_proofs(reg)
    repository = new_cert_server()
    x5u = repository.serve("/good.crt", pki.pem("sp1"))
    prover = Prover(reg.anonymous, pki.private_key("sp1"), x5u)
    wait_until(lambda: prover.get(ENTRY).status == 404, 15, what="the proof is taken")

    # one address, a new URL each time: 20 at once, then one a second
    stranger = Prover(reg.anonymous, pki.private_key("sp2"), None)
    replies = [stranger.get(ENTRY, header={"x5u": f"{repository.url}/none-{i}"}) for i in range(40)]
    limited = [reply for reply in replies if reply.status == 429]
    assert 5 <= len(limited) <= 25
    assert all(reply.headers["retry-after"].isdigit() for reply in limited)
    assert sum(repository.hits[f"/none-{i}"] for i in range(40)) == 40 - len(limited)

    # what forgers spend is not what the SPC may ask
    for _ in range(30):
        assert prover.get(ENTRY, key=stranger.key).status == 401
    assert prover.get(ENTRY).status == 404
    replies = [prover.get(ENTRY) for _ in range(40)]
    assert {reply.status for reply in replies} == {404, 429}
    assert metric(reg, 'sticps_sti_proofs_total{verdict="limited"}') >= len(limited)


def test_writes_count_for_the_sp(registry, settings, pki, cert_server):
    reg = registry(**(settings | {"limits": {"writes_per_second": 1, "writes_burst": 2}}))
    reg.add_sp("alpha", "1234")
    taking_proofs(reg)
    prover = Prover(reg.anonymous, pki.private_key("sp1"), cert_server.url + "/sp1.crt")
    wait_until(lambda: prover.get(ENTRY).status == 404, 15, what="the proof is taken")
    token = prover.token("PUT", ENTRY, b'{"url":"https://cps.example.com"}')
    assert prover.send("PUT", ENTRY, token, b'{"url":"https://cps.example.com"}').status == 201
    statuses = [prover.put(ENTRY, new_url()).status for _ in range(5)]
    assert 429 in statuses
    time.sleep(2.2)
    for _ in range(10):  # who sends a used one again does not use up what the SP may write
        assert_refused(prover.send("PUT", ENTRY, token, b'{"url":"https://cps.example.com"}'), 401, "PROOF_REPLAYED")
    assert prover.put(ENTRY, new_url()).status == 200


# ---- the configuration ----


def test_configuration(registry, settings):
    reg = registry(start=False, **settings)
    for bad in ({"deadline_ms": 20}, {"max_pending": 200}, {"enabled": "maybe"}, {"secret": 1}):
        reg.reconfigure(sti_proof=bad)
        done = reg.check()
        assert done.returncode == 1 and "sti_proof" in done.stderr or "secret" in done.stderr, done.stderr
        reg.reconfigure(sti_proof={key: None for key in bad})
    assert reg.check().returncode == 0


# ---- the command ----


@pytest.fixture
def provision(cli, reg, pki, sp1):
    """A function: provision("put", "--url", …) → (exit status, JSON); options of the same name come last and count."""

    def run(op, *args, **changes):
        options = {"registry": reg.base_url, "sp": "alpha", "spc": "1234", "key": str(pki.key("sp1")), "x5u": sp1.x5u}
        words = [word for name, value in (options | changes).items() for word in ("--" + name, value)]
        return cli.json("provision", op, *words, "--tls-ca", str(pki.tls_ca), "--lab", *args)

    return run


def test_the_command(cli, reg, pki, sp1, provision):
    sp1.delete(ENTRY)
    url = new_url()
    status, answer = provision("put", url=url)
    assert (status, answer["url"], answer["updatedBy"]) == (0, url, "sti:1234"), answer
    status, answer = provision("get", registry=reg.base_url + "/")
    assert (status, answer["url"]) == (0, url), answer
    assert sp1.get(ENTRY).json["url"] == url
    words = ["--registry", reg.base_url, "--sp", "alpha", "--spc", "1234", "--key", str(pki.key("sp1")), "--x5u", sp1.x5u]
    done = cli("provision", "get", *words, "--tls-ca", str(pki.tls_ca), "--lab")
    assert (done.returncode, done.stdout) == (0, url + "\n")
    assert provision("delete") == (0, {"status": "success"})
    for op in ("get", "delete"):
        status, answer = provision(op)
        assert (status, answer["code"]) == (4, "NOT_FOUND"), answer


def test_the_command_with_a_key_in_an_hsm(pki, provision, tmp_path, monkeypatch):
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    pin = tmp_path / "pin"
    pin.touch(0o600)
    pin.write_text("4711\n")
    tool = ["softhsm2-util", "--pin", "4711"]
    subprocess.run([*tool, "--init-token", "--free", "--label", "sp", "--so-pin", "87654321"], check=True, capture_output=True,
                   timeout=60)
    subprocess.run([*tool, "--import", str(pki.key("sp1")), "--token", "sp", "--label", "sti", "--id", "01"], check=True,
                   capture_output=True, timeout=60)
    key = {"key": "pkcs11:token=sp;object=sti;type=private", "module": "/usr/lib/softhsm/libsofthsm2.so"}
    key |= {"pin-file": str(pin), "cert": str(pki.crt("sp1"))}
    url = new_url()
    status, answer = provision("put", url=url, **key)
    assert (status, answer["url"], answer["updatedBy"]) == (0, url, "sti:1234"), answer
    status, answer = provision("get", **(key | {"cert": str(pki.crt("sp2"))}))
    assert (status, answer["code"]) == (1, "CRYPTO"), "not the key of that certificate"
    status, answer = provision("get", key=key["key"])
    assert (status, answer["code"]) == (1, "USAGE"), answer
    assert provision("delete", **key)[0] == 0


@pytest.mark.parametrize("changes,named", [
    ({"sp": "beta"}, "FORBIDDEN"), ({"key": "sp2"}, "PROOF_SIGNATURE"), ({"spc": "5678"}, "PROOF_CERTIFICATE"),
    ({"x5u": "/none.crt"}, "PROOF_X5U"), ({"url": "https://cps.example.com/#"}, None),
    ({"url": "https://cps.example.com/a/../b"}, "INVALID")], ids=str)
def test_the_command_is_refused(pki, cert_server, provision, changes, named):
    changes = {"url": new_url()} | changes
    if "key" in changes:
        changes["key"] = str(pki.key(changes["key"]))
    if "x5u" in changes:
        changes["x5u"] = cert_server.url + changes["x5u"]
    status, answer = provision("put", **changes)
    if named is None:
        assert (status, answer["code"]) == (1, "USAGE"), answer
    else:
        assert (status, answer["code"]) == (2, "REJECTED") and named in answer["detail"], answer


@pytest.mark.parametrize("changes,code", [
    ({"registry": "http://127.0.0.1"}, "USAGE"), ({"registry": "https://127.0.0.1/?x"}, "USAGE"), ({"sp": "a/b"}, "USAGE"),
    ({"sp": ".."}, "USAGE"), ({"spc": "12"}, "SPC"), ({"key": "/nonexistent"}, "FILE"), ({"x5u": "http://a.example"}, "USAGE"),
    ({"url": "https://cps.example.com/\xff"}, "USAGE")], ids=str)
def test_the_command_sends_nothing_that_is_wrong(provision, changes, code):
    status, answer = provision("put", **({"url": new_url()} | changes))
    assert (status, answer["code"]) == (1, code), answer


def test_the_command_without_a_registry(provision):
    status, answer = provision("get", registry="https://127.0.0.1:1")
    assert (status, answer["code"]) == (3, "FETCH"), answer
