"""Signing in, tokens, sessions: PROTOCOL section 3. Tokens are forged and judged with PyJWT, never with our code."""

import http.client
import json
import time
import uuid

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from lib.net import wait_until
from lib.passport import b64url, b64url_decode

LOGIN = "/api/v1/auth/login"
OWN = "/api/v1/account/alpha/cps"


@pytest.fixture(scope="module")
def reg(registry):
    one = registry(session={"access_lifetime": 600})
    one.alpha = one.add_sp("alpha", "1234")
    return one


def add_user(reg, user, role="sp-admin", sp="alpha", password="correct horse battery"):
    path = f"/api/v1/account/{sp}/user/{user}" if sp else f"/api/v1/user/{user}"
    reply = reg.pa.put(path, {"role": role, "password": password})
    assert reply.status == 201, reply.body
    return user, password


def login(reg, user, password):
    return reg.anonymous.post(LOGIN, {"userId": user, "password": password})


def login_from(reg, address, user, password):
    """(status, headers, body) of a sign-in from another loopback address."""
    tls = reg.anonymous._tls
    connection = http.client.HTTPSConnection(
        "127.0.0.1", reg.port, timeout=15, context=tls, source_address=(address, 0)
    )
    body = json.dumps({"userId": user, "password": password})
    connection.request("POST", LOGIN, body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, reply.headers, data


# ---- what a sign-in gives ----


def test_login_answers_exactly_four_members(reg):
    reply = login(reg, reg.pa_user, reg.pa_password)
    assert reply.status == 200
    assert reply.json.keys() == {"status", "accessToken", "refreshToken", "expiresIn"}
    assert reply.json["status"] == "success"
    assert reply.json["expiresIn"] == 600
    assert reply.headers["Cache-Control"] == "no-store"


def test_access_token_is_hs256_with_the_claims_of_a_session(reg):
    token = login(reg, *add_user(reg, "claims")).json["accessToken"]
    (key,) = reg.database.query("SELECT key FROM token_key")[0]
    claims = jwt.decode(token, bytes(key), algorithms=["HS256"], issuer=reg.base_url)
    assert claims.keys() == {"iss", "sub", "sid", "iat", "exp"}
    assert claims["sub"] == "claims"
    assert claims["exp"] - claims["iat"] == 600


def test_neither_password_nor_refresh_token_is_stored(reg):
    user, password = add_user(reg, "stored")
    refresh = login(reg, user, password).json["refreshToken"]
    rows = reg.database.query("SELECT password FROM account_user WHERE user_id = 'stored'")
    rows += reg.database.query("SELECT encode(hash, 'escape') FROM refresh_token")
    text = repr(rows)
    assert password not in text and refresh not in text
    assert rows[0][0].startswith("scrypt$")
    assert refresh not in reg.log_text() and password not in reg.log_text()


@pytest.mark.parametrize("user,password", [("alpha-admin", "wrong"), ("nobody", "wrong"), ("", ""), ("x y", "wrong")])
def test_wrong_credentials_are_401_and_do_not_say_which(reg, user, password):
    reply = login(reg, user, password)
    assert (reply.status, reply.code) == (401, "INVALID_CREDENTIALS")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert reply.json["detail"] == "the user or the password is wrong"


def test_bare_token_is_accepted_as_sti_pa_clients_send_it(reg):
    for value in (reg.alpha.token, f"bearer {reg.alpha.token}", f"Bearer {reg.alpha.token}"):
        assert reg.anonymous.get(OWN, headers={"Authorization": value}).status == 200, value


# ---- tokens that are not ours ----


@pytest.fixture(scope="module")
def forge(reg):
    """forge(header changes, claim changes, key) → a token signed by PyJWT."""
    (key,) = reg.database.query("SELECT key FROM token_key")[0]
    own = jwt.decode(reg.alpha.token, options={"verify_signature": False})

    def make(claims=None, key=bytes(key), algorithm="HS256", headers=None):
        body = {k: v for k, v in {**own, **(claims or {})}.items() if v is not None}
        return jwt.encode(body, key, algorithm=algorithm, headers=headers)

    return make


def test_a_token_made_by_pyjwt_with_the_right_key_is_taken(reg, forge):
    assert reg.anonymous.get(OWN, token=forge()).status == 200


def bad_tokens(reg, forge):
    now = int(time.time())
    header, payload, signature = reg.alpha.token.split(".")
    claims = json.loads(b64url_decode(payload))
    other = login(reg, reg.pa_user, reg.pa_password).json["accessToken"].split(".")
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    yield "none given", None
    yield "empty", ""
    yield "no token", "abc"
    yield "expired", forge({"exp": now - 1})
    yield "expires now", forge({"exp": now})
    yield "without exp", forge({"exp": None})
    yield "another key", forge(key=b"k" * 32)
    yield "empty key", forge(key=b"")
    yield "another issuer", forge({"iss": "https://elsewhere.example"})
    yield "unknown session", forge({"sid": str(uuid.uuid4())})
    yield "no session", forge({"sid": None})
    yield "session is no UUID", forge({"sid": "x' OR true --"})
    yield "HS384", forge(algorithm="HS384")
    yield "RS256", forge(key=rsa_key, algorithm="RS256")
    yield "alg none", b64url({"alg": "none", "typ": "JWT"}) + "." + payload + "."
    yield "alg None", b64url({"alg": "None", "typ": "JWT"}) + "." + payload + "."
    yield "alg none, signature kept", b64url({"alg": "none"}) + "." + payload + "." + signature
    yield "no signature", f"{header}.{payload}."
    yield "cut signature", f"{header}.{payload}.{signature[:-4]}"
    yield "changed claims", f"{header}.{b64url({**claims, 'sub': reg.pa_user})}.{signature}"
    yield "another token's claims", f"{header}.{other[1]}.{signature}"
    yield "four segments", reg.alpha.token + ".x"
    yield "kid beside alg", forge(headers={"kid": "../../dev/null"})


def test_every_other_token_is_401(reg, forge):
    for name, token in bad_tokens(reg, forge):
        reply = reg.anonymous.get(OWN, token=token)
        assert (reply.status, reply.code) == (401, "UNAUTHENTICATED"), name
        assert reply.headers["WWW-Authenticate"].startswith("Bearer"), name


def test_refresh_token_is_no_access_token(reg):
    refresh = login(reg, *add_user(reg, "mixed")).json["refreshToken"]
    assert reg.anonymous.get(OWN, token=refresh).status == 401


def test_two_authorization_headers_are_401(reg):
    connection = reg.anonymous._connect()
    connection.putrequest("GET", OWN)
    connection.putheader("Authorization", "Bearer " + reg.alpha.token)
    connection.putheader("Authorization", "Bearer " + reg.alpha.token)
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_access_token_ends_with_its_lifetime(registry):
    one = registry(session={"access_lifetime": 1, "refresh_lifetime": 60})
    reply = login(one, one.pa_user, one.pa_password)
    assert reply.json["expiresIn"] == 1
    token = reply.json["accessToken"]
    wait_until(lambda: one.anonymous.get("/api/v1/audit", token=token).status == 401, 4)
    fresh = one.anonymous.post("/api/v1/auth/token", {"refreshToken": reply.json["refreshToken"]})
    assert fresh.status == 200
    assert one.anonymous.get("/api/v1/audit", token=fresh.json["accessToken"]).status == 200


def test_an_unauthenticated_request_learns_nothing(reg):
    for method, path, kw in (
        ("PUT", "/api/v1/account/alpha/cps/1234", {"body": "{", "headers": {"Content-Type": "application/json"}}),
        ("PUT", "/api/v1/account/alpha/cps/1234", {"body": "x", "headers": {"Content-Type": "text/plain"}}),
        ("PUT", "/api/v1/account/alpha/cps/1234", {"body": "x" * 100_000}),
        ("PUT", "/api/v1/account/nobody/cps/12", {"json": {}}),
        ("GET", "/api/v1/account/alpha/cps/1234", {"headers": {"If-Match": '"1"'}}),
        ("DELETE", "/api/v1/account/alpha/cps/1234", {}),
    ):
        assert reg.anonymous.request(method, path, **kw).code == "UNAUTHENTICATED", (method, path)


# ---- refreshing ----


def refresh(reg, token):
    return reg.anonymous.post("/api/v1/auth/token", {"refreshToken": token})


def test_refresh_rotates(reg):
    first = login(reg, *add_user(reg, "rotate")).json
    second = refresh(reg, first["refreshToken"])
    assert second.status == 200 and second.json.keys() == first.keys()
    assert second.json["refreshToken"] != first["refreshToken"]
    assert reg.anonymous.get(OWN, token=second.json["accessToken"]).status == 200
    assert refresh(reg, second.json["refreshToken"]).status == 200


def test_reuse_of_a_refresh_token_ends_the_whole_session(reg):
    first = login(reg, *add_user(reg, "reuse")).json
    second = refresh(reg, first["refreshToken"]).json
    assert refresh(reg, first["refreshToken"]).status == 401
    assert refresh(reg, second["refreshToken"]).status == 401
    for token in (first["accessToken"], second["accessToken"]):
        assert reg.anonymous.get(OWN, token=token).status == 401
    assert "session.refresh-reused" in [e["action"] for e in reg.pa.get("/api/v1/audit").json["events"]]


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "A" * 5000])
def test_unknown_refresh_token_is_401(reg, token):
    reply = refresh(reg, token)
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")


def test_access_token_is_no_refresh_token(reg):
    assert refresh(reg, reg.alpha.token).status == 401


# ---- the end of a session ----


def test_logout_ends_both_tokens(reg):
    tokens = login(reg, *add_user(reg, "leaver")).json
    api = reg.anonymous.with_token(tokens["accessToken"])
    assert api.post("/api/v1/auth/logout").status == 200
    assert api.get(OWN).status == 401
    assert api.post("/api/v1/auth/logout").status == 401
    assert refresh(reg, tokens["refreshToken"]).status == 401


def test_a_dead_session_is_told_so_before_its_request_is_judged(reg):
    tokens = login(reg, *add_user(reg, "dead")).json
    api = reg.anonymous.with_token(tokens["accessToken"])
    assert api.put(OWN + "/1234", {"url": 1}).status == 422
    api.post("/api/v1/auth/logout")
    assert api.put(OWN + "/1234", {"url": 1}).status == 401
    assert api.get(OWN + "/12").status == 401
    assert api.get(OWN + "?limit=0").status == 401
    assert api.get("/api/v1/audit?after=x").status == 401


def test_logout_counts_on_every_node_at_once(reg, registry):
    other = registry(database=reg.database, start=False)
    other.start()
    user, password = add_user(reg, "two-nodes")
    tokens = login(reg, user, password).json
    # the issuer is part of a token, so nodes of one registry share their base_url
    other.stop()
    other.reconfigure(base_url=reg.base_url)
    other.start()
    assert other.anonymous.get(OWN, token=tokens["accessToken"]).status == 200
    assert reg.anonymous.with_token(tokens["accessToken"]).post("/api/v1/auth/logout").status == 200
    assert other.anonymous.get(OWN, token=tokens["accessToken"]).status == 401
    assert refresh(other, tokens["refreshToken"]).status == 401


def test_deleted_user_is_out_at_once(reg):
    tokens = login(reg, *add_user(reg, "gone")).json
    assert reg.pa.delete("/api/v1/account/alpha/user/gone").status == 204
    assert reg.anonymous.get(OWN, token=tokens["accessToken"]).status == 401
    assert refresh(reg, tokens["refreshToken"]).status == 401


def test_new_password_ends_sessions_and_changed_role_counts(reg):
    user, password = add_user(reg, "demoted")
    old = login(reg, user, password).json["accessToken"]
    assert reg.pa.put("/api/v1/account/alpha/user/demoted", {"role": "sp-viewer", "password": "another one"}).status == 200
    assert reg.anonymous.get(OWN, token=old).status == 401
    new = login(reg, user, "another one").json["accessToken"]
    assert reg.anonymous.get(OWN, token=new).status == 200
    assert reg.anonymous.put(OWN + "/1234", {"url": "https://cps.example.com/x"}, token=new).code == "FORBIDDEN"


def test_role_is_read_at_every_request(reg):
    user, password = add_user(reg, "auditor-now", role="pa-admin", sp=None)
    token = login(reg, user, password).json["accessToken"]
    reg.database.query("UPDATE account_user SET role = 'pa-auditor' WHERE user_id = 'auditor-now'")
    assert reg.anonymous.get("/api/v1/account/alpha", token=token).status == 200
    assert reg.anonymous.put("/api/v1/account/alpha", {"name": "x"}, token=token).status == 403


def test_suspended_account_is_out_at_once_and_comes_back(reg):
    beta = reg.add_sp("beta", "5678")
    assert reg.pa.put("/api/v1/account/beta/state", {"state": "suspended"}).status == 200
    assert beta.get("/api/v1/account/beta/cps").code == "ACCOUNT_SUSPENDED"
    assert beta.put("/api/v1/account/beta/cps/5678", {"url": "https://cps.example.com/"}).status == 403
    assert login(reg, beta.user, beta.password).code == "ACCOUNT_SUSPENDED"
    assert login(reg, beta.user, "wrong").code == "INVALID_CREDENTIALS"
    assert reg.pa.put("/api/v1/account/beta/state", {"state": "active"}).status == 200
    assert beta.get("/api/v1/account/beta/cps").status == 200


# ---- guessing ----


def test_sixth_guess_waits_and_longer_each_time(reg):
    user, password = add_user(reg, "guessed")
    assert [login(reg, user, "wrong").status for _ in range(5)] == [401] * 5
    waits = []
    for _ in range(2):
        reply = login(reg, user, password)
        assert (reply.status, reply.code) == (429, "TOO_MANY_REQUESTS")
        waits.append(int(reply.headers["Retry-After"]))
        time.sleep(waits[-1] + 0.1)
        assert login(reg, user, "wrong").status == 401
    assert 0 < waits[0] < waits[1] <= 300
    # the right password is not even looked at while waiting, and works afterwards; success clears
    reply = login(reg, user, password)
    assert reply.status == 429
    time.sleep(int(reply.headers["Retry-After"]) + 0.1)
    assert login(reg, user, password).status == 200
    assert [login(reg, user, "wrong").status for _ in range(4)] == [401] * 4
    assert login(reg, user, password).status == 200


def test_unknown_users_are_slowed_as_known_ones_are(reg):
    assert [login(reg, "no-such-user", "x").status for _ in range(6)] == [401] * 5 + [429]


def test_guessing_from_elsewhere_does_not_lock_the_victim_out(reg):
    user, password = add_user(reg, "victim")
    statuses = [login_from(reg, "127.0.0.9", user, "wrong")[0] for _ in range(8)]
    assert statuses == [401] * 5 + [429] * 3
    assert login(reg, user, password).status == 200


def test_many_addresses_are_slowed_earlier_and_the_victim_still_gets_in(reg):
    user, password = add_user(reg, "popular")
    reg.database.query(
        "INSERT INTO login_failure VALUES ('popular', '0.0.0.0/0', 50, now(), 'epoch')"
    )
    assert login_from(reg, "127.0.0.20", user, "wrong")[0] == 401
    status, headers, _ = login_from(reg, "127.0.0.20", user, "wrong")
    assert status == 429 and int(headers["Retry-After"]) > 0
    assert login(reg, user, password).status == 200


def test_guesses_sent_at_once_are_counted(reg):
    from concurrent.futures import ThreadPoolExecutor

    user, password = add_user(reg, "parallel")
    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(lambda _: login(reg, user, "wrong").status, range(12)))
    # a slow machine may be through with one after the first wait is over
    assert 5 <= statuses.count(401) <= 7
    assert set(statuses) == {401, 429}


def test_failures_are_kept_in_the_database(reg):
    user, password = add_user(reg, "persistent")
    for _ in range(5):
        login(reg, user, "wrong")
    reg.database.query("UPDATE login_failure SET blocked_until = now() + interval '1 minute' WHERE user_id = 'persistent'")
    reg.restart()
    reply = login(reg, user, password)
    assert reply.status == 429
    assert 50 <= int(reply.headers["Retry-After"]) <= 60


def test_unknown_user_takes_as_long_as_a_known_one(reg):
    """Both cost one scrypt; without it an unknown user would be answered in a fiftieth of the time."""
    add_user(reg, "timed")

    def fastest(user):
        return min(login(reg, f"{user}", "wrong").seconds for _ in range(3))

    assert fastest("untimed") > fastest("timed") / 3
