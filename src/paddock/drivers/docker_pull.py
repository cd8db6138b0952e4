"""How far a pull is, from the lines the engine sends."""

from __future__ import annotations

from typing import Any

from paddock.core.images.reference import registry_of
from paddock.model.errors import PaddockError, Transient

_SAY_EVERY_PERCENT = 10
_PASSING = (
    "timeout", "i/o timeout", "connection refused", "connection reset", "no such host", "dial tcp", "lookup ",
    "tls handshake", "eof", "toomanyrequests", "too many requests", "service unavailable", "bad gateway",
    "server misbehaving", "network is unreachable", "no route to host",
)  # fmt: skip
"""Words of an engine whose registry did not answer just now."""


_LOGIN = ("no basic auth", "unauthorized", "authentication required", "access denied", "denied:", "forbidden")


class PullProgress:
    """Layer sizes known so far; speaks only when another tenth is done."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._layers: dict[str, tuple[int, int]] = {}
        self._said = -1

    def hear(self, line: dict[str, Any]) -> str:
        """What to say now, or ""."""
        detail = line.get("progressDetail") or {}
        layer = str(line.get("id", ""))
        if line.get("status") == "Downloading" and detail.get("total"):
            self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif line.get("status") in ("Download complete", "Pull complete") and layer in self._layers:
            total = self._layers[layer][1]
            self._layers[layer] = (total, total)
        total = sum(size for _, size in self._layers.values())
        percent = 100 * sum(done for done, _ in self._layers.values()) // total if total else 0
        tenth = percent // _SAY_EVERY_PERCENT
        if tenth == self._said:
            return ""
        self._said = tenth
        return f"pulling {self._image}: {percent} %"


def pull_error(image: str, message: str, refused: type[PaddockError]) -> PaddockError:
    """A registry that does not answer may do so later; an image that does not exist will not come to be."""
    lowered = message.lower()
    if any(word in lowered for word in _PASSING):
        return Transient(message)
    hint = f": see `paddock registry login {registry_of(image)}`" if any(word in lowered for word in _LOGIN) else ""
    return refused(f"{image} could not be pulled: {message}{hint}")
