"""Ways to spoil bytes and JSON, each drawn from a seeded generator: the same draw spoils the same way."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

CANARY: Final = "canary4711"
"""Stands in what producers write, and must stand in nothing that we say."""

_TEXTS: Final = (
    "",
    " ",
    CANARY,
    f"{CANARY}\x00\x1f",
    f"\r\nX-Amz-Acl: public-read {CANARY}",
    f"../../{CANARY}",
    f"/{CANARY}",
    f"http://169.254.169.254/{CANARY}",
    f"file:///etc/{CANARY}",
    "%2e%2e%2f%00",
    "e\u0301",
    "\u202e\u200b\ufeff",
    "\U0001f4a9" * 300,
    "\ud800",
    "a" * 1025,
    "\\u0000",
    "null",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "2026-11-22T10:00:00Z",
    "ObjectCreated:Put",
    "s3:TestEvent",
    "deeptrace-images",
    "deeptrace-overlays",
    "overlays/a",
)
_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63,
    2**64,
    10**400,
    1e308,
    float("inf"),
    float("nan"),
    -0.0,
    [],
    {},
    [[]] * 200,
    {str(n): n for n in range(300)},
)
_CHUNKS: Final = (
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b'"',
    b"{",
    b"}",
    b"[" * 3000,
    b"\\ud800",
    b"1e999",
    b",",
    b"\xed\xa0\x80",
)


def spoil_bytes(data: bytes, draw: random.Random, *, others: tuple[bytes, ...] = (b"",), times: int = 3) -> bytes:
    """Flip, cut, repeat, insert and splice, up to `times` times."""
    for _ in range(draw.randint(1, times)):
        data = draw.choice(_BYTE_WAYS)(data, draw, others)
    return data


def _at(data: bytes, draw: random.Random) -> int:
    return draw.randrange(len(data) + 1)


def _flip(data: bytes, draw: random.Random, _others: tuple[bytes, ...]) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8, 40))):
        if changed:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, draw: random.Random, _others: tuple[bytes, ...]) -> bytes:
    at, filler = _at(data, draw), draw.choice((b"\x00", b"\xff", b"\x7f", draw.randbytes(1)))
    count = draw.choice((1, 2, 4, 64, 1000))
    return data[:at] + (filler * count)[: len(data) - at] + data[at + count :]


def _cut(data: bytes, draw: random.Random, _others: tuple[bytes, ...]) -> bytes:
    return data[: _at(data, draw)]


def _leave_out(data: bytes, draw: random.Random, _others: tuple[bytes, ...]) -> bytes:
    at = _at(data, draw)
    return data[:at] + data[at + draw.choice((1, 2, 4, 16, 256)) :]


def _repeat(data: bytes, draw: random.Random, _others: tuple[bytes, ...]) -> bytes:
    at, count = _at(data, draw), draw.choice((1, 4, 64, 1000))
    return data[:at] + data[at : at + count] * draw.choice((2, 3, 50)) + data[at + count :]


def _insert(data: bytes, draw: random.Random, _others: tuple[bytes, ...]) -> bytes:
    at = _at(data, draw)
    return data[:at] + draw.choice((*_CHUNKS, draw.randbytes(draw.choice((1, 4, 64))))) + data[at:]


def _splice(data: bytes, draw: random.Random, others: tuple[bytes, ...]) -> bytes:
    other = draw.choice(others)
    return data[: _at(data, draw)] + other[_at(other, draw) :]


_BYTE_WAYS: Final[tuple[Callable[[bytes, random.Random, tuple[bytes, ...]], bytes], ...]] = (
    *(_flip, _flip, _flip, _overwrite, _overwrite),
    *(_cut, _leave_out, _repeat, _insert, _splice),
)


def spoil_json(body: Any, draw: random.Random) -> bytes:
    """Change the structure in up to three places, and write it as JSON, now and then as JSON that is none."""
    body = json.loads(json.dumps(body))
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        places = list(_places(body))
        if not places:
            break
        _spoil_place(*draw.choice(places), draw)
    encoding = draw.choice(("utf-8",) * 30 + ("utf-16", "latin-1"))
    text = json.dumps(body, ensure_ascii=draw.random() < 0.5, separators=draw.choice(((",", ":"), (", ", ": "))))
    return text.encode(encoding, errors=draw.choice(("surrogatepass", "replace")) if encoding == "utf-8" else "replace")


def _places(value: Any, depth: int = 8) -> Iterator[tuple[Any, Any]]:
    """Yield every container with each of its keys, so many levels down."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in list(items):
        yield value, key
        if depth:
            yield from _places(child, depth - 1)


def _spoil_place(container: Any, key: Any, draw: random.Random) -> None:
    kind = draw.randrange(9)
    if kind == 0:
        del container[key]
    elif kind == 1:
        container[key] = [copy.deepcopy(container[key]) for _ in range(draw.choice((1, 2, 101, 150)))]
    elif kind == 2:
        container[key] = {draw.choice(_TEXTS): container[key]}
    elif kind == 3 and isinstance(container, dict):
        container[draw.choice(_TEXTS)] = container.pop(key)
    elif kind == 4 and isinstance(container, dict):
        container[draw.choice((*_TEXTS, "schema", "labels", "Records", "Event", "url"))] = copy.deepcopy(
            draw.choice(_VALUES)
        )
    elif kind == 5:
        container[key] = copy.deepcopy(draw.choice(_VALUES))
    elif kind == 6:
        container[key] = _deep(draw.choice((3, 60)))
    elif kind == 7 and isinstance(container[key], str):
        container[key] += draw.choice(_TEXTS)
    else:
        container[key] = draw.choice(_TEXTS)


def _deep(depth: int) -> Any:
    value: Any = CANARY
    for _ in range(depth):
        value = [value]
    return value
