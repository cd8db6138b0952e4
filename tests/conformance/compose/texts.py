"""Random small texts where the rules are finest: templates, env files, commands, ports, mounts, sizes, scalars."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from conformance.compose.grammar import Made

ENV = {"V": "vee", "E": "", "N": "3"}


def _joined(chance: random.Random, parts: tuple[str, ...], most: int) -> str:
    return "".join(chance.choice(parts) for _ in range(chance.randint(1, most)))


TEMPLATE = (
    "$",
    "${",
    "}",
    "V",
    "E",
    "U",
    ":-",
    "-",
    ":?",
    "?",
    ":+",
    "+",
    "$$",
    "${V}",
    "${U:-",
    "${E-",
    "a",
    " ",
    ":",
    "{",
    "$V",
    "${V:+",
    "5",
    "_",
    ".",
)
ENV_TEXT = (
    "A=",
    "B=",
    "1",
    '"',
    "'",
    "\n",
    " ",
    "#",
    " #",
    "$V",
    "${A}",
    "\\n",
    "\\",
    "\\$",
    "export ",
    "x",
    ":",
    "C",
    "é",
    "=",
    "\t",
    '\\"',
    "\\0101",
    "$$",
    "-",
    ".",
    "[",
    "]",
    "\r\n",
)
COMMAND = (
    "a",
    "b",
    " ",
    '"',
    "'",
    "\\",
    "$",
    "(",
    ")",
    "`",
    ";",
    "|",
    ">",
    "<",
    "&",
    "1",
    "\t",
    "\n",
    "#",
    "=",
    "$(",
    "{",
    "}",
    "*",
)
PORT = (
    "80",
    "-",
    ":",
    "8080",
    "/",
    "tcp",
    "udp",
    "127.0.0.1",
    "[::1]",
    "::1",
    "0",
    "65535",
    "65536",
    "81",
    "9",
    " ",
    "a",
    "10-12",
    "20-22",
)
MOUNT = (
    "a",
    "/",
    ":",
    ".",
    "..",
    "~",
    "ro",
    "rw",
    "z",
    ",",
    "nocopy",
    "C:",
    "\\",
    "data",
    "/x",
    "./y",
    "cached",
    "rshared",
    "é",
    "//",
)
DURATION = ("1", "5", "0", ".", "s", "m", "h", "ms", "us", "ns", "-", "+", "d", "90", "µs", " ")
SIZE = ("1", "5", "0", ".", "k", "m", "g", "b", "kb", "kib", "t", "p", " ", "-", "K", "1e3", "x", "_")
SCALAR = (
    "1",
    "0",
    "x",
    "o",
    "b",
    ".",
    "_",
    "e",
    "-",
    "+",
    ":",
    "5",
    "7",
    "9",
    "E",
    "true",
    "no",
    "~",
    "null",
    "2020-01-02",
    "T",
    "Z",
    "inf",
    "nan",
    "8",
    "10:20",
    "<<",
    "=",
    "0x",
    "f",
)
HOST = ("a", ":", "=", "1.1.1.1", "::1", "[", "]", ",", "b", "", "[::2]")
NAME = ("a", "A", "1", "-", "_", ".", " ", "é", "$V", "${U}")


def _quoted(place: str, parts: tuple[str, ...], most: int) -> Callable[[random.Random], Made]:
    def make(chance: random.Random) -> Made:
        text = json.dumps(_joined(chance, parts, most), ensure_ascii=False)
        return Made({"compose.yaml": place.replace("TEXT", text)}, env=dict(ENV))

    return make


def _plain_scalar(chance: random.Random) -> Made:
    text = _joined(chance, SCALAR, 6)
    place = chance.choice(
        (
            "environment: {A: TEXT}",
            "labels:\n      A: TEXT",
            "cpus: TEXT",
            "scale: TEXT",
            "image: TEXT",
            "x-a: TEXT",
            "privileged: TEXT",
            "mem_limit: TEXT",
            "ports: [TEXT]",
        )
    )
    extra = "" if place.startswith("image") else "image: x\n    "
    top = f"x-top: {text}\n" if chance.random() < 0.3 else ""
    return Made({"compose.yaml": f"services:\n  a:\n    {extra}{place.replace('TEXT', text)}\n{top}"}, env=dict(ENV))


def _env_file(chance: random.Random) -> Made:
    text = _joined(chance, ENV_TEXT, 14)
    name = chance.choice(("a.env", ".env"))
    service = "services: {a: {image: x, env_file: a.env, environment: {Z: '${A}'}}}\n"
    return Made({"compose.yaml": service, "a.env": "", name: text}, env=dict(ENV))


def _project_name(chance: random.Random) -> Made:
    text = _joined(chance, NAME, 5)
    made = Made({"compose.yaml": "services: {a: {image: x}}\n"}, env=dict(ENV))
    if chance.random() < 0.5:
        made.files["compose.yaml"] += f"name: {json.dumps(text)}\n"
    else:
        made.env["COMPOSE_PROJECT_NAME"] = text
    return made


KINDS = (
    _quoted("services: {a: {image: x, labels: {l: TEXT}}}", TEMPLATE, 10),
    _quoted("services: {a: {image: x, command: TEXT}}", COMMAND, 12),
    _quoted("services: {a: {image: x, ports: [TEXT]}}", PORT, 6),
    _quoted("services: {a: {image: x, volumes: [TEXT]}}\nvolumes: {a: , data: }", MOUNT, 6),
    _quoted("services: {a: {image: x, stop_grace_period: TEXT}}", DURATION, 6),
    _quoted("services: {a: {image: x, mem_limit: TEXT}}", SIZE, 4),
    _quoted("services: {a: {image: x, extra_hosts: [TEXT]}}", HOST, 5),
    _quoted("services: {a: {image: x, build: TEXT}}", MOUNT, 5),
    _quoted("services: {a: {image: x, devices: [TEXT]}}", MOUNT, 5),
    _quoted("services: {a: {image: x, environment: [TEXT]}}", ENV_TEXT, 6),
    _plain_scalar,
    _plain_scalar,
    _env_file,
    _env_file,
    _project_name,
)


def text_project(chance: random.Random) -> Made:
    return chance.choice(KINDS)(chance)
