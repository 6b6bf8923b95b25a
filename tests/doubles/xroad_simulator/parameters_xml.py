"""Shared and private parameters as X-Road's XML (pr-gconf 4; `globalconf/v2` … `v6` of its schemas).

What a server knows is one model (`global_configuration.Parameters`); an older format leaves out what it has
no element for. Security servers ask for the newest.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping

from xroad_simulator.global_configuration import (
    Authority,
    CertificationService,
    ConfigurationError,
    GlobalGroup,
    Member,
    MemberClass,
    Parameters,
    Responder,
    SecurityServer,
    SigningSource,
    Subsystem,
    TimestampingService,
)
from xroad_simulator.identifiers import ClientId, ServerId

OLDEST, NEWEST = 2, 6
"""Formats that a central server of X-Road 7.8 generates."""
_SOURCES_SINCE, _PROFILE_IDS_SINCE, _NAMES_SINCE, _COSTS_SINCE = 3, 4, 5, 6
_NS = "http://x-road.eu/xsd/xroad.xsd"
_ID = "http://x-road.eu/xsd/identifiers"


def _root() -> ET.Element:
    ET.register_namespace("xroad", _NS)
    ET.register_namespace("id", _ID)
    return ET.Element(f"{{{_NS}}}conf")


def _add(parent: ET.Element, name: str, text: str | None = None) -> ET.Element:
    element = ET.SubElement(parent, name)
    element.text = text
    return element


def _bytes(root: ET.Element) -> bytes:
    document: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return document


def _add_client(parent: ET.Element, name: str, client: ClientId) -> None:
    kind = "MEMBER" if client.subsystem_code is None else "SUBSYSTEM"
    element = ET.SubElement(parent, name, {f"{{{_ID}}}objectType": kind})
    _add(element, f"{{{_ID}}}xRoadInstance", client.instance)
    _add(element, f"{{{_ID}}}memberClass", client.member_class)
    _add(element, f"{{{_ID}}}memberCode", client.member_code)
    if client.subsystem_code is not None:
        _add(element, f"{{{_ID}}}subsystemCode", client.subsystem_code)


def private(parameters: Parameters) -> bytes:
    """Private parameters: the management services, and how often logs are time-stamped."""
    root = _root()
    _add(root, "instanceIdentifier", parameters.instance)
    service = _add(root, "managementService")
    _add(service, "authCertRegServiceAddress", parameters.registration_address)
    _add(service, "authCertRegServiceCert", parameters.registration_certificate)
    if parameters.management_service_provider is not None:
        provider = ClientId.parse(parameters.management_service_provider)
        _add_client(service, "managementRequestServiceProviderId", provider)
    _add(root, "timeStampingIntervalSeconds", str(parameters.timestamping_interval_seconds))
    return _bytes(root)


def shared(parameters: Parameters, version: int = NEWEST) -> bytes:
    """Shared parameters in one of the formats."""
    root = _root()
    _add(root, "instanceIdentifier", parameters.instance)
    if version >= _SOURCES_SINCE:
        for source in parameters.sources:
            _add_source(root, source)
    for service in parameters.certification_services:
        _add_authority(root, service, version)
    for stamping in parameters.timestamping_services:
        element = _add(root, "approvedTSA")
        _add(element, "name", stamping.name)
        _add(element, "url", stamping.url)
        _add(element, "cert", stamping.certificate)
        if version >= _COSTS_SINCE:
            _add(element, "costType", stamping.cost_type)
    numbers = _add_members(root, parameters, version)
    for server in parameters.security_servers:
        _add_server(root, server, numbers, version)
    for group in parameters.global_groups:
        element = _add(root, "globalGroup")
        _add(element, "groupCode", group.code)
        _add(element, "description", group.description)
        for member in group.members:
            _add_client(element, "groupMember", ClientId.parse(member))
    settings = _add(root, "globalSettings")
    for member_class in parameters.member_classes:
        element = _add(settings, "memberClass")
        _add(element, "code", member_class.code)
        _add(element, "description", member_class.description)
    _add(settings, "ocspFreshnessSeconds", str(parameters.ocsp_freshness_seconds))
    return _bytes(root)


def _add_source(root: ET.Element, source: SigningSource) -> None:
    element = _add(root, "source")
    _add(element, "address", source.address)
    for certificate in source.internal_certificates:
        _add(element, "internalVerificationCert", certificate)
    for certificate in source.external_certificates:
        _add(element, "externalVerificationCert", certificate)


def _add_authority(root: ET.Element, service: CertificationService, version: int) -> None:
    element = _add(root, "approvedCA")
    _add(element, "name", service.name)
    _add(element, "authenticationOnly", str(service.authentication_only).lower())
    _add_ca(element, "topCA", service.certificate, service.responders, version)
    for intermediate in service.intermediates:
        _add_ca(element, "intermediateCA", intermediate.certificate, intermediate.responders, version)
    _add(element, "certificateProfileInfo", service.certificate_profile_info)
    if version >= _COSTS_SINCE:
        _add(element, "defaultCsrFormat", service.default_csr_format)
    if version >= _SOURCES_SINCE and service.acme_directory_url:
        acme = _add(element, "acmeServer")
        _add(acme, "directoryURL", service.acme_directory_url)
        if service.acme_ip_address:
            _add(acme, "ipAddress", service.acme_ip_address)
        if version >= _PROFILE_IDS_SINCE and service.authentication_profile_id:
            _add(acme, "authenticationCertificateProfileId", service.authentication_profile_id)
        if version >= _PROFILE_IDS_SINCE and service.signing_profile_id:
            _add(acme, "signingCertificateProfileId", service.signing_profile_id)


def _add_ca(
    parent: ET.Element, name: str, certificate: str, responders: Iterable[Responder], version: int
) -> None:
    element = _add(parent, name)
    _add(element, "cert", certificate)
    for responder in responders:
        ocsp = _add(element, "ocsp")
        _add(ocsp, "url", responder.url)
        if responder.certificate is not None:
            _add(ocsp, "cert", responder.certificate)
        if version >= _COSTS_SINCE:
            _add(ocsp, "costType", responder.cost_type)


def _add_members(root: ET.Element, parameters: Parameters, version: int) -> dict[str, str]:
    """Members with their subsystems; returns the id of each by its identifier."""
    classes = {item.code: item.description for item in parameters.member_classes}
    numbers: dict[str, str] = {}
    for member in parameters.members:
        identifier = ClientId(parameters.instance, member.member_class, member.code)
        numbers[str(identifier)] = f"id{len(numbers)}"
        element = ET.SubElement(root, "member", {"id": numbers[str(identifier)]})
        member_class = _add(element, "memberClass")
        _add(member_class, "code", member.member_class)
        _add(member_class, "description", classes.get(member.member_class, ""))
        _add(element, "memberCode", member.code)
        _add(element, "name", member.name)
        for subsystem in member.subsystems:
            key = f"{identifier}:{subsystem.code}"
            numbers[key] = f"id{len(numbers)}"
            inner = ET.SubElement(element, "subsystem", {"id": numbers[key]})
            _add(inner, "subsystemCode", subsystem.code)
            if version >= _NAMES_SINCE and subsystem.name:
                _add(inner, "subsystemName", subsystem.name)
    return numbers


def _add_server(root: ET.Element, server: SecurityServer, numbers: Mapping[str, str], version: int) -> None:
    identifier = ServerId.parse(server.id)
    element = _add(root, "securityServer")
    _add(element, "owner", numbers[str(identifier.owner)])
    _add(element, "serverCode", identifier.server_code)
    _add(element, "address", server.address)
    hashes = server.authentication_certificates if version >= _SOURCES_SINCE else server.sha1_hashes
    for digest in hashes:
        _add(element, "authCertHash", digest)
    for client in server.clients:
        # Older servers don't know of maintenance: they don't see the subsystems of such a server at all.
        hidden = version < _NAMES_SINCE and server.in_maintenance and client.count(":") > 2
        if client != str(identifier.owner) and not hidden:
            _add(element, "client", numbers[client])
    if version >= _NAMES_SINCE and server.in_maintenance:
        _add(_add(element, "inMaintenanceMode"), "message", server.maintenance_message)


def _text(element: ET.Element, name: str) -> str:
    found = element.findtext(name)
    if found is None:
        raise ConfigurationError("malformed_global_conf", f"<{element.tag}> has no <{name}>")
    return found


def _parse(content: bytes) -> ET.Element:
    try:
        root = ET.fromstring(content)  # noqa: S314 - expat limits expansion; test equipment
    except ET.ParseError as error:
        raise ConfigurationError("malformed_global_conf", str(error)) from error
    if root.tag != f"{{{_NS}}}conf":
        raise ConfigurationError("malformed_global_conf", f"<{root.tag}> isn't <conf>")
    return root


def _client(element: ET.Element) -> str:
    parts = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
    found = (element.findtext(f"{{{_ID}}}{part}") for part in parts)
    return ":".join(part for part in found if part is not None)


def read(shared_parameters: bytes, private_parameters: bytes) -> Parameters:
    """Inverse of `shared`, in the newest format, and `private`; ConfigurationError if either isn't one."""
    root, own = _parse(shared_parameters), _parse(private_parameters)
    instance = _text(root, "instanceIdentifier")
    service = own.find("managementService")
    settings = root.find("globalSettings")
    if service is None or settings is None:
        raise ConfigurationError("malformed_global_conf", "no <managementService> or no <globalSettings>")
    provider = service.find("managementRequestServiceProviderId")
    identifiers = _identifiers(root, instance)
    return Parameters(
        instance=instance,
        sources=tuple(_read_source(element) for element in root.findall("source")),
        member_classes=tuple(
            MemberClass(code=_text(element, "code"), description=_text(element, "description"))
            for element in settings.findall("memberClass")
        ),
        members=tuple(_read_member(element) for element in root.findall("member")),
        security_servers=tuple(
            _read_server(element, identifiers) for element in root.findall("securityServer")
        ),
        global_groups=tuple(
            GlobalGroup(
                code=_text(element, "groupCode"),
                description=_text(element, "description"),
                members=tuple(_client(member) for member in element.findall("groupMember")),
            )
            for element in root.findall("globalGroup")
        ),
        certification_services=tuple(_read_authority(element) for element in root.findall("approvedCA")),
        timestamping_services=tuple(
            TimestampingService(
                name=_text(element, "name"),
                url=_text(element, "url"),
                cost_type=element.findtext("costType", "UNDEFINED"),
                certificate=_text(element, "cert"),
            )
            for element in root.findall("approvedTSA")
        ),
        management_service_provider=None if provider is None else _client(provider),
        registration_address=_text(service, "authCertRegServiceAddress"),
        registration_certificate=service.findtext("authCertRegServiceCert", ""),
        ocsp_freshness_seconds=int(_text(settings, "ocspFreshnessSeconds")),
        timestamping_interval_seconds=int(_text(own, "timeStampingIntervalSeconds")),
    )


def _identifiers(root: ET.Element, instance: str) -> dict[str, str]:
    """Members and subsystems by the id that servers refer to."""
    found: dict[str, str] = {}
    for member in root.findall("member"):
        owner = f"{instance}:{_text(member, 'memberClass/code')}:{_text(member, 'memberCode')}"
        found[member.get("id", "")] = owner
        for subsystem in member.findall("subsystem"):
            found[subsystem.get("id", "")] = f"{owner}:{_text(subsystem, 'subsystemCode')}"
    return found


def _texts(element: ET.Element, name: str) -> tuple[str, ...]:
    return tuple(found.text or "" for found in element.findall(name))


def _read_source(element: ET.Element) -> SigningSource:
    return SigningSource(
        address=_text(element, "address"),
        internal_certificates=_texts(element, "internalVerificationCert"),
        external_certificates=_texts(element, "externalVerificationCert"),
    )


def _read_member(element: ET.Element) -> Member:
    return Member(
        member_class=_text(element, "memberClass/code"),
        code=_text(element, "memberCode"),
        name=_text(element, "name"),
        subsystems=tuple(
            Subsystem(code=_text(inner, "subsystemCode"), name=inner.findtext("subsystemName"))
            for inner in element.findall("subsystem")
        ),
    )


def _read_server(element: ET.Element, identifiers: Mapping[str, str]) -> SecurityServer:
    try:
        owner = identifiers[_text(element, "owner")]
        clients = [identifiers[text] for text in _texts(element, "client")]
    except KeyError as missing:
        raise ConfigurationError("malformed_global_conf", f"no member has id {missing}") from None
    maintenance = element.find("inMaintenanceMode")
    return SecurityServer(
        id=f"{owner}:{_text(element, 'serverCode')}",
        address=element.findtext("address", ""),
        authentication_certificates=_texts(element, "authCertHash"),
        clients=(owner, *clients),
        in_maintenance=maintenance is not None,
        maintenance_message=None if maintenance is None else maintenance.findtext("message"),
    )


def _read_responders(element: ET.Element) -> tuple[Responder, ...]:
    return tuple(
        Responder(
            url=_text(ocsp, "url"),
            cost_type=ocsp.findtext("costType", "UNDEFINED"),
            certificate=ocsp.findtext("cert"),
        )
        for ocsp in element.findall("ocsp")
    )


def _read_authority(element: ET.Element) -> CertificationService:
    top = element.find("topCA")
    if top is None:
        raise ConfigurationError("malformed_global_conf", "<approvedCA> has no <topCA>")
    return CertificationService(
        name=_text(element, "name"),
        certificate=_text(top, "cert"),
        certificate_profile_info=_text(element, "certificateProfileInfo"),
        authentication_only=element.findtext("authenticationOnly") == "true",
        default_csr_format=element.findtext("defaultCsrFormat", "DER"),
        responders=_read_responders(top),
        intermediates=tuple(
            Authority(certificate=_text(inner, "cert"), responders=_read_responders(inner))
            for inner in element.findall("intermediateCA")
        ),
        acme_directory_url=element.findtext("acmeServer/directoryURL"),
        acme_ip_address=element.findtext("acmeServer/ipAddress"),
        authentication_profile_id=element.findtext("acmeServer/authenticationCertificateProfileId"),
        signing_profile_id=element.findtext("acmeServer/signingCertificateProfileId"),
    )
