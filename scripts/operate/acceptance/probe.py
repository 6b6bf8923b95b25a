"""Looks at the site from one of its hosts. Sent there over SSH; needs only Python's own library.

Reads a request as base64 JSON from its only argument and prints the answers as JSON:
`connect` [[address, port], …] → "open", "refused" or "dropped";
`tls` [{address, port, name, starttls}, …] → {ok, detail};
`http` [{url, headers, resolve, binary}, …] → {status, headers, body}, the body in base64 if it is `binary`;
`portal` {base, resolve, requests: [{path, fields}]} → [{status, body}].
"""

from __future__ import annotations

import base64
import http.client
import http.cookiejar
import json
import re
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

ROOT_CERTIFICATE = "/etc/smartgouv/tls/root.crt"
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 60.0
"""More than a security server waits for a connection (30 s): its own error says more than ours."""


def connect(target: list[Any]) -> str:
    """Whether a TCP connection opens, is refused by a host, or is dropped on the way."""
    address, port = target
    try:
        with socket.create_connection((address, port), timeout=CONNECT_SECONDS):
            return "open"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "dropped"


def tls(target: dict[str, Any]) -> dict[str, Any]:
    """Whether an endpoint's certificate carries its name and chains to the site's root."""
    command = ["openssl", "s_client", "-connect", f"{target['address']}:{target['port']}"]
    command += ["-servername", target["name"], "-CAfile", ROOT_CERTIFICATE, "-verify_return_error"]
    if target.get("hostname", True):
        command += ["-verify_hostname", target["name"]]
    if target.get("starttls"):
        command += ["-starttls", target["starttls"]]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=15, check=False
        )
    except subprocess.TimeoutExpired:
        return {"ok": False, "detail": "no answer in 15 s"}
    text = done.stdout + done.stderr
    if "Verify return code: 0 (ok)" in text or "Verification: OK" in text:
        return {"ok": True, "detail": "chains to the root"}
    cause = re.search(r"verify error:(.*)|(errno=\d+)|(error:.*)", text)
    return {"ok": False, "detail": cause.group(0)[:120] if cause else "no certificate"}


def fetch(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a GET; an HTTP error is an answer too."""
    context = ssl.create_default_context(cafile=ROOT_CERTIFICATE)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    message = urllib.request.Request(request["url"], headers=request.get("headers", {}))  # noqa: S310
    try:
        with opener.open(message, timeout=ANSWER_SECONDS) as answer:
            return _answer(answer, binary=request.get("binary", False))
    except urllib.error.HTTPError as error:
        return _answer(error)
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "headers": {}, "body": str(error)}


def portal(visit: dict[str, Any]) -> list[dict[str, Any]]:
    """Fill in the portal's forms as a browser without JavaScript does: cookies, hidden fields, redirects."""
    context = ssl.create_default_context(cafile=ROOT_CERTIFICATE)
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
    )
    answers = []
    for request in visit["requests"]:
        url = visit["base"] + request["path"]
        try:
            page = _answer(opener.open(url, timeout=ANSWER_SECONDS))
            if "fields" in request:
                fields = {**dict(_hidden(page["body"])), **request["fields"]}
                data = urllib.parse.urlencode(fields).encode()
                message = urllib.request.Request(url, data=data, headers={"Referer": url})  # noqa: S310
                page = _answer(opener.open(message, timeout=ANSWER_SECONDS))
        except urllib.error.HTTPError as error:
            page = _answer(error)
        except (OSError, http.client.HTTPException) as error:
            page = {"status": 0, "headers": {}, "body": str(error)}
        answers.append(page)
    return answers


def _hidden(page: str) -> list[tuple[str, str]]:
    """Hidden fields of a page's forms: the token against forged requests is one."""
    found = []
    for tag in re.findall(r"<input\b[^>]*>", page):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if attributes.get("type") == "hidden" and "name" in attributes:
            found.append((attributes["name"], attributes.get("value", "")))
    return found


def _answer(answer: Any, *, binary: bool = False) -> dict[str, Any]:
    content = answer.read(200_000)
    body = base64.b64encode(content).decode() if binary else content.decode("utf-8", "replace")
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return {"status": answer.status, "headers": headers, "body": body}


def main() -> None:
    """Answer everything that is asked, side by side."""
    asked = json.loads(base64.b64decode(sys.argv[1]))
    with ThreadPoolExecutor(64) as pool:
        connects = pool.map(connect, asked.get("connect", []))
        handshakes = pool.map(tls, asked.get("tls", []))
        fetched = pool.map(fetch, asked.get("http", []))
        answers = {"connect": list(connects), "tls": list(handshakes), "http": list(fetched)}
    if "portal" in asked:
        answers["portal"] = portal(asked["portal"])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
