"""resolve, deliver and retrieve against a CPS that answers as it likes (PROTOCOL sections 6 and 7)."""

import json
import time

import pytest
from hostile import endless, reply
from lib.passport import make_passport

NUMBERS = {  # number → who serves it
    "12025550123": "1234", "12025550124": "5678", "12125550125": "9ABC", "18005550199": "VWC55",
}  # fmt: skip


@pytest.fixture
def osp(pa, tmp_path):
    """An OSP with a list, a portability file and a PASSporT; pa.server is everybody's CPS as well."""
    (tmp_path / "blocks.csv").write_text("202-555,1234\n212-555,9ABC\n312-555,-\n")
    (tmp_path / "ports.csv").write_text("12025550124,5678\n18005550199,VWC55\n12025550177,3125550000\n")
    pa.npdb = tmp_path / "numbers.npdb"
    status, built = pa.cli.json(
        "npdb", "build", "--blocks", tmp_path / "blocks.csv", "--ports", tmp_path / "ports.csv", "-o", pa.npdb
    )
    assert (status, built["ports"]) == (0, 3), built
    pa.mapping = {spc: f"{pa.server.url}/cps/company/{spc}" for spc in ("1234", "5678", "VWC55")}
    pa.take(pa.list(7, pa.mapping))
    return pa


def resolve(osp, *numbers, args=()):
    done = osp.cli("resolve", *numbers, "--state", osp.state, "--npdb", osp.npdb, "--json", *args)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_resolve(osp):
    status, answers = resolve(osp, "202 555 0123", "+12025550124", "1-800-555-0199")
    assert status == 0
    assert [one["spc"] for one in answers] == ["1234", "5678", "VWC55"]
    assert [one["url"] for one in answers] == [osp.mapping[spc] for spc in ("1234", "5678", "VWC55")]
    assert [one["ported"] for one in answers] == [False, True, True]
    assert all(one["sequence"] == 7 and one["freshness"] == "fresh" and one["code"] == "OK" for one in answers)
    assert [one["tn"] for one in answers] == ["12025550123", "12025550124", "18005550199"]


@pytest.mark.parametrize(
    "number, code",
    [("hello", "NOT_A_NUMBER"), ("", "NOT_A_NUMBER"), ("1" * 16, "NOT_A_NUMBER"), ("+442071838750", "NO_CARRIER"),
     ("12025550177", "NO_CARRIER"), ("13125550100", "NO_CARRIER"), ("12125550125", "CARRIER_HAS_NO_CPS")],
)  # fmt: skip
def test_reasons(osp, number, code):
    status, answers = resolve(osp, number, "2025550123")
    assert status == 4
    assert answers[0]["code"] == code and answers[0]["url"] is None and answers[0]["detail"], answers[0]
    assert answers[1]["code"] == "OK", "one number's trouble is not the next one's"


def test_override(osp, tmp_path):
    table = tmp_path / "override.csv"
    table.write_text("# signs under another code\n\n9abc, 5678\r\n")
    status, [answer] = resolve(osp, "2125550125", args=("--override", table))
    assert (status, answer["carrier"], answer["spc"]) == (0, "9ABC", "5678")
    assert answer["url"] == osp.mapping["5678"]
    for bad in ("9ABC", "9ABC,56789", "9ABC,5678\n9ABC,1234", "9ABC,5678,1234"):
        table.write_text(bad)
        done = osp.cli("resolve", "2125550125", "--state", osp.state, "--npdb", osp.npdb, "--override", table)
        assert done.returncode == 1, bad


def test_expired_and_grace(osp):
    exp = osp.take(osp.list(8, osp.mapping, lifetime=6))["exp"]  # time enough for a loaded machine to take it
    time.sleep(max(0, exp + 0.1 - time.time()))
    status, [answer] = resolve(osp, "2025550123")
    assert (status, answer["code"], answer["freshness"], answer["url"]) == (4, "LIST_EXPIRED", "expired", None)
    status, [answer] = resolve(osp, "2025550123", args=("--grace", "3600"))
    assert (status, answer["code"], answer["freshness"]) == (0, "OK", "stale")
    time.sleep(max(0, exp + 1.1 - time.time()))
    status, [answer] = resolve(osp, "2025550123", args=("--grace", "1"))
    assert answer["freshness"] == "expired"


def test_no_list(osp, tmp_path):
    osp.state = tmp_path / "empty"
    status, [answer] = resolve(osp, "2025550123")
    assert (status, answer["code"], answer["freshness"]) == (4, "NO_LIST", "none")


def test_local_trouble(osp, tmp_path):
    osp.npdb = tmp_path / "none"
    assert resolve(osp, "2025550123")[0] == 1
    (tmp_path / "none").write_text("rubbish")
    assert resolve(osp, "2025550123")[0] == 1


# ---- deliver ----


def deliver(osp, *dest, args=(), lab=True, token=None):
    token = token or make_passport(osp.signer.key, osp.x5u, "12025550100", dest or ("12025550123",))
    options = ["--state", osp.state, "--npdb", osp.npdb, "--tls-ca", osp.pki.tls_ca, *(["--lab"] if lab else [])]
    return token, *osp.cli.json("deliver", *options, *args, input=token + "\n")


def cps(osp, spc, answer):
    osp.server.routes[f"/cps/company/{spc}"] = answer


def problem(code, status="403 Forbidden"):
    body = json.dumps({"type": "about:blank", "title": "No", "status": 403, "code": code, "detail": "because"})
    return reply(body, status, Content_Type="application/problem+json")


def test_delivered(osp):
    cps(osp, "1234", reply(b"", "201 Created"))
    token, status, answer = deliver(osp)
    assert (status, answer["status"]) == (0, "delivered"), answer
    assert osp.server.posted == [("/cps/company/1234", token.encode())]
    headers = osp.server.requests[-1][1]
    assert headers["content-type"] == "application/passport"
    assert "expect" not in headers


def test_each_cps_once(osp):
    cps(osp, "1234", reply(b"", "201 Created"))
    cps(osp, "5678", reply(b"", "201 Created"))
    _, status, answer = deliver(osp, "12025550123", "12025550129", "12025550124", "12125550125")
    assert status == 0, answer
    assert sorted(path for path, _ in osp.server.posted) == ["/cps/company/1234", "/cps/company/5678"]
    assert len(answer["deliveries"]) == 2


@pytest.mark.parametrize("status", ["400 Bad", "403 No", "404 No", "413 Big", "415 Type", "429 Slow", "437 X", "438 Y"])
def test_rejected(osp, status):
    cps(osp, "1234", problem("STALE_DATE", status))
    _, exit_status, answer = deliver(osp)
    assert (exit_status, answer["code"]) == (2, "REJECTED"), answer
    assert answer["deliveries"][0]["problem"] == "STALE_DATE"
    assert "STALE_DATE" in answer["detail"] and "because" in answer["detail"]


def test_a_refusal_in_any_words(osp):
    for body in (b"", b"<html>", b'{"code":5}', b'{"code":"\\u001b[31m"}', b"[" * 20_000, b'{"code":"' + b"x" * 999 + b'"}'):
        cps(osp, "1234", reply(body, "404 Not Found"))
        _, status, answer = deliver(osp)
        assert (status, answer["code"]) == (2, "REJECTED")
        assert "\x1b" not in json.dumps(answer, ensure_ascii=False)


@pytest.mark.parametrize("status", ["200 OK", "202 Later", "204 Nothing", "302 Found", "500 Oops", "503 Busy"])
def test_not_delivered(osp, status):
    cps(osp, "1234", reply(b"" if status[0] != "2" else b"x", status, Location="/cps/company/5678"))
    _, exit_status, answer = deliver(osp)
    assert (exit_status, answer["code"]) == (3, "FETCH"), answer
    assert len(osp.server.posted) == 1


def test_deadline(osp):
    cps(osp, "1234", endless(b"", 0.1))
    started = time.monotonic()
    _, status, answer = deliver(osp, args=("--deadline", "500"))
    assert (status, answer["code"]) == (3, "FETCH")
    assert time.monotonic() - started < 4


def test_the_gravest_outcome_is_reported(osp):
    cps(osp, "1234", reply(b"", "201 Created"))
    cps(osp, "5678", problem("STALE_DATE"))
    _, status, answer = deliver(osp, "12025550123", "12025550124")
    assert (status, answer["code"]) == (2, "REJECTED")
    assert {one["code"] for one in answer["deliveries"]} == {"OK", "REJECTED"}


def test_no_cps_known(osp):
    for number, code in (("12125550125", "CARRIER_HAS_NO_CPS"), ("442071838750", "NO_CARRIER")):
        _, status, answer = deliver(osp, number)
        assert (status, answer["code"]) == (4, code)
    assert osp.server.posted == []


def test_no_passport(osp):
    for token in ("rubbish", "a.b.c"):
        _, status, answer = deliver(osp, token=token)
        assert (status, answer["code"]) == (2, "MALFORMED")
    token = make_passport(osp.signer.key, osp.x5u, claims={"attest": "Z"})
    assert deliver(osp, token=token)[2]["code"] == "INVALID_IDENTITY_HEADER"
    assert osp.server.posted == []


def test_a_list_leads_nobody_inside(osp):
    """Without the lab setting a CPS on loopback is not posted to, whatever the list says."""
    cps(osp, "1234", reply(b"", "201 Created"))
    token = make_passport(osp.signer.key, "https://certs.example.com/x")
    _, status, answer = deliver(osp, lab=False, token=token)
    assert (status, answer["code"]) == (3, "ADDRESS"), answer
    assert osp.server.posted == []


# ---- retrieve ----


def retrieve(osp, *args, dest="2025550123", orig="+1 202 555 0100", path="", **kw):
    return osp.cli.json("retrieve", dest, orig, "--url", osp.server.url + path, "--tls-ca", osp.pki.tls_ca, *args, **kw)


ROUTE = "/passports/12025550123/12025550100"


def test_retrieve(osp, tmp_path):
    osp.server.routes[ROUTE] = reply('{"passports":["a.b.c","d.e.f"]}', Content_Type="application/json")
    status, answer = retrieve(osp, "--token", "secret")
    assert (status, answer) == (0, {"passports": ["a.b.c", "d.e.f"]}), "loopback is open without --lab"
    assert osp.server.requests[-1][1]["authorization"] == "Bearer secret"
    (tmp_path / "token").write_text("from-file\n")
    retrieve(osp, "--token-file", tmp_path / "token")
    assert osp.server.requests[-1][1]["authorization"] == "Bearer from-file"
    retrieve(osp, env={"STICPS_TOKEN": "from-env"})
    assert osp.server.requests[-1][1]["authorization"] == "Bearer from-env"
    retrieve(osp)
    assert "authorization" not in osp.server.requests[-1][1]
    done = osp.cli("retrieve", "2025550123", "2025550100", "--url", osp.server.url + "/", "--tls-ca", osp.pki.tls_ca)
    assert done.stdout == "a.b.c\nd.e.f\n"


def test_retrieve_waits(osp):
    osp.server.routes[ROUTE + "?wait=1500"] = lambda c, _: (time.sleep(1.2), c.sendall(reply('{"passports":["a.b.c"]}')))
    status, answer = retrieve(osp, "--wait", "1500")
    assert (status, answer["passports"]) == (0, ["a.b.c"])


@pytest.mark.parametrize(
    "answer, code, exit_status",
    [
        (problem("NOT_FOUND", "404 Not Found"), "NOT_FOUND", 4), (reply('{"passports":[]}'), "NOT_FOUND", 4),
        (problem("X", "401 Unauthorized"), "REJECTED", 2), (problem("X", "403 Forbidden"), "REJECTED", 2),
        (reply(b"", "503 Busy"), "FETCH", 3), (reply(b"", "302 Found", Location="/x"), "FETCH", 3),
        (reply(b"rubbish"), "FETCH", 3), (reply(b'{"passports":[5]}'), "FETCH", 3), (reply(b"{}"), "FETCH", 3),
        (reply(b'{"passports":["a"],"passports":["b"]}'), "FETCH", 3), (b"", "FETCH", 3),
        (endless(b"A" * 65536, first=b"HTTP/1.1 200 OK\r\n\r\n"), "FETCH", 3),
    ],
    ids=str,
)  # fmt: skip
def test_retrieve_refusals(osp, answer, code, exit_status):
    osp.server.routes[ROUTE] = answer
    status, got = retrieve(osp)
    assert (status, got["code"]) == (exit_status, code), got


@pytest.mark.parametrize(
    "change", [{"dest": "x"}, {"orig": ""}, {"path": "/?a=b"}, {"args": ("--token", "a\r\nX: y")}, {"args": ("--wait", "x")}]
)
def test_retrieve_usage(osp, change):
    status, answer = retrieve(osp, *change.pop("args", ()), **change)
    assert (status, answer["code"]) == (1, "USAGE"), answer
    assert "/passports" not in "".join(osp.server.paths())
