"""Addresses of the portal: pages under their language, probes beside them."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.urls import path
from django.views.generic import RedirectView

from portal import views

urlpatterns = [
    path("healthz", views.healthy),
    path("readyz", views.ready),
    # French first: a visitor chooses English, the browser's settings don't.
    path("", RedirectView.as_view(url="/fr/")),
    *i18n_patterns(
        path("", views.home, name="home"),
        path("services/<slug:collection>/", views.service, name="service"),
        path("demandes/", views.history, name="history"),
    ),
]
handler400 = "portal.views.misunderstood"
handler404 = "portal.views.missing"
handler500 = "portal.views.broken"
