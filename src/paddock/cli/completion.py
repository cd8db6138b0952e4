"""`paddock --install-completion`: Click writes the script, the shell finds it where it looks anyway."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from paddock.cli.output import say
from paddock.model.errors import UserError

VARIABLE = "_PADDOCK_COMPLETE"
_PLACES = {
    "bash": (".local/share/bash-completion/completions/paddock", "open a new shell"),
    "zsh": (".zfunc/_paddock", "put `fpath+=~/.zfunc` before `compinit` in ~/.zshrc, and open a new shell"),
    "fish": (".config/fish/completions/paddock.fish", "open a new shell"),
}


def install(command: click.Command) -> None:
    """For the shell of the user, as SHELL says."""
    shell = Path(os.environ.get("SHELL", "")).name
    if shell not in _PLACES:
        raise UserError(f"there is no completion for {shell or 'an unknown shell'}", hint=f"for {', '.join(_PLACES)}")
    made = get_completion_class(shell)
    assert made is not None, "Click knows these three"
    place, then = _PLACES[shell]
    file = Path.home() / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(made(command, {}, "paddock", VARIABLE).source())
    say(f"{file} written; {then}")
