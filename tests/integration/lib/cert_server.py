"""A TLS file server: the STI certificate repository in tests, and any other HTTPS source that must misbehave."""

import ssl
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # clients that leave or dislike the certificate are part of the tests


class CertServer:
    """Serves what `files` holds: path → bytes, or a function (handler) that writes the answer itself.

    `hits` counts requests by path. `headers` go with every answer, `delay` seconds pass before it.
    """

    def __init__(self, certificate, key, host="127.0.0.1"):
        self.files = {}
        self.headers = {"Content-Type": "application/pem-certificate-chain"}
        self.hits = Counter()
        self.delay = 0.0
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                # the handshake belongs to the connection's own thread, so that one slow client blocks no other
                self.request = outer._tls.wrap_socket(self.request, server_side=True)
                super().setup()

            def do_GET(self):
                outer.hits[self.path] += 1
                if outer.delay:
                    time.sleep(outer.delay)
                content = outer.files.get(self.path)
                if callable(content):
                    content(self)
                    return
                body = content if content is not None else b"no such file\n"
                self.send_response(outer.status if content is not None else 404)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(str(certificate), str(key))
        self._server = _Server((host, 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"https://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def serve(self, path, content):
        """Puts `content` at `path` and returns its URL."""
        self.files[path] = content
        return self.url + path

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
