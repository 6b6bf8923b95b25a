"""The cluster answers, its nodes are ready, pods reach one another, and no control plane is needed alone."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"

ASK_DNS = """python3 - <<'END'
import socket, struct
question = b''.join(bytes([len(part)]) + part.encode() for part in '{name}'.split('.')) + b'\\0'
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.settimeout(5)
asker.sendto(struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + question + struct.pack('>2H', 1, 1), ('{server}', 53))
answer = asker.recv(512)
print('.'.join(str(byte) for byte in answer[-4:]) if struct.unpack('>H', answer[6:8])[0] else 'none')
END"""


CONTROL_PLANES = ("control1", "control2", "control3")
PKI = "/etc/kubernetes/pki"
STATE = "/var/lib/smartgouv-kubernetes"
AUTHORITIES = {"kubernetes": "ca", "kubernetes-etcd": "etcd/ca", "kubernetes-front-proxy": "front-proxy-ca"}
LEAVES = {
    "ca": ("apiserver", "apiserver-kubelet-client"),
    "etcd/ca": ("apiserver-etcd-client", "etcd/server", "etcd/peer", "etcd/healthcheck-client"),
    "front-proxy-ca": ("front-proxy-client",),
}
BEFORE = "/root/kubernetes-before"
"""What lay in /etc/kubernetes before the root issued the authorities' next certificates."""

CONNECT = """python3 - <<'END'
import socket, ssl
context = ssl.create_default_context(cafile='{trusted}')
# As Python before 3.13 and most programs with openssl have it.
context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
with socket.create_connection(('{address}', 6443), 10) as plain:
    context.wrap_socket(plain, server_hostname='{address}').close()
END"""


def read(host: Any, what: str) -> Any:
    """Objects of the cluster."""
    return json.loads(host.check_output(f"{KUBECTL} get {what} -o json"))["items"]


@pytest.mark.on("control1")
def test_every_node_is_ready(host: Any) -> None:
    ready = {
        node["metadata"]["name"]: condition["status"]
        for node in read(host, "nodes")
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready"
    }
    assert ready == dict.fromkeys((*CONTROL_PLANES, "worker1"), "True")


@pytest.mark.on("control1")
def test_every_pod_of_the_system_runs(host: Any) -> None:
    host.check_output(f"{KUBECTL} --namespace kube-system wait --for=condition=Ready pod --all --timeout=120s")
    names = {pod["metadata"]["name"].rsplit("-", 1)[0] for pod in read(host, "pods --namespace kube-system")}
    assert {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"} <= names


@pytest.mark.on("control1")
def test_kube_proxy_works_without_iptables(host: Any) -> None:
    assert "table ip kube-proxy" in host.check_output("nft list tables")


@pytest.mark.on("control1")
def test_a_kube_proxy_that_starts_anew_keeps_what_it_finds(host: Any) -> None:
    """It looks at all of its rules when it starts, after an error, and after an hour."""
    services = "nft list map ip kube-proxy service-ips | grep -o '[^ ]* . [a-z]* . [0-9]* : goto [^ ,]*' | sort"
    before = host.check_output(services)
    assert ". tcp . 443 : goto service-" in before
    proxy = f"{KUBECTL} --namespace kube-system"
    host.check_output(f"{proxy} delete pod -l k8s-app=kube-proxy --field-selector spec.nodeName=control1")
    host.check_output(f"{proxy} rollout status daemonset/kube-proxy --timeout=60s")
    host.check_output(
        "curl -sS --fail --retry 30 --retry-delay 1 --retry-all-errors http://127.0.0.1:10256/healthz"
    )
    assert host.check_output(services) == before


@pytest.mark.on("worker1", "control1")
def test_pods_of_every_node_answer_names_of_the_site(host: Any, machine: Any) -> None:
    control = machine("control1")
    control.check_output(f"{KUBECTL} --namespace kube-system rollout status deployment/coredns --timeout=120s")
    servers = [
        pod["status"]["podIP"]
        for pod in read(control, "pods --namespace kube-system --selector k8s-app=kube-dns")
    ]
    assert servers
    for server in servers:
        asked = ASK_DNS.format(server=server, name="registry.molecule.test")
        assert host.check_output(asked) == "192.0.2.7"
        asked = ASK_DNS.format(server=server, name="kubernetes.default.svc.cluster.local")
        assert host.check_output(asked) == "10.96.0.1"


def test_kubelet_keeps_the_images_that_it_cannot_pull(host: Any) -> None:
    """Those that no pod uses at the moment are gone otherwise when the disk fills up."""
    listed = host.check_output("ctr --namespace k8s.io images ls | grep '/cilium:1.18.2 '")
    assert "io.cri-containerd.pinned=pinned" in listed


def test_node_forwards_what_pods_send(host: Any) -> None:
    assert host.sysctl("net.ipv4.ip_forward") == 1


@pytest.mark.on("worker1", "control2", "control3")
def test_no_token_stays_on_a_node(host: Any) -> None:
    assert not host.file("/run/kubeadm-join.yml").exists
    assert not host.file("/etc/kubernetes/bootstrap-kubelet.conf").exists


@pytest.mark.on("control1")
def test_access_is_for_root_only_and_start_was_measured(host: Any) -> None:
    assert host.file("/etc/kubernetes/admin.conf").mode == 0o600
    measured = json.loads(host.file("/etc/ansible/facts.d/kubernetes_bootstrap.fact").content_string)
    assert 0 < measured["ready_seconds"] < 180


def test_node_survives_a_reboot(host: Any) -> None:
    for unit in ("containerd", "kubelet", "pod-network", "shared-mounts"):
        assert host.service(unit).is_enabled


@pytest.fixture
def root(host: Any) -> str:
    """The site's root alone, in a file on the host."""
    host.check_output(
        f"awk '/BEGIN/ {{ number++ }} number == 2' {STATE}/bundle.crt > /run/root.crt && "
        "openssl verify -CAfile /run/root.crt /run/root.crt"
    )
    return "/run/root.crt"


@pytest.mark.on(*CONTROL_PLANES)
@pytest.mark.parametrize(
    ("authority", "leaf"), [(authority, leaf) for authority, leaves in LEAVES.items() for leaf in leaves]
)
def test_certificates_of_the_control_plane_chain_to_the_root(
    host: Any, root: str, authority: str, leaf: str
) -> None:
    host.check_output(f"openssl verify -CAfile {root} -untrusted {PKI}/{authority}.crt {PKI}/{leaf}.crt")


@pytest.mark.on("control1")
@pytest.mark.parametrize("access", ["admin", "super-admin", "controller-manager", "scheduler"])
def test_accesses_chain_to_the_root(host: Any, root: str, access: str) -> None:
    host.check_output(
        f"sed -n 's/.*client-certificate-data: //p' /etc/kubernetes/{access}.conf | base64 -d > /run/{access} "
        f"&& openssl verify -CAfile {root} -untrusted {PKI}/ca.crt /run/{access}"
    )


def test_kubelets_certificate_chains_to_the_root(host: Any, machine: Any) -> None:
    bundle = machine("control1").file(f"{STATE}/bundle.crt").content_string
    host.check_output(f"cat > /run/bundle.crt <<'END'\n{bundle}END")
    host.check_output("openssl verify -CAfile /run/bundle.crt /var/lib/kubelet/pki/kubelet-client-current.pem")


@pytest.mark.on(*CONTROL_PLANES)
@pytest.mark.parametrize(("name", "place"), AUTHORITIES.items())
def test_authorities_keys_are_roots_alone(host: Any, name: str, place: str) -> None:
    """kubeadm's folder and the one that its reset leaves alone hold the same key."""
    for path in (f"{PKI}/{place}.key", f"{STATE}/{name}-1.key"):
        found = host.file(path)
        assert (found.user, found.group, found.mode) == ("root", "root", 0o600)
    host.check_output(f"cmp {PKI}/{place}.key {STATE}/{name}-1.key")
    text = host.check_output(f"openssl x509 -in {PKI}/{place}.crt -noout -text")
    assert "CA:TRUE, pathlen:0" in text
    assert "Issuer: C = BJ, O = Scenario, CN = Scenario Root CA" in text.replace("=", " = ").replace("  ", " ")


@pytest.mark.on("worker1")
def test_no_authoritys_key_is_on_a_worker(host: Any) -> None:
    assert host.check_output("find /etc/kubernetes /var/lib -name 'ca.key' -o -name 'front-proxy-ca.key'") == ""
    assert not host.file(STATE).exists


@pytest.mark.on("control1")
def test_what_admits_clients_names_no_authority_above(host: Any) -> None:
    """With the root in it, any certificate of the site would let its holder into the cluster."""
    for place in AUTHORITIES.values():
        assert host.file(f"{PKI}/{place}.crt").content_string.count("BEGIN CERTIFICATE") == 1
    for access in ("admin", "kubelet"):
        embedded = host.check_output(
            f"sed -n 's/.*certificate-authority-data: //p' /etc/kubernetes/{access}.conf | base64 -d"
        )
        assert embedded == host.file(f"{PKI}/ca.crt").content_string.strip()


@pytest.mark.on("worker1")
def test_worker_admits_no_more_than_the_control_plane(host: Any, machine: Any) -> None:
    present = machine("control1").file(f"{PKI}/ca.crt").content_string
    assert host.file(f"{PKI}/ca.crt").content_string == present


@pytest.mark.on("control1")
@pytest.mark.parametrize("port", [6443, 2379])
def test_certificate_of_another_authority_of_the_site_lets_nobody_in(host: Any, root: str, port: int) -> None:
    """A neighbour below the same root may issue what it likes: here by the front proxy's authority."""
    host.check_output(
        "cd /run && openssl req -new -newkey rsa:2048 -nodes -keyout stranger.key -out stranger.csr "
        "-subj '/O=system:masters/CN=stranger' && openssl x509 -req -in stranger.csr -days 1 "
        f"-CA {PKI}/front-proxy-ca.crt -CAkey {PKI}/front-proxy-ca.key -out stranger.crt "
        "-extfile /dev/stdin <<'END'\nextendedKeyUsage=clientAuth\nEND"
    )
    host.check_output(f"cd /run && cat stranger.crt {PKI}/front-proxy-ca.crt > stranger.pem")
    host.check_output(f"openssl verify -CAfile {root} -untrusted {PKI}/front-proxy-ca.crt /run/stranger.crt")
    path = "api/v1/namespaces/default/secrets" if port == 6443 else "v3/kv/range"
    tried = host.run(
        f"curl --silent --insecure --cert /run/stranger.pem --key /run/stranger.key "
        f"--output /dev/null --write-out '%{{http_code}}' https://127.0.0.1:{port}/{path}"
    )
    assert tried.stdout in ("000", "401", "403")
    assert tried.stdout != "000" or port == 2379


@pytest.mark.on("control1")
def test_pods_are_given_a_chain_down_to_the_root(host: Any, root: str) -> None:
    """Programs with openssl trust the API server with it and nothing else."""
    given = host.check_output(
        f"{KUBECTL} get configmap kube-root-ca.crt --namespace default --output 'jsonpath={{.data.ca\\.crt}}'"
    )
    assert given == host.file(f"{STATE}/bundle.crt").content_string.strip()
    assert given == host.file(f"{PKI}/ca-bundle.crt").content_string.strip()
    address = read(host, "nodes --selector node-role.kubernetes.io/control-plane")[0]["status"]["addresses"][0]
    host.check_output(CONNECT.format(trusted=f"{PKI}/ca-bundle.crt", address=address["address"]))


@pytest.mark.on("control1")
def test_etcd_and_front_proxy_speak_with_their_authorities(host: Any) -> None:
    """The API server's own client certificate opens etcd; the front proxy's passes a user on."""
    client = f"--cert {PKI}/apiserver-etcd-client.crt --key {PKI}/apiserver-etcd-client.key"
    health = host.check_output(f"curl -sS --cacert {PKI}/etcd/ca.crt {client} https://127.0.0.1:2379/health")
    assert json.loads(health)["health"] == "true"
    client = f"--cert {PKI}/front-proxy-client.crt --key {PKI}/front-proxy-client.key"
    url = "--resolve kubernetes:6443:127.0.0.1 https://kubernetes:6443/apis/authentication.k8s.io/v1/selfsubjectreviews"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    told = host.check_output(
        f"curl -sS --cacert {PKI}/ca.crt {client} -H 'X-Remote-User: somebody' "
        f"-H 'Content-Type: application/json' --data '{json.dumps(review)}' {url}"
    )
    assert json.loads(told)["status"]["userInfo"]["username"] == "somebody"


@pytest.mark.on("control1")
def test_next_certificate_replaces_the_authoritys_and_nothing_else(host: Any) -> None:
    for place in AUTHORITIES.values():
        assert host.run(f"cmp {PKI}/{place}.crt {BEFORE}/pki/{place}.crt").rc == 1
        host.check_output(f"cmp {PKI}/{place}.key {BEFORE}/pki/{place}.key")
    for leaf in (leaf for leaves in LEAVES.values() for leaf in leaves):
        host.check_output(f"cmp {PKI}/{leaf}.crt {BEFORE}/pki/{leaf}.crt")


@pytest.mark.on("worker1")
def test_worker_followed_with_the_certificate_that_it_had(host: Any) -> None:
    assert host.run(f"cmp {PKI}/ca.crt {BEFORE}/pki/ca.crt").rc == 1
    host.check_output("cmp /var/lib/kubelet/pki/kubelet-client-current.pem /root/kubelet-client-before.pem")
    embedded = "sed -n 's/.*certificate-authority-data: //p' /etc/kubernetes/kubelet.conf | base64 -d"
    host.check_output(f'test "$({embedded})" = "$(cat {PKI}/ca.crt)"')


@pytest.mark.on("control1")
def test_those_who_join_are_shown_the_present_certificate(host: Any) -> None:
    shown = host.check_output(
        f"{KUBECTL} get configmap cluster-info --namespace kube-public --output 'jsonpath={{.data.kubeconfig}}'"
    )
    encoded = host.check_output(f"base64 -w0 {PKI}/ca.crt")
    assert f"certificate-authority-data: {encoded}\n" in shown


@pytest.mark.on(*CONTROL_PLANES)
@pytest.mark.parametrize("program", ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_control_plane_runs_with_the_present_certificates(host: Any, program: str) -> None:
    started = host.check_output(f'date -d "$(ps -o lstart= -p $(pgrep -o -f ^{program}))" +%s')
    assert int(started) >= int(host.check_output(f"stat -c %Y {PKI}/ca.crt"))


ETCD = (
    f"{KUBECTL} --namespace kube-system exec {{pod}} -- etcdctl --endpoints https://127.0.0.1:2379 "
    f"--cacert {PKI}/etcd/ca.crt --cert {PKI}/etcd/server.crt --key {PKI}/etcd/server.key --write-out json "
)
READY = f"curl -sS --max-time 2 --cacert {PKI}/ca.crt https://{{api}}:6443/readyz"


@pytest.fixture
def api(addresses: dict[str, str]) -> str:
    """Where clients reach the API."""
    return f"{addresses['control1'].rpartition('.')[0]}.200"


@pytest.fixture
def holder(machine: Any, api: str) -> str:
    """The control plane at which clients reach the API now."""
    (found,) = (
        name for name in CONTROL_PLANES if f"{api}/32" in machine(name).check_output("ip -oneline address show")
    )
    return found


@pytest.mark.on("control1", "control2", "control3")
def test_every_control_plane_has_a_member_of_etcd_that_is_well(host: Any) -> None:
    """The one that was made anew too, and nothing is left of its former machine."""
    pod = f"etcd-{host.check_output('hostname')}"
    members = json.loads(host.check_output(ETCD.format(pod=pod) + "member list"))["members"]
    assert sorted(member["name"] for member in members) == list(CONTROL_PLANES)
    assert not any(member.get("isLearner") for member in members)
    health = json.loads(host.check_output(ETCD.format(pod=pod) + "endpoint health --cluster 2>/dev/null"))
    assert [endpoint["health"] for endpoint in health] == [True, True, True]


@pytest.mark.on("control1")
def test_control_planes_are_marked_and_run_no_work_of_others(host: Any) -> None:
    nodes = read(host, "nodes --selector node-role.kubernetes.io/control-plane")
    assert sorted(node["metadata"]["name"] for node in nodes) == list(CONTROL_PLANES)
    assert all(node["spec"]["taints"][0]["effect"] == "NoSchedule" for node in nodes)


@pytest.mark.on("control2", "control3")
def test_further_control_planes_run_what_the_first_does(host: Any, machine: Any) -> None:
    """But for their own addresses and names."""
    own = host.check_output("hostname")

    def arguments(machine: Any, name: str, address: str) -> str:
        text = machine.file("/etc/kubernetes/manifests/kube-apiserver.yaml").content_string
        return str(text.replace(address, "ADDRESS").replace(name, "NAME"))

    first = machine("control1")
    assert arguments(host, own, address_of(host)) == arguments(first, "control1", address_of(first))


def address_of(host: Any) -> str:
    """The node's own address: the first one of its interface."""
    return str(host.check_output("ip -4 -oneline address show dev eth0 | awk '{print $4; exit}'")).partition(
        "/"
    )[0]


@pytest.mark.on("control1")
def test_nodes_reach_the_api_where_it_moves_to(host: Any, machine: Any, api: str) -> None:
    """A worker by the shared address; a control plane's kubelet by its own API server."""
    server = "sed -n 's/ *server: //p' /etc/kubernetes/kubelet.conf"
    assert machine("worker1").check_output(server) == f"https://{api}:6443"
    assert host.check_output(server) == f"https://{address_of(host)}:6443"
    assert host.check_output("sed -n 's/ *server: //p' /etc/kubernetes/admin.conf") == f"https://{api}:6443"


@contextmanager
def paused(_: Any, container: str) -> Iterator[None]:
    """A machine that answers nothing any more, and comes back."""
    subprocess.run(["podman", "pause", container], check=True, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        subprocess.run(["podman", "unpause", container], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def without_api(host: Any, _: str) -> Iterator[None]:
    """A control plane whose API server ended and isn't started again."""
    host.check_output("systemctl stop kubelet && pkill -KILL kube-apiserver")
    try:
        yield
    finally:
        host.check_output("systemctl start kubelet")


def seconds_until_ready(host: Any, api: str) -> float:
    """How long clients wait for the API from now on."""
    begun = time.monotonic()
    while host.run(READY.format(api=api)).stdout != "ok":
        assert time.monotonic() - begun < 30
        time.sleep(0.2)
    return time.monotonic() - begun


@pytest.mark.on("worker1")
@pytest.mark.parametrize("loss", [paused, without_api])
def test_api_stays_reachable_when_a_control_plane_is_lost(
    host: Any, machine: Any, container: Any, api: str, holder: str, loss: Any, record_property: Any
) -> None:
    """Also for writing: two of three members of etcd are a majority."""
    other = machine(next(name for name in CONTROL_PLANES if name != holder))
    with loss(machine(holder), container(holder)):
        time.sleep(1)
        lost = seconds_until_ready(host, api) + 1
        record_property("seconds", lost)
        print(f"API lost for {lost:.1f} s")
        other.check_output(f"{KUBECTL} create configmap while-lost && {KUBECTL} delete configmap while-lost")
    own = READY.format(api="127.0.0.1").replace(f"--cacert {PKI}/ca.crt", "--insecure")
    deadline = time.monotonic() + 120
    while machine(holder).run(own).stdout != "ok":
        assert time.monotonic() < deadline
        time.sleep(1)
    assert lost < 10


@pytest.fixture(scope="module")
def namespace(machine: Any) -> Iterator[str]:
    """A namespace that says nothing of itself."""
    host = machine("control1")
    host.check_output(f"{KUBECTL} create namespace plain")
    yield "plain"
    host.check_output(f"{KUBECTL} delete namespace plain --wait=false")


POD = """cat <<'END' | {kubectl} create --dry-run=server --namespace {namespace} --filename - 2>&1
{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "some"}}, "spec": {spec}}}
END"""

RESTRICTED = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "some",
            "image": "some",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


@pytest.mark.on("control1")
@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        ({}, None),
        ({"hostNetwork": True}, "host namespaces"),
        ({"securityContext": {}}, "runAsNonRoot"),
        ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, "restricted volume types"),
    ],
)
def test_a_pod_that_wants_more_than_its_namespace_says_is_refused(
    host: Any, namespace: str, more: dict[str, Any], refusal: str | None
) -> None:
    spec = json.dumps({**RESTRICTED, **more})
    done = host.run(POD.format(kubectl=KUBECTL, namespace=namespace, spec=spec))
    if refusal is None:
        assert done.rc == 0, done.stdout
    else:
        assert done.rc != 0
        assert 'violates PodSecurity "restricted:latest"' in done.stdout
        assert refusal in done.stdout


@pytest.mark.on("control1")
def test_who_did_what_is_in_the_audit_log_without_what_was_said(
    host: Any, machine: Any, namespace: str
) -> None:
    said = "c2VjcmV0LW9mLXRoZS1hdWRpdC10ZXN0"
    host.check_output(
        f"{KUBECTL} -n {namespace} create secret generic kept --from-literal=word=secret-of-the-audit-test"
    )
    assert said in host.check_output(f"{KUBECTL} -n {namespace} get secret kept -o json")
    logs = "/var/log/kubernetes-audit"
    found = []
    for name in CONTROL_PLANES:
        lines = machine(name).check_output(f"cat {logs}/audit.log").splitlines()
        assert not any(said in line or "secret-of-the-audit-test" in line for line in lines)
        assert not any('"resource":"leases"' in line for line in lines)
        assert machine(name).file(f"{logs}/audit.log").mode == 0o600
        found += [json.loads(line) for line in lines if '"name":"kept"' in line]
    told = {(item["verb"], item["user"]["username"]) for item in found}
    assert {("create", "kubernetes-admin"), ("get", "kubernetes-admin")} <= told


@pytest.mark.on("control1")
def test_the_api_server_shows_nobody_its_inner_state(host: Any) -> None:
    assert host.run(f"{KUBECTL} get --raw /debug/pprof/").rc != 0


IN_ETCD = """curl -sS --cacert {pki}/etcd/ca.crt --cert {pki}/apiserver-etcd-client.crt \\
    --key {pki}/apiserver-etcd-client.key https://127.0.0.1:2379/v3/kv/range --data '{question}'"""


def in_etcd(host: Any, prefix: str) -> list[bytes]:
    """Values of all keys that begin so."""
    begin, end = (
        base64.b64encode(text.encode()).decode() for text in (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))
    )
    question = json.dumps({"key": begin, "range_end": end})
    found = json.loads(host.check_output(IN_ETCD.format(pki=PKI, question=question)))
    return [base64.b64decode(item["value"]) for item in found["kvs"]]


@pytest.mark.on("control1")
def test_secrets_are_encrypted_in_etcd_with_the_new_key(host: Any, machine: Any, namespace: str) -> None:
    """Also those from before it was replaced; every API server reads them."""
    host.check_output(
        f"{KUBECTL} -n {namespace} create secret generic mine --from-literal=word=nobody-may-read-this"
    )
    values = in_etcd(host, "/registry/secrets/")
    assert len(values) >= 2
    assert [value[:40] for value in values if not value.startswith(b"k8s:enc:secretbox:v1:key-2:")] == []
    for name in CONTROL_PLANES:
        own = f"{KUBECTL} --server https://127.0.0.1:6443 --tls-server-name kubernetes -n {namespace}"
        assert "bm9ib2R5LW1heS1yZWFkLXRoaXM=" in machine(name).check_output(f"{own} get secret mine -o json")
        assert machine(name).file("/etc/smartgouv/kubernetes-api/encryption.yml").mode == 0o600


@pytest.mark.on("control1")
def test_pods_have_the_addresses_that_the_site_gives_their_node(host: Any) -> None:
    plan = {"control1": "10.244.0.", "control2": "10.244.1.", "control3": "10.244.2.", "worker1": "10.244.3."}
    nodes = {node["metadata"]["name"]: node["spec"]["podCIDR"] for node in read(host, "nodes")}
    assert nodes == {name: f"{prefix}0/24" for name, prefix in plan.items()}
    pods = [
        pod for pod in read(host, "pods --all-namespaces") if not pod["spec"].get("hostNetwork")
    ]  # Those of the cluster's DNS, at least.
    assert pods
    for pod in pods:
        assert pod["status"]["podIP"].startswith(plan[pod["spec"]["nodeName"]])


def test_the_agent_of_every_node_is_well_and_reaches_the_others(host: Any) -> None:
    """It asks them one after the other, and then each minute or so."""
    ask = "curl -sS --unix-socket /run/cilium/{socket}.sock http://localhost/{path}"
    agent = json.loads(host.check_output(ask.format(socket="cilium", path="v1/healthz")))
    assert agent["cilium"]["state"] == "Ok"
    deadline = time.monotonic() + 180
    reached: set[str] = set()
    while reached != {*CONTROL_PLANES, "worker1"}:
        assert time.monotonic() < deadline, reached
        told = json.loads(host.check_output(ask.format(socket="health", path="v1beta/status")))
        answers = {node["name"]: node["host"]["primary-address"].get("http") for node in told["nodes"] or ()}
        # What went wrong stands in `status`.
        reached = {name for name, answer in answers.items() if answer and not answer.get("status")}
        time.sleep(1)


WHERE = {"near": "control1", "far": "worker1"}
"""Two nodes with a pod of each kind on both."""


def pod(kind: str, where: str, image: str) -> dict[str, Any]:
    """A pod that does nothing by itself. Programs are started in its network from its node."""
    (container,) = RESTRICTED["containers"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{kind}-{where}", "labels": {"kind": kind}},
        "spec": {
            "nodeName": WHERE[where],
            "terminationGracePeriodSeconds": 0,
            "securityContext": {**RESTRICTED["securityContext"], "runAsUser": 65532},
            "containers": [{**container, "image": image, "imagePullPolicy": "Never"}],
        },
    }


def policy(name: str, **spec: Any) -> dict[str, Any]:
    """A network policy, for every pod unless it says for which."""
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}}
    return {**kind, "spec": {"podSelector": {}, **spec}}


def of_kind(kind: str) -> dict[str, Any]:
    """Selects pods."""
    return {"podSelector": {"matchLabels": {"kind": kind}}}


DNS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
CLOSED = policy("closed", policyTypes=["Ingress", "Egress"])
NAMES = policy(
    "names", policyTypes=["Egress"], egress=[{"to": [DNS], "ports": [{"port": 53, "protocol": "UDP"}]}]
)
SERVING = policy(
    "serving", **of_kind("server"), ingress=[{"from": [of_kind("client")], "ports": [{"port": 8000}]}]
)
ASKING = policy("asking", **of_kind("client"), policyTypes=["Egress"], egress=[{"to": [of_kind("server")]}])
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "server"},
    "spec": {
        "type": "NodePort",
        "selector": {"kind": "server"},
        "ports": [{"port": 80, "targetPort": 8000, "nodePort": 30999}],
    },
}


FIREWALL = """table inet firewall
delete table inet firewall
table inet firewall {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state vmap { established : accept, related : accept, invalid : drop }
    iif lo accept
    ip protocol { icmp, vrrp } accept
    iifname { "cilium_*", "lxc*" } accept
    tcp dport { 22, 2379, 2380, 4240, 6443, 8001, 10250, 30999 } accept
    udp dport 8472 accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state vmap { established : accept, related : accept, invalid : drop }
    iifname { "cilium_*", "lxc*" } accept
    oifname { "cilium_*", "lxc*" } ip saddr 10.244.0.0/16 accept
    ct status dnat ct original proto-dst 30999 accept
  }
}"""
"""What role firewall has on a node: what isn't named is dropped."""


class Pods:
    """Pods of three kinds on two nodes, in a namespace of their own."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine
        self.kubectl = f"{KUBECTL} --namespace policies"
        self.control = machine("control1")
        image = self.control.check_output("ctr -n k8s.io images ls -q | grep '/pause:'").split()[0]
        self.control.check_output(f"{KUBECTL} create namespace policies")
        for name in (*CONTROL_PLANES, "worker1"):
            machine(name).check_output(f"nft --file - <<'END'\n{FIREWALL}\nEND")
        kinds = [(kind, where) for kind in ("server", "client", "other") for where in WHERE]
        self.apply(SERVICE, *(pod(kind, where, image) for kind, where in kinds))
        self.control.check_output(f"{self.kubectl} wait --for=condition=Ready pod --all --timeout=60s")
        found = json.loads(self.control.check_output(f"{self.kubectl} get pods -o json"))["items"]
        self.addresses = {item["metadata"]["name"]: item["status"]["podIP"] for item in found}
        for where in WHERE:
            self.inside(f"server-{where}", "python3 -m http.server 8000 --directory /usr/share/doc", begin=True)
            self.wait_for(f"server-{where}")

    def apply(self, *objects: dict[str, Any]) -> None:
        """Have these in the namespace."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.control.check_output(f"cat <<'END' | {self.kubectl} apply --filename -\n{listed}\nEND")
        # A policy is in force within a second or so, on a machine that has time for it.
        time.sleep(5)

    def inside(self, name: str, command: str, *, begin: bool = False) -> Any:
        """Run a command in a pod's network, or begin one that stays."""
        node = self.machine(WHERE[name.partition("-")[2]])
        network = node.check_output(
            "for name in $(ls /run/netns); do ip -netns $name -4 -oneline address show dev eth0 "
            f"| grep -qF ' {self.addresses[name]}/' && echo $name; done; true"
        )
        there = f"ip netns exec {network} {command}"
        return node.run(f"systemd-run --quiet --unit={name} {there}" if begin else there)

    def wait_for(self, name: str) -> None:
        """Wait until a server answers in its own pod."""
        command = (
            "curl -sS --output /dev/null --retry 20 --retry-delay 1 --retry-all-errors http://127.0.0.1:8000/"
        )
        assert self.inside(name, command).rc == 0

    def asks(self, source: str, address: str) -> bool:
        """Whether a pod gets an answer. If not, nothing came back: not even a refusal."""
        asked = self.inside(source, f"curl -sS --max-time 2 --output /dev/null http://{address}/")
        assert asked.rc in (0, 28), asked.stderr
        return bool(asked.rc == 0)

    def answered(self) -> dict[str, set[bool]]:
        """By kind of those who ask: whether servers on both nodes and their service answer."""
        servers = [f"{self.addresses[f'server-{where}']}:8000" for where in WHERE]
        service = self.control.check_output(
            f"{self.kubectl} get service server -o 'jsonpath={{.spec.clusterIP}}'"
        )
        return {
            kind: {self.asks(f"{kind}-{where}", to) for where in WHERE for to in (*servers, service)}
            for kind in ("client", "other")
        }

    def learns(self, source: str) -> str:
        """What the cluster's DNS tells a pod, asked by its service's address."""
        node = self.machine(WHERE[source.partition("-")[2]])
        node.check_output(
            "cat > /run/ask-dns <<'SCRIPT'\n"
            + ASK_DNS.format(server="10.96.0.10", name="kubernetes.default.svc.cluster.local")
            + "\nSCRIPT"
        )
        return str(self.inside(source, "sh /run/ask-dns").stdout).strip()


@pytest.fixture(scope="module")
def pods(machine: Any) -> Iterator[Pods]:
    """They stay until the last of these tests."""
    made = Pods(machine)
    yield made
    made.control.check_output(f"{KUBECTL} delete namespace policies --wait=false")
    for name in (*CONTROL_PLANES, "worker1"):
        machine(name).check_output("nft delete table inet firewall")


def test_pods_appear_outside_under_their_nodes_address(
    pods: Pods, machine: Any, addresses: dict[str, str]
) -> None:
    """Nothing else knows a way back to them."""
    machine("worker1").check_output("systemd-run --quiet --unit=outside python3 -m http.server 8001")
    asked = f"curl -sS --output /dev/null --retry 20 --retry-all-errors http://{addresses['worker1']}:8001/"
    assert pods.inside("client-near", asked).rc == 0
    assert f"{addresses['control1']} - - [" in machine("worker1").check_output("journalctl --unit=outside")


def test_policies_are_enforced_on_and_between_nodes(pods: Pods) -> None:
    """Everything is open without any; nothing is in a closed namespace; what one names is open again."""
    assert pods.answered() == {"client": {True}, "other": {True}}
    pods.apply(CLOSED)
    assert pods.answered() == {"client": {False}, "other": {False}}
    assert pods.learns("other-far") == ""
    pods.apply(NAMES, SERVING, ASKING)
    assert pods.learns("other-far") == "10.96.0.1"
    assert pods.learns("client-near") == "10.96.0.1"
    assert pods.answered() == {"client": {True}, "other": {False}}


def test_what_comes_to_a_node_port_is_from_outside(pods: Pods, addresses: dict[str, str]) -> None:
    """Whoever stands outside comes in through any node if the policy says so, and doesn't otherwise."""

    def came_in() -> set[bool]:
        asked = [
            subprocess.run(
                [
                    "curl",
                    "--silent",
                    "--max-time",
                    "2",
                    "--output",
                    "/dev/null",
                    f"http://{addresses[name]}:30999/",
                ],
                check=False,
            ).returncode
            for name in ("control2", "control3", "worker1")
            for _ in range(4)
        ]
        return {code == 0 for code in asked}

    pods.apply(CLOSED, SERVING)
    # Each node lets itself in: there the kubelet asks its pods how they are.
    assert False in came_in()
    outside = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}}
    pods.apply(policy("outside", **of_kind("server"), ingress=[{"from": [outside], "ports": [{"port": 8000}]}]))
    assert came_in() == {True}
    # Pods of other kinds come in no more than before.
    pods.apply(policy("asking-all", egress=[{}], policyTypes=["Egress"]))
    assert pods.answered() == {"client": {True}, "other": {False}}
