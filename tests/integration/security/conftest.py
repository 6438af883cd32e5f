"""One secured broker and one secured store for all of these tests: what a test takes away it gives back."""

import pytest
from support.secure_world import SecureWorld


@pytest.fixture(scope="session")
def secured(minio_binary, tmp_path_factory):
    """The servers, and a worker's settings for them."""
    world = SecureWorld(tmp_path_factory.mktemp("secured"))
    yield world
    world.close()
