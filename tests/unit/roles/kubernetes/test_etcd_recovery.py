"""What module etcd_recovery refuses, does and takes up again, without a node."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.ansible_source import loaded
from tests.unit.roles.kubernetes.test_modules import Ended, Failed, FakeStore


class Host:
    """Commands of a control plane: snapshots are files whose content is their name's."""

    check_mode = False

    def __init__(self, place: Path, **params: Any) -> None:
        self.place = place
        self.params = {
            "name": "control1",
            "address": "192.0.2.1",
            "snapshots": str(place / "snapshots"),
            "snapshot": "",
            "deadline_seconds": 0,
            **params,
        }
        self.commands: list[str] = []
        self.runs = True
        """Whether etcd runs, so that it gives a snapshot."""
        self.damaged = False
        self.killed_at = ""

    def run_command(self, command: list[str], check_rc: bool = False) -> tuple[int, str, str]:  # noqa: ARG002
        self.commands.append(" ".join(command[:3]))
        if self.killed_at and self.killed_at in self.commands[-1]:
            raise KeyboardInterrupt
        match command:
            case [_, "take"]:
                if self.runs:
                    (self.place / "snapshots/3.db").write_text("what etcd has now")
                return (0 if self.runs else 1), "", ""
            case ["etcdutl", "snapshot", "status", *_]:
                return (1, "", "Error: expected sha256\n\n") if self.damaged else (0, "", "")
            case ["etcdutl", "snapshot", "restore", file, "--data-dir", folder, *_]:
                (Path(folder) / "member").mkdir(parents=True)
                (Path(folder) / "member/db").write_text(Path(file).read_text())
        return 0, "", ""

    def exit_json(self, **result: Any) -> None:
        raise Ended(result)

    def fail_json(self, msg: str) -> None:
        raise Failed(msg)


@pytest.fixture
def etcd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with a control plane's files below a folder of the test's."""
    for shared in ("cluster_store", "control_plane_programs", "patience"):
        sys.modules[f"ansible.module_utils.{shared}"] = loaded(f"roles/kubernetes/module_utils/{shared}.py")
    found = loaded("roles/kubernetes/library/etcd_recovery.py")
    places = {"MEMBER": "member", "FORMER": "former", "DATA": "", "FINISHED": "FINISHED", "BEGUN": "BEGUN"}
    for name, place in places.items():
        monkeypatch.setattr(found, name, tmp_path / "etcd" / place)
    monkeypatch.setattr(sys.modules["ansible.module_utils.control_plane_programs"], "PROCESSES", tmp_path)
    for folder in ("snapshots", "etcd/member"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etcd/FINISHED").touch()
    (tmp_path / "etcd/member/db").write_text("the former cluster")
    for number in (1, 2):
        (tmp_path / f"snapshots/{number}.db").write_text(f"snapshot {number}")
    return found


def ended(state: Any, host: Host, module: Any, *members: str) -> dict[str, Any]:
    """How the module ends; etcd has no majority until it was made anew."""
    recovery = module.Recovery(host)
    recovery.store = FakeStore(*members)
    recovery.store.lost = not members
    with pytest.raises(Ended) as answer:
        state(host, recovery)
    found: dict[str, Any] = answer.value.args[0]
    return found


def recovered(etcd: Any, host: Host) -> dict[str, Any]:
    """A recovery whose etcd serves once the kubelet was started."""
    recovery = etcd.Recovery(host)
    recovery.store = FakeStore("control1")
    with pytest.raises(Ended) as answer:
        etcd.recover(host, recovery)
    found: dict[str, Any] = answer.value.args[0]
    return found


def kept_aside(place: Path) -> list[str]:
    return sorted(path.joinpath("db").read_text() for path in place.glob("snapshots/before-*"))


def test_a_cluster_with_a_majority_is_left_alone(etcd: Any, tmp_path: Path) -> None:
    host = Host(tmp_path)
    recovery = etcd.Recovery(host)
    recovery.store = FakeStore("control1", "control2")
    with pytest.raises(Failed, match="etcd has its majority: there is nothing to recover"):
        etcd.examine(host, recovery)
    assert ended(etcd.examine, host, etcd) == {
        "changed": False,
        "begun": False,
        "last": str(tmp_path / "snapshots/2.db"),
    }


def test_a_host_without_a_cluster_is_refused(etcd: Any, tmp_path: Path) -> None:
    (tmp_path / "etcd/FINISHED").unlink()
    host = Host(tmp_path)
    recovery = etcd.Recovery(host)
    recovery.store = FakeStore()
    recovery.store.lost = True
    with pytest.raises(Failed, match="is no control plane"):
        etcd.examine(host, recovery)


@pytest.mark.parametrize(
    ("runs", "chosen", "content"),
    [(True, "", "what etcd has now"), (False, "", "snapshot 2"), (True, "1.db", "snapshot 1")],
)
def test_the_newest_there_is_becomes_the_cluster(
    etcd: Any, tmp_path: Path, runs: bool, chosen: str, content: str
) -> None:
    """What etcd has now if it runs, else the last that was kept; or what somebody chose."""
    host = Host(tmp_path, snapshot=str(tmp_path / "snapshots" / chosen) if chosen else "")
    host.runs = runs
    answer = recovered(etcd, host)

    assert answer["changed"]
    assert Path(answer["snapshot"]).read_text() == content
    assert (tmp_path / "etcd/member/db").read_text() == content
    assert kept_aside(tmp_path) == ["the former cluster"]
    assert host.commands[-1] == "systemctl start kubelet"
    assert not (tmp_path / "etcd/BEGUN").exists()


def test_a_damaged_snapshot_stops_nothing(etcd: Any, tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.damaged = True
    with pytest.raises(Failed, match=r"3.db can't be used: Error: expected sha256\. Next"):
        etcd.recover(host, etcd.Recovery(host))
    assert not any("kubelet" in command for command in host.commands)
    assert (tmp_path / "etcd/member/db").read_text() == "the former cluster"


def test_without_any_snapshot_it_says_where_to_look(etcd: Any, tmp_path: Path) -> None:
    for file in tmp_path.glob("snapshots/*"):
        file.unlink()
    host = Host(tmp_path)
    host.runs = False
    with pytest.raises(Failed, match="has no snapshot"):
        etcd.recover(host, etcd.Recovery(host))


@pytest.mark.parametrize("step", ["systemctl stop", "etcdutl snapshot restore", "systemctl start"])
def test_a_recovery_that_is_killed_goes_on_with_the_same_snapshot(etcd: Any, tmp_path: Path, step: str) -> None:
    """And never takes away what etcd was given since."""
    host = Host(tmp_path)
    host.killed_at = step
    with pytest.raises(KeyboardInterrupt):
        etcd.recover(host, etcd.Recovery(host))
    begun = json.loads((tmp_path / "etcd/BEGUN").read_text())
    assert begun["restored"] is (step == "systemctl start")
    # Meanwhile the kubelet may have started etcd: what it has is newer than the snapshot.
    if begun["restored"]:
        (tmp_path / "etcd/member/db").write_text("written since")
    host.killed_at = ""
    assert recovered(etcd, host)["snapshot"].endswith("3.db")
    assert (tmp_path / "etcd/member/db").read_text() == (
        "written since" if begun["restored"] else "what etcd has now"
    )
    assert kept_aside(tmp_path) == ["the former cluster"]
    assert sum(command.endswith("take") for command in host.commands) == 1


def test_etcd_that_does_not_serve_is_told(etcd: Any, tmp_path: Path) -> None:
    host = Host(tmp_path)
    recovery = etcd.Recovery(host)
    recovery.store = FakeStore()
    recovery.store.lost = True
    with pytest.raises(Failed, match="etcd doesn't serve within 0 s"):
        etcd.recover(host, recovery)
    assert (tmp_path / "etcd/BEGUN").exists()


def test_another_control_plane_is_retired_once_with_its_data_kept(etcd: Any, tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert ended(etcd.retire, host, etcd) == {"changed": True}
    assert kept_aside(tmp_path) == ["the former cluster"]
    assert host.commands == ["systemctl stop kubelet", "kubeadm reset --force"]
    # kubeadm joins with an empty folder only.
    assert [path.name for path in (tmp_path / "etcd").iterdir()] == []
    assert ended(etcd.retire, host, etcd) == {"changed": False}


@pytest.mark.parametrize("step", ["systemctl stop", "kubeadm reset"])
def test_a_retirement_that_is_killed_is_finished(etcd: Any, tmp_path: Path, step: str) -> None:
    host = Host(tmp_path)
    host.killed_at = step
    with pytest.raises(KeyboardInterrupt):
        etcd.retire(host, etcd.Recovery(host))
    host.killed_at = ""
    assert ended(etcd.retire, host, etcd) == {"changed": True}
    assert kept_aside(tmp_path) == ["the former cluster"]
    assert ended(etcd.retire, host, etcd) == {"changed": False}


def test_data_of_two_recoveries_is_kept(etcd: Any, tmp_path: Path) -> None:
    """One that couldn't put the former data away, as its disk was full, costs none of it later."""
    (tmp_path / "etcd/former").mkdir()
    (tmp_path / "etcd/former/db").write_text("an earlier cluster")
    host = Host(tmp_path)
    assert ended(etcd.retire, host, etcd) == {"changed": True}
    assert kept_aside(tmp_path) == ["an earlier cluster", "the former cluster"]


def test_a_prediction_touches_nothing(etcd: Any, tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.check_mode = True
    assert ended(etcd.retire, host, etcd) == ended(etcd.recover, host, etcd) == {"changed": True}
    assert host.commands == []
