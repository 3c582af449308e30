"""Two registry nodes, a primary and its standby, each on a host of its own (netns), and clients that write and read
all the time and remember what they were told."""

import datetime
import hashlib
import http.client
import ipaddress
import itertools
import json
import random
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import psycopg2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .exposition import Page
from .faketime import Clock, sweep
from .net import Api, wait_until
from .netns import Network
from .passport import b64url_decode
from .postgres import PORT, Postgres, urls
from .process import Daemon
from .services import Registry

CLIENT = "client"
DATABASES = {"db1": "10.77.0.11", "db2": "10.77.0.12"}
NODES = {"node1": "10.77.0.21", "node2": "10.77.0.22"}
SPCS = [str(1000 + i) for i in range(12)]


def tls_certificate(pki, folder, addresses):
    """A server's certificate under the test TLS root for these addresses; returns the paths of it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    issuer = pki.certificate("tls-ca").subject
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(a)) for a in addresses])
    certificate = (
        x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(issuer).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30)).add_extension(names, critical=True)
        .sign(pki.private_key("tls-ca"), hashes.SHA256())
    )
    crt, own = Path(folder) / "node.crt", Path(folder) / "node.key"
    crt.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    own.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()))
    return crt, own


class Node(Registry):
    """A registry on a host of the network, with a clock of its own."""

    def __init__(self, network, host, bin_dir, folder, pki, database, changes, clock):
        super().__init__(bin_dir, folder, pki, database, changes)
        self.host = host
        self.base_url = f"https://{NODES[host]}:8443"
        self.anonymous = Api(self.base_url, pki.tls_ca, timeout=3.0)
        prefix = clock.argv if clock else []
        argv = network.argv(host, *prefix, self.program, "-c", self.config_path)
        self.daemon = Daemon(argv, self.dir / "registryd.log", self._ready)

    def leads(self):
        try:
            return Page(self.anonymous.get("/metrics").body.decode()).value("sticps_publisher_leader") == 1
        except (OSError, http.client.HTTPException):
            return False

    def ready(self):
        try:
            return self._ready()
        except (OSError, http.client.HTTPException):
            return False


class _Urls:
    """What Registry wants of a database: every host, whichever may be written to."""

    @staticmethod
    def urls():
        hosts = ",".join(f"{address}:{PORT}" for address in DATABASES.values())
        return urls(hosts, "?target_session_attrs=read-write")


class Cluster:
    """Made whole and running; `primary` and `standby` change places. Use within `network.enter(CLIENT)`."""

    def __init__(self, bin_dir, pki, folder, *, synchronous=True, **changes):
        self.folder = Path(tempfile.mkdtemp(prefix="sticps-failover-"))
        self.folder.chmod(0o755)  # the server's user passes through
        self.network = Network()
        self.clocks, self.databases, self.nodes = {}, {}, {}
        self.synchronous = synchronous
        try:
            self._build(bin_dir, pki, Path(folder), changes)
        except BaseException:
            self.close()
            raise

    def _build(self, bin_dir, pki, folder, changes):
        # a sanitizer must be the first library of its program, and so must libfaketime: there the nodes keep the
        # machine's clock, and only the databases' are stepped
        sanitized = any(kind in bin_dir.parts for kind in ("asan", "tsan"))
        self.network.add(CLIENT, "10.77.0.2")
        for host, address in {**DATABASES, **NODES}.items():
            self.network.add(host, address)
            self.clocks[host] = Clock(self.folder / f"{host}.clock")
        for host, address in DATABASES.items():
            (self.folder / host).mkdir()
            self.databases[host] = Postgres(
                self.folder / host, address, PORT, lambda *argv, h=host: self.network.argv(h, *argv), self.clocks[host]
            )
        crt, key = tls_certificate(pki, folder, NODES.values())
        with self.network.enter(CLIENT):
            self.primary, self.standby = self.databases.values()
            self.primary.create()
            self.primary.start()
            self.primary.make_database()
            for host, address in NODES.items():
                (folder / host).mkdir()
                config = {
                    "listen": [f"{address}:8443"],
                    "base_url": f"https://{NODES['node1']}:8443",
                    "tls": {"certificate": str(crt), "key": str(key)},
                    "list": {"debounce_ms": 200},
                    "session": {"access_lifetime": 86400, "refresh_lifetime": 864000},
                    **changes,
                }
                self.nodes[host] = Node(self.network, host, bin_dir, folder / host, pki, _Urls(), config,
                                        None if sanitized else self.clocks[host])
            first = next(iter(self.nodes.values()))
            first.init()
            first.start()
            self.sp = first.add_sp("alpha", *SPCS)
            for node in self.nodes.values():
                if node is not first:
                    node.pa = node.anonymous.with_token(first.pa.token)
                    node.start()
            self.standby.follow(self.primary)
            self.primary.set_synchronous(self.synchronous)

    # ---- who is what ----

    def leader(self):
        """The one node that publishes; waits until there is one."""
        return wait_until(
            lambda: (lambda who: who[0] if len(who) == 1 else None)([n for n in self.nodes.values() if n.leads()]),
            60, 0.1, "one leader",
        )

    def other(self, node):
        return next(n for n in self.nodes.values() if n is not node)

    def host_of(self, database):
        return next(host for host, one in self.databases.items() if one is database)

    def story(self):
        """The end of every log and the lease, for whoever has to find out why a round failed."""
        parts = [f"== {node.host}\n" + "\n".join(node.log_text().splitlines()[-25:]) for node in self.nodes.values()]
        parts += [f"== {host}\n" + "\n".join(one.log_text().splitlines()[-15:]) for host, one in self.databases.items()]
        for what in ("SELECT * FROM publisher_lease", "SELECT sequence, created_at FROM publication ORDER BY 1 DESC LIMIT 3",
                     "SELECT pid, application_name, state, wait_event, now() - xact_start, left(query, 60) "
                     "FROM pg_stat_activity WHERE backend_type LIKE 'client%' OR backend_type LIKE 'wal%'"):
            try:
                parts.append("\n".join(map(str, [what, *self.primary.query(what)])))
            except psycopg2.Error as error:
                parts.append(f"{what}: {error}")
        return "\n".join(parts)

    # ---- the database fails over ----

    def promote(self):
        """The standby takes the primary's place; the old primary must be dead or out of reach."""
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def rebuild_standby(self):
        """From nothing, as after a failover."""
        self.standby.follow(self.primary)
        self.primary.set_synchronous(self.synchronous)

    def close(self):
        errors = []
        for node in self.nodes.values():
            try:
                with self.network.enter(CLIENT):
                    if node.daemon.running:
                        node.daemon.signal(signal.SIGCONT)  # a round that failed may have left it paused
                    node.close()
            except AssertionError as error:
                errors.append(str(error))
        for database in self.databases.values():
            database.kill()
        self.network.close()
        sweep()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not errors, "\n".join(errors)


def sequence_of(jws):
    return json.loads(b64url_decode(jws.split(b".")[1].decode()))["sequence"]


class Witness(threading.Thread):
    """Fetches one node's list all the time. All of them share `served`: {sequence: (sha256, when first seen)}."""

    def __init__(self, node, served, lock, stop):
        super().__init__(daemon=True)
        self.node, self.served, self.lock, self.stop = node, served, lock, stop
        self.newest = 0
        self.faults = []

    def run(self):
        api = self.node.anonymous.session()
        while not self.stop.is_set():
            try:
                reply = api.get("/download/v1/cps-list")
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            if reply.status == 200:
                self._take(reply.body)
            elif reply.status != 503:  # 503: started, and the database has not been reached yet
                self.faults.append(f"{self.node.host}: the list is answered {reply.status}")
            time.sleep(0.04)
        api.close()

    def _take(self, jws):
        sequence, digest = sequence_of(jws), hashlib.sha256(jws).hexdigest()
        if sequence < self.newest:
            self.faults.append(f"{self.node.host} went back from {self.newest} to {sequence}")
        self.newest = sequence
        with self.lock:
            known = self.served.setdefault(sequence, (digest, time.monotonic()))
        if known[0] != digest:
            self.faults.append(f"two lists have the sequence {sequence}; {self.node.host} serves the second")


class Writer(threading.Thread):
    """Writes to SPCs of its own, each time another URL, to any node; remembers what was acknowledged."""

    def __init__(self, nodes, token, spcs, name, stop):
        super().__init__(daemon=True)
        self.apis = [node.anonymous.with_token(token) for node in nodes]
        for api in self.apis:
            api.timeout = 2.0
        self.spcs, self.name_, self.stop = spcs, name, stop
        self.lock = threading.Lock()
        self.acknowledged = []  # (spc, url), in order
        self.uncertain = {spc: set() for spc in spcs}  # sent, not acknowledged: may come true, even late
        self.faults = []

    def run(self):
        chance = random.Random(self.name_)
        for number in itertools.count():
            if self.stop.is_set():
                return
            spc = self.spcs[number % len(self.spcs)]
            url = f"https://cps.example.com/{spc}/{self.name_}/{number}"
            with self.lock:
                self.uncertain[spc].add(url)
            try:
                reply = chance.choice(self.apis).put(f"/api/v1/account/alpha/cps/{spc}", {"url": url})
            except (OSError, http.client.HTTPException):
                continue
            if reply.status in (200, 201):
                with self.lock:
                    self.uncertain[spc].discard(url)
                    self.acknowledged.append((spc, url))
            elif reply.status != 503:
                self.faults.append(f"PUT of {url} was answered {reply.status}: {reply.body!r}")
            time.sleep(0.05)


class Traffic:
    """The clients; `check` compares what they were told with what the database holds."""

    def __init__(self, cluster, writers=2):
        self.cluster = cluster
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.served = {}
        nodes = list(cluster.nodes.values())
        self.witnesses = {n.host: Witness(n, self.served, self.lock, self.stop) for n in nodes}
        self.writers = [
            Writer(nodes, cluster.sp.token, SPCS[i::writers], f"w{i}", self.stop) for i in range(writers)
        ]
        self._checked = 0  # publications up to here were compared
        self._audited = [0] * writers  # acknowledgements up to here were found
        for thread in (*self.witnesses.values(), *self.writers):
            thread.start()

    def newest(self):
        with self.lock:
            return max(self.served, default=0)

    def seen_by(self, node):
        return self.witnesses[node.host].newest

    def finish(self):
        self.stop.set()
        for thread in (*self.witnesses.values(), *self.writers):
            thread.join(30)

    def check(self):
        faults = [f for t in (*self.witnesses.values(), *self.writers) for f in t.faults]
        assert faults == []
        self._check_writes()
        self._check_publications()

    def _check_publications(self):
        """No gap, and one list for each sequence, whoever served it."""
        with self.lock:
            served = {s: d for s, (d, _) in self.served.items() if s > self._checked}
        rows = self.cluster.primary.query(
            "SELECT sequence, sha256 FROM publication WHERE kind = 'cps-list' AND sequence > %s ORDER BY sequence",
            (self._checked,),
        )
        assert [s for s, _ in rows] == list(range(self._checked + 1, self._checked + 1 + len(rows)))
        stored = dict(rows)
        assert {s: d for s, d in served.items() if stored.get(s) != d} == {}, "served, and not what is stored"
        # the newest may still be on its way to a slow reader: it is compared again next time
        self._checked = max(self._checked, len(stored) + self._checked - 50)

    def _check_writes(self):
        """Every acknowledged write is in the audit trail once, and every entry is at its last one, or at one whose
        writer was never told."""
        for index, writer in enumerate(self.writers):
            with writer.lock:
                done = list(writer.acknowledged)
                last = dict(done)
            fresh = [url for _, url in done[self._audited[index] :]]
            rows = self.cluster.primary.query(
                "SELECT detail->>'url', count(*) FROM audit WHERE action = 'entry.put' AND detail->>'url' = ANY(%s) "
                "GROUP BY 1", (fresh,),
            )
            assert set(fresh) - {url for url, _ in rows} == set(), "acknowledged writes are lost"
            assert [row for row in rows if row[1] != 1] == [], "one write left two audit rows"
            self._audited[index] += len(fresh)
            entries = dict(self.cluster.primary.query("SELECT spc, url FROM cps_entry"))
            with writer.lock:  # what was written since may be there as well
                later = {spc: {u for s, u in writer.acknowledged[len(done) :] if s == spc} for spc in last}
                allowed = {spc: {url} | writer.uncertain[spc] | later[spc] for spc, url in last.items()}
            assert [spc for spc in last if entries[spc] not in allowed[spc]] == []
