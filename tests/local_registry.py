"""A registry on the machine's side of the playground's bridge, which all hosts' engines trust while it is there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster_lab import Lab
from waiting import until

PORT = 5000
PROGRAM = "docker-registry"
USER, PASSWORD = "ci", "s3cret-of-ci"
_HTPASSWD = "ci:$2b$04$f.GLXNiewa4rl06Vn3o93ukOpaouEnA2r1Uf.d0cS.MY/ebQMZgFm\n"


@contextlib.contextmanager
def registry(lab: Lab, folder: Path, *, mirror: bool = False, login: bool = False) -> Iterator[str]:
    """Its address. With `login` it lets in only `USER` with `PASSWORD`.

    As a mirror it also answers for Docker Hub: `library/NAME` there is `NAME` to every engine.
    """
    address = f"{lab.ground.address}:{PORT}"
    config = folder / "registry.yml"
    text = f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\nhttp: {{addr: {address}}}\n"
    if login:
        (folder / "htpasswd").write_text(_HTPASSWD)
        text += f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
    config.write_text(text)
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(config)], stdout=log, stderr=log)
    before = {host: json.loads(_settings(lab, host).read_text()) for host in lab.hosts}
    added = {"insecure-registries": [address], "registry-mirrors": [f"http://{address}"] if mirror else []}
    try:
        for host in lab.hosts:
            _set(lab, host, {**before[host], **added})
        until(lambda: _trusted(lab, address), "the engines trust the registry")
        yield address
    finally:
        for host in lab.hosts:
            _set(lab, host, {**{name: [] for name in added}, **before[host]})
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _settings(lab: Lab, host: str) -> Path:
    return Path(f"/proc/{lab.pid(host, 'engine')}/root/etc/docker/daemon.json")


def _set(lab: Lab, host: str, settings: dict[str, Any]) -> None:
    """Engines read these settings again when asked to, and keep what is not named in them."""
    _settings(lab, host).write_text(json.dumps(settings))
    os.kill(lab.pid(host, "engine"), signal.SIGHUP)


def _trusted(lab: Lab, address: str) -> bool:
    return all(address in lab.docker(host, "info", "-f", "{{.RegistryConfig.IndexConfigs}}") for host in lab.hosts)
