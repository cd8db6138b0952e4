"""Which images a Dockerfile begins from, as far as can be told without building it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_INSTRUCTION = re.compile(r"\s*(FROM|ARG|COPY)\s+(.*)", re.IGNORECASE | re.DOTALL)
_CONTINUED = re.compile(r"\\[ \t]*\r?\n")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:[-+])([^}]*))?\})")
_SCRATCH = "scratch"
_HEREDOC = re.compile(r"\s*(?:RUN|COPY|ADD)\b.*<<-?[\"']?\w", re.IGNORECASE)
_FLAGS = re.compile(
    r"\s*(?:RUN\s+(?:--\S+\s+)*--(?:mount|network|security)=|(?:COPY|ADD)\s.*--(?:link|chmod|parents|exclude|checksum)\b)",
    re.I,
)


def needs_buildkit(text: str) -> str:
    """The first line that the classic builder cannot read, or ""."""
    for line in _CONTINUED.sub(" ", text).splitlines():
        if _HEREDOC.match(line) or _FLAGS.match(line):
            return line.strip()
    return ""


def mounts_of_session(text: str) -> str:
    """The first line that wants a secret or an SSH agent of the machine that asks for the build, or ""."""
    for line in _CONTINUED.sub(" ", text).splitlines():
        if re.match(r"\s*RUN\s.*--mount=\S*type=(?:secret|ssh)", line, re.I):
            return line.strip()
    return ""


def base_images(text: str, arguments: Mapping[str, str]) -> tuple[str, ...]:
    """Of `FROM` and `COPY --from`, in their order. `arguments` are those given to the build."""
    known: dict[str, str] = {}
    stages: dict[str, None] = {}
    found: dict[str, None] = {}
    for line in _CONTINUED.sub(" ", text).splitlines():
        instruction = _INSTRUCTION.fullmatch(line)
        if instruction is None:
            continue
        words = instruction.group(2).split()
        match instruction.group(1).upper():
            case "ARG" if not stages and words:
                name, _, otherwise = words[0].partition("=")
                known[name] = arguments.get(name, _resolved(otherwise.strip("\"'"), known))
            case "FROM":
                rest = [word for word in words if not word.startswith("--")]
                if rest:
                    found[_resolved(rest[0], known)] = None
                    named = rest[2] if len(rest) > 2 and rest[1].lower() == "as" else ""
                    found = {image: None for image in found if image not in stages}
                    stages[named.lower() or str(len(stages))] = None
            case "COPY":
                source = next((word[7:] for word in words if word.startswith("--from=")), "")
                if source and source.lower() not in stages and not source.isdigit():
                    found[_resolved(source, known)] = None
    return tuple(image for image in found if image and image != _SCRATCH)


def _resolved(text: str, known: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(2)
        given = known.get(name, "")
        match match.group(3):
            case ":-":
                return given or match.group(4)
            case ":+":
                return match.group(4) if given else ""
        return given

    return _VARIABLE.sub(value, text)
