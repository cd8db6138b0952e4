"""Reads a set of compose files into one model: variables, `extends`, `include`, overrides, long forms, paths.

The order of steps, and what each step sees, is that of compose-go's loader package.
"""

from __future__ import annotations

import msgspec

from .canonical import set_defaults
from .extends import apply_extends
from .include import apply_include
from .normalize import resolve_environment
from .paths import Resolver
from .reader import Reader, Scope, apply_resets
from .tree import Map
from .validate import validate


def load_model(reader: Reader, scope: Scope) -> Map:
    """The merged, canonical, resolved model. Raises Invalid with the problems of all files."""
    model = Map()
    for file in scope.files:
        model = _lay_over(reader, model, file, scope)
    reader.report.stop()
    model = set_defaults(model, reader.report)
    validate(model, reader.report)
    reader.report.stop()
    if scope.resolve_paths:
        home = reader.options.environment.get("HOME", "")
        model = Resolver(scope.working_dir, home, reader.report).resolve(model)
    reader.report.stop()
    return resolve_environment(model, scope.environment)


def _lay_over(reader: Reader, model: Map, file: str, scope: Scope) -> Map:
    """`model` with every document of `file` on top."""
    inside = msgspec.structs.replace(scope, included=(*scope.included, file))
    for layer, resets in reader.documents(file, scope):
        layer = apply_extends(reader, layer, file, scope, (resets,))
        model = apply_resets(model, resets)
        layer = apply_include(reader, layer, inside, load_model)
        reader.report.file = file
        model = reader.add(model, layer, file)
    return model
