"""What an operator can set: X-Road's `local.ini` files and the command line.

Only parameters that the simulator acts on are read; X-Road doesn't check the others either.
`[simulator]` holds what X-Road keeps in its database or doesn't have: the life of a configuration.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from xroad_simulator.message_log_settings import MessageLogSettings
from xroad_simulator.parameters_xml import NEWEST, OLDEST
from xroad_simulator.software_token import KeyAlgorithm

_SIZE = re.compile(r"^(\d+)\s*(B|KB|MB|GB|)$", re.IGNORECASE)
_UNITS = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
LOOPBACK = "127.0.0.0/8, ::1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - a server of a lab; the firewall decides who reaches it


class Ini:
    """`conf.d/*.ini` read in order, `local.ini` last; a later file wins."""

    def __init__(self, directory: Path | None) -> None:
        self._parser = configparser.ConfigParser(interpolation=None)
        self._parts = None if directory is None else directory.parent / "configuration-parts"
        if directory is not None:
            files = sorted(path for path in directory.glob("*.ini") if path.name != "local.ini")
            self._parser.read([*files, directory / "local.ini"], encoding="utf-8")

    def optional_parts(self) -> dict[str, str]:
        """Content identifier → file name of the parts that `configuration-parts/*.ini` beside it describe.

        ValueError if one lacks either.
        """
        found = {"MONITORING": "monitoring-params.xml"}
        for file in sorted(self._parts.glob("*.ini")) if self._parts is not None else ():
            parser = configparser.ConfigParser(interpolation=None)
            parser.read_string(f"[part]\n{file.read_text(encoding='utf-8')}")
            part = dict(parser["part"])
            if set(part) < {"content-identifier", "file-name"}:
                raise ValueError(f"{file} needs content-identifier and file-name")
            found[part["content-identifier"]] = part["file-name"]
        return found

    def section(self, name: str) -> Mapping[str, str]:
        """Every parameter of a section; empty if there is none."""
        return dict(self._parser[name]) if self._parser.has_section(name) else {}

    def text(self, section: str, name: str, default: str) -> str:
        """A parameter, or X-Road's default."""
        return self._parser.get(section, name, fallback=default)

    def number(self, section: str, name: str, default: float) -> float:
        """A number; ValueError if the file has something else."""
        return self._parser.getfloat(section, name, fallback=default)

    def size(self, section: str, name: str, default: str) -> int:
        """Bytes of a size such as `50KB`; ValueError if the file has something else."""
        text = self.text(section, name, default).strip()
        found = _SIZE.match(text)
        if found is None:
            raise ValueError(f"[{section}] {name}: '{text}' isn't a size such as 50KB or 10MB")
        return int(found[1]) * _UNITS[found[2].upper()]

    def switch(self, section: str, name: str, default: bool) -> bool:
        """A boolean; ValueError if the file has something else."""
        return self._parser.getboolean(section, name, fallback=default)


class Listening(BaseModel):
    """Where a server listens. Given on the command line, not in `local.ini`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    address: str = EVERYWHERE
    port_offset: int = 0
    """Added to every port, the same in all servers of a federation: they can then share a machine,
    each on its own loopback address."""

    def port(self, number: int) -> int:
        """The port that is really used for X-Road's port `number`."""
        return number + self.port_offset


class Common(BaseModel):
    """Settings of both servers."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    state: Path
    """Directory of the database and of self-made TLS certificates."""
    tls: Path
    """Directory of `<name>.crt` and `<name>.key` of the TLS listeners."""
    gpg_home: Path | None = None
    """Directory of the OpenPGP keys; None for one below `state`."""
    listening: Listening = Listening()
    accounts: Path | None = None
    """A file of `name:password` lines instead of the system's accounts."""
    pin_command: Path | None = None
    """Program that prints the token's PIN at the start; code 127 means that there is none."""
    key_management_whitelist: str = LOOPBACK
    regular_whitelist: str = "0.0.0.0/0, ::/0"
    key_bits: int = Field(default=2048, ge=2048)
    requests_per_second: int = 20
    """Of one address to the admin API; below 1 without a limit."""
    requests_per_minute: int = 600
    body_bytes: int = 50 * 1024
    upload_bytes: int = 10 * 1024**2
    enforce_pin_policy: bool = False
    backup_encryption: bool = False
    backup_encryption_keys: tuple[str, ...] = ()
    """Key ids of further recipients of encrypted backups; their keys must be in the server's key ring."""
    fault_port: int = 0
    """Loopback port for tests that want faults (`faults`); 0 for none."""
    faults: str = "[]"
    """Faults from the start on, as a JSON list."""

    @property
    def key_ring(self) -> Path:
        """Where the OpenPGP keys are."""
        return self.gpg_home or self.state / "gpghome"

    def read_common(self, ini: Ini, admin: str, backups: str) -> dict[str, Any]:
        """The settings of both servers, from their sections of `local.ini`."""
        return {
            **self.model_dump(),
            "key_management_whitelist": ini.text(admin, "key-management-api-whitelist", LOOPBACK),
            "regular_whitelist": ini.text(admin, "regular-api-whitelist", self.regular_whitelist),
            "requests_per_second": int(ini.number(admin, "rate-limit-requests-per-second", 20)),
            "requests_per_minute": int(ini.number(admin, "rate-limit-requests-per-minute", 600)),
            "body_bytes": ini.size(admin, "request-sizelimit-regular", "50KB"),
            "upload_bytes": ini.size(admin, "request-sizelimit-binary-upload", "10MB"),
            "enforce_pin_policy": ini.switch("signer", "enforce-token-pin-policy", False),
            "backup_encryption": ini.switch(backups, "backup-encryption-enabled", False),
            "backup_encryption_keys": tuple(
                ini.text(backups, "backup-encryption-keyids", "").replace(",", " ").split()
            ),
            "fault_port": int(ini.number("simulator", "fault-port", 0)),
            "faults": ini.text("simulator", "faults", "[]"),
        }


class CentralSettings(Common):
    """Settings of a central server. Times in seconds."""

    generation_interval: float = Field(default=60, gt=0)
    configuration_lifetime: float = Field(default=600, gt=0)
    internal_key_algorithm: KeyAlgorithm = KeyAlgorithm.RSA
    external_key_algorithm: KeyAlgorithm = KeyAlgorithm.RSA
    auto_approve_authentication_certificates: bool = False
    auto_approve_clients: bool = False
    auto_approve_owner_changes: bool = False
    minimum_version: int = Field(default=OLDEST, ge=OLDEST, le=NEWEST)
    """The oldest format of the configuration that is generated."""
    optional_parts: dict[str, str] = {"MONITORING": "monitoring-params.xml"}
    """Content identifier → file name of the parts that may be uploaded: `configuration-parts/*.ini`.

    X-Road's packages bring the one for monitoring.
    """

    @classmethod
    def read(cls, ini: Ini, common: Common) -> Self:
        """From `local.ini`, with X-Road's names and defaults."""
        admin, center = "admin-service", "center"
        algorithm = KeyAlgorithm.RSA
        return cls(
            **common.read_common(ini, admin, center),
            generation_interval=ini.number(admin, "global-configuration-generation-rate-in-seconds", 60),
            configuration_lifetime=ini.number("simulator", "configuration-lifetime-in-seconds", 600),
            internal_key_algorithm=KeyAlgorithm(ini.text(admin, "internal-key-algorithm", algorithm)),
            external_key_algorithm=KeyAlgorithm(ini.text(admin, "external-key-algorithm", algorithm)),
            auto_approve_authentication_certificates=ini.switch(
                center, "auto-approve-auth-cert-reg-requests", False
            ),
            auto_approve_clients=ini.switch(center, "auto-approve-client-reg-requests", False),
            minimum_version=int(ini.number(center, "minimum-global-configuration-version", OLDEST)),
            optional_parts=ini.optional_parts(),
            auto_approve_owner_changes=ini.switch(center, "auto-approve-owner-change-requests", False),
        )


class SecuritySettings(Common):
    """Settings of a security server. Times in seconds."""

    update_interval: float = Field(default=60, gt=0)
    rights_cache_period: float = Field(default=60, ge=0)
    """How long a revoked right may still work (`server-conf-cache-period`)."""
    client_http_port: int = 8080
    client_https_port: int = 8443
    message_port: int = 5500
    ocsp_port: int = 5577
    ocsp_fetch_interval: float = Field(default=1200, gt=0)
    """How often the status of own certificates is asked for (a configuration part in X-Road)."""
    ocsp_retry_delay: float = Field(default=60, gt=0)
    """How soon again where it isn't known to be good (`ocsp-retry-delay`)."""
    timestamp_retry_delay: float = Field(default=60, gt=0)
    acceptable_timestamp_failure_period: float = Field(default=14400, ge=0)
    """How long messages pass although they can't be time-stamped; 0: for ever."""
    time_scale: float = Field(default=1, gt=0)
    """Divides the intervals that the global configuration sets; those of this file are divided already."""
    health_check_port: int = 0
    """0 turns the health check off."""
    connect_timeout: float = Field(default=30, gt=0)
    """How long another server may take until the connection to it is open (`client-timeout`)."""
    answer_timeout: float | None = Field(default=None, gt=0)
    """How long it may take to answer then (`client-httpclient-timeout`); None: for ever."""
    fastest_server_period: float = Field(default=3600, ge=0)
    """How long the server that answered first is used (`client-fastest-connecting-ssl-uri-cache-period`)."""
    minimum_client_version: str | None = None
    """Messages of older servers are refused (`server-min-supported-client-version`)."""
    message_log: MessageLogSettings = MessageLogSettings()
    authentication_key_algorithm: KeyAlgorithm = KeyAlgorithm.RSA
    signing_key_algorithm: KeyAlgorithm = KeyAlgorithm.RSA
    activate_authentication_certificate: bool = False
    allow_request_for_key_with_certificate: bool = False

    @classmethod
    def read(cls, ini: Ini, common: Common) -> Self:
        """From `local.ini`, with X-Road's names and defaults."""
        admin, proxy, algorithm = "proxy-ui-api", "proxy", KeyAlgorithm.RSA
        return cls(
            **{
                **common.read_common(ini, admin, proxy),
                "key_bits": int(ini.number("signer", "key-length", 2048)),
            },
            update_interval=ini.number("configuration-client", "update-interval", 60),
            rights_cache_period=ini.number(proxy, "server-conf-cache-period", 60),
            client_http_port=int(ini.number(proxy, "client-http-port", 8080)),
            client_https_port=int(ini.number(proxy, "client-https-port", 8443)),
            message_port=int(ini.number(proxy, "server-listen-port", 5500)),
            ocsp_port=int(ini.number(proxy, "ocsp-responder-port", 5577)),
            ocsp_fetch_interval=ini.number("simulator", "ocsp-fetch-interval-in-seconds", 1200),
            ocsp_retry_delay=ini.number("signer", "ocsp-retry-delay", 60),
            timestamp_retry_delay=ini.number("message-log", "timestamp-retry-delay", 60),
            acceptable_timestamp_failure_period=ini.number(
                "message-log", "acceptable-timestamp-failure-period", 14400
            ),
            health_check_port=int(ini.number(proxy, "health-check-port", 0)),
            connect_timeout=ini.number(proxy, "client-timeout", 30000) / 1000,
            answer_timeout=max(0, ini.number(proxy, "client-httpclient-timeout", 0)) / 1000 or None,
            fastest_server_period=ini.number(proxy, "client-fastest-connecting-ssl-uri-cache-period", 3600),
            minimum_client_version=ini.text(proxy, "server-min-supported-client-version", "") or None,
            message_log=MessageLogSettings.read(ini.section("message-log"), common.state),
            authentication_key_algorithm=KeyAlgorithm(
                ini.text(admin, "authentication-key-algorithm", algorithm)
            ),
            signing_key_algorithm=KeyAlgorithm(ini.text(admin, "signing-key-algorithm", algorithm)),
            activate_authentication_certificate=ini.switch(admin, "automatic-activate-auth-certificate", False),
            allow_request_for_key_with_certificate=ini.switch(
                admin, "allow-csr-for-key-with-certificate", False
            ),
        )
