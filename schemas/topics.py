"""The topics and what lies on them (DESIGN.md section 4). The version in a name changes only when readers must change."""

IMAGES = "deeptrace.images.v1"
VERDICTS = "deeptrace.verdicts.v1"
SHADOW_VERDICTS = "deeptrace.verdicts.shadow.v1"
DEAD_LETTERS = "deeptrace.images.v1.dlq"
RETRY_PREFIX = "deeptrace.images.v1.retry."
MAX_RETRY_TOPICS = 5
OBSERVATIONS = "deeptrace.observations.v2"
WINDOWS = "deeptrace.windows.v1"
DRIFT_ALERTS = "deeptrace.drift-alerts.v1"
EXPLANATIONS = "deeptrace.explanations.v1"
LABELS = "deeptrace.labels.v1"
LABELLED = "deeptrace.labelled.v1"
LABELS_KEPT_DAYS = 90
"""How long `topics apply` has the broker keep labels: a reviewer's work outlives the verdicts on the topics."""
REPLAYED_VERDICTS = "deeptrace.verdicts.replay.v1"


def retry_topic(step: int) -> str:
    """Return the topic on which a reference waits after its `step`-th failed round (from 1); one delay a topic keeps them in order of being due."""
    return f"{RETRY_PREFIX}{step}"


def retry_topics(count: int) -> tuple[str, ...]:
    """Return the first `count` retry topics, in the order in which a reference goes through them."""
    return tuple(retry_topic(step) for step in range(1, count + 1))


def record_key(tenant: str, image_id: str) -> bytes:
    """Return the record key `tenant|image_id`, the same on the images, verdicts and dead letter topics."""
    return f"{tenant}|{image_id}".encode()
