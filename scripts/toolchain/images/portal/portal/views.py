"""Pages: the catalogue, a service's form with its answer, the visitor's own questions."""

from __future__ import annotations

import json
import logging
import uuid

from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.views.decorators.http import require_http_methods, require_safe

from portal.catalogue import Offer, offers
from portal.exchange import Answer, Outcome, ask
from portal.forms import IdentifierForm
from portal.labels import FIELDS, SERVICES
from portal.models import Question

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
        {"collection": offer.collection, "title": SERVICES[offer.collection][0], "offer": offer}
        for offer in offers().values()
    ]
    return render(request, "home.html", {"cards": cards})


@require_http_methods(["GET", "HEAD", "POST"])
def service(request: HttpRequest, collection: str) -> HttpResponse:
    """A service's form; posted, its answer below the form."""
    offer = offers().get(collection)
    if offer is None:
        raise Http404
    title, hint = SERVICES[collection]
    page = {"offer": offer, "title": title, "hint": hint, "form": IdentifierForm()}
    if request.method != "POST":
        return render(request, "service.html", page)
    form = IdentifierForm(request.POST)
    if not form.is_valid():
        return render(request, "service.html", {**page, "form": form}, status=400)
    answer = ask(offer, form.cleaned_data["identifier"])
    _remember(request, offer, answer)
    rows = [(FIELDS.get(name, name), value) for name, value in answer.record.items()]
    return render(
        request,
        "service.html",
        {**page, "form": form, "answer": answer, "rows": rows},
        status=STATUS[answer.outcome],
    )


@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """The questions of this visit."""
    visitor = request.session.get("visitor")
    found = Question.objects.filter(visitor=visitor)[:50] if visitor else []
    rows = [(question, SERVICES[question.collection][0]) for question in found]
    return render(request, "history.html", {"rows": rows})


@require_safe
def healthy(_: HttpRequest) -> JsonResponse:
    """Whether the process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(_: HttpRequest) -> JsonResponse:
    """Whether the database answers too."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"status": "the database can't be read"}, status=503)
    return JsonResponse({"status": "ok"})


def missing(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """A page that doesn't exist."""
    return render(request, "missing.html", status=404)


def _remember(request: HttpRequest, offer: Offer, answer: Answer) -> None:
    """Keep that the question was asked, and log it without the identifier or the record."""
    visitor = request.session.setdefault("visitor", str(uuid.uuid4()))
    Question.objects.create(
        visitor=visitor,
        collection=offer.collection,
        outcome=answer.outcome.value,
        message_id=answer.message_id,
    )
    log.info(
        json.dumps(
            {
                "event": "question",
                "visitor": visitor,
                "collection": offer.collection,
                "outcome": answer.outcome.value,
                "message": answer.message_id,
                "error": answer.error,
                "language": get_language(),
            }
        )
    )
