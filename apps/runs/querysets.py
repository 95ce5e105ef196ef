"""Sets of backfills and of their items, in words."""

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from .models import Backfill, BackfillItem  # noqa: F401  (a model imports its querysets)


class BackfillQuerySet(models.QuerySet["Backfill"]):
    def active(self) -> "BackfillQuerySet":
        """Those that may still do something, paused ones included."""
        return self.filter(state__in=["queued", "running", "paused", "cancelling"])

    def claimable(self) -> "BackfillQuerySet":
        """Those from which an engine takes work."""
        return self.filter(state__in=["queued", "running"])


class ItemQuerySet(models.QuerySet["BackfillItem"]):
    def unfinished(self) -> "ItemQuerySet":
        return self.filter(state__in=["pending", "running"])

    def failed(self) -> "ItemQuerySet":
        return self.filter(state="failed")
