"""Grows random compose projects: mostly valid, at times with a slip, over one or several files."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from conformance.compose.grammar_fields import (
    CONFIG,
    FILE_OBJECTS,
    NAME,
    NETWORK,
    NETWORKS,
    SCALAR,
    SECRET,
    SERVICE,
    SERVICES,
    VOLUME,
    VOLUMES,
    Make,
    pick,
)


@dataclass
class Made:
    files: dict[str, str]
    args: list[str] = field(default_factory=list)
    config: list[str] = field(default_factory=lambda: ["--format", "json"])
    env: dict[str, str] = field(default_factory=dict)


SLIPS: tuple[Make, ...] = (
    pick(None),
    pick(5),
    pick("text"),
    pick([]),
    pick({}),
    pick([{}]),
    pick(True),
    pick({"bad": 1}),
    pick(1.5),
    pick("${X"),
    pick("${M:?must}"),
)


def _downward(made: dict[str, Any], name: str, chance: random.Random) -> dict[str, Any]:
    """Mostly, references only point to services further down, so that there is no cycle."""
    if chance.random() < 0.03:
        return made
    lower = SERVICES[SERVICES.index(name) + 1 :] if name in SERVICES else ()
    for key in ("depends_on", "links", "volumes_from", "network_mode", "ipc", "extends"):
        text = json.dumps(made.get(key))
        if any(other in text for other in SERVICES if other not in lower) and ".yaml" not in text:
            del made[key]
    if "network_mode" in made:
        made.pop("networks", None)
    return made


def service(chance: random.Random, *, whole: bool, name: str = "app") -> dict[str, Any]:
    keys = chance.sample(sorted(SERVICE), chance.randint(1, 6))
    made = {key: SERVICE[key](chance) for key in keys}
    if whole:
        made.setdefault("image", NAME(chance))
    made = _downward(made, name, chance)
    if chance.random() < 0.015:
        made[chance.choice(sorted(SERVICE))] = chance.choice(SLIPS)(chance)
    return made


def compose_file(chance: random.Random, *, whole: bool) -> dict[str, Any]:
    names = SERVICES if whole else chance.sample(SERVICES, chance.randint(0, 2))
    model: dict[str, Any] = {"services": {name: service(chance, whole=whole, name=name) for name in names}}
    for section, known, make in (
        ("networks", NETWORKS, NETWORK),
        ("volumes", VOLUMES, VOLUME),
        ("secrets", FILE_OBJECTS, SECRET),
        ("configs", FILE_OBJECTS, CONFIG),
    ):
        count = len(known) if whole and chance.random() < 0.9 else chance.randint(0, 1)
        if count:
            model[section] = {name: make(chance) for name in known[:count]}
    if chance.random() < 0.2:
        model["x-top"] = SCALAR(chance)
    if chance.random() < 0.2:
        model["name"] = chance.choice(("proj", "P.r_o-j", "n${V}"))
    return model


def _written(model: dict[str, Any], chance: random.Random) -> str:
    """JSON is YAML; now and then a tag resets or replaces a value, or a plain scalar stands unquoted."""
    lines = []
    for section, items in model.items():
        if not isinstance(items, dict) or not items:
            lines.append(f"{section}: {json.dumps(items)}")
            continue
        lines.append(f"{section}:")
        for name, item in items.items():
            if not isinstance(item, dict) or not item:
                lines.append(f"  {name}: {json.dumps(item)}")
                continue
            lines.append(f"  {name}:")
            for key, value in item.items():
                tag = chance.choice(("!reset ", "!override ")) if chance.random() < 0.02 else ""
                plain = isinstance(value, str) and value.isalpha() and chance.random() < 0.3
                lines.append(f"    {key}: {tag}{value if plain else json.dumps(value)}")
    return "\n".join(lines) + "\n"


def project(chance: random.Random) -> Made:
    files = {"compose.yaml": _written(compose_file(chance, whole=True), chance)}
    if chance.random() < 0.4:
        files["compose.override.yaml"] = _written(compose_file(chance, whole=False), chance)
    files["a.env"] = "A=1\nB=${V}-${A}\nC='q'\nHOST\n"
    files["b.env"] = 'A="two $A"\n# note\nexport D=4 # c\n'
    files["sub/b.env"] = files["sub/a.env"] = "SUB=1\n"
    files["ext.yaml"] = _written({"services": {"base": service(chance, whole=True)}}, chance)
    files["sub/ext.yaml"] = _written(
        {"services": {"base": service(chance, whole=True), "db": service(chance, whole=True)}}, chance
    )
    made = Made(files, env={"V": "vee", "E": "", "B": "true", "N": "3", "P": "8080", "HOST": "h"})
    if chance.random() < 0.15:
        files["inc.yaml"] = _written({"services": {"inc": service(chance, whole=True)}}, chance)
        files["compose.yaml"] += (
            f"include: [{chance.choice(('inc.yaml', '{path: inc.yaml, project_directory: sub}'))}]\n"
        )
    if chance.random() < 0.3:
        made.args += ["--profile", chance.choice(("p", "q", "*"))]
    if chance.random() < 0.1:
        made.args += ["-p", "given"]
    if chance.random() < 0.15:
        made.config.append("--no-interpolate")
    elif chance.random() < 0.1:
        made.config.append(chance.choice(SERVICES))
    elif chance.random() < 0.15:
        made.config = [chance.choice(("--services", "--volumes", "--images", "--profiles"))]
    return made
