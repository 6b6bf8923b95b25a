"""The root's ceremony on the machine where it is held: a container without a network, and its folders.

On a lab's machine the ceremony's folders lie in the lab's state, and `apply` holds it. Elsewhere it is held on
a machine that is cut off, by people, with shares on media of their own; requests and records are carried.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from estate import Estate
from estate.project.ceremony import agenda
from estate.site import Environment
from operate.failure import ExitCode, Failure
from operate.files import private_directory, write_atomically
from operate.processes import started
from operate.reporting import Report
from operate.toolchain import images
from operate.toolchain.commands import CONTAINERS_CONF
from operate.toolchain.images import Image
from operate.toolchain.progress import Reported
from operate.workspace import Workspace
from trust_services.ceremony import perform, records
from trust_services.ceremony.perform import Examined, Place
from trust_services.ceremony.replay import replay
from trust_services.refusal import Refusal

_INSIDE = "/ceremony"
_SOFT_TOKENS = "/var/lib/softhsm/tokens"


@dataclass(frozen=True)
class Folders:
    """Where a ceremony finds and leaves its files."""

    home: Path
    shares: Path

    @property
    def inbox(self) -> Path:
        """Agenda and requests of the ceremony that is held now."""
        return self.home / "inbox"

    @property
    def requests(self) -> Path:
        """Requests that authorities made on their hosts and that no ceremony took yet."""
        return self.home / "requests"

    @property
    def issued(self) -> Path:
        """What is in force: the root, its list, and each authority's certificate."""
        return self.home / "issued"

    @property
    def records(self) -> Path:
        """All ceremonies' records. Nothing in them is secret."""
        return self.home / "records"

    @property
    def tokens(self) -> Path:
        """Tokens in software; empty where the key is in hardware."""
        return self.home / "tokens"


def at(workspace: Workspace, shares: Path | None = None) -> Folders:
    """The folders of a deployment; the shares are beside them unless they are elsewhere."""
    home = workspace.ceremony_directory
    return Folders(home, shares or home / "shares")


def folders(workspace: Workspace, estate: Estate, shares: Path | None) -> Folders:
    """The folders for a ceremony. Outside a lab Failure without a place for the shares."""
    if shares is None and estate.site.environment is not Environment.LAB:
        raise Failure(
            "shares belong on the custodians' own media, not on this machine's disk",
            next_step=f"scripts/smartgouv ceremony root {workspace.site} --shares /media/FOLDER",
            code=ExitCode.BAD_INPUT,
        )
    return at(workspace, shares)


def prepare(place: Folders, estate: Estate, requests: Sequence[Path]) -> None:
    """Lay agenda and requests into the inbox, which holds nothing else then."""
    for folder in (place.home, place.records, place.tokens, place.shares):
        private_directory(folder)
    shutil.rmtree(place.inbox, ignore_errors=True)
    (place.inbox / records.REQUESTS).mkdir(parents=True, mode=0o700)
    write_atomically(place.inbox / records.AGENDA, json.dumps(agenda(estate), indent=2) + "\n")
    for request in requests:
        if not request.is_file():
            raise Failure(f"there's no request {request}", code=ExitCode.BAD_INPUT)
        for path in (request, request.with_name(request.name + ".sig")):
            if path.is_file():
                shutil.copyfile(path, place.inbox / records.REQUESTS / path.name)


def examine(place: Folders, by_quorum: Sequence[str]) -> Examined:
    """What the ceremony would do with the inbox; Failure if it would refuse. Touches nothing."""
    try:
        seen = Place(place.inbox, place.records, place.shares)
        return perform.examine(seen, datetime.now(UTC), by_quorum)
    except Refusal as refusal:
        raise refused(refusal) from refusal


def describe(examined: Examined) -> list[str]:
    """What the ceremony would do, for those who are asked to agree."""
    told = examined.agenda
    number = len(examined.history.transcripts) + 1
    lines = [f"ceremony {number} of site '{told.site}' at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"]
    lines.append(f"witnesses: {', '.join(told.witnesses)}")
    if not examined.history.transcripts:
        lines.append(f"makes root '{told.root.common_name}' with a {told.root.key} key")
        lines.append(
            f"gives a share to each of {', '.join(told.custodians)}; any {told.threshold} open the token"
        )
    else:
        lines.append(f"needs the shares of {told.threshold} of {', '.join(told.custodians)}")
    for request in examined.granted:
        reason = f": {request.content.reason}" if request.content.reason else ""
        quorum = ", which nobody signed" if request.by_quorum else ""
        lines.append(f"{request.content.kind} {request.content.authority}{reason}{quorum} ({request.name})")
    lines.append("issues a revocation list")
    return lines


def hold(
    workspace: Workspace, estate: Estate, place: Folders, by_quorum: Sequence[str], report: Report
) -> Path:
    """Hold the ceremony over the inbox; the folder of its record. Failure if it is refused."""
    image = images.local("ceremony", Reported(report))
    name = f"smartgouv-ceremony-{workspace.lab or workspace.site}"
    # Of a run that was killed: it must not write a record beside this one.
    _podman("rm", "--force", "--ignore", "--time=0", name)
    command = container(name, image, estate, place)
    command += ["perform", "--inbox", f"{_INSIDE}/inbox", "--records", f"{_INSIDE}/records"]
    command += ["--shares", f"{_INSIDE}/shares", *(f"--by-quorum={request}" for request in by_quorum)]
    lines: list[str] = []
    environment = {**workspace.environment(), "CONTAINERS_CONF": str(CONTAINERS_CONF)}
    try:
        with started(command, environment=environment, directory=place.home) as process:
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            for line in process.stdout:
                lines.append(line.rstrip())
                report.line(f"        {line.rstrip()}")
            status = process.wait()
    finally:
        _podman("rm", "--force", "--ignore", "--time=0", name)
    if status != 0:
        said = [line.partition(": ")[2] for line in lines if line.startswith(("refused: ", "next: "))]
        raise Failure(
            f"the ceremony ended without a record: {said[0] if said else 'see its last lines'}",
            details="\n".join(lines[-12:]) if not said else "",
            next_step="# " + said[1] if len(said) > 1 else "",
        )
    return place.records / lines[-1].removeprefix("record ")


def container(name: str, image: Image, estate: Estate, place: Folders) -> list[str]:
    """The command that starts the ceremony's container, up to the program's own arguments."""
    token = estate.trust.root.token
    command = [
        *("podman", "run", "--rm", f"--name={name}", "--network=none", "--read-only", "--pull=never"),
        *("--cap-drop=all", "--security-opt=no-new-privileges", "--log-driver=none", "--tmpfs=/tmp"),
        f"--env=CEREMONY_IMAGE={image.digest}",
        f"--volume={place.inbox}:{_INSIDE}/inbox:ro",
        f"--volume={place.records}:{_INSIDE}/records",
        f"--volume={place.shares}:{_INSIDE}/shares",
    ]
    if token.in_software:
        # Debian's installation script would copy the settings to /etc; images are made without such scripts.
        command.append("--env=SOFTHSM2_CONF=/usr/share/softhsm/softhsm2.conf")
        command.append(f"--volume={place.tokens}:{_SOFT_TOKENS}")
    else:
        command += [f"--device={device}" for device in token.devices]
        command.append(f"--volume={token.library}:{token.library}:ro")
    return [*command, image.reference]


def verify(folder: Path, report: Report) -> int:
    """Check and replay all records; how many things were issued. Failure at the first that doesn't hold."""
    try:
        return replay(folder, report.line)
    except Refusal as refusal:
        raise refused(refusal) from refusal


def refused(refusal: Refusal) -> Failure:
    """The failure that tells a refusal."""
    return Failure(
        refusal.message,
        next_step=f"# {refusal.next_step}" if refusal.next_step else "",
        code=ExitCode.BAD_INPUT,
    )


def _podman(*arguments: str) -> None:
    subprocess.run(["podman", *arguments], capture_output=True, check=False)
