"""Releases: what is refused, what counts as a difference, and how helm is called."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from stacks.providers.kubernetes.access import Access
from stacks.providers.kubernetes.api import Api
from stacks.providers.kubernetes.helm import PROGRAM_VARIABLE, Helm
from stacks.providers.kubernetes.releases import Releases, chart_digest, redacted
from stacks.providers.serving import ProviderError, Subject, UnfinishedError

SUBJECT = Subject(type="kubernetes:helm.sh/v3:Release", name="demo", urn="")

PROGRAM = """#!/usr/bin/env python3
import json, os, sys
with open({log!r}, "a") as log:
    mode = oct(os.stat(os.environ["KUBECONFIG"]).st_mode & 0o777)
    json.dump({{"arguments": sys.argv[1:], "input": sys.stdin.read(), "mode": mode}}, log)
    log.write("\\n")
answers = json.load(open({answers!r}))
verb = " ".join(sys.argv[1:3]) if sys.argv[1] == "get" else sys.argv[1]
code, text = answers.get(verb, [0, ""])
print(text, file=sys.stderr if code else sys.stdout)
sys.exit(code)
"""


class FakeHelm:
    """A helm program that answers what a test says and remembers how it was called."""

    def __init__(self, folder: Path) -> None:
        self.program, self._log, self._answers = folder / "helm", folder / "log", folder / "answers"
        self.program.write_text(PROGRAM.format(log=str(self._log), answers=str(self._answers)))
        self.program.chmod(0o755)
        self.answer(status=[0, json.dumps({"version": 1, "info": {"status": "deployed"}})], history=[0, "[]"])

    def answer(self, **answers: list[Any]) -> None:
        known = json.loads(self._answers.read_text()) if self._answers.exists() else {}
        self._answers.write_text(json.dumps(known | answers))

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def call(self, verb: str) -> dict[str, Any]:
        (found,) = (call for call in self.calls if call["arguments"][0] == verb)
        return found


@pytest.fixture
def helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHelm:
    fake = FakeHelm(tmp_path)
    monkeypatch.setenv(PROGRAM_VARIABLE, str(fake.program))
    return fake


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    folder = tmp_path / "chart"
    folder.mkdir()
    (folder / "Chart.yaml").write_text("name: chart\n")
    return folder


@pytest.fixture
def kind(api: Api) -> Releases:
    access = Access("https://cluster.test", None, {}, "kubeconfig of the test", "")  # type: ignore[arg-type]
    return Releases(api, Helm(access))


def checked(kind: Releases, **inputs: Any) -> Any:
    return asyncio.run(kind.check(SUBJECT, inputs))


def test_check_fills_in_name_and_namespace(kind: Releases, chart: Path) -> None:
    found = checked(kind, chart=str(chart))
    assert (found.inputs["name"], found.inputs["namespace"]) == ("demo", "default")
    assert found.inputs["chartDigest"] == chart_digest(chart)


def test_check_refuses_what_it_would_have_to_ignore(kind: Releases, chart: Path) -> None:
    refused = checked(kind, chart=str(chart), postrender="program", valueYamlFiles=[], lint=False).refusals
    assert [refusal.property for refusal in refused] == ["postrender"]


def test_check_refuses_charts_from_elsewhere(kind: Releases) -> None:
    assert [refusal.property for refusal in checked(kind, chart="redis").refusals] == ["chart"]


def test_values_go_through_standard_input_only(kind: Releases, chart: Path, helm: FakeHelm) -> None:
    inputs = checked(kind, chart=str(chart), values={"password": "not-for-the-process-list"}).inputs
    asyncio.run(kind.create(SUBJECT, inputs, preview=False))
    call = helm.call("upgrade")
    assert json.loads(call["input"]) == {"password": "not-for-the-process-list"}
    assert "not-for-the-process-list" not in " ".join(call["arguments"])
    assert call["mode"] == "0o600"
    assert {"--install", "--wait"} <= set(call["arguments"])


def test_interrupted_first_installation_is_removed_before_the_next(
    kind: Releases, chart: Path, helm: FakeHelm
) -> None:
    helm.answer(history=[0, json.dumps([{"revision": 1, "status": "pending-install"}])])
    asyncio.run(kind.create(SUBJECT, checked(kind, chart=str(chart)).inputs, preview=False))
    assert helm.call("uninstall")


def test_interrupted_upgrade_goes_back_to_the_last_good_revision(
    kind: Releases, chart: Path, helm: FakeHelm
) -> None:
    revisions = [{"revision": 1, "status": "deployed"}, {"revision": 2, "status": "pending-upgrade"}]
    helm.answer(history=[0, json.dumps(revisions)])
    asyncio.run(kind.create(SUBJECT, checked(kind, chart=str(chart)).inputs, preview=False))
    assert helm.call("rollback")["arguments"][:3] == ["rollback", "demo", "1"]


def test_failure_keeps_the_state_and_hides_secrets(kind: Releases, chart: Path, helm: FakeHelm) -> None:
    helm.answer(
        upgrade=[1, "Error: value 'very-secret-text' is wrong"],
        status=[0, json.dumps({"version": 1, "info": {"status": "failed"}})],
    )
    inputs = checked(kind, chart=str(chart), values={"adminPassword": "very-secret-text"}).inputs
    with pytest.raises(UnfinishedError) as found:
        asyncio.run(kind.create(SUBJECT, inputs, preview=False))
    assert "very-secret-text" not in str(found.value)
    assert found.value.state["status"]["status"] == "failed"


def test_failure_without_a_release_leaves_no_state(kind: Releases, chart: Path, helm: FakeHelm) -> None:
    helm.answer(upgrade=[1, "Error: boom"], status=[1, "Error: release: not found"])
    with pytest.raises(ProviderError, match="boom") as found:
        asyncio.run(kind.create(SUBJECT, checked(kind, chart=str(chart)).inputs, preview=False))
    assert not isinstance(found.value, UnfinishedError)


def deployed(cluster: Any, kind: Releases, inputs: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = asyncio.run(kind.create(SUBJECT, inputs, preview=False)).state
    cluster.objects["/api/v1/namespaces/default/secrets/sh.helm.release.v1.demo.v1"] = {
        "metadata": {"labels": {"status": "deployed"}}
    }
    return state


def test_nothing_differs_after_installation(kind: Releases, chart: Path, helm: FakeHelm, cluster: Any) -> None:
    inputs = checked(kind, chart=str(chart), values={"a": 1}).inputs
    state = deployed(cluster, kind, inputs)
    found = asyncio.run(kind.diff("default/demo", inputs, state, inputs))
    assert found.updates == found.replacements == ()


def test_changed_chart_is_a_difference_and_its_place_is_not(
    kind: Releases, chart: Path, helm: FakeHelm, cluster: Any
) -> None:
    inputs = checked(kind, chart=str(chart)).inputs
    state = deployed(cluster, kind, inputs)
    moved = asyncio.run(kind.diff("default/demo", inputs, state, {**inputs, "chart": "/elsewhere"}))
    assert moved.updates == ()
    (chart / "Chart.yaml").write_text("name: chart\nversion: 2\n")
    changed = asyncio.run(kind.diff("default/demo", inputs, state, checked(kind, chart=str(chart)).inputs))
    assert changed.updates == ("chartDigest",)


def test_release_that_vanished_is_installed_again(
    kind: Releases, chart: Path, helm: FakeHelm, cluster: Any
) -> None:
    inputs = checked(kind, chart=str(chart)).inputs
    state = deployed(cluster, kind, inputs)
    cluster.objects.clear()
    assert asyncio.run(kind.diff("default/demo", inputs, state, inputs)).updates == ("status",)


def test_object_of_a_release_that_vanished_is_a_difference(
    kind: Releases, chart: Path, helm: FakeHelm, cluster: Any
) -> None:
    helm.answer(**{"get manifest": [0, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: gone}\n"]})
    inputs = checked(kind, chart=str(chart)).inputs
    state = deployed(cluster, kind, inputs)
    assert state["resourceNames"] == {"ConfigMap/v1": ["gone"]}
    assert asyncio.run(kind.diff("default/demo", inputs, state, inputs)).updates == ("resourceNames",)


def test_redaction_goes_by_names() -> None:
    values = {"database": {"password": "abc"}, "image": "xyz"}
    assert redacted("abc xyz", values) == "[redacted] xyz"


def test_helm_that_cannot_be_found_is_named(
    kind: Releases, chart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PROGRAM_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(ProviderError, match="helm isn't on PATH"):
        asyncio.run(kind.create(SUBJECT, checked(kind, chart=str(chart)).inputs, preview=False))
