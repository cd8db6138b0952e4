"""A build's context on its way to the builder: overheard for what its Dockerfile begins from.

The classic builder reads the whole context before it begins. So the bytes pass as they come, and only the last of them
wait until the builder has those base images that other hosts have.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
import zlib

import msgspec

from paddock.core.images.dockerfile import base_images
from paddock.core.images.tar import BadArchive, TarFilter
from paddock.gateway.call import Call
from paddock.gateway.image_finding import bring_image
from paddock.model.errors import PaddockError
from paddock.model.objects import Host

MOST_DOCKERFILE_BYTES = 2**20
_GZIP = b"\x1f\x8b"


class Context:
    """`feed` and `end` are called by who passes the body on."""

    def __init__(self, call: Call, host: Host) -> None:
        self._call = call
        self._host = host
        self._wanted = posixpath.normpath(call.head.asked("dockerfile") or "Dockerfile")
        self._picking: TarFilter | None = TarFilter(self._is_other)
        self._unpack: zlib._Decompress | None = None
        self._began = False
        self._first = b""
        self._picked = b""

    @property
    def held_bytes(self) -> int:
        return len(self._picked)

    def _is_other(self, path: str, is_file: bool) -> bool:
        return not is_file or posixpath.normpath(path) != self._wanted

    def feed(self, data: bytes) -> None:
        """Never raises: a context that cannot be followed is the builder's to judge."""
        if self._picking is None or not data:
            return
        if not self._began:
            data = self._first = self._first + data
            if len(data) < len(_GZIP):
                return
            self._began, self._first = True, b""
            self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if data.startswith(_GZIP) else None
        try:
            while data:
                plain = self._unpack.decompress(data, MOST_DOCKERFILE_BYTES) if self._unpack is not None else data
                data = self._unpack.unconsumed_tail if self._unpack is not None else b""
                self._picked += self._picking.feed(plain)
        except (BadArchive, zlib.error):
            self._picking = None
        if len(self._picked) > MOST_DOCKERFILE_BYTES:
            self._picking = None
        if self._picking is None:
            self._picked = b""

    async def end(self) -> None:
        """What cannot be brought the builder may still pull: it says so itself if not."""
        for image in self.images():
            try:
                await bring_image(self._call, self._host, image)
            except PaddockError as error:
                self._call.cluster.world.log.info("a base image was not brought", image=image, reason=error.message)

    def images(self) -> tuple[str, ...]:
        if self._picking is None:
            return ()
        try:
            with tarfile.open(fileobj=io.BytesIO(self._picked)) as picked:
                entry = picked.next()
                file = picked.extractfile(entry) if entry is not None else None
                text = file.read().decode("utf-8", "replace") if file is not None else ""
        except tarfile.TarError:
            return ()
        return base_images(text, _arguments(self._call.head.asked("buildargs")))


def _arguments(text: str) -> dict[str, str]:
    try:
        given = msgspec.json.decode(text, type=dict[str, str | None]) if text else {}
    except msgspec.DecodeError:
        return {}
    return {name: value for name, value in given.items() if value is not None}
