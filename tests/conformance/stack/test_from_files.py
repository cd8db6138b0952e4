"""From the files themselves: our own reading of them gives the specification that docker compose's model gives."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from conformance.stack.test_create_bodies import ENVIRONMENT, HERE, PROJECT, RECORDED, created, read_file, translated
from paddock.core.compose import Options, Project, load
from paddock.core.stack import from_project
from paddock.model.errors import Invalid
from paddock.model.specs import StackSpec


class Disk:
    """The cases, as if they were in PROJECT."""

    def read(self, path: str) -> str | None:
        file = self._file(path)
        return file.read_text() if file.is_file() else None

    def exists(self, path: str) -> bool:
        return self._file(path).exists()

    def is_dir(self, path: str) -> bool:
        return self._file(path).is_dir()

    def _file(self, path: str) -> Path:
        return HERE / "cases" / path.removeprefix(PROJECT).removeprefix("/") if path.startswith(PROJECT) else Path("/-")


class OneFile(Disk):
    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, path: str) -> str | None:
        return self.text if path == f"{PROJECT}/compose.yaml" else None

    def exists(self, path: str) -> bool:
        return path == f"{PROJECT}/compose.yaml"


def project(case: str) -> Project:
    return load(Options(working_dir=PROJECT, files=(f"{case}.yaml",), environment=ENVIRONMENT), Disk())


def without_hash(spec: StackSpec) -> StackSpec:
    for service in spec.services.values():
        service.container.config["Labels"].pop("com.docker.compose.config-hash", None)
    return spec


@pytest.mark.parametrize("case", RECORDED)
def test_same_specification(case: str) -> None:
    ours = without_hash(from_project(project(case), read_file).spec)
    # docker compose's model does not say what its profiles leave out.
    assert msgspec.structs.replace(ours, inactive=()) == translated(case)


OF_CONTAINERS = ("network-mode", "shared-namespaces", "volumes-from")
"""docker compose hashes these with the ids of the containers they refer to."""


@pytest.mark.parametrize("case", [case for case in RECORDED if case not in OF_CONTAINERS])
def test_configuration_hash(case: str) -> None:
    services = from_project(project(case), read_file).spec.services
    for name, body in created(case).items():
        label = "com.docker.compose.config-hash"
        assert services[name].container.config["Labels"][label] == body["Labels"][label], name


@pytest.mark.parametrize("source", ["./data", "data/x", "~/data", "../data"])
def test_directory_of_the_client_is_refused(source: str) -> None:
    volume = f"{{type: bind, source: '{source}', target: /data}}"
    text = f"services:\n  web:\n    image: busybox\n    volumes:\n      - {volume}\n"
    loaded = load(Options(working_dir=PROJECT, environment=ENVIRONMENT), OneFile(text))
    with pytest.raises(Invalid) as caught:
        from_project(loaded, read_file)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.field) == (f"{PROJECT}/compose.yaml", 5, "services.web.volumes[0]")
    assert f"'{source}' is a path of the machine you are on" in problem.message


def test_own_extension_is_read() -> None:
    text = "services:\n  web:\n    image: busybox\n    x-paddock: {placement: {strategy: binpack}}\n"
    loaded = load(Options(working_dir=PROJECT, environment=ENVIRONMENT), OneFile(text))
    assert from_project(loaded, read_file).spec.services["web"].placement.strategy == "binpack"
