"""Who this host is to its server: the files of an agent's data directory."""

from __future__ import annotations

import fcntl
import os
import ssl
from pathlib import Path

import msgspec

from paddock.agent.sealing import write_private
from paddock.model.errors import Broken, Refused, UserError

IDENTITY, KEY, CERTIFICATE, CA = "identity.json", "host.key", "host.crt", "ca.crt"
RENEWED = "host.pem"
"""Key and certificate since the first renewal, in place of the two files of the join."""
DEFAULT_DATA = "/var/lib/paddock/agent"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """`server` is the host name or address of the server, without port."""

    host: str
    name: str
    environment: str
    server: str
    agents_port: int


def is_joined(data: Path) -> bool:
    return (data / IDENTITY).exists()


def save_identity(data: Path, identity: Identity, certificate: str, ca: str) -> None:
    """The identity comes last: without it nothing was joined."""
    (data / RENEWED).unlink(missing_ok=True)
    write_private(data / CERTIFICATE, certificate.encode())
    write_private(data / CA, ca.encode())
    write_private(data / IDENTITY, msgspec.json.encode(identity))


def load_identity(data: Path) -> Identity:
    try:
        return msgspec.json.decode((data / IDENTITY).read_bytes(), type=Identity)
    except FileNotFoundError as error:
        raise UserError(
            f"this host has not joined a server: there is no {data / IDENTITY}",
            hint="run `paddock hosts add` where you administer the server, and the command it prints here",
        ) from error
    except (OSError, msgspec.DecodeError) as error:
        raise Broken(f"{data / IDENTITY} cannot be read: {error}", hint="join this host again with a new token") from (
            error
        )


def certificate_file(data: Path) -> Path:
    renewed = data / RENEWED
    return renewed if renewed.exists() else data / CERTIFICATE


def tls_of(data: Path) -> ssl.SSLContext:
    """Trusts the server's own CA and nobody else, and shows this host's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(data / CA)
        certificate = certificate_file(data)
        context.load_cert_chain(certificate, None if certificate.name == RENEWED else data / KEY)
    except (OSError, ssl.SSLError) as error:
        raise Broken(
            f"this host's certificate in {data} cannot be used: {error}", hint="join this host again with a new token"
        ) from error
    return context


def lock(data: Path) -> int:
    """One agent per data directory. The lock lasts as long as the returned descriptor, which nobody closes."""
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        other = os.read(descriptor, 32).decode("ascii", "replace").strip()
        raise Refused(
            f"another agent (process {other or 'unknown'}) runs on {data}", hint="stop it first, or use another --data"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
