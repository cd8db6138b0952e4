"""The short port syntax: `[[ip:][published]:]target[/protocol]`, with ranges, as docker/go-connections reads it."""

from __future__ import annotations

import ipaddress
import re

from .tree import Map

_PROTOCOLS = ("tcp", "udp", "sctp")


def parse_port(spec: str) -> list[Map]:
    """One entry per target port, in the order of their text. Raises ValueError."""
    address, published, target = _split(spec)
    protocol, target = _protocol(target)
    address = _address(address)
    if not target:
        raise ValueError(f"no port specified: {spec}<empty>")
    start, end = _range(target, "containerPort")
    host_start, host_end = _range(published, "hostPort") if published else (0, 0)
    if published and end - start != host_end - host_start and end != start:
        raise ValueError(f"invalid ranges specified for container and host Ports: {target} and {published}")
    if protocol.lower() not in _PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    entries = {}
    for offset in range(end - start + 1):
        host = ""
        if published:
            one_to_many = start == end and host_start != host_end
            host = f"{host_start + offset}-{host_end}" if one_to_many else str(host_start + offset)
        entries[f"{start + offset}/{protocol.lower()}"] = _entry(address, start + offset, host, protocol.lower())
    return [entries[key] for key in sorted(entries)]


def port_count(spec: str) -> int:
    """How many entries it comes to; 1 for what is none."""
    try:
        start, end = _range(_protocol(_split(spec)[2])[1], "containerPort")
    except ValueError:
        return 1
    return end - start + 1


def _entry(address: str, target: int, published: str, protocol: str) -> Map:
    entry = Map({"mode": "ingress"})
    if address:
        entry["host_ip"] = address
    if target:
        entry["target"] = target
    if published:
        entry["published"] = published
    entry["protocol"] = protocol
    return entry


def _split(spec: str) -> tuple[str, str, str]:
    parts = spec.split(":")
    if len(parts) == 1:
        return "", "", parts[0]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    return ":".join(parts[:-2]), parts[-2], parts[-1]


def _protocol(target: str) -> tuple[str, str]:
    parts = target.split("/")
    if not parts[0]:
        return "", ""
    if len(parts) == 1 or not parts[1]:
        return "tcp", parts[0]
    return parts[1], parts[0]


def _address(text: str) -> str:
    if not text:
        return ""
    if text.startswith("["):
        if not text.endswith("]"):
            raise ValueError(f"invalid IP address {text}")
        text = text[1:-1]
    elif ":" in text:
        raise ValueError(f"invalid IP address {text}: an IPv6 address needs brackets")
    if text:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise ValueError(f"invalid IP address: {text}") from None
        if "%" in text:
            raise ValueError(f"invalid IP address: {text}")
    return text


def _range(text: str, what: str) -> tuple[int, int]:
    parts = text.split("-")
    numbers = []
    for part in parts[:2]:
        if not re.fullmatch(r"[0-9]+", part) or int(part) > 65535:
            raise ValueError(f"invalid {what}: {text}")
        numbers.append(int(part))
    if numbers[-1] < numbers[0]:
        raise ValueError(f"invalid {what}: {text}")
    return numbers[0], numbers[-1]
