import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from minio import Minio

from streams.stack.local_stack import LocalStack, StackInfo
from streams.stack.process import ProcessRef

pytestmark = pytest.mark.integration


def in_background(code: str, *arguments: object) -> "subprocess.Popen[str]":
    """Run Python code that uses the stack in a process of its own."""
    command = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def listening_processes(state_dir: Path) -> list[str]:
    """The command lines of all processes that work in a state folder, zombies left out."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if state_dir in (folder / "cwd").readlink().parents:
                    found.append((folder / "cmdline").read_text())
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return found


def wait_until_nothing_works_in(state_dir: Path, *, timeout_s: float = 15.0) -> list[str]:
    """Return what still works in the state folder at the end of the wait."""
    deadline = time.monotonic() + timeout_s
    while listening_processes(state_dir) and time.monotonic() < deadline:
        time.sleep(0.05)
    return listening_processes(state_dir)


def interrupt(owner: "subprocess.Popen[str]") -> None:
    """Press Ctrl-C until it ends: Python drops a KeyboardInterrupt that falls into a finalizer, and a person presses again."""
    for _ in range(6):
        owner.send_signal(signal.SIGINT)
        try:
            owner.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            continue
        return
    owner.kill()
    owner.communicate()
    pytest.fail("it did not end")


UP_AND_WAIT = """
import sys, time
from pathlib import Path
from streams.stack.local_stack import LocalStack
info = LocalStack(Path(sys.argv[1]), store="s3proxy", detached=sys.argv[2] == "detached").up()
print(info.broker_pid, info.store_pid, flush=True)
time.sleep(600)
"""


async def test_a_thousand_messages_come_back_in_order(stack: StackInfo) -> None:
    """What a client produces to the broker it consumes again, all of it, in order."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic("thousand", num_partitions=1, replication_factor=1)])
    await admin.close()
    sent = [f"message {number}".encode() for number in range(1000)]
    producer = AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers, enable_idempotence=True)
    await producer.start()
    for pending in [await producer.send("thousand", value) for value in sent]:
        await pending
    await producer.stop()
    consumer = AIOKafkaConsumer(
        "thousand", bootstrap_servers=stack.bootstrap_servers, group_id="reader", auto_offset_reset="earliest"
    )
    await consumer.start()
    received = [(await consumer.getone()).value for _ in sent]
    await consumer.stop()
    assert received == sent


async def test_topics_are_not_created_by_use(stack: StackInfo) -> None:
    """Reading a topic's metadata does not create it: a misspelt name must not look like an empty topic."""
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap_servers)
    await admin.start()
    await admin.describe_topics(["misspelt"])
    topics = await admin.list_topics()
    await admin.close()
    assert "misspelt" not in topics


def test_an_object_comes_back(stack: StackInfo) -> None:
    """What a client puts into the store it gets again."""
    client = client_of(stack)
    client.make_bucket("round-trip")
    put(client, "round-trip", "folder/key", b"the bytes")
    assert get(client, "round-trip", "folder/key") == b"the bytes"


def test_objects_are_listed_under_their_prefix(stack: StackInfo) -> None:
    """What was put is listed: S3Proxy over a folder given by a relative path lists nothing."""
    client = client_of(stack)
    client.make_bucket("listing")
    put(client, "listing", "a/1", b"x")
    put(client, "listing", "b/2", b"x")
    listed = [each.object_name for each in client.list_objects("listing", prefix="a/", recursive=True)]
    assert listed == ["a/1"]


def test_servers_listen_on_loopback_only(stack: StackInfo) -> None:
    """Nothing of the stack can be reached from another machine."""
    ports = {int(address.rpartition(":")[2]) for address in (stack.bootstrap_servers, stack.s3_endpoint)}
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    addresses = {entry[1].partition(":")[0] for entry in listening if int(entry[1].partition(":")[2], 16) in ports}
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}
    assert addresses


def test_the_secret_is_not_in_the_repr(stack: StackInfo) -> None:
    """Printing the info in a log does not give the store away."""
    assert stack.s3_secret_key not in repr(stack)


def test_a_second_up_finds_the_first(stack: StackInfo) -> None:
    """Whoever comes second gets the running stack, at once."""
    assert LocalStack(stack.state_dir, store="s3proxy").up() == stack


def test_two_ups_at_once_start_one_stack(tmp_path: Path) -> None:
    """The second of two concurrent starts waits for the first and finds it."""
    first = in_background(UP_AND_WAIT, tmp_path, "detached")
    second = in_background(UP_AND_WAIT, tmp_path, "detached")
    try:
        assert read_line(first) == read_line(second)
    finally:
        LocalStack(tmp_path).down()
        end(first, second)
    assert wait_until_nothing_works_in(tmp_path) == []


def test_a_bound_stack_dies_with_its_killed_owner(tmp_path: Path) -> None:
    """SIGKILL of the owner, which can run no code of its own any more, leaves no process behind."""
    owner = in_background(UP_AND_WAIT, tmp_path, "bound")
    read_line(owner)
    assert len(listening_processes(tmp_path)) == 4  # two servers, each with its guardian
    end(owner)
    assert wait_until_nothing_works_in(tmp_path) == []


def test_a_bound_stack_dies_with_an_owner_killed_during_the_start(tmp_path: Path) -> None:
    """The moment of the kill does not matter: there is no gap between starting a server and tying it."""
    owner = in_background(UP_AND_WAIT, tmp_path, "bound")
    deadline = time.monotonic() + 30
    while not listening_processes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.005)
    end(owner)
    assert wait_until_nothing_works_in(tmp_path) == []


def test_a_server_dies_with_its_killed_guardian(tmp_path: Path) -> None:
    """Even the process that watches over a server may be killed."""
    owner = in_background(UP_AND_WAIT, tmp_path, "bound")
    _, store_pid = read_line(owner).split()
    store = ProcessRef.of(int(store_pid))
    guardian = int(Path(f"/proc/{store_pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(guardian, signal.SIGKILL)
    assert store.wait_gone(5.0)
    end(owner)
    assert wait_until_nothing_works_in(tmp_path) == []


def test_ctrl_c_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    """An interrupted `up` stops what it had started."""
    owner = in_background(UP_AND_WAIT, tmp_path, "detached")
    deadline = time.monotonic() + 30
    while not listening_processes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.005)
    interrupt(owner)
    assert owner.returncode != 0
    assert wait_until_nothing_works_in(tmp_path) == []


def test_a_detached_stack_outlives_its_owner_and_keeps_data_ports_and_keys(tmp_path: Path) -> None:
    """`dev up` ends and the stack lives; after `dev down` and another `up` everything is where it was."""
    owner = in_background(UP_AND_WAIT, tmp_path, "detached")
    read_line(owner)
    end(owner)
    local_stack = LocalStack(tmp_path)
    before = local_stack.status()
    assert before is not None
    client_of(before).make_bucket("kept")
    put(client_of(before), "kept", "key", b"kept bytes")
    assert local_stack.down()
    assert local_stack.status() is None
    assert not local_stack.down()
    with local_stack:
        after = local_stack.status()
        assert after is not None
        assert after.bootstrap_servers == before.bootstrap_servers
        assert get(client_of(after), "kept", "key") == b"kept bytes"
    assert wait_until_nothing_works_in(tmp_path) == []


def test_half_a_stack_is_made_whole(tmp_path: Path) -> None:
    """When one server has died, `up` brings both back on the same data."""
    with LocalStack(tmp_path, store="s3proxy") as local_stack:
        before = local_stack.status()
        assert before is not None
        os.kill(before.broker_pid, signal.SIGKILL)
        assert ProcessRef.of(before.broker_pid).wait_gone(5.0)
        assert local_stack.status() is None
        assert local_stack.up().bootstrap_servers == before.bootstrap_servers
    assert wait_until_nothing_works_in(tmp_path) == []


def client_of(stack: StackInfo) -> Minio:
    return Minio(
        stack.s3_endpoint,
        access_key=stack.s3_access_key,
        secret_key=stack.s3_secret_key,
        secure=False,
        region="us-east-1",
    )


def put(client: Minio, bucket: str, key: str, data: bytes) -> None:
    import io

    client.put_object(bucket, key, io.BytesIO(data), len(data))


def get(client: Minio, bucket: str, key: str) -> bytes:
    response = client.get_object(bucket, key)
    try:
        return response.read()
    finally:
        response.close()
        response.release_conn()


def read_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(*processes: "subprocess.Popen[str]") -> None:
    for process in processes:
        process.kill()
        process.communicate()
