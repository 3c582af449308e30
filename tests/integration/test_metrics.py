"""GET /metrics of both daemons, read by a strict reader of the format, against what really happened."""

import threading
import time
from datetime import datetime, timezone

import pytest
from cryptography import x509
from lib.exposition import Page, page_of
from lib.net import wait_until
from lib.passport import make_passport

DEST, ORIG = "12025550123", "12015550100"


def days_left(path):
    end = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after.replace(tzinfo=timezone.utc)
    return (end - datetime.now(timezone.utc)).total_seconds() / 86400


@pytest.fixture(scope="module")
def one(registry):
    return registry()


@pytest.fixture(scope="module")
def node(cps):
    return cps()


def scrape(one):
    return page_of(one.anonymous.get("/metrics"))


def scrape_cps(node):
    return page_of(node.private.get("/metrics"))


# ---- the reader itself ----


@pytest.mark.parametrize(
    "text",
    [
        "a 1\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total 1",
        "# HELP a_total x\n# TYPE a_total counter\na_total one\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total 1\na_total 2\n",
        "# HELP a_total x\n# TYPE a_total counter\nb_total 1\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total -1\n",
        "# HELP a x\n# TYPE a counter\na 1\n",
        "# HELP a x\n# TYPE a gauge\na{b=c} 1\n",
        '# HELP a x\n# TYPE a gauge\na{b="c""} 1\n',
        '# HELP a x\n# TYPE a gauge\na{b="c",b="d"} 1\n',
        "# HELP a x\n# TYPE a gauge\na{} 1\n",
        "# TYPE a gauge\na 1\n",
        "# HELP a x\na 1\n",
        '# HELP a x\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
        '# HELP a x\n# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1\n',
    ],
)
def test_the_reader_refuses(text):
    with pytest.raises((AssertionError, UnboundLocalError, TypeError, IndexError)):
        Page(text)


# ---- the registry ----


def test_requests_by_route_and_class(one):
    before = scrape(one)

    def grown(**labels):
        return scrape(one).total("sticps_http_requests_total", **labels) - before.total(
            "sticps_http_requests_total", **labels
        )

    for _ in range(5):
        assert one.anonymous.get("/download/v1/cps-list").status == 200
    etag = one.anonymous.get("/download/v1/cps-list").headers["ETag"]
    assert one.anonymous.get("/download/v1/cps-list", headers={"If-None-Match": etag}).status == 304
    assert one.anonymous.get("/download/v1/cps-list/999999").status == 404
    assert one.anonymous.get('/no"such\\path').status == 404
    assert one.anonymous.get("/api/v1/account/a/cps/1234").status == 401
    assert one.anonymous.get("/api/v1/account/b/cps/5678").status == 401
    route = {"listener": "public", "method": "GET", "route": "/download/v1/cps-list"}
    assert grown(**route, **{"class": "2xx"}) == 6
    assert grown(**route, **{"class": "3xx"}) == 1
    assert grown(route="/download/v1/cps-list/{sequence}", **{"class": "4xx"}) == 1
    assert grown(route="other", method="other", **{"class": "4xx"}) == 1
    assert grown(route="/api/v1/account/{sp}/cps/{spc}", method="GET", **{"class": "4xx"}) == 2


def test_durations_count_what_was_answered(one):
    one.anonymous.get("/health")
    page = scrape(one)
    route = {"listener": "public", "method": "GET", "route": "/health"}
    count = page.value("sticps_http_request_duration_seconds_count", **route)
    assert count == page.total("sticps_http_requests_total", **route) >= 1
    assert 0 < page.value("sticps_http_request_duration_seconds_sum", **route) < count * 5
    # scrypt takes its time: a sign-in is no matter of a millisecond
    login = {"route": "/api/v1/auth/login", "method": "POST"}
    assert page.value("sticps_http_request_duration_seconds_bucket", le="0.00025", **login) == 0


def test_connections(one):
    before = scrape(one)
    kept = [one.anonymous.session() for _ in range(3)]
    for each in kept:
        assert each.get("/health").status == 200
    page = scrape(one)
    assert page.value("sticps_connections_open") >= 4
    for each in kept:
        each.close()
    wait_until(lambda: scrape(one).value("sticps_connections_open") < 4, 5)
    assert page.value("sticps_connections_accepted_total") >= before.value("sticps_connections_accepted_total") + 4


def test_connections_refused(registry):
    small = registry(limits={"per_address": 3})
    kept = [small.anonymous.session() for _ in range(3)]
    for each in kept:
        assert each.get("/health").status == 200
    for _ in range(2):
        with pytest.raises(OSError):
            small.anonymous.get("/health")
    assert page_of(kept[0].get("/metrics")).value("sticps_connections_refused_total") == 2
    for each in kept:
        each.close()


def test_the_list(one):
    sp = one.add_sp("metrics-sp", "4321")
    before = one.anonymous.get("/ready").json["sequence"]
    assert sp.put("/api/v1/account/metrics-sp/cps/4321", {"url": "https://cps.example.com/4321"}).status == 201
    wait_until(lambda: one.anonymous.get("/ready").json["sequence"] > before, 5)
    page = wait_until(lambda: p if (p := scrape(one)).value("sticps_list_entries") == 1 else None, 10)
    assert page.value("sticps_list_sequence") == one.anonymous.get("/ready").json["sequence"]
    assert 0 <= page.value("sticps_list_age_seconds") <= 5
    assert time.time() + 80000 < page.value("sticps_list_expires_timestamp_seconds") < time.time() + 87000
    assert page.value("sticps_publisher_leader") == 1
    assert page.value("sticps_publishing_failed") == 0
    assert page.value("sticps_database_up") == 1


def test_publishing_trouble(registry):
    other = registry()
    other.database.query("ALTER TABLE publication ADD CONSTRAINT closed CHECK (sequence < 2)")
    other.pa.post("/api/v1/publications")
    page = wait_until(lambda: p if (p := scrape(other)).value("sticps_publishing_failed") == 1 else None, 5)
    assert page.value("sticps_list_sequence") == 1
    other.database.query("ALTER TABLE publication DROP CONSTRAINT closed")
    wait_until(lambda: scrape(other).value("sticps_publishing_failed") == 0, 5)


def test_certificates(one, pki):
    page = scrape(one)
    for certificate, name in (("tls-public", "registry-tls"), ("signer", "list-signer")):
        value = page.value("sticps_certificate_days_left", certificate=certificate)
        assert value == pytest.approx(days_left(pki.crt(name)), abs=0.01)


def test_the_database_pool(one):
    page = wait_until(
        lambda: p if (p := scrape(one)).value("sticps_database_connections_open") == 8 else None, 5,
        what="2 threads with 4 connections",
    )
    before = page.value("sticps_database_queries_total")
    for _ in range(4):
        one.pa.get("/api/v1/publications")
    wait_until(lambda: scrape(one).value("sticps_database_queries_total") >= before + 4, 5)
    assert scrape(one).value("sticps_database_queries_waiting") == 0
    assert scrape(one).value("sticps_database_connections_busy") == 0


def test_client_versions(one, cli, pki, tmp_path):
    done = cli(
        "list", "fetch", "--url", one.base_url + "/download/v1/cps-list", "--anchor", pki.list_anchor,
        "--tls-ca", pki.tls_ca, "--state", tmp_path / "state", "--lab",
    )
    assert done.returncode == 0, done.stderr
    version = cli("--version").stdout.split()[-1]
    page = scrape(one)
    assert page.value("sticps_list_fetches_total", client=f"sticps/{version}") == 1
    other = page.value("sticps_list_fetches_total", client="other")
    agents = ["curl/8", "sticps/", "sticps/1.2", "sticps/1.2.3x", "sticps/1234.1.1", 'sticps/1.2."', "Sticps/1.2.3", None]
    for agent in agents:
        assert one.anonymous.get("/download/v1/cps-list", headers={"User-Agent": agent}).status == 200
    assert one.anonymous.get("/api/v1/cps-list", headers={"User-Agent": "sticps/9.8.7 (lab)"}).status == 200
    page = scrape(one)
    assert page.value("sticps_list_fetches_total", client="other") == other + len(agents)
    assert page.value("sticps_list_fetches_total", client="sticps/9.8.7") == 1


def test_nobody_can_blow_up_the_page(one):
    for i in range(150):
        one.anonymous.get("/download/v1/cps-list", headers={"User-Agent": f"sticps/1.1.{i}"})
        one.anonymous.request("GET", f"/nothing/{i}")
    page = scrape(one)
    # 32 kinds on each of two threads
    assert len(page.families["sticps_list_fetches_total"]["samples"]) <= 65
    assert page.total("sticps_list_fetches_total") >= 150
    assert "/nothing" not in str(page.families.keys()) + str(page.families["sticps_http_requests_total"])


# ---- the CPS ----


def test_cps_metrics_need_the_token(node):
    assert node.private.get("/metrics", token=None).status == 401
    assert node.private.get("/metrics", token="wrong").status == 401
    assert node.public.get("/metrics").status == 404
    assert node.private.get("/metrics").status == 200


def test_cps_verdicts_store_and_credentials(cps, pki, cert_server):
    node = cps(threads=1)
    x5u = cert_server.url + "/sp1.crt"

    def make(**kw):
        return make_passport(pki.private_key("sp1"), x5u, ORIG, [DEST], **kw)

    for _ in range(3):
        assert node.deliver(make()).status == 201
    assert node.deliver("nonsense").status == 400
    assert node.deliver(make(iat=int(time.time()) - 3600)).status == 403
    assert node.deliver(make(header={"x5u": cert_server.url + "/none.crt"})).status == 436
    assert node.deliver(make(header={"alg": "RS256"})).status == 437
    assert node.deliver(make(claims={"attest": "Z"})).status == 438
    page = scrape_cps(node)
    verdicts = {
        "ACCEPTED": 3, "MALFORMED": 1, "STALE_DATE": 1, "BAD_IDENTITY_INFO": 1, "UNSUPPORTED_CREDENTIAL": 1,
        "INVALID_IDENTITY_HEADER": 1, "BUSY": 0, "NOT_READY": 0, "other": 0,
    }
    for code, count in verdicts.items():
        assert page.value("sticps_cps_verdicts_total", code=code) == count, code
    assert page.value("sticps_cps_credentials_total", result="miss") == 2
    assert page.value("sticps_cps_credentials_total", result="hit") == 2
    assert page.value("sticps_cps_x5u_fetches_pending") == 0
    assert page.value("sticps_cps_store_held") == 3
    assert page.value("sticps_cps_store_remembered") == 0
    held_bytes = page.value("sticps_cps_store_bytes")
    assert held_bytes > 3 * 300
    assert page.value("sticps_cps_handed_over_total") == 0

    assert len(node.retrieve(DEST, ORIG).json["passports"]) == 3
    page = scrape_cps(node)
    assert page.value("sticps_cps_store_held") == 0
    assert page.value("sticps_cps_store_remembered") == 3
    assert page.value("sticps_cps_store_bytes") < held_bytes
    assert page.value("sticps_cps_handed_over_total") == 3
    route = {"listener": "public", "route": "/cps/company/{spc}", "method": "POST"}
    assert page.value("sticps_http_requests_total", **route, **{"class": "2xx"}) == 3
    assert page.value("sticps_http_requests_total", **route, **{"class": "4xx"}) == 5
    assert page.value("sticps_http_request_duration_seconds_count", **route) == 8


def test_cps_a_fetch_under_way_is_seen(cps, pki, cert_server, new_cert_server):
    node, slow = cps(), new_cert_server()
    slow.delay = 1.5
    x5u = slow.serve("/sp1.crt", pki.pem("sp1"))
    token = make_passport(pki.private_key("sp1"), x5u, ORIG, [DEST])
    sender = threading.Thread(target=node.deliver, args=(token,))
    sender.start()
    wait_until(lambda: scrape_cps(node).value("sticps_cps_x5u_fetches_pending") == 1, 1.4)
    sender.join()
    assert scrape_cps(node).value("sticps_cps_x5u_fetches_pending") == 0


def test_cps_anchors_and_certificates(node, pki):
    page = scrape_cps(node)
    assert 0 <= page.value("sticps_cps_anchors_age_seconds") < 60
    for listener in ("public", "private"):
        value = page.value("sticps_certificate_days_left", certificate=f"tls-{listener}")
        assert value == pytest.approx(days_left(pki.crt("cps-tls")), abs=0.01)


def test_scrapes_while_others_ask(one):
    """A thousand requests from four sides, scraped all the while: nothing is lost, nothing goes back."""
    before = scrape(one).total("sticps_http_requests_total", route="/health")

    def ask():
        session = one.anonymous.session()
        for _ in range(250):
            assert session.get("/health").status == 200
        session.close()

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    last = before
    while any(asker.is_alive() for asker in askers):
        seen = scrape(one).total("sticps_http_requests_total", route="/health")
        assert seen >= last
        last = seen
    assert scrape(one).total("sticps_http_requests_total", route="/health") == before + 1000
