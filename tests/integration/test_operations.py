"""docs/operations.md: each command of it runs here, in the order in which it stands there, on the hosts that it names.

A block ```sh HOST runs on that host (`pa1` and `pa2` are nodes, `db1` and `db2` have PostgreSQL, `osp1` the agent). A block ```text that
follows it is what it prints: `…` stands for anything within a line, a line `…` for any lines."""

import os
import re

import pytest
import yaml
from lib import netns
from lib.pki import ROOT
from lib.sandbox import Host

DOCUMENT = ROOT / "docs/operations.md"
ADDRESSES = {"pa1": "10.77.0.11", "pa2": "10.77.0.12", "db1": "10.77.0.21", "db2": "10.77.0.22", "osp1": "10.77.0.31"}
RULES = ROOT / "packaging/prometheus/sticps-registryd.rules.yaml"


def blocks():
    """[(heading, host, commands, expected or None)] in the order of the document."""
    found, heading = [], ""
    for part in re.finditer(r"^(#+) ([^\n]*)$|^```(\w+)(?: (\w+))?\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S):
        if part[1]:
            heading = part[2]
        elif part[3] == "sh":
            found.append([heading, part[4], part[5], None])
        elif part[3] == "text" and found and found[-1][3] is None:
            found[-1][3] = part[5]
    return found


def matches(expected, printed):
    pattern = "".join(
        r"(?:.*\n)*" if line == "…" else ".*".join(re.escape(piece) for piece in line.split("…")) + r"\n"
        for line in expected.splitlines())
    return re.fullmatch(pattern, printed if printed.endswith("\n") else printed + "\n") is not None


# ---- what the document's reader does elsewhere ----


def sign_tls(host):
    """The TLS CA of the operator's choice answers the request."""
    host.run('''openssl x509 -req -in /etc/sticps/tls/registry.csr -CA "$TLS_CA/tls-ca.crt" -CAkey "$TLS_CA/tls-ca.key" \\
        -days 90 -sha256 -set_serial "0x$(openssl rand -hex 12)" -copy_extensions copy -out /etc/sticps/tls/registry.crt''')


def copy_to_pa2(hosts, shared):
    """What the document says is copied to the other node."""
    hosts["pa1"].run(f"tar -C /etc -cf {shared}/sticps.tar sticps")
    hosts["pa2"].run(f"tar -C /etc -xf {shared}/sticps.tar && chown -R root:sticps-registryd /etc/sticps")


def send_anchor(hosts, shared):
    """What the document says is sent to the clients."""
    hosts["pa1"].run(f"cp /root/ca/root.crt {shared}/root.crt")
    hosts["osp1"].run(f"cp {shared}/root.crt /root/received/sti-pa-root.pem")


ACCIDENT = r'''
ACCOUNT=/api/v1/account/example-tel
for spc in $(seq 7001 7025); do api PUT $ACCOUNT/spc/$spc >/dev/null; done
KEPT=$(api GET "$ACCOUNT/cps?format=rfc9888")
ALL=$(for spc in $(seq 7001 7025); do echo "{\"0-$spc\":\"https://cps.example.com/$spc\"}"; done | jq -c --argjson k "$KEPT" -s '$k + add')
api PUT $ACCOUNT/cps "$ALL" >/dev/null
until curl -sS https://sti-pa.example.com/download/v1/cps-list | payload | grep -q 7025; do sleep 0.2; done
api PUT $ACCOUNT/cps "$KEPT" >/dev/null
until curl -sS https://sti-pa.example.com/metrics | grep -q '^sticps_list_held 25'; do sleep 0.2; done
'''

# A client that has taken a huge sequence from whoever had the signer's key.
FAST_FORWARD = r'''
jq '.floor = 9000000000000000 | .held = null' /root/client/cps-list.json >/root/client/state
mv /root/client/state /root/client/cps-list.json
'''


# ---- the sandbox ----


@pytest.fixture(scope="module")
def hosts(bin_dir, pki, tmp_path_factory):
    if trouble := netns.trouble():
        assert os.environ.get("STICPS_FAILOVER") != "required", trouble
        pytest.skip(trouble)
    folder = tmp_path_factory.mktemp("operations")
    for parent in [folder, *list(folder.parents)[:2]]:
        parent.chmod(0o755)
    network = netns.Network()
    made = {}
    try:
        for name, address in ADDRESSES.items():
            network.add(name, address)
        for name in ADDRESSES:
            made[name] = Host(name, network, folder, ADDRESSES, bin_dir.parent, pki.tls_ca)
            made[name].run(f"TLS_CA={pki.dir}; hostname {name}; mkdir /root/received")
            for given, as_name in (("sti-ca", "sti-ca"), ("tls-ca", "other-sti-ca")):
                made[name].run(f"cp {pki.crt(given)} /root/received/{as_name}.pem")
        for name in ("db1", "db2"):  # as Debian's package leaves it
            made[name].run("pg_createcluster 15 main >/dev/null; systemctl start postgresql@15-main")
        yield made
    finally:
        for host in made.values():
            host.close()
        network.close()


def test_every_command(hosts, tmp_path):
    tmp_path.chmod(0o755)
    assert len(blocks()) == DOCUMENT.read_text().count("\n```sh ") > 30
    before = {"The brake holds": ACCIDENT, "Clients are locked out by a sequence far ahead": FAST_FORWARD}
    for heading, host, commands, expected in blocks():
        assert host in hosts, f"{heading}: a block without a host:\n{commands}"
        if accident := before.pop(heading, None):
            hosts[host].run(accident)
        # the sandbox's addresses are private, which the client opens in the laboratory only
        commands = re.sub(r"sticps list (fetch|recover)", r"\g<0> --lab", commands)
        commands = commands.replace("/etc/sticps/agent.yaml <<'END'\n", "/etc/sticps/agent.yaml <<'END'\nlab: true\n")
        try:
            printed = hosts[host].run(commands)
        except AssertionError as error:
            raise AssertionError(f"{heading}, {error}") from None
        if expected is not None:
            assert matches(expected, printed), f"{heading}, {host}:\n{commands}\nprinted\n{printed}\ninstead of\n{expected}"
        if "registry.csr" in commands:
            sign_tls(hosts[host])
        if heading == "The anchor to the clients":
            send_anchor(hosts, tmp_path)
        if "copy /etc/sticps" in commands:
            copy_to_pa2(hosts, tmp_path)


def test_the_matcher():
    assert matches("a … c\n…\nend\n", "a b c\nx\ny\nend\n") and matches("…\n", "")
    assert matches("a\n", "a") and not matches("a\n", "a\nb\n") and not matches("a … c\n", "a c\n") and not matches("a\n", "")


def test_a_command_that_fails_is_found(hosts):
    assert hosts["pa1"].run("a=1\nfalse || echo $a\nuntil true; do :; done\n") == "1\n"
    for commands in ("false\ntrue\n", "true | false\ntrue", "f() { false; true; }\nf", "a=$(false)\ntrue", "no-such-command\ntrue"):
        with pytest.raises(AssertionError, match="this failed: "):
            hosts["pa1"].run(commands)


# ---- alerts ----


def test_alerts_name_metrics_and_headings_that_there_are(registry, tmp_path, pki):
    (tmp_path / "ca.pem").write_bytes(pki.pem("sti-ca"))
    (tmp_path / "export").mkdir()
    one = registry(ca_list={"directory": str(tmp_path)}, crl={"file": str(tmp_path / "none")},
                   export={"directory": str(tmp_path / "export")}, state=str(tmp_path / "state"))
    page = one.anonymous.get("/metrics").body.decode()
    headings = set(re.findall(r"^#+ (.*)$", DOCUMENT.read_text(), re.M))
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) >= 10
    for rule in rules:
        names = set(re.findall(r"\bsticps_\w+", rule["expr"]))
        assert names and all(re.search(rf"^{name}[ {{]", page, re.M) for name in names), (rule["alert"], names)
        assert rule["annotations"]["runbook"] in headings, rule
        for label, value in re.findall(r'(\w+)="(\w+)"', rule["expr"]):
            assert f'{label}="' in page, (rule["alert"], label, value)
