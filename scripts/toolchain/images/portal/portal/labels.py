"""What services and fields are called on pages. French is the language of the source."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

SERVICES: dict[str, tuple[Promise, Promise]] = {
    "staff-records": (_("Dossier d’agent de l’État"), _("Matricule")),
    "pay-statements": (_("Bulletin de solde"), _("Numéro du bulletin")),
    "suppliers": (_("Situation d’un fournisseur"), _("Identifiant fiscal (IFU)")),
    "birth-records": (_("Acte de naissance"), _("Numéro de l’acte")),
    "entitlements": (_("Droits sociaux"), _("Numéro d’assuré")),
    "diplomas": (_("Vérification de diplôme"), _("Numéro du diplôme")),
    "criminal-records": (_("Extrait de casier judiciaire"), _("Numéro de la demande")),
    "vaccinations": (_("Carnet de vaccination"), _("Numéro de la carte")),
}
"""For each collection its title, and what the identifier is called."""

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
    "gross_francs": _("Solde brute (FCFA)"),
    "hired_on": _("Date d’embauche"),
    "insured_number": _("Numéro d’assuré"),
    "issued_on": _("Délivré le"),
    "mention": _("Mention"),
    "month": _("Mois"),
    "mother": _("Nom de la mère"),
    "net_francs": _("Solde nette (FCFA)"),
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
    "tax_number": _("Identifiant fiscal (IFU)"),
    "vaccine": _("Vaccin"),
    "valid_until": _("Valable jusqu’au"),
    "year": _("Année"),
}
"""Every field of every collection."""
