"""The central server itself: state, token, and the questions that every part of it asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from xroad_simulator.authentication import Accounts, Gate, Role
from xroad_simulator.backups import BACKUP_VERSION, Backups
from xroad_simulator.central.permissions import ROLES as PERMISSIONS
from xroad_simulator.central.records import (
    OWNERS_GROUP,
    GroupMember,
    Identity,
    ManagementSettings,
    MemberRecord,
    ServerClientRecord,
    ServerRecord,
    SubsystemRecord,
)
from xroad_simulator.clock import now
from xroad_simulator.errors import bad_request, not_found
from xroad_simulator.faults import Faults, Requests
from xroad_simulator.global_configuration import Parameters
from xroad_simulator.identifiers import ClientId, ServerId
from xroad_simulator.key_ring import KeyRing
from xroad_simulator.listeners import TlsFiles
from xroad_simulator.pin import log_in_automatically
from xroad_simulator.settings import CentralSettings
from xroad_simulator.software_token import SoftwareToken
from xroad_simulator.store import Store

ROLES = frozenset(
    {
        Role.SECURITY_OFFICER,
        Role.REGISTRATION_OFFICER,
        Role.SYSTEM_ADMINISTRATOR,
        Role.MANAGEMENT_SERVICE,
    }
)


class CentralServer:
    """One central server. Its answers come from the store, so they survive a restart."""

    def __init__(self, settings: CentralSettings, management_tls: TlsFiles) -> None:
        self.settings = settings
        self.management_tls = management_tls
        """Key and certificate of the registration and management services; security servers pin the latter."""
        self.generated: Parameters | None = None
        """What the last generation since the start wrote."""
        self.store = Store(settings.state / "central.db")
        self.token = SoftwareToken(self.store)
        self.faults = Faults(settings.faults)
        self.requests = Requests()
        self.key_ring = KeyRing(settings.key_ring)
        self.backups = Backups(
            self.store,
            settings.state,
            self.key_ring,
            management_tls,
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

    @property
    def identity(self) -> Identity:
        """Instance and address; empty before initialization."""
        return self.store.get(Identity, "identity") or Identity()

    def key_name(self) -> str:
        """Name of the OpenPGP key: the instance."""
        return self.instance

    def backup_label(self) -> str:
        """What an archive of this server says of itself (`make_tarball_label` of X-Road's scripts)."""
        return f"central_{BACKUP_VERSION}_{self.instance}"

    def forget(self) -> None:
        """Forget what is in memory of a state that was replaced; the token needs its PIN again."""
        self.generated = None
        self.token.restart()
        self.gate.close_sessions()
        log_in_automatically(self.token, self.settings.pin_command)

    @property
    def instance(self) -> str:
        """The instance's name; 400 before initialization."""
        instance = self.identity.instance
        if instance is None:
            raise bad_request("instance_identifier_not_set")
        return instance

    @property
    def management(self) -> ManagementSettings:
        """Who offers the management services."""
        return self.store.get(ManagementSettings, "management") or ManagementSettings()

    def url(self, scheme: str, port: int, path: str) -> str:
        """An address of this server as other servers reach it; usual ports are left out."""
        real = self.settings.listening.port(port)
        suffix = "" if real in (80, 443) else f":{real}"
        return f"{scheme}://{self.identity.address}{suffix}{path}"

    def find_member(self, client: ClientId) -> MemberRecord | None:
        """The member that a client is or belongs to, or None."""
        if client.instance != self.identity.instance:
            return None
        return self.store.get(MemberRecord, f"{client.member_class}:{client.member_code}")

    def member(self, text: str) -> MemberRecord:
        """The member with this identifier; 400 if it isn't one, 404 if there is none."""
        try:
            client = ClientId.parse(text)
        except ValueError as error:
            raise bad_request("invalid_member_id", text) from error
        found = self.find_member(client)
        if found is None or client.subsystem_code is not None:
            raise not_found("member_not_found", text)
        return found

    def find_subsystem(self, client: ClientId) -> SubsystemRecord | None:
        """The subsystem with this identifier, or None."""
        if client.instance != self.identity.instance or client.subsystem_code is None:
            return None
        return self.store.get(SubsystemRecord, ":".join(client.parts[1:]))

    def subsystem(self, text: str) -> SubsystemRecord:
        """The subsystem with this identifier; 400 if it isn't one, 404 if there is none."""
        try:
            client = ClientId.parse(text)
        except ValueError as error:
            raise bad_request("invalid_subsystem_id", text) from error
        found = self.find_subsystem(client)
        if found is None:
            raise not_found("subsystem_not_found", text)
        return found

    def find_server(self, identifier: ServerId) -> ServerRecord | None:
        """The registered server with this identifier, or None."""
        if identifier.instance != self.identity.instance:
            return None
        return self.store.get(ServerRecord, str(identifier).partition(":")[2])

    def server(self, text: str) -> ServerRecord:
        """The registered server with this identifier; 404 if there is none."""
        try:
            found = self.find_server(ServerId.parse(text))
        except ValueError:
            found = None
        if found is None:
            raise not_found("security_server_not_found", text)
        return found

    def clients_of(self, server: ServerRecord, *, enabled_only: bool = False) -> list[ClientId]:
        """Clients registered to a server, its owner first."""
        owner = server.identifier(self.instance).owner
        records = self.store.all(ServerClientRecord, f"{server.key}|")
        shown = [record for record in records if record.enabled or not enabled_only]
        return [owner, *(ClientId.parse(f"{self.instance}:{r.client}") for r in shown)]

    def registration(self, server: ServerRecord, client: ClientId) -> ServerClientRecord | None:
        """A client's registration to a server; None without one, and for the server's owner."""
        return self.store.get(ServerClientRecord, f"{server.key}|{':'.join(client.parts[1:])}")

    def add_to_group(self, group: str, client: ClientId) -> GroupMember:
        """Put a client into a global group; it stays as it is if it is there already."""
        with self.store.transaction():
            found = self.store.get(GroupMember, f"{group}:{client}")
            if found is None:
                found = GroupMember(
                    id=self.store.next_number("group_member"),
                    group=group,
                    client=str(client),
                    created_at=now(),
                )
                self.store.put(found)
        return found

    def update_owners_group(self, owner: ClientId) -> None:
        """Let a member be among the owners of security servers exactly as long as it owns one."""
        key = f"{owner.member_class}:{owner.member_code}:"
        place = self.store.get(GroupMember, f"{OWNERS_GROUP}:{owner}")
        if self.store.all(ServerRecord, key):
            self.add_to_group(OWNERS_GROUP, owner)
        elif place is not None:
            self.store.delete(place)


def _central(request: Request) -> CentralServer:
    server: CentralServer = request.app.state.server
    return server


Central = Annotated[CentralServer, Depends(_central)]
"""The server that got the request, for routes."""
