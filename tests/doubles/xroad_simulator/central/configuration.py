"""Generating the global configuration: what goes into it, when, and who signs it."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from xroad_simulator import global_configuration as gc
from xroad_simulator import parameters_xml
from xroad_simulator.central.records import (
    AnchorRecord,
    AuthenticationCertificateRecord,
    CertificationServiceRecord,
    GenerationRecord,
    GlobalGroupRecord,
    GroupMember,
    IntermediateRecord,
    MemberClassRecord,
    MemberRecord,
    PartRecord,
    ResponderRecord,
    ServerRecord,
    SigningKeyRecord,
    Source,
    SubsystemRecord,
    TimestampingServiceRecord,
)
from xroad_simulator.central.server import CentralServer
from xroad_simulator.certificates import common_name, decode, encode, parse_certificate
from xroad_simulator.clock import now, timestamp
from xroad_simulator.signed_directory import FILE_NAMES, PRIVATE, SHARED, Part, publish
from xroad_simulator.software_token import KeyRecord, PrivateKey

_LOG = logging.getLogger(__name__)
UPLOADED = 0
"""The version of parts that were uploaded: they are the same in every format."""

_PATHS = {Source.INTERNAL: "/internalconf", Source.EXTERNAL: "/externalconf"}


def signing_certificate(key: PrivateKey) -> x509.Certificate:
    """The self-signed certificate that stands for a configuration signing key in anchors."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "N/A")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(minutes=5))
        .not_valid_after(now() + timedelta(days=7300))
        .sign(key, hashes.SHA512())
    )


def download_url(server: CentralServer, source: Source) -> str:
    """Where a source's configuration is served."""
    return server.url("https", 443, _PATHS[source])


def make_anchor(server: CentralServer, source: Source) -> AnchorRecord | None:
    """Write the anchor of a source anew; None while it has no signing key."""
    keys = server.store.all(SigningKeyRecord, f"{source}:")
    if not keys:
        return None
    moment = now()
    anchor = gc.Anchor(
        instance=server.instance,
        generated_at=timestamp(moment),
        download_urls=(server.url("http", 80, _PATHS[source]), download_url(server, source)),
        verification_certificates=tuple(key.certificate for key in keys),
    )
    record = AnchorRecord(source=source, content=base64.b64encode(anchor.xml()).decode(), created_at=moment)
    server.store.put(record)
    return record


def parameters(server: CentralServer) -> gc.Parameters:
    """The configuration's content as the server's records stand now."""
    store, instance = server.store, server.instance
    return gc.Parameters(
        instance=instance,
        sources=(_signing_source(server),),
        member_classes=tuple(
            gc.MemberClass(code=record.code, description=record.description)
            for record in store.all(MemberClassRecord)
        ),
        members=tuple(_members(store.all(MemberRecord), store.all(SubsystemRecord))),
        security_servers=tuple(_servers(server)),
        global_groups=tuple(
            gc.GlobalGroup(
                code=group.code,
                description=group.description,
                members=tuple(m.client for m in store.all(GroupMember, f"{group.code}:")),
            )
            for group in store.all(GlobalGroupRecord)
        ),
        certification_services=tuple(
            _certification_service(server, service) for service in store.all(CertificationServiceRecord)
        ),
        timestamping_services=tuple(
            gc.TimestampingService(
                name=common_name(decode(service.certificate).subject),
                url=service.url,
                cost_type=service.cost_type,
                certificate=service.certificate,
            )
            for service in store.all(TimestampingServiceRecord)
        ),
        management_service_provider=server.management.provider,
        registration_address=server.url("https", 4001, "/managementservice/"),
        registration_certificate=encode(parse_certificate(server.management_tls.certificate())),
    )


def _members(members: Iterable[MemberRecord], subsystems: Iterable[SubsystemRecord]) -> Iterable[gc.Member]:
    owned: dict[str, list[gc.Subsystem]] = {}
    for subsystem in subsystems:
        owned.setdefault(f"{subsystem.member_class}:{subsystem.member_code}", []).append(
            gc.Subsystem(code=subsystem.code, name=subsystem.name)
        )
    for member in members:
        yield gc.Member(
            member_class=member.member_class,
            code=member.code,
            name=member.name,
            subsystems=tuple(owned.get(member.key, ())),
        )


def _servers(server: CentralServer) -> Iterable[gc.SecurityServer]:
    for record in server.store.all(ServerRecord):
        certificates = server.store.all(AuthenticationCertificateRecord, f"{record.key}:")
        yield gc.SecurityServer(
            id=str(record.identifier(server.instance)),
            address=record.address,
            authentication_certificates=tuple(gc.certificate_hash(c.certificate) for c in certificates),
            sha1_hashes=tuple(gc.certificate_hash(c.certificate, "sha1") for c in certificates),
            clients=tuple(str(client) for client in server.clients_of(record, enabled_only=True)),
            in_maintenance=record.in_maintenance,
            maintenance_message=record.maintenance_message,
        )


def _signing_source(server: CentralServer) -> gc.SigningSource:
    def certificates(source: Source) -> tuple[str, ...]:
        return tuple(key.certificate for key in server.store.all(SigningKeyRecord, f"{source}:"))

    return gc.SigningSource(
        address=server.identity.address or "",
        internal_certificates=certificates(Source.INTERNAL),
        external_certificates=certificates(Source.EXTERNAL),
    )


def _certification_service(
    server: CentralServer, service: CertificationServiceRecord
) -> gc.CertificationService:
    responders = server.store.all(ResponderRecord)

    def named(**by: int) -> tuple[gc.Responder, ...]:
        return tuple(
            gc.Responder(url=found.url, cost_type=found.cost_type, certificate=found.certificate)
            for found in responders
            if all(getattr(found, name) == number for name, number in by.items())
        )

    return gc.CertificationService(
        name=common_name(decode(service.certificate).subject),
        certificate=service.certificate,
        certificate_profile_info=service.certificate_profile_info,
        authentication_only=service.tls_auth,
        default_csr_format=service.default_csr_format,
        responders=named(service=service.id),
        intermediates=tuple(
            gc.Authority(certificate=ca.certificate, responders=named(intermediate=ca.id))
            for ca in server.store.all(IntermediateRecord)
            if ca.service == service.id
        ),
        acme_directory_url=service.acme_server_directory_url,
        acme_ip_address=service.acme_server_ip_address,
        authentication_profile_id=service.authentication_certificate_profile_id,
        signing_profile_id=service.signing_certificate_profile_id,
    )


def active_key(server: CentralServer, source: Source) -> SigningKeyRecord | None:
    """The key that signs a source's configuration, None if there is none."""
    keys = server.store.all(SigningKeyRecord, f"{source}:")
    return next((key for key in keys if key.active), None)


def generate(server: CentralServer) -> list[Source]:
    """Generate every source that can be: initialized, logged in, with a key and a provider.

    X-Road's configuration doesn't fit its schema without a management service provider, so nothing
    is generated before there is one.
    """
    generated: list[Source] = []
    ready = server.identity.instance is not None and server.management.provider is not None
    if not ready or not server.token.is_logged_in:
        return generated
    moment = now()
    with server.store.transaction():
        _write_parts(server, moment)
        for source in Source:
            signing = active_key(server, source)
            stored = None if signing is None else server.store.get(KeyRecord, signing.id)
            if signing is None or stored is None:
                continue
            key = server.token.private_key(stored)
            for version in range(server.settings.minimum_version, parameters_xml.NEWEST + 1):
                _publish(server, source, version, moment, signing, key)
            generated.append(source)
    return generated


def _write_parts(server: CentralServer, moment: datetime) -> None:
    """Write the parameters in every format, where they have changed."""
    current = parameters(server)
    if current == server.generated:
        return
    private = parameters_xml.private(current)
    for version in range(server.settings.minimum_version, parameters_xml.NEWEST + 1):
        contents = {SHARED: parameters_xml.shared(current, version), PRIVATE: private}
        for identifier, content in contents.items():
            file_name = FILE_NAMES[identifier]
            server.store.put(
                PartRecord(
                    identifier=identifier,
                    version=version,
                    file_name=file_name,
                    location=f"/V{version}/{moment:%Y%m%d%H%M%S%f}/{file_name}",
                    content=base64.b64encode(content).decode(),
                    updated_at=moment,
                )
            )
    server.generated = current


def parts_of(server: CentralServer, source: Source, version: int) -> list[Part]:
    """The files of a source's directory: for others than the own instance, shared parameters only."""
    found = [
        Part(record.identifier, record.location, base64.b64decode(record.content))
        for record in server.store.all(PartRecord, f"{version}:")
        if source is Source.INTERNAL or record.identifier == SHARED
    ]
    if source is Source.INTERNAL:
        found += [
            Part(
                record.identifier,
                f"/V{version}/uploaded/{record.file_name}",
                base64.b64decode(record.content),
            )
            for record in server.store.all(PartRecord, f"{UPLOADED}:")
            if record.identifier in server.settings.optional_parts
        ]
    return found


def _publish(
    server: CentralServer,
    source: Source,
    version: int,
    moment: datetime,
    signing: SigningKeyRecord,
    key: PrivateKey,
) -> None:
    expires = moment + timedelta(seconds=server.settings.configuration_lifetime)
    parts = parts_of(server, source, version)
    document = publish(server.instance, parts, version, expires, key, signing.certificate)
    server.store.put(
        GenerationRecord(
            source=source,
            version=version,
            document=base64.b64encode(document).decode(),
            generated_at=moment,
            expires=expires,
        )
    )


async def keep_generating(server: CentralServer) -> None:
    """Generate on the interval for as long as the server runs."""
    while True:
        try:
            await asyncio.to_thread(generate, server)
        except Exception:  # noqa: BLE001 - logged; the loop must go on
            # As in X-Road, a failed generation leaves the last one in place until it expires.
            _LOG.exception("global configuration not generated")
        await asyncio.sleep(server.settings.generation_interval)
