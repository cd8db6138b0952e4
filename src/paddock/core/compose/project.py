"""`load`: options and a disk in, a project out; or every problem found, with file, line and field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from .consistency import check
from .decode import At, Json, to_json
from .discovery import Found, check_name, discover, normal_name
from .envfiles import Resolver
from .files import Files, Options
from .loader import load_model
from .normalize import normalize
from .origin import Origin, origin_of
from .reader import Reader, Scope
from .report import Report
from .selection import select
from .shape_of_project import SECTIONS, bind, extensions_of, service_extensions
from .template import BadTemplate, MissingVariable, substitute
from .tree import Map
from .yaml_documents import read_documents

Services: TypeAlias = "dict[str, dict[str, Json]]"


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A compose project in canonical form.

    `model` is the JSON-able model: `name`, `services`, and where there are any `networks`, `volumes`, `secrets`,
    `configs`, `models` and top-level `x-` keys. `disabled` are the services that no active profile enables.
    `extensions` are the services' own `x-` keys. Without `interpolated` the model is not bound: variables are left
    in place.
    """

    name: str
    working_dir: str
    files: tuple[str, ...]
    model: dict[str, Json]
    disabled: dict[str, Json]
    profiles: tuple[str, ...]
    environment: Mapping[str, str]
    warnings: tuple[str, ...]
    origin: Origin
    extensions: Mapping[str, Mapping[str, Json]]
    interpolated: bool = True

    def __repr__(self) -> str:
        return f"Project({self.name!r}, {len(self.files)} files)"


def load(options: Options, files: Files) -> Project:
    """Raises `paddock.model.errors.Invalid` with every problem found."""
    report = Report()
    if options.project_name:
        check_name(options.project_name, "--project-name", report)
    found = discover(options, files, report)
    reader = Reader(options, files, report)
    name, environment = _name(reader, found)
    scope = Scope(
        files=found.files,
        working_dir=found.working_dir,
        base=found.working_dir,
        environment=environment,
        resolve_paths=options.resolve_paths,
    )
    model = load_model(reader, scope)
    if not model:
        report.file = found.files[0]
        report.add("empty compose file", hint="add a `services:` section")
    if not name:
        report.add("project name must not be empty", hint="set `name:` or --project-name")
    report.stop()
    if options.normalize:
        model = normalize(model, name, environment)
    builder = _Builder(options, found, reader, name, environment)
    return builder.bound(model) if options.interpolate else builder.plain(model)


def _name(reader: Reader, found: Found) -> tuple[str, dict[str, str]]:
    """The project's name, and the environment with COMPOSE_PROJECT_NAME set to it. Raises Invalid."""
    options, report = reader.options, reader.report
    environment = dict(found.environment)
    known = environment if options.interpolate else {}
    name = options.project_name or environment.get("COMPOSE_PROJECT_NAME", "")
    if name:
        if not options.project_name:
            check_name(name, "COMPOSE_PROJECT_NAME", report)
    else:
        written = _written_name(reader, found)
        base = normal_name(found.working_dir.rsplit("/", 1)[-1])
        shown = written
        if options.interpolate:
            try:
                shown = substitute(written, environment.get, report.warn)
            except (BadTemplate, MissingVariable) as error:
                report.add(f"invalid project name: {error}", path=("name",))
        name = normal_name(shown) if written else base
    report.stop()
    known["COMPOSE_PROJECT_NAME"] = name
    return name, known


def _written_name(reader: Reader, found: Found) -> str:
    """The last `name:` of the files. Problems of the files themselves are told when they are read."""
    written = ""
    for file in found.files:
        text = reader.options.stdin if file == "-" else reader.disk.read(file)
        for document in read_documents(text or "", Report(file)):
            name = document.value.get("name") if isinstance(document.value, Map) else None
            written = name if isinstance(name, str) and name else written
    return written


class _Builder:
    def __init__(
        self, options: Options, found: Found, reader: Reader, name: str, environment: Mapping[str, str]
    ) -> None:
        self.options = options
        self.found = found
        self.reader = reader
        self.report = reader.report
        self.name = name
        self.environment = environment

    def plain(self, model: Map) -> Project:
        """Variables left in place: nothing is bound, selected or checked against anything."""
        shown = to_json(model)
        assert isinstance(shown, dict)
        return self._project(model, shown)

    def bound(self, model: Map) -> Project:
        sections = bind(model, At(model, self.report))
        self.report.stop()
        services, disabled = split_profiles(sections["services"], self.found.profiles)
        if self.options.consistency:
            self._check(services, disabled, sections, model)
        files = Resolver(self.reader, self.environment, model)
        resolved = files.environments(services) if self.options.resolve_environment else services
        chosen = select(files.labels(resolved), disabled, self.options.services, self.found.profiles, self.report)
        # As in compose, a service enabled only by being chosen gets its variables here, and keeps its label_file.
        resolved = files.environments(chosen.services) if self.options.services else chosen.services
        self.report.stop()
        bound = self._assembled(resolved, used_resources(chosen.enabled), sections, model)
        return msgspec.structs.replace(self._project(model, bound), disabled=dict(chosen.disabled))

    def _check(self, services: Services, disabled: Services, sections: Mapping[str, Services], model: Map) -> None:
        for path, message, hint in check(services, disabled, sections):
            self.report.add(message, path=path, root=model, hint=hint)
        self.report.stop()
        for service in services.values():
            deploy = service.get("deploy")
            if isinstance(deploy, dict) and "scale" in service:
                replicas: dict[str, Json] = {"replicas": service["scale"]}
                mode: dict[str, Json] = {"mode": deploy["mode"]} if "mode" in deploy else {}
                service["deploy"] = {**mode, **replicas, **deploy, **replicas}

    def _assembled(
        self, services: Services, used: Mapping[str, Mapping[str, bool]], sections: Mapping[str, Services], model: Map
    ) -> dict[str, Json]:
        bound: dict[str, Json] = {"name": self.name, "services": {key: services[key] for key in sorted(services)}}
        for section, _ in SECTIONS:
            kept = {key: item for key, item in sections[section].items() if key in used.get(section, {})}
            if section != "services" and kept:
                bound[section] = dict(kept)
        return {**bound, **extensions_of(model)}

    def _project(self, model: Map, bound: dict[str, Json]) -> Project:
        return Project(
            name=self.name,
            working_dir=self.found.working_dir,
            files=self.found.files,
            model=bound,
            disabled={},
            profiles=tuple(profile for profile in self.found.profiles if profile),
            environment=self.environment,
            warnings=tuple(self.report.warnings),
            origin=origin_of(model),
            extensions=service_extensions(model),
            interpolated=self.options.interpolate,
        )


def split_profiles(services: Services, profiles: tuple[str, ...]) -> tuple[Services, Services]:
    """The services that `profiles` enable, and the others. `*` enables all."""
    enabled: Services = {}
    disabled: Services = {}
    for name, service in services.items():
        own = service.get("profiles")
        active = (
            not own or "*" in profiles or any(profile in profiles for profile in (own if isinstance(own, list) else ()))
        )
        (enabled if active else disabled)[name] = service
    return enabled, disabled


def used_resources(services: Services) -> dict[str, dict[str, bool]]:
    """Section -> names that `services` refer to."""
    used: dict[str, dict[str, bool]] = {"networks": {}, "volumes": {}, "secrets": {}, "configs": {}, "models": {}}
    for service in services.values():
        for section in ("networks", "models"):
            named = service.get(section)
            used[section].update(dict.fromkeys(named if isinstance(named, dict) else (), True))
        build = service.get("build")
        owners = (service, build) if isinstance(build, dict) else (service,)
        for owner in owners:
            for section in ("secrets", "configs", "volumes"):
                items = owner.get(section)
                for item in items if isinstance(items, list) else ():
                    source = item.get("source") if isinstance(item, dict) else None
                    mounted = section != "volumes" or (isinstance(item, dict) and item.get("type") == "volume")
                    if isinstance(source, str) and mounted:
                        used[section][source] = True
    return used
