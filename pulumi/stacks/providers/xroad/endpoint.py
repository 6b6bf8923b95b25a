"""Where a server listens, and who it must prove to be."""

from __future__ import annotations

import ssl

from pydantic import BaseModel, ConfigDict, Field


class Endpoint(BaseModel):
    """An HTTPS server: reached at its address, so that no name service is needed, verified by its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(min_length=1)
    name: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)

    @property
    def origin(self) -> str:
        """Scheme, address and port."""
        return f"https://{self.address}:{self.port}"

    @property
    def host(self) -> str:
        """What the Host header says."""
        return f"{self.name}:{self.port}"

    def __str__(self) -> str:
        return self.host


def trusting(root_certificate: str) -> ssl.SSLContext:
    """TLS settings that accept only servers whose chain ends in this root (PEM)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=root_certificate)
    return context


def certificate_refused(error: BaseException) -> bool:
    """Whether a connection failed because the server's certificate isn't accepted: trying again is useless."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
