"""The proofs that end stages: what can be observed on the hosts, asked over SSH as an operator would.

A proof is one command a host. It must be quick, change nothing and print no secret.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from estate import Estate
from estate.host import Role
from estate.network import LISTENERS, Endpoint
from operate.failure import Failure
from operate.remote import command, next_step, reason
from operate.reporting import Report
from operate.run import Run
from operate.workspace import Workspace

_AT_ONCE = 6
_TIMEOUT_SECONDS = 60
_PORTAL_TRIES = 15
"""Two seconds apart. The balancer sees only after a while that pods which were exchanged serve again."""
_SSH_FAILED = 255
_TLS = "/etc/smartgouv/tls"


@dataclass(frozen=True)
class Probe:
    """A command that ends with 0 on `host` if something is so."""

    host: str
    command: str
    claim: str
    """What the command shows, as a sentence about the host."""


def reachable(workspace: Workspace, estate: Estate, report: Report) -> str:
    """Every host answers over SSH with the key that this workspace knows."""
    probes = [
        Probe(host.name, "sudo -n true", "answers over SSH and lets deploy administer") for host in estate.hosts
    ]
    ask(workspace, probes, report)
    return f"{len(probes)} hosts answer over SSH"


def base(run: Run) -> str:
    """Every host drops what no flow allows and shows no failed unit."""
    question = (
        "sudo -n nft --stateless list ruleset | grep -q 'hook input .*policy drop'"
        " || { echo 'the input chain does not drop by default'; exit 1; }"
    )
    probes = [Probe(host.name, question, "drops by default") for host in run.estate.hosts]
    ask(run.workspace, probes, run.report)
    return f"{len(probes)} firewalls drop by default"


def trust(run: Run) -> str:
    """Every host has a certificate of its own name that chains to the site's root."""
    probes = []
    for host in run.estate.hosts:
        name = shlex.quote(run.estate.fqdn(host))
        question = (
            f"sudo -n openssl verify -CAfile {_TLS}/root.crt -untrusted {_TLS}/host.crt"
            f" -verify_hostname {name} {_TLS}/host.crt"
            f" && sudo -n openssl x509 -in {_TLS}/host.crt -noout -checkend 3600"
        )
        probes.append(Probe(host.name, question, "has a certificate that chains to the root"))
    ask(run.workspace, probes, run.report)
    return f"{len(probes)} certificates chain to the root"


def data(run: Run) -> str:
    """Databases accept connections over TLS; the registry answers."""
    estate = run.estate
    probes = [
        Probe(host.name, f"pg_isready -h {host.address} -p {_port(Endpoint.POSTGRESQL)}", "accepts connections")
        for host in estate.hosts_with(Role.POSTGRESQL)
    ]
    for host in estate.hosts_with(Role.REGISTRY):
        url = f"https://{estate.fqdn(host)}:{_port(Endpoint.REGISTRY)}/v2/"
        # 401: it wants an account, so it is up.
        probes.append(Probe(host.name, _http(url, "200", "401"), "serves images over TLS"))
    ask(run.workspace, probes, run.report)
    return "database and registry answer over TLS"


def trust_services(run: Run) -> str:
    """Certificates can be issued, every responder's status is fresh, every stamping clock is sure."""
    estate = run.estate
    authority = estate.hosts_with(Role.CERTIFICATE_AUTHORITY)[0]
    issuing = f"https://{estate.fqdn(authority)}:{_port(Endpoint.TRUST_SERVICES)}/health"
    probes = [Probe(authority.name, _http(issuing, "200"), "can issue certificates")]
    for role, endpoint, claim in (
        (Role.STATUS_RESPONDER, Endpoint.CERTIFICATE_STATUS, "tells fresh status"),
        (Role.TIME_STAMPING, Endpoint.TIME_STAMPS, "makes time stamps"),
    ):
        probes += [
            Probe(host.name, _http(f"http://127.0.0.1:{_port(endpoint)}/health", "200"), claim)
            for host in estate.hosts_with(role)
        ]
    ask(run.workspace, probes, run.report)
    responders, stamping = estate.hosts_with(Role.STATUS_RESPONDER), estate.hosts_with(Role.TIME_STAMPING)
    return f"issuing, {len(responders)} responders and {len(stamping)} time-stamping authorities answer"


def cluster(run: Run) -> str:
    """Every API server is ready, clients reach one, and every node is; the authorities are the root's."""
    estate = run.estate
    controls = estate.hosts_with(Role.KUBERNETES_CONTROL_PLANE)
    kubectl = "sudo -n kubectl --kubeconfig /etc/kubernetes/admin.conf"
    nodes = len(estate.kubernetes_nodes)
    ready = (
        f"{kubectl} get --raw /readyz >/dev/null"
        f" && {kubectl} wait --for=condition=Ready node --all --timeout=45s"
        f' && test "$({kubectl} get nodes --output name | wc -l)" -eq {nodes}'
    )
    pki = "/etc/kubernetes/pki"
    chains = " && ".join(
        f"sudo -n openssl verify -CAfile {_TLS}/root.crt -untrusted {pki}/{authority}.crt {pki}/{leaf}.crt"
        for authority, leaf in (
            ("ca", "apiserver"),
            ("etcd/ca", "etcd/server"),
            ("front-proxy-ca", "front-proxy-client"),
        )
    )
    # Where clients reach the API, by the administrator's access.
    probes = [Probe(controls[0].name, ready, f"has {nodes} nodes that are ready")]
    for control in controls:
        own = f"https://{control.address}:{_port(Endpoint.KUBERNETES_API)}/readyz"
        probes += [
            Probe(control.name, chains, "has a cluster whose certificates chain to the root"),
            Probe(control.name, f"curl -sS --fail --max-time 20 --cacert {pki}/ca.crt {own}", "serves the API"),
        ]
    probes += [
        Probe(host.name, "systemctl is-active keepalived.service", "takes part in sharing an address")
        for host in estate.hosts
        if estate.shared_by(host)
    ]
    probes += [
        Probe(host.name, "systemctl is-active haproxy.service", "runs the load balancer")
        for host in estate.hosts_with(Role.LOAD_BALANCER)
    ]
    ask(run.workspace, probes, run.report)
    return f"{len(controls)} API servers and {nodes} nodes ready, certificates chain to the root"


def exchange(run: Run) -> str:
    """Central server and security servers listen where the federation's programs call them."""
    estate = run.estate
    hosts = estate.hosts_with(Role.CENTRAL_SERVER, Role.SECURITY_SERVER)
    port = _port(Endpoint.ADMIN_API)
    # Whatever it answers without a key: it speaks HTTP over TLS.
    answers = ("200", "302", "401", "403", "404")
    probes = [
        Probe(
            host.name,
            _http(f"https://{estate.fqdn(host)}:{port}/", *answers, insecure=True),
            "answers on its admin API",
        )
        for host in hosts
    ]
    ask(run.workspace, probes, run.report)
    return f"{len(hosts)} admin APIs answer"


def federation(run: Run) -> str:
    """Nothing is left to do: what the servers hold is what the estate wants."""
    from operate import pulumi_stack

    return pulumi_stack.prove_settled(run, "federation")


def platform(run: Run) -> str:
    """The portal answers through the load balancer, over TLS of the site's own root."""
    estate = run.estate
    from_host = estate.hosts_with(Role.LOAD_BALANCER)[0]
    url = f"https://{estate.portal.host_name}/"
    ask(
        run.workspace,
        [Probe(from_host.name, _http(url, "200", "302", tries=_PORTAL_TRIES), "serves the portal")],
        run.report,
    )
    return f"{url} answers"


def ask(workspace: Workspace, probes: Iterable[Probe], report: Report) -> None:
    """Run every probe; Failure that names the hosts of which the claim isn't true."""
    probes = list(probes)
    failed: list[_Refuted] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for number, refuted in enumerate(pool.map(lambda probe: _run(workspace, probe), probes), start=1):
            report.progress(f"proof {number} of {len(probes)}")
            if refuted is not None:
                failed.append(refuted)
    if not failed:
        return
    lines = [f"{refuted.probe.host}: {workspace.secrets.redact(refuted.reason)}" for refuted in failed[:5]]
    if len(failed) > 5:
        lines.append(f"and {len(failed) - 5} more")
    first = failed[0]
    if first.unreachable:
        why = reason(first.reason)
        raise Failure(
            f"{len(failed)} of {len(probes)} hosts can't be reached" + (f": {why}" if why else ""),
            details="\n".join(lines),
            next_step=next_step(workspace, first.probe.host, first.reason),
        )
    raise Failure(
        f"the proof failed on {len(failed)} of {len(probes)} hosts:"
        f" it isn't true that {first.probe.host} {first.probe.claim}",
        details="\n".join(lines),
        next_step=shlex.join(command(workspace, first.probe.host, first.probe.command)),
    )


@dataclass(frozen=True)
class _Refuted:
    """A probe whose claim isn't true, or couldn't be looked at."""

    probe: Probe
    reason: str
    unreachable: bool


def _run(workspace: Workspace, probe: Probe) -> _Refuted | None:
    """None if the probe's claim is true."""
    try:
        result = subprocess.run(
            command(workspace, probe.host, probe.command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Refuted(probe, f"no answer within {_TIMEOUT_SECONDS} s", unreachable=False)
    if result.returncode == 0:
        return None
    text = result.stderr.strip() or result.stdout.strip() or f"status {result.returncode}"
    return _Refuted(probe, text[:400], unreachable=result.returncode == _SSH_FAILED)


def _http(url: str, *accepted: str, insecure: bool = False, tries: int = 1) -> str:
    """A command that succeeds if `url` answers with one of the accepted status codes, at one of some tries."""
    trust = "--insecure" if insecure else f"--cacert {_TLS}/root.crt"
    codes = "|".join(accepted)
    return (
        f"for try in $(seq {tries}); do"
        f" code=$(curl --silent --show-error --max-time 20 {trust} --output /dev/null"
        f" --write-out '%{{http_code}}' {shlex.quote(url)}) || exit 1;"
        f' case "$code" in {codes}) exit 0 ;; esac; [ "$try" = {tries} ] || sleep 2; done;'
        f' echo "{url} answered $code"; exit 1'
    )


def _port(endpoint: Endpoint) -> int:
    return LISTENERS[endpoint].port
