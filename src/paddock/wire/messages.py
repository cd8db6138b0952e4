"""Messages on an agent's control connection, one JSON document per WebSocket message.

The first message of the agent is `Hello`, the first of the server `Welcome` or `Goodbye`. `PROTOCOL` is raised when an
old peer could not cope; each side says the range it speaks and the highest common one is used. Since 2 images are
spoken of: `Images`, `FetchImage` and what answers it, and `OpenStream.save`. Since 3 names are told by address
(`AddressAssignment`), which an agent of 2 could not read: it is refused, and goes on with what it was told last.
"""

from __future__ import annotations

import msgspec

from paddock.model.assignment import AnyItem
from paddock.model.images import HeldImage, SaveImage
from paddock.model.objects import HostFacts, VolumeId
from paddock.model.reports import UnitReport

PROTOCOL = 3
OLDEST_PROTOCOL = 3
HEARTBEAT_S = 2.0
"""An agent that has sent nothing else for this long sends a `Heartbeat`."""
SILENT_AFTER_S = 6.0
"""A server that has heard nothing for this long takes the connection for dead; so does an agent."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=str.lower):
    """Root of both directions."""


class Hello(Message, frozen=True, kw_only=True):
    """`instance` is chosen by the agent at each process start: two live agents with one identity differ in it.

    `assignment` is the version its ledger holds, 0 for none; `last_session` the last session number it was given.
    """

    protocols: tuple[int, int]
    host: str
    instance: str
    agent_version: str
    facts: HostFacts
    assignment: int = 0
    last_session: int = 0


class Heartbeat(Message, frozen=True, kw_only=True):
    pass


class Confirm(Message, frozen=True, kw_only=True):
    """The ledger durably holds the assignment at this version."""

    assignment: int


class Report(Message, frozen=True, kw_only=True):
    """`number` counts up within a session. Reports of another session than the current one change nothing. `whole`:
    with this one, the session has been told of every unit of the host, each as it was seen since the agent started.

    `volumes`: those that had to go and are not on the host any more.
    """

    session: int
    number: int
    units: tuple[UnitReport, ...]
    volumes: tuple[VolumeId, ...] = ()
    whole: bool = False


class Facts(Message, frozen=True, kw_only=True):
    session: int
    facts: HostFacts


class Images(Message, frozen=True, kw_only=True):
    """What the host's engine has. `whole`: all of it follows, in this message and the next; else a difference."""

    session: int
    whole: bool = False
    images: tuple[HeldImage, ...] = ()
    gone: tuple[str, ...] = ()


class FetchImage(Message, frozen=True, kw_only=True):
    """The agent needs an image: if another host of its environment has it, it is brought from there."""

    request: int
    image: str
    platform: str = ""
    name: str = ""
    """`image` is an id, and it shall come with this name where the name means it."""
    pulled: bool = False
    """It is to be pulled whoever has it: only what its registry wants to see is asked for."""


class Renew(Message, frozen=True, kw_only=True):
    """The agent's certificate ends before long: `csr` is a request, PEM, with a new key."""

    csr: str


class Welcome(Message, frozen=True, kw_only=True):
    protocol: int
    session: int
    name: str
    environment: str


class Reported(Message, frozen=True, kw_only=True):
    """Everything up to report `number` is committed."""

    number: int


class Assign(Message, frozen=True, kw_only=True):
    """`whole`: `items` is the entire assignment, whatever was held before; else a difference from `since`."""

    version: int
    since: int = 0
    whole: bool = False
    items: tuple[AnyItem, ...] = ()
    dropped: tuple[str, ...] = ()


class Renewed(Message, frozen=True, kw_only=True):
    """The answer to `Renew`. This session goes on; connections made from now on show the new certificate."""

    certificate: str


class OpenStream(Message, frozen=True, kw_only=True):
    """Dial back a connection of its own for this stream and join it to the engine's socket."""

    stream: str
    save: SaveImage | None = None
    """Instead of the engine's socket: what it says of this image, and nothing the other way."""


class FetchingImage(Message, frozen=True, kw_only=True):
    """How far a `FetchImage` is."""

    request: int
    words: str


class FetchedImage(Message, frozen=True, kw_only=True):
    """The end of a `FetchImage`. `found` False without `error`: no other host has it."""

    request: int
    found: bool = False
    error: str = ""
    auth: str = ""
    """What its registry wants to see: the value of `X-Registry-Auth`."""


class Goodbye(Message, frozen=True, kw_only=True):
    """The server ends the session. `final`: coming back will not help until somebody acts on `reason`. `doubled`:
    another agent with this identity is connected."""

    reason: str
    final: bool = False
    doubled: bool = False


FromAgent = Hello | Heartbeat | Confirm | Report | Facts | Images | FetchImage | Renew
FromServer = Welcome | Reported | Assign | OpenStream | FetchingImage | FetchedImage | Goodbye | Heartbeat | Renewed

encode = msgspec.json.Encoder().encode
decode_from_agent = msgspec.json.Decoder(FromAgent).decode
decode_from_server = msgspec.json.Decoder(FromServer).decode
