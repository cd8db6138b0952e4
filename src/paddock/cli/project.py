"""Compose files of the client's machine, read for the commands that take them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

from paddock.cli.command import Option
from paddock.cli.output import say
from paddock.core.compose import Options, Project, load
from paddock.core.stack import Translated, from_project

FILE = Option(
    [], "--file", "-f", metavar="FILE", help="A compose file; several are merged, the later ones win. `-` is stdin."
)
NAME = Option("", "--project-name", "-p", metavar="STACK", help="The stack's name.")
ENV_FILE = Option([], "--env-file", metavar="FILE", help="A file of variables, in place of .env.")
PROFILE = Option([], "--profile", metavar="NAME", help="Services of this profile too.")
DIRECTORY = Option("", "--project-directory", metavar="DIRECTORY", help="What relative paths begin at.")


class Disk:
    """`paddock.core.compose.Files` on this machine."""

    def read(self, path: str) -> str | None:
        try:
            return Path(path).read_text(encoding="utf-8")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, UnicodeDecodeError):
            return None

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def is_dir(self, path: str) -> bool:
        return os.path.isdir(path)


class Asked(NamedTuple):
    """What the options above said."""

    files: tuple[str, ...] = ()
    name: str = ""
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    directory: str = ""
    services: tuple[str, ...] = ()


def options(asked: Asked) -> Options:
    return Options(
        working_dir=os.getcwd(),
        files=asked.files,
        environment=dict(os.environ),
        env_files=asked.env_files,
        profiles=asked.profiles,
        project_name=asked.name,
        project_directory=asked.directory,
        services=asked.services,
        stdin=sys.stdin.read() if "-" in asked.files else "",
    )


def read_project(asked: Asked) -> Project:
    """Raises `Invalid`. Warnings are told."""
    project = load(options(asked), Disk())
    for warning in project.warnings:
        say(f"warning: {warning}")
    return project


def read_stack(asked: Asked) -> Translated:
    """Raises `Invalid` with everything that a cluster cannot do. Warnings are told."""
    translated = from_project(read_project(asked), lambda path: Path(path).read_bytes())
    for warning in translated.warnings:
        say(f"warning: {warning}")
    return translated
