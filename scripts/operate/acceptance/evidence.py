"""The acceptance as a table, as JUnit XML and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.table import Table

from operate.acceptance.result import Check
from operate.files import write_atomically


def table(checks: Sequence[Check]) -> Table:
    """The checks for people."""
    drawn = Table(box=None, pad_edge=False)
    for heading in ("", "what", "which", "seen"):
        drawn.add_column(heading, overflow="fold")
    for check in checks:
        mark = "[green]pass[/]" if check.passed else "[bold red]FAIL[/]"
        drawn.add_row(mark, check.group, check.name, check.detail)
    return drawn


def write(folder: Path, checks: Sequence[Check]) -> tuple[Path, Path]:
    """Write `acceptance.xml` (JUnit) and `acceptance.json` into `folder`; return both paths."""
    suites = ET.Element("testsuites")
    for group, members in groupby(sorted(checks, key=lambda check: check.group), lambda check: check.group):
        found = list(members)
        failures = sum(not check.passed for check in found)
        suite = ET.SubElement(
            suites, "testsuite", name=group, tests=str(len(found)), failures=str(failures), errors="0"
        )
        for check in found:
            case = ET.SubElement(
                suite, "testcase", classname=group, name=check.name, time=f"{check.seconds:.2f}"
            )
            if check.passed:
                ET.SubElement(case, "system-out").text = check.detail
            else:
                ET.SubElement(case, "failure", message=check.detail)
    ET.indent(suites)
    junit, document = folder / "acceptance.xml", folder / "acceptance.json"
    write_atomically(junit, ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n")
    write_atomically(document, json.dumps([asdict(check) for check in checks], indent=2) + "\n")
    return junit, document
