"""The decoder processes themselves: real files, real deaths, real limits."""

import asyncio
import hashlib
import io
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.hostile import VERDICT, hostile_images

from model.decode_pool import DecodePool
from model.limits import DecodeLimits
from model.pixels import Pixels, preprocess
from model.policy import PixelPolicy
from schemas.errors import (
    ConfigError,
    DecodeCrash,
    DecodeMemoryExceeded,
    DecodeTimeout,
    DeepTraceError,
    ImageTooComplex,
    ImageTruncated,
)

SHARED = Path(__file__).parents[4] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the shared pictures are not at {SHARED}")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and process descriptors")


def _png(width: int, height: int) -> bytes:
    target = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(target, "PNG", compress_level=1)
    return target.getvalue()


SMALL = _png(300, 260)


@pytest.fixture(scope="module")
def slow() -> bytes:
    """A progressive JPEG of 36 megapixels: about a second of work."""
    target = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (3000, 3000), dtype=np.uint8)
    Image.fromarray(noise).resize((6000, 6000)).convert("RGB").save(target, "JPEG", progressive=True, quality=80)
    return target.getvalue()


@pytest.fixture(scope="module")
def jpeg_of_many_scans() -> bytes:
    """190 kB that keep libjpeg busy for half a minute."""
    return next(data for name, data, _ in hostile_images() if name == "JPEG of 1000 scans")


@pytest.fixture(scope="module")
def shared_pool() -> Iterator[DecodePool]:
    with DecodePool(2) as pool:
        pool.warm_up()
        yield pool


@pytest.fixture
async def lone_pool() -> AsyncIterator[Callable[..., DecodePool]]:
    """Make a pool of one process, warm; closed at the end."""
    pools: list[DecodePool] = []

    def make(**limits: float) -> DecodePool:
        pools.append(DecodePool(1, limits=DecodeLimits(**limits)))
        pools[-1].warm_up()
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def _gone(pid: int, within_s: float = 20) -> bool:
    """Whether the process ends within the time; waits on the process itself."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(within_s * 1000))
    finally:
        os.close(descriptor)


async def test_the_pool_gives_what_decoding_in_this_process_gives(shared_pool):
    """Bit for bit, with every fact."""
    ours, theirs = preprocess(SMALL, seed=b"s"), await shared_pool.decode(SMALL, seed=b"s")
    for name in ("crops", "boxes", "view", "thumb"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))
    assert (theirs.format, theirs.width, theirs.height, theirs.frames) == ("PNG", 300, 260, 1)


@needs_shared
@pytest.mark.parametrize("folder", ["hostile", "orientation"])
async def test_every_hostile_file_is_a_picture_or_an_error_of_the_tree(shared_pool, folder):
    """All at once, none breaks the pool, and a good picture among them is not touched."""
    files = [path.read_bytes() for path in sorted((SHARED / folder).iterdir())]
    before = shared_pool.pids

    async def one(data: bytes) -> Pixels | DeepTraceError:
        try:
            return await shared_pool.decode(data, seed=hashlib.sha256(data).digest())
        except DeepTraceError as error:
            return error

    answers = await asyncio.gather(*map(one, files))
    good = await shared_pool.decode(SMALL, seed=b"")
    assert len(answers) == len(files) > 0
    assert all(isinstance(answer, (Pixels, DeepTraceError)) for answer in answers)
    assert {type(a).code for a in answers if isinstance(a, DeepTraceError)} <= {
        "image_format_unsupported",
        "image_truncated",
        "image_corrupt",
        "not_an_image",
    }
    assert good.width == 300
    assert shared_pool.pids == before  # not one decoder died


async def test_every_attack_comes_to_its_outcome_and_costs_no_decoder(shared_pool):
    """Bombs, lies, forgeries and files that are slow on purpose: by name, within the limits, and not one process dies."""
    before = shared_pool.pids
    cases = hostile_images()
    outcomes = {name: await _outcome(shared_pool, data) for name, data, _ in cases}
    assert {name: outcomes[name] for name, _, expected in cases if outcomes[name] not in expected} == {}
    assert shared_pool.pids == before


async def _outcome(pool: DecodePool, data: bytes) -> str:
    try:
        await pool.decode(data, seed=b"")
    except DeepTraceError as error:
        return error.code
    return VERDICT


@needs_shared
async def test_all_eight_orientations_are_the_same_upright_picture(shared_pool):
    """The nine files hold one photograph, each stored another way round and compressed anew."""
    files = sorted((SHARED / "orientation").iterdir())
    thumbs = [(await shared_pool.decode(path.read_bytes(), seed=b"")).thumb.astype(int) for path in files]
    assert {thumb.shape for thumb in thumbs} == {(512, 341, 3)}
    for thumb in thumbs[1:]:
        # Each file carries its own number in letters, so a small part differs.
        assert np.median(np.abs(thumb - thumbs[0])) <= 4


async def test_a_killed_decoder_costs_nothing_when_the_next_one_succeeds(lone_pool):
    """The image that met a dead process is decoded by a fresh one."""
    pool = lone_pool()
    (pid,) = pool.pids
    os.kill(pid, signal.SIGKILL)
    assert (await pool.decode(SMALL, seed=b"")).width == 300
    assert pool.pids != [pid]
    assert pool.restarts == 1


@needs_linux
async def test_an_image_that_kills_two_decoders_is_a_crash_and_its_mates_live(lone_pool, slow):
    """The first death is tried again, the second is the image's own."""
    pool = lone_pool(wall_s=60)
    doomed = asyncio.ensure_future(pool.decode(slow, seed=b""))
    mate = asyncio.ensure_future(pool.decode(SMALL, seed=b""))
    killed: set[int] = set()
    while len(killed) < 2 and not doomed.done():
        for pid in set(pool.pids) - killed:
            os.kill(pid, signal.SIGSEGV)
            killed.add(pid)
        await asyncio.sleep(0)
    with pytest.raises(DecodeCrash) as caught:
        await doomed
    assert caught.value.why == "SIGSEGV"
    assert pool.restarts == 2
    assert (await mate).width == 300


async def test_an_image_past_the_wall_limit_is_late_and_its_mates_live(lone_pool, slow):
    """The process is killed and replaced."""
    pool = lone_pool(wall_s=0.15)
    with pytest.raises(DecodeTimeout):
        await pool.decode(slow, seed=b"")
    pool = lone_pool(wall_s=30)
    assert (await pool.decode(SMALL, seed=b"")).width == 300


async def test_a_stopped_decoder_is_late_too(lone_pool):
    """It does not even read its input: 32 MiB do not fit into a pipe."""
    pool = lone_pool(wall_s=0.3)
    os.kill(pool.pids[0], signal.SIGSTOP)
    with pytest.raises(DecodeTimeout):
        await pool.decode(SMALL + bytes(31 << 20), seed=b"")
    assert pool.restarts == 1


async def test_an_image_past_the_cpu_limit_is_at_fault_itself(lone_pool, jpeg_of_many_scans):
    """Whatever else the machine does: it would take as long again, so it is refused and not tried again."""
    pool = lone_pool(cpu_s=1, wall_s=60, max_scan_pixels=10**12)
    with pytest.raises(ImageTooComplex, match="1 s of CPU"):
        await pool.decode(jpeg_of_many_scans, seed=b"")
    assert pool.restarts == 1
    assert (await pool.decode(SMALL, seed=b"")).width == 300


async def test_each_image_has_its_own_cpu_allowance(lone_pool, slow):
    """One second each: together they use more, and none is refused for what came before."""
    pool = lone_pool(cpu_s=20, wall_s=120)
    for _ in range(2):
        assert (await pool.decode(slow, seed=b"")).width == 6000
    assert pool.cpu_seconds > 0.5


async def test_an_image_over_the_memory_limit_is_refused_by_name(lone_pool, slow):
    """36 megapixels do not fit into 256 MiB; the next image does."""
    pool = lone_pool(memory_bytes=256 << 20, wall_s=60)
    with pytest.raises(DecodeMemoryExceeded):
        await pool.decode(slow, seed=b"")
    assert pool.restarts == 1
    assert (await pool.decode(SMALL, seed=b"")).width == 300


async def test_the_largest_allowed_picture_fits_the_default_memory(lone_pool):
    """40 megapixels with alpha and an orientation, the costliest path of the policy."""
    picture = Image.new("RGBA", (8000, 5000), (10, 20, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    target = io.BytesIO()
    picture.save(target, "PNG", exif=exif.tobytes(), compress_level=1)
    pixels = await lone_pool(wall_s=120, cpu_s=120).decode(target.getvalue(), seed=b"")
    assert (pixels.width, pixels.height, pixels.flags) == (5000, 8000, ("alpha_flattened", "blank"))


async def test_a_worn_decoder_is_replaced(lone_pool):
    """After so many images, without anyone noticing; the CPU time of those gone is kept."""
    pool = lone_pool(images_per_child=2)
    (first,) = pool.pids
    for _ in range(2):
        await pool.decode(SMALL, seed=b"")
    spent_s = pool.cpu_seconds
    assert (await pool.decode(SMALL, seed=b"")).width == 300
    assert first not in pool.pids
    assert pool.cpu_seconds > spent_s > 0
    assert _gone(first)
    assert pool.restarts == 0  # nothing was wrong with it


@needs_linux
async def test_a_decoder_holds_no_secrets_and_no_torch(monkeypatch, lone_pool):
    """Neither in its environment nor among its libraries, and its only files are its pipes."""
    monkeypatch.setenv("DEEPTRACE_STORE__SECRET_KEY", "canary-4711")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-4711")
    pool = lone_pool()
    await pool.decode(SMALL, seed=b"")
    process = Path("/proc") / str(pool.pids[0])
    assert b"canary" not in (process / "environ").read_bytes()
    assert "torch" not in (process / "maps").read_text()
    targets = [str(entry.readlink()) for entry in (process / "fd").iterdir()]
    assert all(target.startswith("pipe:") or target == "/dev/null" for target in targets), targets


@needs_linux
async def test_a_decoder_sits_in_the_sandbox_and_decodes_every_format_there(lone_pool):
    """The kernel's own word for it, and the pool's; it says so too where the sandbox is off."""
    pool = lone_pool()
    status = (Path("/proc") / str(pool.pids[0]) / "status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert pool.sandboxed
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "AVIF"):
        target = io.BytesIO()
        Image.fromarray(np.arange(300 * 260 * 3).astype(np.uint8).reshape(260, 300, 3)).save(target, kind)
        assert (await pool.decode(target.getvalue(), seed=b"")).format == kind
    with DecodePool(1, sandbox="off") as outside:
        outside.warm_up()
        assert not outside.sandboxed
        assert (await outside.decode(SMALL, seed=b"")).width == 300


IMPOSTOR = """#!{python}
import os, struct, sys, time
def say(kind, text, arrays=b"", lengths=None):
    os.write(1, struct.pack("!BII", kind, *(lengths or (len(text), len(arrays)))) + text + arrays)
say(0, b'{{"cpu_s":0.1,"sandboxed":true}}')
os.read(0, 1 << 20)
{answer}
time.sleep(60)
"""


@pytest.mark.parametrize(
    "answer",
    [
        "os.write(1, b'x' * 100)",
        "say(1, b'{}')",
        "say(7, b'{}')",
        "say(1, b'', lengths=(4_000_000_000, 4_000_000_000))",
        'say(0, b\'{"cpu_s":0.1,"sandboxed":true}\')',
        'say(2, b\'{"code":"device_lost","cpu_s":1.0,"message":"","why":"","remedy":""}\')',
        'say(2, b\'{"code":"store_unavailable","cpu_s":1.0,"message":"","why":"","remedy":""}\')',
        "os.close(1)",
    ],
)
async def test_a_decoder_that_answers_nonsense_is_ended_and_its_image_is_a_crash(tmp_path, monkeypatch, answer):
    """It can neither stop the worker, nor take its memory, nor make it wait for a store: a file may speak through it."""
    impostor = tmp_path / "python"
    impostor.write_text(IMPOSTOR.format(python=sys.executable, answer=answer))
    impostor.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(impostor))
    with DecodePool(1) as pool:
        pool.warm_up()
        pids = pool.pids
        with pytest.raises(DecodeCrash):
            await pool.decode(SMALL, seed=b"")
        assert pool.restarts == 2
    assert all(_gone(pid) for pid in pids)


@needs_linux
def test_decoders_die_with_a_parent_that_is_killed():
    """SIGKILL leaves no time to clean up; the kernel does it."""
    code = (
        "from model.decode_pool import DecodePool; import time\n"
        "pool = DecodePool(2); pool.warm_up(); print(*pool.pids, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    assert all(_gone(pid) for pid in pids)


async def test_closing_ends_every_process_and_drops_what_waits():
    """Twice is as good as once, and a closed pool says so."""
    pool = DecodePool(2)
    pool.warm_up()
    pids = pool.pids
    waiting = [asyncio.ensure_future(pool.decode(SMALL, seed=b"")) for _ in range(50)]
    await asyncio.sleep(0)
    pool.close()
    pool.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(answer, (Pixels, asyncio.CancelledError)) for answer in answers)
    assert all(_gone(pid) for pid in pids)
    with pytest.raises(RuntimeError, match="closed"):
        await pool.decode(SMALL, seed=b"")


async def test_a_caller_that_gives_up_does_not_hold_the_pool(lone_pool, slow):
    """What was cancelled in the queue is never decoded; the next in line is."""
    pool = lone_pool(wall_s=60)
    first = asyncio.ensure_future(pool.decode(slow, seed=b""))
    second = asyncio.ensure_future(pool.decode(slow, seed=b""))
    await asyncio.sleep(0)
    second.cancel()
    assert (await pool.decode(SMALL, seed=b"")).width == 300
    assert (await first).width == 6000
    with pytest.raises(asyncio.CancelledError):
        await second


def test_a_pool_that_cannot_start_says_why():
    """A policy that the decoder does not know is a fault of configuration, told at start and not per image."""
    pool = DecodePool(1, policy=PixelPolicy(preprocess_id="crops9-1-v0", crops=9))
    try:
        with pytest.raises(ConfigError, match="crops9-1-v0"):
            pool.warm_up()
    finally:
        pool.close()


async def test_the_errors_of_an_image_arrive_whole(shared_pool):
    """Class, words and remedy as they were raised in the child."""
    with pytest.raises(ImageTruncated) as caught:
        await shared_pool.decode(SMALL[: len(SMALL) // 2], seed=b"")
    assert (caught.value.code, caught.value.remedy) == ("image_truncated", "Upload it again.")
    assert caught.value.declared == ("PNG", 300, 260)
