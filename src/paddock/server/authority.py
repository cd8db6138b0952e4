"""The server's own certificate authority: it signs the server's certificate and those of hosts, nothing else."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from paddock.model.errors import Broken, UserError

CA_YEARS = 20
SERVER_DAYS = 365
HOST_DAYS = 365
RENEW_BEFORE_DAYS = 30
LEAST_RSA_BITS = 2048
_SKEW = datetime.timedelta(minutes=10)
"""Certificates are valid from a little before now: hosts' clocks differ."""


class Authority:
    """CA key and certificate in a directory. `Authority.open` makes them on first use, the key readable by us only."""

    def __init__(self, directory: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._directory = directory
        self._key = key
        self._certificate = certificate
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.fingerprint = certificate.fingerprint(hashes.SHA256()).hex()

    @staticmethod
    def open(directory: Path, now_s: float) -> Authority:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key_file, certificate_file = directory / "ca.key", directory / "ca.crt"
        if not key_file.exists() and not certificate_file.exists():
            key, certificate = _new_ca(now_s)
            write_private(key_file, _key_pem(key))
            write_private(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
        try:
            loaded = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
            found = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        except (OSError, ValueError) as error:
            raise Broken(f"the server's CA in {directory} cannot be read: {error}", hint=_RESTORE) from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.public_key() != found.public_key():
            raise Broken(f"ca.key and ca.crt in {directory} do not belong together", hint=_RESTORE)
        return Authority(directory, loaded, found)

    @property
    def certificate_file(self) -> Path:
        return self._directory / "server.crt"

    @property
    def key_file(self) -> Path:
        return self._directory / "server.key"

    @property
    def ca_file(self) -> Path:
        return self._directory / "ca.crt"

    def renew_server_certificate(self, names: Iterable[str], now_s: float) -> bool:
        """Issues one when there is none, it ends soon, or a name is missing from it. True when it did."""
        wanted = sorted(dict.fromkeys(names))
        if self._server_certificate_serves(wanted, now_s):
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder("paddock server", key.public_key(), now_s, SERVER_DAYS)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in wanted]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        write_private(self.key_file, _key_pem(key))
        write_private(self.certificate_file, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
        return True

    def _server_certificate_serves(self, wanted: list[str], now_s: float) -> bool:
        try:
            current = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
            key = serialization.load_pem_private_key(self.key_file.read_bytes(), password=None)
        except (OSError, ValueError):
            return False
        names = current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        lasts = current.not_valid_after_utc.timestamp() - now_s > RENEW_BEFORE_DAYS * 86400
        ours = current.issuer == self._certificate.subject and key.public_key() == current.public_key()
        return lasts and ours and all(_general_name(name) in names for name in wanted)

    def sign_host(self, csr_pem: str, host_id: str, now_s: float) -> tuple[str, str]:
        """-> (certificate PEM, its SHA-256 fingerprint). Only the key is taken from the request; we choose the name."""
        public_key = _requested_key(csr_pem)
        certificate = (
            self._builder(host_id, public_key, now_s, HOST_DAYS)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        return pem, certificate.fingerprint(hashes.SHA256()).hex()

    def _builder(
        self, name: str, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, now_s: float, days: int
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def api_tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    def agents_tls(self) -> ssl.SSLContext:
        """Only who holds a certificate of ours gets past the handshake."""
        context = self.api_tls()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.ca_file)
        return context


_RESTORE = "restore the data directory from a backup with `paddock server restore`"


def write_private(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Whole or not at all, on disk when it returns, never readable by others in between."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def common_name(der: bytes) -> str:
    """The host id in a client certificate; "" when there is none."""
    names = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def fingerprint(der: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return digest.finalize().hex()


def _new_ca(now_s: float) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    serial = x509.random_serial_number()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(f"paddock CA {serial:x}"[:24]))
        .issuer_name(_name(f"paddock CA {serial:x}"[:24]))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + datetime.timedelta(days=365 * CA_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _requested_key(csr_pem: str) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        valid = request.is_signature_valid
        key = request.public_key()
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise UserError("csr is not a certificate request in PEM form", hint="let `paddock agent join` make it") from (
            error
        )
    if not valid:
        raise UserError("csr is not signed by the key it carries", hint="let `paddock agent join` make it")
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_RSA_BITS:
        return key
    raise UserError(f"csr must carry an EC key or an RSA key of {LEAST_RSA_BITS} bits or more")


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
