"""All problems are told, each with its file, line, field and a way out."""

from __future__ import annotations

import pytest

from compose_memory import problems

MANY = """\
services:
  web:
    imgae: nginx
    ports: 80
    environment:
      - 5
  db:
    image: [x]
    deploy:
      replcas: 2
networks:
  front:
    driver: 5
sevrices: {}
"""


def test_every_problem_of_a_file_is_told_with_its_line() -> None:
    found = {(problem.field, problem.line) for problem in problems(MANY)}
    assert found == {
        ("services.web.imgae", 3),
        ("services.web.ports", 4),
        ("services.web.environment[0]", 6),
        ("services.db.image", 8),
        ("services.db.deploy.replcas", 10),
        ("networks.front.driver", 13),
        ("sevrices", 14),
    }


def test_the_nearest_valid_key_is_suggested() -> None:
    hints = {problem.field: problem.hint for problem in problems(MANY)}
    assert hints["services.web.imgae"] == "did you mean 'image'?"
    assert hints["services.db.deploy.replcas"] == "did you mean 'replicas'?"
    assert hints["sevrices"] == "did you mean 'services'?"


def test_problems_of_several_files_name_the_file_that_has_them() -> None:
    files = {
        "compose.yaml": "services:\n  a:\n    image: x\n    comand: y\n",
        "compose.override.yaml": "services:\n  a:\n    labels: 5\n  b:\n    image: 6\n",
    }
    found = {(problem.file, problem.line, problem.field) for problem in problems(files)}
    assert found == {
        ("/app/compose.yaml", 4, "services.a.comand"),
        ("/app/compose.override.yaml", 3, "services.a.labels"),
        ("/app/compose.override.yaml", 5, "services.b.image"),
    }


def test_references_are_all_checked_and_near_names_suggested() -> None:
    text = """\
services:
  web:
    image: x
    depends_on: [databse]
    networks: [fornt]
    volumes:
      - /anonymous
      - dat:/data
    secrets:
      - tokn
  database:
    image: y
networks: {front: }
volumes: {data: }
secrets: {token: {file: t}}
"""
    found = {(problem.field, problem.line, problem.hint) for problem in problems(text)}
    assert found == {
        ("services.web.depends_on.databse", 4, "did you mean 'database'?"),
        ("services.web.networks.fornt", 5, "did you mean 'front'?"),
        ("services.web.volumes[1]", 8, "did you mean 'data'?"),
        ("services.web.secrets[0]", 10, "did you mean 'token'?"),
    }


def test_a_problem_inside_an_extended_file_names_that_file() -> None:
    files = {
        "compose.yaml": "services:\n  web:\n    extends: {file: sub/base.yaml, service: base}\n",
        "sub/base.yaml": "services:\n  base:\n    image: x\n    restrat: always\n",
    }
    (problem,) = problems(files)
    assert (problem.file, problem.line) == ("/app/sub/base.yaml", 4)


def test_a_problem_inside_an_included_file_names_that_file() -> None:
    files = {
        "compose.yaml": "include:\n  - sub/inc.yaml\nservices: {a: {image: x}}\n",
        "sub/inc.yaml": "services:\n  b:\n    image: x\n    volumes:\n      - nope:/x:ro\n      - :/bad\n",
    }
    (problem,) = problems(files)
    assert (problem.file, problem.line, problem.field) == ("/app/sub/inc.yaml", 6, "services.b.volumes[1]")


def test_a_bad_line_of_an_env_file_is_named_where_it_stands() -> None:
    files = {"compose.yaml": "services: {a: {image: x, env_file: e.env}}\n", "e.env": "A=1\n\nB C=2\n"}
    (problem,) = problems(files)
    assert (problem.file, problem.line) == ("/app/e.env", 3)


def test_interpolation_problems_are_all_told() -> None:
    text = 'services:\n  a:\n    image: "${TAG:?set a tag}"\n    scale: "${N:-many}"\n    command: "${"\n'
    found = [(problem.line, problem.message) for problem in problems(text)]
    assert found[0] == (3, "required variable TAG is missing a value: set a tag")
    assert {line for line, _ in found} == {3, 4, 5}


def test_yaml_problems_come_alone_and_with_their_line() -> None:
    (problem,) = problems("services:\n  a:\n    image: x\n    image: 5\n")
    assert (problem.line, problem.message) == (4, "mapping key 'image' already defined at line 3")


def test_a_cycle_is_told_once() -> None:
    text = "services:\n  a: {extends: b}\n  b: {extends: c}\n  c: {extends: a}\n"
    (problem,) = problems(text)
    assert problem.message == "circular reference in extends: a -> b -> c -> a"
    text = "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n"
    (problem,) = problems(text)
    assert problem.message == "dependency cycle detected: a -> b -> a"


def test_problems_have_a_bound() -> None:
    keys = "".join(f"    k{number}: 1\n" for number in range(500))
    assert len(problems(f"services:\n  a:\n    image: x\n{keys}")) == 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]\n", "an alias contains itself"),
        ("a: " + "[" * 300 + "]" * 300, "nested deeper than"),
        (
            "x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]\n" for n in range(1, 10)),
            "grows too large through its aliases",
        ),
        ("services: {a: {image: '" + "${A:-" * 300 + "'}}", "invalid interpolation format"),
        ("services: {a: {image: x, ports: ['1-65535', '1-65535/udp', '1-65535/sctp']}}", "more than 131072 ports"),
    ],
)
def test_what_would_grow_without_end_is_refused(text: str, message: str) -> None:
    assert any(message in problem.message for problem in problems(text)), problems(text)
