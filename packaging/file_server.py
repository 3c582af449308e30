"""Serves the .crt files of a folder over TLS, as an STI certificate repository does: for the quick start.

usage: file_server.py ADDRESS PORT CERTIFICATE KEY FOLDER"""

import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

address, port, certificate, key, folder = sys.argv[1:]
files = {f"/{path.name}": path.read_bytes() for path in Path(folder).glob("*.crt")}
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate, key)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    wbufsize = 65536  # header and body leave together,
    disable_nagle_algorithm = True  # and at once, although session tickets went before

    def setup(self):
        # the handshake is done by the connection's own thread: a slow client holds up no other
        self.request.settimeout(self.timeout)
        self.request = tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def do_GET(self):
        body = files.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Type", "application/pem-certificate-chain")
        self.send_header("Cache-Control", "max-age=86400")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")


class Server(ThreadingHTTPServer):
    daemon_threads = True


Server((address, int(port)), Handler).serve_forever()
