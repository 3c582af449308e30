"""A real PgBouncer in front of the serving connections, in both of its useful modes (docs/pgbouncer.md)."""

import threading
import time

import pytest
from lib.net import wait_until
from lib.pgbouncer import PgBouncer

SERVERS = 3  # fewer than the eight connections that two threads keep: in transaction mode they share
SPCS = [f"{n}" for n in range(2000, 2016)]


@pytest.fixture(scope="module", params=["session", "transaction"])
def pooled(request, registry, new_database):
    """A registry whose requests go through PgBouncer; publisher and init go straight to PostgreSQL."""
    mode = request.param
    # a session of PgBouncer's belongs to one client for as long as that stays
    bouncer = PgBouncer(mode, SERVERS if mode == "transaction" else 20)
    try:
        database = new_database()
        one = registry(database=database, start=False)
        one.reconfigure(database={"url": database.url_of("sticps_serving", bouncer.port),
                                  "transaction_pooling": mode == "transaction"})
        one.init()
        one.start()
        one.mode, one.bouncer = mode, bouncer
        one.alpha = one.add_sp("alpha", *SPCS)
        yield one
        one.stop()
    finally:
        bouncer.close()


def sessions(reg):
    """How many sessions the requests have with PostgreSQL."""
    return reg.database.query("SELECT count(*) FROM pg_stat_activity WHERE usename = 'sticps_serving'"
                              " AND datname = current_database()")[0][0]


def url_of(spc, number):
    return f"https://cps.example.com/{spc}/{number}"


def test_every_kind_of_request_passes(pooled):
    path = "/api/v1/account/alpha/cps"
    created = pooled.alpha.put(f"{path}/2000", {"url": url_of("2000", 0)})
    assert created.status == 201
    assert pooled.alpha.put(f"{path}/2000", {"url": url_of("2000", 1)},
                            headers={"If-Match": '"0"'}).status == 412
    assert pooled.alpha.get(f"{path}/2000").json["version"] == created.json["version"]
    whole = {"cpsMapping": {spc: url_of(spc, 0) for spc in SPCS}}
    assert pooled.alpha.put(path, whole).status == 200
    assert len(pooled.alpha.get(path).json["entries"]) == len(SPCS)
    assert pooled.alpha.put(f"{path}/9999", {"url": url_of("9999", 0)}).code == "SPC_NOT_OWNED"
    assert pooled.alpha.delete(f"{path}/2000").status == 204
    assert pooled.pa.get("/api/v1/audit?limit=1").status == 200
    assert pooled.pa.post("/api/v1/publications").status == 202
    signed_in = pooled.sign_in(pooled.alpha.user, pooled.alpha.password)
    assert signed_in.post("/api/v1/auth/logout").status == 200
    assert signed_in.get(path).status == 401


def test_many_at_once_lose_nothing(pooled):
    """Eight writers on sixteen entries; every acknowledged write is in the audit trail and on the list."""
    count = "SELECT count(*) FROM audit WHERE action = 'entry.put'"
    before = pooled.database.query(count)[0][0]
    stamp, bad = pooled.mode, []

    def write(part):
        api = pooled.alpha.session()
        for number in range(25):
            for spc in part:
                reply = api.put(f"/api/v1/account/alpha/cps/{spc}", {"url": url_of(spc, f"{stamp}-{number}")})
                if reply.status not in (200, 201):
                    bad.append((reply.status, reply.body))
        api.close()

    threads = [threading.Thread(target=write, args=(SPCS[i::8],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not bad
    assert pooled.database.query(count)[0][0] - before == 25 * len(SPCS)
    entries = {entry["spc"]: entry["url"] for entry in pooled.alpha.get("/api/v1/account/alpha/cps").json["entries"]}
    assert entries == {spc: url_of(spc, f"{stamp}-24") for spc in SPCS}
    if pooled.mode == "transaction":
        assert 1 <= sessions(pooled) <= SERVERS, "the requests did not share sessions"


def test_a_change_is_published(pooled):
    before = pooled.list_token()
    assert pooled.alpha.put("/api/v1/account/alpha/cps/2001", {"url": url_of("2001", "published")}).status == 200
    wait_until(lambda: pooled.list_token() != before, 15, what="the publication")


def test_sessions_killed_behind_the_pooler_come_back(pooled):
    for number in range(3):
        pooled.database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                              " WHERE usename = 'sticps_serving' AND datname = current_database()")
        wait_until(lambda n=number: pooled.alpha.put("/api/v1/account/alpha/cps/2002",
                                                     {"url": url_of("2002", f"kill-{n}")}).status == 200, 20)


def test_the_server_ends_a_write_that_waits_too_long(pooled):
    """By the role's statement_timeout where no session is ours to set it in; nobody goes on waiting."""
    holder = pooled.database.connect()
    holder.autocommit = False
    holder.cursor().execute("SELECT 1 FROM spc_owner WHERE spc = '2003' FOR UPDATE")
    try:
        started = time.monotonic()
        reply = pooled.alpha.put("/api/v1/account/alpha/cps/2003", {"url": url_of("2003", "late")})
        assert (reply.status, reply.code) == (503, "UNAVAILABLE")
        assert time.monotonic() - started > 3
        waiting = ("SELECT count(*) FROM pg_stat_activity WHERE usename = 'sticps_serving'"
                   " AND datname = current_database() AND wait_event_type = 'Lock'")
        wait_until(lambda: pooled.database.query(waiting) == [(0,)], 10, what="the end of the waiting statement")
    finally:
        holder.rollback()
        holder.close()
    assert pooled.alpha.put("/api/v1/account/alpha/cps/2003", {"url": url_of("2003", "now")}).status == 200


def test_without_the_pooler_reads_go_on_and_writes_wait_for_it(pooled):
    pooled.bouncer.stop()
    try:
        reply = pooled.alpha.put("/api/v1/account/alpha/cps/2004", {"url": url_of("2004", "away")})
        assert (reply.status, reply.code) == (503, "UNAVAILABLE")
        assert pooled.list_token()
    finally:
        pooled.bouncer.start()
    wait_until(lambda: pooled.alpha.put("/api/v1/account/alpha/cps/2004",
                                        {"url": url_of("2004", "back")}).status == 200, 20)


def test_without_the_switch_the_log_says_what_to_set(registry, new_database):
    bouncer = PgBouncer("transaction", 1)
    try:
        database = new_database()
        one = registry(database=database, start=False)
        one.reconfigure(database={"url": database.url_of("sticps_serving", bouncer.port)})
        one.init()
        one.start(wait=False)
        wait_until(lambda: '"listening"' in one.log_text(), 20)

        def told():
            one.anonymous.post("/api/v1/auth/login", {"userId": one.pa_user, "password": "wrong"})
            return "database.transaction_pooling" in one.log_text()

        wait_until(told, 20, what="the advice")
        one.stop()
    finally:
        bouncer.close()


def test_the_switch_takes_true_and_false_alone(registry):
    one = registry(start=False)
    one.reconfigure(database={"transaction_pooling": "perhaps"})
    done = one.check()
    assert done.returncode != 0 and "transaction_pooling" in done.stderr
    one.reconfigure(database={"transaction_pooling": True, "publisher_url": None})
    done = one.check()
    assert done.returncode != 0 and "database.publisher_url" in done.stderr
