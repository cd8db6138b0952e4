"""What `docker save` writes, on its way: the files of layers that the other side has are left out.

`docker load` does not look for the file of a layer that it has. If it should miss one all the same it says so, and
everything is sent; a wrong image cannot come of it, since it checks every layer's digest.
"""

from __future__ import annotations

import re

from paddock.core.images.layers import directories
from paddock.core.images.tar import TarFilter
from paddock.model.images import SaveImage

_LAYER_FILE = re.compile(r"([0-9a-f]{64})/layer\.tar")
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")


class LayersLeftOut:
    """Which files are those of the layers to be left out."""

    def __init__(self, save: SaveImage) -> None:
        sent, names = save.layers[save.left_out :], directories(save.layers)
        gone = [at for at in range(save.left_out) if save.layers[at] not in sent]
        self._blobs = frozenset(save.layers[at].removeprefix("sha256:") for at in gone)
        self._directories = frozenset(names[at] for at in gone if at < len(names))
        self._known = frozenset(names)
        self._last = save.left_out > 0 and not sent

    def __call__(self, path: str, is_file: bool) -> bool:
        if not is_file:
            return False
        if found := _BLOB.fullmatch(path):
            return found.group(1) in self._blobs
        if found := _LAYER_FILE.fullmatch(path):
            return found.group(1) in self._directories or (self._last and found.group(1) not in self._known)
        return False


class SavedFilter(TarFilter):
    def __init__(self, save: SaveImage) -> None:
        super().__init__(LayersLeftOut(save))
