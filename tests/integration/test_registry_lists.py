"""The list as it is published and served: PROTOCOL section 1. Signatures are judged by the cryptography package."""

import base64
import gzip
import hashlib
import itertools
import json
import threading
import time

import pytest
from lib.net import wait_until
from lib.passport import verify

BARE, ENVELOPE = "/download/v1/cps-list", "/api/v1/cps-list"


def entry(sp, spc):
    return f"/api/v1/account/{sp}/cps/{spc}"


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def published(reg):
    """The claims of the list that is served now."""
    return claims(reg.list_token())


def wait_for_list(reg, probe, what, timeout=10):
    return wait_until(lambda: c if probe(c := published(reg)) else None, timeout, what=what)


@pytest.fixture(scope="module")
def reg(registry):
    one = registry()
    one.alpha = one.add_sp("alpha", *[f"1{i:03d}" for i in range(40)])
    one.beta = one.add_sp("beta", "9999", "AAAA")
    return one


# ---- what is published, and when ----


def test_no_thread_serves_an_older_list_than_another_has_served(registry):
    """A client whose connections are on several threads of the server would take it for a rollback."""
    one = registry(threads=4, list={"debounce_ms": 1})
    sp = one.add_sp("alpha", "1234")
    stop = threading.Event()

    def write():
        with_session = sp.session()
        for number in itertools.count():
            if stop.is_set():
                return with_session.close()
            with_session.put(entry("alpha", "1234"), {"url": f"https://cps.example.com/{number}"})

    writer = threading.Thread(target=write)
    writer.start()
    sessions = [one.anonymous.session() for _ in range(16)]
    try:
        seen = [claims(session.get(BARE).body.decode())["sequence"] for _ in range(150) for session in sessions]
    finally:
        stop.set()
        writer.join()
        for session in sessions:
            session.close()
    assert seen == sorted(seen)
    assert seen[-1] > seen[0] + 3, "nothing was published meanwhile"


def test_the_first_list_is_sequence_1_and_empty(registry):
    one = registry()
    first = published(one)
    assert (first["sequence"], first["cpsMapping"], first["version"]) == (1, {}, "1.0")


def test_a_change_is_published_within_two_seconds_with_the_default_debounce(registry, pki):
    one = registry(list={"debounce_ms": None})
    sp = one.add_sp("alpha", "1234")
    before = published(one)["sequence"]
    assert sp.put(entry("alpha", "1234"), {"url": "https://cps.example.com/a"}).status == 201
    after = wait_for_list(one, lambda c: c["sequence"] > before, "publication")
    assert (after["sequence"], after["cpsMapping"]) == (before + 1, {"1234": "https://cps.example.com/a"})
    header, payload = verify(one.list_token(), pki.certificate("list-signer").public_key())
    assert header == {"alg": "ES256", "typ": "JWT", "x5u": one.base_url + "/download/v1/certificate/certificateId_1.crt"}
    assert list(payload) == ["version", "sequence", "exp", "cpsMapping"]
    assert abs(payload["exp"] - time.time() - 86400) < 30
    # a burst is one publication
    for i in range(5):
        sp.put(entry("alpha", "1234"), {"url": f"https://cps.example.com/{i}"})
    wait_for_list(one, lambda c: c["cpsMapping"].get("1234", "").endswith("/4"), "the last of the burst")
    assert published(one)["sequence"] <= before + 3


def test_a_delete_is_published(reg):
    reg.beta.put(entry("beta", "9999"), {"url": "https://cps.example.com/x"})
    wait_for_list(reg, lambda c: "9999" in c["cpsMapping"], "put")
    reg.beta.delete(entry("beta", "9999"))
    wait_for_list(reg, lambda c: "9999" not in c["cpsMapping"], "delete")


def test_entries_are_sorted_by_byte(reg):
    for spc in ("AAAA", "9999"):
        reg.beta.put(entry("beta", spc), {"url": "https://cps.example.com/x"})
    reg.alpha.put(entry("alpha", "1001"), {"url": "https://cps.example.com/x"})
    seen = wait_for_list(reg, lambda c: {"AAAA", "9999", "1001"} <= c["cpsMapping"].keys(), "all three")
    assert list(seen["cpsMapping"]) == sorted(seen["cpsMapping"])


def test_suspended_accounts_leave_the_list_and_come_back(reg):
    reg.beta.put(entry("beta", "9999"), {"url": "https://cps.example.com/x"})
    wait_for_list(reg, lambda c: "9999" in c["cpsMapping"], "put")
    reg.pa.put("/api/v1/account/beta/state", {"state": "suspended"})
    wait_for_list(reg, lambda c: "9999" not in c["cpsMapping"], "suspension")
    sequence = published(reg)["sequence"]
    reg.pa.put(entry("beta", "9999"), {"url": "https://cps.example.com/while-suspended"})
    time.sleep(0.8)
    assert published(reg)["sequence"] == sequence, "what is not in the list is no reason to publish"
    reg.pa.put("/api/v1/account/beta/state", {"state": "active"})
    back = wait_for_list(reg, lambda c: "9999" in c["cpsMapping"], "return")
    assert back["cpsMapping"]["9999"].endswith("while-suspended")


def test_transfer_takes_the_url_out_of_the_list(reg):
    reg.pa.put("/api/v1/account/gamma", {"name": "Gamma"})
    reg.beta.put(entry("beta", "AAAA"), {"url": "https://cps.example.com/x"})
    wait_for_list(reg, lambda c: "AAAA" in c["cpsMapping"], "put")
    assert reg.pa.put("/api/v1/account/gamma/spc/AAAA?transfer=true").status == 201
    wait_for_list(reg, lambda c: "AAAA" not in c["cpsMapping"], "transfer")
    assert reg.pa.put("/api/v1/account/beta/spc/AAAA?transfer=true").status == 201


def test_published_sequence_names_the_list_that_first_had_the_version(reg):
    path = entry("alpha", "1002")
    put = reg.alpha.put(path, {"url": "https://cps.example.com/one"}).json
    assert put["publishedSequence"] is None
    sequence = wait_until(lambda: reg.alpha.get(path).json["publishedSequence"], 10)
    listed = claims(reg.anonymous.get(f"{BARE}/{sequence}").body.decode())
    assert listed["cpsMapping"]["1002"] == "https://cps.example.com/one"
    earlier = claims(reg.anonymous.get(f"{BARE}/{sequence - 1}").body.decode())
    assert "1002" not in earlier["cpsMapping"]
    reg.pa.post("/api/v1/publications")
    wait_for_list(reg, lambda c: c["sequence"] > sequence, "publication")
    assert reg.alpha.get(path).json["publishedSequence"] == sequence


def test_changed_and_changed_back_needs_no_new_list(registry):
    one = registry(list={"debounce_ms": 1200})
    sp = one.add_sp("alpha", "1234")
    path = entry("alpha", "1234")
    sp.put(path, {"url": "https://cps.example.com/a"})
    sequence = wait_until(lambda: sp.get(path).json["publishedSequence"], 10)
    sp.put(path, {"url": "https://cps.example.com/b"})
    back = sp.put(path, {"url": "https://cps.example.com/a"}).json
    assert back["publishedSequence"] is None
    assert wait_until(lambda: sp.get(path).json["publishedSequence"], 10) == sequence
    assert published(one)["sequence"] == sequence


def test_publish_now(reg):
    before = published(reg)["sequence"]
    reply = reg.pa.post("/api/v1/publications")
    assert (reply.status, reply.json["status"]) == (202, "success")
    after = wait_for_list(reg, lambda c: c["sequence"] > before, "publication")
    assert after["sequence"] == before + 1
    newest = reg.pa.get("/api/v1/publications?limit=1").json["publications"][0]
    assert newest.keys() == {"sequence", "publishedAt", "exp", "entries", "sha256", "reason"}
    assert (newest["sequence"], newest["exp"], newest["reason"]) == (after["sequence"], after["exp"], "request")
    assert newest["sha256"] == hashlib.sha256(reg.list_token().encode()).hexdigest()
    assert newest["entries"] == len(after["cpsMapping"])


def test_history_pages(reg):
    whole = [p["sequence"] for p in reg.pa.get("/api/v1/publications?limit=1000").json["publications"]]
    assert whole == list(range(len(whole), 0, -1))
    seen, query = [], "?limit=2"
    while query:
        page = reg.pa.get("/api/v1/publications" + query).json
        seen += [p["sequence"] for p in page["publications"]]
        query = f"?limit=2&after={page['next']}" if "next" in page else None
    assert seen == whole


def test_a_list_is_replaced_each_period(registry):
    one = registry(list={"lifetime": 8, "period": 2})
    first = published(one)
    second = wait_for_list(one, lambda c: c["sequence"] > first["sequence"], "the next period", 4)
    assert second["exp"] > first["exp"] and second["cpsMapping"] == first["cpsMapping"]
    assert one.pa.get("/api/v1/publications?limit=1").json["publications"][0]["reason"] == "period"


def test_restart_continues_the_sequence_and_publishes_nothing_by_itself(reg):
    before = reg.list_token()
    reg.restart()
    assert reg.list_token() == before
    time.sleep(0.6)
    assert reg.list_token() == before
    reg.pa.post("/api/v1/publications")
    wait_for_list(reg, lambda c: c["sequence"] == claims(before)["sequence"] + 1, "the next number")


def test_another_signer_publishes_at_once_and_old_lists_keep_their_certificate(registry, pki):
    one = registry()
    old = one.list_token()
    one.stop()
    one.reconfigure(signer={"id": 2})
    one.start()
    new = wait_until(lambda: t if (t := one.list_token()) != old else None, 10)
    header, payload = verify(new, pki.certificate("list-signer").public_key())
    assert (header["x5u"][-21:], payload["sequence"]) == ("/certificateId_2.crt"[-21:], 2) or header["x5u"].endswith("certificateId_2.crt")
    for number in (1, 2):
        reply = one.anonymous.get(f"/download/v1/certificate/certificateId_{number}.crt")
        assert (reply.status, reply.body) == (200, pki.pem("list-signer"))
    assert one.anonymous.get(f"{BARE}/1").body.decode() == old


def test_an_entry_that_breaks_the_rules_stops_publishing_and_readiness_says_so(registry):
    one = registry()
    sp = one.add_sp("alpha", "1234", "5678")
    assert sp.put(entry("alpha", "1234"), {"url": "https://127.0.0.1:9/x"}).status == 201
    wait_for_list(one, lambda c: c["sequence"] == 2, "publication")
    one.stop()
    one.reconfigure(lab=False)
    # without the lab setting neither this port nor this entry is allowed
    one.reconfigure(base_url="https://sti-pa.example.com")
    one.start(wait=False)
    wait_until(lambda: "cannot be published" in one.log_text(), 5)
    reply = one.anonymous.get("/ready")
    assert reply.status == 503
    assert any("1234" in reason for reason in reply.json["reasons"])
    assert published(one)["sequence"] == 2, "the last good list is served"
    pa = one.sign_in(one.pa_user, one.pa_password)
    assert pa.delete(entry("alpha", "1234")).status == 204
    wait_for_list(one, lambda c: c["sequence"] == 3 and not c["cpsMapping"], "publication after the repair", 5)
    wait_until(lambda: one.anonymous.get("/ready").status == 200, 10)


# ---- how it is served ----


@pytest.fixture(scope="module")
def big(reg):
    """A list over 1 KiB that stays as it is."""
    for i in range(40):
        reg.alpha.put(entry("alpha", f"1{i:03d}"), {"url": f"https://cps.example.com/company/{i}"})
    wait_for_list(reg, lambda c: len([s for s in c["cpsMapping"] if s.startswith("1")]) == 40, "all entries", 3)
    return reg


def test_bare_form(big):
    reply = big.anonymous.get(BARE)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/jwt")
    assert reply.body.count(b".") == 2 and not reply.body.endswith(b"\n")
    assert reply.headers["Cache-Control"] == "public, max-age=60"
    assert reply.headers["ETag"].startswith('"')
    assert reply.headers["Vary"].lower() == "accept-encoding"
    assert reply.headers["Content-Encoding"] is None


def test_envelope_has_the_same_list(big):
    reply = big.anonymous.get(ENVELOPE)
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json.keys() == {"status", "message", "cpsList"}
    assert (reply.json["status"], reply.json["cpsList"]) == ("success", big.list_token())


@pytest.mark.parametrize("path", [BARE, ENVELOPE])
def test_gzip_when_asked(big, path):
    plain = big.anonymous.get(path)
    packed = big.anonymous.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert packed.headers["ETag"].startswith('"')
    assert packed.headers["Vary"].lower() == "accept-encoding"


@pytest.mark.parametrize(
    "value,packed",
    [("gzip", True), ("GZIP", True), ("x-gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("deflate,*;q=0.1", True), ("gzip; q=1.000", True),
     (None, False), ("", False), ("identity", False), ("br", False), ("gzip;q=0", False), ("gzip; q=0.000", False), ("*;q=0", False),
     ("gzip;q=0, *", False), ("*, gzip;q=0", False), ("gzipped", False), ("identity, *;q=0", False)],
)
def test_accept_encoding(big, value, packed):
    reply = big.anonymous.get(BARE, headers={"Accept-Encoding": value} if value is not None else {"Accept-Encoding": "identity"})
    assert (reply.headers["Content-Encoding"] == "gzip") == packed


def test_a_short_list_is_not_packed(registry):
    reply = registry().anonymous.get(BARE, headers={"Accept-Encoding": "gzip"})
    assert reply.headers["Content-Encoding"] is None
    assert reply.headers["Vary"].lower() == "accept-encoding"


@pytest.mark.parametrize("path", [BARE, ENVELOPE])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_conditional_requests(big, path, coding):
    def get(condition):
        return big.anonymous.get(path, headers={"If-None-Match": condition, "Accept-Encoding": coding})

    etag = big.anonymous.get(path, headers={"Accept-Encoding": coding}).headers["ETag"]
    for condition in (etag, f"W/{etag}", f'"x", {etag}', f'"a,b",{etag} , W/"c"', "*"):
        reply = get(condition)
        assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", etag), condition
        assert reply.headers["Cache-Control"] == "public, max-age=60"
        assert reply.headers["Vary"].lower() == "accept-encoding"
    for condition in ('"x"', etag.strip('"'), '""', "", '"*"'):
        assert get(condition).status == 200, condition


def test_etags_of_all_forms_differ(big):
    etags = [big.anonymous.get(p, headers={"Accept-Encoding": c}).headers["ETag"] for p in (BARE, ENVELOPE) for c in ("identity", "gzip")]
    assert len(set(etags)) == 4


def test_etag_changes_with_the_list(big):
    before = big.anonymous.get(BARE).headers["ETag"]
    big.pa.post("/api/v1/publications")
    wait_until(lambda: big.anonymous.get(BARE).headers["ETag"] != before, 10)


def test_earlier_lists(big):
    current = published(big)["sequence"]
    for sequence in (1, 2, current - 1, current):
        reply = big.anonymous.get(f"{BARE}/{sequence}")
        assert (reply.status, reply.headers["Content-Type"]) == (200, "application/jwt")
        assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert claims(reply.body.decode())["sequence"] == sequence
        (stored,) = big.database.query("SELECT jws FROM publication WHERE sequence = %s", [sequence])[0]
        assert reply.body.decode() == stored
        again = big.anonymous.get(f"{BARE}/{sequence}", headers={"If-None-Match": reply.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
    assert big.anonymous.get(f"{BARE}/{current}").body == big.anonymous.get(BARE).body


@pytest.mark.parametrize("sequence", ["0", "999999", "-1", "01", "1.0", "x", "9007199254740992", "99999999999999999999", "1%20", "+1", "0x1"])
def test_unknown_sequences_are_404(big, sequence):
    assert big.anonymous.get(f"{BARE}/{sequence}").code == "NOT_FOUND"


def test_the_list_is_there_by_its_number_the_moment_it_is_served(big):
    for i in range(5):
        before = published(big)["sequence"]
        big.pa.post("/api/v1/publications")
        token = wait_until(lambda: t if claims(t := big.list_token())["sequence"] > before else None, 10)
        assert big.anonymous.get(f"{BARE}/{claims(token)['sequence']}").body.decode() == token


def test_certificate(reg, pki):
    reply = reg.anonymous.get("/download/v1/certificate/certificateId_1.crt")
    assert (reply.status, reply.body) == (200, pki.pem("list-signer"))
    assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert reply.headers["Content-Type"] == "application/pem-certificate-chain"
    for name in ("certificateId_2.crt", "certificateId_01.crt", "certificateId_1.pem", "certificateId_.crt", "certificateId_1.crtx",
                 "certificateId_9999999999.crt", "x", "certificateId_-1.crt"):
        assert reg.anonymous.get(f"/download/v1/certificate/{name}").code == "NOT_FOUND", name


def test_private_lists_need_a_session(registry):
    one = registry(list={"public": False})
    for path in (BARE, ENVELOPE, f"{BARE}/1"):
        assert one.anonymous.get(path).code == "UNAUTHENTICATED"
        reply = one.pa.get(path)
        assert reply.status == 200
        assert reply.headers["Cache-Control"].startswith("private")
    assert one.anonymous.get("/download/v1/certificate/certificateId_1.crt").status == 200
    one.pa.post("/api/v1/publications")
    wait_until(lambda: claims(one.pa.get(BARE).body.decode())["sequence"] == 2, 5, what="publication")
    earlier = one.pa.get(f"{BARE}/1")  # from the database, after the session was found there
    assert (earlier.status, claims(earlier.body.decode())["sequence"]) == (200, 1)
    assert one.pa.get(f"{BARE}/3").status == 404
    one.pa.post("/api/v1/auth/logout")
    for path in (BARE, ENVELOPE, f"{BARE}/1"):
        assert one.pa.get(path).status == 401


# ---- two nodes ----


def test_two_nodes_serve_one_sequence_and_the_other_takes_over(reg, registry):
    other = registry(database=reg.database, start=False)
    other.reconfigure(base_url=reg.base_url)
    other.start()
    assert other.list_token() == reg.list_token()
    token = other.anonymous.with_token(reg.alpha.token)
    for i in range(3):
        url = f"https://cps.example.com/two/{i}"
        assert token.put(entry("alpha", "1000"), {"url": url}).status in (200, 201)
        for node in (reg, other):
            wait_for_list(node, lambda c: c["cpsMapping"].get("1000") == url, "publication on both")
    last = published(other)["sequence"]
    reg.kill()  # the one that publishes
    token.put(entry("alpha", "1000"), {"url": "https://cps.example.com/survivor"})
    after = wait_for_list(other, lambda c: c["cpsMapping"]["1000"].endswith("survivor"), "takeover", 5)
    assert after["sequence"] == last + 1
    reg.start()
    assert reg.list_token() == other.list_token()
    sequences = [s for (s,) in reg.database.query("SELECT sequence FROM publication ORDER BY 1")]
    assert sequences == list(range(1, len(sequences) + 1))
