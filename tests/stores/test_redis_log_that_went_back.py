"""A log that went back is told at once, whatever time the reader would wait (`Store.poll`)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.servers.redis import RedisServer
from tests.stores.redis_layout import opened


def test_a_head_below_the_cursor_is_told_without_waiting(redis_server: RedisServer) -> None:
    redis_server.call("FLUSHALL")

    async def scenario() -> None:
        async with opened(redis_server.url) as store, asyncio.timeout(5):
            page = await store.poll(99, wait=timedelta(seconds=60))
            assert page.head < 99

    asyncio.run(scenario())
