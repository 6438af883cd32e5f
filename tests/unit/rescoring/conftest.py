"""A scene of one's own."""

import pytest
from support.rescoring import Scene


@pytest.fixture
async def scene():
    """A store, a past and a replay topic that nobody used before."""
    made = Scene()
    yield made
    await made.close()
