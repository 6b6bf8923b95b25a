"""Ordering from step-ca: a real server where its binary is at hand, a transport double elsewhere."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from jwcrypto import jwe, jwk

from federation_rig.programs import program
from stacks.providers.serving import ProviderError
from stacks.providers.xroad.endpoint import Endpoint, trusting
from stacks.providers.xroad.step_ca import StepCertificateAuthority

PASSWORD = "Provisioner-0-Password"
USAGES = {
    "authentication": {"keyUsage": ["digitalSignature", "keyEncipherment"], "extKeyUsage": ["clientAuth"]},
    "signing": {"keyUsage": ["contentCommitment"]},
}


def request(common_name: str = "Civil Registry") -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, "CIVILREG"),
            x509.NameAttribute(NameOID.BUSINESS_CATEGORY, "GOV"),
        ]
    )
    built = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return built.public_bytes(serialization.Encoding.PEM)


def authority(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, issuer_key: ec.EllipticCurvePrivateKey
) -> bytes:
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def provisioner(name: str) -> dict[str, object]:
    key = jwk.JWK.generate(kty="EC", crv="P-256", use="sig", alg="ES256")
    protected = {"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "cty": "jwk+json"}
    sealed = jwe.JWE(key.export(as_dict=False).encode(), json.dumps(protected))
    sealed.add_recipient(jwk.JWK.from_password(PASSWORD))
    public = {**key.export_public(as_dict=True), "kid": key.thumbprint()}
    template = '{"subject": {{ toJson .Insecure.CR.Subject }}, ' + json.dumps(USAGES[name])[1:]
    return {
        "type": "JWK",
        "name": name,
        "key": public,
        "encryptedKey": sealed.serialize(compact=True),
        "options": {"x509": {"template": template}},
    }


@dataclass
class Server:
    """A running step-ca."""

    endpoint: Endpoint
    root: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A step-ca with the two provisioners of the trust services."""
    binary = program("step-ca")
    folder = tmp_path_factory.mktemp("step-ca")
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test Root")])
    (folder / "root.crt").write_bytes(authority("Test Root", root_key, root_name, root_key))
    (folder / "ca.crt").write_bytes(authority("Test Trust Services", key, root_name, root_key))
    (folder / "ca.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = {
        "root": str(folder / "root.crt"),
        "crt": str(folder / "ca.crt"),
        "key": str(folder / "ca.key"),
        "address": f"127.0.0.1:{port}",
        "dnsNames": ["ca.example.test"],
        "logger": {"format": "text"},
        "db": {"type": "badgerv2", "dataSource": str(folder / "db")},
        "authority": {"provisioners": [provisioner("authentication"), provisioner("signing")]},
    }
    (folder / "ca.json").write_text(json.dumps(configuration), encoding="utf-8")
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen([str(binary), str(folder / "ca.json")], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield Server(
            Endpoint(address="127.0.0.1", name="ca.example.test", port=port),
            Path(folder / "root.crt").read_text(encoding="ascii"),
        )
    finally:
        process.terminate()
        process.wait(10)


def ordering(server: Server, password: str = PASSWORD) -> StepCertificateAuthority:
    return StepCertificateAuthority(server.endpoint, trusting(server.root), lambda _usage: password)


@pytest.mark.engine
def test_certificates_of_both_kinds_are_issued(server: Server) -> None:
    """Each provisioner's template gives the key usage that X-Road wants, and keeps the whole subject."""

    async def order() -> tuple[bytes, bytes, list[bytes]]:
        step = ordering(server)
        try:
            signing = await step.sign(request(), "SIGNING", "Civil Registry")
            authentication = await step.sign(request("ss1.example.test"), "AUTHENTICATION", "ss1.example.test")
            return signing, authentication, await step.certificates()
        finally:
            await step.close()

    signing, authentication, certificates = asyncio.run(order())
    issuer = x509.load_pem_x509_certificate(certificates[0])
    for pem, repudiation in ((signing, True), (authentication, False)):
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.verify_directly_issued_by(issuer)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        assert (usage.content_commitment, usage.digital_signature) == (repudiation, not repudiation)
        assert [
            str(item.value) for item in certificate.subject.get_attributes_for_oid(NameOID.BUSINESS_CATEGORY)
        ] == ["GOV"]


@pytest.mark.engine
def test_a_request_with_another_name_is_refused(server: Server) -> None:
    """The token is for one common name."""
    with pytest.raises(ProviderError, match=r"/1\.0/sign answered 403"):
        asyncio.run(ordering(server).sign(request("Somebody Else"), "SIGNING", "Civil Registry"))


@pytest.mark.engine
def test_a_wrong_password_is_named_but_not_shown(server: Server) -> None:
    """The sentence tells which provisioner; the password stays out of it."""
    with pytest.raises(
        ProviderError, match="the password of provisioner 'signing' doesn't open its key"
    ) as caught:
        asyncio.run(ordering(server, "Wrong-Password-1").sign(request(), "SIGNING", "Civil Registry"))
    assert "Wrong-Password-1" not in str(caught.value)


def test_a_missing_provisioner_is_named() -> None:
    """And so are those that there are."""

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"provisioners": [{"type": "ACME", "name": "acme"}], "nextCursor": ""})

    step = StepCertificateAuthority(
        Endpoint(address="127.0.0.1", name="ca.example.test", port=9444),
        ssl.create_default_context(),
        lambda _usage: PASSWORD,
        transport=httpx.MockTransport(answer),
    )
    with pytest.raises(ProviderError, match="has no JWK provisioner 'signing'; it has: none"):
        asyncio.run(step.sign(request(), "SIGNING", "Civil Registry"))
