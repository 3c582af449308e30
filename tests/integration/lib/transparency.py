"""A verifier of the registry's history, written from docs/transparency.md alone, and what its tests share."""

import base64
import hashlib

from .net import wait_until
from .process import run
from .services import merge, write_config

HEAD = "/api/v1/transparency/head"
INCLUSION = "/api/v1/transparency/inclusion"
CONSISTENCY = "/api/v1/transparency/consistency"
ZEROS = bytes(32)


# ---- the verifier ----


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(jws):
    return sha256(b"\x00" + jws)


def node(left, right):
    return sha256(b"\x01" + left + right)


def tree(leaves):
    """The tree of n leaves by its definition."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node(tree(leaves[:k]), tree(leaves[k:]))


def included(h, index, size, path, root):
    if index >= size:
        return False
    n, last, r = index, size - 1, h
    for p in path:
        if last == 0:
            return False
        if n % 2 == 1 or n == last:
            r = node(p, r)
            while n % 2 == 0 and n != 0:
                n, last = n // 2, last // 2
        else:
            r = node(r, p)
        n, last = n // 2, last // 2
    return last == 0 and r == root


def consistent(first, root1, second, root2, path):
    if first == 0 or first > second:
        return False
    if first == second:
        return path == [] and root1 == root2
    if not path:
        return False
    if first & (first - 1) == 0:
        path = [root1] + path
    n, last = first - 1, second - 1
    while n % 2 == 1:
        n, last = n // 2, last // 2
    a = b = path[0]
    for p in path[1:]:
        if last == 0:
            return False
        if n % 2 == 1 or n == last:
            a, b = node(p, a), node(p, b)
            while n % 2 == 0 and n != 0:
                n, last = n // 2, last // 2
        else:
            b = node(b, p)
        n, last = n // 2, last // 2
    return last == 0 and a == root1 and b == root2


def row_bytes(row):
    """The bytes of an audit row from its columns as text, None for NULL."""
    out = b""
    for text in row:
        data = None if text is None else text.encode()
        out += b"-" if data is None else str(len(data)).encode() + b":" + data
    return out


COLUMNS = ("id", "at", "user_id", "address", "action", "sp", "spc", "detail")


def audit_chain(database):
    """[(id, hash)] of every audit row, computed from what PostgreSQL holds."""
    rows = database.query(
        "SELECT id::text, round(extract(epoch FROM at) * 1000000)::text, user_id, "
        "host(address) || '/' || masklen(address), action, sp, spc, detail::text FROM audit ORDER BY audit.id"
    )
    chain, last = [], ZEROS
    for row in rows:
        last = sha256(last + row_bytes(row))
        chain.append((int(row[0]), last))
    return chain


# ---- helpers ----


def unbase64(text):
    data = base64.b64decode(text, validate=True)
    assert len(data) == 32, text
    return data


def links(database):
    return [(i, bytes(h)) for i, h in database.query("SELECT id, hash FROM audit_link ORDER BY id")]


def wait_until_linked(database):
    wait_until(
        lambda: database.query("SELECT (SELECT max(id) FROM audit) = (SELECT max(id) FROM audit_link)")[0][0],
        5, what="the last link",
    )


def publish(reg, times=1):
    """Publishes again and returns the newest sequence."""
    last = newest_sequence(reg)
    for _ in range(times):
        before = reg.pa.post("/api/v1/publications").json["lastSequence"]
        last = wait_until(
            lambda: (s := newest_sequence(reg)) > before and s, 5, interval=0.005, what="publication"
        )
    return last


def newest_sequence(reg):
    return reg.database.query("SELECT sequence FROM list_state WHERE kind = 'cps-list'")[0][0]


def get(api, path, **query):
    reply = api.get(path + "?" + "&".join(f"{k}={v}" for k, v in query.items()))
    assert reply.status == 200, (path, query, reply.body)
    assert reply.json["status"] == "success"
    return reply.json


def jws_by_leaf(reg, kind="cps-list"):
    return [j.encode() for (j,) in reg.database.query(
        "SELECT jws FROM publication WHERE kind = %s ORDER BY sequence", (kind,))]


def verify(reg, database=None):
    """Runs `audit verify`, by default on the registry's own database."""
    path = reg.dir / "verify.yaml"
    write_config(path, merge(reg.config, {"database": (database or reg.database).urls()}))
    return run([reg.program, "audit", "verify", "-c", path])


def tamper(database, *statements):
    """As somebody who has the database itself: triggers and all are off."""
    connection = database.connect()
    cursor = connection.cursor()
    cursor.execute("SET session_replication_role = replica")
    for statement in statements:
        cursor.execute(statement)
    connection.close()
