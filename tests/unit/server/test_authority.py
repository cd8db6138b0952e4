from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from paddock.model.errors import Broken, UserError
from paddock.model.objects import File
from paddock.server.authority import Authority, common_name, fingerprint
from paddock.server.sealing import Sealer
from paddock.world.world import machine_world

NOW_S = 1_900_000_000.0
DAY_S = 86400.0


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str = "whatever") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def names_of(authority: Authority) -> list[str]:
    certificate = x509.load_pem_x509_certificate(authority.certificate_file.read_bytes())
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(str(name.value) for name in san)


def test_the_ca_is_made_once_and_its_key_is_ours_alone(tmp_path: Path) -> None:
    first = Authority.open(tmp_path, NOW_S)
    assert Authority.open(tmp_path, NOW_S + DAY_S).fingerprint == first.fingerprint
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600


def test_the_servers_certificate_follows_its_names_and_its_end(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, NOW_S)
    assert authority.renew_server_certificate(["localhost", "10.0.0.1"], NOW_S)
    assert names_of(authority) == ["10.0.0.1", "localhost"]
    assert not authority.renew_server_certificate(["localhost", "10.0.0.1"], NOW_S + DAY_S)
    assert authority.renew_server_certificate(["localhost", "10.0.0.2"], NOW_S + DAY_S)
    assert names_of(authority) == ["10.0.0.2", "localhost"]
    assert authority.renew_server_certificate(["localhost", "10.0.0.2"], NOW_S + 340 * DAY_S)
    assert stat.S_IMODE(authority.key_file.stat().st_mode) == 0o600


def test_a_host_gets_the_name_we_choose(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, NOW_S)
    pem, print_ = authority.sign_host(request(ec.generate_private_key(ec.SECP256R1()), "admin"), "host-1", NOW_S)
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
    assert common_name(der) == "host-1"
    assert fingerprint(der) == print_
    x509.load_pem_x509_certificate(pem.encode()).verify_directly_issued_by(
        x509.load_pem_x509_certificate(authority.pem.encode())
    )


@pytest.mark.parametrize(
    "csr", ["", "no", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"]
)
def test_what_is_no_request_is_refused(tmp_path: Path, csr: str) -> None:
    with pytest.raises(UserError, match="csr"):
        Authority.open(tmp_path, NOW_S).sign_host(csr, "host-1", NOW_S)


def test_a_weak_key_is_refused(tmp_path: Path) -> None:
    weak = request(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    with pytest.raises(UserError, match="2048"):
        Authority.open(tmp_path, NOW_S).sign_host(weak, "host-1", NOW_S)


def test_a_ca_that_lost_its_half_is_broken_and_says_how_to_go_on(tmp_path: Path) -> None:
    Authority.open(tmp_path, NOW_S)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(Broken, match="restore"):
        Authority.open(tmp_path, NOW_S)


def test_a_sealed_secret_opens_only_as_itself(tmp_path: Path) -> None:
    sealer = Sealer.open(tmp_path / "sealing.key", machine_world())
    sealed = sealer.seal("env-1", "secret", b"swordfish")
    assert b"swordfish" not in sealed.content
    assert sealer.seal("env-1", "secret", b"swordfish").content != sealed.content
    assert (
        sealer.seal("env-1", "secret", b"swordfish").digest == sealed.digest != hashlib.sha256(b"swordfish").hexdigest()
    )
    file = File(
        id="file-1", environment="env-1", name="password", purpose="secret", sealed=sealed.content, digest=sealed.digest
    )
    assert Sealer.open(tmp_path / "sealing.key", machine_world()).unseal(file) == b"swordfish"
    for other in (
        msgspec.structs.replace(file, environment="env-2"),
        msgspec.structs.replace(file, digest="0" * 64),
        msgspec.structs.replace(file, sealed=sealed.content[:-1]),
        msgspec.structs.replace(file, sealed=b""),
    ):
        with pytest.raises(Broken):
            sealer.unseal(other)
