"""Classic Swarm's words about placement, in environment variables and labels, taken out of what the container gets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from paddock.core.schedule.expressions import problem_with_affinity, problem_with_constraint
from paddock.gateway.problems import ApiProblem
from paddock.model.objects import Host
from paddock.model.specs import Placement

CONSTRAINTS_LABEL = "com.docker.swarm.constraints"
AFFINITIES_LABEL = "com.docker.swarm.affinities"
POLICIES_LABEL = "com.docker.swarm.reschedule-policies"
OPERATORS = ("==", "!=")
Json = dict[str, Any]


class Wanted(NamedTuple):
    """`body` is what remains for the container."""

    body: Json
    placement: Placement


def taken_out(body: Json, hosts: list[Host]) -> Wanted:
    """Raises `ApiProblem` (400) for what cannot be understood. The body given is left as it is."""
    constraints, affinities, env = _from_env(body.get("Env") or [])
    labels = dict(body.get("Labels") or {})
    constraints += _from_label(labels, CONSTRAINTS_LABEL)
    affinities += _from_label(labels, AFFINITIES_LABEL)
    left = dict(body)
    if len(env) < len(body.get("Env") or []):
        left["Env"] = env
    if len(labels) < len(body.get("Labels") or {}):
        left["Labels"] = labels
    placement = Placement(
        constraints=tuple(_constraint(text, hosts) for text in constraints),
        affinities=tuple(_affinity(text) for text in affinities),
    )
    problems = [problem_with_constraint(text) for text in placement.constraints]
    problems += [problem_with_affinity(text) for text in placement.affinities]
    if found := [problem for problem in problems if problem]:
        raise ApiProblem(400, "; ".join(found))
    return Wanted(left, placement)


def _from_env(env: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    constraints: list[str] = []
    affinities: list[str] = []
    rest: list[str] = []
    for entry in env:
        kind, colon, text = entry.partition(":")
        if colon and kind in ("constraint", "affinity") and any(operator in text for operator in OPERATORS):
            (constraints if kind == "constraint" else affinities).append(text)
        else:
            rest.append(entry)
    return constraints, affinities, rest


def _from_label(labels: dict[str, str], name: str) -> list[str]:
    text = labels.pop(name, "")
    if not text:
        return []
    try:
        return msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise ApiProblem(400, f"the label {name} is not a JSON list of expressions: {text!r}") from None


def _constraint(text: str, hosts: list[Host]) -> str:
    """`node` is the host's name; other words are labels, of the host as Paddock knows it or of its engine."""
    key, rest = _split(text)
    if key in ("node", "node.name"):
        return f"node.hostname{rest}"
    if key.startswith(("node.", "engine.")):
        return text
    ours = any(key in host.labels for host in hosts)
    engines = any(key in host.facts.engine_labels for host in hosts)
    return f"engine.labels.{key}{rest}" if engines and not ours else f"node.labels.{key}{rest}"


def _affinity(text: str) -> str:
    key, rest = _split(text)
    return text if key in ("container", "image", "service") or key.startswith("label:") else f"label:{key}{rest}"


def _split(text: str) -> tuple[str, str]:
    at = min((found for operator in OPERATORS if (found := text.find(operator)) >= 0), default=len(text))
    return text[:at].strip(), text[at:]
