"""A webhook on loopback that answers as it is told, and keeps what it was sent."""

from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


OK = Answer(200)


class FakeSlack:
    """Serves on a free port. Answers are given in order, then 200 to everything."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, object]] = []
        self.accepted: list[str] = []
        """The texts that were answered with 200."""
        app = web.Application()
        app.router.add_post("/services/T000/B000/secret", self._take)
        self._runner = web.AppRunner(app, access_log=None)

    @property
    def url(self) -> str:
        """The webhook's address."""
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}/services/T000/B000/secret"

    @property
    def texts(self) -> list[str]:
        """The messages that were answered, 200 or not."""
        return [str(body["text"]) for body in self.bodies]

    async def __aenter__(self):
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.json()
        answer = self.answers.pop(0) if self.answers else OK
        self.bodies.append(body)
        if answer.status == OK.status:
            self.accepted.append(str(body["text"]))
        return web.Response(status=answer.status, headers=answer.headers, text="ok" if answer == OK else "no")
