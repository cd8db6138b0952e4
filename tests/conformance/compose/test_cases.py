"""Every recorded case: Paddock prints what docker compose 2.26 printed, and refuses what it refused."""

from __future__ import annotations

import json

import pytest
import yaml

from conformance.compose.case_runner import CASES, all_cases, ours, read_case
from paddock.model.errors import Invalid

NAMES = [case.name for case in all_cases()]


def test_the_corpus_is_large_enough() -> None:
    assert len(NAMES) >= 200
    refused = [name for name in NAMES if (CASES / name / "expected-error.txt").exists()]
    assert len(refused) >= 60


@pytest.mark.parametrize("name", NAMES)
def test_as_docker_compose(name: str) -> None:
    case = read_case(CASES / name)
    folder = case.folder
    if case.beyond:
        assert (folder / "expected-error.txt").exists(), "docker compose reads this: record it as an ordinary case"
        assert ours(case) == (folder / "paddock.json").read_text()
        return
    if (folder / "expected-error.txt").exists():
        with pytest.raises(Invalid) as caught:
            ours(case)
        assert caught.value.problems
        assert all(problem.message for problem in caught.value.problems)
        assert _names_a_place(caught.value), str(caught.value)
        return
    shown, expected = ours(case), (folder / case.answer).read_text()
    if case.prints_json:
        assert json.loads(shown) == json.loads(expected)
    if case.answer == "expected.yaml":
        assert yaml.safe_load(shown) == yaml.safe_load(expected)
    else:
        assert shown == expected


def _names_a_place(error: Invalid) -> bool:
    """A file for every problem with a file's contents; what was asked for has no file."""
    requests = ("no such service", "invalid project name", "no compose file", "project name must not")
    return all(problem.file or problem.message.startswith(requests) for problem in error.problems)
