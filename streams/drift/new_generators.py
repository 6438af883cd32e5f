"""The clusters of novel images in a closed window, as the messages that tell of them."""

import base64
from collections.abc import Mapping

import numpy as np

from schemas.calibration import CalibrationProfile
from schemas.identity import outcome_id
from schemas.window import GeneratorCandidate, StoredObject, WindowSummary
from streams.drift.aggregate import Aggregate
from streams.drift.candidates import CandidateRules, Cluster, Reject, candidates_of, known_rate

DIGITS = 6


def new_generators(
    summary: WindowSummary, total: Aggregate, profiles: Mapping[str, CalibrationProfile], rules: CandidateRules
) -> tuple[GeneratorCandidate, ...]:
    """Return the candidates among the rejected images of the window, largest first; the same images give the same."""
    if not total.rejects:
        return ()
    mix = summary.raw_shares
    if summary.correction is not None and summary.correction.shares is not None:
        mix = {name: share.value for name, share in summary.correction.shares.items()}
    clusters = candidates_of(
        [
            Reject(at, base64.b64decode(one.embedding), one.nearest, one.bucket, one.key, one.model_version)
            for at, one in total.rejects.items()
        ],
        rules=rules,
        images=total.scored,
        rejected=total.rejected,
        known=known_rate(_profile(total, profiles), mix),
    )
    return tuple(_candidate(summary, total, cluster) for cluster in clusters)


def _profile(total: Aggregate, profiles: Mapping[str, CalibrationProfile]) -> CalibrationProfile | None:
    """Return the profile of the model that judged most of the sample."""
    if not len(total.sample):
        return None
    most = int(np.bincount(total.sample.table["model"]).argmax())
    return profiles.get(total.sample.models[most].calibration_id)


def _candidate(summary: WindowSummary, total: Aggregate, cluster: Cluster) -> GeneratorCandidate:
    first = str(cluster.exemplars[0].fingerprint)
    return GeneratorCandidate(
        candidate_id=outcome_id("generator-candidate", summary.window_id, cluster.model_version, first),
        window_id=summary.window_id,
        tenant=summary.tenant,
        start=summary.start,
        end=summary.end,
        window=summary.window or "",
        images=cluster.images,
        rejected=total.rejected,
        cohesion=round(cluster.cohesion, DIGITS),
        nearest_class=cluster.nearest,
        exemplars=tuple(StoredObject(bucket=one.bucket, key=one.key) for one in cluster.exemplars),
        model_version=cluster.model_version,
    )
