"""The program that makes a configuration proxy's instances, with stand-ins for X-Road's tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ansible_source import loaded
from tests.exchange_estates import with_a_configuration_proxy
from tests.unit.roles.exchange.rendered_role import Host

PROGRAM = "/usr/local/sbin/xroad-configuration-proxy"
ANCHORS = {"INTERNAL": "<own/>", "EXTERNAL": "<partners/>"}


class Proxy:
    """A configuration proxy below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        host = Host(with_a_configuration_proxy(), "confproxy1", "configuration_proxy")
        self._program = folder / "program"
        self._program.write_text(host.written("configuration_proxy", "instances", "Have the program")[PROGRAM])
        (folder / "pin").write_text("Secret-1234\n")
        tools = loaded(".config/molecule/fake_xroad_packages.py")
        self._tools = folder / "tools"
        self._tools.mkdir()
        self._tool("runuser", '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
        self._tool("systemctl", f"#!/bin/sh\n[ -e {folder}/locked ] || touch {folder}/opened\n")
        self._tool("crudini", tools.CRUDINI)
        console = tools.SIGNER_CONSOLE.replace("/etc/xroad/signer", str(folder / "signer"))
        self._tool("signer-console", console.replace("/run/xroad-autologin/opened", str(folder / "opened")))
        for name in ("create-instance", "add-signing-key", "generate-anchor"):
            text = tools.CONFPROXY.replace("/etc/xroad/confproxy", str(folder / "confproxy"))
            self._tool(f"confproxy-{name}", text)

    def _tool(self, name: str, text: str) -> None:
        path = self._tools / name
        # Each calls the Python of the tests, and notes that it was called.
        path.write_text(text.replace("#!/usr/bin/python3", f"#!{sys.executable}"))
        path.chmod(0o755)

    def run(self, verb: str, anchors: dict[str, str]) -> tuple[int, list[str], str]:
        """How it ends, what it prints and complains about."""
        done = subprocess.run(
            [sys.executable, self._program, verb],
            input=json.dumps(anchors),
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "PATH": f"{self._tools}:{os.environ['PATH']}",
                "XROAD_CONFPROXY": str(self.folder / "confproxy"),
                "XROAD_ANCHORS": str(self.folder / "anchors"),
                "XROAD_SIGNER": str(self.folder / "signer"),
                "XROAD_PIN": str(self.folder / "pin"),
            },
        )
        return done.returncode, done.stdout.splitlines(), done.stderr

    def ini(self, instance: str) -> str:
        """An instance's conf.ini."""
        return (self.folder / "confproxy" / instance / "conf.ini").read_text()


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    # Files are xroad's on a host; this account can't give any away, nor need it.
    if os.geteuid() == 0:
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
        (tmp_path / "site").mkdir()
        (tmp_path / "site/sitecustomize.py").write_text("import os\nos.geteuid = lambda: 1000\n")
    return Proxy(tmp_path)


def test_everything_is_made_once(proxy: Proxy) -> None:
    status, told, complaint = proxy.run("apply", ANCHORS)

    assert (status, complaint) == (0, "")
    assert told[0] == "initialize the software token"
    assert "validity-interval-seconds = 600" in proxy.ini("BJ")
    assert "validity-interval-seconds = 900" in proxy.ini("BJ-PARTNERS")
    assert (proxy.folder / "signer/softtoken/.softtoken.p12").read_text() == "Secret-1234"
    assert (proxy.folder / "confproxy/BJ-PARTNERS/anchor.xml").read_text() == "<partners/>"
    assert (proxy.folder / "anchors/BJ.xml").read_text() == "<anchor of='BJ'/>"
    assert proxy.run("check", ANCHORS)[:2] == (0, [])
    assert proxy.run("apply", ANCHORS)[:2] == (0, [])
    assert len(list((proxy.folder / "confproxy/BJ").glob("cert_*.pem"))) == 1


def test_a_preview_says_what_would_be_made_and_makes_nothing(proxy: Proxy) -> None:
    status, told, _ = proxy.run("check", ANCHORS)

    assert status == 3
    assert "make the signing key of BJ" in told
    assert not (proxy.folder / "confproxy").exists()


def test_an_instance_waits_for_an_anchor_that_there_is_not_yet(proxy: Proxy) -> None:
    """The federation is made after the exchange's hosts."""
    assert proxy.run("apply", {})[0] == 0
    assert not (proxy.folder / "anchors").exists()
    status, told, _ = proxy.run("apply", ANCHORS)

    assert status == 0
    assert told == [
        "give BJ its anchor",
        "make the anchor for clients of BJ",
        "give BJ-PARTNERS its anchor",
        "make the anchor for clients of BJ-PARTNERS",
    ]


def test_what_an_interrupted_run_made_is_gone_on_with(proxy: Proxy) -> None:
    """Killed between an instance and its key."""
    proxy.run("apply", ANCHORS)
    ini = proxy.folder / "confproxy/BJ/conf.ini"
    ini.write_text("")
    (key,) = ini.parent.glob("cert_*.pem")
    key.unlink()

    assert proxy.run("apply", ANCHORS)[0] == 0
    assert "active-signing-key-id = KEY1" in proxy.ini("BJ")
    assert proxy.run("check", ANCHORS)[:2] == (0, [])


def test_a_new_anchor_of_the_central_server_is_taken(proxy: Proxy) -> None:
    proxy.run("apply", ANCHORS)
    status, told, _ = proxy.run("apply", {**ANCHORS, "INTERNAL": "<next/>"})

    assert status == 0
    assert told[0] == "give BJ its anchor"
    assert (proxy.folder / "confproxy/BJ/anchor.xml").read_text() == "<next/>"


def test_a_refused_pin_is_told_without_it(proxy: Proxy) -> None:
    (proxy.folder / "tools/signer-console").write_text(
        "#!/bin/sh\nprintf 'PIN: '; read p; echo \"$p is wrong\"; exit 1\n"
    )
    status, _, complaint = proxy.run("apply", ANCHORS)

    assert status == 1
    assert "the software token can't be initialized" in complaint
    assert "Secret-1234" not in complaint
