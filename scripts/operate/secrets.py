"""The operator's secret store: a private directory with one file a secret."""

from __future__ import annotations

import os
import secrets as randomness
import string
from dataclasses import dataclass
from pathlib import Path

from estate import Estate
from estate.secrets import api_key, backup_key
from operate.failure import ExitCode, Failure
from operate.files import private_directory, write_atomically

_CLASSES = (string.ascii_uppercase, string.ascii_lowercase, string.digits)


@dataclass(frozen=True)
class Finding:
    """A secret that can't be used, and why. Never its value."""

    name: str
    path: Path
    reason: str


class SecretStore:
    """The secrets of one deployment. Values leave it only through the files themselves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._redactions: tuple[int, list[str]] = (0, [])

    def path(self, name: str) -> Path:
        """The file of a secret, whether it exists or not."""
        return self.directory / name

    def generate(self, estate: Estate) -> list[str]:
        """Make every declared secret that is missing and isn't a person's to bring; return the new names."""
        private_directory(self.directory)
        made = []
        for secret in estate.secrets:
            if secret.generated and not self.path(secret.name).exists():
                write_atomically(self.path(secret.name), _value(secret.length) + "\n", mode=0o600)
                made.append(secret.name)
        return made

    def check(self, estate: Estate) -> list[Finding]:
        """What is wrong with the declared secrets: missing, empty, readable by others."""
        findings = []
        for secret in estate.secrets:
            path = self.path(secret.name)
            try:
                mode = path.stat().st_mode & 0o777
                empty = not path.read_text(encoding="utf-8").strip()
            except FileNotFoundError:
                findings.append(Finding(secret.name, path, "missing"))
            except (OSError, UnicodeDecodeError) as error:
                findings.append(Finding(secret.name, path, f"can't be read: {type(error).__name__}"))
            else:
                if empty:
                    findings.append(Finding(secret.name, path, "empty"))
                elif mode & 0o077:
                    findings.append(Finding(secret.name, path, f"readable by others (mode {mode:04o})"))
        return findings

    def to_bring(self, estate: Estate) -> list[str]:
        """Names of missing secrets that can't be made here, such as accounts of existing hardware."""
        return [
            secret.name
            for secret in estate.secrets
            if not secret.generated and not self.path(secret.name).exists()
        ]

    def undeclared(self, estate: Estate) -> list[str]:
        """Names of files that the estate doesn't declare: leftovers of a rename, perhaps.

        What is made on hosts isn't declared: API keys, brought by an apply, and keys of backups, by a backup.
        """
        keys = {name(host.name) for host in estate.managed_servers for name in (api_key, backup_key)}
        declared = {secret.name for secret in estate.secrets} | keys
        if not self.directory.is_dir():
            return []
        return sorted(
            path.name
            for path in self.directory.iterdir()
            if path.is_file() and not path.name.startswith(".") and path.name not in declared
        )

    def require(self, estate: Estate, generate: str) -> None:
        """Failure with the command that helps, unless every declared secret can be used.

        `generate` is the command that makes the missing ones.
        """
        findings = self.check(estate)
        if not findings:
            return
        lines = [f"{finding.name}: {finding.reason} ({finding.path})" for finding in findings]
        brought = self.to_bring(estate)
        steps = [
            f"install -m 0600 /dev/stdin {self.path(name)}   # type the value, then Ctrl-D" for name in brought
        ]
        if any(finding.reason == "missing" and finding.name not in brought for finding in findings):
            steps.append(f"{generate}   # makes the missing ones")
        if any("readable by others" in finding.reason for finding in findings):
            steps.append(f"chmod 0600 {self.directory}/*")
        for finding in findings:
            if finding.reason == "empty":
                steps.append(f"rm {finding.path}   # then generate it anew")
        count = len(findings)
        raise Failure(
            f"{count} {'secret' if count == 1 else 'secrets'} of site '{estate.site.name}' can't be used",
            details="\n".join(lines),
            next_step="\n".join(steps) or f"ls -l {self.directory}",
            code=ExitCode.BAD_INPUT,
        )

    def redact(self, text: str) -> str:
        """`text` with every value of this store replaced: the last guard before a log or a terminal."""
        for value in self._values():
            text = text.replace(value, "<secret>")
        return text

    def _values(self) -> list[str]:
        """Values to be redacted; read again when a file came or went."""
        if not self.directory.is_dir():
            return []
        changed = self.directory.stat().st_mtime_ns
        if self._redactions[0] != changed:
            texts = (
                path.read_text(encoding="utf-8", errors="replace").strip()
                for path in self.directory.iterdir()
                if path.is_file() and os.access(path, os.R_OK)
            )
            # A shorter text would blank out ordinary words. Longest first: one may be a part of another.
            values = sorted((text for text in texts if len(text) >= 6), key=len, reverse=True)
            self._redactions = (changed, values)
        return self._redactions[1]


def _value(length: int) -> str:
    """Letters and digits with at least one of each class, uniformly among all such values."""
    alphabet = "".join(_CLASSES)
    while True:
        value = "".join(randomness.choice(alphabet) for _ in range(length))
        if all(any(letter in kind for letter in value) for kind in _CLASSES):
            return value
