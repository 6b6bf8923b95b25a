"""The security server itself: state, token, configuration, and the questions all parts ask."""

from __future__ import annotations

import base64
import contextlib
import ssl
import time
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated

from cryptography import x509
from fastapi import Depends, Request

from xroad_simulator import parameters_xml
from xroad_simulator.authentication import Accounts, Gate, Role
from xroad_simulator.backups import BACKUP_VERSION, Backups
from xroad_simulator.certificates import decode, der, is_current, issuer_among
from xroad_simulator.clock import now
from xroad_simulator.errors import ApiError, bad_request, conflict, internal_error, not_found
from xroad_simulator.faults import Faults, Requests
from xroad_simulator.global_configuration import (
    Anchor,
    ConfigurationError,
    Parameters,
)
from xroad_simulator.global_configuration import SecurityServer as RegisteredServer
from xroad_simulator.identifiers import ClientId, ServerId, ServiceId
from xroad_simulator.key_ring import KeyRing
from xroad_simulator.listeners import TlsFiles
from xroad_simulator.ocsp import Status
from xroad_simulator.pin import log_in_automatically
from xroad_simulator.security.certificate_status import CertificateStatuses
from xroad_simulator.security.contacts import StampingState
from xroad_simulator.security.pending import PendingChanges
from xroad_simulator.security.permissions import ROLES as PERMISSIONS
from xroad_simulator.security.records import (
    AccessRightRecord,
    AnchorRecord,
    CertificateRecord,
    CertificateStatus,
    ClientRecord,
    ConfigurationRecord,
    DescriptionRecord,
    EndpointRecord,
    LocalGroupMemberRecord,
    ServerIdentity,
    ServiceRecord,
    TlsCertificateRecord,
    Usage,
)
from xroad_simulator.settings import SecuritySettings
from xroad_simulator.software_token import KeyRecord, PrivateKey, SoftwareToken
from xroad_simulator.store import Store


@lru_cache(maxsize=2)
def _parse_anchor(content: str) -> Anchor:
    """Anchors are asked for with every message and hardly ever change."""
    return Anchor.parse(base64.b64decode(content))


ROLES = frozenset(
    {
        Role.SECURITY_OFFICER,
        Role.REGISTRATION_OFFICER,
        Role.SERVICE_ADMINISTRATOR,
        Role.SYSTEM_ADMINISTRATOR,
        Role.OBSERVER,
    }
)


class SecurityServer:
    """One security server. Its answers come from the store, so they survive a restart."""

    def __init__(self, settings: SecuritySettings, internal_tls: TlsFiles) -> None:
        self.settings = settings
        self.internal_tls = internal_tls
        """Key and certificate towards information systems."""
        self.store = Store(settings.state / "security.db")
        self.token = SoftwareToken(self.store)
        self.faults = Faults(settings.faults)
        self.requests = Requests()
        self.pending = PendingChanges()
        self.key_ring = KeyRing(settings.key_ring)
        self.backups = Backups(
            self.store,
            settings.state,
            self.key_ring,
            internal_tls,
            self.faults,
            settings.backup_encryption_keys if settings.backup_encryption else None,
        )
        self.gate = Gate(
            self.store,
            Accounts(settings.accounts, ROLES),
            ROLES,
            PERMISSIONS,
            settings.key_management_whitelist,
            settings.regular_whitelist,
        )
        self.statuses = CertificateStatuses(self.store)
        self.stamping = StampingState()
        self.last_problem: ConfigurationError | None = None
        """Why the last fetch of the configuration failed, None if it didn't."""
        self._information_systems: ssl.SSLContext | None = None
        self._fetched: ConfigurationRecord | None = None
        self._parameters: Parameters | None = None
        self._rights: dict[tuple[str, str], tuple[float, frozenset[tuple[int, str]]]] = {}

    def information_systems_context(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """Let a listener ask information systems for certificates, and know those of clients."""
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self._information_systems = context
        for record in self.store.all(TlsCertificateRecord):
            self.trust_information_system(decode(record.certificate))
        return context

    def trust_information_system(self, certificate: x509.Certificate) -> None:
        """Accept TLS connections with this certificate from now on.

        Whose it is, is checked with every message; a deleted one is refused there.
        """
        if self._information_systems is not None:
            with contextlib.suppress(ssl.SSLError):  # it is there already
                self._information_systems.load_verify_locations(cadata=der(certificate))

    @property
    def identity(self) -> ServerIdentity:
        """Owner and code; empty before initialization."""
        return self.store.get(ServerIdentity, "identity") or ServerIdentity()

    @property
    def anchor(self) -> Anchor | None:
        """The imported anchor."""
        record = self.store.get(AnchorRecord, "anchor")
        return None if record is None else _parse_anchor(record.content)

    def fetched(self) -> ConfigurationRecord | None:
        """The configuration that was fetched last, valid or not."""
        if self._fetched is None:
            self._fetched = self.store.get(ConfigurationRecord, "configuration")
        return self._fetched

    def take(self, record: ConfigurationRecord, parameters: Parameters) -> None:
        """Use a configuration that was fetched and verified."""
        self.store.put(record)
        self._fetched, self._parameters = record, parameters

    def last_configuration(self) -> Parameters | None:
        """The global configuration even if it has expired, None before the first one."""
        record = self.fetched()
        if record is not None and self._parameters is None:
            shared, private = base64.b64decode(record.shared), base64.b64decode(record.private)
            self._parameters = parameters_xml.read(shared, private)
        return self._parameters

    def configuration(self) -> Parameters:
        """The global configuration; ConfigurationError without one that is valid now."""
        record, parameters = self.fetched(), self.last_configuration()
        if record is None or parameters is None:
            raise ConfigurationError("global_conf_not_available", "nothing was fetched yet")
        if now() > record.expires:
            raise ConfigurationError("OutdatedGlobalConf", f"expired {record.expires}")
        return parameters

    def api_configuration(self) -> Parameters:
        """The global configuration, for operations of the admin API: 500 without one."""
        try:
            return self.configuration()
        except ConfigurationError as problem:
            code = "global_conf_outdated" if "Outdated" in problem.code else problem.code
            raise internal_error(code, problem.detail) from None

    @property
    def instance(self) -> str:
        """The instance's name, from the anchor; 409 without one."""
        anchor = self.anchor
        if anchor is None:
            raise conflict("anchor_not_found")
        return anchor.instance

    @property
    def owner(self) -> ClientId | None:
        """The member that owns the server, None before initialization."""
        identity, anchor = self.identity, self.anchor
        if anchor is None or identity.owner_class is None or identity.owner_code is None:
            return None
        return ClientId(anchor.instance, identity.owner_class, identity.owner_code)

    @property
    def server_id(self) -> ServerId | None:
        """The server's identifier, None before initialization."""
        owner, code = self.owner, self.identity.server_code
        if owner is None or code is None:
            return None
        return ServerId(owner.instance, owner.member_class, owner.member_code, code)

    def initialized_id(self) -> ServerId:
        """The server's identifier; 409 before initialization."""
        identifier = self.server_id
        if identifier is None:
            raise conflict("server_not_initialized")
        return identifier

    def key_name(self) -> str:
        """Name of the OpenPGP key: the server's identifier (`get_security_server_id.sh`)."""
        return str(self.initialized_id()).replace(":", "/")

    def backup_label(self) -> str:
        """What an archive of this server says of itself (`make_tarball_label` of X-Road's scripts)."""
        return f"security_{BACKUP_VERSION}_{self.key_name()}"

    def forget(self) -> None:
        """Forget what is in memory of a state that was replaced; the token needs its PIN again."""
        self._fetched = self._parameters = None
        self._rights.clear()
        self.pending = PendingChanges()
        self.token.restart()
        self.gate.close_sessions()
        log_in_automatically(self.token, self.settings.pin_command)

    def registered(self) -> RegisteredServer | None:
        """This server as the configuration has it, None if it isn't registered."""
        parameters, identifier = self.last_configuration(), self.server_id
        return None if parameters is None or identifier is None else parameters.server(identifier)

    def address(self) -> str | None:
        """The address under which the server is registered, None if it isn't."""
        registered = self.registered()
        return None if registered is None else registered.address

    def client(self, text: str) -> ClientRecord:
        """The local client with this identifier; 400 if it isn't one, 404 if there is none."""
        try:
            identifier = ClientId.parse(text)
        except ValueError:
            raise bad_request("invalid_client_id", text) from None
        found = self.store.get(ClientRecord, str(identifier))
        if found is None:
            raise not_found("client_not_found", text)
        return found

    def service(self, text: str) -> ServiceRecord:
        """The service with this identifier; 404 if there is none."""
        try:
            identifier = ServiceId.parse(text)
        except ValueError:
            raise bad_request("invalid_service_id", text) from None
        found = self.store.get(ServiceRecord, f"{identifier.client}|{identifier.code}")
        if found is None:
            raise not_found("service_not_found", text)
        return found

    def description(self, number: int) -> DescriptionRecord:
        """The service description with this number; 404 if there is none."""
        found = self.store.get(DescriptionRecord, f"{number:08d}")
        if found is None:
            raise not_found("service_description_not_found", str(number))
        return found

    def services_of(self, client: str) -> list[ServiceRecord]:
        """Every service of a client."""
        return self.store.all(ServiceRecord, f"{client}|")

    def endpoints_of(self, service: ServiceRecord) -> list[EndpointRecord]:
        """Every endpoint of a service, the base endpoint first."""
        return [
            endpoint
            for endpoint in self.store.all(EndpointRecord)
            if (endpoint.client, endpoint.service) == (service.client, service.code)
        ]

    def base_endpoint(self, service: ServiceRecord) -> EndpointRecord:
        """The endpoint that stands for the whole service."""
        for endpoint in self.endpoints_of(service):
            if endpoint.is_base:
                return endpoint
        raise not_found("base_endpoint_not_found", service.code)

    def is_issued_by_approved(self, certificate: x509.Certificate) -> bool:
        """Whether an approved CA issued the certificate and it is within validity."""
        authorities = self.configuration().authorities()
        return is_current(certificate) and issuer_among(certificate, authorities) is not None

    def active_certificates(self, usage: Usage, owner: ClientId) -> list[CertificateRecord]:
        """A member's certificates that are active and valid, whatever their status."""
        return [
            record
            for record in self.store.all(CertificateRecord)
            if record.usage is usage
            and record.active
            and record.status is CertificateStatus.REGISTERED
            and record.owner == str(owner.member)
            and is_current(decode(record.certificate))
        ]

    def active_certificate(self, usage: Usage, owner: ClientId) -> CertificateRecord | None:
        """The certificate in use for a member: one whose status is good, None without one."""
        for record in self.active_certificates(usage, owner):
            if self.status(decode(record.certificate)) is Status.GOOD:
                return record
        return None

    def status(self, certificate: x509.Certificate) -> Status:
        """The status of an own certificate, as far as it is known."""
        parameters = self.last_configuration()
        return Status.GOOD if parameters is None else self.statuses.status(certificate, parameters)

    def require_good(self, certificate: x509.Certificate, answers: Sequence[bytes]) -> None:
        """OcspError unless `answers` show that somebody else's certificate is good."""
        self.statuses.require_good(certificate, answers, self.configuration())

    def private_key(self, record: CertificateRecord) -> PrivateKey:
        """The key of a certificate; TokenLoggedOutError without a PIN."""
        key = self.store.get(KeyRecord, record.key_id)
        if key is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "key_not_found", (record.key_id,))
        return self.token.private_key(key)

    def rights_to(self, service: ServiceRecord) -> frozenset[tuple[int, str]]:
        """Endpoints and subjects with a right to a service, at most a cache period old.

        X-Road keeps them for `server-conf-cache-period`: a revoked right works until then.
        """
        key, moment = (service.client, service.code), time.monotonic()
        cached = self._rights.get(key)
        if cached is not None and moment - cached[0] < self.settings.rights_cache_period:
            return cached[1]
        numbers = {endpoint.id for endpoint in self.endpoints_of(service)}
        rights = frozenset(
            (right.endpoint, right.subject)
            for right in self.store.all(AccessRightRecord)
            if right.endpoint in numbers
        )
        self._rights[key] = (moment, rights)
        return rights

    def subjects_of(self, client: ClientId) -> set[str]:
        """Every subject that stands for a client: itself, global groups, local groups."""
        parameters = self.configuration()
        subjects = {str(client)}
        subjects |= {
            f"{parameters.instance}:{group.code}"
            for group in parameters.global_groups
            if str(client) in group.members
        }
        subjects |= {
            str(place.group) for place in self.store.all(LocalGroupMemberRecord) if place.client == str(client)
        }
        return subjects


def _security(request: Request) -> SecurityServer:
    server: SecurityServer = request.app.state.server
    return server


Security = Annotated[SecurityServer, Depends(_security)]
"""The server that got the request, for routes."""
