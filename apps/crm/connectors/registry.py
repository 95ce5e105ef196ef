"""The connectors that can be chosen."""

from .base import Connector
from .http import HttpConnector

CONNECTORS: dict[str, type[Connector]] = {one.kind: one for one in (HttpConnector,)}
"""Each connector by its kind, in the order of pages."""
