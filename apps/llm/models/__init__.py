"""``LanguageModel``: the models and their prices. ``Usage``: the ledger of requests.

``Spending``: the ledger, summed by day, agent, and run. ``SpendingCap``: its limits.
"""

from .language_models import LanguageModel
from .spending import Purpose, Spending, SpendingCap, Usage, UsageQuerySet

__all__ = ["LanguageModel", "Purpose", "Spending", "SpendingCap", "Usage", "UsageQuerySet"]
