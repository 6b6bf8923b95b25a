"""What this machine keeps for one deployment of a site, and how programs are told about it."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import estate as model
from estate import Estate, EstateError
from estate.load import OVERLAY_VARIABLE, SECRETS_VARIABLE
from estate.site import Environment
from operate.failure import ExitCode, Failure
from operate.ledger import Ledger
from operate.locations import ROOT, cache_home, lab_directory, site_directory
from operate.secrets import SecretStore

DEFAULT_LAB = "lab"
_LAB_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


@dataclass(frozen=True)
class Workspace:
    """A site, and the directory with its keys, secrets, states and ledger."""

    site: str
    directory: Path
    lab: str | None = None
    """The lab's name; None where the site isn't a lab."""

    @property
    def overlay_file(self) -> Path:
        """What only this deployment knows; present for labs, optional elsewhere."""
        return self.directory / "overlay.yml"

    @property
    def lock_file(self) -> Path:
        """Held by every run that changes something."""
        return self.directory / "lock"

    @property
    def ssh_directory(self) -> Path:
        """A lab's key, known hosts and client configuration."""
        return self.directory / "ssh"

    @property
    def ssh_configuration(self) -> Path:
        """The client configuration for a lab's hosts."""
        return self.ssh_directory / "config"

    @property
    def ceremony_directory(self) -> Path:
        """Requests to the root, records of its ceremonies and what it issued; in a lab the root itself."""
        return self.directory / "ceremony"

    @property
    def timestamping_directory(self) -> Path:
        """Certificates of the time-stamping authorities, brought from their hosts."""
        return self.directory / "timestamping"

    @property
    def kubeconfig(self) -> Path:
        """The cluster administrator's access, fetched when the cluster was made."""
        return self.directory / "kubeconfig"

    @property
    def root_certificate(self) -> Path:
        """The site's root certificate, fetched when the authorities were made."""
        return self.directory / "root.crt"

    @cached_property
    def secrets(self) -> SecretStore:
        """The secrets: of the directory that $SMARTGOUV_SECRETS names, else of this workspace."""
        configured = os.environ.get(SECRETS_VARIABLE)
        return SecretStore(Path(configured).absolute() if configured else self.directory / "secrets")

    @property
    def ledger(self) -> Ledger:
        """The ledger of this deployment's runs."""
        return Ledger(self.directory / "ledger.jsonl")

    @property
    def apply_command(self) -> str:
        """What to type to apply this deployment."""
        return f"scripts/smartgouv apply {self.site}{self.lab_option('--lab')}"

    def replace_command(self, verb: str, what: str) -> str:
        """What to type to rotate or revoke something."""
        return f"scripts/smartgouv {verb} {self.site} {what}{self.lab_option('--lab')}"

    @property
    def generate_command(self) -> str:
        """What to type to make this deployment's missing secrets."""
        return f"scripts/smartgouv secrets generate {self.site}{self.lab_option('--lab')}"

    def lab_command(self, verb: str) -> str:
        """What to type to have scripts/lab do something with this lab."""
        return f"scripts/lab {verb}{self.lab_option('--name')}"

    def lab_option(self, option: str) -> str:
        """` OPTION NAME` where the lab isn't the default one, for commands that messages propose."""
        return f" {option} {self.lab}" if self.lab not in (None, DEFAULT_LAB) else ""

    def load(self) -> Estate:
        """The estate as deployed here; Failure naming each problem's file and line."""
        overlay = self.overlay_file if self.overlay_file.exists() else None
        return load_estate(self.site, overlay)

    def environment(self) -> dict[str, str]:
        """Environment of the programs that read the estate and the secrets."""
        variables = {
            **os.environ,
            SECRETS_VARIABLE: str(self.secrets.directory),
            "SMARTGOUV_CEREMONY": str(self.ceremony_directory),
            "SMARTGOUV_TIMESTAMPING": str(self.timestamping_directory),
            "SMARTGOUV_SITE": self.site,
            "SMARTGOUV_TOOLCHAIN": str(cache_home()),
        }
        variables.pop(OVERLAY_VARIABLE, None)
        if self.overlay_file.exists():
            variables[OVERLAY_VARIABLE] = str(self.overlay_file)
        return variables

    def new_run(self, what: str) -> Path:
        """Make and return a directory for the logs of one step of a run."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
        path = self.directory / "runs" / f"{stamp}-{what}"
        path.mkdir(parents=True, mode=0o700)
        return path


def open_workspace(site: str, lab: str | None = None) -> Workspace:
    """The workspace of `site` on this machine.

    A site whose environment is `lab` has a workspace for each lab name. Failure if there's no such site.
    """
    estate = load_estate(site)
    if estate.site.environment is not Environment.LAB:
        if lab is not None:
            raise Failure(
                f"site '{site}' isn't a lab, so it has no lab called '{lab}'", code=ExitCode.BAD_INPUT
            )
        return Workspace(site, site_directory(site))
    name = lab or DEFAULT_LAB
    if not _LAB_NAME.fullmatch(name):
        raise Failure(
            f"'{name}' can't be a lab's name",
            details="a name starts with a letter and has at most 20 lower-case letters, digits and dashes",
            code=ExitCode.BAD_INPUT,
        )
    return Workspace(site, lab_directory(name), name)


def load_estate(site: str, overlay: Path | None = None) -> Estate:
    """The estate of `site`; Failure instead of EstateError."""
    try:
        # An overlay that the environment names by chance must not reach a run that has its own.
        os.environ.pop(OVERLAY_VARIABLE, None)
        return model.load(site, overlay=overlay)
    except EstateError as error:
        raise refused(error) from error


def refused(error: EstateError) -> Failure:
    """The failure that shows an estate's problems."""
    count = len(error.problems)
    return Failure(
        f"the estate has {count} {'problem' if count == 1 else 'problems'}; nothing was touched",
        details="\n".join(describe(problem) for problem in error.problems),
        next_step="# mend the lines named above, then run the same command again",
        code=ExitCode.BAD_INPUT,
    )


def describe(problem: model.Problem) -> str:
    """`file:line: sentence [value]` with the file as seen from the project's top folder."""
    file = problem.file
    if file.is_absolute() and file.is_relative_to(ROOT):
        file = file.relative_to(ROOT)
    return str(problem._replace(file=file))


def digest(estate: Estate) -> str:
    """SHA-256 of the whole desired state: two runs with the same digest wanted the same."""
    return hashlib.sha256(estate.model_dump_json().encode()).hexdigest()
