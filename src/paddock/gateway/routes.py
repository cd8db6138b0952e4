"""The whole table of what is answered, by subject. Special paths come before those that would swallow them."""

from __future__ import annotations

from paddock.gateway import (
    arrivals,
    building,
    containers,
    create,
    elsewhere,
    execs,
    images,
    listing,
    lives,
    networks,
    system,
    volumes,
)
from paddock.gateway.router import Router

SUBJECTS = (system, listing, create, lives, containers, execs, networks, volumes, arrivals, building, images, elsewhere)
"""Each has `register(router)`."""


def router() -> Router:
    table = Router()
    for subject in SUBJECTS:
        subject.register(table)
    return table
