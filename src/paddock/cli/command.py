"""Commands declared by the signatures of functions, as Typer does it, on Click alone: Typer takes too long to start.

A parameter's default is an `Option` or an `Argument`; its annotation says the type: str, int, float, bool, Path, each
also as `list[…]` or with `| None`. See docs/decisions/dependency-click-rich.md.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

Exit = click.exceptions.Exit
Abort = click.exceptions.Abort
UsageError = click.UsageError
Invocation = click.Context
"""A parameter of this type is given by Click itself: `invoked_subcommand` is what a group needs."""

Function = TypeVar("Function", bound=Callable[..., None])
REQUIRED: Any = ...


class _Declared:
    def __init__(self, default: Any, flags: tuple[str, ...], settings: Mapping[str, Any]) -> None:
        self.default = default
        self.flags = flags
        self.settings = settings


def Option(default: Any, *flags: str, **settings: Any) -> Any:
    """`settings` are those of `click.Option`: help, metavar, envvar, is_eager, callback."""
    return _Declared(default, flags, settings)


def Argument(default: Any, *, metavar: str = "", help: str = "") -> Any:
    return _Declared(default, (), {"metavar": metavar, "help": help})


def examples(*lines: str) -> str:
    """For `epilog`: kept as they are, line by line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class App:
    """One command, or a group of them. Functions stay what they are and can be called as such."""

    def __init__(self, *, no_args_is_help: bool = False, invoke_without_command: bool = False) -> None:
        self._settings: dict[str, Any] = {
            "no_args_is_help": no_args_is_help,
            "invoke_without_command": invoke_without_command,
        }
        self._commands: list[tuple[str, Callable[..., None], dict[str, Any]]] = []
        self._callback: tuple[Callable[..., None], dict[str, Any]] | None = None

    def command(self, name: str = "", **settings: Any) -> Callable[[Function], Function]:
        def declare(function: Function) -> Function:
            self._commands.append((name or function.__name__.replace("_", "-"), function, settings))
            return function

        return declare

    def callback(self, **settings: Any) -> Callable[[Function], Function]:
        def declare(function: Function) -> Function:
            self._callback = (function, settings)
            return function

        return declare

    def build(self, name: str) -> click.Command:
        if self._callback is None:
            ((_, function, settings),) = self._commands
            return click.Command(name, **_built(function, settings))
        function, settings = self._callback
        group = click.Group(name, **_built(function, settings), **self._settings)
        for each, inner, options in self._commands:
            group.add_command(click.Command(each, **_built(inner, options)))
        return group


def _built(function: Callable[..., None], settings: Mapping[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    params = [_param(name, each.default, hints[name]) for name, each in parameters.items() if _is_declared(each)]
    lists = {name for name in hints if _shape(hints[name])[1]}
    wants_context = [name for name in hints if hints[name] is click.Context]

    def call(**values: Any) -> None:
        given = {name: list(value) if name in lists else value for name, value in values.items()}
        function(**given, **dict.fromkeys(wants_context, click.get_current_context()))

    return {"params": params, "callback": call, "help": inspect.getdoc(function), **settings}


def _is_declared(parameter: inspect.Parameter) -> bool:
    return isinstance(parameter.default, _Declared)


def _param(name: str, declared: _Declared, hint: Any) -> click.Parameter:
    kind, many = _shape(hint)
    settings: dict[str, Any] = {key: value for key, value in declared.settings.items() if value != ""}
    settings["type"] = click.Path(path_type=Path) if kind is Path else kind
    required = declared.default is REQUIRED
    if not required and not many:
        settings["default"] = declared.default
    if not declared.flags:
        metavar = settings.pop("metavar", name.upper()) if required else f"[{settings.pop('metavar', name.upper())}]"
        return click.Argument(
            [name], nargs=-1 if many else 1, required=required, metavar=f"{metavar}..." if many else metavar, **settings
        )
    if kind is bool:
        settings |= {"is_flag": True}
    shown = declared.default not in (None, "", 0, False) and not many and not required
    return click.Option([*declared.flags, name], multiple=many, required=required, show_default=shown, **settings)


def _shape(hint: Any) -> tuple[Any, bool]:
    """The type of one value, and whether there may be several."""
    if isinstance(hint, types.UnionType):
        (hint,) = (each for each in typing.get_args(hint) if each is not type(None))
    if typing.get_origin(hint) is list:
        return typing.get_args(hint)[0], True
    return hint, False
