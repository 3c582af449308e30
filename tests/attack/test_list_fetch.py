"""PROTOCOL section 2, rule 1: what the network may do to a fetch, and that nothing whole came of it (exit 3)."""

import contextlib
import gzip
import socket
import ssl
import threading
import time

import pytest
from hostile import Hostile, Identity, endless, reply


def chunked(*chunks, end=True):
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        + body
        + (b"0\r\n\r\n" if end else b"")
    )


def test_a_good_list_is_taken(pa):
    answer = pa.take(pa.list(7, {"1234": "https://a.example.com/x", "VWC55": "https://b.example.com/y"}))
    assert (answer["sequence"], answer["entries"], answer["previous"]) == (7, 2, 0)
    held = pa.held()
    assert set(held) == {"sequence", "exp", "expired", "entries", "sha256", "source", "fetchedAt", "cpsMapping"}
    assert held["cpsMapping"] == {"1234": "https://a.example.com/x", "VWC55": "https://b.example.com/y"}
    assert held["source"] == pa.url
    assert held["expired"] is False


@pytest.mark.parametrize("body", ["chunked", "gzip", "line break", "envelope"])
def test_other_wrappings_are_taken(pa, body):
    jws = pa.list(3)
    if body == "chunked":
        pa.serve(lambda connection, _: connection.sendall(chunked(jws[:50].encode(), jws[50:].encode())))
    elif body == "gzip":
        pa.serve(gzip.compress(jws.encode()), Content_Encoding="gzip")
    elif body == "line break":
        pa.serve(jws + "\r\n")
    else:
        pa.serve('{"status":"success","message":"x","cpsList":"%s"}' % jws, Content_Type="application/json")
    status, answer = pa.fetch()
    assert (status, answer["sequence"]) == (0, 3), answer


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary", "308 Permanent"])
def test_redirects_are_not_followed(pa, status):
    pa.server.routes["/elsewhere"] = reply(pa.list(5))
    pa.refuse("FETCH", 3, serve=lambda c, _: c.sendall(reply(b"", status, Location=pa.server.url + "/elsewhere")))
    assert pa.server.paths() == ["/list"]


@pytest.mark.parametrize(
    "status", ["201 Created", "204 No Content", "206 Partial Content", "401 No", "404 Not Found", "500 Oops", "503 X"]
)
def test_only_200_counts(pa, status):
    body = b"" if status.startswith("204") else pa.list(5).encode()
    pa.refuse("FETCH", 3, serve=lambda c, _: c.sendall(reply(body, status)))


def test_an_informational_answer_is_passed_over(pa):
    pa.serve(lambda c, _: c.sendall(b"HTTP/1.1 103 Early Hints\r\nETag: \"x\"\r\n\r\n" + reply(pa.list(5))))
    assert pa.fetch()[0] == 0


def test_endless_body(pa):
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    pa.refuse("FETCH", 3, serve=endless(b"A" * 65536, first=head), says="16777216")


def test_announced_body_too_large(pa):
    started = time.monotonic()
    pa.refuse("FETCH", 3, serve=lambda c, _: (c.sendall(reply(b"A", Content_Length="99999999999")), time.sleep(15)))
    assert time.monotonic() - started < 10, "the announced length should have ended it"


def test_endless_headers(pa):
    pa.refuse("FETCH", 3, serve=endless(b"X-A: " + b"b" * 1000 + b"\r\n", first=b"HTTP/1.1 200 OK\r\n"))


def test_endless_header_line(pa):
    pa.refuse("FETCH", 3, serve=endless(b"b" * 65536, first=b"HTTP/1.1 200 OK\r\nX-A: "))


def test_headers_above_64_kib(pa):
    filler = {f"X_{i}": "b" * 1000 for i in range(66)}
    pa.serve(pa.list(5), **filler)
    pa.refuse("FETCH", 3)
    pa.serve(pa.list(5), **dict(list(filler.items())[:60]))
    assert pa.fetch()[0] == 0


def test_informational_answers_count_as_headers(pa):
    hints = b"HTTP/1.1 103 Early Hints\r\nX-A: " + b"b" * 1000 + b"\r\n\r\n"
    pa.refuse("FETCH", 3, serve=endless(hints))


@pytest.mark.parametrize("how", ["chunks", "size", "extension", "single bytes"])
def test_chunked_forever(pa, how):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    endings = {
        "chunks": (b"10000\r\n" + b"A" * 65536 + b"\r\n", 0.0),  # no end, no length
        "size": (b"0" * 65536, 0.0),  # a size that never ends
        "extension": (b"x" * 65536, 0.0),
        "single bytes": (b"1\r\nA\r\n", 0.05),
    }
    chunk, pause = endings[how]
    first = head + (b"5;" if how == "extension" else b"")
    pa.refuse("FETCH", 3, "--timeout", "3", serve=endless(chunk, pause, first))


@pytest.mark.parametrize("size", ["FFFFFFFFFFFFFFFF", "10000000000000005", "-5", "0x5", ""])
def test_chunk_sizes_that_overflow(pa, size):
    body = size.encode() + b"\r\n" + pa.list(5).encode() + b"\r\n0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    pa.refuse("FETCH", 3, "--timeout", "5", serve=lambda c, _: c.sendall(head + body))


def test_gzip_bomb(pa):
    bomb = gzip.compress(b"A" * (64 * 1024 * 1024))
    assert len(bomb) < 100_000
    pa.serve(bomb, Content_Encoding="gzip")
    pa.refuse("FETCH", 3, says="16777216")


def test_gzip_that_is_none(pa):
    pa.serve(b"\x1f\x8b\x08\x00 this is not gzip at all", Content_Encoding="gzip")
    pa.refuse("FETCH", 3)


@pytest.mark.parametrize("how", ["one header", "two headers", "transfer", "transfer, chunked first", "transfer alone"])
def test_one_coding_and_no_more(pa, how):
    """Each layer multiplies what five kilobytes can cost by a thousand, and no limit on the output sees it."""
    twice = gzip.compress(gzip.compress(pa.list(5).encode()))
    head = {
        "one header": b"Content-Encoding: gzip, gzip\r\n",
        "two headers": b"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n",
        "transfer": b"Transfer-Encoding: gzip, gzip, chunked\r\n",
        "transfer, chunked first": b"Transfer-Encoding: chunked, gzip\r\n",
        "transfer alone": b"Transfer-Encoding: deflate\r\n",
    }[how]
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(twice), twice) if "chunked" in head.decode() else twice
    answer = b"HTTP/1.1 200 OK\r\n" + head + b"Connection: close\r\n\r\n" + body
    pa.refuse("FETCH", 3, serve=lambda c, _: c.sendall(answer), says="compresses")


def test_trailers_are_passed_over(pa):
    """RFC 9110 s6.5: what follows a chunked body is no reason to refuse it, and no header of it either."""

    def with_trailers(body):
        assert chunked(body).endswith(b"0\r\n\r\n")
        return chunked(body)[:-2] + b'X-Checksum: abc\r\nETag: "trailer"\r\nContent-Encoding: gzip, gzip\r\n\r\n'

    pa.server.routes["/cert"] = with_trailers(pa.signer.pem)
    pa.serve(lambda c, _: c.sendall(with_trailers(pa.list(5).encode())))
    status, answer = pa.fetch()
    assert status == 0, answer
    pa.fetch()
    assert all("if-none-match" not in headers for _, headers in pa.server.requests)


def drip_a_handshake(listener):
    """A TLS record of 16 KiB, announced whole, that comes a byte at a time."""
    connection = listener.accept()[0]
    with contextlib.suppress(OSError), connection:
        connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
        while True:
            connection.sendall(b"\0")
            time.sleep(0.1)


@pytest.mark.parametrize("where", ["silent handshake", "handshake", "headers", "body"])
def test_a_drip_meets_the_deadline(pa, where):
    """Under DNS and connect: test_list_names.py."""
    if "handshake" in where:
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/list"
        if where == "handshake":
            threading.Thread(target=drip_a_handshake, args=(listener,), daemon=True).start()
    else:
        url = None
        head = b"HTTP/1.1 200 OK\r\n"
        pa.serve(
            endless(b"X: y\r\n", 0.1, head) if where == "headers"
            else endless(b"A", 0.1, head + b"Content-Length: 10000\r\n\r\n")
        )
    started = time.monotonic()
    pa.refuse("FETCH", 3, "--timeout", "2", url=url, says="within the deadline of ")
    assert time.monotonic() - started < 6


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_dripping_certificate_meets_the_deadline(pa, where):
    head = b"HTTP/1.1 200 OK\r\n"
    pa.server.routes["/cert"] = (
        endless(b"X: y\r\n", 0.1, head) if where == "headers"
        else endless(b"A", 0.1, head + b"Content-Length: 10000\r\n\r\n")
    )
    started = time.monotonic()
    pa.refuse("FETCH", 3, "--timeout", "2", serve=pa.list(5))
    assert time.monotonic() - started < 6


def test_one_deadline_for_list_and_certificate(pa):
    def late(body):
        return lambda connection, _: (time.sleep(2.2), connection.sendall(reply(body)))

    pa.server.routes["/cert"] = late(pa.signer.pem)
    pa.refuse("FETCH", 3, "--timeout", "4", serve=late(pa.list(5)))
    assert pa.server.paths() == ["/list", "/cert"]
    assert pa.fetch("--timeout", "20")[0] == 0


@pytest.mark.parametrize("how", ["content-length", "chunked", "nothing", "headers"])
def test_truncated(pa, how):
    jws = pa.list(5).encode()
    answers = {
        "content-length": reply(jws, Content_Length=str(len(jws) + 10)),
        "chunked": chunked(jws, end=False),
        "nothing": b"",
        "headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    }
    pa.refuse("FETCH", 3, serve=lambda c, _: c.sendall(answers[how]))


@pytest.mark.parametrize("keep", [30, -87, -20, -1])
def test_cut_where_no_length_was_given(pa, keep):
    """HTTP cannot tell such a body from a whole one; the next rules can."""
    pa.server.routes["/list"] = reply(pa.list(5)[:keep], Content_Length=None)
    status, answer = pa.fetch()
    assert status == 2 and pa.named(answer, "FORM", "SIGNATURE"), answer
    assert pa.held() is None


def test_not_http(pa):
    pa.refuse("FETCH", 3, serve=lambda c, _: c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"))


def test_nobody_listens(pa, free_port):
    pa.refuse("FETCH", 3, url=f"https://127.0.0.1:{free_port()}/list")


def test_no_such_name(pa):
    pa.refuse("FETCH", 3, url="https://no-such-host.invalid/list")


def test_usage(pa):
    for url in ("http://127.0.0.1/list", "ftp://127.0.0.1/list", "list", "https://", "https://u:p@a.example.com/x"):
        pa.refuse("USAGE", 1, url=url)
    pa.anchor.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert pa.fetch()[0] == 1
    pa.anchor.unlink()
    assert pa.fetch()[0] == 1
    assert pa.server.requests == []


# ---- TLS ----


def test_tls_root_unknown(pa):
    pa.tls_ca = pa.anchor
    pa.refuse("FETCH", 3, serve=pa.list(5), says="--tls-ca")
    assert pa.server.requests == []


def test_list_anchor_is_no_tls_root(pa, tmp_path):
    """And the other way round: TLS roots are never anchors (test_list_rules)."""
    server = Identity("127.0.0.1", pa.root, server=True)
    (tmp_path / "s.pem").write_bytes(server.pem)
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    (tmp_path / "s.key").write_bytes(
        server.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    other = Hostile(tmp_path / "s.pem", tmp_path / "s.key")
    pa.refuse("FETCH", 3, url=other.url + "/list")
    assert other.requests == []
    other.close()


def test_tls_host_name_is_checked(pa):
    other = Hostile(pa.pki.crt("repo-tls"), pa.pki.key("repo-tls"), host="127.0.0.2")
    pa.refuse("FETCH", 3, url=other.url + "/list", says="TLS")
    assert other.requests == []
    other.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_below_1_2(pa):
    def old(context):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")

    other = Hostile(pa.pki.crt("repo-tls"), pa.pki.key("repo-tls"), configure=old)
    pa.refuse("FETCH", 3, url=other.url + "/list")
    assert other.requests == []
    other.close()


# ---- surroundings ----


def test_proxies_of_the_environment_are_ignored(pa, free_port):
    dead = f"http://127.0.0.1:{free_port()}"
    pa.serve(pa.list(5))
    assert pa.fetch(env={"https_proxy": dead, "HTTPS_PROXY": dead, "all_proxy": dead, "ALL_PROXY": dead})[0] == 0


def test_netrc_is_ignored(pa, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    pa.serve(pa.list(5))
    assert pa.fetch(env={"HOME": str(tmp_path)})[0] == 0
    assert all("authorization" not in headers for _, headers in pa.server.requests)


def test_loopback_is_closed_without_lab(pa):
    """Checked after DNS: the name localhost says nothing, the address does."""
    pa.serve(pa.list(5))
    for host in ("localhost", "127.0.0.1", "[::ffff:127.0.0.1]"):
        pa.refuse("ADDRESS", 2, lab=False, url=pa.url.replace("127.0.0.1", host), says="--lab")
    for host in ("127.1", "0x7f.1", "2130706433", "127.0.0.1."):
        status, answer = pa.fetch(lab=False, url=pa.url.replace("127.0.0.1", host))
        assert status in (1, 2) and pa.named(answer, "USAGE", "ADDRESS"), (host, answer)
    assert pa.server.requests == []


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]"])
def test_private_addresses_are_closed_without_lab(pa, address):
    pa.refuse("ADDRESS", 2, lab=False, url=f"https://{address}/list")


# ---- conditions ----


def test_304_to_our_condition(pa):
    jws = pa.list(5)
    pa.serve(jws, ETag='"five"')
    assert pa.fetch()[1]["status"] == "taken"
    first = pa.held()

    def conditional(connection, request):
        matches = request[1].get("if-none-match") == '"five"'
        connection.sendall(reply(b"", "304 Not Modified", ETag='"five"') if matches else reply(jws, ETag='"five"'))

    pa.serve(conditional)
    for _ in range(2):
        status, answer = pa.fetch()
        assert (status, answer["status"], answer["sequence"]) == (0, "current", 5)
    assert [h.get("if-none-match") for p, h in pa.server.requests if p == "/list"] == [None, '"five"', '"five"']
    assert pa.held()["sha256"] == first["sha256"]


def test_304_without_a_condition(pa):
    pa.refuse("FETCH", 3, serve=lambda c, _: c.sendall(reply(b"", "304 Not Modified")), says="304")


def test_304_with_a_changed_body(pa):
    """What comes with a 304 is no list, whatever it is signed with."""
    pa.serve(pa.list(5), ETag='"five"')
    assert pa.fetch()[0] == 0
    evil = pa.list(6, {"1234": "https://evil.example.com/x"}).encode()

    def not_modified(connection, _):
        connection.sendall(reply(evil, "304 Not Modified", ETag='"five"'))

    pa.serve(not_modified)
    status, answer = pa.fetch()
    assert status in (0, 3), answer
    assert (pa.held()["sequence"], pa.resolve()[1]["url"]) == (5, "https://cps.example.com/cps/company/1234")


def test_304_with_another_etag(pa):
    """The ETag of a 304 is not the one to ask with next time: it would name bytes that were never seen."""
    pa.serve(pa.list(5), ETag='"five"')
    assert pa.fetch()[0] == 0
    pa.serve(lambda c, _: c.sendall(reply(b"", "304 Not Modified", ETag='"six"')))
    for _ in range(2):
        assert pa.fetch()[0] == 0
    asked = [headers.get("if-none-match") for path, headers in pa.server.requests if path == "/list"]
    assert asked == [None, '"five"', '"five"']


def test_an_etag_says_nothing_about_the_bytes(pa):
    """200 with the ETag of the held list: rolled back, signed twice or new, the bytes are judged."""
    payload = pa.payload(5)
    pa.serve(pa.sign(pa.header(), payload), ETag='"same"')
    assert pa.fetch()[0] == 0
    for code, jws in (("ROLLBACK", pa.list(4)), ("EQUIVOCATION", pa.sign(pa.header(), payload))):
        pa.serve(jws, ETag='"same"')
        pa.refuse(code, 2)
    pa.serve(pa.list(6), ETag='"same"')
    assert pa.fetch()[1]["sequence"] == 6


def test_no_condition_for_another_source(pa):
    pa.serve(pa.list(5), ETag='"five"')
    assert pa.fetch()[0] == 0
    pa.server.routes["/other"] = reply(b"", "304 Not Modified", ETag='"five"')
    pa.refuse("FETCH", 3, url=pa.server.url + "/other")
    assert "if-none-match" not in pa.server.requests[-1][1]


def test_no_condition_for_an_expired_list(pa):
    pa.serve(pa.list(5, lifetime=6), ETag='"five"')
    status, answer = pa.fetch()
    assert status == 0
    time.sleep(max(0, answer["exp"] + 0.1 - time.time()))
    pa.refuse("FETCH", 3, serve=lambda c, _: c.sendall(reply(b"", "304 Not Modified")))
    assert "if-none-match" not in pa.server.requests[-1][1]
    assert pa.held()["expired"] is True


def test_304_goes_through_the_rules_again(pa, tmp_path):
    """The held list's anchor was withdrawn: a 304 does not keep it accepted."""
    pa.serve(pa.list(5), ETag='"five"')
    assert pa.fetch()[0] == 0
    pa.anchor.write_bytes(Identity("another root", ca=True).pem)
    pa.refuse("SIGNER", 2, serve=lambda c, _: c.sendall(reply(b"", "304 Not Modified")))


@pytest.mark.parametrize("etag", ["", "x" * 300, 'W/"\tx"', '"a\x7f"'])
def test_odd_etags_do_no_harm(pa, etag):
    pa.serve(pa.list(5), ETag=etag)
    assert pa.fetch()[0] == 0
    assert pa.fetch()[1]["status"] == "current"


def test_every_fetch_asks_the_network(pa):
    pa.take(pa.list(5))
    pa.server.requests.clear()
    assert pa.fetch()[1]["status"] == "current"
    assert pa.server.paths() == ["/list"], "the certificate comes from the cache, the list does not"
