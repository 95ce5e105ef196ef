"""The connectors in use by a process, over one guarded HTTP client."""

from collections import OrderedDict

from apps.core.guarded_client import GuardedClient

from .connectors.base import Account, Connector
from .connectors.registry import CONNECTORS

_IN_USE = 200


class CrmClient(GuardedClient):
    """One connector for each connection and its settings: made in the loop that uses it."""

    def __init__(self) -> None:
        super().__init__()
        self._connectors: OrderedDict[str, Connector] = OrderedDict()

    def connector(self, kind: str, account: Account) -> Connector:
        """Return the connector of these settings, with the tokens that it has by now."""
        found = self._connectors.get(account.key)
        if found is None:
            found = self._connectors[account.key] = CONNECTORS[kind](account, self.session)
            if len(self._connectors) > _IN_USE:
                self._connectors.popitem(last=False)
        self._connectors.move_to_end(account.key)
        return found
