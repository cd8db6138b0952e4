"""Where the command line finds its server: contexts in a file, each overridden by the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from paddock.client.client import Endpoint
from paddock.model.errors import NotFound, UserError

SERVER = "PADDOCK_SERVER"
KEY_FILE = "PADDOCK_API_KEY_FILE"
ENVIRONMENT = "PADDOCK_ENVIRONMENT"
CA_FILE = "PADDOCK_CA_FILE"
CONFIG = "PADDOCK_CONFIG"
CONTEXT = "PADDOCK_CONTEXT"


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One server as one user. `ca` is PEM text; `key_file` is a path, so the file itself holds no secret."""

    server: str = ""
    ca: str = ""
    key_file: str = ""
    environment: str = "default"


class Contexts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    current: str = "default"
    contexts: dict[str, Context] = {}


def config_file(variables: Mapping[str, str]) -> Path:
    if variables.get(CONFIG):
        return Path(variables[CONFIG])
    home = variables.get("XDG_CONFIG_HOME") or str(Path(variables.get("HOME", "/root")) / ".config")
    return Path(home) / "paddock" / "config.json"


def load(path: Path) -> Contexts:
    """Empty when there is no file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Contexts)
    except FileNotFoundError:
        return Contexts()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise UserError(f"{path} is damaged: {error}", hint="mend or delete it, and log in again") from error


def save(path: Path, contexts: Contexts) -> None:
    """Whole or not at all, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(contexts), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def context_of(contexts: Contexts, variables: Mapping[str, str], name: str = "") -> Context:
    """The context by name, or the current one, with what the environment says put over it."""
    wanted = name or contexts.current
    if name and name not in contexts.contexts:
        raise NotFound(
            f"there is no context {name!r}", hint=f"there are: {', '.join(sorted(contexts.contexts)) or '-'}"
        )
    found = contexts.contexts.get(wanted, Context())
    if variables.get(SERVER):
        found = msgspec.structs.replace(found, server=variables[SERVER])
    if variables.get(CA_FILE):
        found = msgspec.structs.replace(found, ca=_text(Path(variables[CA_FILE]), CA_FILE))
    if variables.get(KEY_FILE):
        found = msgspec.structs.replace(found, key_file=variables[KEY_FILE])
    if variables.get(ENVIRONMENT):
        found = msgspec.structs.replace(found, environment=variables[ENVIRONMENT])
    return found


def endpoint_of(context: Context) -> Endpoint:
    if not context.server:
        raise UserError("no server is known", hint=f"set {SERVER}, {CA_FILE} and {KEY_FILE}, or make a context")
    if not context.ca:
        raise UserError(f"the CA of {context.server} is not known", hint=f"set {CA_FILE} to the server's ca.crt")
    key = _text(Path(context.key_file), "key file").strip() if context.key_file else ""
    return Endpoint(server=context.server, ca=context.ca, key=key, environment=context.environment)


def discover(variables: Mapping[str, str]) -> Endpoint:
    """What every command of the CLI begins with. `PADDOCK_CONTEXT` names another context than the current one."""
    contexts = load(config_file(variables))
    return endpoint_of(context_of(contexts, variables, variables.get(CONTEXT, "")))


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}") from error
