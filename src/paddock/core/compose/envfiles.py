"""`env_file` and `label_file`: their variables become the service's, under what it says itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from .decode import Json
from .dotenv import BadEnvFile, parse, parse_raw
from .files import absolute
from .reader import Reader
from .template import Lookup
from .tree import Map, Mark, locate

Services: TypeAlias = "dict[str, dict[str, Json]]"


class Resolver:
    """Reads the files that services name. `model` is for telling places."""

    def __init__(self, reader: Reader, environment: Mapping[str, str], model: Map) -> None:
        self.reader = reader
        self.environment = environment
        self.model = model

    def environments(self, services: Services) -> Services:
        """Services with all their variables, and without `env_file`."""
        return {name: self._environment(name, service) for name, service in services.items()}

    def labels(self, services: Services) -> Services:
        """Services with all their labels, and without `label_file`."""
        return {name: self._labels(name, service) for name, service in services.items()}

    def _environment(self, name: str, service: dict[str, Json]) -> dict[str, Json]:
        own = _mapping(service.get("environment"))
        own = {key: self.environment.get(key) if value is None else value for key, value in own.items()}
        found: dict[str, Json] = {}

        def lookup(variable: str) -> str | None:
            value = found.get(variable)
            return value if isinstance(value, str) else self.environment.get(variable)

        for index, entry in enumerate(_items(service.get("env_file"))):
            path, required, form = _entry(entry)
            found.update(self._read(path, lookup, ("services", name, "env_file", index), required=required, form=form))
        return _replaced(service, "environment", {**found, **own}, "env_file")

    def _labels(self, name: str, service: dict[str, Json]) -> dict[str, Json]:
        found: dict[str, Json] = {}

        def lookup(variable: str) -> str | None:
            value = found.get(variable)
            return value if isinstance(value, str) else None

        for index, entry in enumerate(_items(service.get("label_file"))):
            path, _, _ = _entry(entry)
            found.update(self._read(path, lookup, ("services", name, "label_file", index), required=True, form=""))
        return _replaced(service, "labels", {**found, **_mapping(service.get("labels"))}, "label_file")

    def _read(
        self, path: str, lookup: Lookup, field: tuple[str | int, ...], *, required: bool, form: str
    ) -> dict[str, str]:
        report, place = self.reader.report, locate(self.model, field)
        full = absolute(path, self.reader.options.working_dir)
        if not self.reader.disk.exists(full):
            if required:
                report.add(
                    f"{field[2]} {full} not found", path=field, mark=place, hint="create it, or say `required: false`"
                )
            return {}
        text = None if self.reader.disk.is_dir(full) else self.reader.disk.read(full)
        if text is None:
            report.add(f"{field[2]} {full} cannot be read", path=field, mark=place)
            return {}
        if form not in ("", "raw"):
            report.add(f"unsupported env_file format {form!r}", path=field, mark=place, hint="only `raw` is known")
            return {}
        try:
            return parse_raw(text) if form else parse(text, lookup, report.warn)
        except BadEnvFile as error:
            report.add(str(error), path=field, mark=Mark(full, error.line))
            return {}


def _entry(entry: Json) -> tuple[str, bool, str]:
    if isinstance(entry, str):
        return entry, True, ""
    fields = _mapping(entry)
    path, form = fields.get("path"), fields.get("format")
    return path if isinstance(path, str) else "", bool(fields.get("required")), form if isinstance(form, str) else ""


def _replaced(service: dict[str, Json], key: str, value: dict[str, Json], dropped: str) -> dict[str, Json]:
    """`service` with `key` in its place in the order, and without `dropped`."""
    entry = {name: value[name] for name in sorted(value)}
    result: dict[str, Json] = {}
    for name, item in service.items():
        if (name == dropped and key not in service and entry) or (name == key and entry):
            result[key] = entry
        elif name not in (dropped, key):
            result[name] = item
    return result


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _items(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
