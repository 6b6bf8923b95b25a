"""What is built from a module follows from its go.mod and the stamps, and its name from all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from operate.failure import Failure
from operate.toolchain.binaries import Description, Module, built_name, modules
from operate.toolchain.go import Go

_GO_MOD = """\
module x.invalid/y

go 1.26.0

tool (
	a.test/server/v3
	a.test/cmd/client
)

require (
	a.test/server/v3 v3.6.16
	b.test/other v0.1.0 // indirect
)
"""
_GO = Go("/go", "go1.26.8")


def _module(folder: Path, **description: object) -> Module:
    (folder / "go.mod").write_text(_GO_MOD)
    (folder / "go.sum").write_text("sums\n")
    text = {"module": "a.test/server/v3", "names": {"server": "etcd"}, **description}
    return Module("y", Description.model_validate(text), folder)


def test_version_and_programs_come_from_go_mod(tmp_path: Path) -> None:
    """The one home of both."""
    module = _module(tmp_path)
    assert module.version == "v3.6.16"
    assert module.programs == {"etcd": "a.test/server/v3", "client": "a.test/cmd/client"}


def test_stamps_are_filled_in(tmp_path: Path) -> None:
    """All four forms of a version."""
    module = _module(tmp_path, stamps={"p.V": "{version}", "p.N": "{number}", "p.M": "{major}.{minor}+"})
    assert module.stamps == {"p.V": "v3.6.16", "p.N": "3.6.16", "p.M": "3.6+"}


def test_everything_that_shapes_a_program_shapes_its_name(tmp_path: Path) -> None:
    """go.mod, go.sum, stamps, Go's version."""
    key = _module(tmp_path).key(_GO)
    assert _module(tmp_path).key(_GO) == key
    assert _module(tmp_path).key(Go("/elsewhere/go", "go1.26.8")) == key
    assert _module(tmp_path).key(Go("/go", "go1.27.0")) != key
    assert _module(tmp_path, stamps={"p.V": "x"}).key(_GO) != key
    assert _module(tmp_path, files=["bpf"]).key(_GO) != key
    module = _module(tmp_path)
    (tmp_path / "go.sum").write_text("other\n")
    assert module.key(_GO) != key


def test_a_version_that_is_not_required_is_a_failure(tmp_path: Path) -> None:
    """binaries.yml and go.mod must speak of the same module."""
    with pytest.raises(Failure, match=r"doesn't require c\.test/missing"):
        _ = _module(tmp_path, module="c.test/missing").version


@pytest.mark.parametrize(
    ("package", "name"),
    [("a.test/cmd/x", "x"), ("a.test/server/v3", "server"), ("a.test/coredns", "coredns")],
)
def test_go_names_programs_after_folders(package: str, name: str) -> None:
    """Not after a major version."""
    assert built_name(package) == name


def test_the_committed_modules_are_complete() -> None:
    """Each has a version, programs, and no stamp that stays unfilled."""
    names = {module.name for module in modules()}
    assert {
        *("kubernetes", "containerd", "etcd", "coredns", "step", "step-ca", "helm", "pulumi", "cilium"),
    } == names
    programs = {program for module in modules() for program in module.programs}
    assert {"kubelet", "kubeadm", "kubectl", "kube-apiserver", "etcd", "containerd-shim-runc-v2"} <= programs
    for module in modules():
        assert module.version.startswith("v")
        assert not any("{" in value for value in module.stamps.values())
