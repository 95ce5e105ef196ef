"""Sets of ledger rows, in words."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from .models import Usage  # noqa: F401  (a model imports its querysets)


class UsageQuerySet(models.QuerySet["Usage"]):
    def between(self, start: datetime, end: datetime) -> "UsageQuerySet":
        """What was asked from ``start`` on, before ``end``."""
        return self.filter(at__gte=start, at__lt=end)

    def analyses(self) -> "UsageQuerySet":
        """Requests of analyses, failed ones too: what was paid counts, whatever came of it."""
        return self.filter(purpose="analysis")
