"""Time-stamping the message log, at the services that the server was told to use.

While the configuration approves no service, nothing is stamped and nothing is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from typing import TYPE_CHECKING

import httpx

from xroad_simulator import time_stamps
from xroad_simulator.certificates import decode
from xroad_simulator.clock import now
from xroad_simulator.global_configuration import ConfigurationError, Parameters
from xroad_simulator.security.contacts import Contact
from xroad_simulator.security.message import Envelope, MessageError, Request, Response
from xroad_simulator.security.message_log import Batch, MessageLog, Side
from xroad_simulator.security.records import TimestampingRecord
from xroad_simulator.time_stamps import TimeStamp, TimeStampError

if TYPE_CHECKING:
    from xroad_simulator.security.server import SecurityServer

_LOG = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 20


async def log_message(
    server: SecurityServer,
    log: MessageLog,
    side: Side,
    request: Request,
    envelope: Envelope,
    response: Response | None = None,
) -> None:
    """Log a request, or the response to it, and wait for its time stamp where the settings ask for that.

    MessageError if it can't be logged or stamped: it must not be sent on.
    """
    record = log.write(side, request, response, envelope)
    if not server.settings.message_log.stamps_at_once:
        return
    try:
        parameters = server.configuration()
        if parameters.timestamping_services:
            await asyncio.to_thread(_stamp, server, log, Batch.of([record]), parameters)
    except (TimeStampError, ConfigurationError) as problem:
        raise MessageError(f"{side.place}.LoggingFailed.TimestamperFailed", str(problem)) from problem


def stamp(server: SecurityServer, log: MessageLog) -> int:
    """Stamp what isn't yet, in one batch; returns how many records that were.

    TimeStampError if no service gives a time stamp to rely on.
    """
    parameters = server.configuration()
    batch = log.unstamped() if parameters.timestamping_services else None
    if batch is None:
        return 0
    _stamp(server, log, batch, parameters)
    return len(batch.numbers)


def _stamp(server: SecurityServer, log: MessageLog, batch: Batch, parameters: Parameters) -> None:
    digest = hashlib.sha512(batch.content).digest()
    problem = TimeStampError("Cannot time-stamp messages: no timestamping services configured")
    for record in server.store.all(TimestampingRecord):
        try:
            made = _ask(record.url, digest, parameters)
        except TimeStampError as error:
            server.stamping.contacts[record.url] = Contact(now(), str(error))
            problem = error
            continue
        server.stamping.contacts[record.url] = Contact(now())
        log.stamped(batch, record.url, made)
        return
    raise problem


def _ask(url: str, digest: bytes, parameters: Parameters) -> TimeStamp:
    approved = [
        decode(service.certificate) for service in parameters.timestamping_services if service.url == url
    ]
    if not approved:
        raise TimeStampError(f"{url} isn't an approved time-stamping service")
    nonce = secrets.randbits(63)
    try:
        with httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False) as http:
            answer = http.post(
                url,
                content=time_stamps.query(digest, nonce),
                headers={"Content-Type": time_stamps.QUERY_TYPE, "Accept": time_stamps.REPLY_TYPE},
            )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TimeStampError(f"{url} can't be reached: {error!r}") from error
    if answer.status_code != 200:
        raise TimeStampError(f"{url} answered {answer.status_code}")
    return time_stamps.read_reply(answer.content, digest, nonce, approved)


def attempt(server: SecurityServer, log: MessageLog) -> bool:
    """Stamp everything that waits; False if that fails, which is remembered."""
    try:
        while stamp(server, log):
            pass
    except ConfigurationError as problem:
        _LOG.warning("messages not time-stamped: %s", problem)
        return False
    except TimeStampError as problem:
        state = server.stamping
        state.failing_since = time.monotonic() if state.failing_since is None else state.failing_since
        _LOG.warning("messages not time-stamped: %s", problem)
        return False
    server.stamping.failing_since = None
    return True


async def keep_stamping(server: SecurityServer) -> None:
    """Stamp on the configuration's interval; after a failure, on the shorter one."""
    log = MessageLog(server)
    while True:
        worked = True
        try:
            worked = await asyncio.to_thread(attempt, server, log)
        except Exception:  # noqa: BLE001 - logged; the loop must go on
            _LOG.exception("messages not time-stamped")
        parameters = server.last_configuration()
        interval = 60 if parameters is None else parameters.timestamping_interval_seconds
        pause = interval / server.settings.time_scale
        await asyncio.sleep(pause if worked else min(pause, server.settings.timestamp_retry_delay))
