"""What a reviewer's tool does: make a label that contradicts nothing, with the reviewer hashed, and publish it."""

import hashlib
import hmac
import unicodedata
from datetime import datetime
from typing import Final

from pydantic import SecretStr, ValidationError

from schemas import topics
from schemas.base import fault_list
from schemas.cloud_event import write_headers
from schemas.errors import ConfigError, UsageError
from schemas.identity import outcome_id
from schemas.label import Label
from schemas.topics import record_key
from schemas.verdict import Verdict
from streams.labels.judging import Said, Stated, Word, contradicts_itself
from streams.producer import Producer

LABEL_TYPE: Final = "deeptrace.label.v1"
SOURCE: Final = "/deeptrace/labels/send"
HASH_DIGITS: Final = 32


def reviewer_hash(name: str, salt: SecretStr) -> str:
    """Return what stands for a reviewer on the topic: HMAC-SHA-256 of the name (without regard to case) under the salt, 32 hex digits.

    Raises:
        ConfigError: there is no salt; whoever knows the staff could find each name by trying.
        UsageError: there is no name.
    """
    if not salt.get_secret_value():
        raise ConfigError(
            "reviewers cannot be hashed",
            why="there is no salt, and names are few enough to be tried",
            remedy="Set DEEPTRACE_LABELS__REVIEWER_SALT (or ..._FILE) to a secret of your own, the same wherever labels are sent from.",
        )
    plain = unicodedata.normalize("NFKC", name).strip().casefold()
    if not plain:
        raise UsageError("a reviewer has a name", remedy="Give --reviewer NAME; only its hash is sent.")
    return hmac.new(salt.get_secret_value().encode(), plain.encode(), hashlib.sha256).hexdigest()[:HASH_DIGITS]


def label_of(
    verdict: Verdict, said: Said, *, true_source: str | None, reason: str | None, reviewer: str, labelled_at: datetime
) -> Label:
    """Return the label of a verdict.

    Raises:
        UsageError: it calls the verdict correct and names another source, or incorrect and names the same; or a field is too long.
    """
    stated = Stated(verdict.verdict, verdict.predicted_source, verdict.model.classes)
    if contradicts_itself(stated, Word(said, true_source)):
        raise UsageError(
            f"{said} and --true-source {true_source} contradict each other",
            why=f"the verdict says {verdict.predicted_source}",
            remedy="Leave --true-source out, or correct --label.",
        )
    try:
        return Label(
            outcome_id=verdict.outcome_id,
            tenant=verdict.tenant,
            image_id=verdict.image_id,
            label=said,
            true_source=true_source,
            reason=reason,
            reviewer=reviewer,
            labelled_at=labelled_at,
        )
    except ValidationError as error:
        raise UsageError("this cannot be sent as a label", why=fault_list(error)) from None


async def send(producer: Producer, label: Label) -> None:
    """Publish a label; on return it is accepted. Raises BrokerUnavailable, NotPermitted."""
    await producer.send(
        topics.LABELS,
        key=record_key(label.tenant, label.image_id),
        value=label.to_bytes(),
        headers=write_headers(
            event_id=outcome_id("label", label.to_bytes().decode()),
            source=SOURCE,
            event_type=LABEL_TYPE,
            subject=label.outcome_id,
            time=label.labelled_at,
        ),
    )
