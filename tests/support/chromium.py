"""A headless Chromium over its DevTools protocol: what a page shows, says on its console and asks the network for."""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

START_S = 60.0
ANSWER_S = 60.0
MARK = b"DevTools listening on "


def chromium() -> str | None:
    """Return the browser of this machine, or None."""
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


def require_chromium() -> str:
    """Return the browser, or skip the test."""
    if (found := chromium()) is None:
        pytest.skip("needs Chromium on PATH")
    return found


class Tab:
    """One page. `console` holds errors and warnings, `requests` every URL that was asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self.console: list[str] = []
        self.requests: list[str] = []
        self._socket = socket
        self._session = session
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol and return its answer."""
        self._number += 1
        number = self._number
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "sessionId": self._session, "method": method, "params": parameters})
        return await asyncio.wait_for(self._answers[number], ANSWER_S)

    async def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Go to a page in a window of a size."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.send(f"{domain}.enable")
        await self.resize(width, height)
        await self.send(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        await self.send("Page.navigate", url=url)

    async def resize(self, width: int, height: int = 900) -> None:
        """Give the window a size."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def run(self, script: str) -> Any:
        """Return what an expression comes to."""
        answer = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, script: str, timeout_s: float = 60) -> Any:
        """Return what an expression comes to once that is true."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout_s
        while not (found := await self.run(script)):
            if loop.time() > ends_at:
                text = await self.run("document.body.innerText")
                raise AssertionError(f"never came: {script}\nconsole: {self.console}\nthe page says:\n{text[:3000]}")
            await asyncio.sleep(0.1)
        return found

    async def point(self, selector: str) -> None:
        """Move the pointer to the middle of an element."""
        box = await self.run(
            f"(() => {{ const one = document.querySelector('{selector}'); one.scrollIntoView({{ block: 'center' }}); return one.getBoundingClientRect().toJSON(); }})()"
        )
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        await self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    async def press(self, key: str) -> None:
        """Press and release a key, named as in KeyboardEvent.key."""
        code = {"Tab": 9, "Enter": 13, "Escape": 27}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    async def picture(self) -> bytes:
        """Return the whole page as PNG, also what is below the window's edge."""
        size = (await self.send("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(answer["data"])

    def hear(self, message: dict[str, Any]) -> None:
        """Take what the browser sent."""
        if "id" in message:
            answer = self._answers.pop(message["id"])
            if answer.done():
                return
            if "error" in message:
                answer.set_exception(AssertionError(message["error"]))
            else:
                answer.set_result(message["result"])
            return
        method, said = message["method"], message["params"]
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.console.append(json.dumps(said["exceptionDetails"])[:800])
        elif method == "Log.entryAdded" and said["entry"]["level"] in {"error", "warning"}:
            self.console.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and said["type"] in {"error", "warning", "assert"}:
            self.console.append(json.dumps(said["args"])[:800])


@asynccontextmanager
async def tab(binary: str):
    """Start a browser with one empty page; both end with the block."""
    folder = Path(tempfile.mkdtemp(prefix="deeptrace-chromium-"))
    browser = await asyncio.create_subprocess_exec(
        binary,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--hide-scrollbars",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    draining = None
    try:
        address = await asyncio.wait_for(_address(browser), START_S)
        draining = asyncio.create_task(browser.stderr.read())
        async with aiohttp.ClientSession() as http, http.ws_connect(address, max_msg_size=0) as socket:
            await socket.send_json({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}})
            target = (await _answer(socket, 1))["targetId"]
            attach = {"id": 2, "method": "Target.attachToTarget", "params": {"targetId": target, "flatten": True}}
            await socket.send_json(attach)
            made = Tab(socket, (await _answer(socket, 2))["sessionId"])
            listening = asyncio.create_task(_listen(socket, made))
            try:
                yield made
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
    finally:
        if browser.returncode is None:
            browser.kill()
        await browser.wait()
        if draining is not None:
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
        shutil.rmtree(folder, ignore_errors=True)


async def _address(browser: Any) -> str:
    while line := await browser.stderr.readline():
        if line.startswith(MARK):
            return line[len(MARK) :].decode().strip()
    raise AssertionError("the browser ended before it listened")


async def _answer(socket: aiohttp.ClientWebSocketResponse, number: int) -> dict[str, Any]:
    while True:
        message = json.loads((await socket.receive()).data)
        if message.get("id") == number:
            return message["result"]


async def _listen(socket: aiohttp.ClientWebSocketResponse, made: Tab) -> None:
    async for message in socket:
        heard = json.loads(message.data)
        if heard.get("sessionId"):
            made.hear(heard)
