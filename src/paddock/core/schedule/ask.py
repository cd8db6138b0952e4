"""What is to be placed: some units of one revision, alike in everything the scheduler looks at."""

from __future__ import annotations

import msgspec

from paddock.core.schedule.fleet import Flags, Ints
from paddock.model.objects import HostId
from paddock.model.specs import ServiceSpec


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """The one host that will do, and why (`volume data is on h2`). `host` None: no host will do now."""

    kind: str
    host: HostId | None
    why: str


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """One affinity, looked up: on which hosts what it names is. `own`: it names the very service to be placed."""

    text: str
    equal: bool
    soft: bool
    there: Flags
    own: bool = False


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """`own`: units of the service on each host. `failures`: how often it failed there of late. `leaving`: those of
    `own` that go as soon as their successors have taken over. `without`: hosts that will not do, whatever they say (the
    one that is being left)."""

    spec: ServiceSpec
    own: Ints
    failures: Ints
    leaving: Ints
    pins: tuple[Pin, ...] = ()
    presences: tuple[Presence, ...] = ()
    without: tuple[HostId, ...] = ()
    ipv6: bool = False
    """It is on a network with IPv6."""
    networks_full: Flags | None = None
    """Hosts that take no part yet in a network of the service which has no block left for one more."""
