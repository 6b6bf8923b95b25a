"""400 days of the trust stage, renewed as it would be: nothing that has ended is ever served."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import postgresql_server, soft_token

from operate.locations import ROOT
from operate.processes import ending_with_parent
from time_travel import clock
from time_travel.journey import BEGINS
from time_travel.summary import table

pytestmark = [pytest.mark.long, pytest.mark.drill]

PLACES = ("", "tests/doubles", "inventories", "scripts/toolchain/debs/trust-services")


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the journey wrote."""
    if clock.library() is None:
        pytest.skip("libfaketime isn't installed: apt-get install libfaketime")
    if postgresql_server.programs() is None:
        pytest.skip("PostgreSQL isn't installed: apt-get install postgresql")
    soft_token.library()
    folder = tmp_path_factory.mktemp("time-travel")
    # PostgreSQL runs by another account, to which pytest's own folder is closed.
    shared = Path(tempfile.mkdtemp(prefix="clock-"))
    shared.chmod(0o755)
    clock.write(shared / "now", BEGINS)
    path = os.pathsep.join(str(ROOT / place) for place in PLACES)
    try:
        done = subprocess.run(
            ending_with_parent(
                [
                    *(sys.executable, "-m", "time_travel.journey"),
                    *("--folder", str(folder), "--summary", str(folder / "summary.json")),
                ]
            ),
            env={**os.environ, "PYTHONPATH": path, **clock.environment(shared / "now")},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(shared)
    assert done.returncode == 0, done.stderr[-5000:]
    written = folder / "summary.json"
    return {**json.loads(written.read_text(encoding="utf-8")), "file": str(written)}


def test_nothing_expired_is_served(
    summary: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    record_property("summary", f"{table(summary)}as JSON: {summary['file']}\n")
    assert summary["expired"] == []
    assert summary["expired_served"] == 0


def test_whoever_asks_gets_what_is_so(summary: dict[str, Any]) -> None:
    """Signatures, states, chains; and tryLater only where nobody could sign or fetch."""
    assert summary["wrong_answers"] == []
    assert set(summary["try_later"]) == {"before the programs' turn", "authority's host away", "API away"}


def test_everything_was_renewed_and_in_time(summary: dict[str, Any]) -> None:
    """The journey is long enough for each kind: none is fine only because it wasn't due."""
    assert summary["days"] == 400
    renewals, left = summary["renewals"], summary["least_days_left_at_renewal"]
    # Twice for the list, and the issuing authorities' certificates.
    assert renewals["root's revocation list"] >= 3
    assert renewals["issuing CA's certificate"] == 2
    assert renewals["OCSP responder's certificate"] >= 19
    assert renewals["host's TLS certificate"] >= 19
    assert renewals["time-stamping authority's certificate"] == 1
    assert renewals["issuing CA's revocation list"] >= 395
    assert renewals["X-Road leaf"] >= 12
    assert renewals["revocation"] == 2
    # A third of 30 days, and of a year, but for a day or an outage.
    assert left["OCSP responder's certificate"] > 8
    assert left["host's TLS certificate"] > 8
    assert left["X-Road leaf"] > 119
    # 30 days before the end an alert asks for a ceremony, which takes people a week.
    assert left["root's revocation list"] > 20
    assert left["issuing CA 'trust-services'"] > 900
    assert left["issuing CA 'infrastructure-tls'"] > 900


def test_much_was_asked(summary: dict[str, Any]) -> None:
    assert summary["asked"]["OCSP answers"] > 20_000
    for kind in ("revocation lists", "TLS certificates", "time stamps", "authorities' certificates"):
        assert summary["asked"][kind] > 700, kind
