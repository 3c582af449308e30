"""PostgreSQL clusters of the tests' own: primary and standby, which can be killed, frozen, promoted, or filled up.

For what a shared cluster cannot bear; the other tests use the one of pg_virtualenv."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg2

from .net import wait_until
from .pki import ROOT
from .process import run
from .services import ROLES

PORT = 5432
SUPERUSER, PASSWORD, NAME = "postgres", "only-for-tests", "sticps"


def urls(hosts, options=""):
    """The members of `database` in a configuration, for "address:port,…"."""
    return {key: f"postgresql://{role}:{PASSWORD}@{hosts}/{NAME}{options}" for key, role in ROLES.items()}


def _binaries():
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert newest, "no PostgreSQL server is installed"
    return newest[-1].parent


def _as_postgres(argv):
    """The server refuses to run as root."""
    if os.geteuid() != 0:
        return list(argv)
    return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", *argv]


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Postgres:
    """One cluster, stopped until `start`. `where` prefixes its command lines (a network namespace), `clock` is
    its wall clock (faketime.Clock)."""

    def __init__(self, folder, address="127.0.0.1", port=PORT, where=lambda *argv: list(argv), clock=None):
        self.folder = Path(folder)
        self.data = self.folder / "data"
        self.address, self.port = address, port
        self._where = where
        self._clock = clock
        self._process = None
        self._own(self.folder)

    @staticmethod
    def _own(path):
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(path, user.pw_uid, user.pw_gid)

    def _call(self, *argv):
        return subprocess.run(
            self._where(*_as_postgres([str(_binaries() / argv[0]), *map(str, argv[1:])])), capture_output=True,
            text=True, timeout=120, cwd="/", env={**os.environ, "PGPASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"}, check=False,
        )

    def _run(self, *argv):
        done = self._call(*argv)
        assert done.returncode == 0, f"{argv}: {done.stderr}{done.stdout}"

    # ---- life ----

    def create(self, settings=()):
        """A new cluster; then `start` and `make_database`. A kill of the processes loses nothing, so nothing is
        synced to the disk."""
        password = self.folder / "password"
        password.write_text(PASSWORD + "\n")
        self._own(password)
        self._run("initdb", "-D", self.data, "-U", SUPERUSER, "-A", "scram-sha-256", "--pwfile", password,
                  "--encoding", "UTF8", "--locale", "C", "-N")
        lines = [
            "listen_addresses = '*'", f"port = {self.port}", "unix_socket_directories = ''", "fsync = off",
            "full_page_writes = off", "max_connections = 100", "shared_buffers = 32MB", "wal_level = replica",
            "max_wal_senders = 4", "wal_keep_size = 64MB", "wal_sender_timeout = 10s", "min_wal_size = 32MB",
            "log_min_messages = warning", *settings,
        ]
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write("\n".join(lines) + "\n")
        with open(self.data / "pg_hba.conf", "a") as hba:
            hba.write("host all,replication all 10.77.0.0/24 scram-sha-256\n")

    def start(self, wait=True):
        env = {**os.environ, "LC_ALL": "C.UTF-8"}
        prefix = self._clock.argv if self._clock else []
        argv = _as_postgres([*prefix, str(_binaries() / "postgres"), "-D", str(self.data)])
        with open(self.folder / "postgres.log", "ab") as log:
            self._process = subprocess.Popen(
                self._where(*argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd="/",
                start_new_session=True,
            )
        if wait:
            self.wait_up()

    def log_text(self):
        path = self.folder / "postgres.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_up(self, timeout=60):
        def up():
            assert self._process.poll() is None, f"PostgreSQL ended:\n{self.log_text()[-3000:]}"
            try:
                self.connect("postgres").close()
                return True
            except psycopg2.OperationalError:
                return False

        wait_until(up, timeout, 0.05, "PostgreSQL takes connections")

    def make_database(self):
        """The roles of a registry, all with PASSWORD, and its empty database NAME."""
        done = run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", ROOT / "packaging/database/roles.sql",
                    f"host={self.address} port={self.port} user={SUPERUSER} password={PASSWORD} dbname=postgres"])
        assert done.returncode == 0, done.stderr
        for role in ROLES.values():
            self.query(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'", database="postgres")
        self.query(f"CREATE DATABASE {NAME} OWNER sticps_owner", database="postgres")

    @property
    def running(self):
        return self._process is not None and self._process.poll() is None

    def _processes(self):
        """The server and its children."""
        found = [self._process.pid]
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self._process.pid:
                found.append(int(stat.parent.name))
        return found

    def _signal_all(self, number):
        for pid in self._processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        """SIGKILL for every process, as when the machine dies."""
        if not self.running:
            return
        os.kill(self._process.pid, signal.SIGSTOP)  # starts no more
        members = self._processes()
        self._signal_all(signal.SIGKILL)
        self._process.wait()
        wait_until(lambda: not any(map(_alive, members)), 20, 0.01, "the end of PostgreSQL's processes")

    def stop(self):
        """SIGQUIT: immediate shutdown, clients are told."""
        if self.running:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(60)

    def freeze(self):
        self._signal_all(signal.SIGSTOP)

    def thaw(self):
        self._signal_all(signal.SIGCONT)

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- statements, as the superuser ----

    def connect(self, database=NAME):
        connection = psycopg2.connect(
            host=self.address, port=self.port, user=SUPERUSER, password=PASSWORD, dbname=database, connect_timeout=5,
        )
        connection.autocommit = True
        return connection

    def query(self, statement, args=None, database=NAME):
        """All rows, or [] when the statement returns none."""
        connection = self.connect(database)
        try:
            cursor = connection.cursor()
            cursor.execute(statement, args)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    # ---- replication ----

    def follow(self, primary):
        """Becomes, from nothing, a standby of `primary`, under the name `standby`."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)
        # a host that was unplugged may be remembered as away for a second or two
        wait_until(lambda: self._call("pg_isready", "-h", primary.address, "-p", primary.port).returncode == 0, 30,
                   what="the way to the primary")
        self._run("pg_basebackup", "-D", self.data, "-c", "fast", "-X", "stream", "-R", "--no-sync",
                  "-d", f"host={primary.address} port={primary.port} user={SUPERUSER} application_name=standby")
        self.start()

    def set_synchronous(self, on):
        """As the primary: a commit is acknowledged only when the standby has it."""
        self.query(f"ALTER SYSTEM SET synchronous_standby_names = '{'standby' if on else ''}'", database="postgres")
        self.query("SELECT pg_reload_conf()", database="postgres")
        if on:
            wait_until(
                lambda: self.query("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'", database="postgres"),
                30, 0.02, "the synchronous standby",
            )

    def promote(self):
        """As the standby: becomes a primary, which waits for no standby."""
        self.query("SELECT pg_promote(true, 60)", database="postgres")
        self.set_synchronous(False)
