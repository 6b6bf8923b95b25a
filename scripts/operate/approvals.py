"""Drafts of changed access rights, and whether enough approvers have signed one.

A draft lies in the repository, in the site's folder `approvals/`, and says who gains and who loses what, and
to which rights that leads. Approvers read it and sign it with their SSH keys (ssh-keygen(1), -Y sign); the
signatures lie beside it as `<draft>.<anything>.sig`. A draft stands for that change alone: what is granted or
taken away must be written in it, and the estate must be the one it leads to. A run that was interrupted
finishes with the same draft.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from estate import Estate
from estate.approval import Approvals
from operate.failure import ExitCode, Failure
from operate.files import write_atomically
from stacks.federation.access import AccessChange, Rights

FOLDER = "approvals"
NAMESPACE = "access-rights@smartgouv"
"""What a signature is for (ssh-keygen(1), -n): one that was given for another purpose counts for nothing."""


class Line(BaseModel):
    """One right that is granted or taken away."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holder: str
    provider: str
    service: str
    reason: str = ""
    """As the estate gives it."""


class Draft(BaseModel):
    """A change of access rights as it is signed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: str
    instance: str
    date: date
    leads_to: str
    """Digest of all rights that hold after the change."""
    gains: tuple[Line, ...] = ()
    loses: tuple[Line, ...] = ()

    def covers(self, changes: Sequence[AccessChange]) -> bool:
        """Whether everything that changes is written in it."""
        written = {
            (gains, line.holder, line.provider, line.service)
            for gains, lines in ((True, self.gains), (False, self.loses))
            for line in lines
        }
        return set(changes) <= {AccessChange(*item) for item in written}


class Seen(NamedTuple):
    """A draft that lies in the repository."""

    path: Path
    draft: Draft
    content: bytes


@dataclass(frozen=True)
class Approved:
    """What lets a change pass, for the ledger."""

    draft: Path
    digest: str
    approvers: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """For the ledger."""
        return {"draft": self.draft.name, "digest": self.digest, "approvers": list(self.approvers)}


def digest(rights: Rights) -> str:
    """Of a set of rights, whatever their order."""
    plain = sorted([*key, sorted(services)] for key, services in rights.items() if services)
    return f"sha256:{hashlib.sha256(json.dumps(plain).encode()).hexdigest()}"


def propose(
    estate: Estate,
    folder: Path,
    changes: Sequence[AccessChange],
    after: Rights,
    reasons: Mapping[tuple[str, str, str], str],
) -> Path:
    """Write the draft of a change, dated today, for approvers to read and sign; returns its path.

    `folder` is the site's, `reasons` are by holder, provider and service. A draft that says the same today is
    left as it is, with its signatures.
    """

    def lines(*, gains: bool) -> tuple[Line, ...]:
        return tuple(
            Line(
                holder=change.holder,
                provider=change.provider,
                service=change.service,
                reason=reasons.get((change.holder, change.provider, change.service), "") if gains else "",
            )
            for change in changes
            if change.gains is gains
        )

    today = datetime.now(UTC).date()
    draft = Draft(
        site=estate.site.name,
        instance=estate.federation.instance,
        date=today,
        leads_to=digest(after),
        gains=lines(gains=True),
        loses=lines(gains=False),
    )
    text = "# Who gains and who loses access. Read it, then sign it: docs/access-rights.md.\n" + yaml.safe_dump(
        draft.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True, width=110
    )
    name = hashlib.sha256(text.encode()).hexdigest()[:8]
    path = folder / FOLDER / f"{today}-{name}.yml"
    if not path.exists():
        write_atomically(path, text)
    return path


def require(
    estate: Estate, folder: Path, changes: Sequence[AccessChange], after: Rights, propose_command: str
) -> Approved | None:
    """Failure, with the next step, unless a draft that covers the changes has enough signatures.

    None where nothing changes, or the estate asks for no approval.
    """
    policy = estate.federation.approvals
    if policy is None or not changes:
        return None
    today = datetime.now(UTC).date()
    found: list[str] = []
    for seen in drafts(folder):
        path, draft = seen.path, seen.draft
        if (draft.site, draft.instance) != (estate.site.name, estate.federation.instance):
            continue
        if draft.leads_to != digest(after) or not draft.covers(changes):
            continue
        if not timedelta(0) <= today - draft.date <= timedelta(days=policy.valid_days):
            found.append(
                f"{path.name}: of {draft.date}, valid for {policy.valid_days} days from then, not today"
            )
            continue
        signed = signers(policy, seen)
        if len(signed) >= policy.required:
            return Approved(path, f"sha256:{hashlib.sha256(seen.content).hexdigest()}", signed)
        found.append(f"{path.name}: signed by {', '.join(signed) or 'nobody'}")
    raise Failure(
        f"this change of access rights needs {policy.required} approvals",
        details="\n".join([*map(str, changes), *(found or ["no draft in the repository covers it"])]),
        next_step=propose_command,
        code=ExitCode.BAD_INPUT,
    )


def drafts(folder: Path) -> list[Seen]:
    """Every draft of a site's folder, by name. Failure naming the file that can't be read as one."""
    found = []
    for path in sorted((folder / FOLDER).glob("*.yml")):
        content = path.read_bytes()
        try:
            found.append(Seen(path, Draft.model_validate(yaml.safe_load(content)), content))
        except (yaml.YAMLError, ValidationError) as error:
            raise Failure(
                f"{path} isn't a draft of a change",
                details=_first(error),
                next_step=f"git restore {path}   # or remove it",
                code=ExitCode.BAD_INPUT,
            ) from None
    return found


def signers(policy: Approvals, seen: Seen) -> tuple[str, ...]:
    """Approvers of whom a signature of this draft lies beside it, by name, each once."""
    found: set[str] = set()
    with tempfile.TemporaryDirectory() as scratch:
        allowed = Path(scratch, "allowed")
        allowed.write_text(
            "".join(
                f'{approver.name} namespaces="{NAMESPACE}" {approver.key}\n' for approver in policy.approvers
            ),
            encoding="ascii",
        )
        for signature in sorted(seen.path.parent.glob(f"{seen.path.name}*.sig")):
            found.update(
                approver.name
                for approver in policy.approvers
                if _verifies(allowed, approver.name, signature, seen.content)
            )
    return tuple(sorted(found))


def _verifies(allowed: Path, name: str, signature: Path, content: bytes) -> bool:
    """Whether a signature is this approver's, of exactly this content (ssh-keygen(1), -Y verify)."""
    command = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", name, "-n", NAMESPACE]
    done = subprocess.run([*command, "-s", str(signature)], input=content, capture_output=True, check=False)
    return done.returncode == 0


def _first(error: yaml.YAMLError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        item: Any = error.errors(include_url=False)[0]
        return f"{'.'.join(str(part) for part in item['loc']) or 'the file'}: {item['msg']}"
    return str(error)
