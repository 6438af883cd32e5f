"""The same count in a plain Faust windowed table: `table[key] += 1` for each verdict. A measure for tests/bench/drift.py."""

import os

import faust
import orjson

app = faust.App(
    "plain-drift",
    broker=f"kafka://{os.environ['DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS']}",
    env_prefix="PLAIN_",
    store="memory://",
    autodiscover=False,
    web_enabled=False,
    topic_allow_declare=False,
    topic_disable_leader=True,
    topic_partitions=int(os.environ["DEEPTRACE_KAFKA__PARTITIONS"]),
    table_standby_replicas=0,
    consumer_auto_offset_reset="earliest",
    datadir="plain-data",
)
verdicts = app.topic(
    "deeptrace.verdicts.v1", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
)
counts = app.Table("counts", default=int).tumbling(60.0, expires=3600.0)


@app.agent(verdicts)
async def count(stream):
    async for value in stream:
        verdict = orjson.loads(value)
        counts[f"{verdict['tenant']}|{verdict.get('predicted_source')}"] += 1


if __name__ == "__main__":
    app.main()
