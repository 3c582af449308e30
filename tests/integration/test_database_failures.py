"""The database dies in the middle of each kind of request, or its disk is full: the request is answered 503 in time,
the list is served on, and afterwards all of a change is there or nothing of it."""

import os
import subprocess
import threading

import psycopg2
import pytest
from lib.net import free_port, wait_until
from lib.postgres import Postgres, urls

TABLES = ("account", "account_user", "spc_owner", "cps_entry", "session", "audit", "list_state", "publication",
          "tree_node", "tree_head", "api_key")


class OwnDatabase:
    """What Registry wants of a database, on a cluster of the test's own."""

    def __init__(self, postgres):
        self.postgres = postgres

    def urls(self):
        return urls(f"127.0.0.1:{self.postgres.port}")

    def query(self, statement, args=None):
        return self.postgres.query(statement, args)


def contents(postgres):
    """Every row of every table that requests change, as text."""
    return {t: sorted(r for (r,) in postgres.query(f"SELECT x::text FROM {t} x")) for t in TABLES}


@pytest.fixture(scope="module")
def folder():
    """Where the server's own user may pass."""
    import tempfile

    path = tempfile.mkdtemp(prefix="sticps-database-")
    os.chmod(path, 0o755)
    yield path
    subprocess.run(["umount", "-l", f"{path}/disk"], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", path], check=False)


@pytest.fixture(scope="module")
def postgres(folder):
    os.mkdir(f"{folder}/pg")
    one = Postgres(f"{folder}/pg", port=free_port())
    one.create()
    one.start()
    one.make_database()
    yield one
    one.remove()


@pytest.fixture(scope="module")
def reg(registry, postgres):
    one = registry(database=OwnDatabase(postgres), threads=1)
    one.alpha = one.add_sp("alpha", "1234", "1235")
    for spc in ("1234", "1235"):
        assert one.alpha.put(f"/api/v1/account/alpha/cps/{spc}", {"url": f"https://cps.example.com/{spc}"}).status == 201
    assert one.pa.put("/api/v1/account/alpha/user/viewer", {"role": "sp-viewer", "password": "x" * 12}).status == 201
    wait_until(lambda: unpublished(one) == 0, 20, what="publication")
    return one


def unpublished(reg):
    return reg.database.query("SELECT count(*) FROM cps_entry WHERE published_sequence IS NULL")[0][0]


def login(reg):
    return reg.anonymous.post("/api/v1/auth/login", {"userId": "viewer", "password": "x" * 12}, unjudged=True)


ALPHA = "/api/v1/account/alpha"
# (name, table whose lock stops the request in its middle, the request)
REQUESTS = [
    ("entry.put", "audit", lambda r: r.alpha.put(f"{ALPHA}/cps/1234", {"url": "https://cps.example.com/new"})),
    ("entry.delete", "audit", lambda r: r.alpha.delete(f"{ALPHA}/cps/1234")),
    ("mapping.put", "audit", lambda r: r.alpha.put(f"{ALPHA}/cps", {"cpsMapping": {"1235": "https://b.example.com/"}})),
    ("account.put", "audit", lambda r: r.pa.put("/api/v1/account/beta", {"name": "Beta"})),
    ("account.state", "audit", lambda r: r.pa.put(f"{ALPHA}/state", {"state": "suspended"})),
    ("spc.put", "audit", lambda r: r.pa.put(f"{ALPHA}/spc/9999")),
    ("spc.delete", "audit", lambda r: r.pa.delete(f"{ALPHA}/spc/1235")),
    ("user.put", "audit", lambda r: r.pa.put(f"{ALPHA}/user/fresh", {"role": "sp-viewer", "password": "y" * 12})),
    ("user.delete", "audit", lambda r: r.pa.delete(f"{ALPHA}/user/viewer")),
    ("publications.post", "audit", lambda r: r.pa.post("/api/v1/publications")),
    ("key.post", "audit", lambda r: r.alpha.post(f"{ALPHA}/key", {"name": "machine", "scopes": ["read"]})),
    ("login", "session", login),
    ("refresh", "session", lambda r: r.anonymous.post("/api/v1/auth/token", {"refreshToken": r.tokens["refreshToken"]})),
    ("logout", "session", lambda r: r.anonymous.with_token(r.tokens["accessToken"]).post("/api/v1/auth/logout")),
]


@pytest.mark.parametrize("table,send", [r[1:] for r in REQUESTS], ids=[r[0] for r in REQUESTS])
def test_killed_in_the_middle_of_a_request(reg, postgres, table, send):
    reg.tokens = login(reg).json
    before = contents(postgres)
    holder = postgres.connect()
    holder.autocommit = False
    holder.cursor().execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")  # reading goes on
    replies = []
    request = threading.Thread(target=lambda: replies.append(send(reg)))
    request.start()
    wait_until(
        lambda: postgres.query(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'sticps_serving'"
        ),
        10, what="the request waits within its transaction",
    )
    jws = reg.list_token()
    postgres.kill()
    request.join(15)
    assert [r.status for r in replies] == [503], [r.body for r in replies]
    assert replies[0].headers["Retry-After"]
    assert reg.list_token() == jws, "reads go on from memory"
    try:
        holder.close()
    except psycopg2.Error:
        pass
    postgres.start()
    assert contents(postgres) == before, "nothing half done"
    wait_until(lambda: reg.anonymous.get("/ready").status == 200, 30, what="the database is found again")


def test_after_all_of_that_everything_works(reg):
    assert reg.alpha.put(f"{ALPHA}/cps/1234", {"url": "https://cps.example.com/after"}).status == 200
    wait_until(lambda: unpublished(reg) == 0, 20, what="publication")
    sequences = [s for (s,) in reg.database.query("SELECT sequence FROM publication ORDER BY 1")]
    assert sequences == list(range(1, len(sequences) + 1))


def test_a_full_disk_under_the_database(registry, folder):
    """Whatever it is that PostgreSQL cannot write, nothing that was acknowledged is lost, and room heals it."""
    disk = f"{folder}/disk"
    os.mkdir(disk)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "none", disk], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no right to mount: {mounted.stderr.decode().strip()}")
    os.chmod(disk, 0o755)
    os.mkdir(f"{disk}/pg")
    postgres = Postgres(f"{disk}/pg", port=free_port())
    postgres.create()
    postgres.start()
    try:
        postgres.make_database()
        _fill_up(registry(database=OwnDatabase(postgres)), postgres, disk)
    finally:
        postgres.remove()


def _fill_up(reg, postgres, disk):
    alpha = reg.add_sp("alpha", *map(str, range(1000, 1020)))
    acknowledged = {}

    def put(number):
        spc, url = str(1000 + number % 20), f"https://cps.example.com/{number}/" + "x" * 900
        reply = alpha.put(f"{ALPHA}/cps/{spc}", {"url": url})
        if reply.status in (200, 201):
            acknowledged[spc] = url
        return reply

    assert put(0).status == 201
    ballast = os.open(f"{disk}/ballast", os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(ballast, b"x" * 4096):
            pass
    except OSError:
        pass
    refused = 0
    for number in range(1, 20000):
        reply = put(number)
        assert reply.status in (200, 201, 503), reply.body
        refused = refused + 1 if reply.status == 503 else 0
        if refused == 5:
            break
        if number % 100 == 0:  # every list is a row of its own
            os.truncate(f"{disk}/ballast", os.stat(f"{disk}/ballast").st_size)
    assert refused == 5, "the disk never was full"
    assert reg.anonymous.get("/download/v1/cps-list").status == 200, "reads go on from memory"
    assert reg.anonymous.get("/health").status == 200
    os.close(ballast)
    os.unlink(f"{disk}/ballast")
    if not postgres.running:
        postgres.start()
    wait_until(lambda: put(20000).status in (200, 201), 60, 0.5, "writing works again")
    wait_until(lambda: reg.anonymous.get("/ready").status == 200, 60, what="readiness")
    entries = dict(postgres.query("SELECT spc, url FROM cps_entry"))
    assert {spc: url for spc, url in acknowledged.items() if entries[spc] != url} == {}
    wait_until(lambda: unpublished(reg) == 0, 30, what="publication")
    sequences = [s for (s,) in postgres.query("SELECT sequence FROM publication ORDER BY 1")]
    assert sequences == list(range(1, len(sequences) + 1))
