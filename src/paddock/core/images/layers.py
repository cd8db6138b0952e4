"""Layers and how engines call them: by their contents, by their chain, and in what `docker save` writes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

_EMPTY_CONFIG: dict[str, object] = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False, "AttachStderr": False,
    "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": None, "Cmd": None, "Image": "", "Volumes": None,
    "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": None,
}  # fmt: skip


def in_common(wanted: Sequence[str], held: Iterable[Sequence[str]]) -> int:
    """How many of the lowest layers of `wanted` lie in the same order below one of `held`: those need not be sent.

    A layer counts only with all below it, since engines know layers by their chain (image-spec, ChainID).
    """
    return max((_same(wanted, layers) for layers in held), default=0)


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return min(len(one), len(other))


def chain_ids(layers: Sequence[str]) -> tuple[str, ...]:
    chains: list[str] = []
    for layer in layers:
        chains.append(_sha256(f"{chains[-1]} {layer}".encode()) if chains else layer)
    return tuple(chains)


def directories(layers: Sequence[str]) -> tuple[str, ...]:
    """What engines before 25 call the directories of all layers but the last in what they save.

    The name is the id that the layer would have had as an image of Docker 1.9 (moby image/v1, CreateID); the last one's
    depends on the image's configuration as well.
    """
    names: list[str] = []
    for chain in chain_ids(layers)[:-1]:
        config: dict[str, object] = {
            "container_config": _EMPTY_CONFIG, "created": "1970-01-01T00:00:00Z", "layer_id": chain,
        }  # fmt: skip
        if names:
            config["parent"] = f"sha256:{names[-1]}"
        names.append(_sha256(msgspec.json.encode(config)).removeprefix("sha256:"))
    return tuple(names)


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
