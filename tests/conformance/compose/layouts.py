"""Random folders of compose files that include and extend each other, with their own env files."""

from __future__ import annotations

import json
import posixpath
import random
from typing import Any

from conformance.compose.grammar import Made

FOLDERS = (".", "one", "one/deep", "two")


def _path(chance: random.Random, start: str, target: str) -> str:
    relative = posixpath.relpath(target, start)
    return chance.choice((relative, f"./{relative}" if not relative.startswith(".") else relative))


def _service(chance: random.Random, name: str) -> dict[str, Any]:
    made: dict[str, Any] = {"image": f"{name}:${{T-none}}", "labels": {"from": name, "v": "${V-none}${W-none}"}}
    if chance.random() < 0.5:
        made["volumes"] = [chance.choice(("./d:/d", "../up:/d", "/abs:/d", "~/h:/d"))]
    if chance.random() < 0.4:
        made["build"] = chance.choice((".", "./ctx", {"context": "../c", "additional_contexts": {"x": "./x"}}))
    if chance.random() < 0.4:
        made["env_file"] = chance.choice(("e.env", [{"path": "no.env", "required": False}], ["e.env", "./e.env"]))
    if chance.random() < 0.3:
        made["environment"] = chance.choice((["V", "T", "W"], {"T": None, "X": "${T-x}"}))
    return made


def _extends(chance: random.Random, folder: str, number: int, files: list[str]) -> Any:
    if chance.random() < 0.3:
        return f"s{number}b"
    target = chance.choice(files)
    return {"file": _path(chance, folder, target), "service": f"s{files.index(target)}{chance.choice(('a', 'b'))}"}


def _include(chance: random.Random, folder: str, later: list[str]) -> Any:
    path = _path(chance, folder, chance.choice(later))
    made: dict[str, Any] = {"path": path}
    if chance.random() < 0.4:
        return path
    if chance.random() < 0.4:
        made["project_directory"] = _path(chance, folder, chance.choice(FOLDERS))
    if chance.random() < 0.4:
        made["env_file"] = _path(chance, folder, chance.choice(("one/x.env", "two/y.env")))
    if chance.random() < 0.2 and len(later) > 1:
        made["path"] = [path, _path(chance, folder, chance.choice(later))]
    return made


def layout_project(chance: random.Random) -> Made:
    count = chance.randint(2, 4)
    folders = [".", *(chance.choice(FOLDERS) for _ in range(count - 1))]
    names = ["compose.yaml", *(posixpath.normpath(f"{folders[n]}/f{n}.yaml") for n in range(1, count))]
    made = Made({}, env={"W": "process"} if chance.random() < 0.5 else {})
    for number, name in enumerate(names):
        folder = folders[number]
        services = {f"s{number}{letter}": _service(chance, f"s{number}{letter}") for letter in "ab"}
        if chance.random() < 0.5:
            services[f"s{number}a"]["extends"] = _extends(chance, folder, number, names)
        model: dict[str, Any] = {"services": services}
        later = names[number + 1 :]
        if later and chance.random() < 0.6:
            model["include"] = [_include(chance, folder, later)]
        if chance.random() < 0.3:
            model["configs"] = {f"c{number}": {"file": "./c"}}
            services[f"s{number}b"]["configs"] = [f"c{number}"]
        made.files[name] = json.dumps(model, indent=1)
    for folder in FOLDERS:
        made.files[posixpath.normpath(f"{folder}/e.env")] = f"E={folder}\nV2=${{V-unset}}\n"
        if chance.random() < 0.4:
            made.files[posixpath.normpath(f"{folder}/.env")] = f"T={folder}\nV={folder}-v\nW={folder}-w\n"
    made.files["one/x.env"], made.files["two/y.env"] = "T=x\n", "V=y-$W\n"
    if chance.random() < 0.2:
        made.args += ["-f", "compose.yaml", "-f", names[-1]]
    if chance.random() < 0.15:
        made.args += ["--project-directory", chance.choice(FOLDERS)]
    if chance.random() < 0.15:
        made.config.append("--no-interpolate")
    return made
