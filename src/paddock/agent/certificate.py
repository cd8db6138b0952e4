"""This host's certificate: when it is to be renewed, what is asked of the server for that, and how the answer is kept.

Key and certificate of a renewal are one file, so that whatever stops us leaves a pair that belongs together: the old
one or the new one. Dates are read here because the library that could costs an idle agent an eighth of its memory.
"""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from paddock.agent.identity import CA, CERTIFICATE, KEY, RENEWED, certificate_file
from paddock.agent.sealing import write_private
from paddock.model.errors import Refused
from paddock.wire.channel import ChannelClosed
from paddock.world.world import World

RENEW_AT = 2 / 3
"""Of its life."""
CHECK_S = 60.0
RETRY_S = 3600.0
_EXPLICIT_VERSION, _UTC_TIME = 0xA0, 0x17
_LONG_LENGTH = 0x80


class Renewable(Protocol):
    """`HostCertificate`, or a test's."""

    def due(self, now_s: float) -> bool: ...
    def request(self) -> str: ...
    async def accept(self, certificate: str) -> None: ...


class Renewing(Protocol):
    """A session. `renew` raises `ChannelClosed`."""

    async def renew(self, request: str) -> str: ...


async def keep_renewed(certificate: Renewable, session: Callable[[], Renewing | None], world: World) -> None:
    """Runs for ever. Until a renewal succeeds the old certificate goes on being used."""
    while True:
        await asyncio.sleep(CHECK_S)
        current = session()
        if current is None or not certificate.due(world.now_s()):
            continue
        try:
            await certificate.accept(await current.renew(certificate.request()))
        except (ChannelClosed, Refused, OSError) as error:
            world.log.error("this host's certificate was not renewed", reason=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            world.log.info("this host's certificate was renewed")


class HostCertificate:
    """`tls` is what connections are made with; those made after a renewal show the new certificate."""

    def __init__(self, data: Path, host: str, tls: ssl.SSLContext) -> None:
        self._data = data
        self._host = host
        self._tls = tls
        self._asked: bytes = b""
        self._life = lifetime(certificate_file(data).read_text())

    def due(self, now_s: float) -> bool:
        begins_s, ends_s = self._life
        return now_s >= begins_s + (ends_s - begins_s) * RENEW_AT

    def ended(self, now_s: float) -> str:
        """What to do when it has ended, "" while it lasts."""
        ends_s = self._life[1]
        if now_s < ends_s:
            return ""
        day = datetime.datetime.fromtimestamp(ends_s, datetime.UTC).date()
        return (
            f"this host's certificate ended on {day}; if this host's clock is right, remove the host from the server "
            f"with `paddock hosts remove`, delete {self._data} here, and join again with the command that "
            "`paddock hosts add` prints"
        )

    def request(self) -> str:
        """A certificate request, PEM, for a new key that `accept` will want to see again."""
        self._asked, request = key_and_request()
        return request

    async def accept(self, certificate: str) -> None:
        """Raises `Refused` when it is not what was asked for, `OSError` when the disk does not take it."""
        key, self._asked = self._asked, b""
        life = _checked(certificate, key, (self._data / CA).read_bytes(), self._host)
        await asyncio.to_thread(write_private, self._data / RENEWED, key + certificate.encode())
        self._life = life
        self._tls.load_cert_chain(self._data / RENEWED)
        for superseded in (KEY, CERTIFICATE):
            (self._data / superseded).unlink(missing_ok=True)


def key_and_request() -> tuple[bytes, str]:
    """An EC P-256 key and a certificate request, both PEM. The server chooses the name in the certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "paddock host")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, request.public_bytes(serialization.Encoding.PEM).decode()


def lifetime(pem: str) -> tuple[float, float]:
    """-> from when to when the first certificate in `pem` is valid, seconds since the epoch (RFC 5280, 4.1)."""
    begin, end = pem.index("-----BEGIN CERTIFICATE-----"), pem.index("-----END CERTIFICATE-----")
    der = ssl.PEM_cert_to_DER_cert(pem[begin:end] + "-----END CERTIFICATE-----\n")
    (_, certificate), *_ = _elements(der)
    (_, signed), *_ = _elements(certificate)
    fields = [field for field in _elements(signed) if field[0] != _EXPLICIT_VERSION]
    _serial, _algorithm, _issuer, (_, validity), *_ = fields
    first, last = (_time_s(tag, content.decode("ascii")) for tag, content in _elements(validity))
    return first, last


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """Tags and contents, one level deep (X.690, 8.1)."""
    found, at = [], 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & _LONG_LENGTH:
            octets = length & ~_LONG_LENGTH
            length, at = int.from_bytes(der[at : at + octets], "big"), at + octets
        found.append((tag, der[at : at + length]))
        at += length
    return found


def _time_s(tag: int, text: str) -> float:
    """Two digits of a year mean 1950 to 2049."""
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC).timestamp()


def _checked(certificate: str, key: bytes, ca: bytes, host: str) -> tuple[float, float]:
    """-> its lifetime. A certificate that would lock this host out must never take the place of one that works."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509.oid import NameOID

    try:
        found = x509.load_pem_x509_certificate(certificate.encode())
        found.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
        ours = serialization.load_pem_private_key(key, password=None).public_key() == found.public_key()
        names = [name.value for name in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except (ValueError, TypeError, InvalidSignature) as error:
        raise Refused(f"the server's answer is not a certificate of its CA: {error or 'wrong signature'}") from error
    if not ours or names != [host]:
        raise Refused("the server's answer is a certificate for another key or host than asked for")
    return lifetime(certificate)
