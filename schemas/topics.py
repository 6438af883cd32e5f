"""The topics and what lies on them (DESIGN.md section 4). The version in a name changes only when readers must change."""

IMAGES = "deeptrace.images.v1"
VERDICTS = "deeptrace.verdicts.v1"
DEAD_LETTERS = "deeptrace.images.v1.dlq"
OBSERVATIONS = "deeptrace.observations.v1"
WINDOWS = "deeptrace.windows.v1"
DRIFT_ALERTS = "deeptrace.drift-alerts.v1"


def record_key(tenant: str, image_id: str) -> bytes:
    """Return the record key `tenant|image_id`, the same on the images, verdicts and dead letter topics."""
    return f"{tenant}|{image_id}".encode()
