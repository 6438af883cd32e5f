"""The end of a certificate's validity, read from its file as openssl reads it."""

import subprocess
from datetime import UTC, datetime

import pytest
from support.certificates import Authority

from schemas.errors import ConfigError
from streams.certificates import valid_until


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize("days", [-1, 2, 12_000], ids=["expired", "two-days", "after-2049"])
def test_it_is_what_openssl_says(authority, days):
    """Also past 2049, when the form of the date changes."""
    file = authority.issue(f"days{days}", days=days).certificate
    said = subprocess.run(
        ["openssl", "x509", "-in", file, "-noout", "-enddate"], capture_output=True, text=True, check=True
    ).stdout.removeprefix("notAfter=")
    assert valid_until(file) == datetime.strptime(said.strip(), "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


def test_of_a_chain_the_first_counts(authority, tmp_path):
    """It is ours; the others are those who vouch for it."""
    first, second = authority.issue("short", days=1).certificate, authority.issue("long", days=100).certificate
    chain = tmp_path / "chain.pem"
    chain.write_text(first.read_text() + second.read_text())
    assert valid_until(chain) == valid_until(first) < valid_until(second)


@pytest.mark.parametrize("content", ["", "junk", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_said(content, tmp_path):
    """Not a traceback of the parser."""
    file = tmp_path / "no.pem"
    file.write_text(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        valid_until(file)


def test_a_certificate_that_is_cut_off_is_said(authority, tmp_path):
    """At any length."""
    lines = authority.certificate.read_text().splitlines()
    for kept in range(1, len(lines) - 1):
        file = tmp_path / f"{kept}.pem"
        file.write_text("\n".join([*lines[:kept], lines[-1], ""]))
        with pytest.raises(ConfigError):
            valid_until(file)
