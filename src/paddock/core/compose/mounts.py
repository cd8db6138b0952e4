"""The short volume syntax: `[source:]target[:options]`, Windows paths included."""

from __future__ import annotations

import posixpath

from .tree import Map

_PROPAGATION = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_SELINUX = ("z", "Z")


def parse_mount(spec: str) -> Map:
    """The long form, its target cleaned. Raises ValueError."""
    if not spec:
        raise ValueError("invalid empty volume spec")
    if len(spec.encode()) <= 2:
        return Map({"type": "volume", "target": clean_target(spec)})
    source = target = ""
    mount = Map({"type": "volume"})
    sections = _sections(spec)
    for index, section in enumerate(sections):
        last = index == len(sections) - 1
        if not section:
            raise ValueError(f"invalid spec: {spec}: empty section between colons")
        if not source and last and not target:
            target = section
        elif not source:
            source = section
        elif not target:
            target = section
        elif not last:
            raise ValueError(f"invalid spec: {spec}: too many colons")
        else:
            _options(mount, section)
    if source:
        mount["source"] = source
    if target:
        mount["target"] = clean_target(target)
    return _typed(mount, source)


def _sections(spec: str) -> list[str]:
    sections, current = [], ""
    for char in spec:
        if char == ":" and not (len(current) == 1 and current.isalpha()):
            sections.append(current)
            current = ""
        else:
            current += char
    return [*sections, current]


def _options(mount: Map, text: str) -> None:
    for option in text.split(","):
        if option in ("ro", "rw"):
            mount["read_only"] = option == "ro"
        elif option == "nocopy":
            mount["volume"] = Map({"nocopy": True})
        elif option in _PROPAGATION or option in _SELINUX:
            bind = mount.get("bind")
            bind = bind if isinstance(bind, Map) else Map()
            mount["bind"] = bind.with_item("selinux" if option in _SELINUX else "propagation", option)
    if mount.get("read_only") is False:
        del mount["read_only"]


def _typed(mount: Map, source: str) -> Map:
    if is_file_path(source):
        bind = mount.get("bind")
        mount["type"] = "bind"
        mount["bind"] = (bind if isinstance(bind, Map) else Map()).with_item("create_host_path", True)
    elif "volume" not in mount:
        mount["volume"] = Map()
    return mount


def is_file_path(source: str) -> bool:
    """Whether a short source names a path and not a volume."""
    if not source:
        return False
    return source[0] in "./~" or source.startswith("\\\\") or (source[1:2] == ":" and source[0].isalpha())


def clean_target(target: str) -> str:
    return clean(target) if target else ""


def clean(path: str) -> str:
    """Go's path.Clean: as normpath, but two leading slashes are one."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def join(base: str, path: str) -> str:
    """Go's filepath.Join of two parts: an absolute second part does not win."""
    parts = [part for part in (base, path) if part]
    return clean("/".join(parts)) if parts else ""


def relative_to(base: str, path: str) -> str:
    """Go's filepath.Rel. Raises ValueError when it cannot be told."""
    here, there = clean(base), clean(path)
    if here == there:
        return "."
    if here.startswith("/") != there.startswith("/"):
        raise ValueError(f"can't make {path} relative to {base}")
    here_parts = [] if here == "." else [part for part in here.split("/") if part]
    there_parts = [] if there == "." else [part for part in there.split("/") if part]
    common = 0
    while common < min(len(here_parts), len(there_parts)) and here_parts[common] == there_parts[common]:
        common += 1
    if ".." in here_parts[common:]:
        raise ValueError(f"can't make {path} relative to {base}")
    return "/".join([".."] * (len(here_parts) - common) + there_parts[common:])
