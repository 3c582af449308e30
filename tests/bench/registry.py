"""The rows about the registry: downloads, writes, publishing, memory. All with one list of ENTRIES entries."""

import gzip
import http.client
import json
import os
import re
import resource
import secrets
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path

from common import (BIN, CONNECTIONS, ROUNDS, SECONDS, build, children, cpu_seconds, median, pin, row, spread,
                    two_cpus)

ENTRIES = 25_000  # about 2.5 MB as a JWS
SPC_SQL = "chr(65 + ({0}) / 1000) || lpad((({0}) % 1000)::text, 3, '0')"  # spc_of in SQL
PATH = "/download/v1/cps-list"
DEBOUNCE_MS = 1000  # the default
THREADS = 2
PUBLICATIONS = 7
IDLE = 1000  # connections of the memory row

CONFIG = {
    "threads": THREADS,
    "list": {"debounce_ms": DEBOUNCE_MS, "period": 21600},
    "limits": {"per_address": 4000},
}


def spc_of(number):
    """The SPC of entry `number`: A000 to Z999."""
    return f"{chr(ord('A') + number // 1000)}{number % 1000:03d}"


def start(pki, folder):
    """A registry with ENTRIES owners and URLs, put straight into the tables, and a publication of them."""
    from lib.services import Database, Registry

    registry = Registry(BIN, folder, pki, Database(), CONFIG)
    registry.init()
    try:
        registry.start()
        registry.admin = registry.add_sp("bench")
        registry.spcs = [spc_of(i) for i in range(ENTRIES)]
        registry.body = fill(registry)
    except BaseException:
        registry.kill()
        raise
    return registry


def fill(registry):
    rows = f"SELECT i, {SPC_SQL.format('i')} AS spc FROM generate_series(0, {ENTRIES - 1}) i"
    for statement in (
        f"INSERT INTO spc_owner (spc, sp) SELECT spc, 'bench' FROM ({rows}) r",
        "INSERT INTO cps_entry (spc, sp, url, version, updated_by) SELECT spc, 'bench', 'https://cps.carrier-' ||"
        " lpad(i::text, 5, '0') || '.example.com/cps/company/' || spc, nextval('entry_version'), 'bench'"
        f" FROM ({rows}) r",
        "ANALYZE",
    ):
        registry.database.query(statement)
    for _ in range(400):
        body = registry.anonymous.get(PATH).body
        if len(body) > 50 * ENTRIES:
            return body
        time.sleep(0.05)
    sys.exit("the registry did not publish the full list")


def ask(port, headers):
    """One GET of the list: status, headers, body as sent."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=30)
    connection.request("GET", PATH, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


# ---------------------------------------------------------------- list, gzip, unchanged


def start_nginx(folder, pki, registry):
    """nginx with as many workers as the registry has threads and the same bytes at the list's path, the
    compressed ones too. Both write an access log."""
    from lib.net import free_port

    port = free_port()
    www = folder / "www" / Path(PATH).parent.relative_to("/")
    www.mkdir(parents=True)
    packed = ask(registry.port, {"Accept-Encoding": "gzip"})[2]
    while gzip.decompress(packed) != registry.body:  # published again just now
        registry.body, packed = ask(registry.port, {})[2], ask(registry.port, {"Accept-Encoding": "gzip"})[2]
    (www / Path(PATH).name).write_bytes(registry.body)
    (www / (Path(PATH).name + ".gz")).write_bytes(packed)
    conf = folder / "nginx.conf"
    conf.write_text(f"""
{"user root;" if os.getuid() == 0 else ""}
worker_processes {THREADS};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    default_type application/jwt;
    sendfile on;
    tcp_nopush on;
    gzip_static on;
    gzip_vary on;
    keepalive_requests 100000000;
    ssl_protocols TLSv1.3;
    ssl_certificate {pki.crt("registry-tls")};
    ssl_certificate_key {pki.key("registry-tls")};
    server {{
        listen 127.0.0.1:{port} ssl;
        root {folder}/www;
        add_header Cache-Control "public, max-age=60";
    }}
}}
""")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(conf)], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    if process.poll() is not None:
        sys.exit((folder / "error.log").read_text())
    return process, port, [process.pid, *children(process.pid)]


def wrk(port, headers, pids, apart):
    """(answers per second, µs of the server's CPU for one). `apart`: the server has one processor and the
    client the other, so that what the client costs does not count."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s"]
    everywhere = os.sched_getaffinity(0)
    if apart:
        server, client = two_cpus()
        pin(pids, server)
        command = ["taskset", "-c", str(min(client)), *command]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    before = cpu_seconds(pids)
    text = subprocess.run([*command, f"https://127.0.0.1:{port}{PATH}"], check=True, capture_output=True,
                          text=True).stdout
    used = cpu_seconds(pids) - before
    pin(pids, everywhere)
    bad = re.search(r"(Non-2xx.*|Socket errors.*)", text)
    if bad and "If-None-Match" not in headers:
        sys.exit(f"port {port}: {bad[1]}\n{text}")
    answers = int(re.search(r"(\d+) requests in", text)[1])
    return float(re.search(r"Requests/sec:\s*([\d.]+)", text)[1]), used / answers * 1e6


def list_row(name, registry, nginx, target, headers, status, apart=False):
    _, port, workers = nginx
    ours, theirs, our_cpu, their_cpu = [], [], [], []
    both = [(port, workers, theirs, their_cpu), (registry.port, [registry.pid], ours, our_cpu)]
    for peer, pids, speeds, cpus in both * ROUNDS:
        send = {key: ask(peer, {})[1]["ETag"] if value is None else value for key, value in headers.items()}
        answer = ask(peer, send)
        assert answer[0] == status, answer[0]
        speed, cpu = wrk(peer, send, pids, apart)
        speeds.append(speed)
        cpus.append(cpu)
    ratio = median(ours) / median(theirs)
    row(name, f"{ratio:.2f} × nginx", f"≥ {target:.1f}", ratio >= target,
        f"{median(ours):,.0f} against {median(theirs):,.0f} answers/s of {len(answer[2]):,} bytes"
        f" ({spread(ours)}, {spread(theirs)}); CPU of one {median(our_cpu):,.0f} against"
        f" {median(their_cpu):,.0f} µs, {median(their_cpu) / median(our_cpu):.2f} ×")


def list_rows(asked, registry, pki, folder):
    nginx = start_nginx(folder, pki, registry)
    try:
        if "list" in asked:
            list_row("list", registry, nginx, 1.0, {}, 200)
        if "gzip" in asked:
            list_row("gzip", registry, nginx, 1.0, {"Accept-Encoding": "gzip"}, 200)
        if "unchanged" in asked:
            list_row("unchanged", registry, nginx, 1.3, {"If-None-Match": None}, 304, apart=True)
    finally:
        nginx[0].terminate()
        nginx[0].wait()


# ---------------------------------------------------------------- writes

PGBENCH_SCRIPT = """
\\set i random(0, {last})
\\set r random(1, 1000000000)
SELECT outcome, detail, body, version
  FROM entry_put('{sid}', '127.0.0.1', 'bench', {spc}, 'https://cps.example.com/p/' || :r, NULL);
"""


def all_cpu(registry, postmaster):
    """CPU of everything that takes part in a write: clients (this script's ended children), daemon, database."""
    own = [os.getpid(), postmaster]
    while True:
        backends = children(postmaster)
        try:
            used = cpu_seconds(own, ended_children=True) + cpu_seconds(backends)
        except FileNotFoundError:  # one has ended meanwhile, and counts as the postmaster's now
            continue
        if backends == children(postmaster):
            return used + (cpu_seconds([registry.pid]) if registry.daemon.running else 0)


def put_round(program, registry, spcs):
    before = registry.database.query("SELECT count(*) FROM audit")[0][0]
    text = subprocess.run(
        [program, str(registry.port), registry.admin.token, "/api/v1/account/bench/cps/", spcs,
         str(CONNECTIONS), str(SECONDS), secrets.token_hex(6)], check=True, stdout=subprocess.PIPE,
        text=True).stdout
    result = json.loads(text)
    written = registry.database.query("SELECT count(*) FROM audit")[0][0] - before
    if written != result["requests"]:
        sys.exit(f"{written} audit rows after {result['requests']} writes")
    return result


def writes_row(registry, folder):
    program = build("bench_put")
    spcs = folder / "spcs"
    spcs.write_text("\n".join(registry.spcs) + "\n")
    sid = registry.database.query("SELECT sid FROM session WHERE user_id = %s ORDER BY expires_at DESC LIMIT 1",
                                  (registry.admin.user,))[0][0]
    script = folder / "put.sql"
    script.write_text(PGBENCH_SCRIPT.format(last=ENTRIES - 1, spc=SPC_SQL.format(":i"), sid=sid))
    pgbench = shutil.which("pgbench") or sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))[-1]
    postmaster = int(Path(registry.database.query("SHOW data_directory")[0][0], "postmaster.pid").read_text().split()[0])
    ours, theirs, our_cpu, their_cpu, p99 = [], [], [], [], []
    for _ in range(ROUNDS):
        before = all_cpu(registry, postmaster)
        result = put_round(program, registry, spcs)
        our_cpu.append((all_cpu(registry, postmaster) - before) / result["requests"] * 1e6)
        ours.append(result["requests"] / result["seconds"])
        p99.append(result["p99_us"] / 1000)
        # the database to itself: the publisher would answer pgbench's changes too
        registry.stop()
        before = all_cpu(registry, postmaster)
        text = subprocess.run(
            [str(pgbench), "-n", "-M", "prepared", f"-c{CONNECTIONS}", "-j1", f"-T{SECONDS}", "-f", str(script),
             registry.database.urls()["url"]], check=True, capture_output=True, text=True).stdout
        done = int(re.search(r"actually processed: (\d+)", text)[1])
        their_cpu.append((all_cpu(registry, postmaster) - before) / done * 1e6)
        theirs.append(float(re.search(r"tps = ([\d.]+)", text)[1]))
        registry.start()
    ratio = median(ours) / median(theirs)
    row("writes", f"{ratio:.2f} × pgbench", "≥ 0.7", ratio >= 0.7,
        f"{median(ours):,.0f} against {median(theirs):,.0f} writes/s, {CONNECTIONS} clients each"
        f" ({spread(ours)}, {spread(theirs)}); 99 % of ours within {median(p99):.1f} ms; CPU of one, client and"
        f" database included, {median(our_cpu):,.0f} against {median(their_cpu):,.0f} µs,"
        f" {median(their_cpu) / median(our_cpu):.2f} ×")


# ---------------------------------------------------------------- publish


def publish_row(registry):
    """From the answer of a PUT, which comes after its commit, to the list that has it."""
    writer, reader = registry.admin.session(), registry.anonymous.session()
    late, built = [], []
    for number in range(PUBLICATIONS):
        time.sleep(1.7 + number * 0.037)  # not in step with the publisher's looks
        etag = {"If-None-Match": reader.get(PATH).headers["ETag"]}
        url = f"https://cps.example.com/{secrets.token_hex(4)}"
        assert writer.put(f"/api/v1/account/bench/cps/{registry.spcs[number]}", {"url": url}).status == 200
        began = time.monotonic()
        while reader.get(PATH, headers=etag).status == 304:
            time.sleep(0.002)
        late.append((time.monotonic() - began) * 1000 - DEBOUNCE_MS)
        line = [text for text in registry.log_text().splitlines() if '"published"' in text][-1]
        built.append(json.loads(line)["build_us"] / 1000)
    writer.close()
    reader.close()
    met = median(late) <= 100 and median(built) <= 15
    row("publish", f"{median(late):.0f} ms beyond the debounce, {median(built):.1f} ms to build and sign",
        "≤ 100 and ≤ 15 ms", met,
        f"commit to served, {ENTRIES:,} entries: {min(late):.0f} to {max(late):.0f} ms, less than 0 where the"
        f" debounce began before; building {min(built):.1f} to {max(built):.1f} ms")


# ---------------------------------------------------------------- memory


def is_open(connection):
    """Has the registry left this idle connection alone so far?"""
    connection.sock.setblocking(False)
    try:
        return connection.sock.recv(1) != b""
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False


def ask_and_stay(port, tls, etag):
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=30)
    connection.request("GET", PATH, headers={"If-None-Match": etag})
    answer = connection.getresponse()
    answer.read()
    return connection, answer.headers["ETag"]  # another one, when the writes are still being published


def memory_row(registry):
    """Connections that have asked for the list and stay open, after the publications and writes above."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    etag = ask(registry.port, {})[1]["ETag"]
    held, opened = [], 0
    for _ in range(10):  # on a slow computer the first are cut for idleness before the last are there
        held = [connection for connection in held if is_open(connection)]
        while len(held) < IDLE:
            connection, etag = ask_and_stay(registry.port, tls, etag)
            held.append(connection)
        text = registry.anonymous.get("/metrics").body.decode()
        opened = int(re.search(r"^sticps_connections_open (\d+)", text, re.M)[1])
        if opened >= IDLE:
            break
    status = Path(f"/proc/{registry.pid}/status").read_text()
    now, peak = (int(re.search(rf"{key}:\s+(\d+)", status)[1]) / 1024 for key in ("VmRSS", "VmHWM"))
    for connection in held:
        connection.close()
    row("memory", f"{now:.0f} MiB resident", "≤ 64 MiB", now <= 64 and opened >= IDLE,
        f"{ENTRIES:,} entries, {opened:,} connections open; {peak:.0f} MiB at the most until now")


ROWS = ("list", "gzip", "unchanged", "publish", "writes", "memory")


def measure(asked, registry, pki, folder):
    if {"list", "gzip", "unchanged"} & set(asked):
        list_rows(asked, registry, pki, folder)
    if "publish" in asked:
        publish_row(registry)
    if "writes" in asked:
        writes_row(registry, folder)
    if "memory" in asked:
        memory_row(registry)
