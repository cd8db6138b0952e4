"""What Docker clients need of a context: an address, and a certificate of its own, made when first asked for.

Kept beside the contexts' file, in `docker/NAME`: key.pem, cert.pem, ca.pem, as DOCKER_CERT_PATH wants them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from paddock.cli.connection import run
from paddock.client import Client
from paddock.client.config import CONTEXT, Context, config_file, context_of, endpoint_of, load
from paddock.model.errors import NotFound, UserError
from paddock.wire.api import DockerCertificate

RENEW_BEFORE_DAYS = 30
FILES = ("ca.pem", "cert.pem", "key.pem")


class DockerAccess(msgspec.Struct, frozen=True):
    """`host` is for DOCKER_HOST, `folder` for DOCKER_CERT_PATH."""

    host: str
    folder: Path

    def variables(self) -> dict[str, str]:
        return {"DOCKER_HOST": self.host, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(self.folder)}


class _Kept(msgspec.Struct):
    """For which context the files were made."""

    host: str
    made_for: str


def current_access(environ: Mapping[str, str]) -> DockerAccess:
    """Of the context commands talk to. Raises `UserError` when its server serves no Docker clients."""
    contexts = load(config_file(environ))
    name = environ.get(CONTEXT, "") or contexts.current
    chosen = context_of(contexts, environ, environ.get(CONTEXT, ""))
    found = docker_access(name, chosen, environ)
    if found is None:
        raise UserError(f"{chosen.server} serves no Docker clients", hint="its server may be older: upgrade it")
    return found


def docker_access(
    name: str, chosen: Context, environ: Mapping[str, str], *, privileged: bool = True, anew: bool = False
) -> DockerAccess | None:
    """None when the server serves no Docker clients. The certificate is made when there is none, or `anew`."""
    folder = config_file(environ).parent / "docker" / name
    made_for = hashlib.sha256(msgspec.json.encode(chosen)).hexdigest()
    kept = _kept(folder)
    if not anew and kept is not None and kept.made_for == made_for and _lasts(folder):
        return DockerAccess(kept.host, folder)
    key, request = _key_and_request()
    try:
        made = run(_certificate(chosen, request, privileged=privileged))
    except NotFound:
        return None
    if not made.port:
        return None
    host = f"tcp://{_bracketed(urlsplit(chosen.server).hostname or 'localhost')}:{made.port}"
    _write(folder, {"ca.pem": made.ca, "cert.pem": made.certificate, "key.pem": key})
    _write(folder, {"made.json": msgspec.json.encode(_Kept(host, made_for)).decode()})
    return DockerAccess(host, folder)


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


async def _certificate(chosen: Context, request: str, *, privileged: bool) -> DockerCertificate:
    async with Client(endpoint_of(chosen)) as client:
        return await client.docker_certificate(request, privileged=privileged)


def _kept(folder: Path) -> _Kept | None:
    try:
        return msgspec.json.decode((folder / "made.json").read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None


def _lasts(folder: Path) -> bool:
    from datetime import UTC, datetime

    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    except (OSError, ValueError):
        return False
    return (certificate.not_valid_after_utc - datetime.now(UTC)).days > RENEW_BEFORE_DAYS


def _key_and_request() -> tuple[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "docker client")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode(), request.public_bytes(serialization.Encoding.PEM).decode()


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """For their owner only."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, content in files.items():
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(content)


def save_docker_context(name: str, access: DockerAccess, environ: Mapping[str, str]) -> None:
    """As `docker context create` keeps it, so that `docker --context NAME` works without us."""
    home = environ.get("DOCKER_CONFIG") or str(Path(environ.get("HOME", "/root")) / ".docker")
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = {
        "Name": name,
        "Metadata": {"Description": "a Paddock cluster"},
        "Endpoints": {"docker": {"Host": access.host, "SkipTLSVerify": False}},
    }
    _write(Path(home) / "contexts" / "meta" / digest, {"meta.json": msgspec.json.encode(meta).decode()})
    tls = Path(home) / "contexts" / "tls" / digest / "docker"
    _write(tls, {file: (access.folder / file).read_text() for file in FILES})


def become(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """The program takes our place, with the environment set. Raises `UserError` when it is not installed."""
    if shutil.which(argv[0]) is None:
        raise UserError(f"{argv[0]} is not installed on this machine", hint="apt-get install docker-cli or docker.io")
    variables = {**environ, **current_access(environ).variables()}
    variables.pop("DOCKER_CONTEXT", None)
    os.execvpe(argv[0], list(argv), variables)


__all__ = ["DockerAccess", "become", "current_access", "docker_access", "save_docker_context"]
