"""Records the answers of a real docker compose for all cases, or for those named.

    python tests/conformance/compose/record.py PATH_TO_DOCKER_COMPOSE [CASE...]

The recorded answers in the repository are those of Debian trixie's docker-compose 2.26.1-4.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3] / "src")]

from conformance.compose.case_runner import Case, all_cases, ours, theirs  # noqa: E402


def record(case: Case, binary: str) -> str:
    accepted, text = theirs(case, binary)
    for old in ("expected.json", "expected.yaml", "expected.txt", "expected-error.txt", "paddock.json"):
        (case.folder / old).unlink(missing_ok=True)
    name = case.answer if accepted else "expected-error.txt"
    (case.folder / name).write_text(text)
    if case.beyond:
        (case.folder / "paddock.json").write_text(ours(case))
    return name


def main() -> None:
    binary, names = sys.argv[1], sys.argv[2:]
    for case in all_cases():
        if not names or case.name in names:
            print(f"{case.name}: {record(case, binary)}")


if __name__ == "__main__":
    main()
