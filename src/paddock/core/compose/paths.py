"""Makes the relative paths of a model absolute, remembering in `Map.relative` what was written."""

from __future__ import annotations

from collections.abc import Callable

from .mounts import clean, join
from .report import Report
from .tree import Map, Path, Patterns, Seq, Value

_REMOTE_CONTEXTS = ("https://", "http://", "git://", "ssh://", "github.com/", "git@")


def is_remote(path: str) -> bool:
    """Whether compose would fetch `path` from a Git repository or a registry."""
    if path.startswith(("oci://", "git://", "ssh://", "git@", "github.com/")):
        return True
    return path.startswith(("http://", "https://")) and path.split("#", 1)[0].endswith(".git")


class Resolver:
    """Resolves against `base`, which may itself be relative. `home` is what `~` means; empty when unknown."""

    def __init__(self, base: str, home: str, report: Report) -> None:
        self.base = base
        self.home = home
        self.report = report

    def resolve(self, model: Map) -> Map:
        def walk(value: Value, path: Path) -> Value:
            pattern = _PATTERNS.find(path)
            if pattern is not None and isinstance(value, Map):
                return self._inside(value, pattern, path, model)
            if isinstance(value, Map):
                result = value.like(value)
                for key, item in value.items():
                    result[key] = self._item(result, key, item, (*path, key), walk)
                return result
            if isinstance(value, Seq):
                return value.like(self._element(item, (*path, index), walk) for index, item in enumerate(value))
            return value

        walked = walk(model, ())
        assert isinstance(walked, Map)
        return walked

    def _item(self, owner: Map, key: str, value: Value, path: Path, walk: Callable[[Value, Path], Value]) -> Value:
        pattern = _PATTERNS.find(path)
        if pattern is None or not isinstance(value, str):
            return walk(value, path)
        resolved = self._text(value, pattern)
        if resolved != value and not value.startswith("~"):
            owner.relative[key] = owner.relative.get(key, value)
        return resolved

    def _element(self, value: Value, path: Path, walk: Callable[[Value, Path], Value]) -> Value:
        pattern = _PATTERNS.find(path)
        return self._text(value, pattern) if pattern and isinstance(value, str) else walk(value, path)

    def _text(self, value: str, pattern: str) -> str:
        return _KINDS[pattern](self, value) if pattern in _KINDS else value

    def _inside(self, value: Map, pattern: str, path: Path, model: Map) -> Map:
        if pattern == "services.*.volumes.*":
            return self._mount(value, path, model)
        if pattern == "volumes.*":
            return self._volume(value)
        return value

    def _mount(self, mount: Map, path: Path, model: Map) -> Map:
        if mount.get("type") != "bind":
            return mount
        source = mount.get("source")
        if not isinstance(source, str):
            self.report.add('a mount of type "bind" needs a source', path=path, root=model)
            return mount
        result = mount.with_item("source", self.maybe_unix(source))
        if result["source"] != source:
            result.relative["source"] = mount.relative.get("source", source)
        return result

    def _volume(self, volume: Map) -> Map:
        """A local volume with `o: bind` is a bind mount: its device is a path."""
        options = volume.get("driver_opts")
        if volume.get("driver") != "local" or not isinstance(options, Map):
            return volume
        device = options.get("device")
        if options.get("o") != "bind" or not isinstance(device, str):
            return volume
        resolved = options.with_item("device", self.maybe_unix(device))
        if resolved["device"] != device:
            resolved.relative["device"] = options.relative.get("device", device)
        return volume.with_item("driver_opts", resolved)

    def _expand(self, path: str) -> str:
        if not path.startswith("~"):
            return path
        if not self.home:
            self.report.warn("cannot expand '~', because the environment lacks HOME")
            return path
        return join(self.home, path[1:])

    def absolute(self, path: str) -> str:
        path = self._expand(path)
        return path if path.startswith("/") or not path else join(self.base, path)

    def maybe_unix(self, path: str) -> str:
        path = self._expand(path)
        if path.startswith("/") or is_windows_absolute(path):
            return path
        return join(self.base, path) if self.base or path else clean(path)

    def context(self, path: str) -> str:
        if "://" in path or path.startswith(("service:", *_REMOTE_CONTEXTS)):
            return path
        return self.absolute(path)

    def extended(self, path: str) -> str:
        return path if is_remote(path) else self.absolute(path)


def is_windows_absolute(path: str) -> bool:
    """`C:\\x` or `\\\\server\\share\\x`."""
    if len(path) > 2 and path[1] == ":" and path[0].isascii() and path[0].isalpha():
        return path[2] in "\\/"
    if len(path) < 5 or path[0] not in "\\/" or path[1] not in "\\/" or path[2] in "\\/.":
        return False
    unified = path.replace("/", "\\")
    share_at = unified.find("\\", 3)
    if share_at < 0 or share_at + 1 >= len(path) or unified[share_at + 1] in "\\.":
        return False
    return unified.find("\\", share_at + 1) >= 0


_KINDS: dict[str, Callable[[Resolver, str], str]] = {
    "services.*.build.context": Resolver.context,
    "services.*.build.additional_contexts.*": Resolver.context,
    "services.*.build.ssh.*": Resolver.maybe_unix,
    "services.*.env_file.*.path": Resolver.absolute,
    "services.*.label_file.*": Resolver.absolute,
    "services.*.extends.file": Resolver.extended,
    "services.*.develop.watch.*.path": Resolver.absolute,
    "configs.*.file": Resolver.maybe_unix,
    "secrets.*.file": Resolver.maybe_unix,
}
_PATTERNS = Patterns((*_KINDS, "services.*.volumes.*", "volumes.*"))
