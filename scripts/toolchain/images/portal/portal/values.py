"""How a record's values are written for people."""

from __future__ import annotations

import re
from datetime import date

from django.utils.formats import date_format, number_format
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

NO_BREAK = "\N{NO-BREAK SPACE}"

WORDS: dict[str, Promise] = {
    "F": _("Féminin"),
    "M": _("Masculin"),
    "Administration générale": _("Administration générale"),
    "Assez bien": _("Assez bien"),
    "Bien": _("Bien"),
    "Enseignement": _("Enseignement"),
    "Finances": _("Finances"),
    "Fièvre jaune": _("Fièvre jaune"),
    "Justice": _("Justice"),
    "Passable": _("Passable"),
    "Police républicaine": _("Police républicaine"),
    "Rougeole": _("Rougeole"),
    "Santé": _("Santé"),
    "Très bien": _("Très bien"),
    "assurance maladie": _("Assurance maladie"),
    "formation": _("Formation"),
    "inscription": _("Une inscription figure au casier"),
    "microcrédit": _("Microcrédit"),
    "néant": _("Néant"),
    "retraite": _("Retraite"),
    "suspendue": _("Suspendue"),
    "éligible": _("Éligible"),
}
"""Registries write in French; these of their words are known in both languages."""


def written(name: str, value: object) -> str:
    """The value of the field `name` in the visitor's language; what isn't understood is left as it is."""
    if isinstance(value, bool) or value is None:
        return {True: str(_("Oui")), False: str(_("Non")), None: "–"}[value]
    if isinstance(value, int) and name.endswith("_francs"):
        amount = number_format(value, use_l10n=True, force_grouping=True)
        return f"{amount}{NO_BREAK}FCFA"
    text = str(value)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        try:
            return date_format(date.fromisoformat(text), "DATE_FORMAT")
        except ValueError:
            return text
    if name == "month" and re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text):
        return date_format(date.fromisoformat(f"{text}-01"), "YEAR_MONTH_FORMAT")
    return str(WORDS.get(text, text))
