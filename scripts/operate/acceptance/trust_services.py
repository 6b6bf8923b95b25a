"""What the trust services tell, judged by OpenSSL on a security server: it asks as that server does."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from estate import Estate
from estate.host import Role
from estate.network import LISTENERS, Endpoint
from estate.trust import TRUST_SERVICES, label
from operate import remote
from operate.acceptance.result import Check
from operate.workspace import Workspace

SCRIPT = Path(__file__).with_name("trust_services.sh")
GROUP = "trust services"
SECONDS = 120


def check(workspace: Workspace, estate: Estate) -> list[Check]:
    """Chains, revocation lists, OCSP answers by POST and GET with either hash, and time stamps."""
    asker = estate.hosts_with(Role.SECURITY_SERVER)[0].name
    script = _told(workspace, estate) + SCRIPT.read_text(encoding="utf-8")
    try:
        done = subprocess.run(
            remote.command(workspace, asker, "bash -s"),
            input=script,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [Check(GROUP, "all", passed=False, detail=f"no answer within {SECONDS} s")]
    checks = [_read(line) for line in done.stdout.splitlines()]
    if done.returncode != 0 or not checks:
        detail = done.stderr.strip()[-200:] or f"the script ended with status {done.returncode}"
        checks.append(Check(GROUP, "all", passed=False, detail=detail))
    return checks


def _told(workspace: Workspace, estate: Estate) -> str:
    port = LISTENERS[Endpoint.TIME_STAMPS].port
    hosts = estate.hosts_with(Role.TIME_STAMPING)
    words = {
        "ISSUER": label(TRUST_SERVICES, estate.trust.trust_services.generation),
        "STATUS": f"http://{estate.status_name}",
        "STAMPING": " ".join(f"{host.name}=http://{estate.fqdn(host)}:{port}/" for host in hosts),
    }
    for number, host in enumerate(hosts):
        path = workspace.timestamping_directory / f"{host.name}.crt"
        # Without it OpenSSL says so, in the check that needs it.
        words[f"TSA_{number}"] = path.read_text(encoding="ascii") if path.is_file() else ""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in words.items())


def _read(line: str) -> Check:
    result, name, detail = line.split("\t")
    return Check(GROUP, name, result == "ok", detail)
