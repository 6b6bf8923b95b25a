"""Brings publications and CRLs from the authority's host to this one, in a program of its own.

It holds the key that this host is known to the authority by, so that the responder, which strangers reach,
holds none. What it fetched is verified before it replaces the file that the responder reads: while the
authority is down or sends something bad, the last good file stays, and a restart finds it.
"""

from __future__ import annotations

import http.client
import random
import ssl
import threading
from typing import Generic
from urllib.parse import urlsplit

from trust_services import files
from trust_services.refusal import Refusal
from trust_services.status.journal import tell
from trust_services.status.settings import Settings, Source
from trust_services.status.shelf import Content, Shelf, Watched


class Fetched(Generic[Content]):
    """One file and where it comes from."""

    def __init__(self, source: Source, file: Watched[Content]) -> None:
        """What is on the disk is what a fetched file must not be older than."""
        self._source = source
        self._file = file
        self._tag: str | None = None
        file.look()

    def keep(self, stop: threading.Event) -> None:
        """Fetch it again and again until told to stop."""
        pause = self._source.interval_seconds
        trouble = ""
        while not stop.is_set():
            try:
                self.fetch()
            except Exception as error:  # noqa: BLE001 - whatever it was, answers must not grow stale for it
                pause = min(pause * 2, self._source.longest_pause_seconds)
                if str(error) != trouble:
                    trouble = str(error)
                    tell(f"{self._file.path.name} isn't fetched, the last good one stays: {trouble}")
            else:
                pause = self._source.interval_seconds
                if trouble:
                    trouble = ""
                    tell(f"{self._file.path.name} is fetched again")
            # Responders that were cut off together don't come back together.
            stop.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 - no secret

    def fetch(self) -> bool:
        """Fetch it once; whether there was a new one.

        Refusal if the source doesn't give it or it is bad; OSError or HTTPException if the source can't be
        reached or the file can't be written. Whatever was here stays then.
        """
        content, tag = self._get()
        if content is None:
            return False
        verified = self._file.verified(content, self._file.content)
        files.write(self._file.path, content)
        self._file.content = verified
        self._tag = tag
        return True

    def _get(self) -> tuple[bytes | None, str | None]:
        """Content and entity tag; no content if it is still that of the last time."""
        source = urlsplit(self._source.url)
        path = f"{source.path}/{self._file.path.name}"
        headers = {"If-None-Match": self._tag} if self._tag else {}
        connection = http.client.HTTPSConnection(
            source.hostname or "",
            source.port,
            timeout=self._source.patience_seconds,
            context=_context(self._source),
        )
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            if response.status == http.HTTPStatus.NOT_MODIFIED:
                return None, None
            if response.status != http.HTTPStatus.OK:
                raise Refusal(f"{self._source.url} answers {response.status} {response.reason}")
            limit = self._source.limit_mebibytes * 2**20
            content = response.read(limit + 1)
            if len(content) > limit:
                raise Refusal(f"it has more than {self._source.limit_mebibytes} MiB")
            return content, response.headers.get("ETag")
        finally:
            connection.close()


def _context(source: Source) -> ssl.SSLContext:
    """Made for each connection: certificates of this host live for days, and are renewed in place."""
    context = ssl.create_default_context(cafile=source.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if source.certificate is not None:
        context.load_cert_chain(source.certificate, source.key)
    return context


def run(settings: Settings, stop: threading.Event) -> None:
    """Fetch all files until told to stop. Refusal if the settings name no source."""
    if settings.source is None:
        raise Refusal("there is nothing to fetch: the settings have no `source`")
    shelf = Shelf(settings)
    endless = [
        *(Fetched(settings.source, file).keep for file in shelf.publications.values()),
        *(Fetched(settings.source, file).keep for file in shelf.lists.values()),
        *(Fetched(settings.source, file).keep for file in shelf.certificates.values()),
    ]
    # Each in its own thread, so that one that fails or is large doesn't delay the others.
    for keep in endless:
        threading.Thread(target=keep, args=(stop,), daemon=True).start()
    stop.wait()
