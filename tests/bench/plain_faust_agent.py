"""The same work in a plain Faust agent: one event at a time, Faust's own acknowledgement and `topic.send`. A measure for tests/bench."""

import os

import faust

from model.fake import FakeClassifier
from model.pixels import preprocess
from schemas.incoming import Intake, Record
from storage.minio_store import MinioStore

BUCKET = "deeptrace-images"
app = faust.App(
    "plain-faust",
    broker=f"kafka://{os.environ['DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS']}",
    env_prefix="PLAIN_",
    autodiscover=False,
    web_enabled=False,
    topic_allow_declare=False,
    topic_disable_leader=True,
    table_standby_replicas=0,
    consumer_auto_offset_reset="earliest",
    datadir="plain-data",
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
classifier = FakeClassifier(null=True)


@app.agent(images)
async def classify(stream):
    async for value in stream:
        [reference] = intake.read(Record(topic="", partition=0, offset=0, key=None, value=value))
        ref = reference.ref
        data = store.get(ref.object.bucket, ref.object.key, max_bytes=1 << 25, deadline_s=10).data
        pixels = preprocess(data, seed=reference.outcome_id.encode())
        [prediction] = classifier.predict([pixels], explain=[False])
        body = f'{{"event_id":"{ref.event_id}","probs":{prediction.probs.tolist()}}}'.encode()
        await verdicts.send(key=ref.image_id.encode(), value=body, headers={"ce_id": reference.outcome_id.encode()})


if __name__ == "__main__":
    app.main()
