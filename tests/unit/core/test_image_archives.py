"""What `docker save` writes, with layers left out on the way: against Python's own reader of tar files."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.core.images.layers import chain_ids, directories, in_common
from paddock.core.images.saved import SavedFilter
from paddock.core.images.tar import BadArchive
from paddock.model.images import SaveImage

LAYERS = (
    "sha256:fbb6fd13208bd409a507ab144ef1c98e0249a1b3785de0820612a24a764a2bd0",
    "sha256:b8e0b2cf78d5dcee0f87e5cde8b627d150607eb52ca98fb834291e4d997a2324",
    "sha256:2a4ce13e2c1f5b08ff3d068fdb741d0ccd584036b5641794089d56880a43d853",
    "sha256:85a16be4ba294d97aa820a31add6beea93d4e8441300aa9d3f584f0d9f08edc6",
)
DIRECTORIES = (
    "94d4dc02d816cdb976fb0e2249a3dd6ba169116fbb4a1f35f36044cd51465e74",
    "12f33ae3192a194a3a2d09ec61ff2a618d0464053c16a413afbe63bdac32d21e",
    "ce253532145bfdec31329a78acb2e4acb6b5b92eb2be0cb00848d17172cf9510",
)
"""As engine 20.10.24 named them when it saved an image of these layers."""
LAST = "cc5b6dca9c60cd3b81c5ba9eab37d5f534601946958f5f4655c1335a33b68a2d"
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
contents = st.binary(max_size=2000) | st.just(b"\0" * 3000)
cuts = st.lists(st.integers(1, 3000), max_size=60)


def archive(files: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {entry.name: file.read() if (file := tar.extractfile(entry)) else b"" for entry in tar}


def through(save: SaveImage, data: bytes, sizes: list[int]) -> bytes:
    """In pieces of the given sizes, then the rest."""
    passing, out = SavedFilter(save), b""
    for size in sizes:
        out += passing.feed(data[:size])
        data = data[size:]
    out += passing.feed(data)
    assert passing.done
    return out


def old_style(content: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for directory in sorted([*DIRECTORIES, LAST]):
        files |= {
            f"{directory}/": b"",
            f"{directory}/json": b"{}",
            f"{directory}/layer.tar": content + directory.encode(),
        }
    return {**files, "manifest.json": b"[]", "repositories": b"{}"}


def new_style(content: bytes) -> dict[str, bytes]:
    blobs = {f"blobs/sha256/{layer.removeprefix('sha256:')}": content + layer.encode() for layer in LAYERS}
    return {"blobs/sha256/" + "0" * 64: b"config", **blobs, "manifest.json": b"[]"}


@given(contents, st.integers(0, 4), cuts, st.sampled_from(FORMATS))
def test_exactly_the_lowest_layers_are_left_out(content: bytes, count: int, sizes: list[int], form: int) -> None:
    save = SaveImage(image="x", layers=LAYERS, left_out=count)
    old, new = old_style(content), new_style(content)
    gone = {f"{directory}/layer.tar" for directory in (*DIRECTORIES, LAST)[:count]}
    wanted = {name.rstrip("/"): data for name, data in old.items() if name not in gone}
    assert read(through(save, archive(old, form), sizes)) == wanted
    gone = {f"blobs/sha256/{layer.removeprefix('sha256:')}" for layer in LAYERS[:count]}
    assert read(through(save, archive(new, form), sizes)) == {n: d for n, d in new.items() if n not in gone}


@given(st.dictionaries(st.text("abcäö/.-", min_size=1, max_size=200), contents, max_size=5), cuts)
def test_what_is_no_layer_passes_byte_for_byte(files: dict[str, bytes], sizes: list[int]) -> None:
    named = {f"x{number}{name}y": data for number, (name, data) in enumerate(files.items())}
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        data = archive(named, form)
        assert through(SaveImage(image="x", layers=LAYERS, left_out=4), data, sizes) == data


@given(st.binary(max_size=3000), cuts)
def test_any_bytes_are_followed_or_refused(data: bytes, sizes: list[int]) -> None:
    passing = SavedFilter(SaveImage(image="x", layers=LAYERS, left_out=2))
    try:
        for size in sizes:
            passing.feed(data[:size])
            data = data[size:]
    except BadArchive:
        return


def test_a_layer_that_lies_again_above_is_sent() -> None:
    """Older engines save it once and link to it from where it lies again."""
    layers = (LAYERS[0], LAYERS[1], LAYERS[0])
    data = archive(new_style(b""), tarfile.GNU_FORMAT)
    kept = read(through(SaveImage(image="x", layers=layers, left_out=2), data, []))
    names = [layer.removeprefix("sha256:") for layer in LAYERS]
    assert f"blobs/sha256/{names[0]}" in kept
    assert f"blobs/sha256/{names[1]}" not in kept


def test_sizes_beyond_octal_are_read_from_both_kinds_of_header() -> None:
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        entry = tarfile.TarInfo(f"{DIRECTORIES[0]}/layer.tar")
        entry.size = 9 * 2**30
        passing = SavedFilter(SaveImage(image="x", layers=LAYERS, left_out=1))
        assert passing.feed(entry.tobuf(form)) == b""
        piece = bytes(2**20)
        assert all(passing.feed(piece) == b"" for _ in range(9 * 1024)), "nothing of nine gigabytes comes through"
        rest = archive({"manifest.json": b"[]"})
        assert passing.feed(rest) == rest
        assert passing.done


@pytest.mark.parametrize("spoilt", [b"9" * 12, b"x" * 12])
def test_a_size_that_is_none_is_refused(spoilt: bytes) -> None:
    data = bytearray(archive({"a": b"b"}))
    data[124:136] = spoilt
    with pytest.raises(BadArchive):
        SavedFilter(SaveImage(image="x")).feed(bytes(data))


def test_directories_are_named_as_the_engine_names_them() -> None:
    assert directories(LAYERS) == DIRECTORIES
    assert chain_ids(LAYERS)[0] == LAYERS[0]


def test_layers_in_common_are_counted_from_below_and_in_order() -> None:
    a, b, c = "a", "b", "c"
    assert in_common((a, b, c), []) == 0
    assert in_common((a, b, c), [(b, c), (a,)]) == 1
    assert in_common((a, b, c), [(a, c, b), (a, b)]) == 2
    assert in_common((a, b), [(a, b, c)]) == 2
