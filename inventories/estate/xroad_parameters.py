"""The parameters of X-Road's `local.ini`: X-Road checks neither names nor values, so this does.

Source of names, defaults and units: UG-SYSPAR (doc/Manuals/ug-syspar) and the files of
src/packages/src/xroad/default-configuration at tag 7.8.0; `since` by comparison of the manual at tags 7.6.0,
7.7.0 and 7.8.0. What X-Road's own packages write into `local.ini` (API tokens, the WSDL validator) isn't the
estate's: roles/central_server and roles/security_server say that the file keeps it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from estate.xroad_versions import numbers

Value = bool | int | float | str | tuple[str, ...]
"""A value as people write it: durations and sizes with their unit (`30 s`, `32 MiB`), lists as lists."""
Settings = Mapping[str, Mapping[str, Value]]
"""Values by section and name."""


class Server(StrEnum):
    """Kinds of servers that have a `local.ini`."""

    CENTRAL = "central_server"
    SECURITY = "security_server"
    PROXY = "configuration_proxy"


class Kind(StrEnum):
    """What a value is."""

    BOOLEAN = "true or false"
    INTEGER = "a whole number"
    NUMBER = "a number"
    PORT = "a port"
    DURATION = "a duration with its unit, such as 30 s"
    SIZE = "a size with its unit, such as 32 MiB"
    CHOICE = "one of"
    TEXT = "text"
    PATH = "an absolute path"
    LIST = "a list"
    NETWORKS = "a list of addresses or networks"
    ADDRESS = "an IP address"
    CRON = "a Quartz cron expression"
    VERSION = "a version, such as 7.7.0"


_UNITS: dict[Kind, dict[str, int]] = {
    Kind.DURATION: {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000},
    Kind.SIZE: {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3},
}
"""How many of the smallest unit each is."""

_SPRING_SIZES = {"KiB": "KB", "MiB": "MB"}
"""What Spring calls units of 1024 bytes (Spring Framework, DataSize)."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a section."""

    section: str
    name: str
    kind: Kind
    default: str
    """X-Road's own, as its file would say it; empty if it has none."""
    service: str
    """The unit that reads it, and that a change restarts."""
    servers: frozenset[Server]
    unit: str = ""
    """In what X-Road counts a duration or a size."""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    since: str = ""
    """The first version that has it; empty if every version of this project's does."""
    off: str = ""
    """A value outside of the bounds that turns it off."""

    def text(self, value: Value) -> str:
        """The value as `local.ini` says it; ValueError with a sentence if it can't be that."""
        if self.off and str(value) == self.off:
            return self.off
        match self.kind:
            case Kind.BOOLEAN:
                if isinstance(value, bool):
                    return str(value).lower()
                raise ValueError(f"is {self.kind}")
            case Kind.INTEGER | Kind.PORT:
                return str(self._bounded(value, whole=True))
            case Kind.NUMBER:
                return str(self._bounded(value, whole=False))
            case Kind.DURATION | Kind.SIZE:
                return self._quantity(value)
            case Kind.LIST | Kind.NETWORKS:
                return self._list(value)
            case _:
                return self._word(value)

    def _bounded(self, value: Value, *, whole: bool) -> float:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise ValueError(f"is {self.kind}")  # noqa: TRY004 - data of people, as all other errors here
        low, high = (1, 65535) if self.kind is Kind.PORT else (self.low, self.high)
        if (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"is {_range(low, high)}")
        return value

    def _quantity(self, value: Value) -> str:
        units = _UNITS[self.kind]
        found = re.fullmatch(r"(\d+) ?([A-Za-z]+)", value) if isinstance(value, str) else None
        if found is None or found[2] not in units:
            raise ValueError(f"is {self.kind}; units are {', '.join(units)}")
        amount, rest = divmod(int(found[1]) * units[found[2]], units[self.unit])
        if rest:
            raise ValueError(f"is counted in whole {self.unit}")
        if (self.low is not None and amount < self.low) or (self.high is not None and amount > self.high):
            raise ValueError(f"is {_range(self.low, self.high)} {self.unit}")
        return f"{amount}{_SPRING_SIZES[self.unit]}" if self.unit in _SPRING_SIZES else str(amount)

    def _list(self, value: Value) -> str:
        if not isinstance(value, tuple) or not all(isinstance(item, str) and item for item in value):
            raise ValueError(f"is {self.kind}")
        for item in value:
            if self.kind is Kind.NETWORKS:
                try:
                    ip_network(item)
                except ValueError as error:
                    raise ValueError(f"is {self.kind}: {error}") from None
            elif "," in item or "\n" in item:
                raise ValueError(f"has '{item}', where a comma or a line would end the item")
            elif self.choices and item not in self.choices:
                raise ValueError(f"has '{item}', which isn't among {', '.join(self.choices)}")
        return ", ".join(value)

    def _word(self, value: Value) -> str:
        if not isinstance(value, str) or "\n" in value or value != value.strip():
            raise ValueError(f"is {self.kind}")
        match self.kind:
            case Kind.CHOICE if value not in self.choices:
                raise ValueError(f"is {self.kind} {', '.join(self.choices)}")
            case Kind.PATH if not value.startswith("/"):
                raise ValueError(f"is {self.kind}")
            case Kind.ADDRESS:
                try:
                    ip_address(value)
                except ValueError as error:
                    raise ValueError(f"is {self.kind}: {error}") from None
            case Kind.CRON if not 6 <= len(value.split()) <= 7:
                raise ValueError(f"is {self.kind}, of six or seven fields")
            case Kind.VERSION:
                numbers(value)
        return value


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at least {low}" if high is None else f"at most {high}"
    return f"{low} to {high}"


class Misplaced(NamedTuple):
    """A value that can't stand where it does."""

    section: str
    name: str
    """Empty if the section itself is wrong."""
    message: str


def problems(server: Server, version: str, settings: Settings) -> Iterator[Misplaced]:
    """Everything that is wrong with the settings of a kind of server in a version."""
    known = _OF_SERVER[server]
    sections = {section for section, _ in known}
    for section, values in settings.items():
        if section not in sections:
            yield Misplaced(section, "", f"{server} has no section [{section}]{_nearest(section, sections)}")
            continue
        for name, value in values.items():
            parameter = known.get((section, name))
            if parameter is None:
                names = {other for where, other in known if where == section}
                yield Misplaced(section, name, f"[{section}] has no parameter '{name}'{_nearest(name, names)}")
            elif parameter.since and numbers(version) < numbers(parameter.since):
                yield Misplaced(
                    section, name, f"'{name}' exists since X-Road {parameter.since}; the version is {version}"
                )
            else:
                try:
                    parameter.text(value)
                except ValueError as error:
                    yield Misplaced(section, name, f"'{name}' {error}")


def rendered(server: Server, version: str, *layers: Settings) -> dict[str, dict[str, str]]:
    """Sections of `local.ini`, later layers over earlier ones; without what the version doesn't have yet."""
    found: dict[str, dict[str, str]] = {}
    for layer in layers:
        for section, values in layer.items():
            for name, value in values.items():
                parameter = _OF_SERVER[server][(section, name)]
                if not parameter.since or numbers(version) >= numbers(parameter.since):
                    found.setdefault(section, {})[name] = parameter.text(value)
    return found


def _nearest(word: str, words: set[str]) -> str:
    near = difflib.get_close_matches(word, sorted(words), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


_CENTRAL, _SECURITY, _PROXY = (frozenset({server}) for server in Server)
_EVERY = frozenset(Server)
_ALGORITHMS = ("RSA", "EC")
_DIGESTS = ("SHA-256", "SHA-384", "SHA-512")
_PRIORITIES = ("NONE", "ONLY_FREE", "ONLY_PAID", "FREE_FIRST", "PAID_FIRST")


def _rows(section: str, service: str, servers: frozenset[Server], table: str) -> Iterator[Parameter]:
    """Parameters of one section from lines of `name | kind [unit] [bounds] | default | since`."""
    kinds = {kind.name.lower(): kind for kind in Kind}
    for line in filter(None, map(str.strip, table.splitlines())):
        name, what, default, since = (cell.strip() for cell in line.split("|"))
        kind, *words = what.split()
        unit, off, low, high = "", "", None, None
        choices: tuple[str, ...] = ()
        for word in words:
            if word.startswith(">="):
                low = float(word[2:])
            elif word.startswith("<="):
                high = float(word[2:])
            elif word.startswith("off="):
                off = word[4:]
            elif word.startswith("in="):
                choices = _CHOICES[word[3:]]
            else:
                unit = word
        yield Parameter(
            section,
            name,
            kinds[kind],
            default,
            service,
            servers,
            unit=unit,
            low=_plain(low),
            high=_plain(high),
            choices=choices,
            since=since,
            off=off,
        )


def _plain(bound: float | None) -> float | None:
    return int(bound) if bound is not None and bound.is_integer() else bound


_CHOICES: dict[str, tuple[str, ...]] = {
    "algorithms": _ALGORITHMS,
    "digests": _DIGESTS,
    "priorities": _PRIORITIES,
    "groupings": ("none", "member", "subsystem"),
    "protocols": ("TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "spring-protocols": ("TLSv1.2", "TLSv1.3"),
    "log-hashes": ("SHA-224", "SHA-256", "SHA-384", "SHA-512"),
    "hash-uris": (
        "http://www.w3.org/2001/04/xmlenc#sha256",
        "http://www.w3.org/2001/04/xmlenc#sha512",
    ),
}
"""Sets of words that a row names."""

_LIMITS = """
rate-limit-requests-per-second | integer >=1 off=-1 | 20 |
rate-limit-requests-per-minute | integer >=1 off=-1 | 600 |
rate-limit-cache-size | integer >=1 | 10000 |
cache-default-ttl | duration s >=1 off=-1 | 60 |
cache-api-key-ttl | duration s >=1 off=-1 | 60 |
allowed-hostnames | list | |
strict-identifier-checks | boolean | true |
request-size-limit-regular | size KiB >=1 | 50KB |
request-size-limit-binary-upload | size MiB >=1 | 10MB |
"""
"""What the admin APIs of both servers share."""

_CENTRAL_SERVICE = """
rate-limit-enabled | boolean | true |
rate-limit-requests-per-second | integer >=1 off=-1 | -1 |
rate-limit-requests-per-minute | integer >=1 off=-1 | 10 |
rate-limit-cache-size | integer >=1 | 10000 |
rate-limit-expire-after-access-minutes | integer >=1 | 2 |
"""
"""What the registration and the management service share. Their tokens are the packages' own."""

PARAMETERS: tuple[Parameter, ...] = (
    *_rows(
        "common",
        "xroad-signer",
        _EVERY,
        """
        temp-files-path | path | /var/tmp/xroad/ |
        """,
    ),
    *_rows(
        "common",
        "xroad-proxy",
        _SECURITY,
        """
        configuration-path | path | /etc/xroad/globalconf/ |
        grpc-internal-host | address | 127.0.0.1 |
        grpc-internal-tls-enabled | boolean | true |
        """,
    ),
    *_rows(
        "proxy",
        "xroad-proxy",
        _SECURITY,
        """
        client-http-port | port | 8080 |
        client-https-port | port | 8443 |
        client-timeout | duration ms >=1 | 30000 |
        configuration-anchor-file | path | /etc/xroad/configuration-anchor.xml |
        connector-host | address | 0.0.0.0 |
        database-properties | path | /etc/xroad/db.properties |
        ocsp-responder-listen-address | address | 0.0.0.0 |
        ocsp-responder-port | port | 5577 |
        ocsp-responder-client-connect-timeout | duration ms >=0 | 20000 |
        ocsp-responder-client-read-timeout | duration ms >=0 | 30000 |
        server-listen-address | address | 0.0.0.0 |
        server-listen-port | port | 5500 |
        server-port | port | 5500 |
        jetty-clientproxy-configuration-file | path | /etc/xroad/jetty/clientproxy.xml |
        jetty-serverproxy-configuration-file | path | /etc/xroad/jetty/serverproxy.xml |
        jetty-ocsp-responder-configuration-file | path | /etc/xroad/jetty/ocsp-responder.xml |
        ssl-enabled | boolean | true |
        verify-client-cert | boolean | true |
        client-tls-ciphers | list | |
        xroad-tls-ciphers | list | |
        client-tls-protocols | list in=protocols | TLSv1.2 |
        server-connector-initial-idle-time | duration ms >=0 | 30000 |
        server-connector-max-idle-time | duration ms >=0 | 0 |
        server-connector-so-linger | duration s >=0 off=-1 | -1 |
        server-support-clients-pooled-connections | boolean | false |
        client-connector-initial-idle-time | duration ms >=0 | 30000 |
        client-connector-max-idle-time | duration ms >=0 | 0 |
        client-connector-so-linger | duration s >=0 off=-1 | -1 |
        client-httpclient-timeout | duration ms >=0 off=-1 | 0 |
        client-httpclient-so-linger | duration s >=0 off=-1 | -1 |
        client-use-idle-connection-monitor | boolean | true |
        client-idle-connection-monitor-interval | duration ms >=1 | 30000 |
        client-idle-connection-monitor-timeout | duration ms >=1 | 60000 |
        pool-total-max-connections | integer >=1 | 10000 |
        pool-total-default-max-connections-per-route | integer >=1 | 2500 |
        pool-validate-connections-after-inactivity-of-millis | duration ms >=0 off=-1 | 2000 |
        pool-enable-connection-reuse | boolean | false |
        client-use-fastest-connecting-ssl-socket-autoclose | boolean | true |
        client-fastest-connecting-ssl-uri-cache-period | duration s >=0 | 3600 |
        health-check-port | port off=0 | 0 |
        health-check-interface | address | 0.0.0.0 |
        hsm-health-check-enabled | boolean | false |
        grpc-port | port | 5567 |
        server-conf-cache-period | duration s >=0 | 60 |
        server-conf-client-cache-size | integer >=0 | 100 |
        server-conf-service-cache-size | integer >=0 | 1000 |
        server-conf-acl-cache-size | integer >=0 | 100000 |
        server-conf-service-endpoints-cache-size | integer >=0 | 100000 |
        enforce-client-is-cert-validity-period-check | boolean | false |
        backup-encryption-enabled | boolean | false |
        backup-encryption-keyids | list | |
        server-min-supported-client-version | version | |
        log-client-cert | boolean | false |
        memory-usage-threshold | integer >=1 <=100 | | 7.7.0
        """,
    ),
    *_rows(
        "signer",
        "xroad-signer",
        _EVERY,
        """
        ocsp-cache-path | path | /var/cache/xroad |
        enforce-token-pin-policy | boolean | false |
        client-timeout | duration ms >=1 | 60000 |
        device-configuration-file | path | /etc/xroad/devices.ini |
        key-configuration-file | path | /etc/xroad/signer/keyconf.xml |
        port | port | 5556 |
        grpc-port | port | 5560 |
        key-length | integer >=2048 <=8192 | 2048 |
        key-named-curve | text | secp256r1 |
        csr-signature-digest-algorithm | choice in=digests | SHA-256 |
        module-manager-update-interval | duration s >=1 | 60 |
        password-store-ipc-key-pathname | path | / |
        soft-token-pin-keystore-algorithm | choice in=algorithms | RSA |
        """,
    ),
    *_rows(
        "signer",
        "xroad-signer",
        _SECURITY,
        """
        ocsp-retry-delay | duration s >=1 | 60 |
        ocsp-prioritization-strategy | choice in=priorities | NONE | 7.8.0
        """,
    ),
    *_rows(
        "signer",
        "xroad-signer",
        _CENTRAL | _PROXY,
        """
        ocsp-response-retrieval-active | boolean | false |
        """,
    ),
    *_rows(
        "anti-dos",
        "xroad-proxy",
        _SECURITY,
        """
        enabled | boolean | true |
        max-cpu-load | number >=0 | 1.1 |
        max-heap-usage | number >=0 | 1.1 |
        max-parallel-connections | integer >=1 | 5000 |
        min-free-file-handles | integer >=0 | 100 |
        """,
    ),
    *_rows(
        "configuration-client",
        "xroad-confclient",
        _SECURITY,
        """
        port | port | 5665 |
        update-interval | duration s >=1 | 60 |
        admin-port | port | 5675 |
        allowed-federations | list | none |
        proxy-configuration-backup-cron | cron | 0 15 3 * * ? |
        global-conf-tls-cert-verification | boolean | true |
        global-conf-hostname-verification | boolean | true |
        downloader-connect-timeout | duration ms >=0 | 10000 | 7.8.0
        downloader-read-timeout | duration ms >=0 | 30000 | 7.8.0
        """,
    ),
    *_rows(
        "message-log",
        "xroad-addon-messagelog",
        _SECURITY,
        """
        message-body-logging | boolean | true |
        enabled-body-logging-local-producer-subsystems | list | |
        enabled-body-logging-remote-producer-subsystems | list | |
        disabled-body-logging-local-producer-subsystems | list | |
        disabled-body-logging-remote-producer-subsystems | list | |
        acceptable-timestamp-failure-period | duration s >=0 | 14400 |
        archive-interval | cron | 0 0 0/6 1/1 * ? * |
        archive-max-filesize | size B >=1 | 33554432 |
        archive-path | path | /var/lib/xroad |
        clean-interval | cron | 0 0 0/12 1/1 * ? * |
        hash-algo-id | choice in=log-hashes | SHA-512 |
        keep-records-for | duration d >=1 | 30 |
        timestamp-immediately | boolean | false |
        timestamp-records-limit | integer >=1 | 10000 |
        timestamper-client-connect-timeout | duration ms >=0 | 20000 |
        timestamper-client-read-timeout | duration ms >=0 | 60000 |
        timestamp-retry-delay | duration s >=0 | 60 |
        timestamping-prioritization-strategy | choice in=priorities | NONE | 7.8.0
        archive-transaction-batch | integer >=1 | 10000 |
        max-loggable-message-body-size | size B >=0 <=1073741824 | 10485760 |
        truncated-body-allowed | boolean | false |
        clean-transaction-batch | integer >=1 | 10000 |
        archive-grouping | choice in=groupings | none |
        archive-transfer-command | text | |
        archive-encryption-enabled | boolean | false |
        archive-gpg-home-directory | path | /etc/xroad/gpghome |
        archive-encryption-keys-config | path | |
        archive-default-encryption-key | text | |
        messagelog-encryption-enabled | boolean | false |
        messagelog-keystore | path | |
        messagelog-key-id | text | |
        """,
    ),
    *_rows(
        "env-monitor",
        "xroad-monitor",
        _SECURITY,
        """
        port | port | 2552 |
        system-metrics-sensor-interval | duration s >=1 | 5 |
        disk-space-sensor-interval | duration s >=1 | 60 |
        exec-listing-sensor-interval | duration s >=1 | 60 |
        certificate-info-sensor-interval | duration s >=1 | 86400 |
        limit-remote-data-set | boolean | false |
        """,
    ),
    *_rows(
        "proxy-ui-api",
        "xroad-proxy-ui-api",
        _SECURITY,
        _LIMITS
        + """
        ssl-properties | path | /etc/xroad/ssl.properties |
        key-management-api-whitelist | networks | 127.0.0.0/8, ::1 |
        regular-api-whitelist | networks | 0.0.0.0/0, ::/0 |
        auth-cert-reg-signature-digest-algorithm-id | choice in=digests | SHA-512 |
        auto-update-timestamp-service-url | boolean | false |
        allow-csr-for-key-with-certificate | boolean | false |
        acme-authorization-wait-attempts | integer >=1 | 5 |
        acme-authorization-wait-interval | duration ms >=1 | 5000 |
        acme-certificate-wait-attempts | integer >=1 | 5 |
        acme-certificate-wait-interval | duration ms >=1 | 5000 |
        acme-certificate-account-key-pair-expiration | duration d >=1 | 365 |
        acme-keypair-renewal-time-before-expiration-date | duration d >=1 | 14 |
        acme-challenge-port-enabled | boolean | false |
        acme-challenge-port | port | 80 | 7.8.0
        acme-renewal-active | boolean | true |
        acme-renewal-interval | duration s >=1 | 3600 |
        acme-renewal-retry-delay | duration s >=1 | 60 |
        acme-renewal-time-before-expiration-date | duration d >=1 | 14 |
        acme-renewal-success-notification-enabled | boolean | true |
        acme-renewal-failure-notification-enabled | boolean | true |
        security-server-url | text | |
        reserved-service-codes | list | | 7.7.0
        auth-cert-registered-notification-enabled | boolean | true |
        signing-key-algorithm | choice in=algorithms | RSA |
        authentication-key-algorithm | choice in=algorithms | RSA |
        automatic-activate-auth-certificate | boolean | false | 7.7.0
        automatic-activate-acme-sign-certificate | boolean | false | 7.7.0
        cert-auto-activation-notification-enabled | boolean | true | 7.7.0
        cert-auto-activation-failure-notification-enabled | boolean | true | 7.7.0
        server.ssl.enabled-protocols | list in=spring-protocols | TLSv1.2,TLSv1.3 |
        server.ssl.ciphers | list | |
        """,
    ),
    *_rows(
        "center",
        "xroad-center",
        _CENTRAL,
        """
        conf-backup-path | path | /var/lib/xroad/backup/ |
        database-properties | path | /etc/xroad/db.properties |
        external-directory | text | externalconf |
        generated-conf-dir | path | /var/lib/xroad/public |
        internal-directory | text | internalconf |
        trusted-anchors-allowed | boolean | true |
        minimum-global-configuration-version | integer >=2 <=6 | 2 |
        auto-approve-auth-cert-reg-requests | boolean | false |
        auto-approve-client-reg-requests | boolean | false |
        auto-approve-owner-change-requests | boolean | false |
        ha-node-name | text | |
        backup-encryption-enabled | boolean | false |
        backup-encryption-keyids | list | |
        """,
    ),
    *_rows(
        "admin-service",
        "xroad-center",
        _CENTRAL,
        _LIMITS
        + """
        key-management-api-whitelist | networks | 127.0.0.0/8, ::1 | 7.8.0
        regular-api-whitelist | networks | 0.0.0.0/0, ::/0 | 7.8.0
        global-configuration-generation-rate-in-seconds | duration s >=1 | 60 |
        rate-limit-enabled | boolean | true |
        rate-limit-expire-after-access-minutes | integer >=1 | 5 |
        certificate-allowed-extensions | list | der,crt,pem,cer |
        certificate-allowed-content-types | list | application/x-x509-cert,text/plain |
        xml-allowed-extensions | list | xml |
        xml-allowed-content-types | list | text/xml,application/xml |
        backup-allowed-content-types | list | application/pgp-encrypted |
        internal-key-algorithm | choice in=algorithms | RSA |
        external-key-algorithm | choice in=algorithms | RSA |
        """,
    ),
    *_rows("registration-service", "xroad-center-registration-service", _CENTRAL, _CENTRAL_SERVICE),
    *_rows("management-service", "xroad-center-management-service", _CENTRAL, _CENTRAL_SERVICE),
    *_rows(
        "configuration-proxy",
        "xroad-confproxy",
        _PROXY,
        """
        address | text | 0.0.0.0 |
        configuration-path | path | /etc/xroad/confproxy |
        generated-conf-path | path | /var/lib/xroad/public |
        signature-digest-algorithm-id | choice in=digests | SHA-512 |
        hash-algorithm-uri | choice in=hash-uris | http://www.w3.org/2001/04/xmlenc#sha512 |
        download-script | path | /usr/share/xroad/scripts/download_instance_configuration.sh |
        minimum-global-configuration-version | integer >=2 <=6 | 2 |
        """,
    ),
)
"""Every parameter that the estate may set. Passwords and tokens of keystores are not among them."""

_OF_SERVER: dict[Server, dict[tuple[str, str], Parameter]] = {
    server: {(item.section, item.name): item for item in PARAMETERS if server in item.servers}
    for server in Server
}
