"""The command's answer: files to verdicts, verdicts to lines and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from operate.failure import ExitCode, Failure
from operate.messages import container, verification
from operate.messages.container import Unreadable
from operate.messages.trust import Anchors
from operate.messages.verification import Check, Verdict
from operate.reporting import Report

_MARKS = {True: "ok", False: "failed", None: "-"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a file."""

    file: Path
    verdicts: list[Verdict]
    links: Check | None

    @property
    def valid(self) -> bool:
        """Whether every container is valid, and the links between them hold."""
        linked = self.links is None or bool(self.links.passed)
        return linked and all(verdict.valid for verdict in self.verdicts)


def verify(file: Path, root: Path) -> Answer:
    """Verdicts on a file's containers; Failure with `BAD_INPUT` if file or root can't be used."""
    try:
        anchors = Anchors.read(root.read_bytes())
    except OSError as error:
        raise _bad(f"the root certificate {root} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise _bad(f"{root} can't be used as the root certificate: {error}") from error
    try:
        verdicts, links = verification.verify_all(container.read(file), anchors)
    except OSError as error:
        raise _bad(f"{file} can't be read: {error.strerror}") from error
    except Unreadable as problem:
        raise Failure(
            f"{file} can't be checked: {problem}",
            next_step="# get the file again from the security server: docs/messages.md",
            code=ExitCode.BAD_INPUT,
        ) from problem
    return Answer(file, verdicts, links)


def _bad(text: str) -> Failure:
    return Failure(text, next_step="ls -l FILE", code=ExitCode.BAD_INPUT)


def tell(answer: Answer, report: Report) -> None:
    """Print what was found; ends the command with `FAILED` if anything doesn't hold."""
    for verdict in answer.verdicts:
        _tell_one(verdict, report)
    if answer.links is not None:
        report.line(_line(answer.links))
    report.document(
        {
            "file": str(answer.file),
            "result": "valid" if answer.valid else "invalid",
            "containers": [verdict.document() for verdict in answer.verdicts],
            "links": None if answer.links is None else verification.vars_of(answer.links),
        }
    )
    if not answer.valid:
        report.failure(Failure(_reason(answer), next_step="less docs/messages.md"))
        raise typer.Exit(ExitCode.FAILED)


def _reason(answer: Answer) -> str:
    """What doesn't hold first."""
    for verdict in answer.verdicts:
        for check in verdict.checks:
            if not check.passed:
                return f"{verdict.name} proves nothing: {check.name}: {check.text}"
    return f"{answer.file.name} isn't whole: {'' if answer.links is None else answer.links.text}"


def _tell_one(verdict: Verdict, report: Report) -> None:
    said = verdict.message
    report.line(verdict.name, style="bold")
    if said is not None:
        report.line(f"  {said.kind} {said.message_id}: {said.what}")
        report.line(f"  from     {'/'.join(said.sender)}")
        receiver = said.service if said.kind == "request" else said.client
        report.line(f"  to       {'/'.join(receiver)}")
        if said.user:
            report.line(f"  for      {said.user}, as the client says")
    if verdict.stamped_at is not None:
        report.line(
            f"  existed  {verdict.stamped_at:%Y-%m-%d %H:%M:%S} UTC; signed, it says, {verdict.claimed_time}"
        )
    for check in verdict.checks:
        report.line(_line(check))


def _line(check: Check) -> str:
    return f"{_MARKS[check.passed]:<8}{check.name:<25}{check.text}"
