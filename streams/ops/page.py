"""The page itself: one HTML file with style and script in it, put together once, and the policy that lets the browser run nothing else."""

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

MOST_BYTES: Final = 150_000
STYLES: Final = ("page.css",)
SCRIPTS: Final = ("elements.js", "charts.js", "view.js", "plots.js", "lists.js", "verdicts.js", "page.js")


@dataclass(frozen=True, slots=True)
class Page:
    """The bytes, and the Content-Security-Policy that goes with them."""

    html: bytes
    policy: str


def make_page() -> Page:
    """Put the page together from `static/`.

    The policy names the hashes of its one style and its one script: what hostile text might smuggle in does not run, and nothing is
    asked of any other origin.
    """
    style = "\n".join(_read(name) for name in STYLES)
    script = "(() => {\n" + "\n".join(_read(name) for name in SCRIPTS) + "\n})();"
    html = _read("page.html").replace("/* style */", style).replace("/* script */", script)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        )
    )
    return Page(html.encode(), policy)


def _read(name: str) -> str:
    return (files("streams.ops") / "static" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
