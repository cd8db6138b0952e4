"""Version 1 files, whose top level is the services: told apart, and rewritten as a modern file.

docker compose 2.26 refuses them; Paddock reads them as docker-compose 1.x did, by the rules of Docker's own
upgrade guide: build keys move under `build`, log keys under `logging`, `net` becomes `network_mode`,
and named volumes keep their global names.
"""

from __future__ import annotations

from .mounts import is_file_path, parse_mount
from .report import Report
from .schema import FILE
from .tree import Map, Seq, Value

_TELLING = ("image", "build", "extends")


def is_version_1(model: Map) -> bool:
    """No modern top-level key, and every entry is a mapping, some with an image or a build."""
    if not model or any(key in FILE.fields or key.startswith("x-") for key in model):
        return False
    entries = list(model.values())
    return all(isinstance(entry, Map) for entry in entries) and any(
        isinstance(entry, Map) and any(key in entry for key in _TELLING) for entry in entries
    )


def modernize(model: Map, report: Report) -> Map:
    report.warn(f"{report.file}: version 1 files are obsolete; read as docker-compose 1.x did")
    names = list(model)
    volumes = Map()
    services = model.like({name: _service(service, names, volumes) for name, service in model.items()})
    modern = Map({"services": services})
    if volumes:
        modern["volumes"] = volumes
    return modern


def _service(value: Value, names: list[str], volumes: Map) -> Value:
    if not isinstance(value, Map):
        return value
    service = value.like(value)
    _build(service)
    _logging(service)
    _network(service, names)
    _volumes(service, volumes)
    if "cpuset" not in service and "cpu_set" in service:
        service["cpuset"] = service.pop("cpu_set")
    _volumes_from(service, names)
    return service


def _build(service: Map) -> None:
    dockerfile = service.pop("dockerfile", None)
    if dockerfile is not None and isinstance(service.get("build"), str):
        service["build"] = Map({"context": service["build"], "dockerfile": dockerfile})


def _logging(service: Map) -> None:
    logging = Map()
    for old, new in (("log_driver", "driver"), ("log_opt", "options")):
        if old in service:
            logging[new] = service.pop(old)
    if logging:
        service["logging"] = logging


def _network(service: Map, names: list[str]) -> None:
    mode = service.pop("net", None)
    if isinstance(mode, str):
        target = mode.removeprefix("container:")
        service["network_mode"] = f"service:{target}" if target != mode and target in names else mode


def _volumes_from(service: Map, names: list[str]) -> None:
    sources = service.get("volumes_from")
    if isinstance(sources, Seq):
        service["volumes_from"] = sources.like(
            source if not isinstance(source, str) or source.split(":")[0] in names else f"container:{source}"
            for source in sources
        )


def _volumes(service: Map, volumes: Map) -> None:
    driver = service.pop("volume_driver", None)
    mounts = service.get("volumes")
    for mount in mounts if isinstance(mounts, Seq) else ():
        if not isinstance(mount, str):
            continue
        try:
            source = parse_mount(mount).get("source")
        except ValueError:
            continue
        if isinstance(source, str) and not is_file_path(source):
            volumes[source] = Map({"name": source} if driver is None else {"name": source, "driver": driver})
