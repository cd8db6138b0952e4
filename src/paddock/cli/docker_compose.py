"""`paddock compose`: docker compose, pointed at the cluster."""

from __future__ import annotations

import os
import shutil
import subprocess

from paddock.cli.command import App, Argument, examples

app = App()
LOOK_TIMEOUT_S = 10.0


@app.command(
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
    epilog=examples(
        "paddock compose up -d        this directory's project, over all hosts",
        "paddock compose logs -f",
        "paddock up -d                Paddock's own: rolling updates, healing, scheduling",
    ),
)
def compose(arguments: list[str] = Argument([], metavar="ARGUMENTS", help="As for docker compose.")) -> None:
    """Run this machine's docker compose against the cluster."""
    from paddock.cli.docker_access import become

    become([*_program(), *arguments], os.environ)


def _program() -> list[str]:
    """The plugin where there is one, else the program of old."""
    if shutil.which("docker"):
        asked = ["docker", "compose", "version"]
        if subprocess.run(asked, capture_output=True, timeout=LOOK_TIMEOUT_S, check=False).returncode == 0:
            return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
