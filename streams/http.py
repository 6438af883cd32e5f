"""`/livez`, `/readyz` and `/metrics` of a worker, on loopback unless told otherwise."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from schemas.errors import ConfigError

LEAVE_S = 3.0  # aiohttp waits a minute for an answer that its reader does not take

Check = Callable[[], Awaitable[str | None]]
"""Returns None when all is well, else what is wrong."""


class HealthServer:
    """Answers 200 or 503 with one line of JSON a check. Alive means the event loop runs; ready means that references get verdicts."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        registry: CollectorRegistry,
        readiness: Mapping[str, Check],
        routes: Iterable[Callable[[web.Application], None]] = (),
    ) -> None:
        self._host = host
        self._port = port
        self._readiness = readiness
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", make_aiohttp_handler(registry))
        for add in routes:
            add(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=LEAVE_S)

    @property
    def port(self) -> int:
        """The port that is listened on, also when 0 was asked for."""
        address = self._runner.addresses[0]
        return int(address[1])

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the port is taken.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"cannot listen on {self._host}:{self._port}",
                why=error.strerror or type(error).__name__,
                remedy="Choose another DEEPTRACE_HTTP__PORT, DEEPTRACE_HTTP__DRIFT_PORT or DEEPTRACE_HTTP__NARRATOR_PORT; 0 picks a free one.",
            ) from error

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _livez(self, _request: web.Request) -> web.Response:
        return _answer(200, {"status": "ok"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        faults = {name: await check() for name, check in self._readiness.items()}
        ready = not any(faults.values())
        body = {
            "status": "ok" if ready else "not ready",
            "checks": {name: fault or "ok" for name, fault in faults.items()},
        }
        return _answer(200 if ready else 503, body)


def _answer(status: int, body: Mapping[str, object]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body) + b"\n", content_type="application/json")
