"""Admin API of the central server: certification services and time stamping.

As in X-Road, nothing here has a natural key: adding the same CA twice makes two.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, UploadFile
from pydantic import BaseModel, ConfigDict

from xroad_simulator.authentication import allow
from xroad_simulator.central.forms import CostType, read_certificate, require_url
from xroad_simulator.central.permissions import Permission
from xroad_simulator.central.records import (
    CertificationServiceRecord,
    IntermediateRecord,
    ResponderRecord,
    TimestampingServiceRecord,
)
from xroad_simulator.central.server import Central, CentralServer
from xroad_simulator.certificates import (
    KNOWN_PROFILES,
    common_name,
    decode,
    details,
)
from xroad_simulator.clock import timestamp
from xroad_simulator.errors import bad_request, not_found

TIMESTAMPING_INTERVAL_SECONDS = 60


CsrFormat = Literal["PEM", "DER"]

routes = APIRouter()


def find_service(server: CentralServer, number: int) -> CertificationServiceRecord:
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


@routes.get("/certification-services", dependencies=[allow(Permission.VIEW_APPROVED_CAS)])
def list_certification_services(server: Central) -> list[dict[str, Any]]:
    """Every approved CA."""
    wanted = ("id", "name", "not_before", "not_after")
    views = map(_service_view, server.store.all(CertificationServiceRecord))
    return [{name: view[name] for name in wanted} for view in views]


def _require_profile(name: str) -> None:
    if name not in KNOWN_PROFILES:
        raise bad_request("certificate_profile_info_class_not_found")


@routes.post("/certification-services", dependencies=[allow(Permission.ADD_APPROVED_CA)], status_code=201)
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
    encoded = read_certificate(certificate)
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


@routes.get("/certification-services/{number}", dependencies=[allow(Permission.VIEW_APPROVED_CA_DETAILS)])
def get_certification_service(server: Central, number: int) -> dict[str, Any]:
    """One approved CA."""
    return _service_view(find_service(server, number))


@routes.patch("/certification-services/{number}", dependencies=[allow(Permission.EDIT_APPROVED_CA)])
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
        record = find_service(server, number).having(**changes)
        server.store.put(record)
    return _service_view(record)


@routes.delete(
    "/certification-services/{number}", dependencies=[allow(Permission.DELETE_APPROVED_CA)], status_code=204
)
def delete_certification_service(server: Central, number: int) -> None:
    """Remove a CA, those below it, and their responders."""
    with server.store.transaction():
        server.store.delete(find_service(server, number))
        intermediates = [ca for ca in server.store.all(IntermediateRecord) if ca.service == number]
        below = {ca.id for ca in intermediates}
        for responder in server.store.all(ResponderRecord):
            if responder.service == number or responder.intermediate in below:
                server.store.delete(responder)
        for intermediate in intermediates:
            server.store.delete(intermediate)


@routes.get(
    "/certification-services/{number}/certificate", dependencies=[allow(Permission.VIEW_APPROVED_CA_DETAILS)]
)
def get_certification_service_certificate(server: Central, number: int) -> dict[str, Any]:
    """The CA's certificate; its hash is the natural key that callers have to compare."""
    return details(decode(find_service(server, number).certificate))


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


@routes.get("/timestamping-services", dependencies=[allow(Permission.VIEW_APPROVED_TSAS)])
def list_timestamping_services(server: Central) -> list[dict[str, Any]]:
    """Every approved time-stamping authority."""
    return [_timestamping_view(record) for record in server.store.all(TimestampingServiceRecord)]


@routes.post("/timestamping-services", dependencies=[allow(Permission.ADD_APPROVED_TSA)], status_code=201)
def add_timestamping_service(
    server: Central,
    url: Annotated[str, Form()],
    cost_type: Annotated[CostType, Form()],
    certificate: Annotated[UploadFile, File()],
) -> dict[str, Any]:
    """Approve a time-stamping authority. There is no duplicate check."""
    require_url(url)
    encoded = read_certificate(certificate)
    with server.store.transaction():
        record = TimestampingServiceRecord(
            id=server.store.next_number("timestamping_service"),
            url=url,
            cost_type=cost_type,
            certificate=encoded,
        )
        server.store.put(record)
    return _timestamping_view(record)


@routes.get("/timestamping-services/{number}", dependencies=[allow(Permission.VIEW_APPROVED_TSAS)])
def get_timestamping_service(server: Central, number: int) -> dict[str, Any]:
    """One time-stamping authority."""
    return _timestamping_view(_timestamping(server, number))


@routes.patch("/timestamping-services/{number}", dependencies=[allow(Permission.EDIT_APPROVED_TSA)])
def change_timestamping_service(
    server: Central,
    number: int,
    url: Annotated[str, Form()],
    cost_type: Annotated[CostType, Form()],
    certificate: Annotated[UploadFile | None, File()] = None,
) -> dict[str, Any]:
    """Change address, cost and, if one is sent, the certificate."""
    require_url(url)
    changes = {"url": url, "cost_type": cost_type}
    if certificate is not None:
        changes["certificate"] = read_certificate(certificate)
    with server.store.transaction():
        record = _timestamping(server, number).having(**changes)
        server.store.put(record)
    return _timestamping_view(record)


@routes.delete(
    "/timestamping-services/{number}", dependencies=[allow(Permission.DELETE_APPROVED_TSA)], status_code=204
)
def delete_timestamping_service(server: Central, number: int) -> None:
    """Remove a time-stamping authority."""
    with server.store.transaction():
        server.store.delete(_timestamping(server, number))
