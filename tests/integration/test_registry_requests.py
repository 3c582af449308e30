"""Requests that are wrong, and the problem documents that say so: PROTOCOL section 3, RFC 9457."""

import json
import re

import pytest
from lib.contract import REGISTRY

ENTRY = "/api/v1/account/alpha/cps/1234"
URL = "https://cps.example.com/a"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def reg(registry):
    one = registry(lab=False, base_url="https://sti-pa.example.com", cps_url={"ports": [8443]})
    one.alpha = one.add_sp("alpha", "1234")
    return one


def put(reg, body, headers=JSON):
    return reg.alpha.request("PUT", ENTRY, body=body, headers=headers)


def test_problem_document(reg):
    reply = reg.alpha.put(ENTRY, {"url": "http://cps.example.com/"})
    assert reply.headers.get_content_type() == "application/problem+json"
    problem = reply.json
    assert problem.keys() == {"type", "title", "status", "code", "detail", "errors"}
    assert (problem["status"], problem["title"], problem["code"]) == (422, "Unprocessable Content", "INVALID")
    assert problem["errors"][0].keys() == {"pointer", "detail"}


# ---- routes ----


@pytest.mark.parametrize(
    "path",
    ["/", "/api", "/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1/account/alpha/", "/API/v1/audit", "/api/v1/audit/",
     "/api/v1/account//cps", "/api/v1/ca-list", "/download/v1/ca-list", "/api/v1/account/alpha/cps/1234/x",
     "/api/v1/../v1/audit"],
)
def test_unknown_route_is_404_also_without_a_token(reg, path):
    for api in (reg.alpha, reg.anonymous):
        reply = api.get(path)
        assert (reply.status, reply.code) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "method,path,allow",
    [
        ("POST", ENTRY, {"GET", "HEAD", "PUT", "DELETE"}),
        ("PATCH", ENTRY, {"GET", "HEAD", "PUT", "DELETE"}),
        ("POST", "/api/v1/account/alpha/cps", {"GET", "HEAD", "PUT"}),
        ("GET", "/api/v1/auth/login", {"POST"}),
        ("DELETE", "/api/v1/account/alpha", {"GET", "HEAD", "PUT"}),
        ("GET", "/api/v1/account/alpha/state", {"PUT"}),
        ("GET", "/api/v1/account/alpha/spc/1234", {"PUT", "DELETE"}),
        ("POST", "/download/v1/cps-list", {"GET", "HEAD"}),
        ("OPTIONS", "/api/v1/audit", {"GET", "HEAD"}),
        ("DELETE", "/api/v1/publications", {"GET", "HEAD", "POST"}),
    ],
)
def test_wrong_method_is_405_with_allow(reg, method, path, allow):
    for api in (reg.alpha, reg.anonymous):
        reply = api.request(method, path)
        assert (reply.status, reply.code) == (405, "METHOD_NOT_ALLOWED")
        assert {m.strip() for m in reply.headers["Allow"].split(",")} == allow


def test_head(reg):
    for path in ("/api/v1/account/alpha/cps", "/api/v1/audit", "/download/v1/cps-list"):
        get, head = reg.alpha.get(path), reg.alpha.request("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
        assert head.headers["ETag"] == get.headers["ETag"]


# ---- bodies ----


@pytest.mark.parametrize(
    "body",
    [
        "", " ", "{", "}", "nul", '{"url":"x"', '{"url":"x"} x', '{"url":"x"}{}', "{'url':'x'}", '{"url":"x",}', "url=x",
        '{"url":"a","url":"b"}',  # duplicate keys
        '{"url":{"a":1,"a":2}}',
        '{"url":"a","\\u0075rl":"b"}',
        b'{"url":"\xff"}', b"\xef\xbb\xbf{}", '{"url":"\\ud800"}', '{"url":"a\x00b"}', '{"url":"\\u0000"}',
        "[" * 17 + "]" * 17, '{"a":' * 5000 + "1" + "}" * 5000, "1e999999", "/* */ {}",
    ],
)
def test_what_is_not_json_is_400(reg, body):
    reply = put(reg, body)
    assert (reply.status, reply.code) == (400, "NOT_JSON"), reply.body


@pytest.mark.parametrize(
    "body,pointers",
    [
        ([], [""]),
        ({}, ["/url"]),
        ({"url": None}, ["/url"]),
        ({"url": 1}, ["/url"]),
        ({"url": [URL]}, ["/url"]),
        ({"url": {"a": URL}}, ["/url"]),
        ({"url": URL, "spc": "1234"}, ["/spc"]),
        ({"URL": URL}, ["/URL", "/url"]),
        ({"url": URL, "a/b~c": 1}, ["/a~1b~0c"]),
        ({"url": 5, "x": 1, "y": 2}, ["/url", "/x", "/y"]),
        ({"url": URL, "": 1}, ["/"]),
        ({"url": URL, "ключ": 1}, ["/ключ"]),
    ],
)
def test_wrong_members_are_422_and_all_named(reg, body, pointers):
    reply = put(reg, json.dumps(body))
    assert (reply.status, reply.code) == (422, "INVALID")
    assert sorted(e["pointer"] for e in reply.json["errors"]) == sorted(pointers)
    assert all(e["detail"] for e in reply.json["errors"])


@pytest.mark.parametrize("body", ["5", "-1.5", "null", "true", '"x"', ' "{}" '])
def test_json_that_is_no_object_is_422(reg, body):
    reply = put(reg, body)
    assert (reply.status, reply.code) == (422, "INVALID"), reply.body
    assert [e["pointer"] for e in reply.json["errors"]] == [""]


def test_path_and_query_faults_come_together(reg):
    reply = reg.alpha.get("/api/v1/account/a%20b/cps?limit=0&after=!")
    assert (reply.status, reply.code) == (422, "INVALID")
    assert sorted(e["pointer"] for e in reply.json["errors"]) == ["/after", "/limit", "/sp"]
    reply = reg.pa.put("/api/v1/account/a%20b/spc/12?transfer=true&transfer=true")
    assert sorted(e["pointer"] for e in reply.json["errors"]) == ["/sp", "/spc", "/transfer"]


@pytest.mark.parametrize(
    "query,pointers",
    [("limit=x&after=x", ["/after", "/limit"]), ("after=-1", ["/after"]), ("after=9223372036854775808", ["/after"]),
     ("limit=1&limit=1", ["/limit"]), ("after=%zz", ["/after", "/limit"])],
)
def test_query_faults_of_numbered_pages(reg, query, pointers):
    for path in ("/api/v1/audit", "/api/v1/publications"):
        reply = reg.pa.get(f"{path}?{query}")
        assert (reply.status, reply.code) == (422, "INVALID")
        assert sorted(e["pointer"] for e in reply.json["errors"]) == pointers


def test_path_and_body_faults_come_together(reg):
    reply = reg.alpha.put("/api/v1/account/a%20b/cps/12", {"url": "ftp://x"})
    assert sorted(e["pointer"] for e in reply.json["errors"]) == ["/sp", "/spc", "/url"]


@pytest.mark.parametrize("path", ["/api/v1/account/a%20b/cps?limit=0", "/api/v1/account/a%20b/cps?after=%zz",
                                  "/api/v1/account/a%20b/cps?limit=1&limit=2", "/api/v1/publications?after=x"])
def test_bad_queries_beside_bad_paths(reg, path):
    assert reg.pa.get(path).code == "INVALID"
    assert reg.pa.put("/api/v1/account/a%20b/spc/12?transfer=%zz").code == "INVALID"


def test_not_json_comes_before_a_bad_spc(reg):
    assert reg.alpha.request("PUT", "/api/v1/account/alpha/cps/12", body="{", headers=JSON).status == 400


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp",
                                  "application/json-patch+json", "json", "text/json"])
def test_other_content_types_are_415(reg, kind):
    reply = put(reg, json.dumps({"url": URL}), {"Content-Type": kind})
    assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/json;charset=UTF-8"])
def test_json_content_types(reg, kind):
    assert put(reg, json.dumps({"url": URL}), {"Content-Type": kind}).status in (200, 201)


def test_too_large_is_413_and_the_limit_is_64_kib(reg):
    def body(size):
        text = json.dumps({"url": URL})
        return text + " " * (size - len(text))

    assert put(reg, body(65536)).status in (200, 201)
    reply = put(reg, body(65537))
    assert (reply.status, reply.code) == (413, "TOO_LARGE")
    assert put(reg, b"x" * 300_000).status == 413
    # one that says its size and never comes
    connection = reg.alpha._connect()
    connection.putrequest("PUT", ENTRY)
    for name, value in {"Authorization": "Bearer " + reg.alpha.token, "Content-Length": "99999999", **JSON}.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


# ---- values ----


@pytest.mark.parametrize("spc", ["123", "12345", "12-4", "ABCD5", "VWC5X", "1VC55", "VWC555", "%C3%9F234", "12%2034", "ſ234"])
def test_bad_spcs_are_422(reg, spc):
    from urllib.parse import quote

    path = f"/api/v1/account/alpha/cps/{quote(spc, safe='%')}"
    for reply in (reg.alpha.get(path), reg.alpha.put(path, {"url": URL}), reg.alpha.delete(path),
                  reg.pa.put(f"/api/v1/account/alpha/spc/{quote(spc, safe='%')}")):
        assert (reply.status, reply.code) == (422, "INVALID"), spc
        assert [e["pointer"] for e in reply.json["errors"]] == ["/spc"]


BAD_URLS = [
    "http://cps.example.com/", "ftp://cps.example.com/", "//cps.example.com/", "cps.example.com", "https:/cps.example.com",
    "https://", "https:///x", "https://localhost/", "https://example/", "https://10.0.0.1/", "https://203.0.113.5/",
    "https://[2001:db8::1]/", "https://[::1]/", "https://0x7f000001/", "https://2130706433/", "https://127.1/",
    "https://user@cps.example.com/", "https://user:pw@cps.example.com/", "https://@cps.example.com/",
    "https://cps.example.com/?", "https://cps.example.com/?a=b", "https://cps.example.com/#", "https://cps.example.com/#a",
    "https://cps.example.com:443/", "https://cps.example.com:80/", "https://cps.example.com:08443/", "https://cps.example.com:/",
    "https://cps.example.com:65536/", "https://cps.example.com/a b", "https://cps.example.com/a\\b", "https://cps.example.com/é",
    "https://cps.éxample.com/", "https://cps.example.com/\n", " https://cps.example.com/", "https://cps.example.com/ ",
    "HTTPS://cps.example.com/", "https://CPS.example.com/", "https://cps.example.com/a/../b", "https://cps.example.com/./a",
    "https://cps.example.com/%2", "https://cps.example.com/%zz",
    "https://cps..example.com/", "https://-cps.example.com/", "https://cps_a.example.com/", "https://cps.example.com./",
    "https://" + "a" * 64 + ".example.com/", "https://cps.example.com/" + "a" * 2025, "javascript:alert(1)", "",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_bad_urls_are_422(reg, url):
    reply = reg.alpha.put(ENTRY, {"url": url})
    assert (reply.status, reply.code) == (422, "INVALID")
    assert [e["pointer"] for e in reply.json["errors"]] == ["/url"]


@pytest.mark.parametrize(
    "url,normal",
    [
        ("HTTPS://CPS.Example.com/A", "https://cps.example.com/A"),
        ("https://cps.example.com:443/a", "https://cps.example.com/a"),
        ("https://cps.example.com/a/./b/../c", "https://cps.example.com/a/c"),
    ],
)
def test_the_normal_form_is_in_the_error(reg, url, normal):
    assert normal in reg.alpha.put(ENTRY, {"url": url}).json["errors"][0]["detail"]


@pytest.mark.parametrize(
    "url",
    ["https://cps.example.com", "https://cps.example.com/", "https://cps.example.com:8443/x", "https://a.b/", "https://cps.example.com/%2f%41",
     "https://xn--caf-dma.example.com/", "https://cps.example.com/" + "a" * 2024, "https://cps.example.com/a'b(c)*;d=1,e:@!$&+"],
)
def test_good_urls_are_stored_byte_for_byte(reg, url):
    assert reg.alpha.put(ENTRY, {"url": url}).status in (200, 201)
    assert reg.alpha.get(ENTRY).json["url"] == url


def test_escapes_in_json_are_one_with_what_they_mean(reg):
    assert put(reg, '{"\\u0075rl":"https:\\/\\/cps.example.com\\/\\u0061"}').status in (200, 201)
    assert reg.alpha.get(ENTRY).json["url"] == URL


@pytest.mark.parametrize(
    "path,body,pointer",
    [
        ("/api/v1/account/alpha", {"name": ""}, "/name"),
        ("/api/v1/account/alpha", {"name": "x" * 201}, "/name"),
        ("/api/v1/account/alpha", {"name": "a\nb"}, "/name"),
        ("/api/v1/account/alpha", {"name": 7}, "/name"),
        ("/api/v1/account/alpha", {"name": "x", "state": "active"}, "/state"),
        ("/api/v1/account/alpha/state", {"state": "Suspended"}, "/state"),
        ("/api/v1/account/alpha/state", {"state": True}, "/state"),
    ],
)
def test_bad_accounts_are_422(reg, path, body, pointer):
    reply = reg.pa.put(path, body)
    assert [e["pointer"] for e in reply.json["errors"]] == [pointer]
    assert reply.status == 422


@pytest.mark.parametrize("body,pointers", [({}, ["/password", "/userId"]), ({"userId": "x"}, ["/password"]),
                                           ({"userId": 1, "password": "x"}, ["/userId"]),
                                           ({"userId": "x", "password": "y", "otp": "1"}, ["/otp"]),
                                           ({"userId": "x" * 300, "password": "y"}, ["/userId"])])
def test_bad_logins_are_422(reg, body, pointers):
    reply = reg.anonymous.post("/api/v1/auth/login", body)
    assert reply.status == 422
    assert sorted(e["pointer"] for e in reply.json["errors"]) == pointers


def test_sql_in_any_place_is_only_text(reg):
    evil = "'; DROP TABLE account; --"
    assert reg.anonymous.post("/api/v1/auth/login", {"userId": evil, "password": evil}).status == 401
    assert reg.pa.put("/api/v1/account/alpha", {"name": evil}).json["name"] == evil
    assert reg.pa.get("/api/v1/account/alpha").json["name"] == evil
    assert put(reg, json.dumps({"url": URL}), {**JSON, "If-Match": "\"1\", {}'; --"}).status == 412


def test_none_of_it_was_an_internal_error(reg):
    assert '"status":500' not in reg.log_text()
    assert '"level":"error"' not in reg.log_text()


def test_the_openapi_document_names_every_route(reg):
    """Each path of docs/openapi.yaml answers 405 with exactly the methods that the document gives it (lib/contract.py)."""
    assert len(REGISTRY.paths) > 15
    for path in REGISTRY.paths:
        assert reg.alpha.request("PATCH", re.sub(r"\{\w+\}", "1234", path)).status == 405, path
