"""The federation of a raised lab: what is done by hand is found and pruned, what exists is taken over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.raised_lab import ISSUED, Lab

from estate import load
from estate.load import SITES
from estate.project.federation import federation
from estate.secrets import api_key

pytestmark = pytest.mark.lab

SERVER, PROVIDER = "ss-health", "BJ-LAB:GOV:HEALTH:REGISTRY"
STRANGER = "BJ-LAB:GOV:DIGITAL:MONITORING"
RIGHT = "MONITORING of DIGITAL {} vaccinations of HEALTH (REGISTRY)"
ASK = """
import json, ssl, sys, urllib.request
key, method, path, body = json.load(sys.stdin)
headers = {"Authorization": f"X-Road-ApiKey token={key}", "Content-Type": "application/json"}
data = json.dumps(body).encode() if body else None
request = urllib.request.Request("https://localhost:4000/api/v1" + path, data, headers, method=method)
print(urllib.request.urlopen(request, context=ssl._create_unverified_context()).read().decode() or "null")
"""


def by_hand(lab: Lab, method: str, path: str, body: object = None) -> object:
    """What an administrator does at the health ministry's server, past the estate."""
    key = (lab.state / "secrets" / api_key(SERVER)).read_text(encoding="utf-8").strip()
    given = json.dumps([key, method, path, body])
    answer: object = json.loads(lab.on(SERVER, f"python3 -c '{ASK}'", given=given))
    return answer


def held(lab: Lab) -> list[tuple[str, ...]]:
    """Keys of the server's token, which is open, with their certificates."""
    tokens = by_hand(lab, "GET", "/tokens")
    assert isinstance(tokens, list)
    (token,) = tokens
    assert token["logged_in"]
    return sorted(
        (key["id"], *(item["certificate_details"]["hash"] for item in key["certificates"]))
        for key in token["keys"]
    )


def holders(lab: Lab) -> set[str]:
    found = by_hand(lab, "GET", f"/services/{PROVIDER}:vaccinations/service-clients")
    assert isinstance(found, list)
    return {item["id"] for item in found}


def test_a_right_given_by_hand_is_found_and_pruned(lab: Lab) -> None:
    """An apply says so and leaves it; with consent it goes, and the plan says who loses what."""
    path = f"/clients/{PROVIDER}/service-clients/{STRANGER}/access-rights"
    by_hand(lab, "POST", path, {"items": [{"service_code": "vaccinations"}]})
    assert STRANGER in holders(lab)

    found = lab.run("smartgouv", "federation", "drift", "lab")
    assert found.returncode == 1
    assert f"access   {RIGHT.format('gains')}" in found.stdout

    left = lab.apply("federation")
    assert left.returncode == 0, left.stdout
    assert RIGHT.format("may call") in left.stdout
    assert STRANGER in holders(lab)

    pruned = lab.run("smartgouv", "apply", "lab", "--stage", "federation", "--allow-prune")
    assert pruned.returncode == 0, pruned.stdout
    assert f"access  {RIGHT.format('loses')}" in pruned.stdout
    assert STRANGER not in holders(lab)
    assert lab.run("smartgouv", "federation", "drift", "lab").returncode == 0


def test_a_service_changed_by_hand_is_brought_back(lab: Lab) -> None:
    """Without a word of consent: nobody loses anything by it."""
    service = by_hand(lab, "GET", f"/services/{PROVIDER}:vaccinations")
    assert isinstance(service, dict)
    changed = {"url": service["url"], "timeout": 3, "ssl_auth": True, "ignore_warnings": True}
    by_hand(lab, "PATCH", f"/services/{PROVIDER}:vaccinations", changed)

    mended = lab.apply("federation")

    assert mended.returncode == 0, mended.stdout
    assert "timeout_seconds is 3" in mended.stdout
    again = by_hand(lab, "GET", f"/services/{PROVIDER}:vaccinations")
    assert isinstance(again, dict)
    assert again["timeout"] == service["timeout"]


@pytest.fixture
def lost_state(lab: Lab, tmp_path: Path) -> Iterator[None]:
    """The federation's state is gone, as after a disk was lost. It comes back if the import fails."""
    state = lab.state / "pulumi" / "states" / ".pulumi" / "stacks" / "federation"
    shutil.copytree(state, tmp_path / "kept")
    shutil.rmtree(state)
    yield
    if not state.exists():
        shutil.copytree(tmp_path / "kept", state)


@pytest.mark.usefixtures("lost_state")
def test_what_exists_is_taken_over(lab: Lab, tmp_path: Path) -> None:
    """The printed data declare what the site's own do, and an apply has nothing to change."""
    site = tmp_path / "lab"
    shutil.copytree(SITES / "lab", site)

    done = lab.run("smartgouv", "federation", "import", "lab", "--output", str(site / "federation.yml"))

    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert federation(load(site)) == federation(load("lab"))
    assert lab.document("smartgouv", "stack", "lab", "federation", "up")["changed"] == 0


@pytest.mark.drill
def test_a_lost_server_comes_back_from_its_backup(lab: Lab) -> None:
    """On a container that the lab makes anew; no key is new and no certificate ordered."""
    lab.document("smartgouv", "backup", "lab", "--host", SERVER)
    before, ordered = held(lab), lab.on("ca1", ISSUED)
    lab.lose(SERVER)
    lab.mended("hardware")
    for stage in ("base", "trust", "exchange"):
        done = lab.apply(stage, SERVER)
        assert done.returncode == 0, done.stdout

    assert (
        lab.document("smartgouv", "restore", "lab", SERVER, "--yes")["identity"]
        == "BJ-LAB/GOV/HEALTH/SS-HEALTH"
    )

    assert held(lab) == before
    assert lab.document("smartgouv", "stack", "lab", "federation", "up")["changed"] == 0
    assert lab.on("ca1", ISSUED) == ordered
    done = lab.run("smartgouv", "verify", "lab")
    assert done.returncode == 0, done.stdout
