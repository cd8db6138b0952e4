"""The shop's API: counts visits, takes orders, tells how they fare. `api.py check` is its health check."""

import json
import signal
import socket
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from store import Away, Store

PORT = 8000
ORDERS_SHOWN = 8
NAME = socket.gethostname()
LOCAL = threading.local()


def store():
    """One connection to Redis for each of the server's threads."""
    if not hasattr(LOCAL, "store"):
        LOCAL.store = Store()
    return LOCAL.store


class Api(BaseHTTPRequestHandler):
    timeout = 5

    def do_GET(self):
        if self.path == "/api/health":
            self.answer(200, {"api": NAME})
        elif self.path == "/api/shop":
            self.with_store(self.shop)
        else:
            self.answer(404, {"error": "there is /api/shop"})

    def do_POST(self):
        if self.path == "/api/orders":
            self.with_store(self.order)
        else:
            self.answer(404, {"error": "there is /api/orders"})

    def with_store(self, work):
        try:
            self.answer(200, {"api": NAME, **work(store())})
        except Away as error:
            self.answer(503, {"api": NAME, "error": str(error)})
        finally:
            store().close()

    def shop(self, store):
        return {
            "visits": store.ask("INCR", "visits"),
            "waiting": store.ask("LLEN", "orders"),
            "packed": int(store.ask("GET", "packed") or 0),
            "latest": [json.loads(order) for order in store.ask("LRANGE", "latest", 0, ORDERS_SHOWN - 1)],
        }

    def order(self, store):
        number = store.ask("INCR", "number")
        store.ask("LPUSH", "orders", json.dumps({"order": number, "taken_by": NAME}))
        return {"order": number}

    def answer(self, status, body):
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def log_request(self, code="-", size="-"):
        if self.path != "/api/health":
            super().log_request(code, size)


class Server(ThreadingHTTPServer):
    daemon_threads = False  # asked to end, it finishes the requests it has
    request_queue_size = 128


def check():
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api/health", timeout=1) as answer:
        return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        sys.exit(check())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server(("", PORT), Api) as server:
        print(f"api {NAME} listens on {PORT}", flush=True)
        server.serve_forever()
