"""What a loaded project tells besides its canonical form: places, relative paths, values, warnings."""

from __future__ import annotations

import itertools

from compose_memory import problems, read
from paddock.core.compose import canonical, render_json, render_yaml, service_names

TWO = {
    "compose.yaml": """\
services:
  web:
    image: x
    volumes:
      - ./data:/data
      - /abs:/abs
    environment:
      A: 1
""",
    "compose.override.yaml": """\
services:
  web:
    volumes:
      - type: bind
        source: ../up
        target: /up
    command: run
""",
}


def test_each_field_knows_where_it_was_written() -> None:
    origin = read(TWO).origin
    assert origin.find("services.web.image") == ("/app/compose.yaml", 3)
    assert origin.find("services.web.command") == ("/app/compose.override.yaml", 7)
    assert origin.find("services.web.volumes[0]") == ("/app/compose.yaml", 5)
    assert origin.find("services.web.volumes[2].source") == ("/app/compose.override.yaml", 5)
    assert origin.find("services.web.environment.A") == ("/app/compose.yaml", 8)
    assert origin.find("services.web.healthcheck.test") == origin.find("services.web")
    assert origin.find("nothing.of.it") is None


def test_relative_bind_sources_are_remembered_as_written() -> None:
    origin = read(TWO).origin
    assert origin.relative["services.web.volumes[0].source"] == "./data"
    assert origin.relative["services.web.volumes[2].source"] == "../up"
    assert "services.web.volumes[1].source" not in origin.relative


def test_relative_paths_keep_their_first_form_through_extends_and_include() -> None:
    files = {
        "compose.yaml": "include: [sub/i.yaml]\nservices: {a: {extends: {file: sub/e.yaml, service: e}}}\n",
        "sub/i.yaml": "services: {b: {image: x, volumes: ['./b:/b']}}\n",
        "sub/e.yaml": "services: {e: {image: x, volumes: ['./e:/e'], build: ./ctx}}\n",
    }
    project = read(files)
    assert project.origin.relative == {
        "services.a.volumes[0].source": "./e",
        "services.a.build.context": "./ctx",
        "services.b.volumes[0].source": "./b",
    }
    services = project.model["services"]
    assert isinstance(services, dict)
    assert services["a"]["volumes"][0]["source"] == "/app/sub/e"  # type: ignore[index,call-overload]


def test_values_of_secrets_and_configs_stay_out_of_the_model() -> None:
    text = """\
services: {a: {image: x, secrets: [s], configs: [c]}}
secrets: {s: {environment: TOKEN}}
configs: {c: {environment: TOKEN}}
"""
    project = read(text, environment={"TOKEN": "hush"})
    assert "hush" not in render_json(project) + render_yaml(project) + repr(project)


def test_the_model_holds_single_dollars_and_the_canonical_form_double_ones() -> None:
    project = read("services: {a: {image: x, command: [echo, $$HOME]}}")
    services = project.model["services"]
    assert isinstance(services, dict)
    assert services["a"]["command"] == ["echo", "$HOME"]  # type: ignore[index,call-overload]
    assert canonical(project)["services"]["a"]["command"] == ["echo", "$$HOME"]  # type: ignore[index,call-overload]


def test_gateway_priority_is_in_the_model_though_docker_compose_loses_it() -> None:
    project = read("services: {a: {image: x, networks: {n: {gw_priority: 5}}}}\nnetworks: {n: }")
    services = project.model["services"]
    assert isinstance(services, dict)
    assert services["a"]["networks"]["n"] == {"gw_priority": 5}  # type: ignore[index,call-overload]


def test_extensions_of_services_are_kept_beside_the_model() -> None:
    project = read("x-top: 1\nservices: {a: {image: x, x-paddock: {sticky: true}}}")
    assert project.extensions == {"a": {"x-paddock": {"sticky": True}}}
    assert project.model["x-top"] == 1


def test_disabled_services_are_told() -> None:
    project = read("services: {a: {image: x}, b: {image: y, profiles: [p]}}")
    assert list(project.disabled) == ["b"]
    assert list(read("services: {b: {image: y, profiles: [p]}}", profiles=("p",)).disabled) == []


def test_odd_things_are_warned_of() -> None:
    project = read(
        {"compose.yaml": "version: '3'\nservices: {a: {image: 'x:$TAG'}}\n", "compose.yml": "services: {}\n"}
    )
    assert any("version" in warning for warning in project.warnings)
    assert any('"TAG" variable is not set' in warning for warning in project.warnings)
    assert any("multiple config files" in warning for warning in project.warnings)


def test_version_1_is_read_and_warned_of() -> None:
    project = read("web: {image: x, links: [db]}\ndb: {image: y, net: host}\n")
    services = project.model["services"]
    assert isinstance(services, dict)
    assert sorted(services) == ["db", "web"]
    assert any("version 1" in warning for warning in project.warnings)


def test_a_misspelt_services_key_is_no_version_1_file() -> None:
    (problem, *_) = problems("name: x\nservces: {a: {image: x}}\n")
    assert problem.hint == "did you mean 'services'?"


def test_services_are_listed_after_what_they_need() -> None:
    text = "services: {a: {image: x, depends_on: [c]}, b: {image: x, depends_on: [a]}, c: {image: x}}"
    assert service_names(read(text)) == ["c", "a", "b"]


def test_the_answer_does_not_depend_on_the_order_of_services() -> None:
    entries = ("a: {image: x, extends: b}", "b: {command: y, extends: c}", "c: {labels: [l=1], build: .}")
    shown = {render_json(read(f"services: {{{', '.join(order)}}}")) for order in itertools.permutations(entries)}
    assert len(shown) == 1


def test_loading_twice_gives_the_same_and_canonical_form_reads_as_itself() -> None:
    project = read(TWO)
    again = read({"compose.yaml": render_yaml(project)})
    assert render_json(again) == render_json(project)
    assert render_json(read(TWO)) == render_json(project)
