"""The connectors that can be chosen."""

from .base import Connector
from .http import HttpConnector
from .hubspot import HubSpot
from .salesforce import Salesforce

_ALL: tuple[type[Connector], ...] = (HttpConnector, HubSpot, Salesforce)

CONNECTORS: dict[str, type[Connector]] = {one.kind: one for one in _ALL}
"""Each connector by its kind, in the order of pages."""
