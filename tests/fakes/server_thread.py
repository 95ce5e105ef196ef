"""An aiohttp server in a thread of the test's process."""

import asyncio
import threading
from typing import Any

from aiohttp import web


class ServerThread:
    """A running server on a free port. A subclass responds in `respond`, and sets its own
    attributes before it calls `__init__`: requests may come at once."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port: int = self._run(self._start())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the response to a request."""
        raise NotImplementedError

    def close(self) -> None:
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> int:
        self._runner = web.ServerRunner(
            web.Server(self.respond, access_log=None), shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return int(self._runner.addresses[0][1])
