"""Runs, their items, and the batches of the provider that carry items."""

from .item import (
    ItemState,
    ItemTally,
    RunItem,
    RunItemQuerySet,
    SkipReason,
)
from .run import (
    ACTIVE,
    BY_ITSELF,
    MAX_TRIAL_SIZE,
    TRIAL_RETENTION,
    USUAL_TRIAL_SIZE,
    WITHOUT_MODEL,
    Kind,
    PauseReason,
    Run,
    RunQuerySet,
    State,
    run_id,
)
from .shipment import AT_PROVIDER, Shipment, ShipmentState, shipment_id

__all__ = [
    "ACTIVE",
    "AT_PROVIDER",
    "BY_ITSELF",
    "MAX_TRIAL_SIZE",
    "TRIAL_RETENTION",
    "USUAL_TRIAL_SIZE",
    "WITHOUT_MODEL",
    "ItemState",
    "ItemTally",
    "Kind",
    "PauseReason",
    "Run",
    "RunItem",
    "RunItemQuerySet",
    "RunQuerySet",
    "Shipment",
    "ShipmentState",
    "SkipReason",
    "State",
    "run_id",
    "shipment_id",
]
