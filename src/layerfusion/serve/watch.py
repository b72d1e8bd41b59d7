"""Waiting for changes in the store: one look for everyone who waits, rather than one each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from layerfusion.serve.store import Store

PAUSE = 0.02  # seconds between two looks


class Watch:
    """Wakes whoever waits when another process has changed something in the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._look())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _look(self) -> None:
        seen = self.store.version()
        while True:
            await asyncio.sleep(PAUSE)
            if (now := self.store.version()) != seen:
                seen = now
                self._changed.set()
                self._changed = asyncio.Event()

    async def change(self, seconds: float) -> None:
        """Until something has changed, or this long."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
