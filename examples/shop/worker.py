"""A worker of the shop: takes the oldest order from Redis, packs it, and says so."""

import json
import signal
import socket
import sys

from store import Store, patiently

NAME = socket.gethostname()
WAIT_S = 5
KEPT = 50


def pack(store, text):
    order = {**json.loads(text), "packed_by": NAME}
    patiently(store, "INCR", "packed")
    patiently(store, "LPUSH", "latest", json.dumps(order))
    patiently(store, "LTRIM", "latest", 0, KEPT - 1)
    print(f"packed order {order['order']}, taken by {order['taken_by']}", flush=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    store = Store()
    print(f"worker {NAME} waits for orders", flush=True)
    while True:
        found = patiently(store, "BRPOP", "orders", WAIT_S, wait_s=WAIT_S)
        if found:
            pack(store, found[1])


if __name__ == "__main__":
    main()
