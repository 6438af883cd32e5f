"""Until when certificates are valid: ours, read from its file, and a server's, as it shows it."""

import asyncio
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from schemas.errors import ConfigError

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
VERSION, UTC_TIME = 0xA0, 0x17  # DER tags: `[0]`, and a time with a year of two digits
LONG_FORM = 0x80
VALIDITY = 3  # after serial number, signature algorithm and issuer
TIMEOUT_S = 10.0


def valid_until(pem: Path) -> datetime:
    """Return the end of the validity of the first certificate in a PEM file. Python's ssl tells it of a peer's certificate only.

    Raises:
        ConfigError: there is no certificate in the file.
    """
    try:
        _, _, rest = pem.read_text(errors="replace").partition(BEGIN)
        body, _, _ = rest.partition(END)
        return _not_after(ssl.PEM_cert_to_DER_cert(f"{BEGIN}{body}{END}\n"))
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError(
            f"the certificate {pem} cannot be read", why=type(error).__name__, remedy="Name a certificate in PEM form."
        ) from None


async def server_valid_until(host: str, port: int, context: ssl.SSLContext) -> datetime:
    """Return the end of the validity of the certificate that a server shows. Raises OSError where there is no trusted one."""
    async with asyncio.timeout(TIMEOUT_S):
        _, writer = await asyncio.open_connection(host, port, ssl=context)
        try:
            shown = writer.get_extra_info("peercert")["notAfter"]
        finally:
            writer.transport.abort()
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(shown), UTC)


def _not_after(der: bytes) -> datetime:
    [(_, certificate)] = _elements(der)
    (_, to_be_signed), *_ = _elements(certificate)
    fields = [element for element in _elements(to_be_signed) if element[0] != VERSION]
    _, (tag, text) = _elements(fields[VALIDITY][1])
    digits = text.decode("ascii")
    if tag == UTC_TIME:  # RFC 5280: 50 is 1950, 49 is 2049
        digits = ("19" if digits >= "50" else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element that follows the one before."""
    while der:
        tag, length, start = der[0], der[1], 2
        if length >= LONG_FORM:
            start += length - LONG_FORM
            length = int.from_bytes(der[2:start], "big")
        if len(der) < start + length:
            raise ValueError("cut off")
        yield tag, der[start : start + length]
        der = der[start + length :]
