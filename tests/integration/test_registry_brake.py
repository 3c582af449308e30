"""The brake: a list that loses too many entries waits for a person (docs/decisions/34)."""

import base64
import json
import subprocess
import time

import pytest
from lib.exposition import Page
from lib.net import wait_until
from lib.process import run

SPCS = [f"B{i:03d}" for i in range(10)]
BRAKE = {"entries": 2, "percent": 20}


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def served(reg):
    return claims(reg.list_token())


def entry(spc, sp="alpha"):
    return f"/api/v1/account/{sp}/cps/{spc}"


def mapping(spcs, host="cps.example.com"):
    return {"cpsMapping": {spc: f"https://{host}/{spc}" for spc in spcs}}


def put_all(reg, spcs, **kw):
    reply = reg.alpha.put("/api/v1/account/alpha/cps", mapping(spcs, **kw))
    assert reply.status == 200, reply.body


def wait_served(reg, spcs, timeout=10):
    return wait_until(lambda: c if set((c := served(reg))["cpsMapping"]) == set(spcs) else None, timeout,
                      what=f"a list of {len(spcs)} entries")


def held(reg):
    reply = reg.pa.get("/api/v1/publications")
    assert reply.status == 200
    return reply.json["held"]


def wait_held(reg, lost):
    return wait_until(lambda: next((h for h in held(reg) if h["lost"] == lost), None), what=f"a held loss of {lost}")


def confirm(reg, name, api=None):
    return (api or reg.pa).post("/api/v1/publications", {"confirm": name})


def events(reg, *actions):
    rows = reg.pa.get("/api/v1/audit?limit=1000").json["events"]
    return [e for e in reversed(rows) if e["action"] in actions]


def metric(reg, name):
    return Page(reg.anonymous.get("/metrics").body.decode()).value(name)


def start(registry, **changes):
    reg = registry(list={"brake": BRAKE, **changes.pop("list", {})}, **changes)
    reg.alpha = reg.add_sp("alpha", *SPCS)
    put_all(reg, SPCS)
    wait_served(reg, SPCS)
    return reg


@pytest.fixture(scope="module")
def shared(registry):
    return start(registry)


@pytest.fixture
def reg(shared):
    """All ten entries are published, and nothing is held."""
    put_all(shared, SPCS)
    wait_served(shared, SPCS)
    wait_until(lambda: held(shared) == [], what="nothing held")
    return shared


def test_what_is_within_the_limits_is_published(reg):
    assert reg.alpha.delete(entry(SPCS[0])).status == 204
    wait_served(reg, SPCS[1:])
    assert reg.alpha.delete(entry(SPCS[1])).status == 204
    wait_served(reg, SPCS[2:])
    put_all(reg, SPCS[4:])  # 2 of 8: over the percentage, but not over the number
    wait_served(reg, SPCS[4:])
    assert held(reg) == []


def test_a_loss_beyond_them_is_held_and_everybody_is_told(reg):
    before = reg.list_token()
    put_all(reg, SPCS[:7], host="elsewhere.example.com")
    hold = wait_held(reg, 3)
    assert (hold["list"], hold["of"], hold["removed"]) == ("cps-list", 10, SPCS[7:])
    time.sleep(1)
    assert reg.list_token() == before, "neither the loss nor the changes beside it"

    ready = wait_until(lambda: r if (r := reg.anonymous.get("/ready")).json["warnings"] else None, what="a warning")
    assert ready.status == 200, "a node out of rotation would serve nobody"
    assert ready.json["reasons"] == []
    assert hold["confirm"] in ready.json["warnings"][0] and "3 of 10" in ready.json["warnings"][0]
    assert metric(reg, "sticps_list_held") == 3
    assert f"THE BRAKE HOLDS, NOTHING NEW IS PUBLISHED: the next cps-list would lose 3 of 10" in reg.log_text()
    assert f"publish --confirm {hold['confirm']}" in reg.log_text()
    row = events(reg, "publication.hold")[-1]
    assert row["userId"] == "sticps-registryd" and row["address"] is None
    assert row["detail"] == {"list": "cps-list", "confirm": hold["confirm"], "lost": 3, "of": 10}

    refused = reg.pa.post("/api/v1/publications")
    assert (refused.status, refused.code) == (409, "BRAKE_HOLDS")
    assert hold["confirm"] in refused.json["detail"]


def test_a_confirmed_loss_is_published(reg):
    sequence = served(reg)["sequence"]
    put_all(reg, SPCS[:4])
    hold = wait_held(reg, 6)
    reply = confirm(reg, hold["confirm"])
    assert (reply.status, reply.json["lastSequence"]) == (202, sequence)
    assert wait_served(reg, SPCS[:4])["sequence"] == sequence + 1
    wait_until(lambda: metric(reg, "sticps_list_held") == 0, what="the metric")
    assert held(reg) == [] and reg.anonymous.get("/ready").json["warnings"] == []
    row = events(reg, "publication.confirm")[-1]
    assert (row["userId"], row["address"]) == (reg.pa_user, "127.0.0.1")
    assert row["detail"] == {"list": "cps-list", "after": sequence, "confirm": hold["confirm"], "lost": 6, "of": 10}
    again = confirm(reg, hold["confirm"])
    assert (again.status, again.code) == (409, "NOT_HELD"), "used up"


def test_the_same_loss_a_second_time_needs_another_confirmation(reg):
    put_all(reg, SPCS[:4])
    first = wait_held(reg, 6)
    assert confirm(reg, first["confirm"]).status == 202
    wait_served(reg, SPCS[:4])
    put_all(reg, SPCS)
    wait_served(reg, SPCS)
    put_all(reg, SPCS[:4])
    assert wait_held(reg, 6)["confirm"] == first["confirm"], "the same loss has the same name"
    time.sleep(0.5)
    assert len(served(reg)["cpsMapping"]) == 10


def test_a_confirmation_is_worth_nothing_for_a_bigger_loss(reg):
    put_all(reg, SPCS[:7])
    small = wait_held(reg, 3)
    # The confirmation and one more loss at once, before the publisher can look.
    db = reg.database.connect()
    db.autocommit = False
    cursor = db.cursor()
    cursor.execute("UPDATE list_state SET confirmed = %s, requested_at = now() WHERE kind = 'cps-list'",
                   (small["confirm"],))
    cursor.execute("DELETE FROM cps_entry WHERE spc = %s", (SPCS[0],))
    cursor.execute("SELECT list_changed()")
    db.commit()
    db.close()
    big = wait_held(reg, 4)
    assert big["confirm"] != small["confirm"] and big["since"] == small["since"]
    time.sleep(0.5)
    assert len(served(reg)["cpsMapping"]) == 10
    late = confirm(reg, small["confirm"])
    assert (late.status, late.code) == (409, "NOT_HELD")
    assert confirm(reg, big["confirm"]).status == 202
    wait_served(reg, SPCS[1:7])


def test_entries_that_come_back_release_the_brake(reg):
    token = reg.list_token()
    put_all(reg, SPCS[:3])
    wait_held(reg, 7)
    put_all(reg, SPCS)
    wait_until(lambda: held(reg) == [], what="nothing held")
    assert reg.list_token() == token, "the content is what it was"
    assert reg.alpha.put(entry(SPCS[0]), {"url": "https://new.example.com/x"}).status == 200
    wait_until(lambda: served(reg)["cpsMapping"][SPCS[0]] == "https://new.example.com/x", what="the new URL")


def test_entries_that_wait_are_marked_when_they_are_published(reg):
    put_all(reg, SPCS[:7])
    hold = wait_held(reg, 3)
    assert reg.alpha.put(entry(SPCS[0]), {"url": "https://new.example.com/x"}).status == 200
    time.sleep(0.5)
    assert reg.alpha.get(entry(SPCS[0])).json["publishedSequence"] is None
    assert confirm(reg, hold["confirm"]).status == 202
    sequence = wait_served(reg, SPCS[:7])["sequence"]
    wait_until(lambda: reg.alpha.get(entry(SPCS[0])).json["publishedSequence"] == sequence, what="the mark")


def test_a_suspended_account_is_a_loss_too(reg):
    assert reg.pa.put("/api/v1/account/alpha/state", {"state": "suspended"}).status == 200
    hold = wait_held(reg, 10)
    assert hold["of"] == 10
    assert reg.pa.put("/api/v1/account/alpha/state", {"state": "active"}).status == 200
    wait_until(lambda: held(reg) == [], what="nothing held")


def test_only_an_administrator_of_the_sti_pa_confirms(reg):
    put_all(reg, SPCS[:4])
    name = wait_held(reg, 6)["confirm"]
    password = "correct horse battery staple"
    assert reg.pa.put("/api/v1/user/auditor", {"role": "pa-auditor", "password": password}).status in (200, 201)
    auditor = reg.sign_in("auditor", password)
    assert [h["confirm"] for h in auditor.get("/api/v1/publications").json["held"]] == [name]
    assert confirm(reg, name, auditor).status == 403
    assert confirm(reg, name, reg.alpha).status == 403
    assert reg.anonymous.post("/api/v1/publications", {"confirm": name}).status == 401
    made = reg.pa.post("/api/v1/key", {"name": "a machine", "scopes": ["publish"]})
    machine = reg.anonymous.with_token(made.json["key"])
    assert machine.post("/api/v1/publications").code == "BRAKE_HOLDS"
    assert confirm(reg, name, machine).status == 403, "a machine publishes, but does not judge"
    for body in ({"confirm": 1}, {"confirm": None}, {"confirm": name, "more": "x"}, {"sequence": "1"}, []):
        assert reg.pa.post("/api/v1/publications", body).status == 422, body
    for wrong in ("", name[:-1], name.upper() if name.upper() != name else name[::-1], "'; DROP TABLE audit; --"):
        reply = confirm(reg, wrong)
        assert (reply.status, reply.code) == (409, "NOT_HELD"), wrong
    time.sleep(0.3)
    assert len(served(reg)["cpsMapping"]) == 10


def test_the_held_list_does_not_expire(registry):
    reg = start(registry, list={"lifetime": 8, "period": 1})
    put_all(reg, SPCS[:2], host="elsewhere.example.com")
    hold = wait_held(reg, 8)
    first = served(reg)
    later = wait_until(lambda: c if (c := served(reg))["sequence"] >= first["sequence"] + 3 else None, 20,
                       what="three more lists")
    assert later["cpsMapping"] == first["cpsMapping"], "the last content, once more"
    assert later["exp"] > first["exp"] and later["exp"] > time.time()
    page = reg.pa.get("/api/v1/publications").json
    assert page["publications"][0]["reason"] == "held" and page["publications"][0]["entries"] == 10
    assert page["held"][0]["since"] == hold["since"]
    assert confirm(reg, hold["confirm"]).status == 202, "still the same loss"
    wait_served(reg, SPCS[:2])


def test_a_restart_and_another_leader_hold_on(registry, new_database):
    database = new_database()
    reg = start(registry, database=database)
    put_all(reg, SPCS[:4])
    hold = wait_held(reg, 6)
    second = registry(database=database, list={"brake": BRAKE}, base_url=reg.base_url, start=False)
    second.start()
    wait_until(lambda: second.anonymous.get("/ready").json["warnings"], what="the second node's warning")
    assert metric(second, "sticps_list_held") == 6
    reg.stop()
    wait_until(lambda: metric(second, "sticps_publisher_leader") == 1, 20, what="the second node to lead")
    time.sleep(1)
    assert len(served(second)["cpsMapping"]) == 10
    second.pa = second.sign_in(reg.pa_user, reg.pa_password)
    assert [h["confirm"] for h in held(second)] == [hold["confirm"]]
    assert confirm(second, hold["confirm"]).status == 202
    wait_served(second, SPCS[:4])


def test_a_hundred_percent_switches_it_off(registry):
    reg = start(registry, list={"brake": {"entries": 1, "percent": 100}})
    put_all(reg, [])
    wait_served(reg, [])


def test_by_default_a_small_list_may_be_emptied(registry):
    reg = registry(list={"brake": None})
    reg.alpha = reg.add_sp("alpha", *SPCS)
    put_all(reg, SPCS)
    wait_served(reg, SPCS)
    put_all(reg, [])
    wait_served(reg, [])


def test_the_default_is_the_rule_of_clients(registry):
    reg = registry(list={"brake": None})
    spcs = [f"C{i:03d}" for i in range(105)]
    reg.alpha = reg.add_sp("alpha", *spcs)
    put_all(reg, spcs)
    wait_served(reg, spcs)
    put_all(reg, spcs[21:])  # 21 of 105: more than 20, but just 20 %
    wait_served(reg, spcs[21:])
    put_all(reg, spcs[42:])  # 21 of 84: a quarter
    wait_held(reg, 21)


@pytest.mark.parametrize("brake, key", [({"entries": 1000001}, "list.brake.entries"), ({"percent": 101}, "list.brake.percent")])
def test_the_limits_are_checked(registry, brake, key):
    reg = registry(start=False, list={"brake": brake})
    done = reg.check()
    assert done.returncode == 1 and key in done.stderr


# ---- STI-CAs ----


def new_root(folder, name):
    subprocess.run(["openssl", "req", "-new", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", folder / f".{name}.key", "-out", folder / f".{name}.new", "-days", "365",
                    "-subj", f"/C=US/O=Test/CN=Root {name}", "-addext", "keyUsage=critical,keyCertSign"],
                   check=True, capture_output=True)
    (folder / f".{name}.new").rename(folder / f"{name}.crt")
    return (folder / f"{name}.crt").read_text()


def served_cas(reg):
    return claims(reg.anonymous.get("/download/v1/ca-list").body.decode())


def test_all_sti_cas_gone_at_once_are_held(registry, tmp_path):
    cas = tmp_path / "cas"
    cas.mkdir()
    old = {new_root(cas, "one"), new_root(cas, "two")}
    reg = registry(ca_list={"directory": str(cas), "lifetime": 8, "period": 1})
    wait_until(lambda: reg.anonymous.get("/download/v1/ca-list").status == 200, what="the first list of CAs")
    wait_until(lambda: set(served_cas(reg)["trustList"]) == old, what="both CAs")

    third = new_root(tmp_path, "three")
    swapped = tmp_path / "next"
    swapped.mkdir()
    (tmp_path / "three.crt").rename(swapped / "three.crt")
    cas.rename(tmp_path / "before")  # away for a moment: such a directory is not taken
    swapped.rename(cas)
    hold = wait_held(reg, 2)
    assert hold["list"] == "ca-list" and len(hold["removed"][0]) == 64
    sequence = served_cas(reg)["sequence"]
    wait_until(lambda: served_cas(reg)["sequence"] > sequence, what="the last content, once more")
    assert set(served_cas(reg)["trustList"]) == old
    assert metric(reg, "sticps_ca_list_held") == 2 and metric(reg, "sticps_list_held") == 0
    assert reg.pa.post("/api/v1/publications").status == 202, "the other list is free"

    done = publish(reg, "--dry-run")
    assert done.returncode == 3 and "+ " in done.stdout and "CN=Root one" in done.stdout
    assert confirm(reg, hold["confirm"]).status == 202
    wait_until(lambda: served_cas(reg)["trustList"] == [third], what="the new CA alone")
    assert held(reg) == []


# ---- the command ----


def publish(reg, *args):
    return run([reg.program, "publish", "-c", reg.config_path, *args])


def dump(database):
    """Everything that a dry run could have changed."""
    return [database.query(f"SELECT * FROM {table} ORDER BY 1")
            for table in ("audit", "cps_entry", "publication")] + [
                database.query("SELECT kind, sequence, requested_at, held::text, confirmed FROM list_state ORDER BY 1")]


def test_a_dry_run_shows_every_difference_and_changes_nothing(reg):
    sequence = served(reg)["sequence"]
    done = publish(reg, "--dry-run")
    assert done.returncode == 0
    assert done.stdout == (f"cps-list: sequence {sequence + 1} of 10 entries would follow {sequence} of 10\n"
                           "  0 added, 0 changed, 0 removed, 10 unchanged\n")
    reg.stop()  # so that the difference stays
    db = reg.database
    db.query("UPDATE cps_entry SET url = 'https://other.example.com/x' WHERE spc = %s", (SPCS[1],))
    db.query("DELETE FROM cps_entry WHERE spc = %s", (SPCS[0],))
    db.query("INSERT INTO spc_owner VALUES ('ZZ99', 'alpha')")
    db.query("INSERT INTO cps_entry (spc, sp, url, version, updated_by) VALUES ('ZZ99', 'alpha', 'https://new.example.com/x', nextval('entry_version'), 'x')")
    before = dump(db)
    done = publish(reg, "--dry-run")
    assert done.returncode == 0
    assert done.stdout == (
        f"cps-list: sequence {sequence + 1} of 10 entries would follow {sequence} of 10\n"
        f"  - {SPCS[0]} https://cps.example.com/{SPCS[0]}\n"
        f"  ~ {SPCS[1]} https://cps.example.com/{SPCS[1]} -> https://other.example.com/x\n"
        "  + ZZ99 https://new.example.com/x\n"
        "  1 added, 1 changed, 1 removed, 8 unchanged\n")
    shown = json.loads(publish(reg, "--dry-run", "--json").stdout)
    assert shown == [{
        "list": "cps-list", "lastSequence": sequence, "nextSequence": sequence + 1, "entries": 10,
        "added": [{"spc": "ZZ99", "url": "https://new.example.com/x"}],
        "changed": [{"spc": SPCS[1], "url": "https://other.example.com/x",
                     "before": f"https://cps.example.com/{SPCS[1]}"}],
        "removed": [{"spc": SPCS[0], "url": f"https://cps.example.com/{SPCS[0]}"}],
        "unchanged": 8, "held": False}]
    assert dump(db) == before

    db.query("DELETE FROM cps_entry WHERE spc = ANY (%s)", (SPCS[2:6],))
    done = publish(reg, "--dry-run")
    assert done.returncode == 3 and "THE BRAKE HOLDS: 5 of 10 entries" in done.stdout
    named = json.loads(publish(reg, "--dry-run", "--json").stdout)[0]
    assert named["held"] is True and f"publish --confirm {named['confirm']}" in done.stdout
    db.query("UPDATE cps_entry SET url = 'https://127.0.0.1/?x' WHERE spc = %s", (SPCS[9],))
    done = publish(reg, "--dry-run")
    assert done.returncode == 2 and f"correct the entry of {SPCS[9]}" in done.stderr
    db.query("UPDATE cps_entry SET url = 'https://cps.example.com/9' WHERE spc = %s", (SPCS[9],))

    reg.start()
    assert wait_held(reg, 5)["confirm"] == named["confirm"], "the publisher calls it the same"
    done = publish(reg)
    assert done.returncode == 2 and named["confirm"] in done.stderr
    done = publish(reg, "--confirm", "0123456789abcdef")
    assert done.returncode == 2 and "no list is held back under this name" in done.stderr
    assert publish(reg, "--confirm", named["confirm"]).returncode == 0
    wait_until(lambda: len(served(reg)["cpsMapping"]) == 6, what="the confirmed list")
    row = events(reg, "publication.confirm")[-1]
    assert (row["userId"], row["address"]) == ("sticps-registryd", None)
    sequence = served(reg)["sequence"]
    assert publish(reg).returncode == 0
    wait_until(lambda: served(reg)["sequence"] == sequence + 1, what="the list that was asked for")


def test_a_dry_run_before_the_first_list(registry):
    reg = registry(start=False)
    done = publish(reg, "--dry-run")
    assert done.returncode == 2 and "schema" in done.stderr
    reg.init()
    done = publish(reg, "--dry-run")
    assert done.stdout.startswith("cps-list: sequence 1 of 0 entries would follow 0 of 0\n")


@pytest.mark.parametrize("arguments", [
    ["--dry-run", "--confirm", "x"], ["--json"], ["-t"], ["more"], ["--confirm"], ["--pa-user", "x"]])
def test_wrong_usage_of_the_command(registry, arguments):
    reg = registry(start=False)
    done = publish(reg, *arguments)
    assert done.returncode == 1 and "Usage:" in done.stderr


@pytest.mark.parametrize("arguments", [["--dry-run"], ["--confirm", "x"], ["--json"]])
def test_its_options_are_its_own(registry, arguments):
    reg = registry(start=False)
    for command in (["init"], ["audit", "verify"], []):
        done = run([reg.program, "-c", reg.config_path, *arguments, *command])
        assert done.returncode == 1 and "Usage:" in done.stderr
