"""A host's certificate: its dates, when it is renewed, what is refused, and that every interruption leaves a pair."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from certificates import Authority
from paddock.agent import certificate as subject
from paddock.agent.certificate import CHECK_S, RETRY_S, HostCertificate, keep_renewed, lifetime
from paddock.agent.identity import CERTIFICATE, KEY, RENEWED, Identity, save_identity, tls_of
from paddock.agent.sealing import write_private
from paddock.model.errors import Refused
from paddock.sim.loop import run
from paddock.sim.world import EPOCH_S, simulated_world
from paddock.wire.channel import ChannelClosed
from paddock.world.probes import Probes

DAY_S = 86400.0
IDENTITY = Identity(host="host-1", name="h1", environment="default", server="127.0.0.1", agents_port=1)
AUTHORITY = Authority()
SIGNER = ec.generate_private_key(ec.SECP256R1())
moments = st.datetimes(datetime.datetime(1951, 1, 1), datetime.datetime(2120, 1, 1)).map(
    lambda at: at.replace(microsecond=0, tzinfo=datetime.UTC)
)


def joined(data: Path) -> HostCertificate:
    data.mkdir(exist_ok=True)
    key, certificate = AUTHORITY.host()
    write_private(data / KEY, key)
    save_identity(data, IDENTITY, certificate, AUTHORITY.pem)
    return HostCertificate(data, "host-1", tls_of(data))


@given(moments, moments)
def test_dates_are_read_as_the_library_reads_them(one: datetime.datetime, other: datetime.datetime) -> None:
    first, last = min(one, other), max(one, other)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(SIGNER.public_key()).serial_number(2**150)
        .not_valid_before(first).not_valid_after(last)
        .sign(SIGNER, hashes.SHA256())
    )  # fmt: skip
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    assert lifetime("a key before it\n" + pem + pem) == (first.timestamp(), last.timestamp())


def test_it_is_due_at_two_thirds_of_its_life_and_says_when_it_has_ended(tmp_path: Path) -> None:
    certificate = joined(tmp_path)
    begins_s, ends_s = lifetime((tmp_path / CERTIFICATE).read_text())
    two_thirds_s = begins_s + (ends_s - begins_s) * 2 / 3
    assert not certificate.due(two_thirds_s - 1)
    assert certificate.due(two_thirds_s + 1)
    assert certificate.ended(ends_s - 1) == ""
    assert "certificate ended on" in certificate.ended(ends_s + 1)
    assert "join again" in certificate.ended(ends_s + 1)


def test_a_renewal_takes_the_place_of_key_and_certificate(tmp_path: Path) -> None:
    certificate = joined(tmp_path)
    asyncio.run(certificate.accept(AUTHORITY.sign_request(certificate.request())))
    assert (tmp_path / RENEWED).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / KEY).exists()
    assert not (tmp_path / CERTIFICATE).exists()
    first = (tmp_path / RENEWED).read_bytes()
    again = HostCertificate(tmp_path, "host-1", tls_of(tmp_path))
    asyncio.run(again.accept(AUTHORITY.sign_request(again.request())))
    assert (tmp_path / RENEWED).read_bytes() != first
    assert tls_of(tmp_path).verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize("answer", ["for another key", "of another CA", "for another host", "no certificate"])
def test_what_would_lock_the_host_out_is_refused(tmp_path: Path, answer: str) -> None:
    data = tmp_path / "data"
    certificate = joined(data)
    if answer == "for another host":
        certificate = HostCertificate(data, "host-2", tls_of(data))
    request = certificate.request()
    answers = {
        "for another key": AUTHORITY.host()[1],
        "of another CA": Authority().sign_request(request),
        "for another host": AUTHORITY.sign_request(request),
        "no certificate": "-----BEGIN NOTHING-----",
    }
    with pytest.raises(Refused, match="the server's answer is"):
        asyncio.run(certificate.accept(answers[answer]))
    assert (data / KEY).exists()
    assert tls_of(data)
    with pytest.raises(Refused, match="the server's answer is"):
        asyncio.run(certificate.accept(AUTHORITY.sign_request(request)))


@pytest.mark.parametrize("step", ["the disk refuses", "before the old pair goes"])
def test_whatever_stops_it_leaves_a_pair_that_belongs_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Stopped(BaseException):
        pass

    def refuse(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    def stop(self: Path, missing_ok: bool = False) -> None:
        raise Stopped

    certificate = joined(tmp_path)
    answer = AUTHORITY.sign_request(certificate.request())
    with monkeypatch.context() as faulty:
        if step == "the disk refuses":
            faulty.setattr(subject, "write_private", refuse)
        else:
            faulty.setattr(Path, "unlink", stop)
        with pytest.raises((OSError, Stopped)):
            asyncio.run(certificate.accept(answer))
    assert tls_of(tmp_path)
    assert (tmp_path / RENEWED).exists() == (step != "the disk refuses")


def test_joining_anew_forgets_what_was_renewed(tmp_path: Path) -> None:
    certificate = joined(tmp_path)
    asyncio.run(certificate.accept(AUTHORITY.sign_request(certificate.request())))
    joined(tmp_path)
    assert not (tmp_path / RENEWED).exists()
    assert tls_of(tmp_path)


class Life:
    """A certificate of three days in virtual time, and a session that renews it, or refuses as often as told."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.begins_s = EPOCH_S
        self.asked_at_days: list[float] = []

    def due(self, now_s: float) -> bool:
        return now_s >= self.begins_s + 2 * DAY_S

    def request(self) -> str:
        return "request"

    async def renew(self, request: str) -> str:
        assert request == "request"
        self.asked_at_days.append(asyncio.get_running_loop().time() / DAY_S)
        if self.refusals:
            self.refusals -= 1
            raise ChannelClosed("the server stops")
        return "certificate"

    async def accept(self, certificate: str) -> None:
        assert certificate == "certificate"
        self.begins_s = EPOCH_S + asyncio.get_running_loop().time()


def lived(life: Life, days: float) -> list[float]:
    async def main() -> None:
        world = simulated_world("agent", Probes())
        keeping = asyncio.create_task(keep_renewed(life, lambda: life, world))
        await asyncio.wait([keeping], timeout=days * DAY_S)
        keeping.cancel()

    run(main())
    return life.asked_at_days


def test_it_is_renewed_once_in_every_two_thirds_of_a_life() -> None:
    assert lived(Life(), 5) == pytest.approx([2.0, 4.0], abs=3 * CHECK_S / DAY_S)


def test_a_failed_renewal_is_tried_again_within_the_hour_and_the_life_goes_on() -> None:
    asked = lived(Life(refusals=3), 3)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses == pytest.approx([(RETRY_S + CHECK_S) / DAY_S] * 3, rel=0.01)
