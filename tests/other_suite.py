"""Another project's own tests as that project published them: fetched once, kept, and run with what they ask for."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

SUITES = Path(__file__).resolve().parent / "suites"
CACHE = Path(os.environ.get("PADDOCK_TEST_CACHE") or "/var/cache/paddock-tests")
FETCH_TIMEOUT_S = 300.0
PIP = ("-m", "pip", "-q", "--disable-pip-version-check")


class Suite:
    """`NAME.sdist` is one requirement with its hash, `NAME.txt` what its tests are run with."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._release, self._needs = SUITES / f"{name}.sdist", SUITES / f"{name}.txt"
        key = hashlib.sha256(self._release.read_bytes() + self._needs.read_bytes() + sys.version.encode())
        self._folder = CACHE / f"{name}-{key.hexdigest()[:12]}"
        self.python = self._folder / "venv" / "bin" / "python"

    @property
    def source(self) -> Path:
        """The unpacked release, as it came."""
        (found,) = (self._folder / "source").iterdir()
        return found

    def fetch(self) -> None:
        """Raises AssertionError with what pip says when the package index does not give it."""
        if (self._folder / "whole").exists():
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(self._folder / "venv"))
        _run(str(self.python), *PIP, "install", "-r", str(self._needs))
        downloads = self._folder / "downloads"
        only_source = ("--no-binary", ":all:", "--no-deps", "--no-build-isolation", "--require-hashes")
        _run(str(self.python), *PIP, "download", *only_source, "-r", str(self._release), "-d", str(downloads))
        (archive,) = downloads.iterdir()
        (self._folder / "source").mkdir()
        _run("tar", "-xf", str(archive), "-C", str(self._folder / "source"))
        (self._folder / "whole").touch()

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], *, within: Sequence[str], timeout_s: float
    ) -> tuple[dict[str, str], str]:
        """Test -> "passed" or what was wrong with it, and all that was printed. `within` wraps the command."""
        report = self._folder / "report.xml"
        report.unlink(missing_ok=True)
        # Without its own options: they are about coverage and colours.
        options = ("-o", "addopts=", "-p", "no:cacheprovider", f"--junitxml={report}")
        command = [str(self.python), "-m", "pytest", *options, *arguments]
        done = subprocess.run(
            [*within, *command], cwd=self.source, env={**environment, "PYTHONPATH": str(self.source)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert report.exists(), f"the tests of {self._name} were not run: {done.stdout[-4000:]}"
        return outcomes(report), done.stdout


def outcomes(report: Path) -> dict[str, str]:
    found = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        wrong = [child for child in case if child.tag in ("failure", "error", "skipped")]
        name = f"{case.get('classname', '').removeprefix('tests.')}::{case.get('name')}"
        found[name] = f"{wrong[0].tag}: {wrong[0].get('message')}" if wrong else "passed"
    return found


def _run(*command: str) -> None:
    # Ours would count as installed there.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} failed; is a package index reached? {done.stderr[-2000:]}"
