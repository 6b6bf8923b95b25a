"""What a host owes to role base."""

from __future__ import annotations

import pytest
from testinfra.host import Host

pytestmark = pytest.mark.on("node")
"""The other hosts of the scenario differ in their time service only."""


def sshd_setting(host: Host, name: str) -> str:
    """What the SSH server does, by its own word."""
    settings = host.check_output("sshd -T -C user=operator,host=h,addr=192.0.2.1").splitlines()
    return next(line.partition(" ")[2] for line in settings if line.startswith(f"{name} "))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("permitrootlogin", "no"),
        ("passwordauthentication", "no"),
        ("kbdinteractiveauthentication", "no"),
        ("authenticationmethods", "publickey"),
        ("allowtcpforwarding", "no"),
        ("x11forwarding", "no"),
        ("authorizedkeysfile", "/etc/ssh/authorized_keys.d/%u"),
        ("ciphers", "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com"),
    ],
)
def test_ssh_server_is_strict(host: Host, name: str, value: str) -> None:
    """The server's effective settings are the strict ones, whatever the distribution's file says."""
    assert value == sshd_setting(host, name)


def test_ssh_server_keeps_only_listed_accounts(host: Host) -> None:
    """The automation's account and the operators may log in, nobody else."""
    users = [line for line in host.check_output("sshd -T").splitlines() if line.startswith("allowusers ")]

    assert users == ["allowusers deploy", "allowusers operator"]


def test_operator_logs_in_and_becomes_root(host: Host) -> None:
    """A key on the list opens a session, and sudo works in it without a password."""
    host.check_output("rm -f /root/key /root/key.pub && ssh-keygen -q -t ed25519 -N '' -f /root/key")
    host.check_output("cat /root/key.pub >> /etc/ssh/authorized_keys.d/operator")
    try:
        found = host.check_output(
            "ssh -n -i /root/key -o BatchMode=yes -o StrictHostKeyChecking=no operator@127.0.0.1 sudo -n id -un"
        )
    finally:
        host.check_output("sed -i '$d' /etc/ssh/authorized_keys.d/operator")

    assert found == "root"


def test_stranger_is_refused(host: Host) -> None:
    """A key that no list holds opens nothing, nor does root's name."""
    host.check_output("rm -f /root/other /root/other.pub && ssh-keygen -q -t ed25519 -N '' -f /root/other")
    for account in ("operator", "root"):
        tried = host.run(
            "ssh -n -i /root/other -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no "
            f"{account}@127.0.0.1 true"
        )

        assert tried.rc == 255
        assert "Permission denied (publickey)" in tried.stderr


def test_keys_of_former_operators_are_gone(host: Host) -> None:
    """Only operators on the list have keys on the host."""
    assert host.file("/etc/ssh/authorized_keys.d").listdir() == ["operator"]


def test_names_of_the_site_resolve(host: Host) -> None:
    """Hosts find one another by name and by alias without a name server."""
    assert host.check_output("getent hosts archive.site.test").startswith("192.0.2.10 ")
    assert host.check_output("getent ahostsv4 node.site.test").split()[0] == "192.0.2.11"


def test_time_service_measures_without_touching_the_clock(host: Host) -> None:
    """In a container the service runs, knows its source, and leaves the machine's clock alone."""
    assert host.service("chrony").is_running
    assert host.service("chrony").is_enabled
    assert "192.0.2.123" in host.check_output("chronyc -n sources")
    assert " -x" in host.check_output("pgrep -a chronyd")


@pytest.mark.on("stamping")
def test_a_host_follows_the_time_server_and_tells_its_programs(host: Host) -> None:
    """An unprivileged program learns how sure the time is, by asking the time service."""
    asked = host.check_output(
        "chronyc -c waitsync 30 0 0 1 >/dev/null; runuser -u nobody -- chronyc -c tracking"
    )
    fields = asked.split(",")
    assert fields[13] == "Normal"
    assert int(fields[2]) == 11


def test_time_is_neither_served_nor_told_by_other_hosts(host: Host) -> None:
    """Who isn't a time server listens on no port for it."""
    assert "chronyd" not in host.check_output("ss --listening --udp --numeric --processes")


def test_time_zone(host: Host) -> None:
    """Local time is the site's."""
    assert host.check_output("date +%z") == "+0100"


def test_journal_is_kept_within_limits(host: Host) -> None:
    """The journal outlives a restart and has an upper bound."""
    assert host.file("/var/log/journal").is_directory
    shown = host.check_output("systemd-analyze cat-config systemd/journald.conf")
    assert "SystemMaxUse=64M" in shown
    assert "MaxRetentionSec=7day" in shown


@pytest.mark.parametrize(
    ("name", "value"), [("net.ipv4.conf.all.accept_redirects", 0), ("net.ipv4.conf.all.log_martians", 1)]
)
def test_kernel_settings_are_in_force(host: Host, name: str, value: int) -> None:
    """Settings hold now, not only after a restart."""
    assert value == host.sysctl(name)


def test_upgrade_policy(host: Host) -> None:
    """Only the site's origin may bring upgrades, and none come while the policy is off."""
    shown = host.check_output("apt-config dump")
    origins = [line for line in shown.splitlines() if line.startswith("Unattended-Upgrade::Origins-Pattern:: ")]

    assert origins == ['Unattended-Upgrade::Origins-Pattern:: "origin=Site,codename=${distro_codename}";']
    assert 'APT::Periodic::Unattended-Upgrade "0";' in shown
    assert 'Unattended-Upgrade::Package-Blacklist:: "^postgresql-";' in shown
