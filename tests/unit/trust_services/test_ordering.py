"""What a service gets for its order, whatever it was given before."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from tests.unit.trust_services.conftest import Place, api_over_tls
from tests.unit.trust_services.issuing.ordering import (
    COUNTRY,
    ORGANIZATION,
    SERVICE,
    Memory,
    TestAuthority,
    authority,
    ec_key,
)

from trust_services import ordering
from trust_services.issuing.orders import Profile
from trust_services.ordering import Api, Certified, Wanted

NOW = datetime.now(UTC)
WANTED = Wanted(profile=Profile.STATUS_RESPONDER, name=SERVICE, organization=ORGANIZATION, country=COUNTRY)


def test_the_successor_of_an_authority_gives_certificates_of_its_own(
    place: Place, issuing_folder: Path
) -> None:
    """For a key that its predecessor certified too, and to whoever doesn't know that any more."""
    key = rsa.generate_private_key(65537, 3072)

    def ordered(own: TestAuthority) -> Certified:
        with api_over_tls(place, own, Memory(own.key), issuing_folder) as server:
            return ordering.order(Api.model_validate(server.document), WANTED, key, None, NOW)

    first, successor = ordered(authority()), authority(key=ec_key("successor"))
    second = ordered(successor)

    second.certificate.verify_directly_issued_by(successor.certificate)
    assert second.certificate != first.certificate
    assert second.chain[0] == successor.certificate
    assert ordered(successor).certificate == second.certificate
