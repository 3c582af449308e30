"""The static export: every publication as files, and nginx that serves them (packaging/etc/nginx-export.conf)."""

import base64
import gzip
import json
import os
import stat
import subprocess
import threading
import time

import pytest
from lib.exposition import Page
from lib.fronts import nginx
from lib.net import Api, free_port, wait_until
from lib.passport import verify

CPS, CA, CRT = "download/v1/cps-list", "download/v1/ca-list", "download/v1/certificate"


def claims(token):
    payload = token.split(b".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))


def latest(folder, kind=CPS):
    path = folder / kind / "latest"
    return claims(path.read_bytes())["sequence"] if path.exists() else 0


def served(reg):
    return claims(reg.list_token().encode())["sequence"]


def wait_exported(reg, folder, timeout=15):
    return wait_until(lambda: s if (s := latest(folder)) == served(reg) else None, timeout, what="the export")


def metric(reg, name):
    return Page(reg.anonymous.get("/metrics").body.decode()).value(name)


def url(i, tail=""):
    return {"url": f"https://cps{i}.example.com/{tail}"}


def publish(reg, i):
    """One publication more, and its sequence."""
    before = served(reg)
    reply = reg.alpha.put("/api/v1/account/alpha/cps/1234", url(i, f"{time.monotonic_ns()}"))
    assert reply.status in (200, 201), reply.body
    return wait_until(lambda: s if (s := served(reg)) > before else None, what="the publication")


def warnings(reg):
    return reg.anonymous.get("/ready").json["warnings"]


@pytest.fixture
def start(registry, tmp_path):
    """A registry that exports to .export; add_sp'd as alpha with SPCs 1234 and B000 to B099."""

    def make(folder=None, **changes):
        folder = folder or tmp_path / "export"
        folder.mkdir(exist_ok=True)
        before = os.umask(0o077)  # as in the service's unit
        try:
            reg = registry(export={"directory": str(folder)}, **changes)
        finally:
            os.umask(before)
        reg.export = folder
        reg.alpha = reg.add_sp("alpha", "1234", *[f"B{i:03d}" for i in range(40)])
        return reg

    return make


def fill(reg):
    """Enough entries for a compressed form."""
    mapping = {f"B{i:03d}": url(i)["url"] for i in range(40)}
    assert reg.alpha.put("/api/v1/account/alpha/cps", {"cpsMapping": mapping}).status == 200
    wait_until(lambda: len(claims(reg.list_token().encode())["cpsMapping"]) == 40, what="the full list")


def test_files_are_what_the_registry_serves(start, pki, tmp_path):
    cas, crl = tmp_path / "cas", tmp_path / "sti-pa.crl"
    cas.mkdir()
    (cas / "sti-ca.pem").write_bytes(pki.pem("sti-ca"))
    subprocess.run(["openssl", "ca", "-gencrl", "-config", "/dev/stdin", "-keyfile", pki.key("sti-pa-root"), "-cert",
                    pki.crt("sti-pa-root"), "-out", crl, "-crldays", "7", "-md", "sha256"], check=True,
                   input=b"[ca]\ndefault_ca=x\n[x]\ndatabase=/dev/null\n", capture_output=True)
    reg = start(ca_list={"directory": str(cas)}, crl={"file": str(crl)})
    fill(reg)
    sequence = wait_exported(reg, reg.export)
    wait_until(lambda: (reg.export / "download/v1/crl").exists() and latest(reg.export, CA), what="the rest")
    assert metric(reg, "sticps_export_failed") == 0 and warnings(reg) == []
    wait_until(lambda: metric(reg, "sticps_export_sequence") == sequence, what="the metric")

    paths = {f"{CPS}/latest": CPS, "api/v1/cps-list": "api/v1/cps-list", f"{CA}/latest": CA,
             "api/v1/ca-list": "api/v1/ca-list", "download/v1/crl": "download/v1/crl", f"{CA}/1": f"{CA}/1",
             f"{CRT}/certificateId_1.crt": f"{CRT}/certificateId_1.crt"}
    wait_until(lambda: all((reg.export / CPS / str(n)).exists() for n in range(1, sequence + 1)), what="all numbers")
    paths |= {f"{CPS}/{n}": f"{CPS}/{n}" for n in range(1, sequence + 1)}
    for file, path in paths.items():
        reply = reg.anonymous.get("/" + path)
        assert reply.status == 200 and (reg.export / file).read_bytes() == reply.body, file
    found = {str(p.relative_to(reg.export)) for p in reg.export.rglob("*") if p.is_file()}
    packed = {f for f in found if f.endswith(".gz")}
    assert f"{CPS}/latest.gz" in packed and "api/v1/cps-list.gz" in packed
    for file in packed:
        assert gzip.decompress((reg.export / file).read_bytes()) == (reg.export / file[:-3]).read_bytes()
    assert found - packed == set(paths), "and nothing else, no temporary file either"
    for path in reg.export.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o755 if path.is_dir() else 0o644), f"{path}: {mode:o}"


def test_a_compressed_copy_never_outlives_its_list(start):
    reg = start(list={"brake": {"percent": 100}})
    fill(reg)
    wait_exported(reg, reg.export)
    assert (reg.export / CPS / "latest.gz").exists()
    assert reg.alpha.put("/api/v1/account/alpha/cps", {"cpsMapping": {}}).status == 200
    wait_until(lambda: claims((reg.export / CPS / "latest").read_bytes())["cpsMapping"] == {}, what="the empty list")
    assert not (reg.export / CPS / "latest.gz").exists() and not (reg.export / "api/v1/cps-list.gz").exists()


def test_readers_see_only_whole_lists_and_never_an_older_one(start, pki):
    reg = start(list={"debounce_ms": 1})
    wait_exported(reg, reg.export)
    stop, faults, seen = threading.Event(), [], set()
    key = pki.certificate("list-signer").public_key()

    def read():
        last = 0
        while not stop.is_set():
            token = (reg.export / CPS / "latest").read_bytes()
            try:
                header, payload = verify(token.decode(), key)
                sequence = payload["sequence"]
                assert sequence >= last, f"{sequence} after {last}"
                assert (reg.export / CPS / str(sequence)).read_bytes() == token
                assert (reg.export / header["x5u"].split("/", 3)[3]).exists()
            except Exception as error:  # noqa: BLE001 - a thread's finding
                faults.append(repr(error))
                return
            last = sequence
            seen.add(sequence)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for i in range(25):
        publish(reg, i)
    sequence = wait_exported(reg, reg.export)
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == [] and len(seen) > 5
    wait_until(lambda: all((reg.export / CPS / str(n)).exists() for n in range(1, sequence + 1)), what="all numbers")


def test_what_is_missing_is_caught_up(start, tmp_path):
    reg = start(list={"debounce_ms": 1})
    for i in range(12):
        publish(reg, i)
    wait_exported(reg, reg.export)
    reg.stop()
    for n in (1, 5, 6, 11):
        (reg.export / CPS / str(n)).unlink()
    (reg.export / CPS / ".latest.new").write_text("left by a power cut")
    (reg.export / CRT / "certificateId_1.crt").unlink()
    reg.start()
    last = publish(reg, 99)
    wait_until(lambda: all((reg.export / CPS / str(n)).exists() for n in range(1, last + 1)), what="all numbers")
    for n in range(1, last + 1):
        assert (reg.export / CPS / str(n)).read_bytes() == reg.anonymous.get(f"/{CPS}/{n}").body
    assert (reg.export / CRT / "certificateId_1.crt").exists()
    assert not (reg.export / CPS / ".latest.new").exists()

    # Another directory in its place, as after a mount: filled from nothing, without a restart.
    reg.export.rename(tmp_path / "before")
    wait_until(lambda: warnings(reg), what="a warning")
    assert metric(reg, "sticps_export_failed") == 1
    reg.export.mkdir(mode=0o755)
    wait_until(lambda: len(list((reg.export / CPS).glob("[0-9]*"))) == last, what="all numbers again")
    wait_until(lambda: not warnings(reg), what="no warning")
    assert latest(reg.export) == last


def test_kills_leave_nothing_half_written(start, pki):
    reg = start(list={"debounce_ms": 1})
    key = pki.certificate("list-signer").public_key()
    for i in range(8):
        for j in range(3):
            reg.alpha.put("/api/v1/account/alpha/cps/1234", url(i, f"{j}"))
            time.sleep(0.01 * i)
        reg.kill()
        for path in (reg.export / CPS).iterdir():
            if path.name == "latest" or path.name.isdigit():
                _, payload = verify(path.read_text(), key)
                assert path.name in ("latest", str(payload["sequence"]))
            elif path.name.endswith(".gz"):
                gzip.decompress(path.read_bytes())
        reg.start()
    last = wait_exported(reg, reg.export)
    wait_until(lambda: all((reg.export / CPS / str(n)).exists() for n in range(1, last + 1)), what="all numbers")


@pytest.mark.skipif(os.getuid() != 0, reason="a disk of its own needs root")
def test_a_full_disk_harms_nothing_else(start, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", disk], check=True)
    try:
        reg = start(folder=disk, list={"debounce_ms": 1})
        publish(reg, 0)
        good = wait_exported(reg, disk)
        with open(disk / "other people's file", "wb", buffering=0) as filler:
            with pytest.raises(OSError):
                while True:
                    filler.write(b"x" * 4096)
        before = {p: p.read_bytes() for p in disk.rglob("*") if p.is_file() and p.name != "other people's file"}
        for i in range(1, 4):
            assert publish(reg, i) == good + i, "publication goes on"
        warning = wait_until(lambda: warnings(reg), what="a warning")
        assert "No space left on device" in warning[0] and reg.anonymous.get("/ready").status == 200
        assert metric(reg, "sticps_export_failed") == 1 and metric(reg, "sticps_publishing_failed") == 0
        assert metric(reg, "sticps_export_sequence") == good
        after = {p: p.read_bytes() for p in disk.rglob("*") if p.is_file() and p.name != "other people's file"}
        assert after == before, "nothing half written, nothing left behind"
        assert "THE EXPORT IS NOT UP TO DATE" in reg.log_text()
        (disk / "other people's file").unlink()
        assert wait_exported(reg, disk) == good + 3
        wait_until(lambda: all((disk / CPS / str(n)).exists() for n in range(1, good + 4)), what="all numbers")
        wait_until(lambda: metric(reg, "sticps_export_failed") == 0 and not warnings(reg), what="all is well again")
        reg.stop()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_export_does_not_go_back(start):
    """A database put back to an earlier state, or a directory of another registry."""
    reg = start()
    wait_exported(reg, reg.export)
    reg.stop()
    newest = (reg.export / CPS / "latest").read_bytes()
    (reg.export / CPS / "999999").write_bytes(b"from later")
    reg.start()
    publish(reg, 1)
    warning = wait_until(lambda: warnings(reg), what="a warning")
    assert "999999" in warning[0]
    time.sleep(1)
    assert (reg.export / CPS / "latest").read_bytes() == newest
    (reg.export / CPS / "999999").unlink()


def test_links_in_the_directory_are_not_followed(start, tmp_path):
    folder, outside = tmp_path / "export", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "download").symlink_to(outside)
    reg = start(folder=folder)
    wait_until(lambda: warnings(reg), what="a warning")
    assert list(outside.iterdir()) == []


def test_the_configuration_is_checked(registry, tmp_path):
    reg = registry(start=False, export={"directory": str(tmp_path / "none")})
    done = reg.check()
    assert done.returncode == 1 and "export.directory" in done.stderr
    (tmp_path / "none").mkdir()
    assert reg.check().returncode == 0
    reg.reconfigure(list={"public": False})
    done = reg.check()
    assert done.returncode == 1 and "list.public" in done.stderr


# ---- nginx ----


@pytest.fixture
def site(start, pki, tmp_path):
    """nginx with the example's site over a registry's export; .reg is the registry, .api asks nginx."""
    port = free_port()
    reg = start(base_url=f"https://127.0.0.1:{port}", list={"debounce_ms": 1})
    fill(reg)
    wait_exported(reg, reg.export)
    front = nginx(tmp_path / "nginx", "nginx-export.conf", {
        "/etc/nginx/tls/sti-pa.crt": pki.crt("registry-tls"), "/etc/nginx/tls/sti-pa.key": pki.key("registry-tls"),
        "/var/lib/sticps/export": reg.export, "sti-pa.example.com;": "127.0.0.1;"}, port)
    front.reg, front.api = reg, Api(f"https://127.0.0.1:{port}", pki.tls_ca)
    yield front
    front.close()


def test_nginx_serves_the_export_as_the_registry_would(site):
    types = {CPS: "application/jwt", "api/v1/cps-list": "application/json", f"{CPS}/1": "application/jwt",
             f"{CRT}/certificateId_1.crt": "application/pem-certificate-chain"}
    for path, media in types.items():
        theirs, ours = site.api.get("/" + path), site.reg.anonymous.get("/" + path)
        assert theirs.status == 200 and theirs.body == ours.body, path
        assert theirs.headers["Content-Type"] == ours.headers["Content-Type"] == media
        assert theirs.headers["Cache-Control"] == ours.headers["Cache-Control"], path
    for path in (CPS, "api/v1/cps-list"):
        packed = site.api.get("/" + path, headers={"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip" and packed.headers["Vary"] == "Accept-Encoding"
        assert gzip.decompress(packed.body) == site.api.get("/" + path).body
    assert "Content-Encoding" not in site.api.get(f"/{CPS}/1", headers={"Accept-Encoding": "gzip"}).headers
    for path in (f"/{CPS}/latest", f"/{CPS}/999999", f"/{CPS}/", f"/{CPS}/.latest.new", f"/{CRT}/", f"/{CA}",
                 "/download/v1/crl", "/api/v1/account/alpha/cps", "/", "/../etc/passwd"):
        assert site.api.get(path).status in (400, 404), path
    assert site.api.post(f"/{CPS}").status in (404, 405)


def test_clients_fetch_from_it_although_every_node_is_away(site, cli, pki, tmp_path):
    site.reg.stop()
    for name, path in (("bare", CPS), ("envelope", "api/v1/cps-list")):
        done = cli("list", "fetch", "--url", f"https://127.0.0.1:{site.port}/{path}", "--anchor", pki.list_anchor,
                   "--state", tmp_path / name, "--tls-ca", pki.tls_ca, "--lab")
        assert done.returncode == 0, done.stdout + done.stderr
        status, shown = cli.json("list", "show", "--state", tmp_path / name)
        assert status == 0 and shown["entries"] == 40


def test_every_list_has_an_etag_of_its_own(site):
    """nginx makes it of the time in seconds and the size: neither tells two lists of one second apart by itself."""
    tags, old = {}, None
    for i in range(6):
        reply = site.reg.alpha.put("/api/v1/account/alpha/cps/B000", url(i))
        assert reply.status == 200
        sequence = wait_until(lambda: s if (s := latest(site.reg.export)) not in tags.values() and
                              claims((site.reg.export / CPS / "latest").read_bytes())["cpsMapping"]["B000"] ==
                              url(i)["url"] else None, what="the list")
        fresh = site.api.get("/" + CPS, headers={"If-None-Match": old} if old else None)
        assert fresh.status == 200 and claims(fresh.body)["sequence"] == sequence
        old = fresh.headers["ETag"]
        assert old not in tags
        tags[old] = sequence
        assert site.api.get("/" + CPS, headers={"If-None-Match": old}).status == 304
