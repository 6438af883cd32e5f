"""Whether a drift worker joins labels, as far as its settings tell."""

from streams.settings import Settings


def why_off(settings: Settings) -> str | None:
    """Return why labels are not joined, or None where they are."""
    store = settings.store
    if not settings.labels.enabled:
        return "DEEPTRACE_LABELS__ENABLED is false"
    if settings.pipeline.outcomes != "settled":
        return f"there is no archive with DEEPTRACE_PIPELINE__OUTCOMES={settings.pipeline.outcomes}"
    if not (store.has_second_user or store.access_key.get_secret_value()):
        return "this worker has no key to the object store, where the archive is (DEEPTRACE_STORE__ACCESS_KEY)"
    return None
