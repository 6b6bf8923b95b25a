"""The command line of scripts/smartgouv."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from estate import EstateError
from estate.failure_domains import losses
from operate import applying, cluster_recovery, command_line, federation_commands, generated
from operate.backups import commands as backup_commands
from operate.command_line import AllowPrune, DryRun, Json, Lab, Site, require_raised
from operate.failure import ExitCode, Failure
from operate.files import exclusive
from operate.locations import ROOT
from operate.reporting import Report, seconds
from operate.run import Run
from operate.workspace import describe, load_estate, open_workspace

application = typer.Typer(
    help="Validates, plans, applies and verifies a site.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
ledger = typer.Typer(help="The hash-chained record of what was run.", no_args_is_help=True)
secrets = typer.Typer(help="The operator's secrets: one file each, never shown.", no_args_is_help=True)
ceremony = typer.Typer(
    help="The root's ceremony: held without a network, recorded, replayed.", no_args_is_help=True
)
message = typer.Typer(help="X-Road's signed documents.", no_args_is_help=True)
application.add_typer(ceremony, name="ceremony")
application.add_typer(federation_commands.application, name="federation")
application.add_typer(ledger, name="ledger")
application.add_typer(message, name="message")
application.add_typer(secrets, name="secrets")
application.command()(backup_commands.backup)
application.command()(backup_commands.restore)
application.command()(cluster_recovery.recover)


class StackAction(StrEnum):
    """What can be done with a Pulumi program."""

    PREVIEW = "preview"
    UP = "up"
    REFRESH = "refresh"
    DESTROY = "destroy"


OneStage = Annotated[str | None, typer.Option("--stage", help="Only this stage.")]
OnlyHosts = Annotated[
    list[str] | None,
    typer.Option("--host", help="Only this host, in what concerns single hosts; again for more."),
]
FirstStage = Annotated[str | None, typer.Option("--from", help="This stage and those after it.")]


def main() -> None:
    """Run the command line and exit."""
    command_line.run(application, "scripts/smartgouv")


@application.command()
def validate(site: Site, as_json: Json = False) -> None:
    """Check a site's files: every problem with file, line and reason. Touches nothing."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        started = time.monotonic()
        try:
            estate = load_estate(site)
        except Failure as failure:
            _tell_problems(report, site, failure)
            raise typer.Exit(ExitCode.BAD_INPUT) from None
        duration = time.monotonic() - started
        text = f"{len(estate.hosts)} hosts in {len(estate.zones)} zones, no problem"
        report.done(site, duration, text)
        report.document({"site": site, "result": "ok", "seconds": round(duration, 3), "problems": []})


@application.command()
def domains(site: Site, as_json: Json = False) -> None:
    """Say what goes down with each rack, power feed, switch and data centre. Touches nothing."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        found = losses(load_estate(site))
        for loss in found:
            report.line(f"{loss.domain.kind} {loss.domain.name}: {len(loss.domain.hosts)} hosts")
            for service in loss.reduced:
                left = len(service.without(loss.domain))
                report.line(f"  goes on  {service.name}: {left} of {len(service.hosts)} hosts")
            for service in loss.stopped:
                left = len(service.without(loss.domain))
                report.line(
                    f"  stops    {service.name}: {left} of {len(service.hosts)}, needs {service.needed}"
                )
        if not found:
            report.line(f"{site} says of no hardware where it stands, so nothing is known to fail together")
        report.document(
            {
                "site": site,
                "domains": [
                    {
                        "kind": loss.domain.kind.value,
                        "name": loss.domain.name,
                        "hosts": [host.name for host in loss.domain.hosts],
                        "reduced": [service.name for service in loss.reduced],
                        "stopped": [service.name for service in loss.stopped],
                    }
                    for loss in found
                ],
            }
        )


@application.command()
def docs(
    site: Annotated[
        str | None, typer.Argument(help="Only this site's page. Otherwise every generated file.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail if a file isn't current.")
    ] = False,
) -> None:
    """Write what is generated and committed: READMEs of roles and charts, JSON Schema, sites' pages."""
    report = Report()
    with command_line.reported(report):
        files = generated.pages(load_estate(site)) if site else generated.everything()
        stale = generated.write(files, check=check)
        for path in stale:
            report.change(str(path.relative_to(ROOT)))
        if check and stale:
            raise Failure(
                "generated files aren't current",
                next_step=f"scripts/smartgouv docs {site or ''}".strip(),
            )
        report.line(f"{len(stale)} files written, {len(files) - len(stale)} were current")


@application.command()
def plan(
    site: Site,
    part: Annotated[str | None, typer.Argument(metavar="[STAGE]", help="The same as --stage.")] = None,
    stage: OneStage = None,
    first: FirstStage = None,
    host: OnlyHosts = None,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Say what an apply would do, and change nothing."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        if stage is not None and part not in (None, stage):
            raise Failure(f"choose one stage: '{part}' or '{stage}'", code=ExitCode.BAD_INPUT)
        workspace = open_workspace(site, lab)
        applying.plan(workspace, report, only=stage or part, first=first, hosts=host or ())


@application.command()
def apply(
    site: Site,
    stage: OneStage = None,
    first: FirstStage = None,
    host: OnlyHosts = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The same as `plan`.")] = False,
    allow_prune: AllowPrune = False,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Bring a site to what its files say, stage by stage, each ending in a proof."""
    report = Report(as_json=as_json)
    with command_line.reported(report, interrupted="The same command goes on from here."):
        workspace = open_workspace(site, lab)
        if dry_run:
            applying.plan(workspace, report, only=stage, first=first, hosts=host or ())
            return
        require_raised(workspace)
        with exclusive(workspace.lock_file, f"scripts/smartgouv apply {site}") as lock:
            applying.apply(
                workspace,
                report,
                lock=lock,
                only=stage,
                first=first,
                hosts=host or (),
                allow_prune=allow_prune,
            )


@application.command()
def verify(site: Site, lab: Lab = None, as_json: Json = False) -> None:
    """Prove that a site works: a citizen's request through all of it, and what must be refused."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        workspace = open_workspace(site, lab)
        require_raised(workspace)
        with exclusive(workspace.lock_file, f"scripts/smartgouv verify {site}") as lock:
            applying.apply(workspace, report, lock=lock, only="verify")


@application.command()
def hardening(site: Site, lab: Lab = None, as_json: Json = False) -> None:
    """Compare the cluster's nodes with the CIS benchmark: what it finds is mended, or waived with a reason."""
    from operate import hardening as benchmark

    report = Report(as_json=as_json)
    with command_line.reported(report), command_line.one_run(site, lab, "hardening SITE", report) as run:
        if not benchmark.compare(run):
            raise typer.Exit(ExitCode.FAILED)


@application.command()
def stack(
    site: Site,
    program: Annotated[str, typer.Argument(help="federation or platform.")],
    action: Annotated[StackAction, typer.Argument(help="What to do with it.")],
    allow_prune: AllowPrune = False,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Preview, apply, refresh or destroy one Pulumi program of a site."""
    from operate import programs

    report = Report(as_json=as_json)
    with command_line.reported(report, interrupted="The same command goes on from here."):
        workspace = open_workspace(site, lab)
        require_raised(workspace)
        programs.require_known(program)
        with exclusive(workspace.lock_file, f"scripts/smartgouv stack {site} {program} {action}") as lock:
            run = Run(workspace, workspace.load(), report, lock, allow_prune=allow_prune)
            started = time.monotonic()
            with report.working(f"{program} {action}"):
                outcome = getattr(programs, action.value)(run, program)
        report.done(action.value, time.monotonic() - started, outcome.text)
        report.document({"program": program, "action": action.value, "changed": outcome.changed})


@application.command()
def rotate(
    site: Site,
    what: Annotated[str, typer.Argument(help="What to rotate; an unknown word lists all.")],
    dry_run: DryRun = False,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Rotate certificates, or an authority, while clients ask; count the requests that fail."""
    _replaced(site, what, lab, dry_run=dry_run, as_json=as_json, revoke=False)


@application.command("revoke-ca")
def revoke_ca(
    site: Site,
    authority: Annotated[str, typer.Argument(help="infrastructure-tls or trust-services.")],
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask: it can't be taken back.")] = False,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Revoke an issuing authority: successor, every leaf issued anew, every service on the new chain."""
    if not dry_run:
        command_line.agree(f"Revoke '{authority}' of site '{site}' for ever?", yes=yes)
    _replaced(site, authority, lab, dry_run=dry_run, as_json=as_json, revoke=True)


def _replaced(site: str, what: str, lab: str | None, *, dry_run: bool, as_json: bool, revoke: bool) -> None:
    from operate import rotation

    report = Report(as_json=as_json)
    verb = "revoke-ca" if revoke else "rotate"
    command = f"{verb} {what}"
    with command_line.reported(report, interrupted="The same command goes on from here."):
        workspace = open_workspace(site, lab)
        require_raised(workspace)
        again = workspace.replace_command(verb, what)
        with exclusive(workspace.lock_file, again) as lock:
            run = Run(workspace, workspace.load(), report, lock, again)
            if dry_run:
                planned = rotation.plan(run, what, revoke=revoke)
                report.line(f"would {command}: {planned['purpose']}")
                for name, rate in planned["clients"].items():
                    report.line(f"        while clients ask: {name}, {rate:.1f}/s")
                report.document(planned)
                return
            started = time.monotonic()
            with report.working(command):
                tally = rotation.revoke(run, what) if revoke else rotation.rotate(run, what)
        report.done(command, time.monotonic() - started, tally.text())
        for reason in tally.reasons:
            report.warning(reason)
        report.document({"what": what, "result": "ok", "clients": tally.document()})


@ceremony.command("root")
def ceremony_root(
    site: Site,
    request: Annotated[
        list[Path] | None, typer.Option("--request", help="A request of an authority; again for more.")
    ] = None,
    by_quorum: Annotated[
        list[str] | None,
        typer.Option(
            "--by-quorum", help="File name of a revocation that the custodians decide, signed or not."
        ),
    ] = None,
    shares: Annotated[
        Path | None, typer.Option("--shares", help="Folder with the shares; the first ceremony writes them.")
    ] = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask: everybody agreed.")] = False,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Hold a ceremony: make the root if there is none, grant requests, issue a revocation list."""
    from operate import ceremony as held

    report = Report(as_json=as_json)
    with command_line.reported(report, interrupted="Nothing was issued; the same command starts again."):
        workspace = open_workspace(site, lab)
        with exclusive(workspace.lock_file, f"scripts/smartgouv ceremony root {site}"):
            estate = workspace.load()
            place = held.folders(workspace, estate, shares)
            held.prepare(place, estate, request or [])
            examined = held.examine(place, by_quorum or [])
            for text in held.describe(examined):
                report.line(text)
            if dry_run:
                report.document({"result": "dry run", "requests": [asked.name for asked in examined.granted]})
                return
            command_line.agree("Hold it?", yes=yes)
            started = time.monotonic()
            with report.working("ceremony"):
                record = held.hold(workspace, estate, place, by_quorum or [], report)
        report.done("ceremony", time.monotonic() - started, f"record {record}")
        report.document({"result": "ok", "record": str(record)})


@ceremony.command("verify")
def ceremony_verify(
    site: Site,
    records: Annotated[
        Path | None, typer.Option("--records", help="Folder with the records, if not this machine's.")
    ] = None,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Check every record's signature and replay it: what was issued must follow from what was brought."""
    from operate import ceremony as held

    report = Report(as_json=as_json)
    with command_line.reported(report):
        folder = records or held.at(open_workspace(site, lab)).records
        count = held.verify(folder, report)
        report.line(f"{count} things issued, every one explained")
        report.document({"result": "ok", "issued": count})


@ledger.command("show")
def ledger_show(site: Site, lab: Lab = None, as_json: Json = False) -> None:
    """Show what was run: when, who, which commit, which stage, with what result."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        book = open_workspace(site, lab).ledger
        entries = list(book.entries())
        for entry in entries:
            if entry["result"] == "started":
                continue
            commit = entry["commit"][:10] + ("+" if entry["dirty"] else "")
            report.line(
                f"{entry['when'][:19]}Z  {entry['who']:<10} {commit:<11} {entry['stage']:<11}"
                f" {entry['result']:<12}{seconds(entry.get('seconds', 0)):>13}"
                f"  {entry.get('changed', 0)} changed"
            )
        head = book.verify().head
        report.line(f"last digest {head}   (keep it elsewhere: it shows later whether entries were cut off)")
        report.document({"entries": entries, "head": head})


@ledger.command("verify")
def ledger_verify(
    site: Site,
    head: Annotated[
        str | None,
        typer.Option("--head", help="A digest that the ledger once ended with; it must still be in it."),
    ] = None,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Check every link of the ledger's chain."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        book = open_workspace(site, lab).ledger
        result = book.verify()
        for place in result.breaks:
            report.line(f"{book.path}:{place.line}: {place.reason}")
        if result.torn:
            report.warning("the last line is a part of an entry: a run was killed; the next entry repairs it")
        lost = head is not None and head not in result.digests
        if lost:
            report.line(f"{book.path}: no entry has the digest {head}: entries were cut off or changed")
        report.document(
            {
                "entries": result.entries,
                "head": result.head,
                "breaks": [vars(place) for place in result.breaks],
                "torn": result.torn,
                "head_found": not lost,
            }
        )
        if result.breaks or lost:
            raise Failure(f"the ledger {book.path} doesn't hold", next_step=f"less {book.path}")
        report.line(f"{result.entries} entries, every link holds; last digest {result.head}")


@message.command("verify")
def message_verify(
    file: Annotated[Path, typer.Argument(help="A container (.asice), or a ZIP file of containers.")],
    root: Annotated[
        Path | None,
        typer.Option("--root", help="The root certificate, PEM or DER; CAs below it may be in it as well."),
    ] = None,
    site: Annotated[
        str | None, typer.Option("--site", help="Take the root of this site, if this machine has it.")
    ] = None,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Check who sent a message, to whom and when, with nothing but the root certificate."""
    from operate.messages import answer

    report = Report(as_json=as_json)
    with command_line.reported(report):
        if root is None and site is not None:
            root = open_workspace(site, lab).root_certificate
        elif root is None or site is not None:
            raise Failure(
                "say which root is believed: a file, or a site",
                next_step=f"scripts/smartgouv message verify {file} --root root.crt",
                code=ExitCode.BAD_INPUT,
            )
        answer.tell(answer.verify(file, root), report)


@secrets.command("generate")
def secrets_generate(site: Site, lab: Lab = None, as_json: Json = False) -> None:
    """Make the secrets that the site declares and that are missing. Existing ones stay."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        workspace = open_workspace(site, lab)
        with exclusive(workspace.lock_file, f"scripts/smartgouv secrets generate {site}"):
            estate = workspace.load()
            made = workspace.secrets.generate(estate)
        report.line(
            f"{len(made)} made, {len(estate.secrets) - len(made)} were there: {workspace.secrets.directory}"
        )
        for name in workspace.secrets.to_bring(estate):
            report.warning(f"{name} must be brought: write its value to {workspace.secrets.path(name)}")
        report.document({"made": made, "directory": str(workspace.secrets.directory)})


@secrets.command("check")
def secrets_check(site: Site, lab: Lab = None, as_json: Json = False) -> None:
    """Check that every declared secret exists, isn't empty and is private."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        workspace = open_workspace(site, lab)
        estate = workspace.load()
        for name in workspace.secrets.undeclared(estate):
            report.warning(f"{workspace.secrets.path(name)} isn't declared by the site")
        workspace.secrets.require(estate, workspace.generate_command)
        report.line(f"{len(estate.secrets)} secrets can be used: {workspace.secrets.directory}")
        report.document({"secrets": [secret.name for secret in estate.secrets], "result": "ok"})


def _tell_problems(report: Report, site: str, failure: Failure) -> None:
    cause = failure.__cause__
    problems = cause.problems if isinstance(cause, EstateError) else []
    report.failure(failure)
    report.document(
        {
            "site": site,
            "result": "refused",
            "problems": [
                {
                    "file": str(problem.file),
                    "line": problem.line,
                    "value": problem.value,
                    "message": problem.message,
                    "text": describe(problem),
                }
                for problem in problems
            ],
        }
    )
