"""The house's own rules, as tests: sizes, names, broad excepts, waits, stubs."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

FILE_LINES = 600
FUNCTION_LINES = 70
FUNCTION_LINES_P95 = 40
PARAMETERS = 6
BROAD_EXCEPTS = 5
BANNED_FILE_NAMES = {"utils.py", "helpers.py", "common.py", "manager.py", "base.py", "misc.py"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(paths: list[Path]) -> Iterator[tuple[str, Function]]:
    for path in paths:
        for node in functions_of(path):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


@functools.cache
def functions_of(path: Path) -> tuple[Function, ...]:
    """Kept: several rules ask for the same ones, and reading all of them takes seconds."""
    return tuple(n for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def length(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_source_file_is_longer_than_the_wall() -> None:
    long = {str(p.relative_to(ROOT)): n for p in SOURCE if (n := len(p.read_text().splitlines())) > FILE_LINES}
    assert not long, f"split these files: {long}"


def test_no_function_is_longer_than_the_wall() -> None:
    long = [f"{place} {length(node)} lines" for place, node in functions(SOURCE) if length(node) > FUNCTION_LINES]
    assert not long, "split these functions:\n" + "\n".join(long)


def test_ninety_five_of_a_hundred_functions_are_short() -> None:
    lengths = sorted(length(node) for _, node in functions(SOURCE))
    assert lengths[int(len(lengths) * 0.95)] <= FUNCTION_LINES_P95


def test_parameters_are_few() -> None:
    def count(node: Function) -> int:
        arguments = node.args
        positional = [a for a in arguments.posonlyargs + arguments.args if a.arg not in ("self", "cls")]
        return len(positional)

    # Commands and routes declare one parameter per option: that is their job.
    rooms = [path for path in SOURCE if not {"cli", "main", "http"} & set(path.parent.parts)]
    many = [f"{place} takes {count(node)}" for place, node in functions(rooms) if count(node) > PARAMETERS]
    assert not many, "make these a frozen Struct:\n" + "\n".join(many)


def test_broad_excepts_stay_at_their_few_named_boundaries() -> None:
    broad = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCE
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and is_broad(node)
    ]
    assert len(broad) <= BROAD_EXCEPTS, broad


def is_broad(node: ast.ExceptHandler) -> bool:
    return node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))


def test_tests_do_not_sleep() -> None:
    sleeps = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in TESTS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and called(node) == "sleep" and not polls(path, node)
    ]
    assert not sleeps, f"wait on a condition with a deadline (tests/waiting.py): {sleeps}"


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def polls(path: Path, node: ast.Call) -> bool:
    """Only tests/waiting.py may pause, between two looks at a condition; `asyncio.sleep(0)` only yields."""
    yields = len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
    return yields or path == ROOT / "tests" / "waiting.py"


def test_files_are_named_for_what_is_in_them() -> None:
    bad = [str(path.relative_to(ROOT)) for path in SOURCE if path.name in BANNED_FILE_NAMES]
    assert not bad


def test_nothing_is_left_as_a_stub() -> None:
    stubs = [
        place
        for place, node in functions(SOURCE)
        if any(isinstance(n, ast.Raise) and "NotImplemented" in ast.dump(n) for n in ast.walk(node))
    ]
    assert not stubs


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX"])
def test_no_loose_ends_in_comments(word: str) -> None:
    found = [str(path.relative_to(ROOT)) for path in SOURCE if word in path.read_text()]
    assert not found
