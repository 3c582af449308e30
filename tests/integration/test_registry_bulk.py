"""The whole mapping of an account in one request: PUT and GET of /api/v1/account/{sp}/cps (PROTOCOL section 3)."""

import csv
import io
import json
import random
import threading

import pytest
from lib.net import wait_until
from lib.passport import verify

A, B, C = (f"https://cps.example.com/cps/company/{x}" for x in "abc")
JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}
MIB = 1024 * 1024
COUNTS = ("created", "changed", "deleted", "unchanged")


@pytest.fixture(scope="module")
def reg(registry):
    one = registry(lab=False, base_url="https://sti-pa.example.com", cps_url={"ports": [8443]})
    one.alpha = one.add_sp("alpha", "1234", "5678", "VWC55", "818H")
    one.beta = one.add_sp("beta", "9999")
    one.viewer = user(one, "alpha-viewer", "sp-viewer", "alpha")
    one.auditor = user(one, "auditor", "pa-auditor")
    return one


@pytest.fixture
def empty(reg):
    """alpha without an entry."""
    assert put(reg.alpha, {}).status == 200
    return reg


def user(reg, name, role, sp=None):
    path = f"/api/v1/account/{sp}/user/{name}" if sp else f"/api/v1/user/{name}"
    return reg.sign_in(name, reg.pa.put(path, {"role": role}).json["password"])


def path_of(sp="alpha", query=""):
    return f"/api/v1/account/{sp}/cps{query}"


def put(api, mapping, sp="alpha", query="", **kw):
    return api.put(path_of(sp, query), {"cpsMapping": mapping}, **kw)


def put_csv(api, text, sp="alpha", query="", kind="text/csv"):
    return api.request("PUT", path_of(sp, query), body=text, headers={"Content-Type": kind})


def mapping_of(reg, sp="alpha"):
    page = reg.pa.get(path_of(sp, "?limit=1000")).json
    assert "next" not in page
    return {e["spc"]: e["url"] for e in page["entries"]}


def versions(reg, sp="alpha"):
    return {e["spc"]: e["version"] for e in reg.pa.get(path_of(sp, "?limit=1000")).json["entries"]}


def counts(reply):
    assert reply.status == 200, (reply.status, reply.body[:2000])
    assert reply.json.keys() == {"status", "dryRun", *COUNTS}
    assert reply.json["status"] == "success"
    return tuple(reply.json[name] for name in COUNTS)


def audit_rows(reg, after=0):
    return reg.database.query(
        "SELECT user_id, host(address), action, sp, spc, detail FROM audit WHERE id > %s ORDER BY id", (after,))


def last_audit(reg):
    return reg.database.query("SELECT coalesce(max(id), 0) FROM audit")[0][0]


def pointers(reply):
    assert all(e.keys() == {"pointer", "detail"} and e["detail"] for e in reply.json["errors"])
    return sorted(e["pointer"] for e in reply.json["errors"])


# ---- what it does ----


def test_the_mapping_becomes_what_was_sent(empty):
    reg = empty
    first = put(reg.alpha, {"1234": A, "5678": A})
    assert (counts(first), first.json["dryRun"]) == ((2, 0, 0, 0), False)
    before = versions(reg)
    assert counts(put(reg.alpha, {"5678": B, "1234": A, "VWC55": C})) == (1, 1, 0, 1)
    assert mapping_of(reg) == {"1234": A, "5678": B, "VWC55": C}
    after = versions(reg)
    assert after["1234"] == before["1234"]  # untouched
    assert min(after["5678"], after["VWC55"]) > max(before.values())
    assert counts(put(reg.alpha, {"VWC55": C})) == (0, 0, 2, 1)
    assert mapping_of(reg) == {"VWC55": C}
    assert counts(put(reg.alpha, {})) == (0, 0, 1, 0)
    assert mapping_of(reg) == {}
    assert counts(put(reg.alpha, {})) == (0, 0, 0, 0)


def test_versions_never_come_back(empty):
    put(empty.alpha, {"1234": A})
    first = versions(empty)["1234"]
    put(empty.alpha, {})
    put(empty.alpha, {"1234": A})
    assert versions(empty)["1234"] > first


def test_an_entry_set_in_bulk_is_as_any_other(empty):
    reg = empty
    put(reg.alpha, {"1234": A})
    entry = reg.alpha.get(path_of() + "/1234")
    assert (entry.json["url"], entry.json["updatedBy"]) == (A, "alpha-admin")
    changed = reg.alpha.put(path_of() + "/1234", {"url": B}, headers={"If-Match": entry.headers["ETag"]})
    assert changed.status == 200
    assert counts(put(reg.alpha, {"1234": B})) == (0, 0, 0, 1)


def test_lower_case_spcs_are_folded(empty):
    assert counts(put(empty.alpha, {"vwc55": A, "818h": B})) == (2, 0, 0, 0)
    assert mapping_of(empty) == {"VWC55": A, "818H": B}


def test_other_accounts_are_not_touched(empty):
    reg = empty
    put(reg.beta, {"9999": A}, "beta")
    put(reg.alpha, {"1234": A})
    put(reg.alpha, {})
    assert mapping_of(reg, "beta") == {"9999": A}


def test_the_pa_sets_it_for_an_account(empty):
    reg = empty
    assert counts(put(reg.pa, {"1234": A})) == (1, 0, 0, 0)
    assert reg.alpha.get(path_of()).json["entries"][0]["updatedBy"] == reg.pa_user
    assert put(reg.pa, {"9999": A}).code == "SPC_NOT_OWNED"
    assert put(reg.pa, {}, "nobody").code == "NOT_FOUND"


def test_roles(reg):
    for api, sp, code in [(reg.viewer, "alpha", "FORBIDDEN"), (reg.auditor, "alpha", "FORBIDDEN"),
                          (reg.beta, "alpha", "FORBIDDEN"), (reg.alpha, "beta", "FORBIDDEN"),
                          (reg.alpha, "nobody", "FORBIDDEN")]:
        for query in ("", "?dryRun=true"):
            reply = put(api, {}, sp, query)
            assert (reply.status, reply.code) == (403, code)
            assert "errors" not in reply.json
    assert put(reg.anonymous, {}).code == "UNAUTHENTICATED"
    assert reg.anonymous.request("PUT", path_of(), body="{", headers=JSON).status == 401


def test_a_suspended_account_is_refused(reg):
    gamma = reg.add_sp("gamma", "7000")
    assert counts(put(gamma, {"7000": A}, "gamma")) == (1, 0, 0, 0)
    reg.pa.put("/api/v1/account/gamma/state", {"state": "suspended"})
    assert put(gamma, {}, "gamma").code == "ACCOUNT_SUSPENDED"
    assert mapping_of(reg, "gamma") == {"7000": A}
    assert counts(put(reg.pa, {}, "gamma")) == (0, 0, 1, 0)


# ---- all or nothing ----


def test_what_the_account_does_not_own_is_403_and_all_named(empty):
    reg = empty
    put(reg.alpha, {"1234": A})
    mark = last_audit(reg)
    reply = put(reg.alpha, {"5678": B, "9999": A, "zz99": A, "1234": B})
    assert (reply.status, reply.code) == (403, "SPC_NOT_OWNED")
    assert pointers(reply) == ["/cpsMapping/9999", "/cpsMapping/zz99"]
    assert mapping_of(reg) == {"1234": A}
    assert audit_rows(reg, mark) == []
    reply = put_csv(reg.alpha, f"SPC,URL\r\n1234,{A}\r\n9999,{A}\r\n5678,{A}\r\nZZ99,{A}\r\n")
    assert (reply.code, pointers(reply)) == ("SPC_NOT_OWNED", ["/line/3", "/line/5"])
    reply = reg.alpha.put(path_of(), {"0-9999": A})
    assert (reply.code, pointers(reply)) == ("SPC_NOT_OWNED", ["/0-9999"])
    assert mapping_of(reg) == {"1234": A}


def test_a_failure_in_the_middle_changes_nothing(empty):
    """The audit row of one entry cannot be written: none of the others is there either."""
    reg = empty
    put(reg.alpha, {"1234": A, "818H": A})
    mark = last_audit(reg)
    reg.database.query(
        "CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.spc = 'VWC55' THEN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER stumble BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION stumble()")
    try:
        reply = put(reg.alpha, {"1234": B, "5678": B, "VWC55": B})
        assert (reply.status, reply.code) == (503, "UNAVAILABLE")
    finally:
        reg.database.query("DROP TRIGGER stumble ON audit; DROP FUNCTION stumble()")
    assert mapping_of(reg) == {"1234": A, "818H": A}
    assert audit_rows(reg, mark) == []
    assert counts(put(reg.alpha, {"1234": B, "5678": B, "VWC55": B})) == (2, 1, 1, 0)


# ---- what is wrong with a request ----


@pytest.mark.parametrize(
    "mapping,expected",
    [
        ({"123": A}, ["/cpsMapping/123"]),
        ({"": A}, ["/cpsMapping/"]),
        ({"a/b~c": A}, ["/cpsMapping/a~1b~0c"]),
        ({"ключ": A}, ["/cpsMapping/ключ"]),
        ({"1234": 1, "5678": None, "VWC55": [A], "818H": {"url": A}},
         ["/cpsMapping/1234", "/cpsMapping/5678", "/cpsMapping/818H", "/cpsMapping/VWC55"]),
        ({"1234": "", "5678": "http://cps.example.com/", "VWC55": A}, ["/cpsMapping/1234", "/cpsMapping/5678"]),
        ({"12": "x"}, ["/cpsMapping/12", "/cpsMapping/12"]),  # both are wrong
        ({"0-1234": A}, ["/cpsMapping/0-1234"]),  # the other form's
        ({"VWC55": A, "vwc55": A}, ["/cpsMapping/vwc55"]),
        ({"818h": A, "818H": B, "1234": "x"}, ["/cpsMapping/1234", "/cpsMapping/818H"]),
    ],
)
def test_bad_entries_are_422_and_all_named(empty, mapping, expected):
    mark = last_audit(empty)
    reply = put(empty.alpha, mapping)
    assert (reply.status, reply.code) == (422, "INVALID")
    assert pointers(reply) == expected
    assert mapping_of(empty) == {}
    assert audit_rows(empty, mark) == []


def test_bad_entries_come_before_those_of_others(empty):
    reply = put(empty.alpha, {"9999": A, "1234": "x"})
    assert (reply.status, pointers(reply)) == (422, ["/cpsMapping/1234"])


def test_the_normal_form_is_in_the_error(reg):
    reply = put(reg.alpha, {"1234": "HTTPS://CPS.Example.com:443/a/../b"})
    assert "https://cps.example.com/b" in reply.json["errors"][0]["detail"]


def test_the_twin_is_named(reg):
    assert '"vwc55"' in put(reg.alpha, {"vwc55": A, "VWC55": A}).json["errors"][0]["detail"]


@pytest.mark.parametrize(
    "body,expected",
    [
        ([], [""]),
        (5, [""]),
        ("cpsMapping", [""]),
        (False, [""]),
        ({}, ["/cpsMapping"]),
        ({"1234": A}, ["/1234", "/cpsMapping"]),
        ({"cpsMapping": None}, ["/cpsMapping"]),
        ({"cpsMapping": []}, ["/cpsMapping"]),
        ({"cpsMapping": "x"}, ["/cpsMapping"]),
        ({"cpsMapping": {}, "x": 1, "a/b": 2}, ["/a~1b", "/x"]),
        ({"cpsMapping": {"12": A}, "x": 1}, ["/cpsMapping/12", "/x"]),
        ({"cpsMapping": {}, "0-1234": A}, ["/0-1234"]),
        ({"cpsmapping": {}}, ["/cpsMapping", "/cpsmapping"]),
    ],
)
def test_wrong_bodies_are_422(reg, body, expected):
    reply = reg.alpha.put(path_of(), body)
    assert (reply.status, reply.code) == (422, "INVALID")
    assert pointers(reply) == expected


@pytest.mark.parametrize(
    "body",
    ["", "{", '{"cpsMapping":{}', '{"cpsMapping":{"1234":"x","1234":"y"}}', '{"cpsMapping":{},"cpsMapping":{}}',
     b'{"cpsMapping":{"\xff":1}}', '{"cpsMapping":{}} x', '{"cpsMapping":' + '{"a":' * 20 + "1" + "}" * 21, "SPC,URL"],
)
def test_what_is_not_json_is_400(reg, body):
    reply = reg.alpha.request("PUT", path_of(), body=body, headers=JSON)
    assert (reply.status, reply.code) == (400, "NOT_JSON")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/jsonp", "text/csvx", "application/csv", "application/json, text/csv"])
def test_other_media_types_are_415(reg, kind):
    reply = reg.alpha.request("PUT", path_of(), body='{"cpsMapping":{}}', headers={"Content-Type": kind})
    assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert reply.headers["Accept"] == "application/json, text/csv"


def test_path_query_and_body_faults_come_together(reg):
    reply = put(reg.alpha, {"12": A}, "a%20b", "?dryRun=yes")
    assert (reply.status, pointers(reply)) == (422, ["/cpsMapping/12", "/dryRun", "/sp"])


@pytest.mark.parametrize("query", ["?dryRun=", "?dryRun=1", "?dryRun=TRUE", "?dryRun=true&dryRun=true", "?dryRun=%zz"])
def test_bad_dry_run_is_422(reg, query):
    assert put(reg.alpha, {}, query=query).code == "INVALID"


def test_if_match(empty):
    """There is no ETag of a whole mapping, so only the star can hold; a client is never left in the belief."""
    reg = empty
    for value in ('"1"', 'W/"1"', '"1", *', "x"):
        reply = put(reg.alpha, {"1234": A}, headers={"If-Match": value})
        assert (reply.status, reply.code) == (412, "PRECONDITION_FAILED"), value
    assert mapping_of(reg) == {}
    assert put(reg.alpha, {"12": A}, headers={"If-Match": '"1"'}).status == 422
    assert put(reg.anonymous, {}, headers={"If-Match": '"1"'}).status == 401
    assert counts(put(reg.alpha, {"1234": A}, headers={"If-Match": "*"})) == (1, 0, 0, 0)


def test_wrong_methods(reg):
    for method in ("POST", "DELETE", "PATCH"):
        reply = reg.alpha.request(method, path_of())
        assert {m.strip() for m in reply.headers["Allow"].split(",")} == {"GET", "HEAD", "PUT"}


# ---- size ----


def padded(size):
    text = json.dumps({"cpsMapping": {"1234": A}})
    return text + " " * (size - len(text))


def test_the_limit_is_8_mib(empty):
    assert empty.alpha.request("PUT", path_of(), body=padded(8 * MIB), headers=JSON).status == 200
    reply = empty.alpha.request("PUT", path_of(), body=padded(8 * MIB + 1), headers=JSON)
    assert (reply.status, reply.code) == (413, "TOO_LARGE")
    # the other routes keep theirs
    reply = empty.alpha.request("PUT", path_of() + "/1234", body=json.dumps({"url": A}) + " " * 65536, headers=JSON)
    assert (reply.status, reply.code) == (413, "TOO_LARGE")


@pytest.mark.parametrize("make,pointer", [
    (lambda n: (json.dumps({"cpsMapping": {str(i): 1 for i in range(n)}}), JSON), "/cpsMapping"),
    (lambda n: (json.dumps({f"0-{i}": 1 for i in range(n)}), JSON), ""),
    (lambda n: ("".join(f"{i},x\n" for i in range(n)), CSV), "/line/50001"),
])
def test_a_mapping_has_at_most_50000_entries(reg, make, pointer):
    for n in (50_000, 50_001):
        body, headers = make(n)
        reply = reg.alpha.request("PUT", path_of(), body=body, headers=headers)
        assert (reply.status, reply.code) == (422, "INVALID")
        found = pointers(reply)
        assert (pointer in found) == (n > 50_000)
        assert len(found) >= 50_000 or n > 50_000  # every bad entry, none left out


# ---- dry run ----


def test_dry_run_answers_and_changes_nothing(empty):
    reg = empty
    put(reg.alpha, {"1234": A, "5678": A, "818H": A})
    wait_until(lambda: reg.alpha.get(path_of() + "/1234").json["publishedSequence"], 10)
    before = reg.alpha.get(path_of()).json, last_audit(reg), reg.list_token()
    reply = put(reg.alpha, {"1234": A, "5678": B, "VWC55": B}, query="?dryRun=true")
    assert (counts(reply), reply.json["dryRun"]) == ((1, 1, 1, 1), True)
    with pytest.raises(AssertionError):
        wait_until(lambda: reg.list_token() != before[2], 1.5)
    assert (reg.alpha.get(path_of()).json, last_audit(reg)) == before[:2]
    assert put(reg.alpha, {"9999": A, "1234": A}, query="?dryRun=true").code == "SPC_NOT_OWNED"
    assert put(reg.alpha, {"1234": "x"}, query="?dryRun=true").status == 422
    reply = put(reg.alpha, {"1234": A, "5678": B, "VWC55": B}, query="?dryRun=false")
    assert (counts(reply), reply.json["dryRun"]) == ((1, 1, 1, 1), False)


# ---- the trail and the list ----


def test_each_change_is_in_the_trail_as_if_made_alone(empty):
    reg = empty
    put(reg.alpha, {"1234": A, "5678": A, "818H": A})
    old, mark = versions(reg), last_audit(reg)
    assert counts(put(reg.alpha, {"1234": A, "5678": B, "VWC55": C})) == (1, 1, 1, 1)
    new = versions(reg)
    who = ("alpha-admin", "127.0.0.1")
    bulk = sorted(audit_rows(reg, mark), key=lambda row: row[4])
    assert bulk == [
        (*who, "entry.put", "alpha", "5678", {"url": B, "was": A, "version": new["5678"]}),
        (*who, "entry.delete", "alpha", "818H", {"was": A, "version": old["818H"]}),
        (*who, "entry.put", "alpha", "VWC55", {"url": C, "was": None, "version": new["VWC55"]}),
    ]
    # the same changes one by one leave the same rows, versions apart
    put(reg.alpha, {"1234": A, "5678": A, "818H": A})
    mark = last_audit(reg)
    reg.alpha.put(path_of() + "/5678", {"url": B})
    reg.alpha.put(path_of() + "/VWC55", {"url": C})
    reg.alpha.delete(path_of() + "/818H")
    single = sorted(audit_rows(reg, mark), key=lambda row: row[4])

    def without_version(rows):
        return [(*row[:5], {k: v for k, v in row[5].items() if k != "version"}) for row in rows]

    assert without_version(single) == without_version(bulk)
    assert [row[5].keys() for row in single] == [row[5].keys() for row in bulk]


def test_what_changes_nothing_leaves_no_trace(empty):
    reg = empty
    put(reg.alpha, {"1234": A})
    wait_until(lambda: reg.alpha.get(path_of() + "/1234").json["publishedSequence"], 10)
    before = last_audit(reg), versions(reg), reg.list_token()
    assert counts(put(reg.alpha, {"1234": A})) == (0, 0, 0, 1)
    with pytest.raises(AssertionError):
        wait_until(lambda: reg.list_token() != before[2], 1.5)
    assert (last_audit(reg), versions(reg)) == before[:2]


@pytest.mark.parametrize("mapping", [{"1234": B, "818H": C}, {"818H": C}, {}])
def test_changes_are_published_within_two_seconds(reg, pki, mapping):
    """Also a request that only deletes."""
    key = pki.certificate("list-signer").public_key()

    def published():
        found = verify(reg.list_token(), key)[1]["cpsMapping"]
        return {spc: url for spc, url in found.items() if spc in ("1234", "5678", "818H", "VWC55")}

    put(reg.alpha, mapping)
    wait_until(lambda: published() == mapping, 10, what="publication")


# ---- RFC 9888 ----


def test_rfc9888_in_and_out(empty):
    reg = empty
    advertisement = {"0-1234": A, "0-vwc55": B}
    assert counts(reg.alpha.put(path_of(), advertisement)) == (2, 0, 0, 0)
    assert mapping_of(reg) == {"1234": A, "VWC55": B}
    reply = reg.alpha.get(path_of(query="?format=rfc9888"))
    assert (reply.status, reply.headers.get_content_type()) == (200, "application/json")
    assert reply.json == {"0-1234": A, "0-VWC55": B}
    assert counts(reg.alpha.put(path_of(), reply.json)) == (0, 0, 0, 2)
    put(reg.alpha, {})
    assert reg.alpha.get(path_of(query="?format=rfc9888")).json == {}


@pytest.mark.parametrize(
    "body,expected",
    [
        ({"0-1234": A, "0-12": A}, ["/0-12"]),
        ({"0-1234": A, "1234": A}, ["/1234"]),
        ({"0-1234": A, "1-15714341000-99": A, "2-12025550123": A}, ["/1-15714341000-99", "/2-12025550123"]),
        ({"1-15714341000-99": A}, ["/1-15714341000-99"]),
        ({"0-": A}, ["/0-"]),
        ({"0-1234": A, "3-1234": A}, ["/3-1234"]),
        ({"0-818H": A, "0-818h": A}, ["/0-818h"]),
        ({"0-1234": [A]}, ["/0-1234"]),
        ({"0-1234": "http://x"}, ["/0-1234"]),
    ],
)
def test_bad_advertisements_are_422(empty, body, expected):
    reply = empty.alpha.put(path_of(), body)
    assert (reply.status, reply.code) == (422, "INVALID")
    assert pointers(reply) == expected
    assert mapping_of(empty) == {}


# ---- CSV ----


@pytest.mark.parametrize(
    "text,expected",
    [
        (f"SPC,URL\r\n1234,{A}\r\n5678,{B}\r\n", {"1234": A, "5678": B}),
        (f"spc,url\n1234,{A}\n5678,{B}", {"1234": A, "5678": B}),
        (f"1234,{A}\r\n", {"1234": A}),
        (f'"1234","{A}"\r\n"818h",{B}\n', {"1234": A, "818H": B}),
        (f'"SPC","URL"\n1234,"https://cps.example.com/a,b"\n', {"1234": "https://cps.example.com/a,b"}),
        (b"\xef\xbb\xbfSPC,URL\r\n1234," + A.encode(), {"1234": A}),
        ("SPC,URL\r\n", {}),
        ("SPC,URL", {}),
    ],
)
def test_csv_in(empty, text, expected):
    put(empty.alpha, {"VWC55": C})
    assert counts(put_csv(empty.alpha, text)) == (len(expected), 0, 1, 0)
    assert mapping_of(empty) == expected


def test_csv_media_type_with_parameters(empty):
    assert counts(put_csv(empty.alpha, f"1234,{A}\n", kind="Text/CSV; charset=utf-8; header=absent")) == (1, 0, 0, 0)
    assert counts(put_csv(empty.alpha, "SPC,URL\n", query="?dryRun=true")) == (0, 0, 1, 0)
    assert mapping_of(empty) == {"1234": A}


@pytest.mark.parametrize(
    "text,expected",
    [
        ("", [""]),
        (b"\xef\xbb\xbf", [""]),
        (f"1234\n5678,{A},x\n\n818H,{A}\n", ["/line/1", "/line/2", "/line/3"]),
        (f"1234,{A}\r\n\r\n", ["/line/2"]),
        (f'1234,"{A}\n5678,{A}\n', ["/line/1"]),  # the quote takes the rest
        (f'1234,"{A}"x\n5678,x\n', ["/line/1", "/line/2"]),
        (f'12"34",{A}\n56,{A}\n', ["/line/1", "/line/2"]),
        (f'1234,"{A}\n"\n56,{A}\n', ["/line/1", "/line/3"]),  # a line break in quotes counts
        (f"1234, {A}\n 5678,{A}\n", ["/line/1", "/line/2"]),  # nothing is trimmed
        (f"1234;{A}\n", ["/line/1"]),
        (f"1234\t{A}\n", ["/line/1"]),
        (f"1234,{A}\rx\n", ["/line/1"]),
        (f"SPC,URL\nSPC,URL\n", ["/line/2", "/line/2"]),
        (f"URL,SPC\n{A},1234\n", ["/line/1", "/line/1", "/line/2", "/line/2"]),
        (f"SPC,URL,owner\n1234,{A},x\n", ["/line/1", "/line/2"]),
        (f"1234,{A}\n5678,{A}\n1234,{A}\n", ["/line/3"]),
        (f"vwc55,{A}\nVWC55,{B}\nVwc55,{B}\n", ["/line/2", "/line/3"]),
        (b"1234,https://cps.example.com/\xff\n\xff,https://cps.example.com/\n", ["/line/1", "/line/2"]),
        (b"1234,https://cps.example.com/\x00x\n12\x0034,https://cps.example.com/\n", ["/line/1", "/line/2"]),
        ("=cmd|' /C calc'!A0,x\n", ["/line/1", "/line/1"]),
    ],
)
def test_bad_csv_is_422_and_each_line_named(empty, text, expected):
    put(empty.alpha, {"VWC55": C})
    reply = put_csv(empty.alpha, text)
    assert (reply.status, reply.code) == (422, "INVALID")
    assert pointers(reply) == expected
    for error in reply.json["errors"]:
        if error["pointer"]:
            assert error["detail"].startswith(f"line {error['pointer'].split('/')[2]}: ")
    assert mapping_of(empty) == {"VWC55": C}


def test_csv_out_is_read_by_others_and_taken_back(empty):
    reg = empty
    tricky = "https://cps.example.com/a,b;c'd"
    wanted = {"1234": A, "5678": tricky, "VWC55": B}
    put(reg.alpha, wanted)
    reply = reg.alpha.get(path_of(query="?format=csv"))
    assert (reply.status, reply.headers.get_content_type()) == (200, "text/csv")
    rows = list(csv.reader(io.StringIO(reply.body.decode(), newline=""), strict=True))
    assert rows == [["SPC", "URL"], *[[spc, url] for spc, url in sorted(wanted.items())]]
    assert reply.body.count(b"\r\n") == 4 == reply.body.count(b"\n")
    assert counts(put_csv(reg.alpha, reply.body)) == (0, 0, 0, 3)
    put(reg.alpha, {})
    assert reg.alpha.get(path_of(query="?format=csv")).body == b"SPC,URL\r\n"


@pytest.mark.parametrize(
    "accept,kind",
    [
        ("text/csv", "text/csv"), ("Text/CSV; charset=utf-8", "text/csv"), ("text/csv, */*;q=0.5", "text/csv"), ("text/csv, */*", "text/csv"),
        ("application/json;q=0.5, text/csv", "text/csv"), ("application/json;q=0, text/csv;q=0.1", "text/csv"),
        ("application/json", "application/json"), ("*/*", "application/json"), (None, "application/json"), ("", "application/json"),
        ("application/json, text/csv", "application/json"), ("text/csv;q=0", "application/json"),
        ("text/csv;q=0.5, application/json;q=0.6", "application/json"), ("text/csvx", "application/json"), ("text/*", "application/json"),
    ],
)
def test_accept(reg, accept, kind):
    for method in ("GET", "HEAD"):
        reply = reg.alpha.request(method, path_of(), headers={"Accept": accept})
        assert (reply.status, reply.headers.get_content_type()) == (200, kind)
    # the parameter decides where there is one
    assert reg.alpha.get(path_of(query="?format=json"), headers={"Accept": accept}).json["status"] == "success"
    assert "status" not in reg.alpha.get(path_of(query="?format=rfc9888"), headers={"Accept": accept}).json


def test_who_may_export(reg):
    for form in ("csv", "rfc9888"):
        query = f"?format={form}"
        for api in (reg.alpha, reg.viewer, reg.auditor, reg.pa):
            assert api.get(path_of(query=query)).status == 200
        assert reg.beta.get(path_of(query=query)).code == "FORBIDDEN"
        assert reg.anonymous.get(path_of(query=query)).code == "UNAUTHENTICATED"
        assert reg.pa.get(path_of("nobody", query)).code == "NOT_FOUND"
        assert reg.pa.get(path_of("a%20b", query)).code == "INVALID"


@pytest.mark.parametrize("query", ["format=", "format=xml", "format=CSV", "format=csv&format=csv", "format=%zz", "format=csv&limit=5",
                                   "format=rfc9888&after=1234", "format=csv&limit=1&limit=2"])
def test_bad_formats_are_422(reg, query):
    assert reg.alpha.get(path_of(query="?" + query)).code == "INVALID"


# ---- size and speed: each must be done within the daemon's own deadlines ----


def big_spcs(n):
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return ["B" + digits[i // 1296] + digits[i // 36 % 36] + digits[i % 36] for i in range(n)]


@pytest.fixture(scope="module")
def big(reg):
    reg.big = reg.add_sp("big")
    reg.big.spcs = big_spcs(25_000)
    reg.database.query("INSERT INTO spc_owner (spc, sp) SELECT unnest(%s), 'big'", (reg.big.spcs,))
    return reg


def export(api, sp="big"):
    return {k[2:]: v for k, v in api.get(path_of(sp, "?format=rfc9888")).json.items()}


def test_25000_entries(big, pki):
    """More often than a kept plan needs to go bad, and each kind of change at full size."""
    spcs, mark = big.big.spcs, last_audit(big)
    base = {spc: f"https://cps.example.com/cps/company/{spc}" for spc in spcs}
    assert counts(put(big.big, base, "big", "?dryRun=true")) == (25_000, 0, 0, 0)
    assert counts(put(big.big, base, "big")) == (25_000, 0, 0, 0)
    assert export(big.big) == base
    first = verify(big.list_token(), pki.certificate("list-signer").public_key())[1]
    wait_until(lambda: len(verify(big.list_token(), pki.certificate("list-signer").public_key())[1]["cpsMapping"]) >= 25_000, 10,
               what=f"publication after {first['sequence']}")
    assert counts(put(big.big, base, "big")) == (0, 0, 0, 25_000)
    for turn in range(3):
        changed = {spc: f"{url}/{turn}" for spc, url in base.items()}
        assert counts(put(big.big, changed, "big")) == (0, 25_000, 0, 0)
    half = {spc: base[spc] for spc in spcs[::2]}
    assert counts(put(big.big, half, "big")) == (0, 12_500, 12_500, 0)
    text = "SPC,URL\r\n" + "".join(f"{spc},{base[spc]}\r\n" for spc in random.Random(1).sample(spcs, 25_000))
    assert counts(put_csv(big.big, text, "big")) == (12_500, 0, 0, 12_500)
    assert export(big.big) == base
    assert counts(put(big.big, {}, "big")) == (0, 0, 25_000, 0)
    by_action = dict(big.database.query(
        "SELECT action, count(*) FROM audit WHERE id > %s AND sp = 'big' GROUP BY action", (mark,)))
    assert by_action == {"entry.put": 25_000 + 3 * 25_000 + 12_500 + 12_500, "entry.delete": 12_500 + 25_000}
    assert len({v for v, in big.database.query(
        "SELECT detail->>'version' FROM audit WHERE id > %s AND action = 'entry.put'", (mark,))}) == by_action["entry.put"]


def test_25000_entries_when_the_statistics_know_of_none(big):
    """autovacuum has seen the table empty, and not yet again: the planner believes that there is one row."""
    base = {spc: A for spc in big.big.spcs}
    put(big.big, base, "big")
    big.database.query("DELETE FROM cps_entry")
    big.database.query("VACUUM (TRUNCATE off) cps_entry")
    pages, rows = big.database.query("SELECT relpages, reltuples FROM pg_class WHERE relname = 'cps_entry'")[0]
    assert pages > 0 and rows == 0
    assert counts(put(big.big, base, "big")) == (25_000, 0, 0, 0)

    def unpublished():
        return big.database.query("SELECT count(*) FROM cps_entry WHERE published_sequence IS NULL")[0][0]

    wait_until(lambda: unpublished() == 0, 10, what="the marks of the publisher")
    assert counts(put(big.big, {spc: B for spc in big.big.spcs}, "big")) == (0, 25_000, 0, 0)
    assert counts(put(big.big, {}, "big")) == (0, 0, 25_000, 0)


def test_25000_entries_that_somebody_changed_meanwhile(big):
    """The request waits for whoever holds the rows, as the publisher does while it marks them, and then goes on."""
    put(big.big, {spc: A for spc in big.big.spcs}, "big")
    wait_until(lambda: not big.database.query("SELECT 1 FROM cps_entry WHERE published_sequence IS NULL LIMIT 1"), 10)
    connection = big.database.connect()
    try:
        connection.autocommit = False
        connection.cursor().execute("UPDATE cps_entry SET published_sequence = published_sequence WHERE spc LIKE 'B%'")
        answers = []
        thread = threading.Thread(target=lambda: answers.append(put(big.big, {}, "big")))
        thread.start()
        wait_until(lambda: big.database.query("SELECT 1 FROM pg_locks WHERE NOT granted"), 10, what="the request waiting")
        connection.commit()
        thread.join(10)
    finally:
        connection.close()
    assert counts(answers[0]) == (0, 0, 25_000, 0)


def test_25000_bad_entries_are_all_named(big):
    reply = put(big.alpha, {spc: "http://cps.example.com/" for spc in big.big.spcs})
    assert len(pointers(reply)) == 25_000
    reply = put(big.alpha, {spc: A for spc in big.big.spcs})
    assert (reply.code, len(pointers(reply))) == ("SPC_NOT_OWNED", 25_000)
    assert set(pointers(reply)) == {f"/cpsMapping/{spc}" for spc in big.big.spcs}


# ---- at the same time ----


def run_all(*jobs):
    """Each in a thread of its own; what one raises fails the test."""
    errors = []

    def guarded(job):
        try:
            job()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors


def test_bulk_and_single_changes_at_once(reg):
    """No deadlock, no error, and no lost update: the trail alone tells how every entry came to be as it is."""
    spcs = [f"6{i:03d}" for i in range(60)]
    delta = reg.add_sp("delta", *spcs)
    mark = last_audit(reg)

    def bulk(seed):
        def job():
            choose = random.Random(seed)
            api = delta.session()
            for turn in range(12):
                some = choose.sample(spcs, choose.randrange(len(spcs)))
                reply = put(api, {spc: f"https://cps.example.com/{seed}/{choose.randrange(3)}" for spc in some}, "delta",
                            "?dryRun=true" if turn % 4 == 3 else "")
                assert reply.status == 200, reply.body
            api.close()
        return job

    def single(seed):
        def job():
            choose = random.Random(seed)
            api = delta.session()
            for _ in range(60):
                path = f"{path_of('delta')}/{choose.choice(spcs)}"
                if choose.random() < 0.3:
                    assert api.delete(path).status in (204, 404)
                else:
                    assert api.put(path, {"url": f"https://cps.example.com/{seed}/{choose.randrange(3)}"}).status in (200, 201)
            api.close()
        return job

    run_all(bulk(1), bulk(2), bulk(3), single(4), single(5))
    state = {}
    rows = reg.database.query("SELECT action, spc, detail FROM audit WHERE id > %s AND sp = 'delta' ORDER BY id", (mark,))
    by_spc = {}
    for action, spc, detail in rows:
        by_spc.setdefault(spc, []).append((action, detail))
    # the changes of one entry hang together: each found what the one before it left
    for spc, changes in by_spc.items():
        changes.sort(key=lambda change: (change[1]["version"], change[0] == "entry.delete"))
        url = None
        for action, detail in changes:
            assert detail["was"] == url, (spc, changes)
            url = detail["url"] if action == "entry.put" else None
        if url is not None:
            state[spc] = url
    assert mapping_of(reg, "delta") == state
    text = reg.log_text()
    assert "deadlock" not in text and '"status":500' not in text


def test_bulk_beside_the_publisher_and_transfers(big):
    """The publisher marks the same 5,000 rows, and SPCs come and go; nobody ends in a deadlock."""
    spcs = big.big.spcs[:5000]
    other = big.add_sp("epsilon")
    url = "https://cps.example.com/{}".format

    def bulk():
        for turn in range(6):
            reply = put(big.big, {spc: url(turn) for spc in spcs[10:]}, "big")
            assert reply.status == 200, reply.body

    def backwards():
        for turn in range(6):
            reply = put(big.big, {spc: url(f"b{turn}") for spc in reversed(spcs[10:])}, "big")
            assert reply.status == 200, reply.body

    def transfers():
        for turn in range(10):
            for spc in spcs[:10]:
                to = "epsilon" if turn % 2 == 0 else "big"
                assert big.pa.put(f"/api/v1/account/{to}/spc/{spc}?transfer=true").status == 201

    run_all(bulk, backwards, transfers)
    assert set(export(big.big)) == set(spcs[10:])
    assert len(set(export(big.big).values())) == 1  # one of the two, never a mixture
    assert other.get(path_of("epsilon")).json["entries"] == []
    assert "deadlock" not in big.log_text()
    assert counts(put(big.big, {}, "big"))[2] == 4990


def test_a_transferred_spc_is_not_resurrected(reg):
    """A bulk request waits for a transfer under way, and then finds that the SPC is not the account's any more."""
    zeta = reg.add_sp("zeta", "5001", "5002")
    reg.add_sp("eta")
    connection = reg.database.connect()
    try:
        connection.autocommit = False
        connection.cursor().execute("UPDATE spc_owner SET sp = 'eta' WHERE spc = '5002'")
        answers = []
        thread = threading.Thread(target=lambda: answers.append(put(zeta, {"5001": A, "5002": A}, "zeta")))
        thread.start()
        wait_until(lambda: reg.database.query("SELECT 1 FROM pg_locks WHERE NOT granted"), 10, what="the request waiting")
        connection.commit()
        thread.join(10)
    finally:
        connection.close()
    assert (answers[0].status, pointers(answers[0])) == (403, ["/cpsMapping/5002"])
    assert mapping_of(reg, "zeta") == mapping_of(reg, "eta") == {}


def test_a_bulk_request_counts_as_one_write(registry):
    """Toward limits.writes_per_second, as any other of the account."""
    one = registry(limits={"writes_per_second": 1, "writes_burst": 2})
    alpha, beta = one.add_sp("alpha", "1234", "5678"), one.add_sp("beta", "9999")
    replies = [put(alpha, {"1234": f"{A}/{i}", "5678": A}) for i in range(12)]
    done = [i for i, reply in enumerate(replies) if reply.status == 200]
    assert done[:2] == [0, 1]
    refused = [reply for reply in replies if reply.status != 200]
    assert refused and all(reply.code == "TOO_MANY_REQUESTS" for reply in refused)
    assert all(int(reply.headers["Retry-After"]) >= 1 for reply in refused)
    assert mapping_of(one) == {"1234": f"{A}/{done[-1]}", "5678": A}
    assert put(beta, {"9999": A}, "beta").status == 200


def test_none_of_it_was_an_internal_error(reg):
    assert '"status":500' not in reg.log_text()
