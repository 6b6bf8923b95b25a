"""Where Debian packages come from: what this machine's own apt is configured to use.

No address of a package archive stands in this project. The lab's nodes run another Debian release than
this machine may, so the release's name in the machine's own sources is exchanged.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from operate.failure import Failure

RELEASE = "trixie"
"""The Debian release of nodes, container images and the mirror."""

OVERRIDE = "SMARTGOUV_APT_SOURCES"
"""Names a sources file to use instead of this machine's own ones, as it stands."""

_SUITES = ("", "-updates", "-security")
_DEBIAN_KEYRINGS = "debian-archive"
_FALLBACK_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Source:
    """One archive, suite and set of components."""

    address: str
    suite: str
    components: tuple[str, ...]
    keyring: str

    def line(self) -> str:
        """This source as a line of a sources.list file."""
        return f"deb [signed-by={self.keyring}] {self.address} {self.suite} {' '.join(self.components)}"


def sources(configuration: Path = Path("/etc/apt"), codename: str | None = None) -> list[Source]:
    """The archives of `RELEASE`, derived from the apt configuration of this machine."""
    override = os.environ.get(OVERRIDE)
    if override:
        own = release = RELEASE
        candidates = list(_read(Path(override)))
    else:
        own, release = codename or _codename(), RELEASE
        candidates = [source for file in _files(configuration) for source in _read(file)]
    chosen = []
    for source in candidates:
        suffix = source.suite.removeprefix(own)
        if source.suite.startswith(own) and suffix in _SUITES and _is_debian(source):
            keyring = source.keyring or str(_FALLBACK_KEYRING)
            new = Source(source.address, release + suffix, ("main",), keyring)
            if new not in chosen:
                chosen.append(new)
    if not any(source.suite == release for source in chosen):
        raise Failure(
            f"no Debian archive for {release} can be derived from {override or configuration}",
            details="Looked for a source of Debian's own archive, component main, "
            f"of the release {own} that this machine runs.",
            next_step=f"export {OVERRIDE}=FILE   # a sources file that names an archive of Debian {release}",
        )
    return chosen


def settings() -> str:
    """How this machine's apt reaches archives (proxies, date checks, retries), as apt configuration."""
    result = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    wanted = re.compile(r"^Acquire::(http|https|Retries|Check-Valid-Until|Check-Date)\b")
    return "\n".join(line for line in result.stdout.splitlines() if wanted.match(line))


def _codename() -> str:
    match = re.search(r"^VERSION_CODENAME=(\S+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    return match[1].strip('"') if match else ""


def _is_debian(source: Source) -> bool:
    """Third parties sign with keys of their own, so a Debian keyring or apt's default one tells."""
    return "main" in source.components and (
        not source.keyring or Path(source.keyring).name.startswith(_DEBIAN_KEYRINGS)
    )


def _files(configuration: Path) -> list[Path]:
    parts = configuration / "sources.list.d"
    files = [configuration / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    return [file for file in files if file.is_file()]


def _read(file: Path) -> Iterator[Source]:
    text = file.read_text(encoding="utf-8")
    yield from _stanzas(text) if re.search(r"^Types:", text, re.MULTILINE) else _lines(text)


def _stanzas(text: str) -> Iterator[Source]:
    uncommented = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", uncommented):
        unfolded = re.sub(r"\n[ \t]+", " ", stanza)
        fields = {
            key.strip().lower(): value.strip()
            for key, separator, value in (line.partition(":") for line in unfolded.splitlines())
            if separator
        }
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") == "no":
            continue
        for address in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                components = tuple(fields.get("components", "").split())
                yield Source(address, suite, components, fields.get("signed-by", ""))


def _lines(text: str) -> Iterator[Source]:
    for match in re.finditer(r"^deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*)$", text, re.MULTILINE):
        options, address, suite, rest = match.groups()
        keyring = re.search(r"signed-by=(\S+)", options or "")
        components = tuple(rest.partition("#")[0].split())
        yield Source(address, suite, components, keyring[1] if keyring else "")
