"""What the portal remembers: that a question was asked, never what was answered."""

from __future__ import annotations

from django.db import models


class Question(models.Model):
    """A visitor's question to an administration. The identifier asked for isn't kept."""

    ASKED = "asked"
    """The outcome while no answer is there yet; how a question that was interrupted stays."""

    visitor = models.UUIDField()
    """A number of the visitor's session; it names nobody."""
    collection = models.CharField(max_length=40)
    asked_at = models.DateTimeField(auto_now_add=True)
    outcome = models.CharField(max_length=12)
    message_id = models.CharField(max_length=255)
    """Under it both security servers hold the signed message."""

    class Meta:
        """Newest first; a visitor's own are looked up."""

        ordering = ("-asked_at", "-id")
        indexes = (models.Index(fields=("visitor", "-asked_at"), name="question_of_visitor"),)

    def __str__(self) -> str:
        return f"{self.collection} {self.outcome} {self.message_id}"
