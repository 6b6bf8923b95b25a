"""Measures the plan of a large federation in which nothing has to change, with the real engine and provider.

    python -m federation_fake.plan MEMBERS SERVERS RIGHTS

Prints lines of JSON: progress, then the result. A plan asks the servers everything and compares (a preview
with a refresh); a preview compares with the last apply alone. Of each: seconds, requests, and memory (bytes
that are resident, the largest sum of a look) and processor time of engine, program and provider. The servers
answer within the provider's process, so what they use counts as its own. Requests keep to each server's limit,
but for the preparation, which makes the state.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from federation_fake.answers import Answers
from federation_fake.size import Size, arguments
from federation_fake.used import Used
from federation_rig.authority import LocalAuthority
from federation_rig.processes import descendants
from stacks.engine_files import BY_ITSELF
from stacks.federation.arguments import FederationArgs
from stacks.large_program import ENGINE_ENVIRONMENT
from stacks.providers.serving import serve
from stacks.providers.xroad.provider import XRoadProvider
from stacks.providers.xroad.transport import Pace

_DOUBLES = Path(__file__).resolve().parents[1]
_PATH = [str(_DOUBLES.parents[1] / "pulumi"), str(_DOUBLES.parents[1] / "inventories"), str(_DOUBLES)]
_UNLIMITED = "FEDERATION_FAKE_UNLIMITED"
"""Set to anything, requests don't keep to the servers' limits."""

_LOOK_SECONDS = 0.5
_STEPS = {
    "up": "taking over what exists, which isn't measured",
    "plan": "plan: everything looked at",
    "preview": "preview against the last apply",
}
_LAUNCHER = """#!{python}
import sys
sys.path[:0] = {path!r}
from federation_fake.plan import provider
provider({folder!r})
"""


class _Network(httpx.AsyncBaseTransport):
    """All servers, declared in a folder. That is read at the first request: an engine won't wait for long."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.requests = 0

    @cached_property
    def _answers(self) -> Answers:
        args = FederationArgs.model_validate_json((self._folder / "arguments.json").read_text(encoding="utf-8"))
        certificates = [(self._folder / name).read_bytes() for name in ("ca.crt", "timestamp1.crt")]
        return Answers(args, *certificates)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return await self._answers.handle_async_request(request)


def provider(folder: str) -> None:
    """Serve the provider, with all servers in its own process."""
    place = Path(folder)
    network = _Network(place)
    if os.environ.get(_UNLIMITED):
        Pace.wait = _at_once  # type: ignore[method-assign]
    count = place / f"{os.getpid()}.requests"
    count.touch()
    serve(XRoadProvider(LocalAuthority(place), network))
    count.write_text(str(network.requests), encoding="utf-8")


async def _at_once(_: Pace) -> None:
    """Don't wait."""


def measure(size: Size, folder: Path) -> dict[str, Any]:
    """Make the state, then plan, then preview."""
    authority = LocalAuthority(folder)
    authority.issue_tls(folder, "timestamp1", [])
    args = arguments(size)
    (folder / "arguments.json").write_text(args.model_dump_json(), encoding="utf-8")
    launcher = folder / "launch" / "pulumi-resource-xroad"
    launcher.parent.mkdir()
    launcher.write_text(
        _LAUNCHER.format(python=sys.executable, path=_PATH, folder=str(folder)), encoding="utf-8"
    )
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
    environment = {
        **ENGINE_ENVIRONMENT,
        **os.environ,
        "PATH": os.pathsep.join([str(launcher.parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(_PATH),
        "PULUMI_CONFIG_PASSPHRASE": "bench",
        **BY_ITSELF,
        # The state is written once: what is measured is the plan.
        "PULUMI_EXPERIMENTAL": "true",
        "PULUMI_SKIP_CHECKPOINTS": "true",
        "SMARTGOUV_SECRETS": str(folder),
        "SMARTGOUV_ROOT_CERTIFICATE": str(folder / "ca.crt"),
        "SMARTGOUV_TIMESTAMPING": str(folder),
    }
    for secret in ("key", "pin"):
        (folder / secret).write_text("unused", encoding="utf-8")
    adopted = _timed("up", folder, {**environment, _UNLIMITED: "1"})
    found = {name: _timed(name, folder, environment) for name in ("plan", "preview")}
    return {"resources": sum(adopted["changes"].values()), "adopted": adopted, **found}


def _timed(operation: str, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run one operation in processes of its own, and watch what these use."""
    command = [sys.executable, "-m", "federation_rig.drive", operation, str(folder)]
    used = Used()
    started = time.monotonic()
    with (
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, env=environment, stdout=output, stderr=errors) as process,
    ):
        try:
            while process.poll() is None:
                used.look(process.pid)
                _tell({"step": _STEPS[operation], "seconds": time.monotonic() - started})
                time.sleep(_LOOK_SECONDS)
        except BaseException:
            # Nothing of what it was writing is needed any more.
            for one in (process.pid, *descendants(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            raise
        seconds = time.monotonic() - started
        for file in (output, errors):
            file.seek(0)
        told, failure = output.read(), errors.read()
    if process.returncode != 0:
        errors_told = [line for line in failure.splitlines() if "error" in line]
        raise SystemExit("\n".join(errors_told[:20]) or failure[-4000:])
    return {
        "seconds": seconds,
        "bytes": used.largest,
        "bytes_by_process": used.bytes,
        "processor_seconds": used.processor_seconds,
        "requests": _requests(folder),
        "changes": json.loads(told.strip().splitlines()[-1]),
    }


def _requests(folder: Path) -> int:
    """How many the providers sent, which each notes when it ends."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        noted = {file: file.read_text(encoding="utf-8") for file in folder.glob("*.requests")}
        if all(noted.values()):
            break
        time.sleep(0.1)
    for file in noted:
        file.unlink()
    return sum(int(count or 0) for count in noted.values())


def _tell(document: dict[str, Any]) -> None:
    """One line of JSON for whoever started this."""
    print(json.dumps(document), flush=True)


def _stop(*_: object) -> None:
    """End as at an interruption, so that what was made is removed."""
    raise KeyboardInterrupt


def main() -> None:
    """Measure a federation of the size of the arguments."""
    signal.signal(signal.SIGTERM, _stop)
    folder = Path(tempfile.mkdtemp(prefix="bench-federation-"))
    try:
        _tell(measure(Size(*map(int, sys.argv[1:4])), folder))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
