"""A registry in memory, and two checkpoints to put into it."""

from pathlib import Path

import pytest
from support.tiny_release import write_checkpoint

from storage.memory import MemoryStore
from streams.releases.publishing import publish
from streams.releases.registry import Registry

BUCKET = "deeptrace-models"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore({BUCKET})


@pytest.fixture
def registry(store: MemoryStore) -> Registry:
    return Registry(store, BUCKET)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files by the version they are published as: two that serve one crop, one that serves five, one that was simulated."""
    folder = tmp_path_factory.mktemp("checkpoints")
    made = {
        "1.0": {"seed": 1},
        "1.1": {"seed": 2},
        "five-crops": {"seed": 3, "preprocess_id": "crops5-224-native-v1"},
        "simulated": {"seed": 4, "training_data": "simulated-v2"},
    }
    for version, facts in made.items():
        write_checkpoint(folder / f"{version}.safetensors", version=f"file-{version}", **facts)
    return {version: folder / f"{version}.safetensors" for version in made}


@pytest.fixture(scope="session")
def template(checkpoints: dict[str, Path]):
    """All of them published once, and their manifests: loading one takes a tenth of a second."""
    store = MemoryStore({BUCKET})
    registry = Registry(store, BUCKET)
    made = {
        version: publish(registry, path, model="detector", version=version, report=None).release
        for version, path in checkpoints.items()
    }
    return store, made


@pytest.fixture
def published(store: MemoryStore, template):
    """A registry that holds them; the manifests by version."""
    source, made = template
    for info in source.list(BUCKET):
        data = source.get(BUCKET, info.key, max_bytes=1 << 30, deadline_s=1).data
        store.put(BUCKET, info.key, data, content_type="application/octet-stream", deadline_s=1)
    return made
