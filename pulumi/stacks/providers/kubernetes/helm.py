"""Runs the helm program: values through standard input, access in a file for its owner only."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from stacks.providers.kubernetes.access import Access
from stacks.providers.serving import ProviderError

PROGRAM_VARIABLE = "SMARTGOUV_HELM"
"""Names the helm program to use; without it, `helm` is searched on PATH."""

_STOP_SECONDS = 10.0


class HelmError(Exception):
    """Helm refused or failed; the text is its own, without the lines that only announce it."""


class Helm:
    """The helm program with access to one cluster."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def status(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The newest revision of a release; None if there is none."""
        found = await self._find("status", name, "--namespace", namespace, "--output", "json")
        return dict(found) if found else None

    async def history(self, namespace: str, name: str) -> list[dict[str, Any]]:
        """The remembered revisions of a release, oldest first."""
        return await self._find("history", name, "--namespace", namespace, "--output", "json") or []

    async def manifest(self, namespace: str, name: str) -> str:
        """The objects of a release, as YAML documents."""
        return await self.run("get", "manifest", name, "--namespace", namespace)

    async def run(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        """Run helm and return what it printed. HelmError if it fails; stopped when the caller is cancelled."""
        program = _program()
        with tempfile.TemporaryDirectory(prefix="helm-") as folder:
            kubeconfig = Path(folder) / "kubeconfig"
            # The folder is its owner's only, so the file never was open to anybody else.
            kubeconfig.touch(mode=0o600)
            kubeconfig.write_text(self._access.kubeconfig, encoding="utf-8")
            process = await asyncio.create_subprocess_exec(
                program,
                *arguments,
                *(("--kube-context", self._access.context) if self._access.context else ()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "HOME": folder,
                    "KUBECONFIG": str(kubeconfig),
                },
            )
            try:
                output, errors = await process.communicate(json.dumps(values or {}).encode())
            except asyncio.CancelledError:
                await _stop(process)
                raise
        if process.returncode != 0:
            raise HelmError(_said(errors.decode(errors="replace")))
        return output.decode()

    async def _find(self, *arguments: str) -> Any:
        try:
            return json.loads(await self.run(*arguments))
        except HelmError as failure:
            if "not found" in str(failure):
                return None
            raise


def _program() -> str:
    program = os.environ.get(PROGRAM_VARIABLE) or shutil.which("helm")
    if program is None:
        raise ProviderError(f"helm isn't on PATH. Next: build the tool chain, or set {PROGRAM_VARIABLE}")
    return program


async def _stop(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def _said(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    kept = [
        line.removeprefix("Error: ") for line in lines if not line.startswith(("level=", "time=", "WARNING:"))
    ]
    return " ".join(kept or lines) or "helm failed without saying why"
