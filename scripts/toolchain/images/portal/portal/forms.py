"""What a visitor fills in."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _


class IdentifierForm(forms.Form):
    """The identifier of the record asked for."""

    identifier = forms.RegexField(
        regex=r"^[A-Za-z0-9][A-Za-z0-9./-]*$",
        max_length=64,
        strip=True,
        error_messages={
            "required": _("Indiquez un numéro."),
            "invalid": _("Ce numéro contient un caractère qui n’est pas permis."),
            "max_length": _("Ce numéro est trop long."),
        },
    )
