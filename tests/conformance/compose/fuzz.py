"""Random small compose projects, answered by Paddock and by a real docker compose; prints every difference.

    python tests/conformance/compose/fuzz.py PATH_TO_DOCKER_COMPOSE [COUNT] [SEED]

Ends with 1 if any project was answered differently. Each difference leaves its folder, named in the output.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import yaml

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3] / "src")]

from conformance.compose.case_runner import Case, ours, theirs  # noqa: E402
from conformance.compose.grammar import project  # noqa: E402
from conformance.compose.layouts import layout_project  # noqa: E402
from conformance.compose.texts import text_project  # noqa: E402
from paddock.model.errors import Invalid  # noqa: E402


def differs(case: Case, binary: str) -> tuple[bool, str]:
    """Whether docker accepts the case, and how the two answers differ; empty when they do not."""
    accepted, expected = theirs(case, binary)
    return accepted, _difference(case, accepted, expected)


def _difference(case: Case, accepted: bool, expected: str) -> str:
    try:
        shown = ours(case)
    except Invalid as error:
        return f"docker accepts, we say: {error}" if accepted else ""
    if not accepted and expected.startswith("panic:"):
        return ""  # a crash is no answer
    if not accepted:
        return f"we accept, docker says: {expected}"
    if case.prints_json and json.loads(shown) == json.loads(expected):
        return ""
    if case.answer == "expected.yaml" and yaml.safe_load(shown) == yaml.safe_load(expected):
        return ""
    return "" if shown == expected else f"printed otherwise:\n{expected}\n--- ours\n{shown}"


def write(folder: Path, chance: random.Random) -> Case:
    made = chance.choice((project, text_project, layout_project))(chance)
    for name, text in made.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "case.json").write_text(json.dumps({"args": made.args, "config": made.config, "env": made.env}))
    return Case(name=folder.name, folder=folder, args=tuple(made.args), config=tuple(made.config), env=made.env)


def main() -> int:
    binary = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(10**6)
    top = Path(tempfile.mkdtemp(prefix="compose-fuzz-"))
    found = read = 0
    for number in range(seed, seed + count):
        folder = top / f"f{number}"
        folder.mkdir()
        case = write(folder, random.Random(number))
        accepted, difference = differs(case, binary)
        read += accepted
        if difference:
            found += 1
            print(f"=== {folder}\n{difference}")
        else:
            shutil.rmtree(folder)
    print(f"{count} projects from seed {seed}, {read} of them valid: {found} answered differently")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
