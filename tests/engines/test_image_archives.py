"""What an engine saves, without the layers another has, is what an engine takes: on whatever engine is tested with."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import pytest

from engines.one_engine import IMAGE, Machine, machine, shared_machine
from paddock.core.images.layers import in_common
from paddock.core.images.saved import SavedFilter
from paddock.model.images import SaveImage
from paddock.server.image_copies import load
from paddock.wire.engine_errors import EngineError
from paddock.wire.engine_http import EngineHttp, unix_dial
from paddock.wire.engine_images import held_images

__all__ = ["machine", "shared_machine"]
pytestmark = pytest.mark.engines
LAYER_BYTES = 200_000


async def build(http: EngineHttp, name: str, base: str, *files: str) -> str:
    out = io.BytesIO()
    lines = [f"FROM {base}", *(f"COPY {file} /{file}" for file in files)]
    with tarfile.open(fileobj=out, mode="w") as tar:
        for file, content in [
            ("Dockerfile", "\n".join(lines).encode()),
            *((f, os.urandom(LAYER_BYTES)) for f in files),
        ]:
            entry = tarfile.TarInfo(file)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))

    async def body() -> AsyncIterator[bytes]:
        yield out.getvalue()

    async with http.stream("POST", "/build", query={"t": name}, body=body(), idle_timeout_s=60.0) as answer:
        said = [line async for line in answer.json_lines()]
    assert "error" not in said[-1], said
    return name


async def saved(http: EngineHttp, save: SaveImage) -> bytes:
    passing = SavedFilter(save)
    async with http.stream("GET", "/images/get", query={"names": save.image}, idle_timeout_s=60.0) as answer:
        data = b"".join([passing.feed(chunk) async for chunk in answer.chunks()])
    assert passing.done
    return data


async def taken(http: EngineHttp, data: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 65536):
            yield data[at : at + 65536]

    await load(http, pieces())


async def removed(http: EngineHttp, name: str) -> None:
    await http.call("DELETE", f"/images/{name}", query={"force": 1})


def test_an_image_comes_back_from_its_lacking_layers(machine: Machine) -> None:
    async def scene() -> None:
        http = EngineHttp(unix_dial(str(machine.socket)))
        try:
            low = await build(http, "low:1", IMAGE, "a", "b")
            high = await build(http, "high:1", low, "c", "d")
            whole = await held_images(http, {})
            wanted = next(image for image in whole.values() if high in image.names)
            assert len(wanted.layers) == 5
            await _comes_back(http, high, low, wanted)
        finally:
            await http.close()

    asyncio.run(scene())


async def _comes_back(http: EngineHttp, high: str, low: str, wanted: Any) -> None:
    everything = await saved(http, SaveImage(image=high, layers=wanted.layers))
    for keep, lacking in ((low, 2), (IMAGE, 4)):
        common = len(wanted.layers) - lacking
        data = await saved(http, SaveImage(image=high, layers=wanted.layers, left_out=common))
        assert lacking * LAYER_BYTES < len(data) < lacking * LAYER_BYTES + 60_000
        assert len(everything) - len(data) > (4 - lacking) * LAYER_BYTES
        await removed(http, high)
        if keep == IMAGE:
            await removed(http, low)
        held = await held_images(http, {})
        assert in_common(wanted.layers, [image.layers for image in held.values()]) == common
        await taken(http, data)
        seen = await http.json("GET", f"/images/{high}/json")
        assert (seen["Id"], tuple(seen["RootFS"]["Layers"])) == (wanted.id, wanted.layers)
    await removed(http, high)
    with pytest.raises(EngineError):
        await taken(http, await _without_a_layer(everything, wanted.layers))
    await taken(http, everything)
    await removed(http, high)


async def _without_a_layer(everything: bytes, layers: tuple[str, ...]) -> bytes:
    """One is left out that the engine has not."""
    passing = SavedFilter(SaveImage(image="x", layers=layers, left_out=3))
    return passing.feed(everything)
