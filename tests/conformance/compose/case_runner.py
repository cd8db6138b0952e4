"""One recorded case: its folder, the command line it stands for, and how Paddock and docker compose answer it.

A case folder holds compose files and `case.json`: `args` (before `config`), `config` (after it; default
`--format json`), `env`, `cwd` (a folder inside the case), `stdin`, and `beyond`: why Paddock reads what docker compose
2.26 refuses. `expected.json`, `.yaml` or `.txt` is what docker compose printed, `expected-error.txt` why it refused;
`paddock.json` is what Paddock makes of a case beyond. Folders appear as `/case/NAME`, home is `/home/tester`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from conformance.compose.disk import RealDisk
from paddock.core import compose
from paddock.core.compose import Options

CASES = Path(__file__).parent / "cases"
HOME = "/home/tester"
RECORDED = ("case.json", "expected.json", "expected.txt", "expected.yaml", "expected-error.txt", "paddock.json")
LISTS = ("--services", "--volumes", "--images", "--profiles", "--hash")


@dataclass(frozen=True)
class Case:
    name: str
    folder: Path
    args: tuple[str, ...] = ()
    config: tuple[str, ...] = ("--format", "json")
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "."
    stdin: str = ""
    beyond: str = ""

    @property
    def prints_json(self) -> bool:
        return "json" in self.config

    @property
    def answer(self) -> str:
        """The file that holds what docker compose printed."""
        if self.prints_json:
            return "expected.json"
        return "expected.txt" if any(flag in LISTS for flag in self.config) else "expected.yaml"


def read_case(folder: Path) -> Case:
    fields = json.loads((folder / "case.json").read_text())
    fields["args"] = tuple(fields.get("args", ()))
    fields["config"] = tuple(fields.get("config", ("--format", "json")))
    return Case(name=folder.name, folder=folder, **fields)


def all_cases() -> list[Case]:
    return [read_case(folder) for folder in sorted(CASES.iterdir()) if (folder / "case.json").exists()]


def options_of(case: Case) -> tuple[Options, argparse.Namespace]:
    """What the command line of a case asks for."""
    before = argparse.ArgumentParser()
    before.add_argument("-f", "--file", action="append", default=[])
    before.add_argument("-p", "--project-name", default="")
    before.add_argument("--profile", action="append", default=[])
    before.add_argument("--env-file", action="append", default=[])
    before.add_argument("--project-directory", default="")
    after = argparse.ArgumentParser()
    for flag in ("--services", "--volumes", "--images", "--profiles"):
        after.add_argument(flag, action="store_true")
    after.add_argument("--hash", default="")
    for flag in ("--no-interpolate", "--no-normalize", "--no-path-resolution", "--no-consistency"):
        after.add_argument(flag, action="store_true")
    after.add_argument("--format", default="yaml")
    after.add_argument("names", nargs="*")
    first, second = before.parse_args(case.args), after.parse_args(case.config)
    root = f"/case/{case.name}"
    env = {key: value.replace("{CASE}", root) for key, value in case.env.items()}
    listing = second.services or second.volumes or second.images or second.profiles or second.hash
    return (
        Options(
            working_dir=os.path.normpath(f"{root}/{case.cwd}"),
            files=tuple(first.file),
            environment={"PATH": "/usr/bin", "HOME": HOME, **env},
            env_files=tuple(first.env_file),
            profiles=tuple(first.profile),
            project_name=first.project_name,
            project_directory=first.project_directory,
            services=tuple(second.names),
            stdin=case.stdin,
            interpolate=not second.no_interpolate,
            normalize=not second.no_normalize,
            resolve_paths=not second.no_path_resolution,
            consistency=not second.no_consistency,
            resolve_environment=not listing,
        ),
        second,
    )


def ours(case: Case) -> str:
    """What Paddock prints. Raises Invalid."""
    options, flags = options_of(case)
    project = compose.load(options, RealDisk(f"/case/{case.name}", str(case.folder)))
    if flags.hash:
        hashes = compose.service_hashes(project)
        wanted = sorted(hashes) if flags.hash == "*" else flags.hash.split(",")
        return "".join(f"{name} {hashes[name]}\n" for name in wanted)
    lists = (
        (flags.services, compose.service_names),
        (flags.volumes, compose.volume_names),
        (flags.images, compose.image_names),
        (flags.profiles, compose.profile_names),
    )
    for asked, names in lists:
        if asked:
            return "".join(f"{name}\n" for name in sorted(names(project)))
    return compose.render_json(project) if case.prints_json else compose.render_yaml(project)


def theirs(case: Case, binary: str) -> tuple[bool, str]:
    """Whether docker compose accepts the case, and what it prints or why it refuses."""
    with tempfile.TemporaryDirectory() as top:
        root = Path(top) / "case" / case.name
        shutil.copytree(case.folder, root, ignore=shutil.ignore_patterns(*RECORDED))
        env = {key: value.replace("{CASE}", str(root)) for key, value in case.env.items()}
        done = subprocess.run(
            [binary, *case.args, "config", *case.config],
            cwd=root / case.cwd,
            env={"PATH": "/usr/bin", "HOME": HOME, "DOCKER_CONFIG": f"{top}/none", **env},
            input=case.stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if not line.startswith("time=")]
            return False, "\n".join(lines).replace(top, "").strip() + "\n"
        text = done.stdout.replace(f'"{top}"', '"/"').replace(top, "")
        lines = sorted(text.splitlines(keepends=True))
        return True, "".join(lines) if case.answer == "expected.txt" else text
