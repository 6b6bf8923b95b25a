"""Our packages: control fields, files, names that follow the content."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from operate.toolchain import debs, python_packages
from operate.toolchain.binaries import Binaries
from operate.toolchain.progress import Silent

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs Debian's dpkg-deb")


@pytest.fixture
def binaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Binaries:
    """Stand-ins for all programs, and no simulator."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(debs, "SIMULATOR", tmp_path / "simulator")
    wheels = tmp_path / "cache" / "smartgouv" / "python-packages" / "0123"
    (wheels / "pydantic").mkdir(parents=True)
    (wheels / "pydantic" / "__init__.py").write_text("")
    monkeypatch.setattr(python_packages, "ensure", lambda *_: wheels)
    programs = {}
    for name in (
        *("step", "step-ca", "containerd", "containerd-shim-runc-v2", "ctr"),
        *("kubelet", "kubeadm", "kubectl", "etcdctl", "etcdutl", "kube-bench"),
    ):
        programs[name] = tmp_path / name
        programs[name].write_text(f"{name}\n")
    modules = ("step", "step-ca", "containerd", "kubernetes", "etcd", "kube-bench")
    built = tmp_path / "cache" / "smartgouv" / "binaries" / "kube-bench-0123"
    for name in ("cfg/config.yaml", "cfg/cis-1.10/node.yaml", "cfg/cis-1.9/node.yaml"):
        (built / name).parent.mkdir(parents=True, exist_ok=True)
        (built / name).write_text(name)
    return Binaries(programs, dict.fromkeys(modules, "v1.2.3"), {"kube-bench": built})


def _package(binaries: Binaries, name: str) -> debs.Package:
    return next(package for package in debs.packages(binaries, Silent()) if package.name == name)


def test_versions_follow_the_programs(binaries: Binaries) -> None:
    """Kubeadm asks for exactly its own kubelet."""
    kubeadm = _package(binaries, "kubeadm")
    assert kubeadm.fields["Version"] == "1.2.3-1"
    assert kubeadm.fields["Depends"] == "kubelet (= 1.2.3-1)"
    assert kubeadm.control().endswith("joins nodes to them\n")


def test_a_package_can_take_anothers_place(binaries: Binaries) -> None:
    """Both would have the same files."""
    fields = _package(binaries, "etcd-tools").fields
    assert (fields["Conflicts"], fields["Replaces"]) == ("etcd-client", "etcd-client")
    assert "Conflicts" not in _package(binaries, "kubeadm").fields


def test_a_package_has_files_and_folders_of_its_module(binaries: Binaries) -> None:
    """Only those that are named; and what lies in our own folder for it."""
    package = _package(binaries, "kube-bench")
    assert set(package.files) == {
        "/usr/bin/kube-bench",
        "/usr/bin/cis-benchmark",
        "/etc/kube-bench/cfg/config.yaml",
        "/etc/kube-bench/cfg/cis-1.10/node.yaml",
    }


def test_units_come_with_a_reload(binaries: Binaries) -> None:
    """Only where there is a unit."""
    assert "daemon-reload" in _package(binaries, "kubelet").scripts["postinst"]
    assert _package(binaries, "kubectl").scripts == {}
    assert "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf" in _package(binaries, "kubelet").files


def test_the_same_sources_give_the_same_bytes(binaries: Binaries, tmp_path: Path) -> None:
    """Packing twice, at different times, makes one package."""
    package = _package(binaries, "containerd")
    built = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        debs._build(package, tmp_path / name)
        (deb,) = (tmp_path / name).glob("*.deb")
        built.append(deb.read_bytes())
    assert built[0] == built[1]


def test_a_package_holds_its_files(binaries: Binaries) -> None:
    """Owned by root, programs executable, the rest not."""
    folder = debs.ensure(Silent(), binaries)
    shown = subprocess.run(
        ["dpkg-deb", "--contents", folder / "kubelet_1.2.3-1_amd64.deb"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    modes = {line.split()[-1]: line.split()[:2] for line in shown}
    assert modes["./usr/bin/kubelet"] == ["-rwxr-xr-x", "root/root"]
    assert modes["./usr/lib/systemd/system/kubelet.service"] == ["-rw-r--r--", "root/root"]
    assert (folder / "Packages").read_text().count("Package: ") == 9


def test_a_python_program_brings_its_packages(binaries: Binaries) -> None:
    """Code, wheels and launcher lie where the launcher looks for them."""
    package = _package(binaries, "trust-services")
    home = "/usr/lib/trust-services"
    assert f"{home}/trust_services/token.py" in package.files
    assert f"{home}/packages/pydantic/__init__.py" in package.files
    launcher = package.files["/usr/bin/trust-services"].read_text(encoding="utf-8")
    assert f"PYTHONPATH={home}:{home}/packages " in launcher
    assert not any("requirements" in path for path in package.files)


def test_the_simulator_is_packed_for_both_servers(binaries: Binaries, tmp_path: Path) -> None:
    """Its code lies in a folder of the package's own; packaging files aren't part of it."""
    simulator = tmp_path / "simulator"
    folder = simulator / "packaging" / "central-server"
    folder.mkdir(parents=True)
    (simulator / "__init__.py").write_text("")
    (folder / "control").write_text(
        "Package: xroad-simulator-central-server\nDepends: python3,\n python3-fastapi\n"
        "Description: stand-in\n for tests\n"
    )
    (folder / "central.service").write_text("[Service]\n")
    package = _package(binaries, "xroad-simulator-central-server")
    assert package.fields["Depends"] == "python3, python3-fastapi"
    assert package.fields["Architecture"] == "all"
    assert package.control().endswith("Description: stand-in\n for tests\n")
    assert set(package.files) == {
        "/usr/share/xroad-simulator-central-server/xroad_simulator/__init__.py",
        "/usr/lib/systemd/system/central.service",
    }
    assert package.fields["Version"].startswith("0.1.0+20")
