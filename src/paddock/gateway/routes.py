"""The whole table of what is answered, by subject. Special paths come before those that would swallow them."""

from __future__ import annotations

from paddock.gateway import (
    arrivals,
    building,
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

IMAGES = (arrivals, building, images)
SUBJECTS = (system, listing, create, lives, containers, execs, networks, volumes, *IMAGES, events, usage, elsewhere)
"""Each has `register(router)`."""


def router() -> Router:
    table = Router()
    for subject in SUBJECTS:
        subject.register(table)
    return table
