"""Accounts, SPCs, users and CPS URLs: what each request of PROTOCOL section 3 does. Who may make it: test_registry_matrix.py."""

import pytest
from lib.net import wait_until

URL = "https://cps.example.com/cps/company/1234"


@pytest.fixture(scope="module")
def reg(registry):
    one = registry(cps_url={"ports": [8443]}, lab=False, base_url="https://sti-pa.example.com")
    one.alpha = one.add_sp("alpha", "1234", "5678", "VWC55", name="Alpha Tel")
    one.beta = one.add_sp("beta", "9999")
    one.viewer = user(one, "alpha-viewer", "sp-viewer", "alpha")
    one.auditor = user(one, "auditor", "pa-auditor")
    return one


def user(reg, name, role, sp=None):
    path = f"/api/v1/account/{sp}/user/{name}" if sp else f"/api/v1/user/{name}"
    reply = reg.pa.put(path, {"role": role})
    assert reply.status == 201, reply.body
    return reg.sign_in(name, reply.json["password"])


def entry(sp, spc):
    return f"/api/v1/account/{sp}/cps/{spc}"


def audit(reg, **match):
    events = reg.pa.get("/api/v1/audit?limit=1000").json["events"]
    return [e for e in events if all(e[k] == v for k, v in match.items())]


# ---- one entry ----


def test_entry_is_created_read_changed_and_deleted(reg):
    path = entry("alpha", "1234")
    assert reg.alpha.get(path).code == "NOT_FOUND"
    created = reg.alpha.put(path, {"url": URL})
    assert created.status == 201
    assert created.headers["Location"] == path
    body = created.json
    assert body.keys() == {"status", "spc", "url", "version", "updatedAt", "updatedBy", "publishedSequence"}
    assert (body["spc"], body["url"], body["updatedBy"]) == ("1234", URL, "alpha-admin")
    assert created.headers["ETag"] == f'"{body["version"]}"'
    wait_until(lambda: reg.alpha.get(path).json["publishedSequence"], 10, what="publication")
    read = reg.alpha.get(path)
    assert (read.status, read.headers["ETag"]) == (200, created.headers["ETag"])

    changed = reg.alpha.put(path, {"url": URL + "/b"})
    assert changed.status == 200
    assert changed.json["version"] > body["version"]
    assert changed.json["publishedSequence"] is None
    assert changed.headers["ETag"] == f'"{changed.json["version"]}"'

    assert reg.alpha.delete(path).status == 204
    assert reg.alpha.get(path).status == 404
    assert reg.alpha.delete(path).code == "NOT_FOUND"


def test_versions_never_come_back(reg):
    path = entry("alpha", "1234")
    seen = set()
    for i in range(3):
        version = reg.alpha.put(path, {"url": f"{URL}/{i}"}).json["version"]
        assert version not in seen
        seen.add(version)
        assert reg.alpha.delete(path).status == 204
    other = reg.alpha.put(entry("alpha", "5678"), {"url": URL}).json["version"]
    assert other > max(seen)
    reg.alpha.delete(entry("alpha", "5678"))


def test_lower_case_spc_is_folded(reg):
    reply = reg.alpha.put(entry("alpha", "vwc55"), {"url": URL})
    assert (reply.status, reply.json["spc"]) == (201, "VWC55")
    assert reply.headers["Location"] == entry("alpha", "VWC55")
    assert reg.alpha.get(entry("alpha", "Vwc55")).status == 200
    assert reg.alpha.delete(entry("alpha", "VWC55")).status == 204


def test_same_url_again_changes_nothing(reg):
    path = entry("alpha", "1234")
    first = reg.alpha.put(path, {"url": URL})
    wait_until(lambda: reg.alpha.get(path).json["publishedSequence"], 10)
    before = reg.alpha.get(path).json, len(audit(reg)), reg.list_token()
    again = reg.alpha.put(path, {"url": URL})
    assert (again.status, again.headers["ETag"]) == (200, first.headers["ETag"])
    assert again.json == before[0]
    with pytest.raises(AssertionError):
        wait_until(lambda: reg.list_token() != before[2], 1.5)
    assert len(audit(reg)) == before[1]
    reg.alpha.delete(path)


def test_get_with_if_none_match_is_304(reg):
    path = entry("alpha", "1234")
    etag = reg.alpha.put(path, {"url": URL}).headers["ETag"]
    reply = reg.alpha.get(path, headers={"If-None-Match": etag})
    assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", etag)
    assert reg.alpha.get(path, headers={"If-None-Match": '"0"'}).status == 200
    reg.alpha.delete(path)


# ---- If-Match ----


def test_if_match(reg):
    path = entry("alpha", "5678")
    for value in ("*", '"1"', '"1", "2"'):
        reply = reg.alpha.put(path, {"url": URL}, headers={"If-Match": value})
        assert (reply.status, reply.code) == (412, "PRECONDITION_FAILED"), value
        assert reg.alpha.delete(path, headers={"If-Match": value}).status == 412
    tag = reg.alpha.put(path, {"url": URL}).headers["ETag"]
    stale = ['"1"', f"W/{tag}", tag.strip('"'), '"*"', '""', "", f'"{tag}"', '"1", "2"', f"{tag[:-1]}", ",,", '"x", *', '*, "x"', "* *"]
    for value in stale:
        assert reg.alpha.put(path, {"url": URL + "/x"}, headers={"If-Match": value}).status == 412, value
        assert reg.alpha.delete(path, headers={"If-Match": value}).status == 412, value
        assert reg.alpha.get(path, headers={"If-Match": value}).status == 412, value
    assert reg.alpha.get(path).json["url"] == URL
    for value in (tag, "*", f'"1" , {tag}'):
        assert reg.alpha.get(path, headers={"If-Match": value}).status == 200, value

    good = reg.alpha.put(path, {"url": URL + "/2"}, headers={"If-Match": f'W/"0", "a,b" ,{tag}'})
    assert good.status == 200
    star = reg.alpha.put(path, {"url": URL + "/3"}, headers={"If-Match": "*"})
    assert star.status == 200
    assert reg.alpha.put(path, {"url": URL}, headers={"If-Match": tag}).status == 412, "the old tag again"
    # the condition comes before "nothing changes"
    assert reg.alpha.put(path, {"url": URL + "/3"}, headers={"If-Match": tag}).status == 412
    assert reg.alpha.delete(path, headers={"If-Match": star.headers["ETag"]}).status == 204


# ---- whose SPC ----


@pytest.mark.parametrize(
    "sp,spc,code",
    [
        ("beta", "9999", "FORBIDDEN"),  # another account
        ("nobody", "1234", "FORBIDDEN"),
        ("alpha", "9999", "SPC_NOT_OWNED"),  # another's SPC
        ("alpha", "0000", "SPC_NOT_OWNED"),  # nobody's SPC
    ],
)
def test_what_is_not_yours_is_403_whoever_owns_it(reg, sp, spc, code):
    for reply in (
        reg.alpha.get(entry(sp, spc)),
        reg.alpha.put(entry(sp, spc), {"url": URL}),
        reg.alpha.put(entry(sp, spc), {"url": URL}, headers={"If-Match": '"1"'}),
        reg.alpha.delete(entry(sp, spc)),
    ):
        assert (reply.status, reply.code) == (403, code)


def test_pa_is_bound_by_ownership_too(reg):
    assert reg.pa.put(entry("alpha", "9999"), {"url": URL}).code == "SPC_NOT_OWNED"
    assert reg.pa.put(entry("nobody", "9999"), {"url": URL}).code == "NOT_FOUND"
    reply = reg.pa.put(entry("beta", "9999"), {"url": URL})
    assert (reply.status, reply.json["updatedBy"]) == (201, reg.pa_user)
    assert reg.pa.delete(entry("beta", "9999")).status == 204


# ---- the list of entries ----


def test_pages(reg):
    spcs = [f"7{i:03d}" for i in range(7)]
    gamma = reg.add_sp("gamma", *spcs, "7999")
    for spc in reversed(spcs):
        assert gamma.put(entry("gamma", spc), {"url": URL}).status == 201
    assert [e["spc"] for e in gamma.get("/api/v1/account/gamma/cps").json["entries"]] == spcs
    seen, after, pages = [], "", 0
    while after is not None:
        query = f"?limit=3&after={after}" if after else "?limit=3"
        page = gamma.get("/api/v1/account/gamma/cps" + query).json
        assert page["status"] == "success" and len(page["entries"]) <= 3
        seen += [e["spc"] for e in page["entries"]]
        after, pages = page.get("next"), pages + 1
    assert (seen, pages) == (spcs, 3)
    assert "next" not in gamma.get("/api/v1/account/gamma/cps?limit=7").json
    first = gamma.get("/api/v1/account/gamma/cps?limit=1").json["entries"][0]
    assert first.keys() == {"spc", "url", "version", "updatedAt", "updatedBy", "publishedSequence"}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=", "limit=1.5", "limit=-1", "after=!", "limit=1&limit=2"])
def test_bad_pages_are_422(reg, query):
    assert reg.alpha.get(f"/api/v1/account/alpha/cps?{query}").code == "INVALID"


def test_entries_of_an_unknown_account(reg):
    assert reg.pa.get("/api/v1/account/nobody/cps").code == "NOT_FOUND"


# ---- accounts ----


def test_account(reg):
    path = "/api/v1/account/delta"
    assert reg.pa.get(path).code == "NOT_FOUND"
    created = reg.pa.put(path, {"name": "Délta Têl"})
    assert (created.status, created.headers["Location"]) == (201, path)
    assert (created.json["sp"], created.json["name"], created.json["state"]) == ("delta", "Délta Têl", "active")
    assert reg.pa.put(path, {"name": "Délta Têl"}).status == 200
    assert reg.pa.put(path, {"name": "Delta"}).json["name"] == "Delta"
    assert reg.pa.get(path).json["name"] == "Delta"
    assert [e["action"] for e in audit(reg, sp="delta")] == ["account.rename", "account.create"]
    assert reg.pa.put("/api/v1/account/nobody/state", {"state": "active"}).code == "NOT_FOUND"


@pytest.mark.parametrize("sp", ["a" * 65, ".hidden", "-x", "_x", "a%20b", "a%00", "%C3%A9", "a;b", "a%2Fb"])
def test_account_ids_are_checked(reg, sp):
    reply = reg.pa.put(f"/api/v1/account/{sp}", {"name": "x"})
    # what decodes to NUL or a slash is no path of ours
    assert reply.status == (404 if sp in ("a%00", "a%2Fb") else 422), reply.body


@pytest.mark.parametrize("sp", ["a" * 64, "A.b_c-d", "7"])
def test_account_ids_at_the_edge(reg, sp):
    assert reg.pa.put(f"/api/v1/account/{sp}", {"name": "x"}).status == 201


# ---- SPCs ----


def test_spc(reg):
    reg.pa.put("/api/v1/account/one", {"name": "One"})
    reg.pa.put("/api/v1/account/two", {"name": "Two"})
    path = "/api/v1/account/one/spc/4444"
    created = reg.pa.put(path)
    assert (created.status, created.json["spc"]) == (201, "4444")
    assert reg.pa.put(path).status == 200
    assert reg.pa.put(path, {}).status == 200
    assert reg.pa.put("/api/v1/account/two/spc/4444").code == "SPC_OWNED_BY_ANOTHER"
    assert reg.pa.put("/api/v1/account/two/spc/4444").status == 409
    assert reg.pa.put("/api/v1/account/two/spc/4444?transfer=false").status == 409
    assert reg.pa.put("/api/v1/account/two/spc/4444?transfer=maybe").status == 422
    assert reg.pa.put("/api/v1/account/none/spc/4444").code == "NOT_FOUND"
    assert reg.pa.put("/api/v1/account/one/spc/444").code == "INVALID"
    assert reg.pa.put("/api/v1/account/one/spc/4445", {"x": 1}).code == "INVALID"
    assert reg.pa.get("/api/v1/account/one").json["spcs"] == ["4444"]

    assert reg.pa.put(entry("one", "4444"), {"url": URL}).status == 201
    moved = reg.pa.put("/api/v1/account/two/spc/4444?transfer=true")
    assert moved.status == 201
    assert reg.pa.get(entry("one", "4444")).code == "SPC_NOT_OWNED"
    assert reg.pa.get(entry("two", "4444")).code == "NOT_FOUND", "the URL went along"
    assert [e["action"] for e in audit(reg, spc="4444")][:3] == ["spc.transfer-in", "spc.transfer-out", "entry.delete"]

    assert reg.pa.put(entry("two", "4444"), {"url": URL}).status == 201
    assert reg.pa.delete("/api/v1/account/one/spc/4444").status == 403
    assert reg.pa.delete("/api/v1/account/two/spc/4444").status == 204
    assert [e["action"] for e in audit(reg, spc="4444")][:2] == ["spc.remove", "entry.delete"]
    assert reg.pa.put("/api/v1/account/one/spc/4444").status == 201
    assert reg.pa.get(entry("one", "4444")).code == "NOT_FOUND", "a new owner starts without a URL"


# ---- users ----


def test_user_without_password_gets_one(reg):
    path = "/api/v1/account/alpha/user/carol"
    created = reg.alpha.put(path, {"role": "sp-viewer"})
    assert created.status == 201
    assert created.json.keys() == {"status", "userId", "role", "sp", "password"}
    assert reg.sign_in("carol", created.json["password"]).get("/api/v1/account/alpha/cps").status == 200
    again = reg.alpha.put(path, {"role": "sp-admin"})
    assert (again.status, again.json["role"]) == (200, "sp-admin")
    assert again.json["password"] != created.json["password"]
    reply = reg.anonymous.post("/api/v1/auth/login", {"userId": "carol", "password": created.json["password"]})
    assert reply.status == 401, "the first one-time password is gone"
    given = reg.alpha.put(path, {"role": "sp-admin", "password": "given by carol"})
    assert "password" not in given.json
    assert reg.sign_in("carol", "given by carol")
    assert reg.alpha.delete(path).status == 204
    assert reg.alpha.delete(path).code == "NOT_FOUND"


def test_user_ids_belong_to_one_account(reg):
    assert reg.beta.put("/api/v1/account/beta/user/shared", {"role": "sp-viewer"}).status == 201
    assert reg.alpha.put("/api/v1/account/alpha/user/shared", {"role": "sp-viewer"}).code == "USER_ID_TAKEN"
    assert reg.pa.put("/api/v1/user/shared", {"role": "pa-admin"}).status == 409
    assert reg.alpha.put(f"/api/v1/account/alpha/user/{reg.pa_user}", {"role": "sp-admin"}).status == 409
    assert reg.alpha.delete("/api/v1/account/alpha/user/shared").status == 404
    assert reg.pa.delete("/api/v1/user/shared").status == 404
    assert reg.pa.put("/api/v1/account/none/user/x", {"role": "sp-admin"}).code == "NOT_FOUND"


@pytest.mark.parametrize(
    "path,body,pointer",
    [
        ("/api/v1/account/alpha/user/x", {"role": "pa-admin"}, "/role"),
        ("/api/v1/account/alpha/user/x", {"role": "root"}, "/role"),
        ("/api/v1/user/x", {"role": "sp-admin"}, "/role"),
        ("/api/v1/user/x", {"role": "pa-admin", "password": "short"}, "/password"),
        ("/api/v1/user/x", {"role": "pa-admin", "password": "x" * 257}, "/password"),
        ("/api/v1/user/x", {"role": "pa-admin", "password": None}, "/password"),
        ("/api/v1/user/x", {}, "/role"),
        ("/api/v1/user/x%20y", {"role": "pa-admin"}, "/userId"),
    ],
)
def test_bad_users_are_422(reg, path, body, pointer):
    reply = reg.pa.put(path, body)
    assert reply.code == "INVALID"
    assert [e["pointer"] for e in reply.json["errors"]] == [pointer]


def test_the_last_admin_stays(reg):
    assert reg.pa.delete(f"/api/v1/user/{reg.pa_user}").code == "LAST_ADMIN"
    reply = reg.pa.put(f"/api/v1/user/{reg.pa_user}", {"role": "pa-auditor"})
    assert (reply.status, reply.code) == (409, "LAST_ADMIN")
    second = user(reg, "second-admin", "pa-admin")
    assert second.delete("/api/v1/user/second-admin").status == 204


# ---- audit ----


def test_audit_says_who_what_when_from_where(reg):
    reg.alpha.put(entry("alpha", "1234"), {"url": URL})
    reg.alpha.delete(entry("alpha", "1234"))
    deleted, put = audit(reg, spc="1234")[:2]
    assert (put["action"], put["userId"], put["address"], put["sp"]) == ("entry.put", "alpha-admin", "127.0.0.1", "alpha")
    assert put["detail"]["url"] == URL
    assert (deleted["action"], deleted["detail"]["was"]) == ("entry.delete", URL)
    assert deleted["at"].endswith("Z")


def test_an_account_sees_its_own_trail_only(reg):
    for api in (reg.alpha, reg.viewer):
        events = api.get("/api/v1/audit?limit=1000").json["events"]
        assert events and {e["sp"] for e in events} == {"alpha"}
    assert {e["sp"] for e in reg.auditor.get("/api/v1/audit?limit=1000").json["events"]} >= {"alpha", "beta", None}


def test_audit_pages(reg):
    whole = [e["id"] for e in reg.pa.get("/api/v1/audit?limit=1000").json["events"]]
    seen, query = [], "?limit=7"
    while query:
        page = reg.pa.get("/api/v1/audit" + query).json
        seen += [e["id"] for e in page["events"]]
        query = f"?limit=7&after={page['next']}" if "next" in page else None
    assert seen == whole == sorted(whole, reverse=True)


@pytest.mark.parametrize("account,most", [("beta", 50), (None, 250)])
def test_a_page_of_a_long_trail_reads_few_rows(reg, account, most):
    """However long the trail, also once PostgreSQL has settled for one plan (after five calls)."""
    reg.database.query("INSERT INTO audit (user_id, action, sp) SELECT 'x', 'test', 'alpha' FROM generate_series(1, 5000)")
    reg.database.query("ANALYZE audit")
    with reg.database.connect() as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("SELECT s.sid FROM session s JOIN account_user u USING (user_id) "
                       "WHERE u.sp IS NOT DISTINCT FROM %s AND role IN ('pa-admin', 'sp-admin')", (account,))
        sid = cursor.fetchone()[0]
        cursor.execute("PREPARE page AS SELECT outcome, body::text FROM audit_list($1, 200, NULL)")
        for _ in range(10):
            before = rows_read(cursor)
            cursor.execute("EXECUTE page (%s)", (sid,))
            outcome, body = cursor.fetchone()
            assert outcome == "OK" and '"events"' in body
        assert 0 < rows_read(cursor) - before <= most


def rows_read(cursor):
    cursor.execute("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'audit'")
    return cursor.fetchone()[0]


def test_the_trail_cannot_be_rewritten(reg):
    import psycopg2

    for statement in ("DELETE FROM audit", "UPDATE audit SET user_id = 'x'", "TRUNCATE audit", "DELETE FROM publication"):
        with pytest.raises(psycopg2.Error):
            reg.database.query(statement)
