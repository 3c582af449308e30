"""sticps-registryd killed again and again during writes and publications: no acknowledged write is lost, no
sequence is repeated or left out, and nothing was ever served that is not in the database."""

import http.client
import itertools
import json
import os
import random
import threading
import time

import pytest
from lib.net import wait_until
from lib.passport import b64url_decode

KILLS = int(os.environ.get("STICPS_KILLS", "200"))
WRITERS = 3
SPCS_EACH = 8


class Writer(threading.Thread):
    """Writes to SPCs of its own, each time another URL; keeps what was acknowledged, and in which order."""

    def __init__(self, api, spcs, stop):
        super().__init__(daemon=True)
        self.api, self.spcs, self.stop = api, spcs, stop
        self.sent = {spc: [] for spc in spcs}
        self.acknowledged = {spc: [] for spc in spcs}
        self.refused = []

    def run(self):
        for number in itertools.count():
            if self.stop.is_set():
                return
            spc = self.spcs[number % len(self.spcs)]
            url = f"https://cps.example.com/{spc}/{number}"
            self.sent[spc].append(url)
            try:
                reply = self.api.put(f"/api/v1/account/alpha/cps/{spc}", {"url": url})
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)  # killed: it may be in the database, or not
                continue
            if reply.status in (200, 201):
                self.acknowledged[spc].append(url)
            elif reply.status != 503:
                self.refused.append((reply.status, reply.body))


class Reader(threading.Thread):
    """Fetches the list all the time, and keeps every different one in the order in which it was served."""

    def __init__(self, api, stop):
        super().__init__(daemon=True)
        self.api, self.stop = api, stop
        self.served = []

    def run(self):
        while not self.stop.is_set():
            try:
                reply = self.api.get("/download/v1/cps-list")
            except (OSError, http.client.HTTPException):
                time.sleep(0.005)
                continue
            if reply.status == 200 and (not self.served or self.served[-1] != reply.body):
                self.served.append(reply.body)


@pytest.fixture(scope="module")
def story(registry):
    """The whole run; the tests below look at what it left."""
    one = registry(list={"debounce_ms": 20})
    spcs = [str(1000 + i) for i in range(WRITERS * SPCS_EACH)]
    sp = one.add_sp("alpha", *spcs)
    stop = threading.Event()
    writers = [Writer(sp.with_token(sp.token), spcs[i::WRITERS], stop) for i in range(WRITERS)]
    reader = Reader(one.anonymous, stop)
    for thread in (*writers, reader):
        thread.start()
    chance = random.Random(7)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0, 0.12))
        one.kill()
        one.start()
    stop.set()
    for thread in (*writers, reader):
        thread.join(30)
    one.writers, one.reader, one.spcs, one.sp_api = writers, reader, spcs, sp
    return one


def test_there_was_something_to_lose(story):
    assert sum(len(urls) for w in story.writers for urls in w.acknowledged.values()) > KILLS
    assert len(story.reader.served) > KILLS / 4
    assert [w.refused for w in story.writers] == [[]] * WRITERS


def test_every_acknowledged_write_is_in_the_audit_trail(story):
    rows = story.database.query("SELECT detail->>'url' FROM audit WHERE action = 'entry.put'")
    audited = {url for (url,) in rows}
    acknowledged = {url for w in story.writers for urls in w.acknowledged.values() for url in urls}
    assert acknowledged - audited == set()
    assert len(rows) == len(audited), "one write left two audit rows"


def test_every_entry_is_at_its_last_acknowledged_write_or_a_later_one(story):
    for writer in story.writers:
        for spc in writer.spcs:
            now = story.sp_api.get(f"/api/v1/account/alpha/cps/{spc}").json["url"]
            allowed = writer.sent[spc]
            if writer.acknowledged[spc]:
                allowed = allowed[allowed.index(writer.acknowledged[spc][-1]) :]
            assert now in allowed


def test_sequences_have_no_gap(story):
    sequences = [s for (s,) in story.database.query("SELECT sequence FROM publication ORDER BY sequence")]
    assert sequences == list(range(1, len(sequences) + 1))


def test_served_sequences_rise_strictly(story):
    served = [json.loads(b64url_decode(body.split(b".")[1].decode()))["sequence"] for body in story.reader.served]
    assert served == sorted(set(served))


def test_every_served_list_is_in_the_database(story):
    stored = {jws for (jws,) in story.database.query("SELECT jws FROM publication")}
    assert [body for body in story.reader.served if body.decode() not in stored] == []


def test_the_last_list_has_every_last_write(story):
    """Nothing that was committed when a publisher died is forgotten by the next."""
    entries = dict(story.database.query("SELECT spc, url FROM cps_entry"))

    def published():
        return json.loads(b64url_decode(story.list_token().split(".")[1]))["cpsMapping"] == entries

    wait_until(published, 5, what="publication of the last writes")
