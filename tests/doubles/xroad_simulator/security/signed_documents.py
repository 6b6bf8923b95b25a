"""The consumer's port beside messages: signed documents, what they are verified with, the list of clients.

`/asic` and `/verificationconf` are as in UG-SIGDOC (X-Road's `AsicContainerClientRequestProcessor`),
`/listClients` as in PR-META (`MetadataClientRequestProcessor`).
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.responses import Response as HttpResponse

from xroad_simulator.global_configuration import ConfigurationError, Parameters
from xroad_simulator.identifiers import ClientId
from xroad_simulator.parameters_xml import NEWEST
from xroad_simulator.security import containers
from xroad_simulator.security.message_log import Entry, MessageLog
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.security.time_stamping import stamp
from xroad_simulator.time_stamps import TimeStampError

PATHS = frozenset({"/asic", "/verificationconf", "/listClients"})
_ZIP = "application/zip"
_IDENTIFIERS = "http://x-road.eu/xsd/identifiers"


class DocumentError(Exception):
    """A refusal; X-Road tells its text as plain text."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def wanted_client(parameters: Mapping[str, str]) -> ClientId:
    """Whose documents are asked for; DocumentError if it isn't said."""
    for name in ("xRoadInstance", "memberClass", "memberCode"):
        if not parameters.get(name):
            raise _bad(f'Parameter "{name}"  must be specified.')
    return ClientId(
        parameters["xRoadInstance"],
        parameters["memberClass"],
        parameters["memberCode"],
        parameters.get("subsystemCode") or None,
    )


def _bad(text: str) -> DocumentError:
    return DocumentError(HTTPStatus.BAD_REQUEST, text)


async def documents(server: SecurityServer, client: ClientId, parameters: Mapping[str, str]) -> HttpResponse:
    """The containers of a message, of its request or its response; DocumentError if they can't be had."""
    log, message_id = MessageLog(server), parameters.get("queryId", "")
    if not message_id:
        raise _bad('Parameter "queryId"  must be specified.')
    request_only, response_only = "requestOnly" in parameters, "responseOnly" in parameters
    if request_only and response_only:
        raise _bad('Parameters "requestOnly" and "responseOnly" cannot be used at the same time.')
    if "unique" in parameters and not (request_only or response_only):
        raise _bad('Parameter "unique" not applicable without "requestOnly" or "responseOnly".')
    is_response = response_only if request_only or response_only else None
    entries = log.entries(message_id, client, is_response=is_response)
    if not entries:
        raise DocumentError(HTTPStatus.NOT_FOUND, "No signed documents found")
    if any(entry.token is None for entry in entries):
        if "force" not in parameters:
            raise DocumentError(
                HTTPStatus.INTERNAL_SERVER_ERROR, "Message signature has not been timestamped yet!"
            )
        entries = await _stamped(server, log, (message_id, client, is_response))
    return _document(entries, message_id, is_response, is_unique="unique" in parameters)


async def _stamped(
    server: SecurityServer, log: MessageLog, wanted: tuple[str, ClientId, bool | None]
) -> list[Entry]:
    """The records, stamped together with all others that wait."""
    message_id, client, is_response = wanted
    try:
        while await asyncio.to_thread(stamp, server, log):
            pass
    except (TimeStampError, ConfigurationError) as error:
        raise DocumentError(HTTPStatus.INTERNAL_SERVER_ERROR, "Could not create missing timestamp!") from error
    entries = log.entries(message_id, client, is_response=is_response)
    if any(entry.token is None for entry in entries):
        raise DocumentError(HTTPStatus.INTERNAL_SERVER_ERROR, "Could not create missing timestamp!")
    return entries


def _document(
    entries: list[Entry], message_id: str, is_response: bool | None, *, is_unique: bool
) -> HttpResponse:
    if is_unique:
        if len(entries) > 1:
            raise DocumentError(HTTPStatus.INTERNAL_SERVER_ERROR, "More than one document was found")
        return _file(containers.container(entries[0]), containers.MIMETYPE, containers.name(entries[0]))
    kind = "" if is_response is None else "-response" if is_response else "-request"
    return _file(containers.bundle(entries), _ZIP, f"{quote_plus(message_id)}{kind}.zip")


def _file(content: bytes, kind: str, name: str) -> HttpResponse:
    headers = {"content-type": kind, "content-disposition": f'attachment; filename="{name}"'}
    return HttpResponse(content, headers=headers)


def verification_configuration(server: SecurityServer) -> HttpResponse:
    """The shared parameters, with which X-Road's own verifier checks containers."""
    record, parameters = server.fetched(), server.last_configuration()
    if record is None or parameters is None:
        raise DocumentError(HTTPStatus.INTERNAL_SERVER_ERROR, "there is no global configuration yet")
    made, folder = io.BytesIO(), "verificationconf/"
    with zipfile.ZipFile(made, "w") as file:
        shared = f"{folder}{parameters.instance}/shared-params.xml"
        file.writestr(shared, base64.b64decode(record.shared))
        file.writestr(f"{shared}.metadata", json.dumps({"configurationVersion": str(NEWEST)}))
        file.writestr(f"{folder}instance-identifier", parameters.instance)
    return _file(made.getvalue(), _ZIP, "verificationconf.zip")


def clients(parameters: Parameters, http: HttpRequest) -> HttpResponse:
    """Every member and subsystem of an instance: JSON where that is accepted, XML otherwise."""
    instance = http.query_params.get("xRoadInstance") or parameters.instance
    if instance != parameters.instance:
        raise DocumentError(HTTPStatus.INTERNAL_SERVER_ERROR, f"Invalid instance identifier: {instance}")
    found: list[tuple[ClientId, str, str | None]] = []
    for member in parameters.members:
        identifier = ClientId(instance, member.member_class, member.code)
        found.append((identifier, member.name, None))
        found += [
            (replace(identifier, subsystem_code=subsystem.code), member.name, subsystem.name)
            for subsystem in member.subsystems
        ]
    kinds = [item.split(";")[0].strip() for item in http.headers.get("accept", "").split(",")]
    if "application/json" in kinds:
        return JSONResponse({"member": [_as_json(*client) for client in found]})
    lines = "".join(_as_xml(*client) for client in found)
    document = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f'<ns2:clientList xmlns:ns1="{_IDENTIFIERS}" xmlns:ns2="http://x-road.eu/xsd/xroad.xsd">\n'
        f"{lines}</ns2:clientList>\n"
    )
    return HttpResponse(document, headers={"content-type": "text/xml; charset=UTF-8"})


def _as_json(client: ClientId, name: str, subsystem_name: str | None) -> dict[str, object]:
    identifier = {
        "member_class": client.member_class,
        "member_code": client.member_code,
        "object_type": "MEMBER" if client.subsystem_code is None else "SUBSYSTEM",
        "subsystem_code": client.subsystem_code,
        "xroad_instance": client.instance,
    }
    told: dict[str, object] = {
        "id": {key: value for key, value in identifier.items() if value is not None},
        "name": name,
    }
    return told if subsystem_name is None else {**told, "subsystem_name": subsystem_name}


def _as_xml(client: ClientId, name: str, subsystem_name: str | None) -> str:
    kind = "MEMBER" if client.subsystem_code is None else "SUBSYSTEM"
    names = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
    parts = "".join(
        f"<ns1:{title}>{escape(part)}</ns1:{title}>" for title, part in zip(names, client.parts, strict=False)
    )
    shown = "" if subsystem_name is None else f"<ns2:subsystemName>{escape(subsystem_name)}</ns2:subsystemName>"
    return (
        f'<ns2:member><ns2:id ns1:objectType="{kind}">{parts}</ns2:id>'
        f"<ns2:name>{escape(name)}</ns2:name>{shown}</ns2:member>\n"
    )
