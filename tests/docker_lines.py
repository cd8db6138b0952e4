"""Shell lines with the docker command line in them, run against some endpoint; what of their output is to be alike.

A file of lines is run from top to bottom, and leaves nothing behind. `# differs: why` speaks of the next line, and
`# all differ: why` of all that follow. `$REGISTRY` is a registry on the engine's loopback address.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

LINE_TIMEOUT_S = 60

_SAME = (
    (r"\x1b\[[0-9;?]*[a-zA-Z]|\r|\^@|\x00", ""),
    (r"(See|Run) 'docker run --help'.*", ""),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d\d:?\d\d( [A-Z]+)?|Z)?", "TIME"),
    (r"(sha256:)?\b[0-9a-f]{64}\b", "ID"),
    (r"\b(?=[a-z]*[0-9])[0-9a-z]{25}\b", "ID"),
    (r"\b(?=[0-9]*[a-f])[0-9a-f]{12}\b", "ID"),
    (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "MAC"),
    (r"\b(10|172)\.\d+\.\d+\.\d+\b", "ADDRESS"),
    (r"\b(Less than a second|About an? (minute|hour)|\d+ (seconds?|minutes?|hours?))( ago)?", "AGO"),
    (r"\b\d+(\.\d+)? ?([kMG]i?)?B\b", "SIZE"),
    (r"\b\d+(\.\d+)?s\b", "DURATION"),
    (r"\b\d+(\.\d+)?%", "PERCENT"),
    (r"[ \t]+", " "),
)


class Line(NamedTuple):
    """`why`: the reason for which a cluster says something else."""

    text: str
    why: str = ""


def lines_of(file: Path) -> list[Line]:
    found: list[Line] = []
    here = rest = ""
    for text in file.read_text().splitlines():
        if text.startswith("# differs: "):
            here = text.removeprefix("# differs: ")
        elif text.startswith("# all differ: "):
            rest = text.removeprefix("# all differ: ")
        elif text:
            found.append(Line(text, here or rest))
            here = ""
    return found


class Said(NamedTuple):
    """What a line came to, without what is different each time."""

    code: int
    out: str
    err: str


class Endpoint:
    """A directory and a configuration of its own, so that two may be used at once."""

    def __init__(self, host: str, folder: Path, more: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        config = folder / "docker"
        config.mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TERM") if name in os.environ}
        self.environment = {
            **kept,
            "DOCKER_HOST": host,
            "DOCKER_CONFIG": str(config),
            "LANG": "C.UTF-8",
            **(more or {}),
        }

    def say(self, line: str) -> Said:
        done = subprocess.run(
            ["timeout", "-k", "2", str(LINE_TIMEOUT_S), "bash", "-c", line], cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return Said(done.returncode, alike(out), alike(err))


def alike(text: str) -> str:
    """Without ids, times, addresses and sizes; of JSON objects the names of their fields remain."""
    shape = _shape_of(text)
    if shape is not None:
        return "\n".join(shape)
    for pattern, instead in _SAME:
        text = re.sub(pattern, instead, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


def _shape_of(text: str) -> list[str] | None:
    if not text.startswith(("[", "{")):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return sorted(dict.fromkeys(_paths(found, "")))


def _paths(value: Any, at: str) -> Iterable[str]:
    """`a.b[].c`; networks go by other names in a cluster."""
    match value:
        case dict() if value:
            for key, inner in value.items():
                yield from _paths(inner, f"{at}.{'NAME' if at.endswith('.Networks') else key}")
        case list() if value:
            for inner in value:
                yield from _paths(inner, f"{at}[]")
        case _:
            yield at
