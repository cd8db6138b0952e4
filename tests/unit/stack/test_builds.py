"""What a compose file wants built, as the engine's API takes it; and services that run what was built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from paddock.cli.project import Asked, read_stack
from paddock.core.images.pinned import IMAGE_LABEL, pinned
from paddock.core.stack import Translated
from paddock.core.stack.builds import Build

TEXT = """
name: shop
services:
  web:
    platform: linux/amd64
    depends_on: [api]
    build:
      context: ./web
      dockerfile: ../Dockerfile.web
      args: {A: "1", GIVEN: null, MISSING: null}
      labels: {x: y}
      target: last
      cache_from: ["a:b"]
      network: host
      shm_size: 64m
      extra_hosts: ["h:1.2.3.4"]
      no_cache: true
      pull: true
      ulimits: {nofile: 100, nproc: {soft: 1, hard: 2}}
      tags: ["web:extra"]
  api:
    image: registry.example.com/api:2
    pull_policy: build
    build: {dockerfile_inline: "FROM scratch"}
  job:
    image: registry.example.com/api:2
  plain:
    image: redis
  far:
    build: https://github.com/a/b.git#main
"""


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("GIVEN", "from here")

    def read(text: str) -> Translated:
        (tmp_path / "compose.yaml").write_text(text)
        return read_stack(Asked(directory=str(tmp_path), files=(str(tmp_path / "compose.yaml"),)))

    return read


def by_service(translated: Translated) -> dict[str, Build]:
    return {build.service: build for build in translated.builds}


def test_options_are_those_of_the_engines_api(read: Any) -> None:
    web = by_service(read(TEXT))["web"]
    options = {key: json.loads(str(value)) if str(value)[:1] in "[{" else value for key, value in web.options.items()}
    assert options == {
        "labels": {
            "x": "y", "com.docker.compose.project": "shop", "com.docker.compose.service": "web",
            "com.docker.compose.version": "2.26.1",
        },
        "buildargs": {"A": "1", "GIVEN": "from here"}, "target": "last", "cachefrom": ["a:b"], "networkmode": "host",
        "shmsize": "67108864", "extrahosts": ("h:1.2.3.4",), "platform": "linux/amd64", "nocache": "1", "pull": "1",
        "ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 100}, {"Name": "nproc", "Soft": 1, "Hard": 2}],
    }  # fmt: skip
    assert (web.image, web.dockerfile, web.tags, web.problems) == ("shop-web", "../Dockerfile.web", ("web:extra",), ())
    assert web.context.endswith("/web")


def test_names_order_and_where_contexts_are(read: Any) -> None:
    translated = read(TEXT)
    assert [build.service for build in translated.builds] == ["api", "far", "web"], "what others depend on first"
    builds = by_service(translated)
    assert (builds["api"].image, builds["api"].inline) == ("registry.example.com/api:2", "FROM scratch")
    assert (builds["api"].named, builds["web"].named, builds["api"].pull_policy) == (True, False, "build")
    assert (builds["far"].remote, builds["web"].remote) == (True, False)
    assert translated.spec.services["far"].container.image == "shop-far"


def test_what_needs_a_session_is_a_problem_only_once_it_is_built(read: Any) -> None:
    translated = read("""
name: shop
services:
  web:
    image: web:1
    build:
      context: .
      ssh: [default]
      secrets: [key]
      additional_contexts: {other: ./other}
      privileged: true
      platforms: [linux/amd64, linux/arm64]
      cache_to: ["type=inline"]
secrets: {key: {file: ./compose.yaml}}
""")
    problems = by_service(translated)["web"].problems
    fields = sorted(problem.field.removeprefix("services.web.build.") for problem in problems)
    assert fields == ["additional_contexts", "platforms", "privileged", "secrets", "ssh"]
    assert all(problem.line for problem in problems)
    assert any("cache_to" in warning for warning in translated.warnings)


def test_services_run_the_very_image_that_was_built(read: Any) -> None:
    spec = read(TEXT).spec
    first = pinned(spec, {"shop-web": "sha256:1", "registry.example.com/api:2": "sha256:2"})
    ids = {name: service.container.image_id for name, service in first.services.items()}
    assert ids == {"web": "sha256:1", "api": "sha256:2", "job": "sha256:2", "plain": "", "far": ""}
    assert first.services["web"].container.config["Labels"][IMAGE_LABEL] == "sha256:1"
    assert first.services["plain"] == spec.services["plain"]
    assert pinned(spec, {"shop-web:latest": "sha256:1"}).services["web"] == first.services["web"]
    assert pinned(spec, {"shop-web": "sha256:3"}).services["web"] != first.services["web"]
