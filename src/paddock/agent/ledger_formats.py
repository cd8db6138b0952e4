"""Ledgers that earlier versions wrote, brought to today's form as they are opened: nothing last known is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from paddock.model.assignment import AddressAssignment, AnyItem, NameAssignment, key_of
from paddock.model.objects import NetworkId

FORMAT = 2
"""1: an item per name, with all its addresses. 2: an item per address, with all its names."""


def items_of_format_1(bodies: Mapping[str, bytes]) -> dict[str, AnyItem]:
    """What the items under `name/…` say, as today's items."""
    found: dict[str, AnyItem] = {}
    told: list[dict[str, Any]] = [
        msgspec.json.decode(body, type=dict[str, Any])
        for key, body in sorted(bodies.items())
        if key.startswith("name/")
    ]
    for name in told:
        network = NetworkId(name["network"])
        if not name["addresses"]:
            empty = NameAssignment(network=network, name=name["name"])
            found[key_of(empty)] = empty
        for ipv4 in name["addresses"]:
            item = AddressAssignment(network=network, ipv4=ipv4)
            known = found.get(key_of(item), item)
            assert isinstance(known, AddressAssignment)
            if name.get("reverse") and not known.container:
                more = msgspec.structs.replace(known, container=name["name"])
            else:
                more = msgspec.structs.replace(known, names=(*known.names, name["name"]))
            found[key_of(item)] = more
    return found
