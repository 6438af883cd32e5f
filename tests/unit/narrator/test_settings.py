"""The narrator's settings: off by default, the key never shown, and sent only where it is safe."""

import pytest

from schemas.errors import ConfigError
from streams.settings import NarratorSettings, Settings
from streams.settings_sources import load

KEY = "sk-canary-0123456789"


def test_it_is_off_by_default():
    """A key of the SDK's own in the environment changes nothing."""
    assert not Settings().narrator.is_on
    assert not load({"ANTHROPIC_API_KEY": KEY}).settings.narrator.is_on
    assert load({"DEEPTRACE_NARRATOR__API_KEY": KEY}).settings.narrator.is_on


def test_the_key_is_not_shown():
    """Neither in text nor in JSON, and not when another value is wrong."""
    settings = load({"DEEPTRACE_NARRATOR__API_KEY": KEY}).settings
    assert KEY not in f"{settings!r} {settings} {settings.model_dump_json()}"
    with pytest.raises(ConfigError) as caught:
        load({"DEEPTRACE_NARRATOR__API_KEY": KEY, "DEEPTRACE_NARRATOR__MODEL": KEY * 20})
    assert KEY not in f"{caught.value} {caught.value.remedy}"


def test_the_key_may_lie_in_a_file(tmp_path):
    """As the secrets of a container do."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    settings = load({"DEEPTRACE_NARRATOR__API_KEY_FILE": str(tmp_path / "key")}).settings
    assert settings.narrator.api_key.get_secret_value() == KEY


@pytest.mark.parametrize(
    "url",
    [
        "https://api.anthropic.com",
        "https://gateway.example:8443/claude",
        "http://127.0.0.1:8080",
        "http://localhost:1/x",
        "http://[::1]:9",
        "http://127.9.9.9",
    ],
)
def test_addresses_that_keep_a_secret(url):
    """TLS, or this machine."""
    assert NarratorSettings(base_url=url).base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://api.anthropic.com",
        "http://10.0.0.1",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://2130706433",
        "ftp://127.0.0.1",
        "https://",
        "api.anthropic.com",
        "",
        "https://user:secret@gateway.example",
        "https://gateway.example?key=secret",
        "https://[::1",
    ],
)
def test_addresses_that_do_not(url):
    """Refused, without repeating what may hold a password."""
    with pytest.raises(ConfigError) as caught:
        load({"DEEPTRACE_NARRATOR__BASE_URL": url})
    assert "narrator.base_url" in str(caught.value)
    assert "secret" not in str(caught.value)
