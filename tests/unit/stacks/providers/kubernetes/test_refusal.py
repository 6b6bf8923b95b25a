"""Production gets Pulumi's own provider or none."""

from __future__ import annotations

import os

import pytest

from stacks.providers.kubernetes import UnsuitableProviderError, refuse_in
from stacks.providers.serving import launcher


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{launcher('kubernetes')}{os.pathsep}{os.environ['PATH']}")


def test_production_refuses_the_stand_in(on_path: None) -> None:
    with pytest.raises(UnsuitableProviderError, match="Next: `pulumi plugin install"):
        refuse_in("production")


@pytest.mark.parametrize("environment", ["lab", "staging"])
def test_other_environments_take_it(on_path: None, environment: str) -> None:
    refuse_in(environment)


def test_production_passes_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    refuse_in("production")
