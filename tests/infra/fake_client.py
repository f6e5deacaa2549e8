"""Stands in for the API, the workers and the archiver: answers where their settings say."""

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

PATHS = ("/healthz", "/readyz")


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in PATHS else 404)
        self.end_headers()


if __name__ == "__main__":
    port = {
        "api": "FRESHET_API_PORT",
        "worker": "FRESHET_WORKER_METRICS_PORT",
        "archive": "FRESHET_ARCHIVE_METRICS_PORT",
    }[sys.argv[1]]
    HTTPServer(("127.0.0.1", int(os.environ[port])), Answer).serve_forever()
