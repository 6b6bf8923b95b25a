"""Whether a provider's information system shows a TLS certificate that its client named (ssl_auth).

X-Road tries it before it keeps a service's address, and warns (`InternalServerTestService.java`).
"""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Collection
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 10
_HTTPS_PORT = 443


def warning(url: str, trusted: Collection[str]) -> str | None:
    """X-Road's code for what is wrong with the connection, None if nothing is or the address isn't HTTPS.

    `trusted` are the client's certificates in base64.
    """
    address = urlsplit(url)
    if address.scheme != "https" or address.hostname is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    place = (address.hostname, address.port or _HTTPS_PORT)
    try:
        with (
            socket.create_connection(place, _TIMEOUT_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=address.hostname) as tls,
        ):
            shown = tls.getpeercert(binary_form=True)
    except ssl.SSLError:
        return "internal_server_ssl_handshake_error"
    except OSError:
        return "internal_server_ssl_error"
    is_trusted = shown is not None and base64.b64encode(shown).decode() in trusted
    return None if is_trusted else "internal_server_ssl_handshake_error"
