"""The whole table of what is answered, by subject. Special paths come before those that would swallow them."""

from __future__ import annotations

from paddock.gateway import (
    arrivals,
    building,
    connecting,
    containers,
    create,
    elsewhere,
    events,
    execs,
    images,
    listing,
    lives,
    networks,
    system,
    usage,
    volumes,
)
from paddock.gateway.router import Router

IMAGES, NETWORKS = (arrivals, building, images), (networks, connecting)
SUBJECTS = (system, listing, create, lives, containers, execs, *NETWORKS, volumes, *IMAGES, events, usage, elsewhere)
"""Each has `register(router)`."""


def router() -> Router:
    table = Router()
    for subject in SUBJECTS:
        subject.register(table)
    return table
