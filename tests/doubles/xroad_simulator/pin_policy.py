"""Which PINs an enforced policy accepts (`TokenPinPolicy.java`, `TokenPinValidator.java`)."""

from __future__ import annotations

from xroad_simulator.errors import bad_request
from xroad_simulator.settings import Common

_LENGTH, _CLASSES = 10, 3
_FIRST, _LAST = 32, 126


def require(settings: Common, pin: str, invalid_characters: str) -> None:
    """400 if the PIN is weaker than an enforced policy allows; each server has its own code for characters."""
    if not settings.enforce_pin_policy:
        return
    if not all(_FIRST <= ord(character) <= _LAST for character in pin):
        raise bad_request(invalid_characters)
    classes = sum(
        any(test(character) for character in pin)
        for test in (str.islower, str.isupper, str.isdigit, lambda c: not c.isalnum())
    )
    if len(pin) < _LENGTH or classes < _CLASSES:
        raise bad_request(
            "token_weak_pin", "pin_min_length", str(_LENGTH), "pin_min_char_classes_count", str(_CLASSES)
        )
