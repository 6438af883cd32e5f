"""Short-lived tokens for pictures: who has seen the page may see what is on it, for some minutes, and nothing else of the store.

A token names a place that this process has offered; it holds no bucket and no key, so none gets into a browser's history or a proxy's log.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["image", "overlay"]

PERIOD_S: Final = 300
"""Tokens of one period are the same, so a browser may keep the picture; they hold for one to two periods."""
MOST_PLACES: Final = 4_000
_NAME_BYTES, _MAC_BYTES, _PERIOD_BYTES = 12, 16, 5
_TOKEN_BYTES: Final = _NAME_BYTES + _PERIOD_BYTES + _MAC_BYTES


class TokenRefused(Exception):
    """A token that is expired, forged or of something that is no longer on the page; an answer to a request, not an error of the tree."""


@dataclass(frozen=True, slots=True)
class Place:
    """An object that a picture may be made of; `etag` and `version_id` pin what was judged."""

    kind: Kind
    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None


class Tokens:
    """Makes and reads tokens, by a key of this process that is drawn at its start and never leaves it."""

    def __init__(self, clock: Callable[[], float], key: bytes | None = None) -> None:
        self._clock = clock
        self._key = key or secrets.token_bytes(32)
        self._places: dict[bytes, Place] = {}

    def offer(self, place: Place) -> str:
        """Return a token for a place. The last `MOST_PLACES` places that were offered can be asked for."""
        name = hashlib.blake2b(repr(place).encode(), key=self._key, digest_size=_NAME_BYTES, person=b"place").digest()
        self._places.pop(name, None)
        self._places[name] = place
        if len(self._places) > MOST_PLACES:
            del self._places[next(iter(self._places))]
        return self._sealed(place.kind, name + self._period().to_bytes(_PERIOD_BYTES))

    def read(self, kind: Kind, token: str) -> Place:
        """Return the place that a token is for.

        Raises:
            TokenRefused: it is of another kind, forged, expired, or of a place that was forgotten.
        """
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii"))
        except ValueError:
            raise TokenRefused("not a token") from None
        body = raw[:-_MAC_BYTES]
        if len(raw) != _TOKEN_BYTES or not hmac.compare_digest(self._sealed(kind, body), token):
            raise TokenRefused("not a token of this process")
        if not 0 <= self._period() - int.from_bytes(body[_NAME_BYTES:]) <= 1:
            raise TokenRefused("expired")
        if (place := self._places.get(body[:_NAME_BYTES])) is None:
            raise TokenRefused("no longer on the page")
        return place

    def _period(self) -> int:
        return int(self._clock() // PERIOD_S)

    def _sealed(self, kind: Kind, body: bytes) -> str:
        mac = hmac.digest(self._key, kind.encode() + b"\0" + body, "sha256")[:_MAC_BYTES]
        return base64.urlsafe_b64encode(body + mac).decode()
