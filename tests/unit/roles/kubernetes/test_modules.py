"""The decisions of role kubernetes' own modules, without a node."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from tests.ansible_source import loaded

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
LISTING = f"""REF                              TYPE                                       DIGEST      SIZE
registry.test/a:1                application/vnd.oci.image.manifest.v1+json {DIGEST}    1 MiB
"""


def module(name: str) -> ModuleType:
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
        self.codes, self.params = codes, params
        self.commands: list[str] = []
        self.answers: dict[str, str] = {}
        """What programs say by their names. openssl's answer is the key in our certificates: the first word."""
        self.told: list[str] = []

    def run_command(
        self,
        command: list[str],
        check_rc: bool,  # noqa: ARG002
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
        ("PROCESSES", "proc"),
        ("FINISHED", "initialised"),
        ("FACTS", "bootstrap.fact"),
    ):
        monkeypatch.setattr(found, name, tmp_path / path)
    return found


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
    ansible = FakeModule({}, authority="key-1 second\n", configuration="join.yml")
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
    ansible = FakeModule({}, authority="key-1 second\n", configuration="join.yml")

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
        kubeadm.initialise(ansible, kubeadm.Node(ansible))
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
    ansible = FakeModule({}, configuration=str(tmp_path / "init.yml"), deadline_seconds=1, authorities=files)
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
        kubeadm.initialise(control_plane, kubeadm.Node(control_plane))
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
        kubeadm.initialise(control_plane, kubeadm.Node(control_plane))
    assert (again.value.args[0]["changed"], control_plane.commands) == (False, [])


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
            kubeadm.initialise(control_plane, kubeadm.Node(control_plane))
    with pytest.raises(Ended) as answer:
        kubeadm.initialise(control_plane, kubeadm.Node(control_plane))
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
        kubeadm.initialise(control_plane, kubeadm.Node(control_plane))
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
        kubeadm.initialise(control_plane, kubeadm.Node(control_plane))
    assert control_plane.commands == ["kubeadm reset"]
    assert (tmp_path / "pki/ca.key").read_text() == "secret 1"
    assert (tmp_path / "pki/ca.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "pki/ca.crt").stat().st_mode & 0o777 == 0o644
