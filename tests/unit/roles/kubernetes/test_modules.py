"""The decisions of role kubernetes' own modules, without a node."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from tests.ansible_source import loaded

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
LISTING = f"""REF                              TYPE                                       DIGEST      SIZE
registry.test/a:1                application/vnd.oci.image.manifest.v1+json {DIGEST}    1 MiB
"""


def module(name: str) -> ModuleType:
    # As Ansible finds it for the role's modules.
    for shared in ("cluster_store", "control_plane_programs", "patience"):
        sys.modules[f"ansible.module_utils.{shared}"] = loaded(f"roles/kubernetes/module_utils/{shared}.py")
    return loaded(f"roles/kubernetes/library/{name}.py")


@pytest.mark.parametrize(
    ("reference", "name", "present"),
    [
        (f"registry.test/a@{DIGEST}", "registry.test/a:1", True),
        (f"registry.test/a@{OTHER}", "registry.test/a:1", False),
        ("registry.test/a:1", "registry.test/a:1", True),
        (f"registry.test/a@{DIGEST}", "registry.test/b:1", False),
    ],
)
def test_image_counts_as_present_with_its_digest_only(reference: str, name: str, present: bool) -> None:
    images = module("node_images")
    assert images.is_present({"reference": reference}, name, images.digests(LISTING)) is present


def test_images_are_predicted_before_there_is_a_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = module("node_images")
    monkeypatch.setattr(images, "RUNTIME", tmp_path / "containerd.sock")
    wanted = {"name": "a", "tag": "1", "reference": f"registry.test/a@{DIGEST}"}
    arguments = {"repository": "registry.test", "registry_hosts": str(tmp_path), "images": [wanted]}
    with patch_module_args({**arguments, "_ansible_check_mode": True}), pytest.raises(SystemExit):
        images.main()

    predicted = json.loads(capsys.readouterr().out)
    assert (predicted["changed"], predicted["images"]) == (True, ["registry.test/a:1"])


class FakeModule:
    """What the module asks of Ansible: commands run, with the exit codes that a test says."""

    check_mode = False

    def __init__(self, codes: dict[str, int], **params: Any) -> None:
        self.codes, self.params = codes, {"encryption": None, "reads": [], **params}
        self.commands: list[str] = []
        self.answers: dict[str, str] = {}
        """What programs say by their names. openssl's answer is the key in our certificates: the first word."""
        self.told: list[str] = []

    def run_command(
        self,
        command: list[str],
        check_rc: bool = False,  # noqa: ARG002
        data: str | None = None,
    ) -> tuple[int, str, str]:
        self.commands.append(" ".join(command[:2]))
        self.told += [data] if data is not None else []
        answer = (data or "").partition(" ")[0] if command[0] == "openssl" else self.answers.get(command[0], "")
        return self.codes.get(command[0], 0), answer, ""

    def exit_json(self, **result: Any) -> None:
        raise Ended(result)

    def fail_json(self, msg: str) -> None:
        raise Failed(msg)


class Ended(Exception):  # noqa: N818  an answer, not an error
    """The module's answer."""


class Failed(Exception):  # noqa: N818  as Ended
    """What the module refuses."""


@pytest.fixture
def kubeadm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = module("kubeadm_node")
    for name, path in (
        ("FOLDER", ""),
        ("ADMIN", "admin.conf"),
        ("KUBELET_ACCESS", "kubelet.conf"),
        ("AUTHORITY", "pki/ca.crt"),
        ("PKI", "pki"),
        ("API_SERVER", "manifest.yml"),
        ("FINISHED", "initialised"),
        ("FACTS", "bootstrap.fact"),
        ("ETCD_DATA", "etcd/member"),
    ):
        monkeypatch.setattr(found, name, tmp_path / path)
    programs = sys.modules["ansible.module_utils.control_plane_programs"]
    monkeypatch.setattr(programs, "PROCESSES", tmp_path / "proc")
    monkeypatch.setattr(found, "waited", lambda trouble, _: trouble())
    return found


class FakeStore:
    """etcd with the members that a test says, all of them well unless named otherwise."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.ill: set[str] = set()
        self.lost = False

    def members(self) -> list[Any]:
        if self.lost:
            raise OSError("etcdserver: no leader")
        member = sys.modules["ansible.module_utils.cluster_store"].Member
        return [
            member(name, "" if name in self.ill else name, (f"https://{name}.test:2380",), (), False)
            for name in self.names
        ]

    def remove(self, member: Any) -> None:
        self.names.remove(member.identity)

    def is_well(self, member: Any) -> bool:
        return member.identity not in self.ill

    def trouble(self) -> str:
        return "etcd is ill" if self.lost or self.ill & set(self.names) else ""


def at(kubeadm: Any, ansible: FakeModule, *members: str) -> Any:
    """The node that the module runs on, in a cluster with these members of etcd."""
    node = kubeadm.Node(ansible)
    node.store = FakeStore(*members)
    return node


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    def put(**files: str) -> None:
        (tmp_path / "pki").mkdir(exist_ok=True)
        for name, text in files.items():
            (tmp_path / name.replace("__", "/").replace("_", ".")).write_text(text)

    return put


def test_worker_of_this_cluster_is_a_member(kubeadm: Any, write: Callable[..., None]) -> None:
    write(kubelet_conf="access", pki__ca_crt="authority\n")
    node = kubeadm.Node(FakeModule({}))
    assert node.is_worker_of("authority")
    assert not node.is_worker_of("the authority of a cluster made since")
    assert not node.is_worker_of("")


def test_next_certificate_of_the_same_key_is_the_same_cluster(
    kubeadm: Any, write: Callable[..., None], tmp_path: Path
) -> None:
    """The worker takes it over and keeps its own certificate."""
    write(kubelet_conf="  certificate-authority-data: b2xk\n  user: kept\n", pki__ca_crt="key-1 first\n")
    ansible = FakeModule({}, authority="key-1 second\n", authorities={})
    with pytest.raises(Ended) as answer:
        kubeadm.join(ansible, kubeadm.Node(ansible))
    assert answer.value.args[0] == {"changed": True, "member": True}
    assert ansible.commands == ["openssl x509", "openssl x509", "systemctl restart"]
    assert (tmp_path / "pki/ca.crt").read_text() == "key-1 second\n"
    encoded = base64.b64encode(b"key-1 second\n").decode()
    access = (tmp_path / "kubelet.conf").read_text()
    assert access == f"  certificate-authority-data: {encoded}\n  user: kept\n"
    with pytest.raises(Ended) as again:
        kubeadm.join(ansible, kubeadm.Node(ansible))
    assert again.value.args[0] == {"changed": False, "member": True}


def test_worker_killed_while_it_follows_goes_on(
    kubeadm: Any, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the kubelet was restarted the worker counts as not having followed."""
    write(kubelet_conf="certificate-authority-data: b2xk\n", pki__ca_crt="key-1 first\n")
    ansible = FakeModule({}, authority="key-1 second\n", authorities={})

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(kubeadm.Node, "_run", killed)
        with pytest.raises(KeyboardInterrupt):
            kubeadm.join(ansible, kubeadm.Node(ansible))
    assert not kubeadm.is_current("key-1 second\n")
    with pytest.raises(Ended):
        kubeadm.join(ansible, kubeadm.Node(ansible))
    assert "systemctl restart" in ansible.commands


def test_worker_without_access_of_its_own_is_none(kubeadm: Any, write: Callable[..., None]) -> None:
    write(pki__ca_crt="authority\n")
    assert not kubeadm.Node(FakeModule({})).is_worker_of("authority")


def test_clean_leaves_a_fresh_node_alone(kubeadm: Any) -> None:
    ansible = FakeModule({})
    kubeadm.Node(ansible).clean()
    assert ansible.commands == []


def test_clean_resets_what_an_interruption_left(kubeadm: Any, write: Callable[..., None]) -> None:
    write(admin_conf="half")
    ansible = FakeModule({})
    kubeadm.Node(ansible).clean()
    assert ansible.commands == ["kubeadm reset"]


def test_measurement_is_kept_whole_or_not_at_all(kubeadm: Any, tmp_path: Path) -> None:
    kubeadm.note(6.3)
    assert (tmp_path / "bootstrap.fact").read_text() == '{"ready_seconds": 6.3}\n'
    assert [file.name for file in tmp_path.iterdir()] == ["bootstrap.fact"]


@pytest.mark.parametrize(("written", "changed"), [("kind: the same", False), ("kind: another", True)])
def test_changed_configuration_reaches_a_running_control_plane(
    kubeadm: Any,
    write: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: str,
    changed: bool,
) -> None:
    write(admin_conf="access", init_yml="kind: the same")
    (tmp_path / "initialised").write_text(kubeadm.digest_of(tmp_path / "init.yml"))
    write(init_yml=written, pki__ca_crt="key-1 first")
    reached: list[str] = []
    monkeypatch.setattr(kubeadm.Node, "reconfigure", lambda _self, path, _deadline: reached.append(path))
    monkeypatch.setattr(kubeadm, "is_ready", lambda: True)
    ansible = FakeModule({}, configuration=str(tmp_path / "init.yml"), deadline_seconds=1, authorities={})
    ansible.answers["kubectl"] = json.dumps({"data": {"kubeconfig": ""}})
    with pytest.raises(Ended) as answer:
        kubeadm.initialise(ansible, at(kubeadm, ansible, "control1"))
    assert answer.value.args[0]["changed"] is changed
    assert bool(reached) is changed
    assert (tmp_path / "initialised").read_text() == kubeadm.digest_of(tmp_path / "init.yml")


@pytest.fixture
def control_plane(
    kubeadm: Any, write: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FakeModule:
    """A control plane whose CA gets its next certificate; its processes are older than that."""
    monkeypatch.setattr(kubeadm, "is_ready", lambda: True)
    monkeypatch.setattr(kubeadm, "_RESTART_SECONDS", 0)
    old = "clusters:\n- cluster:\n    certificate-authority-data: b2xk\n    server: https://192.0.2.1:6443\n"
    write(init_yml="kind", manifest_yml="", admin_conf=old, kubelet_conf=old, scheduler_conf=old)
    write(pki__ca_crt="key-1 first\n", pki__ca_key="secret 1")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/ca.crt").write_text("key-1 second\n")
    (tmp_path / "kept/ca.key").write_text("secret 1")
    (tmp_path / "initialised").write_text("the digest of an earlier state")
    files = {"ca.key": str(tmp_path / "kept/ca.key"), "ca.crt": str(tmp_path / "kept/ca.crt")}
    ansible = FakeModule(
        {},
        configuration=str(tmp_path / "init.yml"),
        invitation="join.yml",
        deadline_seconds=1,
        authorities=files,
        name="control2",
        address="control2.test",
        control_plane=True,
    )
    ansible.answers["kubectl"] = json.dumps({"data": {"kubeconfig": old}})
    return ansible


def process(tmp_path: Path, number: int, program: str, started: float) -> None:
    """A process as /proc shows it, that started at a moment in seconds since 1970."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    ticks = int((started - booted) * os.sysconf("SC_CLK_TCK"))
    folder = tmp_path / "proc" / str(number)
    folder.mkdir(parents=True)
    (folder / "cmdline").write_bytes(f"/usr/local/bin/{program}\0--flag\0".encode())
    (folder / "stat").write_text(f"{number} (a ) b) S " + " ".join(["0"] * 18) + f" {ticks} 0 0\n")


def test_next_certificate_of_an_authority_is_taken_over(
    kubeadm: Any, control_plane: FakeModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever holds the old one or reads it only at its start, etcd after those that need it to end."""
    now = time.time()
    process(tmp_path, 11, "etcd", now - 3600)
    process(tmp_path, 12, "kube-apiserver", now - 3600)
    process(tmp_path, 13, "kube-scheduler", now + 3600)
    process(tmp_path, 14, "kube-proxy", now - 3600)
    process(tmp_path, 15, "kubelet", now - 3600)
    ended: list[int] = []
    monkeypatch.setattr(kubeadm, "end", ended.append)
    with pytest.raises(Ended) as answer:
        kubeadm.initialise(control_plane, at(kubeadm, control_plane, "control1"))
    assert answer.value.args[0] == {"changed": True, "member": True}
    assert ended == [12, 11]
    assert (tmp_path / "pki/ca.crt").read_text() == "key-1 second\n"
    assert "systemctl restart" in control_plane.commands
    encoded = base64.b64encode(b"key-1 second\n").decode()
    for name in ("admin", "kubelet", "scheduler"):
        text = (tmp_path / f"{name}.conf").read_text()
        assert f"    certificate-authority-data: {encoded}\n    server: https" in text
    assert f"certificate-authority-data: {encoded}" in json.loads(control_plane.told[-1])["data"]["kubeconfig"]
    control_plane.commands.clear()
    with pytest.raises(Ended) as again:
        kubeadm.initialise(control_plane, at(kubeadm, control_plane, "control1"))
    assert (again.value.args[0]["changed"], control_plane.commands) == (False, [])


def test_changed_file_of_the_api_server_starts_another(
    kubeadm: Any, control_plane: FakeModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else; a run that finds no change ends none."""
    (tmp_path / "kept/ca.crt").write_text("key-1 first\n")
    policy = tmp_path / "audit.yml"
    policy.write_text("level: None")
    control_plane.params["reads"] = [str(policy)]
    now = time.time()
    os.utime(tmp_path / "pki/ca.crt", (now - 7200, now - 7200))
    process(tmp_path, 11, "etcd", now - 3600)
    process(tmp_path, 12, "kube-apiserver", now - 3600)
    process(tmp_path, 13, "kube-scheduler", now - 3600)
    ended: list[int] = []
    monkeypatch.setattr(kubeadm, "end", ended.append)
    for _ in range(2):
        with pytest.raises(Ended) as answer:
            kubeadm.initialise(control_plane, at(kubeadm, control_plane, "control1"))
    assert (answer.value.args[0]["changed"], ended) == (False, [12])

    policy.write_text("level: Metadata")
    with pytest.raises(Ended) as answer:
        kubeadm.initialise(control_plane, at(kubeadm, control_plane, "control1"))
    assert (answer.value.args[0]["changed"], ended) == (True, [12, 12])


@pytest.mark.parametrize("step", ["install", "reconfigure", "renew_kubelet", "announce"])
def test_control_plane_killed_on_the_way_goes_on(
    kubeadm: Any, control_plane: FakeModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    process(tmp_path, 11, "etcd", time.time() - 3600)
    process(tmp_path, 15, "kubelet", time.time() - 3600)
    ended: list[int] = []
    monkeypatch.setattr(kubeadm, "end", ended.append)
    with monkeypatch.context() as broken:
        broken.setattr(kubeadm.Node, step, killed)
        with pytest.raises(KeyboardInterrupt):
            kubeadm.initialise(control_plane, at(kubeadm, control_plane, "control1"))
    with pytest.raises(Ended) as answer:
        kubeadm.initialise(control_plane, at(kubeadm, control_plane, "control1"))
    assert answer.value.args[0]["changed"]
    assert "systemctl restart" in control_plane.commands
    assert ended
    assert (tmp_path / "pki/ca.crt").read_text() == "key-1 second\n"
    assert (tmp_path / "initialised").read_text() == kubeadm.digest_of(
        tmp_path / "init.yml", *map(Path, control_plane.params["authorities"].values())
    )


@pytest.mark.parametrize(("heeds", "signals"), [(True, [15, 0]), (False, [15, 0, 0, 9])])
def test_program_that_does_not_end_is_ended(
    kubeadm: Any, monkeypatch: pytest.MonkeyPatch, heeds: bool, signals: list[int]
) -> None:
    """As the kubelet would: the API's server may wait for what never comes."""
    sent: list[int] = []

    def kill(_: int, number: int) -> None:
        sent.append(number)
        if heeds and number == 0:
            raise ProcessLookupError

    clock = iter([0.0, 1.0, 2.0, 31.0])
    monkeypatch.setattr(kubeadm.os, "kill", kill)
    monkeypatch.setattr(kubeadm.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(kubeadm.time, "sleep", lambda _: None)
    kubeadm.end(11)
    assert sent == signals


@pytest.mark.parametrize("present", ["secret of the cluster's own", None])
def test_cluster_with_other_authorities_is_refused(
    kubeadm: Any, control_plane: FakeModule, tmp_path: Path, present: str | None
) -> None:
    """Nothing of it is touched: half of a cluster with another key would be lost."""
    key = tmp_path / "pki/ca.key"
    key.unlink() if present is None else key.write_text(present)
    with pytest.raises(Failed, match=r"pki/ca\.key.*make it anew \(scripts/lab down and scripts/lab up"):
        kubeadm.initialise(control_plane, at(kubeadm, control_plane, "control1"))
    assert control_plane.commands == []
    assert (tmp_path / "pki/ca.crt").read_text() == "key-1 first\n"


def test_authorities_are_there_before_the_cluster(
    kubeadm: Any, control_plane: FakeModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after what an interrupted start left was removed, and the key for root alone."""
    (tmp_path / "initialised").unlink()
    (tmp_path / "admin.conf").unlink()
    (tmp_path / "pki/ca.key").write_text("of an attempt that made its own")
    monkeypatch.setattr(kubeadm.Node, "initialise", lambda *_: 1.0)
    with pytest.raises(Ended):
        kubeadm.initialise(control_plane, at(kubeadm, control_plane, "control1"))
    assert control_plane.commands == ["kubeadm reset"]
    assert (tmp_path / "pki/ca.key").read_text() == "secret 1"
    assert (tmp_path / "pki/ca.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "pki/ca.crt").stat().st_mode & 0o777 == 0o644


def ended(state: Callable[..., None], ansible: FakeModule, node: Any) -> dict[str, Any]:
    """The module's answer."""
    with pytest.raises(Ended) as answer:
        state(ansible, node)
    found: dict[str, Any] = answer.value.args[0]
    return found


@pytest.fixture
def guest(
    kubeadm: Any, control_plane: FakeModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FakeModule:
    """A machine that is to be the second control plane and has the authorities' certificates alone."""
    for path in (
        "initialised",
        "admin.conf",
        "kubelet.conf",
        "scheduler.conf",
        "pki/ca.crt",
        "pki/ca.key",
        "kept/ca.key",
    ):
        (tmp_path / path).unlink()

    def joined(_: Any, configuration: str) -> None:
        control_plane.commands.append(f"join {configuration}")
        (tmp_path / "etcd/member").mkdir(parents=True)
        for path in ("admin.conf", "kubelet.conf"):
            (tmp_path / path).write_text("    server: https://192.0.2.9:6443\n")
        (tmp_path / "pki/ca.key").write_text("secret 1")
        (tmp_path / "pki/ca.crt").write_text("key-1 first\n")

    monkeypatch.setattr(kubeadm.Node, "join", joined)
    return control_plane


def test_further_control_plane_keeps_the_keys_that_it_was_given(
    kubeadm: Any, guest: FakeModule, tmp_path: Path
) -> None:
    """For root alone, and then a second run has nothing to do."""
    node = at(kubeadm, guest, "control1", "control2")
    assert ended(kubeadm.join, guest, node) == {"changed": True, "member": True}
    assert "join join.yml" in guest.commands
    assert (tmp_path / "kept/ca.key").read_text() == "secret 1"
    assert (tmp_path / "kept/ca.key").stat().st_mode & 0o777 == 0o600
    guest.commands.clear()
    assert ended(kubeadm.join, guest, node) == {"changed": False, "member": True}
    assert guest.commands == []


def test_certificates_are_there_before_a_control_plane_joins(
    kubeadm: Any, guest: FakeModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its controller manager would wait for what pods are given; the keys come with the join."""

    def killed(*_: object) -> None:
        assert (tmp_path / "pki/ca.crt").exists()
        assert not (tmp_path / "pki/ca.key").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(kubeadm.Node, "join", killed)
    with pytest.raises(KeyboardInterrupt):
        kubeadm.join(guest, at(kubeadm, guest, "control1"))


def test_join_that_was_killed_late_is_finished(kubeadm: Any, guest: FakeModule, tmp_path: Path) -> None:
    """Marked as a control plane by kubeadm, which does that last: nothing is undone."""
    node = at(kubeadm, guest, "control1", "control2")
    node.join("join.yml")
    guest.answers["kubectl"] = "node/control1\nnode/control2\n"
    guest.commands.clear()
    assert ended(kubeadm.settle, guest, node) == {"changed": True, "control_plane": True}
    assert "kubeadm reset" not in guest.commands
    assert (tmp_path / "kept/ca.key").exists()
    guest.answers["kubectl"] = json.dumps({"data": {"kubeconfig": ""}})
    assert ended(kubeadm.join, guest, node)["changed"], "it follows the present configuration"


def test_join_that_was_killed_early_is_undone(kubeadm: Any, guest: FakeModule, tmp_path: Path) -> None:
    node = at(kubeadm, guest, "control1", "control2")
    node.join("join.yml")
    guest.answers["kubectl"] = "node/control1\n"
    assert ended(kubeadm.settle, guest, node) == {"changed": True, "control_plane": False}
    assert "kubeadm reset" in guest.commands
    assert not (tmp_path / "etcd/member").exists()


def test_nothing_is_undone_while_the_cluster_cannot_be_asked(
    kubeadm: Any, guest: FakeModule, tmp_path: Path
) -> None:
    """The node may be a member that the cluster needs."""
    node = at(kubeadm, guest, "control1", "control2")
    node.join("join.yml")
    guest.codes["kubectl"] = 1
    with pytest.raises(
        Failed, match=r"can't be asked whether the join was finished\. Next: start the control planes"
    ):
        kubeadm.settle(guest, node)
    assert "kubeadm reset" not in guest.commands
    assert (tmp_path / "etcd/member").exists()


def test_former_machine_is_forgotten(kubeadm: Any, control_plane: FakeModule) -> None:
    """Its member of etcd and its Node; others stay."""
    control_plane.answers["kubectl"] = "node/control2\n"
    node = at(kubeadm, control_plane, "control1", "control2", "control3")
    node.store.ill = {"control2"}
    found = ended(kubeadm.forget, control_plane, node)
    assert (found["changed"], len(found["forgotten"])) == (True, 2)
    assert node.store.names == ["control1", "control3"]


def test_stranger_in_the_place_of_a_living_member_is_refused(kubeadm: Any, control_plane: FakeModule) -> None:
    node = at(kubeadm, control_plane, "control1", "control2", "control3")
    with pytest.raises(
        Failed, match=r"member control2 is well: another machine has its name or address\. Next: stop"
    ):
        kubeadm.forget(control_plane, node)
    assert node.store.names == ["control1", "control2", "control3"]


def test_nobody_joins_while_another_member_is_down(kubeadm: Any, control_plane: FakeModule) -> None:
    """With one more that is down, etcd would have no majority."""
    node = at(kubeadm, control_plane, "control1", "control3")
    node.store.ill = {"control3"}
    with pytest.raises(Failed, match=r"etcd could lose its majority\. Next: start what is down"):
        kubeadm.forget(control_plane, node)


def test_nobody_is_forgotten_without_a_majority(kubeadm: Any, control_plane: FakeModule) -> None:
    node = at(kubeadm, control_plane, "control1", "control2")
    node.store.lost = True
    with pytest.raises(Failed, match=r"no majority: etcdserver: no leader\. Next: start the control planes"):
        kubeadm.forget(control_plane, node)


def test_change_waits_for_members_that_are_down(
    kubeadm: Any, control_plane: FakeModule, tmp_path: Path
) -> None:
    """Restarting this node's member could take the majority."""
    process(tmp_path, 11, "etcd", time.time() - 3600)
    node = at(kubeadm, control_plane, "control1", "control3")
    node.store.ill = {"control3"}
    with pytest.raises(Failed, match="etcd is ill"):
        kubeadm.join(control_plane, node)
    assert (tmp_path / "pki/ca.crt").read_text() == "key-1 first\n"


def test_cluster_cannot_be_reached_at_another_address(
    kubeadm: Any, control_plane: FakeModule, tmp_path: Path
) -> None:
    """As when a second control plane is declared for a cluster that was made with one."""
    (tmp_path / "init.yml").write_text("kind: ClusterConfiguration\ncontrolPlaneEndpoint: 192.0.2.10:6443\n")
    with pytest.raises(
        Failed, match=r"reached at 192\.0\.2\.1:6443, and the site's data say 192\.0\.2\.10:6443"
    ):
        kubeadm.initialise(control_plane, at(kubeadm, control_plane, "control1"))
    assert control_plane.commands == []


def test_invitation_has_a_key_for_control_planes_alone(kubeadm: Any, control_plane: FakeModule) -> None:
    printed = "kubeadm join 192.0.2.1:6443 --token a.b --discovery-token-ca-cert-hash sha256:c\n"
    control_plane.answers["kubeadm"] = printed + "d" * 64 + "\n"
    control_plane.params["lifetime_minutes"] = 15
    node = at(kubeadm, control_plane, "control1")
    made = ended(kubeadm.invite, control_plane, node)["invitation"]
    assert made == {"token": "a.b", "authority_hash": "sha256:c", "certificate_key": "d" * 64}
    control_plane.params["control_plane"] = False
    made = ended(kubeadm.invite, control_plane, node)["invitation"]
    assert made["certificate_key"] == ""


def test_examination_tells_what_a_machine_holds(
    kubeadm: Any, control_plane: FakeModule, tmp_path: Path
) -> None:
    control_plane.params["authority"] = ""
    found = ended(kubeadm.examine, control_plane, kubeadm.Node(control_plane))
    assert (found["control_plane"], found["holds"], found["ready"], found["keys"]) == (True, True, True, True)
    for path in ("initialised", "kept/ca.key"):
        (tmp_path / path).unlink()
    (tmp_path / "etcd/member").mkdir(parents=True)
    found = ended(kubeadm.examine, control_plane, kubeadm.Node(control_plane))
    assert (found["control_plane"], found["holds"], found["ready"], found["keys"]) == (
        False,
        True,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        (None, []),
        ("", []),
        (["key-2", "key-1", "identity"], ["key-2", "key-1", "identity"]),
        (["identity", "key-1"], ["identity", "key-1"]),
    ],
)
def test_keys_are_read_in_their_order(
    kubeadm: Any, tmp_path: Path, written: list[str] | str | None, keys: list[str]
) -> None:
    """From what the role's own template writes."""
    file = tmp_path / "encryption.yml"
    if isinstance(written, str):
        file.write_text(written)
    elif written is not None:
        template = Path(kubeadm.__file__).parents[1] / "templates/encryption.yml.j2"
        environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)  # noqa: S701 - not HTML
        environment.filters["b64encode"] = lambda text: base64.b64encode(text.encode()).decode()
        environment.filters["comment"] = lambda text: f"# {text}"
        names = {name: {"name": name, "secret": f"secret of {name}"} for name in written}
        text = environment.from_string(template.read_text()).render(
            ansible_managed="managed",
            __kubernetes_encryption_order=written,
            kubernetes_encryption_keys=list(names.values()),
        )
        providers = yaml.safe_load(text)["resources"][0]["providers"]
        assert [next(iter(item)) for item in providers] == [
            "identity" if name == "identity" else "secretbox" for name in written
        ]
        file.write_text(text)
    assert kubeadm.encryption_keys(str(file)) == keys
    assert kubeadm.encryption_keys(None) == []
