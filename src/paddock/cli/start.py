"""`paddock start`"""

from __future__ import annotations

from paddock.cli.acting import DETACH, NAMES, STACK, TIMEOUT, Following, act
from paddock.cli.command import App
from paddock.cli.connection import run

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock start shop/api       start what was stopped
  paddock start -p shop        the whole stack""",
)
def start(
    names: list[str] | None = NAMES,
    stack: str = STACK,
    detach: bool = DETACH,
    timeout: float = TIMEOUT,
) -> None:
    """Start stopped services."""
    following = Following(detach=detach, timeout_s=timeout)
    run(act(names or [], stack, lambda client, view: client.start(view.stack, view.name), following))
