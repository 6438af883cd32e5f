"""Certificates of a CA of one's own, made with the openssl command."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import pytest

from streams.stack.server_tls import ServerTls

NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split()


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, both PEM."""

    certificate: Path
    key: Path


class Authority:
    """A CA with its files in `folder`; whoever trusts `certificate` trusts what it issues."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        if which("openssl") is None:
            pytest.skip("needs the openssl command to make certificates")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.certificate, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
        self._openssl(
            *("req", "-x509", *NEW_KEY, "-days", "2", "-subj", f"/CN=DeepTrace test {name}"),
            *(word for extension in extensions for word in ("-addext", extension)),
            *("-keyout", self._key, "-out", self.certificate),
        )

    def issue(self, name: str, *, subject: str | None = None, hosts: str = "", days: int = 2) -> Issued:
        """Issue a certificate: for a server at `hosts` (such as `IP:127.0.0.1`), else for a client. `days=-1`: it has expired."""
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        issued = Issued(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        extensions.write_text(f"subjectAltName={hosts}\n" if hosts else "extendedKeyUsage=clientAuth\n")
        subject = subject or f"/O=DeepTrace tests/CN={name}"
        self._openssl("req", *NEW_KEY, "-subj", subject, "-keyout", issued.key, "-out", request)
        signing = ("-CA", self.certificate, "-CAkey", self._key, "-extfile", extensions, "-days", days)
        self._openssl("x509", "-req", "-in", request, *signing, "-out", issued.certificate)
        return issued

    def server(self, name: str, hosts: str = "IP:127.0.0.1", days: int = 2) -> ServerTls:
        """Issue what a server of the local stack needs."""
        issued = self.issue(name, hosts=hosts, days=days)
        return ServerTls(issued.certificate, issued.key, self.certificate)

    def locked(self, key: Path, password: str) -> Path:
        """Return a copy of `key` that a password protects."""
        target = key.with_suffix(".locked.key")
        self._openssl("pkcs8", "-topk8", "-in", key, "-passout", f"pass:{password}", "-out", target)
        return target

    def _openssl(self, *arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=self.folder)
