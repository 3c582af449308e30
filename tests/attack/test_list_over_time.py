"""Attacks that need time: what was accepted, rotated, expired or set back before (PROTOCOL section 2, rules 4, 7, 8).

Each command of an implementation is a process of its own, so each fetch here is one after a restart."""

import base64
import subprocess
import time
from pathlib import Path

import pytest
from hostile import NUMBER, Hostile, Identity, StiPa, b64, reply
from lib.process import sanitizer_env

DAY = 86400
GOOD = "https://cps.example.com/cps/company/1234"


def url_of(pa, **kw):
    """Where a call goes now, or the reason why nowhere."""
    _, answer = pa.resolve(**kw)
    return answer.get("url") or answer["code"]


class Clock:
    """The wall clock of the implementation alone: clock.step(seconds), env=clock.env."""

    def __init__(self, folder):
        shim = folder / "clock_shim.so"
        source = Path(__file__).with_name("clock_shim.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source], check=True, timeout=60)
        sanitizers = sanitizer_env()["ASAN_OPTIONS"] + ":verify_asan_link_order=0"
        self.env = {"LD_PRELOAD": str(shim), "ASAN_OPTIONS": sanitizers}
        self.step(0)

    def step(self, seconds):
        self.env["CLOCK_OFFSET"] = str(int(seconds))


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


@pytest.fixture
def timeless(implementation, cli, pki, tmp_path):
    """A `pa` whose TLS certificate is good at any time that these tests set, so that the list's rules decide."""
    ca = Identity("TLS CA", ca=True, days=(-25000, 5000))
    server = Identity("server", ca, server=True, names=["127.0.0.1"], days=(-25000, 5000))
    (tmp_path / "tls-ca.pem").write_bytes(ca.pem)
    listener = Hostile(*server.write(tmp_path, "server"))
    one = StiPa(cli, pki, tmp_path, implementation, listener, tmp_path / "tls-ca.pem")
    yield one
    one.close()


# ---- rollback ----


@pytest.mark.parametrize("failure", ["nothing", "500", "redirect", "refused", "no certificate"])
def test_no_rollback_after_a_failure(pa, failure):
    """What went wrong in between, once or often, lowers no floor."""
    pa.take(pa.list(5))
    pa.take(pa.list(6))
    answers = {
        "nothing": b"", "500": reply(b"", "500 Oops"), "redirect": reply(b"", "302 Found", Location=pa.x5u),
        "refused": reply(pa.list(2**53 - 1)[:-4] + "AAAA"), "no certificate": reply(pa.list(7)),
    }  # fmt: skip
    certificate = pa.server.routes["/cert"]
    pa.server.routes["/list"] = answers[failure]
    if failure == "no certificate":
        pa.server.routes["/cert2"] = reply(b"", "404 Not Found")
        pa.serve(pa.list(7, header={"x5u": pa.x5u + "2"}))
    for _ in range(3):
        assert pa.fetch()[0] in (2, 3)
    pa.server.routes["/cert"] = certificate
    pa.refuse("ROLLBACK", 2, serve=pa.list(5))
    pa.take(pa.list(7))


def test_no_rollback_by_a_fallback_file(pa, free_port):
    """The copy on disk that is there for the day when no source answers is as old as it is."""
    old = pa.dir / "copy.jwt"
    old.write_text(pa.list(5))
    pa.take(pa.list(6))
    dead = f"https://127.0.0.1:{free_port()}/list"
    pa.refuse("ROLLBACK", 2, "--file", old, url=dead)
    old.write_text(pa.list(7))
    status, answer = pa.fetch("--file", old, url=dead)
    assert (status, answer["sequence"]) == (0, 7), answer


def test_no_rollback_by_another_signer_or_anchor(pa):
    """The floor belongs to the list, not to whoever signed it: a new signer or root begins no new count."""
    pa.take(pa.list(6))
    other_root = Identity("other root", ca=True)
    signer = Identity("other signer", other_root)
    pa.anchor.write_bytes(pa.root.pem + other_root.pem)
    pa.server.routes["/cert2"] = reply(signer.pem)
    header = {"x5u": pa.x5u + "2"}
    pa.refuse("ROLLBACK", 2, serve=pa.list(5, header=header, key=signer.key))
    pa.refuse("EQUIVOCATION", 2, serve=pa.list(6, header=header, key=signer.key))
    pa.take(pa.list(7, header=header, key=signer.key))


def test_no_rollback_once_the_held_list_has_expired(pa):
    """An old list that is still good for days is no better than the newer one that has just expired."""
    exp = pa.take(pa.list(6, lifetime=6))["exp"]
    time.sleep(max(0, exp + 0.1 - time.time()))
    pa.refuse("ROLLBACK", 2, serve=pa.list(5, lifetime=3 * DAY))
    assert url_of(pa) == "LIST_EXPIRED" or not pa.implementation.ours
    pa.take(pa.list(7))


# ---- equivocation ----


def test_equivocation_with_an_earlier_list_is_remembered(pa):
    """After a reset that an operator asked for, too, a number has one list."""
    first = pa.list(5)
    for jws in (first, pa.list(6), pa.list(7)):
        pa.take(jws)
    assert pa.implementation("reset", pa.state, "5")[0] == 0
    pa.refuse("EQUIVOCATION", 2, serve=pa.list(5, {"1234": "https://evil.example.com/x"}))
    pa.take(first)


def test_equivocation_by_signature_alone(pa):
    """ECDSA lets anybody negate s: the same claims, a signature that still matches, other bytes."""
    jws = pa.list(5)
    pa.take(jws)
    signing_input, _, signature = jws.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other = raw[:32] + (n - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    pa.refuse("EQUIVOCATION", 2, serve=f"{signing_input}.{b64(other)}")


# ---- freeze ----


@pytest.mark.parametrize("how", ["200", "304"])
def test_a_freeze_ends_with_exp(pa, how):
    """Whoever replays a genuine list keeps it alive until its exp and not a second longer, however it is answered."""
    pa.serve(pa.list(5, lifetime=8), ETag='"five"')
    status, taken = pa.fetch()
    assert (status, taken["status"]) == (0, "taken"), taken
    if how == "304":
        pa.serve(lambda c, _: c.sendall(reply(b"", "304 Not Modified", ETag='"five"')))
    replays = 0
    while time.time() < taken["exp"] - 2:
        status, answer = pa.fetch()
        if time.time() < taken["exp"]:
            assert (status, answer["status"], answer["exp"]) == (0, "current", taken["exp"]), answer
            replays += 1
        time.sleep(0.5)
    assert replays > 0
    time.sleep(max(0, taken["exp"] + 0.1 - time.time()))
    pa.refuse(*(("EXP", 2) if how == "200" else ("FETCH", 3)))
    status, answer = pa.resolve()
    assert status == 4 and not answer.get("url") and pa.named(answer, "LIST_EXPIRED"), answer


# ---- mix and match across rotation ----


@pytest.fixture
def rotated(pa):
    """The signer was renewed under a new name: /cert is the old one, /cert2 the new one; both are below the anchor."""
    pa.new = Identity("list signer", pa.root)
    pa.server.routes["/cert2"] = reply(pa.new.pem)
    pa.take(pa.list(5))
    pa.take(pa.list(6, header={"x5u": pa.x5u + "2"}, key=pa.new.key))
    return pa


def test_mix_of_signer_and_x5u(rotated):
    """The key of one certificate under the address of the other."""
    pa = rotated
    pa.refuse("SIGNATURE", 2, serve=pa.list(7, key=pa.new.key))
    pa.refuse("SIGNATURE", 2, serve=pa.list(7, header={"x5u": pa.x5u + "2"}))


@pytest.mark.parametrize("parts", ["ABB", "BAA", "AAB", "BBA", "ABA", "BAB"])
def test_mix_of_header_payload_and_signature(rotated, parts):
    """Pieces of two genuine lists, signed before and after the rotation, are no list."""
    pa = rotated
    lists = {
        "A": pa.list(7).split("."),
        "B": pa.list(8, {"5678": "https://b.example.com/"}, header={"x5u": pa.x5u + "2"}, key=pa.new.key).split("."),
    }
    pa.refuse("SIGNATURE", 2, serve=".".join(lists[which][i] for i, which in enumerate(parts)))


def test_mix_of_leaf_and_key(rotated):
    """A certificate with the signer's names, below the anchor by its words alone, over another key."""
    pa = rotated
    stranger = Identity("STI-PA root", ca=True)
    forged = Identity("list signer", stranger, key=pa.new.key)
    pa.publish_certificate(forged.pem + pa.new.pem + pa.root.pem)
    pa.refuse("SIGNER", 2, serve=pa.list(7, key=pa.new.key))


def test_mix_of_lists_of_two_kinds(rotated):
    """The newest STI-CA list of the same signer, where a CPS list belongs, and the other way round."""
    pa = rotated
    ca_list = pa.sign(pa.header(), pa.payload(9, cpsMapping=None, trustList=[pa.root.pem.decode()]))
    pa.refuse("PAYLOAD", 2, serve=ca_list)
    assert url_of(pa) == GOOD
    pa.take(ca_list, "--kind", "ca")
    pa.refuse("PAYLOAD", 2, "--kind", "ca", serve=pa.list(10))


def test_the_old_anchor_is_gone_with_its_removal(pa):
    """Also for a chain that the cache still has, and for the list that is held and served again."""
    pa.take(pa.list(5))
    new_root = Identity("new root", ca=True)
    pa.anchor.write_bytes(new_root.pem)
    pa.refuse("SIGNER", 2)
    pa.refuse("SIGNER", 2, serve=pa.list(6))
    signer = Identity("new signer", new_root)
    pa.publish_certificate(signer.pem)
    pa.take(pa.list(6, key=signer.key))


# ---- clocks ----


def test_clock_forward(timeless, clock):
    """A clock that runs ahead for a while: nothing is believed longer, nothing is forgotten."""
    pa = timeless
    pa.take(pa.list(5, lifetime=3600), env=clock.env)
    clock.step(2 * 3600)
    pa.refuse("EXP", 2, env=clock.env)
    status, answer = pa.resolve(env=clock.env)
    assert status == 4 and not answer.get("url"), answer
    clock.step(60 * DAY)  # the signer's certificate has ended, too
    pa.refuse("SIGNER", 2, serve=pa.list(6, lifetime=61 * DAY), env=clock.env)
    clock.step(0)
    assert url_of(pa, env=clock.env) == GOOD
    pa.refuse("ROLLBACK", 2, serve=pa.list(4), env=clock.env)
    pa.take(pa.list(6), env=clock.env)


def test_a_list_taken_by_a_clock_that_ran_ahead(timeless, clock):
    """When the clock is right again, it is not yet too late for anything: the floor holds, the next one is taken."""
    pa = timeless
    clock.step(3 * DAY)
    pa.take(pa.list(5, lifetime=4 * DAY), env=clock.env)
    clock.step(0)
    assert pa.fetch(env=clock.env)[1]["status"] == "current"
    pa.refuse("ROLLBACK", 2, serve=pa.list(4), env=clock.env)
    pa.take(pa.list(6), env=clock.env)
    assert url_of(pa, env=clock.env) == GOOD


def test_clock_back(timeless, clock):
    """A clock set back makes no old list new: the floor knows no time, and exp is at most 7 days ahead."""
    pa = timeless
    old = pa.list(4, lifetime=2 * DAY)
    pa.take(old, env=clock.env)
    pa.take(pa.list(5), env=clock.env)
    clock.step(-20 * 3600)
    pa.refuse("ROLLBACK", 2, serve=old, env=clock.env)
    clock.step(-400 * DAY)  # before the signer's certificate, and all lists are years ahead
    for jws in (old, pa.list(6)):
        assert pa.fetch(env=clock.env)[0] == 2
        pa.serve(jws)
    assert pa.fetch(env=clock.env)[0] == 2
    clock.step(0)
    assert pa.fetch(env=clock.env)[1]["status"] == "taken"
    assert url_of(pa, env=clock.env) == GOOD


def test_clock_before_1970(timeless, clock):
    pa = timeless
    clock.step(-int(time.time()) - DAY)
    pa.serve(pa.list(5))
    assert pa.fetch(env=clock.env)[0] in (2, 3)
    clock.step(0)
    assert pa.fetch(env=clock.env)[0] == 0


def test_the_last_second_of_exp(timeless, clock):
    """`exp > now` without leeway: at exp itself the list is over, for accepting and for resolving."""
    pa = timeless
    jws = pa.list(5, lifetime=1000)
    exp = pa.take(jws, env=clock.env)["exp"]
    clock.step(int(exp - time.time()) + 2)
    pa.refuse("EXP", 2, env=clock.env)
    assert pa.resolve(NUMBER, env=clock.env)[0] == 4


def test_a_cached_chain_does_not_outlive_its_certificate(timeless, clock):
    """24 h in the cache are 24 h at most: a certificate that ends in one hour is not used in two."""
    pa = timeless
    short = Identity("short", pa.root, days=(-1, 1 / 24))
    pa.publish_certificate(short.pem, Cache_Control="max-age=86400")
    pa.take(pa.list(5, key=short.key), env=clock.env)
    clock.step(2 * 3600)
    pa.refuse("SIGNER", 2, serve=pa.list(6, key=short.key, lifetime=DAY), env=clock.env)
