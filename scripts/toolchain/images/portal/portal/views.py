"""Pages: the catalogue, a service's form with its answer, the visitor's own questions."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from portal.catalogue import Offer, offers
from portal.exchange import Answer, Outcome, ask
from portal.forms import IdentifierForm
from portal.labels import SERVICES, label
from portal.models import Question
from portal.values import written

log = logging.getLogger("portal.audit")

STATUS = {
    Outcome.FOUND: 200,
    Outcome.NOT_FOUND: 404,
    Outcome.DENIED: 403,
    Outcome.UNAVAILABLE: 502,
}


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The services of all administrations."""
    cards = [
        {"collection": offer.collection, "texts": SERVICES[offer.collection], "offer": offer}
        for offer in offers().values()
    ]
    return render(request, "home.html", {"cards": cards})


@require_http_methods(["GET", "HEAD", "POST"])
def service(request: HttpRequest, collection: str) -> HttpResponse:
    """A service's form; posted, its answer above the form."""
    offer = offers().get(collection)
    if offer is None:
        raise Http404
    page: dict[str, Any] = {"offer": offer, "texts": SERVICES[collection], "form": IdentifierForm()}
    if request.method != "POST":
        return render(request, "service.html", page)
    form = IdentifierForm(request.POST)
    if not form.is_valid():
        return render(request, "service.html", {**page, "form": form}, status=400)
    message_id = str(uuid.uuid4())
    try:
        question = _remember(request, offer, message_id)
    except DatabaseError as error:
        # Without a trace of the question nothing is asked.
        log.error("question not kept", extra={"facts": {"error": type(error).__name__}})  # noqa: TRY400
        return render(request, "service.html", {**page, "form": form, "unrecorded": True}, status=503)
    answer = ask(offer, form.cleaned_data["identifier"], message_id)
    _complete(question, answer)
    page |= {"form": form, "answer": answer}
    page["rows"] = [(label(name), written(name, value)) for name, value in answer.record.items()]
    return render(request, "service.html", page, status=STATUS[answer.outcome])


@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """The questions of this visit."""
    visitor = request.session.get("visitor")
    questions = Question.objects.filter(visitor=visitor)[:50] if visitor else []
    rows = [(question, SERVICES[question.collection].title) for question in questions]
    return render(request, "history.html", {"rows": rows})


@require_safe
def healthy(_request: HttpRequest) -> JsonResponse:
    """Whether the process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(_request: HttpRequest) -> JsonResponse:
    """Whether the database answers too."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"status": "the database can't be read"}, status=503)
    return JsonResponse({"status": "ok"})


def missing(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """A page that doesn't exist."""
    words = _("Cette adresse ne mène à aucun service.")
    return render(request, "notice.html", {"heading": _("Page introuvable"), "words": words}, status=404)


def misunderstood(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """A request that no form of the portal makes."""
    words = _("Cette demande ne vient pas d’un formulaire du portail.")
    return render(request, "notice.html", {"heading": _("Demande incomprise"), "words": words}, status=400)


def stale(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django's signature
    """A form without its token: left open too long, or a browser without cookies."""
    words = _(
        "Le formulaire est resté ouvert trop longtemps, ou votre navigateur refuse les cookies. "
        "Rien n’a été envoyé."
    )
    return render(request, "notice.html", {"heading": _("Formulaire expiré"), "words": words}, status=403)


def broken(request: HttpRequest) -> HttpResponse:
    """An error of the portal itself; its cause is in the log."""
    words = _("Le portail n’a pas pu traiter votre demande. Réessayez dans quelques minutes.")
    return render(request, "notice.html", {"heading": _("Service interrompu"), "words": words}, status=500)


def _remember(request: HttpRequest, offer: Offer, message_id: str) -> Question:
    """Keep that the question is asked, before it is. DatabaseError if it can't be kept."""
    visitor = request.session.setdefault("visitor", str(uuid.uuid4()))
    return Question.objects.create(
        visitor=visitor,
        collection=offer.collection,
        outcome=Question.ASKED,
        message_id=message_id,
    )


def _complete(question: Question, answer: Answer) -> None:
    """Keep how it ended, and log it without the identifier or the record."""
    question.outcome = answer.outcome.value
    facts = {
        "visitor": str(question.visitor),
        "collection": question.collection,
        "outcome": answer.outcome.value,
        "message": question.message_id,
        "error": answer.error,
        "language": get_language(),
    }
    try:
        question.save(update_fields=["outcome"])
    except DatabaseError as error:
        # The visitor still gets the answer: that it was asked is kept already.
        facts["not_kept"] = type(error).__name__
    log.info("question", extra={"facts": facts})
