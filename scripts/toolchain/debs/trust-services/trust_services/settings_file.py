"""Settings of a program: a JSON file that holds no secret, but names the files that do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ValidationError

from trust_services.refusal import Refusal

Model = TypeVar("Model", bound=BaseModel)


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("a path must begin with /")
    return path


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("must be an https URL without user, query or fragment")
    parts.port  # noqa: B018 - ValueError if it isn't a number
    return url.rstrip("/")


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
HttpsAddress = Annotated[str, AfterValidator(_https)]


def read(path: Path, model: type[Model]) -> Model:
    """The settings in a file. Refusal that names file, key and value if something is wrong."""
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Refusal(f"{path} can't be read: {error.strerror}") from error
    except ValidationError as error:
        wrong = [_told(path, one) for one in error.errors(include_url=False)]
        raise Refusal("\n".join(wrong), f"correct {path}; roles write it from the estate") from error


def _told(path: Path, one: Any) -> str:
    key = ".".join(map(str, one["loc"])) or "the whole file"
    reason = one["msg"].removeprefix("Value error, ")
    shown = repr(one["input"])
    # A password that doesn't belong into a connection's text isn't repeated.
    if one["type"] == "missing" or "password" in reason:
        return f"{path}: {key}: {reason}"
    return f"{path}: {key}: {reason} (is: {shown if len(shown) <= 80 else shown[:77] + '...'})"


def secret(path: Path) -> bytes:
    """A secret in a file, without the line's end. A relative path is a systemd credential's name.

    Refusal if it can't be read or is empty (systemd.exec(5), `LoadCredential=`).
    """
    place = Path(os.environ.get("CREDENTIALS_DIRECTORY", ".")) / path
    try:
        found = place.read_bytes().removesuffix(b"\n")
    except OSError as error:
        raise Refusal(f"{place} can't be read: {error.strerror}") from error
    if not found:
        raise Refusal(f"{place} is empty", "put the secret there; roles write it from the site's secrets")
    return found
