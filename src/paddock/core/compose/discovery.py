"""Finds what to read: compose files, the directory of the project, its environment and its name."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

import msgspec

from .dotenv import BadEnvFile, parse
from .files import Files, Options, absolute
from .go_text import flag
from .report import Report
from .tree import Mark

FILE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDE_NAMES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """`files` are absolute paths or `-`; `environment` includes what env files add."""

    files: tuple[str, ...]
    working_dir: str
    environment: Mapping[str, str]
    profiles: tuple[str, ...]


def discover(options: Options, disk: Files, report: Report) -> Found:
    """Two rounds, as compose does: an env file may itself name the compose files. Raises Invalid."""
    env_files = options.env_files
    if not env_files and options.environment.get("COMPOSE_ENV_FILES"):
        env_files = tuple(options.environment["COMPOSE_ENV_FILES"].split(","))
    settings = msgspec.structs.replace(options, env_files=env_files)
    first = _round(settings, options.environment, disk, report)
    report.stop()
    second = _round(settings, first.environment, disk, report)
    report.stop()
    if not second.files:
        report.add(
            f"no compose file in {options.working_dir} or any parent directory",
            hint=f"name one with --file, or create {FILE_NAMES[0]}",
        )
        report.stop()
    return second


def _round(options: Options, environment: Mapping[str, str], disk: Files, report: Report) -> Found:
    files = tuple(name if name == "-" else absolute(name, options.working_dir) for name in options.files)
    files = files or _from_environment(options, environment, disk, report)
    directory = absolute(options.project_directory, options.working_dir) if options.project_directory else ""
    files = files or _search(directory or options.working_dir, disk, report)
    named = [name for name in files if name != "-"]
    directory = directory or (posixpath.dirname(named[0]) if named else options.working_dir)
    env_files = tuple(absolute(name, options.working_dir) for name in options.env_files)
    if not env_files and not flag(environment.get("COMPOSE_DISABLE_ENV_FILE", "")):
        default = posixpath.join(directory, ".env")
        env_files = (default,) if disk.exists(default) and not disk.is_dir(default) else ()
    found = read_env_files(env_files, environment, disk, report)
    if "" in found:
        report.add("a variable without a name", mark=Mark(env_files[-1], 0), hint="write NAME=value")
    known = {**found, **environment}
    profiles = options.profiles or tuple(part.strip() for part in known.get("COMPOSE_PROFILES", "").split(","))
    return Found(files=files, working_dir=directory, environment=known, profiles=tuple(profiles))


def _from_environment(options: Options, environment: Mapping[str, str], disk: Files, report: Report) -> tuple[str, ...]:
    if "COMPOSE_FILE" not in environment:
        return ()
    separator = environment.get("COMPOSE_PATH_SEPARATOR") or ":"
    files = []
    for name in environment["COMPOSE_FILE"].split(separator):
        path = name if name == "-" else absolute(name, options.working_dir)
        if path != "-" and not disk.exists(path):
            report.add(f"COMPOSE_FILE names {path}, and there is no such file", mark=Mark(path, 0))
        files.append(path)
    return tuple(files)


def _search(directory: str, disk: Files, report: Report) -> tuple[str, ...]:
    while True:
        found = [path for path in (posixpath.join(directory, name) for name in FILE_NAMES) if disk.exists(path)]
        if found:
            if len(found) > 1:
                report.warn(f"Found multiple config files with supported names: {', '.join(found)}; using {found[0]}")
            overrides = [
                path for path in (posixpath.join(directory, name) for name in OVERRIDE_NAMES) if disk.exists(path)
            ]
            return (found[0], *overrides[:1])
        parent = posixpath.dirname(directory)
        if parent == directory:
            return ()
        directory = parent


def read_env_files(
    paths: tuple[str, ...], environment: Mapping[str, str], disk: Files, report: Report
) -> dict[str, str]:
    """Variables of `.env`-like files; a later file may use what an earlier one set."""
    found: dict[str, str] = {}
    for path in paths:
        if disk.is_dir(path):
            report.add(f"{path} is a directory, not an env file", mark=Mark(path, 0))
            continue
        text = disk.read(path)
        if text is None:
            report.add(f"couldn't find env file {path}", mark=Mark(path, 0))
            continue

        def lookup(name: str) -> str | None:
            return environment.get(name, found.get(name))

        try:
            found.update(parse(text, lookup, report.warn))
        except BadEnvFile as error:
            report.add(str(error), mark=Mark(path, error.line))
    return found


def normal_name(text: str) -> str:
    return "".join(re.findall(r"[a-z0-9_-]", text.lower())).lstrip("_-")


def check_name(name: str, source: str, report: Report) -> None:
    if normal_name(name) != name:
        message = (
            f"invalid project name {name!r} from {source}: it must consist only of lowercase letters, digits, "
            "hyphens and underscores, and start with a letter or digit"
        )
        report.add(message, hint=f"try {normal_name(name)!r}" if normal_name(name) else "")
