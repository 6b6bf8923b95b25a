"""Rotating certificates and authorities, and replacing one that can't be trusted any more.

Clients ask all the while; what they lost is counted and kept as evidence. An interrupted rotation is gone on
with by the same command: what it set out to do is written down before it begins.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from estate import Estate
from estate.host import Role
from estate.site import Environment
from estate.trust import INFRASTRUCTURE_TLS, TRUST_SERVICES
from operate import certification, clients, overlay, programs, stages
from operate.failure import ExitCode, Failure
from operate.files import write_atomically
from operate.playbooks import run_playbook
from operate.run import Run
from operate.watching import Question, Tally, watching
from operate.workspace import Workspace
from stacks.providers.xroad.renewal import RENEW_VARIABLE
from trust_services.issuing.profiles import BACKDATED

FEDERATION = "federation"
"""The word for the certificates of all security servers."""

TOLD_SECONDS = 120
"""Until something that the publisher was told must be at every responder: twice what a revocation may take."""

Clients = Callable[[Workspace, Estate], list[Question]]


@dataclass(frozen=True)
class Rotation:
    """Something that can be rotated."""

    purpose: str
    clients: Sequence[Clients]
    """Who must not notice."""
    act: Callable[[Run], int]
    """Rotates; how many things were changed."""

    def questions(self, run: Run) -> list[Question]:
        """What its clients ask all the while."""
        return [question for kind in self.clients for question in kind(run.workspace, run.estate)]


@dataclass(frozen=True)
class Begun:
    """What a rotation that can be interrupted set out to do."""

    authority: str
    generation: int
    compromised: str = ""
    """SHA-256 of the certificate that is to be revoked; empty in a planned rotation."""
    at: str = ""
    """When it began, for what renews everything older (ISO 8601, whole seconds); else empty."""


def rotate(run: Run, what: str) -> Tally:
    """Rotate `what` while clients ask. Failure if it can't be; what clients lost is in the tally."""
    chosen = known(what)
    return _counted(run, f"rotate {what}", chosen.questions(run), chosen.act)


def revoke(run: Run, authority: str) -> Tally:
    """Revoke an issuing authority and have everything that it issued issued anew by its successor."""
    chosen = _revocation(run, authority)
    return _counted(run, f"revoke-ca {authority}", chosen.questions(run), chosen.act)


def known(what: str) -> Rotation:
    """The rotation of this name. Failure that names all if there is none."""
    if what not in ROTATIONS:
        told = "\n".join(f"{name:<20}{rotation.purpose}" for name, rotation in ROTATIONS.items())
        raise Failure(f"'{what}' can't be rotated", details=told, code=ExitCode.BAD_INPUT)
    return ROTATIONS[what]


def _revocation(run: Run, authority: str) -> Rotation:
    """How an issuing authority is revoked. Failure that names all if it is none."""
    if authority not in run.estate.trust.issuing:
        raise Failure(
            f"'{authority}' is no issuing authority",
            details="authorities: " + ", ".join(run.estate.trust.issuing),
            code=ExitCode.BAD_INPUT,
        )
    chosen = known(authority)
    # Of what the authority issued nothing is told any more: whoever asks would get no answer, as it must be.
    asking = [kind for kind in chosen.clients if kind is not clients.status]
    return replace(chosen, clients=asking, act=lambda run: _replace(run, authority, revoke=True))


def _counted(run: Run, what: str, questions: Sequence[Question], act: Callable[[Run], int]) -> Tally:
    tally, changed, result = Tally(), 0, "failed"
    try:
        with watching(questions) as tally:
            changed = act(run)
        result = "ok"
    finally:
        folder = run.workspace.new_run(what.partition(" ")[0])
        document = {"what": what, "result": result, "changed": changed, "clients": tally.document()}
        (folder / "clients.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        run.measured["clients"] = tally.document()
        run.record(
            what,
            result=result,
            changed=changed,
            seconds=round(tally.seconds, 1),
            requests=tally.total,
            failed_requests=tally.lost,
        )
    return tally


def _playbook(name: str) -> Callable[[Run], int]:
    return lambda run: run_playbook(run.workspace, name, run.report, lock=run.lock).changed


def _responder(run: Run) -> int:
    """A new key on the authority's host; it has ended when all responders tell answers signed with it."""
    before = clients.signers(run.workspace, run.estate)
    changed = _playbook("rotate_responder")(run)
    deadline = time.monotonic() + TOLD_SECONDS
    while stale := [
        name for name, serial in clients.signers(run.workspace, run.estate).items() if serial == before[name]
    ]:
        if time.monotonic() > deadline:
            raise Failure(
                f"{', '.join(stale)} still tells answers of the former key after {TOLD_SECONDS} s",
                next_step=f"# on {stale[0]}: journalctl -u trust-services-status-fetch; "
                "on the authority's host: journalctl -u trust-services-publisher",
            )
        time.sleep(1)
    return changed


def _time_stamping(run: Run) -> int:
    """The authorities first, then the central server, which knows them by their certificates."""
    changed = _playbook("rotate_time_stamping")(run)
    return changed + programs.up(run, "federation").changed


def _replace(run: Run, authority: str, *, revoke: bool = False) -> int:
    """Have an authority's successor certified, and everything that it issues issued anew."""
    begun = _begin(run, authority, revoke=revoke)
    if run.estate.site.environment is Environment.LAB:
        overlay.with_next_generation(run.workspace, authority, begun.generation)
    run = replace(run, estate=run.workspace.load(), measured=run.measured, settled=set())
    changed = certification.revoke(run, authority, begun.compromised) if begun.compromised else 0
    if authority == INFRASTRUCTURE_TLS:
        changed += _apply(run, "trust")
    else:
        # Of the other hosts none has anything of this authority's.
        authorities = [host.name for host in run.estate.hosts_with(Role.CERTIFICATE_AUTHORITY)]
        changed += _apply(replace(run, hosts=authorities), "trust")
        changed += _apply(run, "trust-services")
        # The federation comes after both: it tells the central server whose stamps and certificates to trust.
        changed += _playbook("rotate_time_stamping")(run)
        # Monitoring fetches the revocation list of the authority that is in force.
        changed += _apply(run, "federation", "platform")
    _marker(run.workspace).unlink()
    return changed


def _federation(run: Run) -> int:
    """Renew every X-Road certificate that is older than the first attempt. The provider finds them."""
    begun = _unfinished(run, FEDERATION, revoke=False)
    if begun is None:
        begun = Begun(FEDERATION, 0, at=datetime.now(UTC).isoformat(timespec="seconds"))
        _write_down(run, begun)
    # The authority lets certificates begin before they are made.
    os.environ[RENEW_VARIABLE] = (datetime.fromisoformat(begun.at) - BACKDATED).isoformat()
    try:
        changed = _apply(run, "federation")
    finally:
        del os.environ[RENEW_VARIABLE]
    _marker(run.workspace).unlink()
    return changed


def _apply(run: Run, *names: str) -> int:
    records = stages.apply(run, [stage for stage in stages.STAGES if stage.name in names])
    return sum(record.changed for record in records)


def _unfinished(run: Run, what: str, *, revoke: bool) -> Begun | None:
    """What an interrupted run wrote down; Failure if another command is to finish it."""
    marker = _marker(run.workspace)
    if not marker.is_file():
        return None
    begun = Begun(**json.loads(marker.read_text(encoding="utf-8")))
    if (begun.authority, bool(begun.compromised)) != (what, revoke):
        command = "revoke-ca" if begun.compromised else "rotate"
        raise Failure(
            f"the replacement of '{begun.authority}' isn't finished",
            next_step=run.workspace.replace_command(command, begun.authority),
        )
    return begun


def _write_down(run: Run, begun: Begun) -> None:
    write_atomically(_marker(run.workspace), json.dumps(asdict(begun)) + "\n")


def _begin(run: Run, authority: str, *, revoke: bool) -> Begun:
    """What to do, written down; what an interrupted run wrote down is gone on with."""
    if begun := _unfinished(run, authority, revoke=revoke):
        return begun
    present = certification.recorded(run).present.get(authority)
    if present is None:
        raise Failure(
            f"the root hasn't certified '{authority}' yet",
            next_step=f"{run.workspace.apply_command} --stage trust",
        )
    declared = run.estate.trust.issuing[authority]
    if present.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value != declared.name:
        generation = declared.generation
    elif run.estate.site.environment is Environment.LAB:
        generation = declared.generation + 1
    else:
        key = authority.replace("-", "_")
        raise Failure(
            f"the estate still names '{declared.name}', which is certified already",
            next_step=f"# set trust.{key}.generation to {declared.generation + 1} in "
            f"inventories/{run.workspace.site}/trust.yml, have it reviewed, then run the same command again",
            code=ExitCode.BAD_INPUT,
        )
    digest = present.fingerprint(hashes.SHA256()).hex() if revoke else ""
    begun = Begun(authority, generation, digest)
    _write_down(run, begun)
    return begun


def _marker(workspace: Workspace) -> Path:
    return workspace.directory / "replacement.json"


def plan(run: Run, what: str, *, revoke: bool = False) -> dict[str, Any]:
    """What would be done, without doing it."""
    chosen = _revocation(run, what) if revoke else known(what)
    return {
        "what": what,
        "purpose": chosen.purpose,
        "revokes": revoke,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "clients": {question.name: question.rate for question in chosen.questions(run)},
    }


ROTATIONS: dict[str, Rotation] = {
    "hosts": Rotation("TLS certificates of all hosts", (clients.tls,), _playbook("rotate_hosts")),
    "responder": Rotation(
        "key and certificate that OCSP answers are signed with",
        (clients.status,),
        _responder,
    ),
    "time-stamping": Rotation(
        "certificates of the time-stamping authorities", (clients.stamps, clients.citizens), _time_stamping
    ),
    INFRASTRUCTURE_TLS: Rotation(
        "the authority of TLS certificates, and every host's certificate",
        (clients.tls, clients.citizens),
        lambda run: _replace(run, INFRASTRUCTURE_TLS),
    ),
    TRUST_SERVICES: Rotation(
        "the authority of X-Road certificates, and all of these",
        (clients.status, clients.stamps, clients.citizens),
        lambda run: _replace(run, TRUST_SERVICES),
    ),
    "api-keys": Rotation(
        "keys of the admin APIs of all exchange servers", (clients.citizens,), _playbook("rotate_api_keys")
    ),
    FEDERATION: Rotation(
        "X-Road certificates of all security servers", (clients.citizens, clients.status), _federation
    ),
}
"""What can be rotated, by the word for it on the command line."""
