"""`paddock stop`"""

from __future__ import annotations

from paddock.cli.acting import DETACH, NAMES, STACK, TIMEOUT, Following, act
from paddock.cli.command import App
from paddock.cli.connection import run

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock stop shop/api       stop one service
  paddock stop -p shop        the whole stack""",
)
def stop(
    names: list[str] | None = NAMES,
    stack: str = STACK,
    detach: bool = DETACH,
    timeout: float = TIMEOUT,
) -> None:
    """Stop services and keep their containers; `paddock start` starts the same ones again."""
    following = Following(wish="stopped", detach=detach, timeout_s=timeout)
    run(act(names or [], stack, lambda client, view: client.stop(view.stack, view.name), following))
