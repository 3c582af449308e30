"""Who owned which SPC: written with every change, whole for the STI-PA, its own part for an account."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reg(registry):
    one = registry()
    one.alpha, one.beta = one.add_sp("alpha"), one.add_sp("beta")
    password = "an auditor's password"
    one.pa.put("/api/v1/user/auditor", {"role": "pa-auditor", "password": password})
    one.auditor = one.sign_in("auditor", password)
    one.pa.put("/api/v1/account/alpha/user/viewer", {"role": "sp-viewer", "password": password})
    one.viewer = one.sign_in("viewer", password)
    return one


def spc_of(sp, spc, transfer=False):
    return f"/api/v1/account/{sp}/spc/{spc}" + ("?transfer=true" if transfer else "")


def path(spc):
    return f"/api/v1/spc/{spc}/history"


def periods(api, spc):
    reply = api.get(path(spc))
    assert reply.status == 200, (reply.status, reply.body)
    assert reply.json.keys() == {"status", "spc", "periods"} and reply.json["spc"] == spc
    return reply.json["periods"]


def check_chain(rows):
    """(sp, since, gained, until, lost) from the oldest: no period overlaps another, and the ends meet."""
    for before, after in zip(rows, rows[1:]):
        assert before[3] is not None and before[3] <= after[1], (before, after)
        if before[4] == "transferred":
            assert after[2] == "transferred" and after[1] == before[3] and after[0] != before[0], (before, after)
        else:
            assert (before[4], after[2]) == ("deleted", "assigned"), (before, after)
    for row in rows:
        assert row[3] is None or row[1] <= row[3]


def rows_of(reg, spc):
    return reg.database.query(
        "SELECT sp, since_at, gained, until_at, lost FROM spc_period WHERE spc = %s ORDER BY id", (spc,))


def test_a_life_of_an_spc(reg):
    assert reg.pa.put(spc_of("alpha", "1000")).status == 201
    assert reg.pa.put(spc_of("alpha", "1000")).status == 200  # no change
    assert reg.pa.put(spc_of("beta", "1000")).status == 409  # no change
    assert reg.pa.put(spc_of("beta", "1000", True)).status == 201
    assert reg.pa.delete(spc_of("beta", "1000")).status == 204
    assert reg.pa.put(spc_of("alpha", "1000")).status == 201
    seen = periods(reg.pa, "1000")
    assert [(p["sp"], p["gained"], p["lost"]) for p in seen] == [
        ("alpha", "assigned", None), ("beta", "transferred", "deleted"), ("alpha", "assigned", "transferred")]
    assert [p.keys() for p in seen] == [{"sp", "since", "gained", "until", "lost"}] * 3
    assert seen[0]["until"] is None and seen[2]["until"] == seen[1]["since"]
    assert seen[2]["since"] < seen[2]["until"] <= seen[1]["until"] <= seen[0]["since"]
    assert periods(reg.auditor, "1000") == seen
    # an account: its own, and no word of others
    assert periods(reg.alpha, "1000") == periods(reg.viewer, "1000") == [seen[0], seen[2]]
    assert periods(reg.beta, "1000") == [seen[1]]


def test_what_nobody_or_somebody_else_owned(reg):
    reg.pa.put(spc_of("alpha", "1001"))
    assert reg.pa.get(path("1999")).code == "NOT_FOUND"
    theirs, nobodys = reg.beta.get(path("1001")), reg.beta.get(path("1999"))
    assert (theirs.status, theirs.code) == (nobodys.status, nobodys.code) == (403, "SPC_NOT_OWNED")
    assert theirs.json["detail"] == nobodys.json["detail"]
    assert reg.anonymous.get(path("1001")).status == 401
    assert reg.pa.get(path("12")).json["errors"][0]["pointer"] == "/spc"
    assert reg.pa.get(path("1001") + "?limit=0").json["errors"][0]["pointer"] == "/limit"
    assert reg.pa.get(path("1001") + "?after=x").json["errors"][0]["pointer"] == "/after"
    assert reg.pa.get(path("vwc55")).status == 404


def test_pages(reg):
    for i in range(7):
        assert reg.pa.put(spc_of(("alpha", "beta")[i % 2], "1002", True)).status == 201
    pages, after = [], None
    while after != "end":
        reply = reg.pa.get(path("1002") + "?limit=3" + (f"&after={after}" if after else "")).json
        pages.append(reply["periods"])
        after = reply.get("next", "end")
    assert [len(p) for p in pages] == [3, 3, 1]
    assert sum(pages, []) == periods(reg.pa, "1002")
    own = reg.beta.get(path("1002") + "?limit=2").json
    assert [p["sp"] for p in own["periods"]] == ["beta", "beta"] and "next" in own


def test_a_refused_change_leaves_no_period(reg):
    reg.pa.put(spc_of("alpha", "1003"))
    before = rows_of(reg, "1003")
    assert reg.alpha.put(spc_of("alpha", "1003")).status == 403
    assert reg.pa.put(spc_of("nobody", "1003", True)).status == 404
    assert reg.pa.delete(spc_of("beta", "1003")).status == 403
    assert rows_of(reg, "1003") == before and len(before) == 1


def test_transfers_at_once_leave_one_chain(reg):
    reg.pa.put(spc_of("alpha", "1004"))

    def turn(i):
        if i % 7 == 3:
            deleted = [reg.pa.delete(spc_of(sp, "1004")).status for sp in ("alpha", "beta")]
            return 204 if 204 in deleted else 403
        return reg.pa.put(spc_of(("alpha", "beta")[i % 2], "1004", True)).status

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(turn, range(80)))
    assert set(statuses) <= {200, 201, 204, 403} and statuses.count(204) > 0
    rows = rows_of(reg, "1004")
    check_chain(rows)
    assert len(rows) == 1 + statuses.count(201)
    assert {r[0] for r in rows} == {"alpha", "beta"}
    owner = reg.database.query("SELECT sp FROM spc_owner WHERE spc = '1004'")
    assert owner == [(r[0],) for r in rows if r[3] is None]


def test_periods_follow_each_other_though_a_transaction_began_earlier(reg):
    """A transfer whose transaction began first may get the row last."""
    reg.pa.put(spc_of("alpha", "1005"))
    late = psycopg2.connect(reg.database.url)
    cursor = late.cursor()
    cursor.execute("SELECT now()")
    assert reg.pa.put(spc_of("beta", "1005", True)).status == 201
    cursor.execute("UPDATE spc_owner SET sp = 'alpha' WHERE spc = '1005'")
    late.commit()
    late.close()
    rows = rows_of(reg, "1005")
    assert [r[0] for r in rows] == ["alpha", "beta", "alpha"]
    check_chain(rows)


def test_a_clock_that_was_stepped_back_makes_no_period_overlap(reg):
    reg.pa.put(spc_of("alpha", "1006"))
    reg.database.query("UPDATE spc_period SET since_at = now() + interval '1 hour' WHERE spc = '1006'")
    assert reg.pa.put(spc_of("beta", "1006", True)).status == 201
    assert reg.pa.delete(spc_of("beta", "1006")).status == 204
    assert reg.pa.put(spc_of("beta", "1006")).status == 201
    rows = rows_of(reg, "1006")
    check_chain(rows)
    assert len({r[1] for r in rows}) == 1


@pytest.mark.parametrize("statement", [
    "DELETE FROM spc_period",
    "TRUNCATE spc_period",
    "UPDATE spc_period SET sp = 'beta' WHERE until_at IS NOT NULL",
    "UPDATE spc_period SET until_at = NULL, lost = NULL WHERE until_at IS NOT NULL",
])
def test_the_past_does_not_change(reg, statement):
    with pytest.raises(psycopg2.errors.RaiseException, match="append-only"):
        reg.database.query(statement)


def test_an_spc_has_one_owner_at_a_time(reg):
    reg.pa.put(spc_of("alpha", "1007"))
    with pytest.raises(psycopg2.errors.UniqueViolation):
        reg.database.query("INSERT INTO spc_period (spc, sp, since_at, gained) VALUES ('1007', 'beta', now(), 'assigned')")


def test_the_change_and_its_period_stand_or_fall_together(reg):
    connection = psycopg2.connect(reg.database.url)
    connection.cursor().execute("INSERT INTO spc_owner VALUES ('1008', 'alpha')")
    connection.rollback()
    connection.close()
    assert rows_of(reg, "1008") == []


# ---- an upgrade ----


def test_what_was_before_the_upgrade_is_taken_over(reg, registry, new_database):
    """The step applied to a database whose trail tells of earlier owners."""
    one = registry(database=new_database())
    one.add_sp("alpha"), one.add_sp("beta")
    one.pa.put(spc_of("alpha", "2000")), one.pa.put(spc_of("beta", "2000", True))
    one.pa.put(spc_of("alpha", "2001")), one.pa.delete(spc_of("alpha", "2001")), one.pa.put(spc_of("alpha", "2001"))
    one.pa.put(spc_of("beta", "2002")), one.pa.delete(spc_of("beta", "2002"))
    query = "SELECT spc, sp, gained, lost FROM spc_period ORDER BY spc, id"
    written = one.database.query(query)
    one.stop()
    before = (ROOT / "sql/006_accounts_api.sql").read_text()
    spc_put = before[before.index("CREATE FUNCTION spc_put("):before.index("CREATE FUNCTION spc_delete(")]
    connection = one.database.connect("sticps_owner")
    cursor = connection.cursor()
    cursor.execute("DROP TABLE spc_period CASCADE; DROP FUNCTION spc_owner_changed CASCADE;"
                   "DROP FUNCTION spc_period_is_final, spc_history;"
                   "DELETE FROM permission WHERE object = 'spc_history';"
                   "ALTER TABLE spc_owner ADD since_at timestamptz NOT NULL DEFAULT now()")
    cursor.execute(spc_put.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    cursor.execute("UPDATE spc_owner o SET since_at = (SELECT max(at) FROM audit a WHERE a.spc = o.spc AND a.sp = o.sp"
                   " AND action IN ('spc.add', 'spc.transfer-in'))")
    (step,) = (ROOT / "sql").glob("*_spc_history.sql")
    cursor.execute(step.read_text())
    cursor.execute("SELECT permissions_apply()")
    connection.close()
    assert one.database.query(query) == written
    one.start()
    assert one.pa.put(spc_of("alpha", "2000", True)).status == 201
    check_chain(rows_of(one, "2000"))
