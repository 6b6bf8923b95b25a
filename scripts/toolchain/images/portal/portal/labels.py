"""What services and fields are called on pages. French is the language of the source."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Texts:
    """What a service says of itself."""

    title: Promise
    identifier: Promise
    """What the number asked for is called."""
    purpose: Promise


SERVICES: dict[str, Texts] = {
    "staff-records": Texts(
        _("Dossier d’agent de l’État"),
        _("Matricule"),
        _("Consultez la situation administrative d’un agent : corps, grade, affectation."),
    ),
    "pay-statements": Texts(
        _("Bulletin de solde"),
        _("Numéro du bulletin"),
        _("Retrouvez les montants d’un bulletin de solde."),
    ),
    "suppliers": Texts(
        _("Situation d’un fournisseur"),
        _("Identifiant fiscal unique (IFU)"),
        _("Vérifiez qu’une entreprise peut soumissionner aux marchés publics."),
    ),
    "birth-records": Texts(
        _("Acte de naissance"),
        _("Numéro de l’acte"),
        _("Obtenez les mentions d’un acte inscrit à l’état civil."),
    ),
    "entitlements": Texts(
        _("Droits sociaux"),
        _("Numéro d’assuré"),
        _("Vérifiez le régime d’un assuré et la durée de ses droits."),
    ),
    "diplomas": Texts(
        _("Vérification de diplôme"),
        _("Numéro du diplôme"),
        _("Vérifiez l’authenticité d’un diplôme et sa mention."),
    ),
    "criminal-records": Texts(
        _("Extrait de casier judiciaire"),
        _("Numéro de la demande"),
        _("Suivez une demande d’extrait et lisez son résultat."),
    ),
    "vaccinations": Texts(
        _("Carnet de vaccination"),
        _("Numéro de la carte"),
        _("Retrouvez un vaccin administré, sa dose et sa date."),
    ),
}
"""By collection."""

FIELDS: dict[str, Promise] = {
    "born_on": _("Date de naissance"),
    "card_number": _("Numéro de la carte"),
    "commune": _("Commune"),
    "company": _("Entreprise"),
    "corps": _("Corps"),
    "court": _("Tribunal"),
    "department": _("Département"),
    "diploma": _("Diplôme"),
    "diploma_number": _("Numéro du diplôme"),
    "dose": _("Dose"),
    "family_name": _("Nom"),
    "father": _("Nom du père"),
    "given_name": _("Prénom"),
    "given_on": _("Date d’administration"),
    "grade": _("Grade"),
    "gross_francs": _("Solde brute"),
    "hired_on": _("Date d’embauche"),
    "insured_number": _("Numéro d’assuré"),
    "issued_on": _("Délivré le"),
    "mention": _("Mention"),
    "month": _("Mois"),
    "mother": _("Nom de la mère"),
    "net_francs": _("Solde nette"),
    "number": _("Numéro de l’acte"),
    "open_tenders": _("Appels d’offres en cours"),
    "registered_on": _("Date d’inscription"),
    "request_number": _("Numéro de la demande"),
    "result": _("Résultat"),
    "scheme": _("Régime"),
    "sex": _("Sexe"),
    "staff_number": _("Matricule"),
    "standing": _("Situation"),
    "statement_number": _("Numéro du bulletin"),
    "tax_number": _("Identifiant fiscal unique (IFU)"),
    "vaccine": _("Vaccin"),
    "valid_until": _("Valable jusqu’au"),
    "year": _("Année"),
}
"""Every field of every collection."""


def label(name: str) -> str:
    """A field's label; of a field that a registry has added since, its name without underscores."""
    return str(FIELDS[name]) if name in FIELDS else name.replace("_", " ").capitalize()
