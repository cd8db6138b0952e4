"""WebSockets of the API, with the API key."""

from __future__ import annotations

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from paddock.client.connection import CONNECT_TIMEOUT_S, Connections, error_of
from paddock.model.errors import Transient

MOST_MESSAGE_BYTES = 2**22


async def opened(connections: Connections, path: str) -> ClientConnection:
    """Raises what the server answers when it refuses, and `Transient`."""
    headers = [(name, value) for name, value in connections.headers() if name == "Authorization"]
    host = f"[{connections.host}]" if ":" in connections.host else connections.host
    try:
        return await connect(
            f"wss://{host}:{connections.port}{path}",
            ssl=connections.tls,
            additional_headers=headers,
            compression=None,
            open_timeout=CONNECT_TIMEOUT_S,
            ping_interval=None,
            max_size=MOST_MESSAGE_BYTES,
            proxy=None,
        )
    except InvalidStatus as refused:
        raise error_of(refused.response.status_code, bytes(refused.response.body or b"")) from refused
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise Transient(f"the server at {connections.server} cannot be reached: {error}") from error
