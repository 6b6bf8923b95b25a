"""Certificates of issuing authorities during an apply: what the root issued, and what it is still to be asked.

In a lab the ceremony is held on the spot. Elsewhere the apply stops with the requests to carry, and goes on
when the records of the ceremony have been brought back.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from estate.project.ceremony import agenda
from estate.site import Environment
from estate.trust import label
from operate import ceremony
from operate.ceremony import Folders
from operate.failure import Failure
from operate.files import write_atomically
from operate.playbooks import run_playbook
from operate.run import Outcome, Run
from trust_services.ceremony import records
from trust_services.ceremony.agenda import Agenda
from trust_services.ceremony.records import History
from trust_services.ceremony.requests import Content
from trust_services.ceremony.transcript import sha256
from trust_services.refusal import Refusal
from trust_services.renewal import due


def wanting(run: Run, now: datetime | None = None) -> list[str]:
    """Authorities that the root has to certify, by the records alone."""
    return _wanting(run, recorded(run), now or datetime.now(UTC))


def plan(run: Run) -> str:
    """What the root would be asked; empty where it has certified everything."""
    names = wanting(run)
    return f"the root would certify {', '.join(names)}" if names else ""


def settle(run: Run) -> Outcome:
    """Have every authority certified, and what is in force where the roles take it from."""
    place = ceremony.at(run.workspace)
    history = recorded(run)
    changed = 0
    if _wanting(run, history, datetime.now(UTC)):
        # The hosts keep their requests; what lies here from earlier may be for certificates that were replaced.
        shutil.rmtree(place.requests, ignore_errors=True)
        result = run_playbook(run.workspace, "prepare_trust", run.report, lock=run.lock)
        changed += result.changed
        changed += _grant(run, place, history)
        history = recorded(run)
    return Outcome("", changed + _publish(run, place, history))


def revoke(run: Run, authority: str, digest: str) -> int:
    """Have the root revoke an authority's certificate, by its SHA-256; how many records that made.

    The custodians decide it: whoever stole the authority's key could sign for it as well.
    """
    place = ceremony.at(run.workspace)
    present = recorded(run).present.get(authority)
    if present is None or present.fingerprint(hashes.SHA256()).hex() != digest:
        return 0
    content = Content(
        kind="revoke",
        authority=authority,
        created=datetime.now(UTC).replace(microsecond=0),
        certificate=digest,
        reason="key_compromise",
    )
    request = place.requests / f"{authority}-revoke-{digest[:16]}.json"
    if not request.is_file():
        write_atomically(request, content.model_dump_json(indent=2, exclude_none=True) + "\n")
    if run.estate.site.environment is not Environment.LAB:
        raise Failure(
            f"the custodians must decide that '{authority}' is revoked",
            next_step=f"scripts/smartgouv ceremony root {run.workspace.site} --request {request}"
            f" --by-quorum {request.name}   # on the ceremony's machine, see docs/root-ceremony.md\n"
            f"# then bring its record to {place.records} and run the same command again",
        )
    ceremony.prepare(place, run.estate, [request])
    ceremony.examine(place, [request.name])
    ceremony.hold(run.workspace, run.estate, place, [request.name], run.report)
    _publish(run, place, recorded(run))
    return 1


def _wanting(run: Run, history: History, now: datetime) -> list[str]:
    told = Agenda.model_validate(agenda(run.estate))
    present = history.present
    return [
        name
        for name, authority in told.authorities.items()
        if name not in present
        or present[name].subject != told.subject(authority.common_name)
        or due(present[name], now)
    ]


def _grant(run: Run, place: Folders, history: History) -> int:
    """Hold a ceremony over the requests that wait; how many records it made."""
    waiting = [path for path in sorted(place.requests.glob("*.json")) if sha256(path) not in history.taken]
    if not waiting:
        return 0
    if run.estate.site.environment is not Environment.LAB:
        raise Failure(
            f"{len(waiting)} requests wait for the root's ceremony",
            details="\n".join(map(str, waiting)),
            next_step="# carry them to the ceremony, see docs/root-ceremony.md; then bring its records to\n"
            f"# {place.records}",
        )
    ceremony.prepare(place, run.estate, waiting)
    ceremony.examine(place, [])
    ceremony.hold(run.workspace, run.estate, place, [], run.report)
    return 1


def _generations(run: Run, history: History) -> dict[str, x509.Certificate]:
    """The last certificate of each generation of an issuing authority, unless revoked, by NAME-GENERATION."""
    revoked = {entry.serial for entry in history.revoked}
    found = {}
    for name, declared in run.estate.trust.issuing.items():
        generations = {declared.name_of(one): one for one in range(1, declared.generation + 1)}
        for certificate in history.certificates(name):
            common_name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
            generation = generations.get(str(common_name))
            if generation is not None and certificate.serial_number not in revoked:
                found[label(name, generation)] = certificate
    return found


def _publish(run: Run, place: Folders, history: History) -> int:
    """Write what is in force; how many files changed. Failure without a root."""
    if history.root is None:
        raise Failure("the root has certified nothing yet", next_step="# see docs/root-ceremony.md")
    texts = {"root": history.root, **history.present, **_generations(run, history)}
    files = {f"{name}.crt": _pem(certificate) for name, certificate in texts.items()}
    files[records.LIST] = (history.folders[-1] / records.LIST).read_text(encoding="ascii")
    changed = 0
    for path in place.issued.glob("*.crt"):
        # Of an authority that was revoked.
        if path.name not in files:
            path.unlink()
            changed += 1
    for name, text in files.items():
        path = place.issued / name
        if not path.is_file() or path.read_text(encoding="ascii") != text:
            write_atomically(path, text)
            changed += 1
    return changed


def recorded(run: Run) -> History:
    """The root's records. Failure if they don't hold together."""
    try:
        return records.load(ceremony.at(run.workspace).records)
    except Refusal as refusal:
        raise ceremony.refused(refusal) from refusal


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")
