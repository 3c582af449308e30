"""Which node publishes: the lease passes on when its holder dies, leaves or only stands still, and whoever lost it
publishes nothing more."""

import signal
import time

import psycopg2
import pytest
from lib.exposition import page_of
from lib.net import wait_until


def leads(node):
    return page_of(node.anonymous.get("/metrics")).value("sticps_publisher_leader") == 1


def publications(node):
    return node.database.query("SELECT sequence, sha256 FROM publication WHERE kind = 'cps-list' ORDER BY sequence")


@pytest.fixture
def pair(registry, new_database):
    """(the leader, the other) on one database, which SP alpha can write to through either."""
    database = new_database()
    first = registry(database=database)
    wait_until(lambda: leads(first), 20, what="the first node leads")
    second = registry(database=database, base_url=first.base_url, start=False)
    second.start()
    first.alpha = first.add_sp("alpha", "1234")
    second.alpha = second.anonymous.with_token(first.alpha.token)
    assert not leads(second)
    yield first, second
    first.daemon.signal(signal.SIGCONT)
    first.stop()
    second.stop()


def put(node, number):
    reply = node.alpha.put("/api/v1/account/alpha/cps/1234", {"url": f"https://cps.example.com/{number}"})
    assert reply.status in (200, 201), reply.body


def wait_published(node, number, timeout=30):
    wait_until(
        lambda: node.database.query(
            "SELECT 1 FROM cps_entry WHERE spc = '1234' AND url LIKE %s AND published_sequence IS NOT NULL",
            (f"%/{number}",),
        ),
        timeout, what=f"publication of {number}",
    )


def gap_free(node):
    sequences = [s for s, _ in publications(node)]
    return sequences == list(range(1, len(sequences) + 1))


def test_a_paused_leader_is_replaced_and_comes_back_as_a_follower(pair):
    first, second = pair
    first.daemon.signal(signal.SIGSTOP)
    put(second, 1)
    wait_published(second, 1)
    assert leads(second)
    first.daemon.signal(signal.SIGCONT)
    put(second, 2)
    wait_published(second, 2)
    wait_until(lambda: not leads(first), 20, what="the old leader knows")
    wait_until(lambda: first.list_token() == second.list_token(), 20, what="both serve the same list")
    assert "another node has taken over" in first.log_text()
    assert leads(second) and gap_free(second)


def test_a_leader_paused_while_its_publication_waits_holds_nobody_up(pair):
    """Its statement comes to its end without it, and the locks of the sequence and of its term with it."""
    first, second = pair
    holder = psycopg2.connect(first.database.url)
    holder.cursor().execute("SELECT 1 FROM list_state WHERE kind = 'cps-list' FOR UPDATE")
    put(first, 1)
    wait_until(
        lambda: first.database.query(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() "
            "AND application_name LIKE '%publisher%'"
        ),
        20, what="the publication waits for the sequence",
    )
    first.daemon.signal(signal.SIGSTOP)
    holder.commit()
    holder.close()
    wait_published(second, 1)
    wait_until(lambda: leads(second), 20, what="the take-over")
    put(second, 2)
    wait_published(second, 2)
    first.daemon.signal(signal.SIGCONT)
    wait_until(lambda: not leads(first), 20, what="the old leader knows")
    assert gap_free(second)


def test_no_transaction_stays_open_between_the_statements_of_a_publisher(pair):
    """Wherever it is stopped, it holds no lock: only the server's own timeouts would end that, by a clock that may
    be stepped."""
    first, _ = pair
    for number in range(40):
        put(first, number)
        time.sleep(0.09 + 0.001 * number)  # about when the debounce ends
        first.daemon.signal(signal.SIGSTOP)
        try:
            wait_until(lambda: not _publisher(first, "active"), 10, what="the end of the statement under way")
            assert _publisher(first, "idle in transaction") == 0
        finally:
            first.daemon.signal(signal.SIGCONT)
    assert gap_free(first)


def _publisher(node, state):
    return node.database.query(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = %s "
        "AND application_name LIKE '%%publisher%%' AND query NOT LIKE '%%pg_stat_activity%%'", (state,)
    )[0][0]


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_leader_that_is_gone_is_replaced_without_waiting_for_the_lease(pair, end):
    first, second = pair
    getattr(first, end)()
    put(second, 1)
    wait_published(second, 1)
    assert leads(second)
    first.start()
    assert gap_free(second) and not leads(first)


def test_an_old_term_holds_nothing(registry):
    one = registry()
    wait_until(lambda: leads(one), 20, what="the node leads")
    term, beat = one.database.query("SELECT term, beat FROM publisher_lease")[0]
    assert one.database.query("SELECT lease_take(%s, %s)", (term, beat + 1000)) == [(None,)]
    one.stop()
    term, beat, vacant = one.database.query("SELECT * FROM lease_look()")[0]
    assert vacant
    assert one.database.query("SELECT lease_take(%s, %s)", (term, beat)) == [(term + 1,)]
    assert one.database.query("SELECT lease_take(%s, %s)", (term, beat)) == [(None,)]
    assert one.database.query("SELECT lease_hold(%s), lease_hold(%s)", (term, term + 1)) == [(False, True)]
    assert one.database.query("SELECT lease_renew(%s), lease_renew(%s)", (term, term + 1)) == [(False, True)]
    with pytest.raises(psycopg2.errors.RaiseException, match="another node"):
        one.database.query("SELECT ca_take(%s, 'x', '[]')", (term,))


def test_a_term_that_ends_under_a_publisher_stops_its_publication(registry):
    """What a leader that wakes up finds: it believes to lead, and its next publication is refused."""
    one = registry()
    alpha = one.add_sp("alpha", "1234")
    wait_until(lambda: leads(one), 20, what="the node leads")
    before = len(publications(one))
    thief = psycopg2.connect(one.database.url)  # stays connected, and renews: a live holder
    thief.autocommit = True
    cursor = thief.cursor()
    cursor.execute("UPDATE publisher_lease SET term = term + 1, holder = pg_backend_pid() RETURNING term")
    term = cursor.fetchone()[0]
    end = time.monotonic() + 6
    number = 0
    while time.monotonic() < end:
        number += 1
        assert alpha.put("/api/v1/account/alpha/cps/1234", {"url": f"https://cps.example.com/{number}"}).status < 300
        cursor.execute("SELECT lease_renew(%s)", (term,))
        time.sleep(0.1)
    assert len(publications(one)) == before
    assert not leads(one)
    thief.close()
    wait_until(lambda: len(publications(one)) > before, 20, what="publication after the other is gone")
