"""Names of containers: which are allowed, and made up ones for those who give none."""

from __future__ import annotations

import re

from paddock.gateway.problems import ApiProblem
from paddock.world.world import World

_ALLOWED = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ADJECTIVES = (
    "brave", "bright", "calm", "clever", "eager", "fair", "fond", "gentle", "glad", "keen", "kind", "lively", "lucid",
    "mellow", "merry", "neat", "noble", "patient", "quiet", "quick", "sharp", "sunny", "swift", "tidy", "warm", "witty",
)  # fmt: skip
_NOUNS = (
    "alder", "aspen", "badger", "beech", "birch", "clover", "crane", "falcon", "fern", "finch", "foal", "hazel",
    "heron", "ibis", "larch", "linden", "lynx", "maple", "marten", "oak", "otter", "plover", "poplar", "rowan", "stoat",
    "willow",
)  # fmt: skip


def checked_name(name: str) -> str:
    """Without the slash some put before it. Raises `ApiProblem` (400)."""
    if not _ALLOWED.fullmatch(name):
        raise ApiProblem(400, f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return name.removeprefix("/")


def made_up_name(world: World) -> str:
    """`quiet_otter_3f9c`: wide enough that a second try is rare."""
    number = int(world.chance.hex(8), 16)
    adjective = _ADJECTIVES[number % len(_ADJECTIVES)]
    noun = _NOUNS[number // len(_ADJECTIVES) % len(_NOUNS)]
    return f"{adjective}_{noun}_{world.chance.hex(4)}"
