"""The decisions of role kubernetes' own modules, without a node."""

from __future__ import annotations

import json
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

    def run_command(self, command: list[str], check_rc: bool) -> tuple[int, str, str]:  # noqa: ARG002
        self.commands.append(" ".join(command[:2]))
        return self.codes.get(command[0], 0), "", ""

    def exit_json(self, **result: Any) -> None:
        raise Ended(result)


class Ended(Exception):  # noqa: N818  an answer, not an error
    """The module's answer."""


@pytest.fixture
def kubeadm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = module("kubeadm_node")
    for name, path in (
        ("FOLDER", ""),
        ("ADMIN", "admin.conf"),
        ("KUBELET_ACCESS", "kubelet.conf"),
        ("AUTHORITY", "ca.crt"),
        ("FINISHED", "initialised"),
        ("FACTS", "bootstrap.fact"),
    ):
        monkeypatch.setattr(found, name, tmp_path / path)
    return found


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    def put(**files: str) -> None:
        for name, text in files.items():
            (tmp_path / name.replace("_", ".")).write_text(text)

    return put


def test_worker_of_this_cluster_is_a_member(kubeadm: Any, write: Callable[..., None]) -> None:
    write(kubelet_conf="access", ca_crt="authority\n")
    node = kubeadm.Node(FakeModule({}))
    assert node.is_worker_of("authority")
    assert not node.is_worker_of("the authority of a cluster made since")


def test_worker_without_access_of_its_own_is_none(kubeadm: Any, write: Callable[..., None]) -> None:
    write(ca_crt="authority\n")
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
    write(init_yml=written)
    reached: list[str] = []
    monkeypatch.setattr(kubeadm.Node, "reconfigure", lambda _self, path, _deadline: reached.append(path))
    ansible = FakeModule({}, configuration=str(tmp_path / "init.yml"), deadline_seconds=1)
    with pytest.raises(Ended) as answer:
        kubeadm.initialise(ansible, kubeadm.Node(ansible))
    assert answer.value.args[0]["changed"] is changed
    assert bool(reached) is changed
    assert (tmp_path / "initialised").read_text() == kubeadm.digest_of(tmp_path / "init.yml")
