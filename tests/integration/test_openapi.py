"""docs/openapi.yaml lints clean, and the judge of lib/contract.py finds what it is there to find."""

import copy
import hashlib
import json
import os
import re
import subprocess
from email.message import Message

import pytest
from lib.contract import AGENT_DOCUMENT, DOCUMENT, REGISTRY, ContractError
from lib.net import Reply
from lib.pki import ROOT

LINT = ROOT / "tests/openapi"


# ---- the linter ----


@pytest.fixture(scope="module")
def linter():
    """Where the pinned linter is: made by `npm ci` under build/, once for each package-lock.json."""
    lock = (LINT / "package-lock.json").read_bytes()
    folder = ROOT / "build/openapi-lint" / hashlib.sha256(lock).hexdigest()[:16]
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            (folder / name).write_bytes((LINT / name).read_bytes())
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1",
                               "--fetch-timeout=60000"], cwd=folder, text=True, capture_output=True, timeout=300,
                              check=False)
        if re.search(r"request to https://\S+ failed", done.stderr):
            pytest.skip(f"the npm registry, which has the linter, is out of reach: {done.stderr[-300:]}")
        assert done.returncode == 0, f"npm ci in {LINT}: {done.stderr}"
        (folder / "complete").touch()
    return folder / "node_modules"


def lint(linter, document):
    return subprocess.run(["node", str(LINT / "lint.mjs"), str(document)], env={**os.environ, "NODE_MODULES": str(linter)},
                          capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("document", [DOCUMENT, AGENT_DOCUMENT], ids=lambda path: path.name)
def test_the_document_lints_clean(linter, document):
    done = lint(linter, document)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "rule,before,after",
    [
        ("struct", "openapi: 3.1.0", "openapi: 3.1.0\nnothing: 1"),
        ("no-unresolved-refs", "schemas/Ready' }", "schemas/Redy' }"),
        ("operation-operationId-unique", "operationId: ready", "operationId: health"),
        ("path-parameters-defined", "/api/v1/account/{sp}/state:", "/api/v1/account/{account}/state:"),
        ("security-defined", "security:\n  - session: []\n", ""),
    ],
)
def test_the_linter_finds(linter, tmp_path, rule, before, after):
    text = DOCUMENT.read_text()
    assert before in text
    wrong = tmp_path / "openapi.yaml"
    wrong.write_text(text.replace(before, after, 1))
    done = lint(linter, wrong)
    assert done.returncode == 1 and f" {rule}: " in done.stdout, done.stdout + done.stderr


def test_the_document_has_the_routes_of_the_program():
    """The table of server/registry/routes.c and the document, both ways."""
    table = (ROOT / "server/registry/routes.c").read_text()
    routes = set(re.findall(r'"(GET|PUT|POST|DELETE|PATCH)",\s*"(/[^"]*)"', table))
    assert len(routes) > 30
    assert routes == {(method.upper(), path) for method, path, _ in REGISTRY.documented()}


# ---- the judge ----

ENTRY = "/api/v1/account/alpha/cps/1234"
GOOD = {"status": "success", "spc": "1234", "url": "https://cps.example.com/", "version": 3,
        "updatedAt": "2026-01-02T03:04:05.678Z", "updatedBy": "alpha-admin", "publishedSequence": None}
COMMON = {"X-Request-Id": "0123456789abcdef", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def reply(status=200, body=None, kind="application/json", **headers):
    """An answer as the registry would give it; a header that is None is left out."""
    message = Message()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in {**COMMON, "Content-Type": kind, **named}.items():
        if value is not None:
            message[name] = value
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, message, data)


def problem(status, code, **headers):
    body = {"type": "urn:sticps:problem:x", "title": "X", "status": status, "code": code, "detail": "why"}
    return reply(status, body, "application/problem+json", **headers)


def without(value, member):
    return {name: one for name, one in value.items() if name != member}


def judge(answer, method="GET", target=ENTRY, headers=None, body=None):
    contract = copy.deepcopy(REGISTRY)
    contract.seen = set()
    contract.check(method, target, headers or {}, body, answer)
    return contract.seen


JSON = {"Content-Type": "application/json"}
PUT = {"method": "PUT", "headers": JSON, "body": b'{"url":"https://cps.example.com/"}'}


@pytest.mark.parametrize(
    "request_,answer",
    [
        ({}, reply(200, GOOD, ETag='"3"')),
        ({"method": "HEAD"}, reply(200, ETag='"3"')),
        ({}, reply(304, kind=None, ETag='"3"')),
        (PUT, reply(201, GOOD, ETag='"3"', Location=ENTRY)),
        ({"method": "DELETE"}, reply(204, kind=None)),
        ({}, problem(401, "UNAUTHENTICATED", WWW_Authenticate="Bearer")),
        ({}, problem(503, "UNAVAILABLE", Retry_After="1")),
        ({"method": "POST"}, problem(405, "METHOD_NOT_ALLOWED", Allow="GET, HEAD, PUT, DELETE")),
        ({"target": "/nothing"}, problem(404, "NOT_FOUND")),
        ({"target": "/nothing"}, problem(429, "TOO_MANY_REQUESTS", Retry_After="1")),
        ({"target": "/api/v1/user/%zz"}, problem(404, "NOT_FOUND")),
    ],
)
def test_right_answers_pass(request_, answer):
    judge(answer, **request_)


@pytest.mark.parametrize(
    "says,request_,answer",
    [
        ("no status 418", {}, problem(418, "TEAPOT")),
        ("no status 500", {}, problem(500, "INTERNAL")),
        ("no path", {"target": "/api/v1/news"}, reply(200, GOOD)),
        ("no `patch`", {"method": "PATCH"}, reply(200, GOOD)),
        ("Allow is not", {"method": "POST"}, problem(405, "METHOD_NOT_ALLOWED", Allow="GET, HEAD, PUT")),
        ("Allow is not", {"method": "POST"}, problem(405, "METHOD_NOT_ALLOWED")),
        ("retry-after is missing", {"target": "/nothing"}, problem(429, "TOO_MANY_REQUESTS")),
        ("etag is missing", {}, reply(200, GOOD)),
        ("header etag", {}, reply(200, GOOD, ETag="3")),
        ("www-authenticate is missing", {}, problem(401, "UNAUTHENTICATED")),
        ("retry-after is missing", {}, problem(503, "UNAVAILABLE")),
        ("header retry-after", {}, problem(503, "UNAVAILABLE", Retry_After="0")),
        ("location is missing", PUT, reply(201, GOOD, ETag='"3"')),
        ("x-secret", {}, reply(200, GOOD, ETag='"3"', X_Secret="1")),
        ("X-Request-Id", {}, reply(200, GOOD, ETag='"3"', X_Request_Id=None)),
        ("nosniff", {}, reply(200, GOOD, ETag='"3"', X_Content_Type_Options=None)),
        ("Content-Type", {}, reply(200, GOOD, "text/html", ETag='"3"')),
        ("Content-Type", {}, reply(404, {"status": 404}, "application/json")),
        ("no JSON", {}, reply(200, b"{", ETag='"3"')),
        ("'url' is a required property", {}, reply(200, without(GOOD, "url"), ETag='"3"')),
        ("/version", {}, reply(200, {**GOOD, "version": "3"}, ETag='"3"')),
        ("/updatedAt", {}, reply(200, {**GOOD, "updatedAt": "yesterday"}, ETag='"3"')),
        ("'more' was unexpected", {}, reply(200, {**GOOD, "more": 1}, ETag='"3"')),
        ("/status", {}, reply(200, {**GOOD, "status": "error"}, ETag='"3"')),
        ("`status` of the problem", {}, reply(404, problem(403, "NOT_FOUND").json, "application/problem+json")),
        ("/code", {}, problem(404, "GONE")),
        ("a body, where", {"method": "DELETE"}, reply(204, b"x", None)),
        ("a body, where", {"method": "HEAD"}, reply(200, GOOD, ETag='"3"')),
        ("not documented: ['limit']", {"target": ENTRY + "?limit=1"}, reply(200, GOOD, ETag='"3"')),
        ("without the body", {**PUT, "body": None}, reply(200, GOOD, ETag='"3"')),
        ("text/plain", {**PUT, "headers": {"Content-Type": "text/plain"}}, reply(200, GOOD, ETag='"3"')),
        ("`requestBody` does not allow", {**PUT, "body": b'{"url":"https://a.b/","x":1}'}, reply(200, GOOD, ETag='"3"')),
    ],
)
def test_wrong_answers_fail(says, request_, answer):
    with pytest.raises(ContractError) as error:
        judge(answer, **request_)
    assert says in str(error.value)


def test_what_was_right_is_counted():
    assert judge(reply(200, GOOD, ETag='"3"')) == {("get", "/api/v1/account/{sp}/cps/{spc}", 200)}
    assert judge(problem(404, "NOT_FOUND"), target="/nothing") == set()


def test_the_suite_is_judged(registry):
    """What the fixture hands out has the contract, and so have the identities made from it."""
    one = registry()
    alpha = one.add_sp("alpha", "1234")
    kept = alpha.session()
    for api in (one.anonymous, one.pa, alpha, kept):
        assert api.contract is REGISTRY
        wrong = copy.copy(api)
        wrong.contract = copy.deepcopy(REGISTRY)
        del wrong.contract.paths["/health"]["get"]["responses"]["200"]
        with pytest.raises(ContractError, match="no status 200"):
            wrong.get("/health")
    kept.close()
