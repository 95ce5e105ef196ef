"""Sets of backfills and of their items, in words."""

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from .models import Run, RunItem  # noqa: F401  (a model imports its querysets)


class RunQuerySet(models.QuerySet["Run"]):
    def active(self) -> "RunQuerySet":
        """Those that may still do something, paused ones included."""
        return self.filter(state__in=["queued", "running", "paused", "cancelling"])

    def claimable(self) -> "RunQuerySet":
        """Those from which an engine takes work."""
        return self.filter(state__in=["queued", "running"])


class RunItemQuerySet(models.QuerySet["RunItem"]):
    def unfinished(self) -> "RunItemQuerySet":
        return self.filter(state__in=["pending", "running"])

    def failed(self) -> "RunItemQuerySet":
        return self.filter(state="failed")
