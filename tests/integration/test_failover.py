"""What the registry promises on bad days, shown on a network of its own: two nodes, a primary and its synchronous
standby, clients that write and read all the time. Each round breaks something, waits for the publishing to go on,
heals it, and compares every acknowledged write and every list ever served with the database.

STICPS_ROUNDS sets how many (default 12): STICPS_ROUNDS=500 packaging/test.sh --only integration -- -k failover_rounds
Needs root, for the network namespaces; STICPS_FAILOVER=required makes their absence a failure (CI)."""

import os
import random
import signal
import statistics
import time
from collections import defaultdict

import pytest
from lib import netns
from lib.failover import CLIENT, NODES, Cluster, Traffic
from lib.net import wait_until
from lib.process import run

ROUNDS = int(os.environ.get("STICPS_ROUNDS", "12"))
HOUR = 3600
REQUIRED = os.environ.get("STICPS_FAILOVER") == "required"

pytestmark = pytest.mark.skipif(
    netns.trouble() is not None and not REQUIRED, reason=str(netns.trouble())
)


# ---- what goes wrong: each a generator that breaks something, yields the nodes that must go on, and heals it ----


def leader_paused(c):
    leader = c.leader()
    leader.daemon.signal(signal.SIGSTOP)
    yield [c.other(leader)]
    leader.daemon.signal(signal.SIGCONT)


def leader_killed(c):
    leader = c.leader()
    leader.kill()
    yield [c.other(leader)]
    leader.start()


def leader_unplugged(c):
    leader = c.leader()
    c.network.pull(leader.host)
    yield [c.other(leader)]
    c.network.plug(leader.host)


def leader_is_not_heard(c):
    """Half open: what it sends to the databases is lost."""
    leader = c.leader()
    for host in c.databases:
        c.network.lose(leader.host, host)
    yield [c.other(leader)]
    for host in c.databases:
        c.network.find(leader.host, host)


def leader_is_not_answered(c):
    """Half open the other way: its statements arrive, the answers are lost."""
    leader = c.leader()
    for host in c.databases:
        c.network.lose(host, leader.host)
    yield [c.other(leader)]
    for host in c.databases:
        c.network.find(host, leader.host)


def _stepped(c, hosts, seconds):
    """The clocks are stepped, and then the leader stops: its lease must not live an hour longer."""
    for host in hosts:
        c.clocks[host].step(seconds)
    time.sleep(1.2)  # until the clock is read anew
    leader = c.leader()
    leader.daemon.signal(signal.SIGSTOP)
    yield [c.other(leader)]
    leader.daemon.signal(signal.SIGCONT)
    for host in hosts:
        c.clocks[host].step(0)


def leader_clock_back(c):
    yield from _stepped(c, [c.leader().host], -HOUR)


def leader_clock_ahead(c):
    yield from _stepped(c, [c.leader().host], HOUR)


def database_clock_back(c):
    yield from _stepped(c, [c.host_of(c.primary)], -HOUR)


def database_clock_ahead(c):
    yield from _stepped(c, [c.host_of(c.primary)], HOUR)


def database_killed(c):
    c.primary.kill()
    c.promote()
    yield list(c.nodes.values())
    c.rebuild_standby()


def database_unplugged(c):
    """The machine is gone without a word, and its address answers nothing."""
    c.network.pull(c.host_of(c.primary))
    c.promote()
    yield list(c.nodes.values())
    c.standby.kill()
    c.network.plug(c.host_of(c.standby))
    c.rebuild_standby()


def database_and_leader_killed(c):
    leader = c.leader()
    c.primary.kill()
    leader.kill()
    c.promote()
    yield [c.other(leader)]
    leader.start()
    c.rebuild_standby()


LIGHT = [leader_paused, leader_killed, leader_unplugged, leader_is_not_heard, leader_is_not_answered,
         leader_clock_back, leader_clock_ahead, database_clock_back, database_clock_ahead]
HEAVY = [database_killed, database_unplugged, database_and_leader_killed]


def schedule(rounds):
    """Every kind in turn, in a shuffled order; of seven rounds one is a failover of the database."""
    chance = random.Random(rounds)
    light, heavy = LIGHT[:], HEAVY[:]
    for number in range(rounds):
        kinds, all_kinds = (heavy, HEAVY) if number % 7 == 6 else (light, LIGHT)
        if not kinds:
            kinds.extend(all_kinds)
        yield kinds.pop(chance.randrange(len(kinds)))


# ---- the run ----


def publishing_goes_on(traffic, node, beyond, timeout=60):
    wait_until(lambda: traffic.seen_by(node) > beyond, timeout, 0.01,
               f"{node.host} serves a list after {beyond}")


def one_round(cluster, traffic, fault):
    """Seconds from the fault to the first list that was published after it."""
    wait_until(lambda: all(n.ready() for n in cluster.nodes.values()), 60, 0.05, "both nodes ready")
    broken = fault(cluster)
    before = traffic.newest()
    survivors = next(broken)
    started = time.monotonic()
    # one may have been on its way already
    publishing_goes_on(traffic, survivors[0], max(before, traffic.newest()) + 1)
    seconds = time.monotonic() - started
    for node in survivors[1:]:
        publishing_goes_on(traffic, node, before + 1)
    next(broken, None)
    healed = traffic.newest()
    for node in cluster.nodes.values():
        publishing_goes_on(traffic, node, healed)
    traffic.check()
    return seconds


def table(figures):
    lines = [f"{'take-over, seconds':28} {'rounds':>6} {'median':>7} {'max':>7}"]
    for name, seconds in [*sorted(figures.items()), ("all", [s for each in figures.values() for s in each])]:
        lines.append(f"{name:28} {len(seconds):6} {statistics.median(seconds):7.2f} {max(seconds):7.2f}")
    return "\n".join(lines)


@pytest.fixture
def cluster(bin_dir, pki, tmp_path):
    assert netns.trouble() is None, netns.trouble()
    one = Cluster(bin_dir, pki, tmp_path)
    yield one
    one.close()


def test_failover_rounds(cluster, capsys):
    figures = defaultdict(list)
    with cluster.network.enter(CLIENT):
        traffic = Traffic(cluster)
        try:
            for number, fault in enumerate(schedule(ROUNDS), 1):
                seconds = one_round(cluster, traffic, fault)
                figures[fault.__name__].append(seconds)
                if ROUNDS > 12:
                    with capsys.disabled():
                        print(f"{number:4} {fault.__name__:28} {seconds:6.2f} s, list {traffic.newest()}", flush=True)
        finally:
            traffic.finish()
        traffic.check()
        assert sum(len(w.acknowledged) for w in traffic.writers) > ROUNDS
        node = next(iter(cluster.nodes.values()))
        verified = run([node.program, "audit", "verify", "-c", node.config_path])
        assert verified.returncode == 0, verified.stdout + verified.stderr
    with capsys.disabled():
        writes = sum(len(w.acknowledged) for w in traffic.writers)
        print(f"\n{ROUNDS} rounds, {traffic.newest()} publications, {writes} acknowledged writes\n{table(figures)}")
