"""Admin API of the central server: key and certificate of its management services."""

from typing import Annotated, Any

from fastapi import APIRouter, File, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from xroad_simulator import own_certificates
from xroad_simulator.authentication import allow
from xroad_simulator.central.permissions import Permission
from xroad_simulator.central.server import Central
from xroad_simulator.certificates import details

_PREFIX = "/management-services-configuration"

routes = APIRouter()


class DistinguishedName(BaseModel):
    """Body of a certificate request."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(min_length=1, max_length=255)


@routes.get(f"{_PREFIX}/certificate", dependencies=[allow(Permission.VIEW_MANAGEMENT_SERVICE_TLS_CERT)])
def get_certificate(server: Central) -> dict[str, Any]:
    """The certificate that is in use, and in the private parameters."""
    return details(own_certificates.certificate(server.management_tls))


@routes.post(
    f"{_PREFIX}/certificate",
    dependencies=[allow(Permission.GENERATE_MANAGEMENT_SERVICE_TLS_KEY_CERT)],
    status_code=201,
)
def generate_key(server: Central) -> Response:
    """A new key and a self-signed certificate; security servers hear of it with the next configuration."""
    server.management_tls.renew()
    return Response(status_code=201)


@routes.post(
    f"{_PREFIX}/generate-csr",
    dependencies=[allow(Permission.GENERATE_MANAGEMENT_SERVICE_TLS_CSR)],
    status_code=201,
)
def generate_request(server: Central, body: DistinguishedName) -> Response:
    """A certificate request of the key."""
    return Response(
        own_certificates.request(server.management_tls, body.name),
        status_code=201,
        media_type="application/octet-stream",
        headers={"Content-Disposition": 'attachment; filename="management-service.csr"'},
    )


@routes.post(
    f"{_PREFIX}/upload-certificate", dependencies=[allow(Permission.UPLOAD_MANAGEMENT_SERVICE_TLS_CERT)]
)
def upload_certificate(server: Central, certificate: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """Use another certificate of the key."""
    return details(own_certificates.take(server.management_tls, certificate.file.read()))


@routes.get(
    f"{_PREFIX}/download-certificate", dependencies=[allow(Permission.DOWNLOAD_MANAGEMENT_SERVICE_TLS_CERT)]
)
def download_certificate(server: Central) -> Response:
    """The certificate in an archive."""
    return Response(
        own_certificates.archive(server.management_tls, "management-service"),
        media_type="application/gzip",
        headers={"Content-Disposition": 'attachment; filename="certs.tar.gz"'},
    )
