"""A real PgBouncer between the daemons and the private PostgreSQL."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from .net import free_port, wait_until
from .services import ROLES


class PgBouncer:
    """Started at once on a free port of loopback; every role of the registry may sign in through it.

    `mode`: its pool_mode. `servers`: how many connections to PostgreSQL it shares among all clients of a role.
    """

    def __init__(self, mode, servers):
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="sticps-pgbouncer."))  # readable for another user
        self._process = None
        password = os.environ.get("PGPASSWORD", "")
        users = self._folder / "users"
        users.write_text("".join(f'"{role}" "{password}"\n' for role in ROLES.values()))
        (self._folder / "pgbouncer.ini").write_text(f"""
[databases]
* = host={os.environ["PGHOST"]} port={os.environ["PGPORT"]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {mode}
default_pool_size = {servers}
max_client_conn = 200
server_login_retry = 1
{"user = nobody" if os.getuid() == 0 else ""}
""")
        owner = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else os.getuid()
        for path in (self._folder, *self._folder.iterdir()):
            os.chown(path, owner, -1)
        self.start()

    def start(self):
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen([program, "-q", self._folder / "pgbouncer.ini"],
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def listening():
            assert self._process.poll() is None, self.log_text()
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(listening, 10, what="PgBouncer")

    def stop(self):
        """At once, as SIGTERM of 1.18 does: the clients' connections break."""
        self._process.terminate()
        self._process.wait(10)

    def log_text(self):
        return (self._folder / "log").read_text(errors="replace")

    def close(self):
        if self._process.poll() is None:
            self.stop()
        shutil.rmtree(self._folder)
