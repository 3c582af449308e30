"""The daemons as the tests start them: a config written from defaults and changes, a fresh database, a log."""

import functools
import json
import os
import re
import secrets
from pathlib import Path
from urllib.parse import quote

import psycopg2

from . import contract
from .exposition import Page
from .net import Api, free_port, wait_until
from .pki import ROOT
from .process import Daemon, run, sanitizer_env


def merge(base, changes):
    """`base` with `changes` laid over it, dicts member by member; a value of None removes the member."""
    result = dict(base)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merge(result[name], value)
        else:
            result[name] = value
    return result


def write_config(path, config):
    """JSON is YAML; the daemons read it as such."""
    Path(path).write_text(json.dumps(config, indent=1) + "\n")


ROLES = {"url": "sticps_serving", "publisher_url": "sticps_publishing", "auditor_url": "sticps_auditing",
         "owner_url": "sticps_owner"}


@functools.cache
def _make_roles():
    """As an operator does, with the file that is shipped; once for the cluster, with its one password."""
    done = run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f",
                ROOT / "packaging/database/roles.sql"])
    assert done.returncode == 0, done.stderr
    for role in ROLES.values():
        Database._admin(f"ALTER ROLE {role} PASSWORD '{os.environ.get('PGPASSWORD', '')}'")


class Database:
    """A fresh database in the private cluster that the PG* variables name (pg_virtualenv sets them).

    The daemons use it under the four restricted roles (`urls`); `url`, `connect` and `query` are the
    superuser's, for looking at everything and for playing foul.
    """

    def __init__(self, name=None, template=None):
        self.name = name or "sticps_" + secrets.token_hex(6)
        _make_roles()
        copied = f' TEMPLATE "{template}"' if template else ""
        self._admin(f'CREATE DATABASE "{self.name}" OWNER sticps_owner{copied}')
        self.url = self.url_of(os.environ["PGUSER"])

    def url_of(self, role, port=None):
        env = os.environ
        return (f"postgresql://{quote(role)}:{quote(env.get('PGPASSWORD', ''))}"
                f"@{env['PGHOST']}:{port or env['PGPORT']}/{self.name}")

    def urls(self, port=None):
        """The members of `database` in a configuration; `port`: of something in between."""
        return {key: self.url_of(role, port) for key, role in ROLES.items()}

    @staticmethod
    def _admin(statement):
        connection = psycopg2.connect(dbname="postgres")
        connection.autocommit = True
        try:
            connection.cursor().execute(statement)
        finally:
            connection.close()

    def connect(self, role=None):
        """As the superuser, or as `role`; the owner sees the rows of every account, as `init` does."""
        options = "-c sticps.scope=*" if role == ROLES["owner_url"] else ""
        connection = psycopg2.connect(self.url_of(role) if role else self.url, options=options)
        connection.autocommit = True
        return connection

    def query(self, statement, args=None):
        """All rows of one statement, or [] when it returns none."""
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(statement, args)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def drop(self):
        self._admin(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')


class Service:
    """A daemon with its config file, base URL and log."""

    def __init__(self, program, folder, config, ready, ca):
        self.dir = Path(folder)
        self.config = config
        self.config_path = self.dir / f"{Path(program).name}.yaml"
        self.program = Path(program)
        self.ca = ca
        write_config(self.config_path, config)
        self.daemon = Daemon([program, "-c", self.config_path], self.dir / f"{Path(program).name}.log", ready)

    def reconfigure(self, **changes):
        """Changes the config file; it counts from the next start or reload."""
        self.config = merge(self.config, changes)
        write_config(self.config_path, self.config)

    def check(self):
        """`-t`: the config is read and judged, nothing is started."""
        return run([self.program, "-t", "-c", self.config_path])

    @property
    def pid(self):
        return self.daemon.pid

    def start(self, **kw):
        self.daemon.start(**kw)
        return self

    def stop(self):
        self.daemon.stop()

    def kill(self):
        self.daemon.kill()

    def restart(self, **kw):
        self.daemon.restart(**kw)
        return self

    def log_text(self):
        return self.daemon.log_text()

    def close(self):
        self.daemon.close()


class Registry(Service):
    """sticps-registryd. `pa` is an Api signed in as the first PA admin once `sign_in` or `start` was called."""

    def __init__(self, bin_dir, folder, pki, database, changes):
        self.port = free_port()
        self.base_url = f"https://127.0.0.1:{self.port}"
        self.database = database
        config = merge(
            {
                "listen": [f"127.0.0.1:{self.port}"],
                "threads": 2,
                "tls": {"certificate": str(pki.crt("registry-tls")), "key": str(pki.key("registry-tls"))},
                "database": {**database.urls(), "connections": 4},
                "base_url": self.base_url,
                "signer": {
                    "id": 1,
                    "key": str(pki.key("list-signer")),
                    "certificate": str(pki.crt("list-signer")),
                },
                "list": {"lifetime": 86400, "period": 3600, "debounce_ms": 100},
                "lab": True,
            },
            changes,
        )
        self.anonymous = Api(self.base_url, pki.tls_ca, contract=contract.REGISTRY)
        super().__init__(bin_dir / "sticps-registryd", folder, config, self._ready, pki.tls_ca)
        self.pa_user = self.pa_password = None
        self.pa = None

    def _ready(self):
        return self.anonymous.get("/ready").status == 200

    def init(self):
        """Applies the migrations; the first time, keeps the PA admin's user and one-time-printed password."""
        done = run([self.program, "-c", self.config_path, "init"])
        assert done.returncode == 0, done.stderr + done.stdout
        user = re.search(r"^userId: (\S+)$", done.stdout, re.M)
        password = re.search(r"^password: (\S+)$", done.stdout, re.M)
        if user and password:
            self.pa_user, self.pa_password = user[1], password[1]
        return done

    def start(self, **kw):
        super().start(**kw)
        if self.pa is None and kw.get("wait", True) and self.pa_password:
            self.pa = self.sign_in(self.pa_user, self.pa_password)
        return self

    def sign_in(self, user, password):
        """An Api with the access token of a login that must succeed."""
        reply = self.anonymous.post("/api/v1/auth/login", {"userId": user, "password": password})
        assert reply.status == 200, (reply.status, reply.body)
        return self.anonymous.with_token(reply.json["accessToken"])

    def add_sp(self, sp, *spcs, name=None):
        """An SP with these SPCs and an sp-admin `<sp>-admin`; returns an Api signed in as that admin."""
        reply = self.pa.put(f"/api/v1/account/{sp}", {"name": name or sp})
        assert reply.status in (200, 201), (reply.status, reply.body)
        for spc in spcs:
            reply = self.pa.put(f"/api/v1/account/{sp}/spc/{spc}")
            assert reply.status in (200, 201), (reply.status, reply.body)
        password = secrets.token_urlsafe(16)
        reply = self.pa.put(
            f"/api/v1/account/{sp}/user/{sp}-admin", {"role": "sp-admin", "password": password}
        )
        assert reply.status in (200, 201), (reply.status, reply.body)
        api = self.sign_in(f"{sp}-admin", password)
        api.user, api.password = f"{sp}-admin", password
        return api

    def list_token(self):
        """The bare JWS that is served now."""
        reply = self.anonymous.get("/download/v1/cps-list")
        assert reply.status == 200, (reply.status, reply.body)
        return reply.body.decode()


class Cps(Service):
    """sticps-cpsd. `public` takes PASSporTs, `private` hands them over."""

    def __init__(self, bin_dir, folder, pki, changes):
        self.port, self.private_port = free_port(), free_port()
        self.base_url = f"https://127.0.0.1:{self.port}"
        self.private_url = f"https://127.0.0.1:{self.private_port}"
        self.token = secrets.token_urlsafe(24)
        token_file = Path(folder) / "cps-private.token"
        token_file.write_text(self.token + "\n")
        token_file.chmod(0o600)
        tls = {"certificate": str(pki.crt("cps-tls")), "key": str(pki.key("cps-tls"))}
        config = merge(
            {
                "listen": [f"127.0.0.1:{self.port}"],
                "threads": 2,
                "tls": tls,
                "private": {"listen": [f"127.0.0.1:{self.private_port}"], "token_file": str(token_file)},
                "spcs": ["1234"],
                "anchors": {"bundle": str(pki.crt("sti-ca"))},
                "lab": True,
                "tls_ca": str(pki.tls_ca),
            },
            changes,
        )
        self.public = Api(self.base_url, pki.tls_ca)
        self.private = Api(self.private_url, pki.tls_ca, self.token)
        super().__init__(bin_dir / "sticps-cpsd", folder, config, self._ready, pki.tls_ca)

    def _ready(self):
        return self.public.get("/health").status == 200

    def company_url(self, spc="1234"):
        return f"{self.base_url}/cps/company/{spc}"

    def deliver(self, passport, spc="1234", **kw):
        headers = {"Content-Type": "application/passport", **kw.pop("headers", {})}
        return self.public.post(f"/cps/company/{spc}", body=passport, headers=headers, **kw)

    def retrieve(self, dest, orig, **kw):
        return self.private.get(f"/passports/{dest}/{orig}", **kw)


class Agent(Service):
    """sticps-agent on a loopback port (.api) and a Unix socket (.local, at .socket_path)."""

    def __init__(self, bin_dir, folder, pki, changes):
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.socket_path = Path(folder) / "agent.sock"
        self.state = Path(folder) / "state"
        config = merge(
            {
                "listen": [f"unix:{self.socket_path}", f"127.0.0.1:{self.port}"],
                "list": {"anchors": [str(pki.list_anchor)], "state": str(self.state), "period": 1},
                "delivery": {"deadline_ms": 10000},
                "tls_ca": [str(pki.tls_ca)],
                "lab": True,
            },
            changes,
        )
        self.api = Api(self.base_url, contract=contract.AGENT)
        self.local = Api(self.base_url, contract=contract.AGENT, unix=self.socket_path)
        super().__init__(bin_dir / "sticps-agent", folder, config, self._alive, None)

    def _alive(self):
        return self.api.get("/health").status == 200

    def wait_for_list(self, sequence=1, timeout=20):
        """Until it holds this list, or a newer one."""
        def held():
            shown = self.status()["list"]
            return shown and shown["sequence"] >= sequence

        wait_until(held, timeout, what=f"list {sequence} in the agent")
        return self

    def status(self):
        return self.api.get("/v1/status").json

    def deliver(self, passport, query="", headers=None, api=None):
        headers = {"Content-Type": "application/passport", **(headers or {})}
        return (api or self.api).post(f"/v1/deliver{query}", body=passport, headers=headers)

    def outcome(self, passport):
        """What became of it: the answer of a caller who waits."""
        reply = self.deliver(passport, "?wait=1")
        assert reply.status == 200, (reply.status, reply.body)
        return reply.json

    def outcomes(self):
        """{code: count} of the deliveries so far."""
        families = Page(self.api.get("/metrics").body.decode()).families
        counts = {dict(labels)["code"]: value for (_, labels), value in
                  families["sticps_agent_events_total"]["samples"].items() if ("event", "delivery") in labels}
        return {code: count for code, count in counts.items() if count}

    def delivered(self):
        """How many deliveries every CPS took; it is an error here if another ended otherwise."""
        outcomes = self.outcomes()
        assert outcomes.keys() <= {"OK"}, outcomes
        return outcomes.get("OK", 0)

    def resolve(self, number):
        reply = self.api.get("/v1/resolve/" + quote(number))
        assert reply.status == 200, (reply.status, reply.body)
        return reply.json


class Cli:
    """The `sticps` command: cli("list", "show", "--state", dir) → CompletedProcess with text output.

    cli.json(…) appends --json and returns (exit status, parsed standard output).
    """

    def __init__(self, bin_dir):
        self.program = bin_dir / "sticps"
        self.env = sanitizer_env()

    def __call__(self, *args, **kw):
        return run([self.program, *args], **kw)

    def json(self, *args, **kw):
        done = self(*args, "--json", **kw)
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None
