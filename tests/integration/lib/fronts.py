"""The example configurations of packaging/etc, adapted to a test's ports and files, each under the real program."""

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from .net import free_port, wait_until

ETC = Path(__file__).resolve().parents[3] / "packaging" / "etc"


def adapt(text, changes):
    """`text` with each key replaced; one that is not there means that the example has moved on."""
    for old, new in changes.items():
        assert old in text, f"the example has no {old!r}"
        text = text.replace(old, str(new))
    return text


class Front:
    """A proxy or web server in front: `port` is where it listens, on 127.0.0.1."""

    def __init__(self, folder, name, port):
        self.folder, self.name = Path(folder), name
        self.port = port or free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = None

    def _start(self, check, argv):
        done = subprocess.run(check, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        with open(self.folder / "output.log", "ab") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def up():
            assert self._process.poll() is None, self.log_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(up, 20, what=f"{self.name} to listen")
        return self

    def log_text(self):
        return "".join(p.read_text(errors="replace") for p in self.folder.glob("*.log"))

    def close(self):
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert path, f"{name} is missing (packaging/packages.sh)"
    return path


def nginx(folder, site, changes, port=None):
    """nginx with one of the example sites."""
    front = Front(folder, "nginx", port)
    text = (ETC / site).read_text()
    text = re.sub(r"^ *listen \[::\].*\n", "", text, flags=re.M)
    text = adapt(text, {"listen 443 ssl": f"listen 127.0.0.1:{front.port} ssl", **changes})
    (front.folder / "site.conf").write_text(text)
    conf = front.folder / "nginx.conf"
    conf.write_text(f"""{"user root;" if os.getuid() == 0 else ""}
worker_processes 1;
daemon off;
pid {front.folder}/nginx.pid;
error_log {front.folder}/error.log info;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {front.folder}/body;
    proxy_temp_path {front.folder}/proxy;
    fastcgi_temp_path {front.folder}/fastcgi;
    uwsgi_temp_path {front.folder}/uwsgi;
    scgi_temp_path {front.folder}/scgi;
    include {front.folder}/site.conf;
}}
""")
    argv = [program("nginx"), "-p", str(front.folder), "-e", str(front.folder / "start.log"), "-c", str(conf)]
    return front._start([*argv, "-t"], argv)


def haproxy(folder, example, changes, port=None):
    """HAProxy with one of the examples; `changes` gives it its own port."""
    front = Front(folder, "haproxy", port)
    text = adapt((ETC / example).read_text(), changes)
    conf = front.folder / "haproxy.cfg"
    conf.write_text(text)
    return front._start([program("haproxy"), "-c", "-f", str(conf)], [program("haproxy"), "-db", "-f", str(conf)])
