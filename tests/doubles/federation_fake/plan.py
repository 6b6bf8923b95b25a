"""Measures the plan of a large federation in which nothing has to change, with the real engine and provider.

    python -m federation_fake.plan MEMBERS SERVERS RIGHTS

Prints JSON: seconds and the largest resident memory (bytes; engine, program and provider together) of a plan,
and of a refresh, which asks the servers everything; requests of each. Requests keep to each server's limit.
"""

from __future__ import annotations

import json
import os
import shutil
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
from federation_rig.authority import LocalAuthority
from federation_rig.processes import descendants
from stacks.federation.arguments import FederationArgs
from stacks.providers.serving import serve
from stacks.providers.xroad.provider import XRoadProvider

_DOUBLES = Path(__file__).resolve().parents[1]
_PATH = [str(_DOUBLES.parents[1] / "pulumi"), str(_DOUBLES.parents[1] / "inventories"), str(_DOUBLES)]
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
    serve(XRoadProvider(LocalAuthority(place), network))
    (place / "requests").write_text(str(network.requests), encoding="utf-8")


def measure(size: Size, folder: Path) -> dict[str, Any]:
    """Make the state, then plan, then refresh."""
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
        **os.environ,
        "PATH": os.pathsep.join([str(launcher.parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(_PATH),
        "PULUMI_CONFIG_PASSPHRASE": "bench",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
        # The state is written once: what is measured is the plan.
        "PULUMI_EXPERIMENTAL": "true",
        "PULUMI_SKIP_CHECKPOINTS": "true",
        "SMARTGOUV_SECRETS": str(folder),
        "SMARTGOUV_ROOT_CERTIFICATE": str(folder / "ca.crt"),
        "SMARTGOUV_TIMESTAMPING": str(folder),
    }
    for secret in ("key", "pin"):
        (folder / secret).write_text("unused", encoding="utf-8")
    adopted = _timed("up", folder, environment)
    found = {name: _timed(name, folder, environment) for name in ("preview", "refresh")}
    rights = sum(len(item.access_rights) for item in args.security_servers)
    return {"resources": sum(adopted["changes"].values()), "rights": rights, "up": adopted, **found}


def _timed(operation: str, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    started = time.monotonic()
    command = [sys.executable, "-m", "federation_rig.drive", operation, str(folder)]
    with (
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, env=environment, stdout=output, stderr=errors) as process,
    ):
        largest = 0
        while process.poll() is None:
            largest = max(largest, sum(map(_resident, [process.pid, *descendants(process.pid)])))
            time.sleep(0.2)
        for file in (output, errors):
            file.seek(0)
        told, failure = output.read(), errors.read()
    seconds = time.monotonic() - started
    if process.returncode != 0:
        errors_told = [line for line in failure.splitlines() if "error" in line]
        raise SystemExit("\n".join(errors_told[:20]) or failure[-4000:])
    requests = folder / "requests"
    deadline = time.monotonic() + 10
    while not requests.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    asked = int(requests.read_text(encoding="utf-8")) if requests.exists() else -1
    requests.unlink(missing_ok=True)
    return {
        "seconds": seconds,
        "bytes": largest,
        "requests": asked,
        "changes": json.loads(told.strip().splitlines()[-1]),
    }


def _resident(process: int) -> int:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Measure a federation of the size of the arguments."""
    folder = Path(tempfile.mkdtemp(prefix="bench-federation-"))
    try:
        print(json.dumps(measure(Size(*map(int, sys.argv[1:4])), folder)))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
