"""What the users of the object store must be allowed to do, as S3 policies: all of it, and nothing else."""

from collections.abc import Iterable
from typing import Any

Policy = dict[str, Any]

PROBES = "outcomes/probe-*"
OUTCOMES = "outcomes/*"
MODELS = "models/*"
REFERENCES = "references/*"
REPORTS = "reports/*"
REPLAYS = "replays/*"


def read_images(image_buckets: Iterable[str], *, model_bucket: str | None = None) -> Policy:
    """Return the policy of the first user: get images, and tell a missing one from one that is denied.

    With a `model_bucket` it also reads the model releases that a worker follows.
    """
    buckets = [*image_buckets, *([model_bucket] if model_bucket else [])]
    return _policy(
        _allow("GetObject", "GetObjectVersion", on=[f"{bucket}/*" for bucket in buckets]),
        _allow(
            "ListBucket", on=buckets
        ),  # without it a store answers 403 where an object is missing, and to "is there a bucket"
    )


def write_results(*, overlay_bucket: str, overlay_prefix: str, outcome_bucket: str) -> Policy:
    """Return the policy of the second user: put overlays, put and get outcomes. It deletes its own probes and nothing else."""
    return _policy(
        _allow("PutObject", on=[f"{overlay_bucket}/{overlay_prefix}*"]),
        _allow("PutObject", "GetObject", on=[f"{outcome_bucket}/{OUTCOMES}"]),
        _allow("DeleteObject", on=[f"{outcome_bucket}/{PROBES}"]),
        _allow("ListBucket", on=dict.fromkeys((overlay_bucket, outcome_bucket))),
    )


def publish_models(model_bucket: str) -> Policy:
    """Return the policy of who publishes and promotes models: add to the registry and read it. It deletes nothing."""
    return _policy(
        _allow("PutObject", "GetObject", on=[f"{model_bucket}/{MODELS}"]),
        _allow("ListBucket", on=[model_bucket]),
    )


def watch_drift(drift_bucket: str, *, reports: bool, outcome_bucket: str | None = None) -> Policy:
    """Return the policy of a drift worker's user: read the references, and with `reports` write those. It cannot change what counts as normal.

    With an `outcome_bucket` it also reads the outcomes there, which labels are joined to.
    """
    writes = [_allow("PutObject", on=[f"{drift_bucket}/{REPORTS}"])] if reports else []
    archive = [_allow("GetObject", on=[f"{outcome_bucket}/{OUTCOMES}"])] if outcome_bucket else []
    return _policy(
        _allow("GetObject", on=[f"{drift_bucket}/{REFERENCES}"]),
        *writes,
        *archive,
        _allow("ListBucket", on=dict.fromkeys((drift_bucket, *([outcome_bucket] if outcome_bucket else ())))),
    )


def set_references(drift_bucket: str) -> Policy:
    """Return the policy of who builds and chooses drift references, and asks for reports. It deletes nothing."""
    return _policy(
        _allow("PutObject", "GetObject", on=[f"{drift_bucket}/{REFERENCES}"]),
        _allow("PutObject", on=[f"{drift_bucket}/{REPORTS}"]),
        _allow("ListBucket", on=[drift_bucket]),
    )


def replay_history(
    image_buckets: Iterable[str], *, model_bucket: str, overlay_bucket: str, drift_bucket: str
) -> Policy:
    """Return the policy of who replays history without overlays: read images and models as a worker does, and put the report of a replay."""
    read = read_images(image_buckets, model_bucket=model_bucket)
    return _policy(
        *read["Statement"],
        _allow("PutObject", on=[f"{drift_bucket}/{REPLAYS}"]),
        _allow("ListBucket", on=[overlay_bucket]),  # the probe asks for it
    )


def _policy(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(*actions: str, on: Iterable[str]) -> Policy:
    return {
        "Effect": "Allow",
        "Action": [f"s3:{action}" for action in actions],
        "Resource": [f"arn:aws:s3:::{resource}" for resource in on],
    }
