"""The obvious way to write the worker, kept as a measure: `stream.take()`, `topic.send()`, no ledger, no dead letters, no settled outcome.

It runs under the same references, faults and supervisor as the real worker. It fetches, decodes and judges like it; what it does with a
failure is what the framework does with it.
"""

import hashlib
import json
import os

import faust

from model.fake import FakeClassifier
from model.pixels import preprocess
from schemas.identity import outcome_id
from schemas.incoming import Intake, Record
from storage.minio_store import MinioStore
from streams.failpoints import Failpoints

BUCKET = "deeptrace-images"
SLOT = os.environ.get("DEEPTRACE_KAFKA__INSTANCE_ID", "naive-0")
SESSION_S = float(os.environ.get("DEEPTRACE_KAFKA__SESSION_TIMEOUT_S", "60"))
app = faust.App(
    "naive",
    broker=[f"kafka://{server}" for server in os.environ["DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS"].split(",")],
    env_prefix="NAIVE_",
    autodiscover=False,
    web_enabled=False,
    topic_allow_declare=False,
    topic_disable_leader=True,
    table_standby_replicas=0,
    consumer_auto_offset_reset="earliest",
    consumer_group_instance_id=SLOT,
    broker_session_timeout=SESSION_S,
    datadir=f"naive-data-{SLOT}",
)
RAW = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
images = app.topic("deeptrace.images.v1", **RAW)
verdicts = app.topic("deeptrace.verdicts.v1", **RAW)
store = MinioStore(
    os.environ["DEEPTRACE_STORE__ENDPOINT"],
    access_key=os.environ["DEEPTRACE_STORE__ACCESS_KEY"],
    secret_key=os.environ["DEEPTRACE_STORE__SECRET_KEY"],
    secure=False,
    allowed_buckets={BUCKET},
)
intake = Intake(frozenset({BUCKET}), "deeptrace-overlays", "overlays/")
classifier = FakeClassifier()
failpoints = Failpoints(os.environ.get("DEEPTRACE_FAULTS__FAILPOINTS", ""))


@app.agent(images)
async def classify(stream):
    async for batch in stream.take(32, within=1):
        for value in batch:
            [reference] = intake.read(Record(topic="", partition=0, offset=0, key=None, value=value))
            ref = reference.ref
            failpoints.hit("before_fetch", ref.image_id)
            data = store.get(ref.object.bucket, ref.object.key, max_bytes=1 << 25, deadline_s=10).data
            failpoints.hit("after_fetch", ref.image_id)
            pixels = preprocess(data, seed=reference.outcome_id.encode())
            [prediction] = classifier.predict([pixels], explain=[False])
            failpoints.hit("after_judge", ref.image_id)
            judged = {"sha256": hashlib.sha256(data).hexdigest()}
            body = {"event_id": ref.event_id, "probs": prediction.probs.tolist(), "object": judged}
            headers = {"ce_id": outcome_id("ce", "/faults", ref.event_id).encode()}
            await verdicts.send(key=ref.image_id.encode(), value=json.dumps(body).encode(), headers=headers)
            failpoints.hit("after_publish", ref.image_id)


if __name__ == "__main__":
    app.main()
