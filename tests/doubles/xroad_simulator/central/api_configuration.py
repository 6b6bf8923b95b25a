"""Admin API of the central server: signing keys, anchors and parts of the configuration."""

import base64
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from xroad_simulator import global_configuration as gc
from xroad_simulator.authentication import Principal, allow
from xroad_simulator.central import configuration, views
from xroad_simulator.central.api_system import MAXIMUM_KEYS_OF_A_SOURCE, require_token
from xroad_simulator.central.permissions import Permission
from xroad_simulator.central.records import AnchorRecord, PartRecord, SigningKeyRecord, Source
from xroad_simulator.central.server import Central, CentralServer
from xroad_simulator.certificates import encode
from xroad_simulator.clock import now, timestamp
from xroad_simulator.errors import bad_request, internal_error, not_found
from xroad_simulator.signed_directory import FILE_NAMES, PRIVATE, SHARED
from xroad_simulator.software_token import KeyRecord

_VIEW = {
    Source.INTERNAL: Permission.VIEW_INTERNAL_CONFIGURATION_SOURCE,
    Source.EXTERNAL: Permission.VIEW_EXTERNAL_CONFIGURATION_SOURCE,
}
Viewer = Annotated[Principal, allow(*_VIEW.values())]
"""A caller that may see sources of some kind; the operation asks again for the one at hand."""

_ROOT = "{http://x-road.eu/xsd/xroad.xsd}conf"
_FORMS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "MONITORING": ("monitoringClient", lambda text: not text.strip()),
    "FETCHINTERVAL": ("ocspFetchInterval", str.isdigit),
    "OCSPNEXTUPDATE": ("verifyNextUpdate", lambda text: text in ("true", "false", "0", "1")),
}
"""The one element of each part that can be uploaded, and what may be in it (X-Road's `*-conf.xsd`)."""

routes = APIRouter()


class ConfigurationSigningKeyAdd(BaseModel):
    """Body of a new signing key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_label: str = Field(min_length=1, max_length=255)
    token_id: str | int
    """X-Road's own scripts send a number."""


# The definition says 201; X-Road answers 200 (TODO in its own setup.hurl).
@routes.post(
    "/configuration-sources/{source}/signing-keys",
    dependencies=[allow(Permission.GENERATE_SIGNING_KEY)],
    status_code=200,
)
def add_signing_key(server: Central, source: Source, body: ConfigurationSigningKeyAdd) -> dict[str, Any]:
    """A new key each time, two at most; the first of a source is active at once."""
    require_token(body.token_id)
    settings = server.settings
    internal = source is Source.INTERNAL
    algorithm = settings.internal_key_algorithm if internal else settings.external_key_algorithm
    if not server.token.is_logged_in:
        raise bad_request("token_action_not_possible")
    stored, private = server.token.generate(body.key_label, "SIGNING", algorithm, settings.key_bits)
    certificate = configuration.signing_certificate(private)
    with server.store.transaction():
        others = server.store.all(SigningKeyRecord, f"{source}:")
        if len(others) >= MAXIMUM_KEYS_OF_A_SOURCE:
            raise bad_request("token_action_not_possible")
        key = SigningKeyRecord(
            id=stored.id,
            source=source,
            label=body.key_label,
            algorithm=algorithm,
            certificate=encode(certificate),
            active=not others,
            created_at=now(),
        )
        server.store.put(stored)
        server.store.put(key)
        configuration.make_anchor(server, source)
    return views.signing_key(server, key)


def _find_signing_key(server: CentralServer, identifier: str) -> SigningKeyRecord:
    for key in server.store.all(SigningKeyRecord):
        if key.id == identifier:
            return key
    raise not_found("signing_key_not_found", identifier)


@routes.put(
    "/signing-keys/{identifier}/activate",
    dependencies=[allow(Permission.ACTIVATE_SIGNING_KEY)],
    status_code=204,
)
def activate_signing_key(server: Central, identifier: str) -> None:
    """Sign with this key from the next generation on."""
    with server.store.transaction():
        chosen = _find_signing_key(server, identifier)
        if chosen.active:
            raise bad_request("signing_key_action_not_possible")
        for key in server.store.all(SigningKeyRecord, f"{chosen.source}:"):
            server.store.put(key.having(active=key.id == identifier))


@routes.delete(
    "/signing-keys/{identifier}", dependencies=[allow(Permission.DELETE_SIGNING_KEY)], status_code=204
)
def delete_signing_key(server: Central, identifier: str) -> None:
    """Delete a key that isn't active, and write the anchor anew."""
    with server.store.transaction():
        key = _find_signing_key(server, identifier)
        if key.active:
            raise bad_request("signing_key_action_not_possible")
        server.store.delete(key)
        stored = server.store.get(KeyRecord, identifier)
        if stored is not None:
            server.store.delete(stored)
        configuration.make_anchor(server, key.source)


def _anchor(record: AnchorRecord | None) -> dict[str, Any]:
    if record is None:
        return {}
    content = base64.b64decode(record.content)
    made = timestamp(record.created_at)
    # The central server writes the hash with colons, the security server without.
    digits = gc.anchor_hash(content)
    pairs = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
    return {"hash": pairs, "created_at": made, "updated_at": made}


@routes.get(
    "/configuration-sources/{source}/anchor",
    dependencies=[
        allow(Permission.VIEW_INTERNAL_CONFIGURATION_SOURCE, Permission.VIEW_EXTERNAL_CONFIGURATION_SOURCE)
    ],
)
def get_anchor(server: Central, source: Source) -> dict[str, Any]:
    """Hash and time of the anchor, an empty object while there is none."""
    record = server.store.get(AnchorRecord, source)
    return {} if record is None else {"anchor": _anchor(record)}


@routes.get(
    "/configuration-sources/{source}/anchor/download",
    dependencies=[allow(Permission.DOWNLOAD_SOURCE_ANCHOR)],
)
def download_anchor(server: Central, source: Source) -> Response:
    """The anchor file."""
    record = server.store.get(AnchorRecord, source)
    if record is None:
        raise not_found("configuration_not_found")
    name = f"configuration_anchor_UTC_{record.created_at:%Y-%m-%d_%H_%M_%S}.xml"
    return Response(
        base64.b64decode(record.content),
        media_type="application/xml",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@routes.put(
    "/configuration-sources/{source}/anchor/re-create",
    dependencies=[allow(Permission.GENERATE_SOURCE_ANCHOR)],
)
def recreate_anchor(server: Central, source: Source) -> dict[str, Any]:
    """Write the anchor anew."""
    record = configuration.make_anchor(server, source)
    if record is None:
        raise bad_request("no_configuration_signing_keys_configured")
    return _anchor(record)


@routes.get(
    "/configuration-sources/{source}/download-url",
    dependencies=[
        allow(Permission.VIEW_INTERNAL_CONFIGURATION_SOURCE, Permission.VIEW_EXTERNAL_CONFIGURATION_SOURCE)
    ],
)
def get_download_url(server: Central, source: Source) -> dict[str, str]:
    """Where the configuration is served."""
    return {"url": configuration.download_url(server, source)}


@routes.get("/configuration-sources/{source}/configuration-parts")
def list_parts(server: Central, source: Source, caller: Viewer) -> list[dict[str, Any]]:
    """The files of a source: those that are generated, in every format, and those that may be uploaded."""
    server.gate.require(caller, _VIEW[source])
    required = (SHARED,) if source is Source.EXTERNAL else (PRIVATE, SHARED)
    files = server.store.all(PartRecord)
    found = []
    for identifier in required:
        own = [_part_view(file, optional=False) for file in files if file.identifier == identifier]
        found += own or [_absent(identifier, FILE_NAMES[identifier], optional=False)]
    if source is Source.INTERNAL:
        for identifier, file_name in server.settings.optional_parts.items():
            own = [_part_view(file, optional=True) for file in files if file.identifier == identifier]
            found += own or [_absent(identifier, file_name, optional=True)]
    return found


def _absent(identifier: str, file_name: str, *, optional: bool) -> dict[str, Any]:
    """Neither version nor time, although the definition wants both: X-Road answers so too."""
    return {"content_identifier": identifier, "file_name": file_name, "optional": optional}


def _part_view(part: PartRecord, *, optional: bool) -> dict[str, Any]:
    return {
        **_absent(part.identifier, part.file_name, optional=optional),
        "version": part.version,
        "file_updated_at": timestamp(part.updated_at),
    }


@routes.post(
    "/configuration-sources/{source}/configuration-parts",
    dependencies=[allow(Permission.UPLOAD_CONFIGURATION_PART)],
    status_code=204,
)
def upload_part(
    server: Central,
    source: Source,
    content_identifier: Annotated[str, Form()],
    file: Annotated[UploadFile, File()],
) -> None:
    """Put a part into the next generation; 400 if it isn't what the identifier says."""
    file_name = server.settings.optional_parts.get(content_identifier)
    if file_name is None or source is Source.EXTERNAL:
        raise internal_error("unknown_configuration_part", content_identifier)
    content = file.file.read()
    _require_form(content_identifier, content)
    server.store.put(
        PartRecord(
            identifier=content_identifier,
            version=configuration.UPLOADED,
            file_name=file_name,
            location="",
            content=base64.b64encode(content).decode(),
            updated_at=now(),
        )
    )


def _require_form(identifier: str, content: bytes) -> None:
    form = _FORMS.get(identifier)
    if form is None:
        raise bad_request("configuration_part_validator_not_found", identifier)
    name, admits = form
    try:
        root = ET.fromstring(content)  # noqa: S314 - expat limits expansion; test equipment
    except ET.ParseError:
        raise bad_request("configuration_part_validation_failed", identifier) from None
    elements = list(root)
    right = root.tag == _ROOT and [element.tag for element in elements] == [name]
    if not right or not admits(elements[0].text or ""):
        raise bad_request("configuration_part_validation_failed", identifier)


@routes.get(
    "/configuration-sources/{source}/configuration-parts/{identifier}/{version}/download",
    dependencies=[allow(Permission.DOWNLOAD_CONFIGURATION_PART)],
)
def download_part(server: Central, source: Source, identifier: str, version: int) -> Response:
    """A file of the configuration."""
    del source  # files are found by identifier and format alone, as in X-Road
    part = server.store.get(PartRecord, f"{version}:{identifier}")
    if part is None:
        raise not_found("configuration_part_file_not_found")
    return Response(
        base64.b64decode(part.content),
        media_type="application/xml",
        headers={"Content-Disposition": f'attachment; filename="{part.file_name}"'},
    )
