"""Fixtures: a world of one's own, references as a producer writes them, and HTTP."""

import urllib.error
import urllib.request

import pytest
from support.world import World


@pytest.fixture
def world(tmp_path):
    """A world of one's own: topics are shared by nobody."""
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def http():
    """Ask a loopback URL; returns status and body."""

    def get(url: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    return get
