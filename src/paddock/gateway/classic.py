"""Classic Swarm's words about placement, in environment variables and labels, taken out of what the container gets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import msgspec

from paddock.core.presence import SHORTEST_ID
from paddock.core.schedule.expressions import (
    Expression,
    parse,
    problem_with_affinity,
    problem_with_constraint,
    value_matches,
)
from paddock.gateway.problems import ApiProblem
from paddock.model.images import HeldImage
from paddock.model.objects import Host
from paddock.model.specs import Placement

CONSTRAINTS_LABEL = "com.docker.swarm.constraints"
AFFINITIES_LABEL = "com.docker.swarm.affinities"
POLICIES_LABEL = "com.docker.swarm.reschedule-policies"
ON_NODE_FAILURE = "on-node-failure"
POLICIES = (ON_NODE_FAILURE, "off")
STANDARD = {"node": "node.hostname", "node.name": "node.hostname", "operatingsystem": "node.platform.os",
            "kernelversion": "node.kernel"}  # fmt: skip
"""What classic Swarm knew of every host without a label."""
OPERATORS = ("==", "!=")
Json = dict[str, Any]


class Wanted(NamedTuple):
    """`body` is what remains for the container."""

    body: Json
    placement: Placement
    reschedule: Literal["", "on-node-failure"] = ""


def taken_out(body: Json, hosts: list[Host]) -> Wanted:
    """Raises `ApiProblem` (400) for what cannot be understood. The body given is left as it is."""
    constraints, affinities, policies, env = _from_env(body.get("Env") or [])
    labels = dict(body.get("Labels") or {})
    constraints += _from_label(labels, CONSTRAINTS_LABEL)
    affinities += _from_label(labels, AFFINITIES_LABEL)
    policies += _from_label(labels, POLICIES_LABEL)
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
    problems += [f"the reschedule policy {word!r} is not one of {', '.join(POLICIES)}"
                 for word in policies if word not in POLICIES]  # fmt: skip
    if found := [problem for problem in problems if problem]:
        raise ApiProblem(400, "; ".join(found))
    return Wanted(left, placement, "on-node-failure" if ON_NODE_FAILURE in policies else "")


def _from_env(env: Iterable[str]) -> tuple[list[str], list[str], list[str], list[str]]:
    """-> constraints, affinities, policies of rescheduling, and the variables that are the container's."""
    constraints: list[str] = []
    affinities: list[str] = []
    policies: list[str] = []
    rest: list[str] = []
    for entry in env:
        kind, colon, text = entry.partition(":")
        if colon and kind in ("constraint", "affinity") and any(operator in text for operator in OPERATORS):
            (constraints if kind == "constraint" else affinities).append(text)
        elif colon and kind == "reschedule":
            policies.append(text)
        else:
            rest.append(entry)
    return constraints, affinities, policies, rest


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
    if key in STANDARD:
        return f"{STANDARD[key]}{rest}"
    if key.startswith(("node.", "engine.")):
        return text
    ours = any(key in host.labels for host in hosts)
    engines = any(key in host.facts.engine_labels for host in hosts)
    return f"engine.labels.{key}{rest}" if engines and not ours else f"node.labels.{key}{rest}"


def _affinity(text: str) -> str:
    key, rest = _split(text)
    return text if key in ("container", "image", "service") or key.startswith("label:") else f"label:{key}{rest}"


def image_affinities(placement: Placement) -> list[Expression]:
    found = [parse(text) for text in placement.affinities]
    return [expression for expression in found if expression is not None and expression.key == "image"]


def holds(image: HeldImage, value: str) -> bool:
    """Whether the image goes by the word: its id or the beginning of it, a name, a name without its tag, a pattern."""
    words = [image.id, image.id.removeprefix("sha256:"), *image.names]
    words += [
        plain for name in image.names if "/" not in name.rpartition(":")[2] and (plain := name.rpartition(":")[0])
    ]
    begins = len(digits := value.removeprefix("sha256:")) >= SHORTEST_ID and words[1].startswith(digits)
    return begins or any(value_matches(value, word) for word in words)


def _split(text: str) -> tuple[str, str]:
    at = min((found for operator in OPERATORS if (found := text.find(operator)) >= 0), default=len(text))
    return text[:at].strip(), text[at:]
