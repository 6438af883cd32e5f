"""Who may ask: pages of other origins may not, nor may a name that somebody points at this machine (DNS rebinding)."""

from collections.abc import Awaitable, Callable, Collection
from ipaddress import ip_address
from typing import Final

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_OTHER_ORIGINS: Final = frozenset({"cross-site", "same-site"})


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine and only this."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Answers 421 to a request for another host and 403 to one that another site's page made; else lets it through."""

    def __init__(self, bound_to: str, hosts: Collection[str]) -> None:
        """Take what the server listens on and the names it may be asked for by.

        Without names: on loopback only loopback's own; on a network any, since its names are not known here.
        """
        self._any = not hosts and not is_loopback(bound_to)
        self._hosts = {host.lower() for host in hosts}

    def __call__(self, handler: Handler) -> Handler:
        """Return `handler` behind the guard; its answers get the headers that every answer has, unless it set its own."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if not self._any and not self._knows(request.host):
                return web.Response(status=421, text="This host name is not served here.\n", headers=HEADERS)
            if request.headers.get("Sec-Fetch-Site") in _OTHER_ORIGINS and request.path != "/":
                return web.Response(status=403, text="Not for other sites.\n", headers=HEADERS)
            response = await handler(request)
            if not response.prepared:
                for name, value in HEADERS.items():
                    response.headers.setdefault(name, value)
            return response

        return guarded

    def _knows(self, host: str) -> bool:
        name = host.lower()
        name = name[1:].split("]", 1)[0] if name.startswith("[") else name.split(":", 1)[0]
        return is_loopback(name) or name in self._hosts
