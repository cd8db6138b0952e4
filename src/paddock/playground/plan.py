"""What a playground is called and which addresses it uses: pure arithmetic on its name and its /16."""

from __future__ import annotations

import ipaddress
import re
import zlib

from paddock.model.errors import UserError

HOSTS_MAX = 31
"""A /16 is 32 pieces of /21: the first is the LAN, each host owns one of the others for its engine's networks."""

SUBNETS = tuple(f"10.{second}.0.0/16" for second in (*range(77, 100), *range(130, 160)))
"""Tried in this order until one is free."""

_SHORT_NAME = re.compile(r"[a-z][a-z0-9]{0,8}")


def prefix(name: str) -> str:
    """At most nine characters, so that `PREFIX-lan` and `PREFIX-h31` stay within Linux' fifteen for a link."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
        raise UserError(f"'{name}' cannot name a playground", hint="use letters, digits, '-', '_' and '.', at most 63")
    if _SHORT_NAME.fullmatch(name):
        return name
    letters = re.sub(r"[^a-z0-9]", "", name.lower())[:4]
    return f"{letters}{zlib.crc32(name.encode()) & 0xFFFFF:05x}"


def number(host: str) -> int:
    """`h7` -> 7."""
    if not re.fullmatch(r"h[1-9][0-9]?", host) or int(host[1:]) > HOSTS_MAX:
        raise UserError(f"'{host}' is not a host of a playground", hint=f"hosts are called h1, h2, … h{HOSTS_MAX}")
    return int(host[1:])


def network(subnet: str) -> ipaddress.IPv4Network:
    """Parses and checks what a caller gave as the playground's range."""
    try:
        found = ipaddress.IPv4Network(subnet)
    except ValueError as error:
        raise UserError(
            f"'{subnet}' is not an address range: {error}", hint="give a /16 such as 10.77.0.0/16"
        ) from None
    if found.prefixlen != 16:
        raise UserError(f"{subnet} has the wrong size for a playground", hint="give a /16 such as 10.77.0.0/16")
    return found


def lan(subnet: str) -> ipaddress.IPv4Network:
    """The first /24: the machine is .1, host N is .10+N."""
    return next(network(subnet).subnets(new_prefix=24))


def machine_address(subnet: str) -> str:
    return str(lan(subnet)[1])


def host_address(subnet: str, host: str) -> str:
    return str(lan(subnet)[10 + number(host)])


def host_mac(subnet: str, host: str) -> str:
    """Fixed, as a real card's is: neighbours find the host again at once after a power failure."""
    return "02:70:" + ":".join(f"{byte:02x}" for byte in lan(subnet)[10 + number(host)].packed)


def docker0(subnet: str, host: str) -> str:
    """Address and length of the host's own docker0 bridge."""
    own = list(network(subnet).subnets(new_prefix=21))[number(host)]
    return f"{own[257]}/24"


def pools(subnet: str, host: str) -> tuple[str, ...]:
    """What the host's engine takes its other networks from, in pieces of /26: clashes with no other host."""
    own = list(network(subnet).subnets(new_prefix=21))[number(host)]
    middle, upper = list(own.subnets(new_prefix=23))[1], list(own.subnets(new_prefix=22))[1]
    return (str(upper), str(middle))
