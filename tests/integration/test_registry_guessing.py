"""Guessing with many users from one address: counted by address, slowed, never locked out; and a fair queue."""

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from lib.exposition import page_of
from lib.net import wait_until

LOGIN = "/api/v1/auth/login"
STEP, FREE = 12, 300
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def reg(registry):
    one = registry()
    assert one.pa.put("/api/v1/user/honest", {"role": "pa-auditor", "password": PASSWORD}).status == 201
    return one


def login_from(reg, address, user, password):
    """(status, Retry-After or None, code or None)"""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", reg.port, timeout=30, context=reg.anonymous._tls, source_address=(address, 0))
    connection.request("POST", LOGIN, json.dumps({"userId": user, "password": password}),
                       {"Content-Type": "application/json"})
    reply = connection.getresponse()
    body = json.loads(reply.read())
    connection.close()
    return reply.status, reply.headers["Retry-After"] and int(reply.headers["Retry-After"]), body.get("code")


def owe(reg, address, steps):
    """As if there had been so many failures just now."""
    reg.database.query(
        "INSERT INTO login_debt VALUES (%s, clock_timestamp() + %s * interval '12 s')"
        " ON CONFLICT (address) DO UPDATE SET until_at = excluded.until_at", (address, steps))


def fail_in_database(reg, address, times, user="u"):
    reg.database.query("SELECT count(*) FROM (SELECT login_failed(%s || i, %s) FROM generate_series(1, %s) i OFFSET 0) x",
                       (user, address, times))


def waits(reg, address, user="somebody else"):
    outcome, wait = reg.database.query("SELECT outcome, version FROM login_begin(%s, %s)", (user, address))[0]
    assert (outcome == "THROTTLED") == (wait is not None)
    return wait or 0


def test_many_users_from_one_address_have_to_wait(reg):
    here = "127.0.0.30"
    owe(reg, here, FREE - 1)
    assert login_from(reg, here, "random-1", "x") == (401, None, "INVALID_CREDENTIALS")
    seen = [login_from(reg, here, f"random-{i}", "x") for i in range(2, 6)]
    assert [s[0] for s in seen[1:]] == [429] * 3, seen
    for status, retry, code in seen[1:]:
        assert code == "TOO_MANY_REQUESTS" and 1 <= retry <= STEP
    # whoever else is there waits with them, and everybody elsewhere does not
    assert login_from(reg, here, "honest", PASSWORD)[0] == 429
    assert login_from(reg, "127.0.0.31", "honest", PASSWORD)[0] == 200
    assert reg.pa.get("/api/v1/audit?limit=1").status == 200


def test_the_wait_is_over_after_a_step_at_most(reg):
    here = "127.0.0.32"
    owe(reg, here, FREE + 1)
    assert login_from(reg, here, "honest", PASSWORD)[0] == 429
    owe(reg, here, FREE)  # as if that time had passed
    assert login_from(reg, here, "honest", PASSWORD)[0] == 200


def test_three_hundred_failures_are_free(reg):
    fail_in_database(reg, "192.0.2.7", FREE - 1)
    assert waits(reg, "192.0.2.7") == 0
    fail_in_database(reg, "192.0.2.7", 3, user="more")
    assert 1 <= waits(reg, "192.0.2.7") <= STEP
    assert waits(reg, "192.0.2.8") == 0


def test_however_many_fail_nobody_waits_longer(reg):
    fail_in_database(reg, "192.0.2.9", 2 * FREE)
    assert 1 <= waits(reg, "192.0.2.9") <= STEP
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: fail_in_database(reg, "192.0.2.9", 5, user=f"p{i}-"), range(8)))
    assert 1 <= waits(reg, "192.0.2.9") <= STEP


def test_success_pays_nothing_back(reg):
    here = "127.0.0.33"
    owe(reg, here, FREE - 50)
    before = reg.database.query("SELECT until_at FROM login_debt WHERE address = %s", (here,))
    assert login_from(reg, here, "honest", PASSWORD)[0] == 200
    assert reg.database.query("SELECT until_at FROM login_debt WHERE address = %s", (here,)) == before


def test_an_address_without_failures_owes_nothing(reg):
    assert login_from(reg, "127.0.0.34", "honest", PASSWORD)[0] == 200
    assert reg.database.query("SELECT 1 FROM login_debt WHERE address = '127.0.0.34'") == []


def test_an_ipv6_customer_is_one_address(reg):
    fail_in_database(reg, "2001:db8:1:2::1", FREE + 2)
    assert waits(reg, "2001:db8:1:2:ffff::7") > 0
    assert waits(reg, "2001:db8:1:3::1") == 0


def test_what_is_paid_is_forgotten(reg):
    owe(reg, "192.0.2.20", -1)
    owe(reg, "192.0.2.21", 5)
    reg.database.query("SELECT housekeeping()")
    kept = {a for (a,) in reg.database.query("SELECT host(address) FROM login_debt")}
    assert "192.0.2.20" not in kept and "192.0.2.21" in kept


def test_the_rule_for_one_user_is_as_it_was(reg):
    here = "127.0.0.35"
    assert [login_from(reg, here, "nobody", "x")[0] for _ in range(6)] == [401] * 5 + [429]
    assert login_from(reg, here, "honest", PASSWORD)[0] == 200


def test_it_counts_on_every_node(reg, registry):
    other = registry(database=reg.database, start=False)
    other.start()
    owe(reg, "127.0.0.36", FREE + 1)
    assert login_from(other, "127.0.0.36", "honest", PASSWORD)[0] == 429


def test_one_address_does_not_take_the_queue_of_all(reg):
    """Thirty sign-ins at once from one address: sixteen wait, and others take turns with them.

    503 is no answer in time, on a slow machine."""
    stop, most, honest = threading.Event(), [], []

    def watch():
        api = reg.anonymous.session()
        while not stop.is_set():
            most.append(page_of(api.get("/metrics")).value("sticps_password_jobs"))
        api.close()

    def flood(i):
        seen = []
        while not stop.is_set():
            seen.append(login_from(reg, "127.0.0.40", f"flood-{i}", "x"))
        return seen

    with ThreadPoolExecutor(31) as pool:
        watcher = pool.submit(watch)
        flooders = [pool.submit(flood, i) for i in range(30)]
        try:
            wait_until(lambda: most and max(most) >= 10, 20)
            wait_until(lambda: honest.append(login_from(reg, "127.0.0.41", "honest", PASSWORD)[0]) or honest[-1] == 200,
                       60, what="a sign-in from elsewhere")
        finally:
            stop.set()
        watcher.result(60)
        seen = sum((f.result(60) for f in flooders), [])
    assert set(honest) <= {200, 503}
    assert max(most) <= 16 + 2 + 1  # waiting, with the two workers, and the honest one
    assert {s[0] for s in seen} <= {401, 429, 503}
    assert (429, 1, "TOO_MANY_REQUESTS") in seen
    # and when the flood is over nothing is left of it
    wait_until(lambda: page_of(reg.anonymous.get("/metrics")).value("sticps_password_jobs") == 0, 20)
    reg.database.query("DELETE FROM login_debt")
    assert login_from(reg, "127.0.0.40", "honest", PASSWORD)[0] == 200


def test_nothing_of_it_was_an_internal_error(reg):
    assert '"status":500' not in reg.log_text()
    assert '"level":"error"' not in reg.log_text()
