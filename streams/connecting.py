"""Makes the connection to the object store, for every part that needs one of its own."""

from collections.abc import Iterable

from pydantic import SecretStr

from storage.minio_store import MinioStore
from streams.settings import StoreSettings


def connect(store: StoreSettings, access_key: SecretStr, secret_key: SecretStr, buckets: Iterable[str]) -> MinioStore:
    """Return a store that comes in with this key and may touch these buckets and no other. Connects to nothing yet."""
    return MinioStore(
        store.endpoint,
        access_key=access_key.get_secret_value(),
        secret_key=secret_key.get_secret_value(),
        secure=store.secure,
        region=store.region,
        allowed_buckets=frozenset(buckets),
        pool_size=store.fetch_threads + 1,  # the probe asks from a thread of its own
        connect_timeout_s=store.connect_timeout_s,
        read_timeout_s=store.read_timeout_s,
        ca_file=store.ca_file,
    )


def connect_drift(store: StoreSettings) -> MinioStore:
    """Return the store of references and reports, with the first user's key."""
    return connect(store, store.access_key, store.secret_key, (store.drift_bucket,))


def connect_outcomes(store: StoreSettings) -> MinioStore:
    """Return the store of the archive, for reading: as the second user where there is one, who owns it, else as the first."""
    if store.has_second_user:
        return connect(store, store.write_access_key, store.write_secret_key, (store.outcome_bucket,))
    return connect(store, store.access_key, store.secret_key, (store.outcome_bucket,))
