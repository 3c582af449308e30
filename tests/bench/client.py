"""The rows about the client: resolving, taking a list, delivering."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from common import BIN, ROUNDS, build, median, row, spread

ROWS = ("resolve", "accept", "deliver")
CODES = 2571  # central-office codes, of 10,000 numbers
PORTED = 4000  # of each: 10 million in all
ASKED = 1_000_000
DELIVERIES = 20_000  # a round


def measured(program, *arguments):
    """What a measuring program prints."""
    text = subprocess.run([build(program), *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(text)


def fetch_list(registry, pki, state):
    subprocess.run(
        [BIN / "sticps", "list", "fetch", "--url", f"{registry.base_url}/download/v1/cps-list", "--anchor",
         pki.list_anchor, "--state", state, "--tls-ca", pki.tls_ca, "--lab"], check=True, capture_output=True)


def build_npdb(npdb, blocks, ports=None):
    command = [BIN / "sticps", "npdb", "build", "--blocks", blocks, "-o", npdb]
    done = subprocess.run([*command, *(["--ports", ports] if ports else [])], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)


# ---------------------------------------------------------------- resolve


def make_numbers(folder, spcs):
    """Blocks, ported numbers and the numbers to ask for: half of them ported, half any; in random order."""
    rng = random.Random(1)
    codes = [f"1{npa}{nxx}" for npa in rng.sample(range(201, 800), 60) for nxx in rng.sample(range(200, 1000), 50)]
    codes = codes[:CODES]
    lrns = [f"{code}{rng.randrange(10000):04d}" for code in rng.sample(codes, 1000)]
    # which of a code's numbers are ported: one of a few patterns, for time is better spent measuring
    patterns = [[f"{number:04d}" for number in rng.sample(range(10000), PORTED)] for _ in range(40)]
    asked = []
    with open(folder / "ports.csv", "w", encoding="ascii") as ports:
        for code in codes:
            pattern = rng.choice(patterns)
            ports.writelines(f"{code}{number},{lrn}\n" for number, lrn in zip(pattern, rng.choices(lrns, k=PORTED)))
            asked += [code + number for number in rng.sample(pattern, ASKED // CODES // 2)]
            asked += [f"{code}{rng.randrange(10000):04d}" for _ in range(ASKED // CODES // 2)]
    rng.shuffle(asked)
    (folder / "blocks.csv").write_text("".join(f"{code},{rng.choice(spcs)}\n" for code in codes))
    (folder / "asked").write_text("\n".join(asked) + "\n")


def resolve_row(registry, pki, folder):
    state, npdb = folder / "state", folder / "numbers.npdb"
    fetch_list(registry, pki, state)
    make_numbers(folder, registry.spcs)
    build_npdb(npdb, folder / "blocks.csv", folder / "ports.csv")
    result = measured("bench_resolve", state, npdb, folder / "asked", ROUNDS)
    ours, bare, miss = result["resolve_ns"], result["lookup_ns"], result["miss_ns"]
    beyond = median(ours) - 1.5 * median(bare)
    row("resolve", f"{beyond:+,.0f} ns against 1.5 × the portability file alone", "≤ 60 ns", beyond <= 60,
        f"{median(ours):,.0f} ns against {median(bare):,.0f} ns ({spread(ours)}, {spread(bare)});"
        f" {median(ours) / median(miss):.2f} × one DRAM miss; {CODES * PORTED:,} ported numbers, file of"
        f" {npdb.stat().st_size:,} bytes, {result['with_url'] * 100:.0f} % had a URL")
    speedup = 2 * median(ours) / median(result["resolve_two_ns"])
    limit = 2 * median(bare) / median(result["lookup_two_ns"])
    row("threads", f"two are {speedup:.2f} × one", "≥ 1.85", speedup >= 1.85,
        f"by CPU time; with the portability file alone, which shares nothing that is written, {limit:.2f} ×")


# ---------------------------------------------------------------- accept


def change(registry, spc, url):
    """Sets one URL; the list that has it."""
    before = registry.anonymous.get("/download/v1/cps-list").body
    assert registry.admin.put(f"/api/v1/account/bench/cps/{spc}", {"url": url}).status in (200, 201)
    for _ in range(400):
        body = registry.anonymous.get("/download/v1/cps-list").body
        if body != before:
            return before, body
        time.sleep(0.05)
    sys.exit("the registry did not publish the change")


def accept_row(registry, pki, folder):
    held, new = change(registry, registry.spcs[0], "https://cps.example.com/accept")
    (folder / "held.jws").write_bytes(held)
    (folder / "new.jws").write_bytes(new)
    result = measured("bench_accept", folder / "held.jws", folder / "new.jws", pki.crt("list-signer"),
                      pki.list_anchor, ROUNDS)
    size = result["bytes"]
    ms, peak = median(result["ms"]), median(result["peak"]) / size
    row("accept", f"{ms:.0f} ms of CPU, at most {peak:.1f} × its size in memory", "≤ 40 ms and ≤ 4 ×",
        ms <= 40 and peak <= 4,
        f"{len(registry.spcs):,} entries, {size:,} bytes ({spread(result['ms'])} ms); from the received bytes to the"
        " list that calls are resolved with, both writes to a memory disk")


# ---------------------------------------------------------------- deliver


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start_nginx(folder, pki):
    """A CPS that answers 201 to everything, over kept TLS connections."""
    from lib.net import free_port, wait_until

    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(f"""
{"user root;" if os.getuid() == 0 else ""}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {pki.crt("cps-tls")};
    ssl_certificate_key {pki.key("cps-tls")};
    server {{
        listen 127.0.0.1:{port} ssl;
        location / {{ return 201; }}
    }}
}}
""")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(conf)], stderr=subprocess.DEVNULL)
    wait_until(lambda: process.poll() is not None or answers(port), what="nginx")
    if process.poll() is not None:
        sys.exit((folder / "error.log").read_text())
    return process, port


def agent_figures(pki, folder, token):
    """CPU of the agent for one delivery whose outcome the caller waits for (us), and how many it does per second."""
    from lib.services import Agent

    (folder / "agent").mkdir()
    agent = Agent(BIN, folder / "agent", pki, {"list": {"state": str(folder / "state")},
                                               "npdb": [str(folder / "numbers.npdb")]}).start()
    (folder / "post.lua").write_text(
        f'wrk.method, wrk.body = "POST", "{token}"\nwrk.headers["Content-Type"] = "application/passport"\n')
    wrk = ["wrk", "-t1", "-c32", "-d3s", "-s", folder / "post.lua", f"{agent.base_url}/v1/deliver?wait=1"]
    cpu, rate = [], []
    try:
        for number in range(ROUNDS + 1):
            used, done, since = agent.daemon.cpu_seconds(), agent.delivered(), time.monotonic()
            subprocess.run(wrk, check=True, capture_output=True)
            done = agent.delivered() - done
            if number > 0:  # the first round warms connections
                cpu.append((agent.daemon.cpu_seconds() - used) / done * 1e6)
                rate.append(done / (time.monotonic() - since))
    finally:
        agent.stop()
    return cpu, rate


def deliver_row(registry, pki, folder):
    from lib.passport import make_passport

    process, port = start_nginx(folder, pki)
    try:
        url = f"https://127.0.0.1:{port}/cps/company/{registry.spcs[1]}"
        change(registry, registry.spcs[1], url)
        fetch_list(registry, pki, folder / "state")
        (folder / "blocks.csv").write_text(f"1202555,{registry.spcs[1]}\n")
        build_npdb(folder / "numbers.npdb", folder / "blocks.csv")
        key = pki.private_key("sp2")
        tokens = [make_passport(key, "https://certs.example.com/sp2.crt", "12015550100", (f"1202555{i:04d}",))
                  for i in range(1000)]
        (folder / "tokens").write_text("\n".join(tokens) + "\n")
        result = measured("bench_deliver", folder / "state", folder / "numbers.npdb", folder / "tokens", url,
                          pki.tls_ca, ROUNDS, DELIVERIES)
        agent_us, agent_rate = agent_figures(pki, folder, tokens[0])
    finally:
        process.terminate()
        process.wait()
    ours, theirs = result["deliver_us"], result["curl_us"]
    ratio = median(theirs) / median(ours)
    row("deliver", f"{ratio:.2f} × libcurl's multi interface", "≥ 0.8", ratio >= 0.8,
        f"{1e6 / median(ours):,.0f} against {1e6 / median(theirs):,.0f} deliveries per CPU second of the sender"
        f" ({spread(ours)}, {spread(theirs)} µs each); nginx answers 201, TLS, kept connections")
    row("agent", f"{median(agent_us) / median(ours):.2f} × the library's own CPU", None, True,
        f"{median(agent_us):.0f} µs for one POST /v1/deliver?wait=1 ({spread(agent_us)}), of 32 callers on loopback;"
        f" {median(agent_rate):,.0f} per second, wrk and nginx on the same processors")
    arrived = result["storm_arrived"]
    row("storm", f"{median(arrived):,.0f} of 1,000 arrive", None, True,
        f"queued at once for one CPS that a new client has no connection to, within 400 ms ({spread(arrived)})")
    half, most = median(result["call_median_us"]), median(result["call_p999_us"])
    row("call", f"{half:.1f} µs, 99.9 % within {most:.0f} µs", "≤ 5 and ≤ 50 µs", half <= 5 and most <= 50,
        f"one call of sticps_deliver while the client's thread delivers; 99.9 % within"
        f" {median(result['call_cpu_p999_us']):.0f} µs of the caller's own CPU")


def measure(asked, registry, pki, folder):
    for name, measure_row in (("resolve", resolve_row), ("accept", accept_row), ("deliver", deliver_row)):
        if name in asked:
            (folder / name).mkdir()
            measure_row(registry, pki, folder / name)
