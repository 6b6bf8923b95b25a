"""Admin API of the central server: certification services, OCSP responders, time stamping.

As in X-Road, nothing here has a natural key: adding the same CA twice makes two.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, UploadFile
from pydantic import BaseModel, ConfigDict

from xroad_simulator.authentication import Role, allow
from xroad_simulator.central.records import (
    CertificationServiceRecord,
    ResponderRecord,
    TimestampingServiceRecord,
)
from xroad_simulator.central.server import Central, CentralServer
from xroad_simulator.certificates import (
    KNOWN_PROFILES,
    CertificateError,
    common_name,
    decode,
    details,
    encode,
    parse_certificate,
)
from xroad_simulator.clock import timestamp
from xroad_simulator.errors import bad_request, not_found

TIMESTAMPING_INTERVAL_SECONDS = 60

_VIEWERS = (Role.SYSTEM_ADMINISTRATOR, Role.MANAGEMENT_SERVICE)
_ADMINISTRATOR = (Role.SYSTEM_ADMINISTRATOR,)

CostType = Literal["FREE", "PAID", "UNDEFINED"]
CsrFormat = Literal["PEM", "DER"]

routes = APIRouter()


def _read_certificate(upload: UploadFile) -> str:
    try:
        return encode(parse_certificate(upload.file.read()))
    except CertificateError:
        raise bad_request("cannot_convert_bytes_to_certificate") from None


def _require_url(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise bad_request("invalid_url")


def _service(server: CentralServer, number: int) -> CertificationServiceRecord:
    found = server.store.get(CertificationServiceRecord, f"{number:08d}")
    if found is None:
        raise not_found("certification_service_not_found", str(number))
    return found


def _service_view(record: CertificationServiceRecord) -> dict[str, Any]:
    certificate = decode(record.certificate)
    optional = {
        name: getattr(record, name)
        for name in (
            "acme_server_directory_url",
            "acme_server_ip_address",
            "authentication_certificate_profile_id",
            "signing_certificate_profile_id",
        )
        if getattr(record, name)
    }
    return {
        "id": record.id,
        "name": common_name(certificate.subject),
        "issuer_distinguished_name": certificate.issuer.rfc4514_string(),
        "subject_distinguished_name": certificate.subject.rfc4514_string(),
        "not_before": timestamp(certificate.not_valid_before_utc),
        "not_after": timestamp(certificate.not_valid_after_utc),
        "certificate_profile_info": record.certificate_profile_info,
        "tls_auth": record.tls_auth,
        "default_csr_format": record.default_csr_format,
        **optional,
    }


@routes.get("/certification-services", dependencies=[allow(*_VIEWERS)])
def list_certification_services(server: Central) -> list[dict[str, Any]]:
    """Every approved CA."""
    wanted = ("id", "name", "not_before", "not_after")
    views = map(_service_view, server.store.all(CertificationServiceRecord))
    return [{name: view[name] for name in wanted} for view in views]


def _require_profile(name: str) -> None:
    if name not in KNOWN_PROFILES:
        raise bad_request("certificate_profile_info_class_not_found")


@routes.post("/certification-services", dependencies=[allow(*_ADMINISTRATOR)], status_code=201)
def add_certification_service(
    server: Central,
    certificate: Annotated[UploadFile, File()],
    certificate_profile_info: Annotated[str, Form()],
    default_csr_format: Annotated[CsrFormat, Form()],
    tls_auth: Annotated[str, Form()] = "false",
    acme_server_directory_url: Annotated[str | None, Form()] = None,
    acme_server_ip_address: Annotated[str | None, Form()] = None,
    authentication_certificate_profile_id: Annotated[str | None, Form()] = None,
    signing_certificate_profile_id: Annotated[str | None, Form()] = None,
) -> dict[str, Any]:
    """Approve a CA. There is no duplicate check."""
    _require_profile(certificate_profile_info)
    encoded = _read_certificate(certificate)
    with server.store.transaction():
        record = CertificationServiceRecord(
            id=server.store.next_number("certification_service"),
            certificate=encoded,
            certificate_profile_info=certificate_profile_info,
            tls_auth=tls_auth.lower() == "true",
            default_csr_format=default_csr_format,
            acme_server_directory_url=acme_server_directory_url,
            acme_server_ip_address=acme_server_ip_address,
            authentication_certificate_profile_id=authentication_certificate_profile_id,
            signing_certificate_profile_id=signing_certificate_profile_id,
        )
        server.store.put(record)
    return _service_view(record)


class CertificationServiceSettings(BaseModel):
    """What can be changed of an approved CA. Not its certificate."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    certificate_profile_info: str | None = None
    tls_auth: str | None = None
    default_csr_format: CsrFormat | None = None
    acme_server_directory_url: str | None = None
    acme_server_ip_address: str | None = None
    authentication_certificate_profile_id: str | None = None
    signing_certificate_profile_id: str | None = None


@routes.get("/certification-services/{number}", dependencies=[allow(*_VIEWERS)])
def get_certification_service(server: Central, number: int) -> dict[str, Any]:
    """One approved CA."""
    return _service_view(_service(server, number))


@routes.patch("/certification-services/{number}", dependencies=[allow(*_ADMINISTRATOR)])
def change_certification_service(
    server: Central, number: int, body: CertificationServiceSettings
) -> dict[str, Any]:
    """Change the settings that the body names."""
    changes = body.model_dump(exclude_unset=True)
    if body.certificate_profile_info is not None:
        _require_profile(body.certificate_profile_info)
    if body.tls_auth is not None:
        changes["tls_auth"] = body.tls_auth.lower() == "true"
    with server.store.transaction():
        record = _service(server, number).having(**changes)
        server.store.put(record)
    return _service_view(record)


@routes.delete("/certification-services/{number}", dependencies=[allow(*_ADMINISTRATOR)], status_code=204)
def delete_certification_service(server: Central, number: int) -> None:
    """Remove a CA and its responders."""
    with server.store.transaction():
        server.store.delete(_service(server, number))
        for responder in server.store.all(ResponderRecord):
            if responder.service == number:
                server.store.delete(responder)


@routes.get("/certification-services/{number}/certificate", dependencies=[allow(*_VIEWERS)])
def get_certification_service_certificate(server: Central, number: int) -> dict[str, Any]:
    """The CA's certificate; its hash is the natural key that callers have to compare."""
    return details(decode(_service(server, number).certificate))


def _responder_view(record: ResponderRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "url": record.url,
        "cost_type": record.cost_type,
        "has_certificate": record.certificate is not None,
    }


@routes.get("/certification-services/{number}/ocsp-responders", dependencies=[allow(*_VIEWERS)])
def list_ocsp_responders(server: Central, number: int) -> list[dict[str, Any]]:
    """The responders of a CA."""
    _service(server, number)
    responders = server.store.all(ResponderRecord)
    return [_responder_view(record) for record in responders if record.service == number]


@routes.post(
    "/certification-services/{number}/ocsp-responders",
    dependencies=[allow(*_ADMINISTRATOR)],
    status_code=201,
)
def add_ocsp_responder(
    server: Central,
    number: int,
    url: Annotated[str, Form()],
    cost_type: Annotated[CostType, Form()],
    certificate: Annotated[UploadFile | None, File()] = None,
) -> dict[str, Any]:
    """Name a responder. There is no duplicate check."""
    _require_url(url)
    encoded = None if certificate is None else _read_certificate(certificate)
    with server.store.transaction():
        _service(server, number)
        record = ResponderRecord(
            id=server.store.next_number("ocsp_responder"),
            service=number,
            url=url,
            cost_type=cost_type,
            certificate=encoded,
        )
        server.store.put(record)
    return _responder_view(record)


def _responder(server: CentralServer, number: int) -> ResponderRecord:
    found = server.store.get(ResponderRecord, f"{number:08d}")
    if found is None:
        raise not_found("ocsp_responder_not_found", str(number))
    return found


@routes.get("/ocsp-responders/{number}", dependencies=[allow(*_VIEWERS)])
def get_ocsp_responder(server: Central, number: int) -> dict[str, Any]:
    """One responder."""
    return _responder_view(_responder(server, number))


@routes.get("/ocsp-responders/{number}/certificate", dependencies=[allow(*_VIEWERS)])
def get_ocsp_responder_certificate(server: Central, number: int) -> dict[str, Any]:
    """The responder's certificate; 404 if it has none."""
    record = _responder(server, number)
    if record.certificate is None:
        raise not_found("ocsp_responder_not_found", str(number))
    return details(decode(record.certificate))


@routes.patch("/ocsp-responders/{number}", dependencies=[allow(*_ADMINISTRATOR)])
def change_ocsp_responder(
    server: Central,
    number: int,
    url: Annotated[str | None, Form()] = None,
    cost_type: Annotated[CostType | None, Form()] = None,
    certificate: Annotated[UploadFile | None, File()] = None,
) -> dict[str, Any]:
    """Change what the form names."""
    changes: dict[str, str] = {}
    if url is not None:
        _require_url(url)
        changes["url"] = url
    if cost_type is not None:
        changes["cost_type"] = cost_type
    if certificate is not None:
        changes["certificate"] = _read_certificate(certificate)
    with server.store.transaction():
        record = _responder(server, number).having(**changes)
        server.store.put(record)
    return _responder_view(record)


@routes.delete("/ocsp-responders/{number}", dependencies=[allow(*_ADMINISTRATOR)], status_code=204)
def delete_ocsp_responder(server: Central, number: int) -> None:
    """Remove a responder."""
    with server.store.transaction():
        server.store.delete(_responder(server, number))


def _timestamping_view(record: TimestampingServiceRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "url": record.url,
        "cost_type": record.cost_type,
        "timestamping_interval": TIMESTAMPING_INTERVAL_SECONDS,
        "certificate": details(decode(record.certificate)),
    }


def _timestamping(server: CentralServer, number: int) -> TimestampingServiceRecord:
    found = server.store.get(TimestampingServiceRecord, f"{number:08d}")
    if found is None:
        raise not_found("timestamping_authority_not_found", str(number))
    return found


@routes.get("/timestamping-services", dependencies=[allow(*_ADMINISTRATOR)])
def list_timestamping_services(server: Central) -> list[dict[str, Any]]:
    """Every approved time-stamping authority."""
    return [_timestamping_view(record) for record in server.store.all(TimestampingServiceRecord)]


@routes.post("/timestamping-services", dependencies=[allow(*_ADMINISTRATOR)], status_code=201)
def add_timestamping_service(
    server: Central,
    url: Annotated[str, Form()],
    cost_type: Annotated[CostType, Form()],
    certificate: Annotated[UploadFile, File()],
) -> dict[str, Any]:
    """Approve a time-stamping authority. There is no duplicate check."""
    _require_url(url)
    encoded = _read_certificate(certificate)
    with server.store.transaction():
        record = TimestampingServiceRecord(
            id=server.store.next_number("timestamping_service"),
            url=url,
            cost_type=cost_type,
            certificate=encoded,
        )
        server.store.put(record)
    return _timestamping_view(record)


@routes.get("/timestamping-services/{number}", dependencies=[allow(*_ADMINISTRATOR)])
def get_timestamping_service(server: Central, number: int) -> dict[str, Any]:
    """One time-stamping authority."""
    return _timestamping_view(_timestamping(server, number))


@routes.patch("/timestamping-services/{number}", dependencies=[allow(*_ADMINISTRATOR)])
def change_timestamping_service(
    server: Central,
    number: int,
    url: Annotated[str, Form()],
    cost_type: Annotated[CostType, Form()],
    certificate: Annotated[UploadFile | None, File()] = None,
) -> dict[str, Any]:
    """Change address, cost and, if one is sent, the certificate."""
    _require_url(url)
    changes = {"url": url, "cost_type": cost_type}
    if certificate is not None:
        changes["certificate"] = _read_certificate(certificate)
    with server.store.transaction():
        record = _timestamping(server, number).having(**changes)
        server.store.put(record)
    return _timestamping_view(record)


@routes.delete("/timestamping-services/{number}", dependencies=[allow(*_ADMINISTRATOR)], status_code=204)
def delete_timestamping_service(server: Central, number: int) -> None:
    """Remove a time-stamping authority."""
    with server.store.transaction():
        server.store.delete(_timestamping(server, number))
