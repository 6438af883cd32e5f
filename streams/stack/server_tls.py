from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The PEM files of a server that speaks TLS: its certificate, the certificate's key (PKCS#8, not encrypted), and the CA of both ends."""

    certificate: Path
    key: Path
    ca: Path
