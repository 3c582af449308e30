"""API keys: made, listed, revoked; what each scope opens and everything else it does not; addresses, expiry, races."""

import hashlib
import http.client
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from lib.net import free_port, wait_until

URL = {"url": "https://cps.example.com/cps/company/1234"}
ALPHA = "/api/v1/account/alpha/key"
PA = "/api/v1/key"
ENTRY = "/api/v1/account/alpha/cps/1234"
FORM = re.compile(r"sticps_([0-9a-f]{12})_[0-9a-f]{64}")


@pytest.fixture(scope="module")
def reg(registry):
    one = registry()
    one.alpha = one.add_sp("alpha", "1234", "5678")
    one.beta = one.add_sp("beta", "9999")
    one.viewer = user(one, "alpha-viewer", "sp-viewer", "alpha")
    one.auditor = user(one, "auditor", "pa-auditor")
    assert one.alpha.put(ENTRY, URL).status == 201
    return one


def user(reg, name, role, sp=None):
    path = f"/api/v1/account/{sp}/user/{name}" if sp else f"/api/v1/user/{name}"
    reply = reg.pa.put(path, {"role": role})
    assert reply.status == 201, reply.body
    return reg.sign_in(name, reply.json["password"])


def make(api, path, *scopes, **more):
    reply = api.post(path, {"name": "a machine", "scopes": list(scopes), **more})
    assert reply.status == 201, (reply.status, reply.body)
    return reply.json


def key_api(reg, path, *scopes, **more):
    """An Api that uses a fresh key; .id is the key's."""
    made = make(reg.pa, path, *scopes, **more)
    api = reg.anonymous.with_token(made["key"])
    api.id = made["id"]
    return api


def events(reg, action):
    return [e for e in reg.pa.get("/api/v1/audit?limit=1000").json["events"] if e["action"] == action]


# ---- making, listing, revoking ----


def test_a_key_is_shown_once_and_only_its_hash_is_kept(reg):
    reply = reg.alpha.post(ALPHA, {"name": "nightly sync", "scopes": ["write", "read"], "expiresIn": 86400,
                                   "addresses": ["127.0.0.0/8", "2001:DB8::1"]})
    body = reply.json
    assert reply.status == 201 and reply.headers["Cache-Control"] == "no-store"
    assert body.keys() == {"status", "id", "sp", "name", "scopes", "addresses", "createdAt", "createdBy",
                           "expiresAt", "lastUsedAt", "key"}
    assert FORM.fullmatch(body["key"])[1] == body["id"]
    assert reply.headers["Location"] == f"{ALPHA}/{body['id']}"
    assert (body["sp"], body["name"], body["scopes"]) == ("alpha", "nightly sync", ["write", "read"])
    assert body["addresses"] == ["127.0.0.0/8", "2001:db8::1/128"]
    assert (body["createdBy"], body["lastUsedAt"]) == ("alpha-admin", None)
    assert body["expiresAt"] > body["createdAt"]
    listed = reg.alpha.get(ALPHA).json["keys"]
    assert [k for k in listed if k["id"] == body["id"]] == [
        {k: v for k, v in body.items() if k not in ("status", "key")}]
    (kept,) = reg.database.query("SELECT hash FROM api_key WHERE id = %s", (body["id"],))[0]
    assert bytes(kept) == hashlib.sha256(body["key"].encode()).digest()
    secret = body["key"][-64:]
    for table in ("api_key", "audit"):
        assert secret not in repr(reg.database.query(f"SELECT to_json(t)::text FROM {table} t"))
    assert reg.anonymous.get(ENTRY, token=body["key"]).status == 200
    assert secret not in reg.log_text()


def test_without_expiry_and_addresses_a_key_is_good_for_ever_from_everywhere(reg):
    body = make(reg.pa, PA, "history")
    assert (body["sp"], body["expiresAt"], body["addresses"]) == (None, None, [])
    assert body["id"] in [k["id"] for k in reg.pa.get(PA).json["keys"]]


@pytest.mark.parametrize("path,scopes", [(ALPHA, ["read"]), (PA, ["history"])])
def test_making_and_revoking_is_audited_with_the_id_and_never_the_key(reg, path, scopes):
    body = make(reg.pa, path, *scopes, addresses=["192.0.2.1"], expiresIn=60)
    event = events(reg, "key.create")[0]
    assert (event["userId"], event["sp"], event["address"]) == (reg.pa_user, body["sp"], "127.0.0.1")
    assert event["detail"] == {"id": body["id"], "name": "a machine", "scopes": scopes,
                               "addresses": ["192.0.2.1/32"], "expiresAt": body["expiresAt"]}
    assert reg.pa.delete(f"{path}/{body['id']}").status == 204
    event = events(reg, "key.revoke")[0]
    assert (event["sp"], event["detail"]) == (body["sp"], {"id": body["id"], "name": "a machine"})
    again = reg.pa.delete(f"{path}/{body['id']}")
    assert (again.status, again.code) == (404, "NOT_FOUND")


@pytest.mark.parametrize("who,of_alpha,of_pa,seen", [
    ("pa", True, True, (200, 200)),
    ("auditor", False, False, (200, 200)),
    ("alpha", True, False, (200, 403)),
    ("viewer", False, False, (200, 403)),
    ("beta", False, False, (403, 403)),
])
def test_who_may_make_see_and_revoke_keys(reg, who, of_alpha, of_pa, seen):
    api = getattr(reg, who)
    assert (api.get(ALPHA).status, api.get(PA).status) == seen
    for path, scope, may in ((ALPHA, "read", of_alpha), (PA, "publish", of_pa)):
        reply = api.post(path, {"name": "x", "scopes": [scope]})
        assert reply.status == (201 if may else 403)
        key = reply.json["id"] if may else make(reg.pa, path, scope)["id"]
        assert api.delete(f"{path}/{key}").status == (204 if may else 403)
        assert reg.pa.delete(f"{path}/{key}").status == (404 if may else 204)


@pytest.mark.parametrize("method,path", [("GET", ALPHA), ("POST", ALPHA), ("DELETE", f"{ALPHA}/{'0' * 12}"),
                                         ("GET", PA), ("POST", PA), ("DELETE", f"{PA}/{'0' * 12}")])
def test_nobody_without_a_session_gets_near_them(reg, method, path):
    assert reg.anonymous.request(method, path).code == "UNAUTHENTICATED"


def test_a_key_is_found_only_where_it_belongs(reg):
    key = make(reg.pa, ALPHA, "read")["id"]
    assert reg.pa.delete(f"{PA}/{key}").status == 404
    assert reg.pa.delete(f"/api/v1/account/beta/key/{key}").status == 404
    assert reg.beta.delete(f"/api/v1/account/beta/key/{key}").status == 404
    assert key not in repr(reg.pa.get("/api/v1/account/beta/key").json)
    assert reg.alpha.delete(f"{ALPHA}/{key}").status == 204


def test_an_account_that_is_none(reg):
    path = "/api/v1/account/nobody/key"
    assert reg.pa.post(path, {"name": "x", "scopes": ["read"]}).status == 404
    assert reg.pa.get(path).status == 404
    assert reg.pa.delete(f"{path}/{'0' * 12}").status == 404
    assert reg.alpha.get(path).code == "FORBIDDEN"


BAD_BODIES = [
    ({}, ["/name", "/scopes"]),
    ({"name": "x", "scopes": ["read"], "key": "mine"}, ["/key"]),
    ({"name": "", "scopes": ["read"]}, ["/name"]),
    ({"name": "x" * 101, "scopes": ["read"]}, ["/name"]),
    ({"name": "a\u0007b", "scopes": ["read"]}, ["/name"]),
    ({"name": 1, "scopes": "read"}, ["/name", "/scopes"]),
    ({"name": "x", "scopes": []}, ["/scopes"]),
    ({"name": "x", "scopes": ["read", "users", 5]}, ["/scopes/1", "/scopes/2"]),
    ({"name": "x", "scopes": ["publish"]}, ["/scopes/0"]),
    ({"name": "x", "scopes": ["Read"]}, ["/scopes/0"]),
    ({"name": "x", "scopes": ["read\u0000"]}, None),
    ({"name": "x", "scopes": ["read", "write", "read"]}, ["/scopes/2"]),
    ({"name": "x", "scopes": ["read"] * 4}, ["/scopes"]),
    ({"name": "x", "scopes": ["read"], "addresses": "10.0.0.0/8"}, ["/addresses"]),
    ({"name": "x", "scopes": ["read"], "addresses": ["10.0.0.1/8", "::ffff:10.0.0.1", "localhost", None]},
     ["/addresses/0", "/addresses/1", "/addresses/2", "/addresses/3"]),
    ({"name": "x", "scopes": ["read"], "addresses": ["10.0.0.1", "10.0.0.1/32"]}, ["/addresses/1"]),
    ({"name": "x", "scopes": ["read"], "addresses": [f"10.0.0.{i}" for i in range(33)]}, ["/addresses"]),
    ({"name": "x", "scopes": ["read"], "expiresIn": 0}, ["/expiresIn"]),
    ({"name": "x", "scopes": ["read"], "expiresIn": 315360001}, ["/expiresIn"]),
    ({"name": "x", "scopes": ["read"], "expiresIn": 1.5}, ["/expiresIn"]),
    ({"name": "x", "scopes": ["read"], "expiresIn": "60"}, ["/expiresIn"]),
]


@pytest.mark.parametrize("body,pointers", BAD_BODIES)
def test_bad_bodies_name_each_fault(reg, body, pointers):
    reply = reg.alpha.post(ALPHA, body)
    if pointers is None:  # a NUL is refused by the reader of JSON
        assert reply.status == 400
        return
    assert (reply.status, reply.code) == (422, "INVALID")
    assert sorted(e["pointer"] for e in reply.json["errors"]) == pointers


def test_other_bad_requests(reg):
    json = {"Content-Type": "application/json"}
    assert reg.alpha.post(ALPHA, body="{", headers=json).code == "NOT_JSON"
    assert reg.alpha.post(ALPHA, body="[]", headers=json).status == 422
    assert reg.alpha.post(ALPHA, body="{}", headers={"Content-Type": "text/plain"}).status == 415
    assert reg.alpha.post(ALPHA, body="x" * 70000, headers=json).status == 413
    assert reg.pa.post(PA, {"name": "x", "scopes": ["read"]}).json["errors"][0]["pointer"] == "/scopes/0"
    for bad in ("0" * 11, "0" * 13, "ABCDEF012345", "x"):
        assert reg.alpha.delete(f"{ALPHA}/{bad}").json["errors"][0]["pointer"] == "/keyId"
    assert reg.alpha.get(f"{ALPHA}/{'0' * 12}").status == 405
    assert reg.pa.get("/api/v1/account/-/key").json["errors"][0]["pointer"] == "/sp"


def test_an_owner_has_fifty_keys_at_most_even_when_asked_at_once(reg):
    gamma = reg.add_sp("gamma")
    path = "/api/v1/account/gamma/key"
    for _ in range(45):
        make(gamma, path, "read")
    reg.database.query("UPDATE api_key SET expires_at = now() WHERE sp = 'gamma'")
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: gamma.post(path, {"name": "x", "scopes": ["read"]}), range(8)))
    assert sorted(r.status for r in replies) == [201] * 5 + [409] * 3
    assert {r.code for r in replies if r.status == 409} == {"TOO_MANY_KEYS"}
    assert gamma.delete(f"{path}/{gamma.get(path).json['keys'][0]['id']}").status == 204
    assert gamma.post(path, {"name": "x", "scopes": ["read"]}).status == 201
    assert reg.alpha.post(ALPHA, {"name": "x", "scopes": ["read"]}).status == 201


# ---- what a key may do ----

JSON_URL = {"json": URL}
BULK = {"json": {"cpsMapping": {"1234": URL["url"]}}}
ROUTES = [
    # method, path, what to send, the scopes of alpha's keys that open it, those of the STI-PA's keys
    ("GET", "/api/v1/account/alpha/cps", {}, {"read"}, set()),
    ("GET", "/api/v1/account/alpha/cps?format=rfc9888", {}, {"read"}, set()),
    ("GET", "/api/v1/account/alpha/cps?format=csv", {}, {"read"}, set()),
    ("PUT", "/api/v1/account/alpha/cps", BULK, {"write"}, set()),
    ("PUT", "/api/v1/account/alpha/cps?dryRun=true", BULK, {"write"}, set()),
    ("GET", ENTRY, {}, {"read"}, set()),
    ("PUT", ENTRY, JSON_URL, {"write"}, set()),
    ("DELETE", "/api/v1/account/alpha/cps/5678", {}, {"write"}, set()),
    ("GET", "/api/v1/account/alpha", {}, set(), set()),
    ("PUT", "/api/v1/account/alpha", {"json": {"name": "x"}}, set(), set()),
    ("PUT", "/api/v1/account/alpha/state", {"json": {"state": "active"}}, set(), set()),
    ("PUT", "/api/v1/account/alpha/spc/1234", {}, set(), set()),
    ("DELETE", "/api/v1/account/alpha/spc/1234", {}, set(), set()),
    ("PUT", "/api/v1/account/alpha/user/new", {"json": {"role": "sp-viewer"}}, set(), set()),
    ("DELETE", "/api/v1/account/alpha/user/alpha-admin", {}, set(), set()),
    ("PUT", "/api/v1/user/new", {"json": {"role": "pa-auditor"}}, set(), set()),
    ("DELETE", "/api/v1/user/auditor", {}, set(), set()),
    ("GET", ALPHA, {}, set(), set()),
    ("POST", ALPHA, {"json": {"name": "x", "scopes": ["read"]}}, set(), set()),
    ("DELETE", f"{ALPHA}/{'0' * 12}", {}, set(), set()),
    ("GET", PA, {}, set(), set()),
    ("POST", PA, {"json": {"name": "x", "scopes": ["publish"]}}, set(), set()),
    ("DELETE", f"{PA}/{'0' * 12}", {}, set(), set()),
    ("GET", "/api/v1/audit", {}, {"history"}, {"history"}),
    ("GET", "/api/v1/spc/1234/history", {}, {"history"}, {"history"}),
    ("GET", "/api/v1/publications", {}, set(), {"history"}),
    ("POST", "/api/v1/publications", {}, set(), {"publish"}),
    ("POST", "/api/v1/auth/logout", {}, set(), set()),
]
OWN = {"read", "write", "history"}


def of_alpha(path):
    return path.startswith(("/api/v1/account/alpha/cps", "/api/v1/spc/1234"))


@pytest.fixture(scope="module")
def keys(reg):
    """Every scope alone, and all of one owner together: (owner, scopes) → Api."""
    made = {}
    for owner, path, scopes in (("alpha", ALPHA, OWN), ("beta", "/api/v1/account/beta/key", OWN),
                                ("pa", PA, {"history", "publish"})):
        for some in [{s} for s in sorted(scopes)] + [scopes]:
            made[owner, frozenset(some)] = key_api(reg, path, *sorted(some))
    return made


@pytest.mark.parametrize("method,path,send,own,pa", ROUTES, ids=[f"{r[0]} {r[1]}" for r in ROUTES])
def test_each_scope_opens_its_routes_and_no_other(reg, keys, method, path, send, own, pa):
    for (owner, scopes), api in keys.items():
        # alpha's data is not beta's; what is no account's own is answered for beta's account
        opens = {"alpha": own, "beta": set() if of_alpha(path) else own, "pa": pa}[owner]
        reply = api.request(method, path, **send)
        what = (owner, sorted(scopes), reply.status, reply.body)
        if opens & scopes:
            assert reply.status in (200, 201, 202, 204, 404), what
            continue
        assert reply.status == 403, what
        if owner == "alpha" and own:
            assert reply.code == "SCOPE_MISSING", what
            assert f"the scope {min(own)}" in reply.json["detail"]
        elif owner == "pa" and pa:
            assert reply.code == "SCOPE_MISSING", what
        elif not (owner == "beta" and own):
            assert reply.code == "FORBIDDEN", what


def test_what_is_not_there_and_what_is_wrong_is_said_as_to_anybody(reg):
    api = key_api(reg, ALPHA, "read", "write")
    assert api.get("/api/v1/account/alpha/cps/9999").code == "SPC_NOT_OWNED"
    assert api.put("/api/v1/account/alpha/cps/9999", URL).code == "SPC_NOT_OWNED"
    assert api.put(ENTRY, {"url": "http://x"}).status == 422
    assert api.put(ENTRY, body="{", headers={"Content-Type": "application/json"}).status == 400
    assert api.put(ENTRY, URL, headers={"If-Match": '"0"'}).status == 412
    assert api.get("/api/v1/account/alpha/cps?limit=0").status == 422
    assert api.get("/api/v1/account/alpha/cps/5678").code == "NOT_FOUND"


def test_what_a_key_does_stands_under_its_name(reg):
    api = key_api(reg, ALPHA, "write", "history")
    reply = api.put(ENTRY, {"url": "https://cps.example.com/by-key"})
    name = f"key:{api.id}"
    assert reply.json["updatedBy"] == name
    assert events(reg, "entry.put")[0]["userId"] == name
    assert api.get("/api/v1/audit?limit=1").json["events"][0]["userId"] == name
    assert api.put("/api/v1/account/alpha/cps", BULK["json"]).json["changed"] == 1
    assert events(reg, "entry.put")[0]["userId"] == name
    assert api.delete(ENTRY).status == 204
    assert events(reg, "entry.delete")[0]["userId"] == name
    reg.alpha.put(ENTRY, URL)
    publisher = key_api(reg, PA, "publish")
    assert publisher.post("/api/v1/publications").status == 202
    assert events(reg, "publication.request")[0]["userId"] == f"key:{publisher.id}"


def test_a_key_sees_of_the_history_what_its_account_sees(reg):
    beta = key_api(reg, "/api/v1/account/beta/key", "history")
    assert {e["sp"] for e in beta.get("/api/v1/audit?limit=1000").json["events"]} == {"beta"}
    pa = key_api(reg, PA, "history")
    assert {"alpha", "beta", None} <= {e["sp"] for e in pa.get("/api/v1/audit?limit=1000").json["events"]}


def test_the_bare_key_is_taken_as_the_bare_token_is(reg):
    token = make(reg.pa, ALPHA, "read")["key"]
    for value in (token, f"bearer {token}", f"Bearer {token}"):
        assert reg.anonymous.get(ENTRY, headers={"Authorization": value}).status == 200


# ---- what is no key, or none any more ----


def test_no_way_to_tell_whether_a_key_ever_existed(reg):
    good = make(reg.pa, ALPHA, "read")
    expired = make(reg.pa, ALPHA, "read", expiresIn=3600)
    reg.database.query("UPDATE api_key SET expires_at = now() WHERE id = %s", (expired["id"],))
    revoked = make(reg.pa, ALPHA, "read")
    reg.pa.delete(f"{ALPHA}/{revoked['id']}")
    changed = good["key"][:-1] + ("0" if good["key"][-1] != "0" else "1")
    tokens = [expired["key"], revoked["key"], changed, f"sticps_{'0' * 12}_{'0' * 64}", good["key"][:-1],
              good["key"] + "0", good["key"].upper(), "sticps_" + good["id"], "sticps_", good["key"].replace("_", "-"),
              f"sticps_{good['id']}_{hashlib.sha256(good['key'].encode()).hexdigest()}"]
    said = set()
    for token in tokens:
        if not token.startswith("sticps_"):
            assert reg.anonymous.get(ENTRY, token=token).status == 401
            continue
        for method, path, kw in (("GET", ENTRY, {}), ("PUT", ENTRY, JSON_URL), ("PUT", ENTRY, {"json": {}}),
                                 ("GET", "/api/v1/account/nobody/cps", {}), ("POST", "/api/v1/auth/logout", {})):
            reply = reg.anonymous.request(method, path, token=token, **kw)
            assert (reply.status, reply.code) == (401, "UNAUTHENTICATED"), token
            assert reply.headers["WWW-Authenticate"].startswith("Bearer")
            said.add(reply.json["detail"])
    assert said == {"the API key is not valid"}


def test_other_credentials_do_not_pass_for_a_key(reg):
    """Nothing that stands in the database, or that a client may send, is taken in the place of a key."""
    made = make(reg.pa, ALPHA, "read")
    (caller, digest) = reg.database.query(
        "SELECT caller::text, encode(hash, 'hex') FROM api_key WHERE id = %s", (made["id"],))[0]
    for token in (caller, digest, f"key \\x{digest} 127.0.0.1", "00000000-0000-0000-0000-000000000001"):
        assert reg.anonymous.get(ENTRY, token=token).status == 401, token
    assert reg.anonymous.post("/api/v1/auth/token", {"refreshToken": made["key"]}).status == 401
    login = {"userId": f"key:{made['id']}", "password": made["key"]}
    assert reg.anonymous.post("/api/v1/auth/login", login).status == 401


def test_a_key_ends_at_its_time(reg):
    api = key_api(reg, ALPHA, "read", expiresIn=2)
    assert api.get(ENTRY).status == 200
    wait_until(lambda: api.get(ENTRY).status == 401, 10)
    assert reg.pa.delete(f"{ALPHA}/{api.id}").status == 204


def test_keys_of_a_suspended_account_stop_and_come_back(reg):
    delta = reg.add_sp("delta", "4444")
    api = key_api(reg, "/api/v1/account/delta/key", "read", "write", "history")
    path = "/api/v1/account/delta/cps/4444"
    assert api.put(path, URL).status == 201
    assert reg.pa.put("/api/v1/account/delta/state", {"state": "suspended"}).status == 200
    for method, target, kw in (("GET", path, {}), ("PUT", path, JSON_URL), ("PUT", path, {"json": {}}),
                               ("GET", "/api/v1/audit", {}), ("POST", "/api/v1/auth/logout", {})):
        assert api.request(method, target, **kw).code == "ACCOUNT_SUSPENDED", (method, target)
    assert delta.post("/api/v1/account/delta/key", {"name": "x", "scopes": ["read"]}).code == "ACCOUNT_SUSPENDED"
    assert reg.pa.put("/api/v1/account/delta/state", {"state": "active"}).status == 200
    assert api.get(path).status == 200


def test_a_key_outlives_the_user_who_made_it(reg):
    admin = user(reg, "leaver", "sp-admin", "alpha")
    token = make(admin, ALPHA, "read")["key"]
    assert reg.pa.delete("/api/v1/account/alpha/user/leaver").status == 204
    assert reg.anonymous.get(ENTRY, token=token).status == 200


# ---- addresses ----


def get_from(reg, source, token, path=ENTRY, host="127.0.0.1", port=None):
    connection = http.client.HTTPSConnection(host, port or reg.port, timeout=15, source_address=(source, 0),
                                             context=reg.anonymous._tls)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, data


def test_a_key_with_addresses_is_taken_from_these_alone(reg):
    token = make(reg.pa, ALPHA, "read", addresses=["127.0.0.8/31", "192.0.2.0/24", "::1"])["key"]
    assert [get_from(reg, f"127.0.0.{i}", token)[0] for i in (7, 8, 9, 10)] == [403, 200, 200, 403]
    for path in (ENTRY, "/api/v1/audit", "/api/v1/account/alpha/cps/12", "/api/v1/account/beta/cps", PA):
        status, body = get_from(reg, "127.0.0.1", token, path)
        assert status == 403 and b'"ADDRESS_NOT_ALLOWED"' in body, path
    # of a key that is none, nobody hears of addresses
    reg.database.query("UPDATE api_key SET expires_at = now() WHERE hash = %s", (hashlib.sha256(token.encode()).digest(),))
    assert get_from(reg, "127.0.0.1", token)[0] == 401


def test_what_the_client_says_about_its_address_does_not_count(reg):
    token = make(reg.pa, ALPHA, "read", addresses=["192.0.2.1"])["key"]
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        reply = reg.anonymous.get(ENTRY, token=token, headers={header: "192.0.2.1"})
        assert reply.code == "ADDRESS_NOT_ALLOWED"


def test_whom_a_trusted_proxy_names_is_the_one_who_counts(registry):
    one = registry(proxy={"trusted": ["127.0.0.1"]})
    one.add_sp("alpha", "1234")
    key = make(one.pa, ALPHA, "read", addresses=["192.0.2.0/24"])["key"]
    path = "/api/v1/account/alpha/cps"
    seen = {name: one.anonymous.get(path, token=key, headers={"X-Forwarded-For": name}).status
            for name in ("192.0.2.7", "198.51.100.7", "192.0.2.7, 198.51.100.7")}
    assert seen == {"192.0.2.7": 200, "198.51.100.7": 403, "192.0.2.7, 198.51.100.7": 403}


def test_addresses_of_version_6(registry):
    port, port6 = free_port(), free_port()
    one = registry(start=False)
    one.reconfigure(listen=[f"127.0.0.1:{one.port}", f"[::1]:{port6}", f"[::ffff:127.0.0.1]:{port}"])
    one.init()
    one.start()
    one.add_sp("alpha", "1234")
    keys = {a: make(one.pa, ALPHA, "read", addresses=[a])["key"] for a in ("::1", "::/0", "127.0.0.1", "2001:db8::/32")}
    path = "/api/v1/account/alpha/cps"
    seen6 = {a: get_from(one, "::1", t, path, "::1", port6)[0] for a, t in keys.items()}
    assert seen6 == {"::1": 200, "::/0": 200, "127.0.0.1": 403, "2001:db8::/32": 403}
    # IPv4 over an IPv6 socket is IPv4
    seen4 = {a: get_from(one, "127.0.0.1", t, path, "127.0.0.1", port)[0] for a, t in keys.items()}
    assert seen4 == {"::1": 403, "::/0": 403, "127.0.0.1": 200, "2001:db8::/32": 403}


# ---- last use ----


def last_used(reg, api):
    return reg.database.query("SELECT last_used_at FROM api_key WHERE id = %s", (api.id,))[0][0]


def test_the_last_use_is_noted_now_and_then(reg):
    api = key_api(reg, ALPHA, "read")
    assert last_used(reg, api) is None
    api.get(ENTRY)
    first = last_used(reg, api)
    assert first is not None
    assert [k for k in reg.alpha.get(ALPHA).json["keys"] if k["id"] == api.id][0]["lastUsedAt"] is not None
    for _ in range(3):
        api.get(ENTRY)
    assert last_used(reg, api) == first
    reg.database.query("UPDATE api_key SET last_used_at = now() - interval '11 minutes' WHERE id = %s", (api.id,))
    api.get("/api/v1/account/beta/cps")  # a use, though it is refused
    assert last_used(reg, api) > first


def test_noting_the_use_waits_for_nobody(reg):
    api = key_api(reg, ALPHA, "read")
    held = reg.database.connect()
    held.autocommit = False
    held.cursor().execute("SELECT 1 FROM api_key WHERE id = %s FOR UPDATE", (api.id,))
    try:
        assert api.get(ENTRY).status == 200
        assert last_used(reg, api) is None
    finally:
        held.rollback()
        held.close()


def test_a_use_from_elsewhere_is_none(reg):
    api = key_api(reg, ALPHA, "read", addresses=["192.0.2.1"])
    assert api.get(ENTRY).status == 403
    assert last_used(reg, api) is None


# ---- revoked while in use, and on several nodes ----


@pytest.fixture(scope="module")
def second(reg, registry):
    other = registry(database=reg.database, start=False)
    other.reconfigure(base_url=reg.base_url)
    other.start()
    return other


def test_a_revoked_key_is_out_at_once_on_every_node(reg, second):
    for _ in range(10):
        api = key_api(reg, ALPHA, "read")
        on_second = second.anonymous.with_token(api.token)
        assert (api.get(ENTRY).status, on_second.get(ENTRY).status) == (200, 200)
        assert reg.alpha.delete(f"{ALPHA}/{api.id}").status == 204
        assert (on_second.get(ENTRY).status, api.get(ENTRY).status) == (401, 401)


def test_revoked_while_in_use_nothing_is_done_after_the_answer(reg, second):
    api = key_api(reg, ALPHA, "write")
    done, revoked_at = [], []

    def write(node, i):
        session = node.anonymous.with_token(api.token).session()
        n = 0
        while True:
            started = time.monotonic()
            reply = session.put(ENTRY, {"url": f"https://cps.example.com/{i}/{n}"})
            n += 1
            done.append((started, reply.status))
            if reply.status != 200:
                session.close()
                return reply

    with ThreadPoolExecutor(5) as pool:
        writers = [pool.submit(write, node, i) for i, node in enumerate((reg, second, reg, second))]
        wait_until(lambda: len(done) > 40, 20)
        assert reg.alpha.delete(f"{ALPHA}/{api.id}").status == 204
        revoked_at.append(time.monotonic())
        last = [w.result(20) for w in writers]
    assert {r.status for r in last} == {401}
    assert [s for started, s in done if started > revoked_at[0] and s != 401] == []
    assert [s for _, s in done].count(401) == 4
    # every change that was acknowledged is in the trail, and none besides
    assert len(reg.database.query("SELECT 1 FROM audit WHERE user_id = %s", (f"key:{api.id}",))) == [
        s for _, s in done].count(200)


def test_suspending_stops_keys_on_every_node(reg, second):
    reg.add_sp("epsilon", "5555")
    api = key_api(reg, "/api/v1/account/epsilon/key", "read")
    path = "/api/v1/account/epsilon/cps"
    assert second.anonymous.get(path, token=api.token).status == 200
    reg.pa.put("/api/v1/account/epsilon/state", {"state": "suspended"})
    assert second.anonymous.get(path, token=api.token).status == 403


# ---- lists that are not public, limits ----


def test_a_list_that_is_not_public_is_open_to_every_key(registry):
    one = registry(list={"public": False})
    one.add_sp("alpha", "1234")
    path = "/download/v1/cps-list"
    assert one.anonymous.get(path).status == 401
    alpha, pa = make(one.pa, ALPHA, "write"), make(one.pa, PA, "publish")
    away = make(one.pa, ALPHA, "read", addresses=["192.0.2.1"])
    assert [one.anonymous.get(path, token=k["key"]).status for k in (alpha, pa, away)] == [200, 200, 403]
    one.pa.put("/api/v1/account/alpha/state", {"state": "suspended"})
    assert one.anonymous.get(path, token=alpha["key"]).code == "ACCOUNT_SUSPENDED"
    one.pa.put("/api/v1/account/alpha/state", {"state": "active"})
    one.pa.delete(f"{ALPHA}/{alpha['id']}")
    assert one.anonymous.get(path, token=alpha["key"]).status == 401


def test_writes_by_key_count_for_the_account_and_refused_ones_do_not(registry):
    one = registry(limits={"writes_per_second": 1, "writes_burst": 5})
    one.add_sp("alpha", "1234")
    one.add_sp("beta", "9999")
    reader, away = key_api(one, ALPHA, "read"), key_api(one, ALPHA, "write", addresses=["192.0.2.1"])
    beta, writer = key_api(one, "/api/v1/account/beta/key", "write"), key_api(one, ALPHA, "write")
    for api, code in ((reader, "SCOPE_MISSING"), (away, "ADDRESS_NOT_ALLOWED"), (beta, "FORBIDDEN")):
        assert {api.put(ENTRY, URL).code for _ in range(12)} == {code}
    seen = [writer.put(ENTRY, URL).status for _ in range(12)]
    assert seen[:5] == [201, 200, 200, 200, 200] and 429 in seen[5:]


def test_nothing_of_it_was_an_internal_error(reg):
    assert '"status":500' not in reg.log_text()
    assert '"level":"error"' not in reg.log_text()
