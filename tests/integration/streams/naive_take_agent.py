"""The obvious way to write the worker, kept as a measure: `stream.take()`, `topic.send()`, no ledger, no dead letters.

Run by test_nothing_lost.py under the same references and the same kills as the real worker.
"""

import os

import faust

from schemas.incoming import Intake, Record
from storage.minio_store import MinioStore

BUCKET = "deeptrace-images"
app = faust.App(
    "naive",
    broker=f"kafka://{os.environ['DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS']}",
    env_prefix="NAIVE_",
    autodiscover=False,
    web_enabled=False,
    topic_allow_declare=False,
    topic_disable_leader=True,
    table_standby_replicas=0,
    consumer_auto_offset_reset="earliest",
    consumer_group_instance_id="naive-0",
    datadir="naive-data",
)
images = app.topic(
    "deeptrace.images.v1", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
)
verdicts = app.topic(
    "deeptrace.verdicts.v1", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
)
store = MinioStore(
    os.environ["DEEPTRACE_STORE__ENDPOINT"],
    access_key=os.environ["DEEPTRACE_STORE__ACCESS_KEY"],
    secret_key=os.environ["DEEPTRACE_STORE__SECRET_KEY"],
    secure=False,
    allowed_buckets={BUCKET},
)
intake = Intake(frozenset({BUCKET}), "deeptrace-overlays", "overlays/")


@app.agent(images)
async def classify(stream):
    async for batch in stream.take(32, within=1):
        for value in batch:
            [reference] = intake.read(Record(topic="", partition=0, offset=0, key=None, value=value))
            ref = reference.ref
            store.get(ref.object.bucket, ref.object.key, max_bytes=1 << 25, deadline_s=10)
            body = b'{"event_id": "%b"}' % ref.event_id.encode()
            await verdicts.send(key=ref.image_id.encode(), value=body, headers={"ce_id": ref.event_id.encode()})


if __name__ == "__main__":
    app.main()
