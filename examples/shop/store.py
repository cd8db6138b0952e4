"""The shop's way to Redis: its wire protocol over one connection, made again whenever it breaks."""

import contextlib
import os
import socket
import time

ADDRESS = (os.environ.get("REDIS_HOST", "redis"), 6379)
TIMEOUT_S = 2.0


class Away(Exception):
    """Redis does not answer now."""


class Store:
    def __init__(self):
        self._connection = None
        self._stream = None

    def ask(self, *words, wait_s=0.0):
        """Sends one command and returns Redis' answer: str, int, list or None. Raises Away."""
        try:
            if self._stream is None:
                self._connection = socket.create_connection(ADDRESS, timeout=TIMEOUT_S)
                self._stream = self._connection.makefile("rwb")
            self._connection.settimeout(wait_s + TIMEOUT_S)
            parts = [str(word).encode() for word in words]
            self._stream.write(b"*%d\r\n" % len(parts))
            self._stream.writelines(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
            self._stream.flush()
            return self._answer()
        except (OSError, EOFError, ValueError) as error:
            self.close()
            raise Away(f"redis does not answer: {error}") from None

    def close(self):
        for part in (self._stream, self._connection):
            if part is not None:
                with contextlib.suppress(OSError):
                    part.close()
        self._connection = self._stream = None

    def _answer(self):
        line = self._stream.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("connection closed")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self._stream.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return None if rest == "-1" else [self._answer() for _ in range(int(rest))]
        raise ValueError(rest)


def patiently(store, *words, pause_s=0.5, **options):
    """As `ask`, but waits for Redis for as long as it takes."""
    while True:
        try:
            return store.ask(*words, **options)
        except Away as error:
            print(error, flush=True)
            time.sleep(pause_s)
