"""The authority over HTTP. Errors are problem details (RFC 9457) that say what to do next."""

# Annotations aren't postponed: FastAPI reads them, and those of dependencies name what a function holds.
import asyncio
import gc
import hashlib
import hmac
import logging
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from trust_services.certificate_state import CertificateState
from trust_services.issuing import journal
from trust_services.issuing.configuration import Client, Configuration, read
from trust_services.issuing.orders import MAX_REQUEST_BYTES, Order
from trust_services.issuing.record import Connect, Entry, Record, State
from trust_services.issuing.refusals import Conflict, Unavailable, Unknown
from trust_services.issuing.service import Service
from trust_services.issuing.signing import Authority, TokenKey
from trust_services.refusal import Refusal

MAX_BODY_BYTES = 2 * MAX_REQUEST_BYTES
CONFIGURATION_VARIABLE = "TRUST_SERVICES_ISSUING_CONFIGURATION"
"""Names the configuration file to the processes that the server starts."""

CrlReason = Literal[
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
    "unspecified",
]
"""Why a member's certificate is revoked (RFC 5280, section 5.3.1). Nothing is revoked for a while."""

log = logging.getLogger("trust_services.issuing")


class Decision(BaseModel):
    """What an officer decides about a waiting order."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "refuse"]
    reason: str = Field(default="", max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")


class Revocation(BaseModel):
    """Why a certificate is revoked."""

    model_config = ConfigDict(extra="forbid")

    reason: CrlReason


class Reader:
    """The record for reading: one connection, one reader at a time, made anew after it broke."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._record: Record | None = None

    @contextmanager
    def record(self) -> Iterator[Record]:
        """The record. Unavailable if it can't be reached."""
        with self._lock:
            try:
                self._record = self._record or Record(self._connect())
                yield self._record
            except psycopg.Error as error:
                self.close()
                raise Unavailable("the record can't be reached", "ask again") from error

    def another(self) -> "Reader":
        """One with a connection of its own."""
        return Reader(self._connect)

    def close(self) -> None:
        """End the connection."""
        if self._record is not None:
            self._record.close_connection()
            self._record = None


class _Gate:
    """Tells clients by their bearer tokens."""

    def __init__(self, clients: tuple[Client, ...]) -> None:
        self._clients = clients

    async def client(self, request: Request) -> Client:
        """Who asks. 401 for a token that nobody has."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(token.strip().encode()).hexdigest()
        found = None
        # All are compared, each in constant time: how long it takes says nothing.
        for client in self._clients:
            if hmac.compare_digest(client.token_sha256, digest):
                found = client
        if found is None or scheme.lower() != "bearer":
            raise HTTPException(401, "who asks isn't known", {"WWW-Authenticate": "Bearer"})
        return found

    async def officer(self, request: Request) -> Client:
        """An officer. 403 for anybody else."""
        client = await self.client(request)
        if client.role != "officer":
            raise HTTPException(403, f"this is for officers; '{client.name}' has the role {client.role}")
        return client


def settle() -> None:
    """Spare the garbage collector work, once all is set up."""
    gc.collect()
    # Validators and routes live as long as the process: they needn't be walked over again and again.
    gc.freeze()
    # A linted certificate leaves thousands of small objects, which the usual 700 would have counted each time.
    gc.set_threshold(50_000, 20, 50)


def application(
    service: Service,
    reader: Reader,
    clients: tuple[Client, ...],
    chain: list[x509.Certificate],
    publication: Path | None = None,
) -> FastAPI:
    """The application over a service, which it starts and stops; `publication` is served to whoever asks."""
    # Figures take a while in a long record; nobody who asks for an order waits for them.
    figures = reader.another()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        settle()
        yield
        await asyncio.to_thread(service.stop)
        reader.close()
        figures.close()

    made = FastAPI(title="Trust services CA", version="1.0.0", docs_url=None, redoc_url=None, lifespan=life)
    _answer_with_problems(made)
    gate = _Gate(clients)
    _add_orders(made, service, reader, gate)
    _add_certificates(made, service, reader, gate)
    _add_open_pages(made, service, figures, chain)
    if publication is not None:
        # What lies there is signed, and made for the world; responders' hosts fetch it.
        made.mount("/status", StaticFiles(directory=publication, check_dir=False))
    return made


def _add_orders(made: FastAPI, service: Service, reader: Reader, gate: _Gate) -> None:
    @made.post("/orders", summary="Order a certificate; the same order again gives the same certificate")
    async def place(request: Request, client: Annotated[Client, Depends(gate.client)]) -> Response:
        order = _order(await _body(request))
        if reason := client.forbidden(order):
            raise HTTPException(403, reason)
        answer = await asyncio.wrap_future(service.place(order, client.name))
        entry = answer.entry
        if entry.state is State.REFUSED:
            return _problem(422, entry.reason or "refused", _NEXT_REFUSED, order=str(entry.id))
        status = (201 if answer.new else 200) if entry.state is State.ISSUED else 202
        return JSONResponse(_shown(entry), status, {"Location": f"/orders/{entry.id}"})

    @made.get("/orders", summary="Orders, the oldest first")
    def several(
        client: Annotated[Client, Depends(gate.client)],
        state: State | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[dict[str, Any]]:
        # Who orders sees its own; an officer all.
        own = None if client.role == "officer" else client.name
        with reader.record() as record:
            return [_shown(entry) for entry in record.orders(state, own, limit)]

    @made.get("/orders/{order}", summary="One order")
    def one(order: UUID, client: Annotated[Client, Depends(gate.client)]) -> dict[str, Any]:
        with reader.record() as record:
            entry = record.order(order)
        if client.role != "officer" and entry.orderer != client.name:
            raise Unknown(f"there is no order {order}")
        return _shown(entry)

    @made.post("/orders/{order}/approval", summary="Approve a waiting order, or refuse it")
    async def decide(
        order: UUID, decision: Decision, client: Annotated[Client, Depends(gate.officer)]
    ) -> dict[str, Any]:
        if decision.decision == "refuse" and not decision.reason:
            raise Refusal("a refusal needs a reason", "say in `reason` what the orderer should change")
        act = service.approve if decision.decision == "approve" else service.refuse
        return _shown(await asyncio.wrap_future(act(order, client.name, decision.reason)))


def _add_certificates(made: FastAPI, service: Service, reader: Reader, gate: _Gate) -> None:
    @made.get("/certificates/{serial}", summary="A certificate by its serial number in hexadecimal")
    def one(serial: str, _: Annotated[Client, Depends(gate.client)]) -> dict[str, Any]:
        with reader.record() as record:
            entry = record.certificate(serial_number(serial))
            return {**_shown(entry), "revocation": _revocation(record.revocation(serial_number(serial)))}

    @made.post("/certificates/{serial}/revocation", summary="Revoke a certificate for ever")
    async def revoke(
        serial: str, revocation: Revocation, client: Annotated[Client, Depends(gate.officer)]
    ) -> dict[str, Any]:
        state = await asyncio.wrap_future(service.revoke(serial_number(serial), client.name, revocation.reason))
        return {"serial": serial_number(serial), "revocation": _revocation(state)}


def _add_open_pages(made: FastAPI, service: Service, figures: Reader, chain: list[x509.Certificate]) -> None:
    pem = "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in chain)
    last_seconds = chain[0].not_valid_after_utc.timestamp()

    @made.get("/authorities/current", summary="The issuing certificate and those above it, in PEM")
    async def authorities() -> Response:
        return Response(pem, media_type="application/pem-certificate-chain")

    @made.get("/health", summary="Whether certificates can be issued now")
    async def health() -> dict[str, str]:
        # Through the issuing thread: it has the record's connection and the token.
        await asyncio.wait_for(asyncio.wrap_future(service.require_ready()), 10)
        return {"status": "ok"}

    @made.get("/metrics", summary="Figures for Prometheus")
    def metrics() -> PlainTextResponse:
        with figures.record() as record:
            counts, head = record.counts(), record.head()
            waiting = len(record.orders(State.WAITING, limit=1000))
            ending = record.ending()
        lines = [
            "# TYPE trust_services_events_total counter",
            *(
                f'trust_services_events_total{{kind="{kind}"}} {count}'
                for kind, count in sorted(counts.items())
            ),
            "# TYPE trust_services_record_sequence counter",
            f"trust_services_record_sequence {head.sequence}",
            "# TYPE trust_services_orders_waiting gauge",
            f"trust_services_orders_waiting {waiting}",
            "# TYPE trust_services_certificates_ending gauge",
            *(
                f'trust_services_certificates_ending{{profile="{profile}",days="{days}"}} {count}'
                for (profile, days), count in ending.items()
            ),
            "# TYPE trust_services_issuer_expiry_seconds gauge",
            f"trust_services_issuer_expiry_seconds {last_seconds - datetime.now(UTC).timestamp():.0f}",
        ]
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


async def _body(request: Request) -> bytes:
    """The request's body; 413 as soon as it is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"an order has at most {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _order(body: bytes) -> Order:
    try:
        return Order.model_validate_json(body)
    except ValidationError as error:
        # Where and why, never what: a request may quote anything.
        told = [
            f"{'.'.join(map(str, item['loc'])) or 'order'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise Refusal(f"the order isn't as it must be: {'; '.join(told[:10])}", "GET /openapi.json") from error


def serial_number(text: str) -> str:
    """A serial number as the record writes it. Unknown for what is none."""
    plain = text.replace(":", "").lower().lstrip("0")
    if not plain or len(plain) > 40 or set(plain) - set("0123456789abcdef"):
        raise Unknown(f"{text[:60]!r} is no serial number")
    return plain.rjust(40, "0")


def _shown(entry: Entry) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": str(entry.id),
        "state": entry.state,
        "profile": entry.profile,
        **_whom(entry),
        "orderer": entry.orderer,
        "placed_at": entry.placed_at.astimezone(UTC).isoformat(timespec="seconds"),
    }
    if entry.reason:
        shown["reason"] = entry.reason
    if entry.certificate is not None:
        certificate = x509.load_der_x509_certificate(entry.certificate)
        shown["serial"] = entry.serial
        shown["certificate"] = certificate.public_bytes(Encoding.PEM).decode()
    elif entry.state is State.WAITING:
        shown["next_step"] = f"an officer decides; ask GET /orders/{entry.id}"
    return shown


def _whom(entry: Entry) -> dict[str, Any]:
    if entry.service is not None:
        return {"service": entry.service}
    member = {"class": entry.member_class, "code": entry.member_code, "name": entry.member_name}
    return {"member": member, "server": entry.server}


def _revocation(state: CertificateState | None) -> dict[str, str] | None:
    if state is None or state.revoked_at is None:
        return None
    return {
        "at": state.revoked_at.astimezone(UTC).isoformat(timespec="seconds"),
        "reason": state.reason.value if state.reason else "",
    }


_NEXT_REFUSED = "correct what the reason says and order again with a new idempotency key"


def _problem(
    status: int, detail: str, next_step: str = "", headers: dict[str, str] | None = None, **more: str
) -> JSONResponse:
    body: dict[str, Any] = {"type": "about:blank", "title": _TITLES.get(status, "refused"), "status": status}
    body |= {"detail": detail, **({"next_step": next_step} if next_step else {}), **more}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


_TITLES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    422: "Refused",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def _answer_with_problems(made: FastAPI) -> None:
    statuses = {Conflict: 409, Unknown: 404, Unavailable: 503}

    @made.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> JSONResponse:
        headers = {"Retry-After": str(error.retry_seconds)} if isinstance(error, Unavailable) else None
        status = statuses.get(type(error), 422)
        log.info("refused", extra={"facts": {"status": status, "reason": error.message}})
        return _problem(status, error.message, error.next_step, headers)

    @made.exception_handler(HTTPException)
    async def turned_away(_: Request, error: HTTPException) -> JSONResponse:
        return _problem(error.status_code, error.detail, headers=dict(error.headers or {}))

    @made.exception_handler(RequestValidationError)
    async def misunderstood(_: Request, error: RequestValidationError) -> JSONResponse:
        names = sorted({str(item["loc"][-1]) for item in error.errors()})
        return _problem(422, f"not acceptable: {', '.join(names)}", "GET /openapi.json")

    @made.exception_handler(TimeoutError)
    async def late(_: Request, __: TimeoutError) -> JSONResponse:
        return _problem(503, "issuing takes too long", "ask again", {"Retry-After": "5"})

    @made.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> JSONResponse:
        log.error("a request broke", exc_info=error)
        return _problem(500, "this shouldn't happen", "tell the authority's operators")


# What is released must be on the disk, whatever the server's default; and a writer that hangs, or one that died
# without a word, doesn't keep the others from the chain.
_SESSION = "-c synchronous_commit=on -c lock_timeout=20s -c idle_in_transaction_session_timeout=60s"


def connecting(configuration: Configuration) -> Connect:
    """Opens connections to the record as the service's account."""

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(
            configuration.database.connection,
            password=configuration.database.password,
            autocommit=True,
            connect_timeout=5,
            application_name="trust-services issuing",
            options=_SESSION,
            # A server that vanished is noticed, rather than waited for.
            tcp_user_timeout=20_000,
        )

    return connect


def assembled(configuration: Configuration) -> FastAPI:
    """The application that a configuration describes. Refusal if its certificates can't issue."""
    reader = Reader(connecting(configuration))
    chain = configuration.issuer.chain()
    return application(
        service_of(configuration), reader, configuration.clients, chain, configuration.publication
    )


def service_of(configuration: Configuration) -> Service:
    """The service that a configuration describes, not yet started. Refusal if its certificates can't issue."""
    settings = configuration.token
    holder = TokenKey(settings.place, settings.key, settings.pin_file)
    authority = Authority(configuration.terms(), holder)
    return Service(authority, connecting(configuration), configuration.expects)


def from_environment() -> FastAPI:
    """The application for a server's process, which learns its configuration's path from the environment."""
    journal.start()
    return assembled(read(Path(os.environ[CONFIGURATION_VARIABLE])))
