"""What an operator may choose. Everything has a default that is safe on a machine of its own."""

from __future__ import annotations

from pathlib import Path

import msgspec

DEFAULT_DATA = "/var/lib/paddock/server"
API_PORT = 7443
AGENTS_PORT = 7444
DOCKER_PORT = 7445


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`names`: further names and addresses the server is reached by; the first one goes into join tokens.

    Ports of 0 let the machine choose; a `docker_port` of 0 serves Docker clients on the socket in `data` only.
    `admin_key_file`: also write the first admin key to `<data>/admin.key`. `listen` is the address all ports are bound
    to; "" is every address.
    """

    data: str = DEFAULT_DATA
    listen: str = ""
    api_port: int = API_PORT
    agents_port: int = AGENTS_PORT
    docker_port: int = DOCKER_PORT
    names: tuple[str, ...] = ()
    admin_key_file: bool = False
    pools: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        return Path(self.data)

    @property
    def database(self) -> Path:
        return self.directory / "paddock.db"
