"""Requests that meet in the database: each test holds a row from outside, so that both stand where the order
of their locks decides, and lets go."""

import threading

import psycopg2
import pytest
from lib.net import wait_until

LOGIN = "/api/v1/auth/login"
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def reg(registry):
    one = registry()
    one.alpha = one.add_sp("alpha", "1234")
    return one


class Holder:
    """A transaction that holds something until it is told to commit."""

    def __init__(self, reg, statement, args):
        self.connection = psycopg2.connect(reg.database.url)
        self.cursor = self.connection.cursor()
        self.cursor.execute(statement, args)

    def then(self, statement, args):
        self.cursor.execute(statement, args)

    def release(self):
        self.connection.commit()
        self.connection.close()


def waiting(reg):
    return reg.database.query(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )[0][0]


class Later(threading.Thread):
    """A request that is under way; .reply when it is done."""

    def __init__(self, reg, send):
        super().__init__()
        self.reply = None
        self._send = send
        blocked = waiting(reg)
        self.start()
        wait_until(lambda: waiting(reg) > blocked, 5, what="the request waits for the row")

    def run(self):
        self.reply = self._send()

    def done(self):
        self.join(20)
        return self.reply


def sign_in(reg, user):
    assert reg.pa.put(f"/api/v1/user/{user}", {"role": "pa-auditor", "password": PASSWORD}).status in (200, 201)
    tokens = reg.anonymous.post(LOGIN, {"userId": user, "password": PASSWORD}).json
    return reg.anonymous.with_token(tokens["accessToken"]), tokens["refreshToken"]


def another_client(reg, token=None):
    return reg.anonymous.with_token(token)


@pytest.mark.parametrize("first", ["logout", "refresh"])
def test_logout_and_refresh_of_one_session_at_once(reg, first):
    """Both want the session and its tokens; neither may end in a deadlock (503)."""
    api, refresh_token = sign_in(reg, "racer")
    refresher = another_client(reg)
    held = Holder(reg, "SELECT 1 FROM session WHERE user_id = %s FOR UPDATE", ("racer",))

    sends = {
        "logout": lambda: api.post("/api/v1/auth/logout"),
        "refresh": lambda: refresher.post("/api/v1/auth/token", {"refreshToken": refresh_token}),
    }
    second = "refresh" if first == "logout" else "logout"
    one = Later(reg, sends[first])
    two = Later(reg, sends[second])
    held.release()
    statuses = {first: one.done().status, second: two.done().status}
    assert statuses["logout"] == 200
    assert statuses["refresh"] == (401 if first == "logout" else 200)
    # whichever came first, the session is over
    again = refresher.post("/api/v1/auth/token", {"refreshToken": refresh_token})
    assert again.status == 401
    assert reg.database.query("SELECT count(*) FROM session WHERE user_id = 'racer'")[0][0] == 0


@pytest.mark.parametrize(
    "path,body",
    [
        ("/api/v1/user/vanishing", {"role": "pa-auditor", "password": PASSWORD}),
        ("/api/v1/account/alpha/user/vanishing-too", {"role": "sp-admin", "password": PASSWORD}),
    ],
)
def test_a_user_deleted_while_being_changed_is_made_anew(reg, path, body):
    """A PUT that is answered with success leaves a user who can sign in."""
    user = path.rsplit("/", 1)[1]
    assert reg.pa.put(path, body).status == 201
    held = Holder(reg, "SELECT 1 FROM account_user WHERE user_id = %s FOR UPDATE", (user,))
    change = Later(reg, lambda: reg.pa.put(path, body))
    held.then("DELETE FROM account_user WHERE user_id = %s", (user,))
    held.release()
    assert change.done().status == 201
    assert reg.anonymous.post(LOGIN, {"userId": user, "password": PASSWORD}).status == 200


def test_a_put_that_meets_a_transfer_does_not_write_for_the_old_owner(reg):
    beta = reg.add_sp("beta")
    held = Holder(reg, "SELECT 1 FROM spc_owner WHERE spc = '1234' FOR UPDATE", ())
    transfer = Later(reg, lambda: reg.pa.put("/api/v1/account/beta/spc/1234?transfer=true"))
    put = Later(reg, lambda: reg.alpha.put("/api/v1/account/alpha/cps/1234", {"url": "https://late.example.com/"}))
    held.release()
    assert transfer.done().status == 201
    assert put.done().code == "SPC_NOT_OWNED"
    assert beta.get("/api/v1/account/beta/cps/1234").status == 404
