"""Which handler answers which method and path.

Patterns are paths with `{name}` for one part and `{name:path}` for several (image names have slashes); the first that
fits wins, so special ones are registered first. Versions are cut off before: `/v1.41/info` is `/info`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from paddock.gateway.client import Answer
from paddock.gateway.problems import ApiProblem

if TYPE_CHECKING:
    from paddock.gateway.call import Call

Handler = Callable[["Call"], Awaitable[Answer | None]]
"""None: the handler has sent the answer itself."""
_PART = re.compile(r"\{(\w+)(:path)?\}")


class Route(NamedTuple):
    method: str
    pattern: re.Pattern[str]
    handler: Handler


class Router:
    def __init__(self) -> None:
        self._routes: list[Route] = []

    def add(self, method: str, pattern: str, handler: Handler) -> None:
        self._routes.append(Route(method, _compiled(pattern), handler))

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """Raises `ApiProblem` as the engine says it."""
        for route in self._routes:
            if route.method == method and (found := route.pattern.fullmatch(path)):
                return route.handler, found.groupdict()
        raise ApiProblem(404, "page not found")


def _compiled(pattern: str) -> re.Pattern[str]:
    text, at = "", 0
    for part in _PART.finditer(pattern):
        text += re.escape(pattern[at : part.start()])
        text += f"(?P<{part.group(1)}>{'.+' if part.group(2) else '[^/]+'})"
        at = part.end()
    return re.compile(text + re.escape(pattern[at:]))
