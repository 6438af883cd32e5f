"""The HTTP server of a worker, on loopback."""

import asyncio

from aiohttp import ClientSession, web
from prometheus_client import CollectorRegistry

from streams.http import HealthServer


async def test_an_answer_without_end_does_not_hold_up_the_stop() -> None:
    """A browser that has fallen asleep takes nothing more and lets nothing go; the worker has to end all the same."""
    begun = asyncio.Event()

    async def answers_never(_request: web.Request) -> web.Response:
        begun.set()
        await asyncio.Event().wait()
        return web.Response()

    server = HealthServer(
        host="127.0.0.1",
        port=0,
        registry=CollectorRegistry(),
        readiness={},
        routes=[lambda app: app.router.add_get("/slow", answers_never)],
    )
    await server.start()
    async with ClientSession() as client:
        asking = asyncio.create_task(client.get(f"http://127.0.0.1:{server.port}/slow"))
        await begun.wait()
        async with asyncio.timeout(30):  # aiohttp alone waits for a minute
            await server.stop()
        asking.cancel()
        await asyncio.wait({asking})
