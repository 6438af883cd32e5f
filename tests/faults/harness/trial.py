"""One case on one design, from an empty folder to its figures: what a case's function works with."""

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from faults.harness.case import Case, Design, Scale
from faults.harness.load import Item, Load, Mix, Picture
from faults.harness.recovery import Clock
from faults.harness.result import Claim
from faults.harness.supervisor import Life, Slot
from faults.harness.testbed import OVERLAYS, Testbed
from faults.harness.watch import Watch

from schemas.incoming import Intake, Record
from schemas.topics import IMAGES
from streams.stack.ports import free_ports

NAIVE = Path(__file__).with_name("naive_agent.py")
READY_S = 90.0
LOOK_AGAIN_S = 0.1
SIGNALLED = {int(signal.SIGKILL), int(signal.SIGABRT)}
Environment = Callable[[int, int], Mapping[str, str]]


class Trial:
    """Broker, store, workers, load and watch of one case, and what it claims. Everything runs on one event loop; slots have threads."""

    def __init__(self, case: Case, design: Design, scale: Scale, seed: int, folder: Path) -> None:
        self.case = case
        self.design: Design = design
        self.scale: Scale = scale
        self.seed = seed
        self.folder = folder
        self.draw = random.Random(f"{seed}-{case.name}")
        self.clock = Clock()
        self.slots: list[Slot] = []
        self.others: list[Slot] = []
        self.claims: list[Claim] = []
        self.notes: list[str] = []
        self.faults: Counter[str] = Counter()
        self.figures: dict[str, object] = {}
        self.expected: dict[str, Item] = {}
        self.places: dict[str, tuple[int, int]] = {}
        self.pictures: list[Picture] = []
        self.began = time.monotonic()
        self.deaths = 0
        self.owed: list[Callable[[], None]] = []
        """Claims that can only be made at the end."""
        self.several: set[str] = set()
        """References whose id was given to different objects: the outcome may be about either."""
        self._loop = asyncio.get_running_loop()
        self._intake = Intake(frozenset({"deeptrace-images"}), OVERLAYS, "overlays/")
        self.bed: Testbed
        self.load: Load
        self.watch: Watch

    @property
    def is_naive(self) -> bool:
        """Whether this is the naive design."""
        return self.design == "naive"

    def pick(self, *, fast: float, full: float, naive: float | None = None) -> int:
        """Return a count for this scale; the naive design has a smaller one where it is given."""
        if self.is_naive and naive is not None:
            return int(naive)
        return int(fast if self.scale == "fast" else full)

    async def build(self) -> None:
        """Start broker and store, store the good images, begin to watch."""
        workers = self.case.naive_workers if self.is_naive else self.case.workers
        self.bed = await asyncio.to_thread(Testbed, self.folder, self.case.plan, slots=workers, seed=self.seed)
        self.pictures = await asyncio.to_thread(self.bed.pictures, self.seed)
        self.load = Load(self.bed.bootstrap, self._accepted)
        self.watch = Watch(self.bed.bootstrap, self.clock.outcome)
        await self.load.start()
        await self.watch.start()

    async def start_workers(self, environment: Environment = lambda _slot, _life: {}) -> None:
        """Start the workers of the case and return once all are ready. `environment` adds to what a life of a slot is told."""
        workers = self.case.naive_workers if self.is_naive else self.case.workers
        for _ in range(workers):
            self.add_slot(environment)
        await self.ready()

    def add_slot(self, environment: Environment = lambda _slot, _life: {}) -> Slot:
        """Start a worker more."""
        number = len(self.slots)
        known = min(number, len(self.bed.links) - 1) if self.bed.links else number
        port = free_ports(1)[0]
        command = [str(NAIVE), "worker", "--without-web"] if self.is_naive else ["-m", "streams.cli", "worker"]

        def told(life: int) -> dict[str, str]:
            base = self.bed.environment(known) | {"DEEPTRACE_KAFKA__INSTANCE_ID": f"slot-{number}"}
            base |= {"DEEPTRACE_HTTP__PORT": str(port), **environment(number, life)}
            return {name: value for name, value in base.items() if value != "<unset>"}

        slot = Slot(
            f"slot-{number}",
            [sys.executable, *command],
            told,
            folder=self.folder,
            log=self.folder / f"slot-{number}.log",
            http_port=None if self.is_naive else port,
            on_end=lambda slot, life: self._loop.call_soon_threadsafe(self._ended, slot, life),
        )
        self.slots.append(slot)
        slot.start()
        return slot

    async def ready(self, timeout_s: float = READY_S) -> None:
        """Return once every worker takes in references: ours say so, the naive one is asked with a reference."""
        if self.is_naive:
            await self.publish(iter([next(self.mix(seed=self.seed + 1))]), at_least=1, rate=100)
            await self.until(lambda: self.clock.behind == 0, timeout_s, "the naive worker never answered")
            return
        for slot in list(self.slots):
            await self.until(lambda slot=slot: slot.is_ready, timeout_s, f"{slot.name} did not become ready")

    def mix(self, *, seed: int | None = None, **options: object) -> Iterator[Item]:
        """Return good references without end, a few with overlays."""
        return iter(Mix(self.pictures, self.seed if seed is None else seed, **options))

    async def publish(
        self,
        items: Iterator[Item] | None = None,
        *,
        at_least: int,
        rate: float,
        at_most: int | None = None,
        until: Callable[[], bool] = lambda: True,
        most_behind: int | None = None,
    ) -> int:
        """Publish, at `rate` a second; nothing while `most_behind` are waiting for their outcome."""
        return await self.load.run(
            items or self.mix(),
            rate=rate,
            at_least=at_least,
            at_most=at_most,
            until=until,
            wait=lambda: most_behind is not None and self.clock.behind > most_behind,
        )

    def fault(self, name: str) -> None:
        """Note that a fault was brought about."""
        self.faults[name] += 1

    def healed(self, name: str, at: float | None = None) -> None:
        """Note that its cause is gone; recovery is measured from here."""
        self.clock.healed(name, time.monotonic() if at is None else at)

    def claim(self, claim: str, holds: bool, measured: object = "") -> None:
        """Put down something that must hold."""
        self.claims.append(Claim(claim, bool(holds), str(measured)))

    def claim_recovery(self, what: str, limit_s: float) -> None:
        """Put down, at full scale, that outcomes came again in every partition soon after each fault: small runs are not timed."""
        if self.is_naive or self.scale == "fast":
            return

        def claim() -> None:
            slowest = max((one.all_partitions_s or 0.0 for one in self.clock.recoveries), default=0.0)
            said = f"at most {limit_s:g} s from {what} to outcomes in every partition"
            self.claim(said, slowest <= limit_s, f"{slowest:.1f} s")

        self.owed.append(claim)

    async def until(self, condition: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
        """Wait for a condition.

        Raises:
            TimeoutError: saying `otherwise`.
        """
        ends_at = time.monotonic() + timeout_s
        while not await asyncio.to_thread(condition):
            if time.monotonic() > ends_at:
                raise TimeoutError(f"{otherwise} (after {timeout_s:g} s)")
            await asyncio.sleep(LOOK_AGAIN_S)

    async def moving(self, timeout_s: float) -> None:
        """Return once outcomes have come in every partition that was behind when the last fault ended; at the latest after `timeout_s`."""
        if not self.clock.recoveries:  # the supervisor has not seen the first death yet
            await asyncio.sleep(LOOK_AGAIN_S)
            return
        last = self.clock.recoveries[-1]
        ends_at = time.monotonic() + timeout_s
        while last.waiting and self.clock.behind and time.monotonic() < ends_at:
            await asyncio.sleep(LOOK_AGAIN_S)

    async def behind_at_most(self, count: int, timeout_s: float) -> None:
        """Return once so few references wait; at the latest after `timeout_s`."""
        ends_at = time.monotonic() + timeout_s
        while self.clock.behind > count and time.monotonic() < ends_at:
            await asyncio.sleep(LOOK_AGAIN_S)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """End everything, whatever state it is in."""
        for slot in (*self.slots, *self.others):
            await asyncio.to_thread(slot.retire, by=signal.SIGKILL)
        for part in ("load", "watch"):
            if (one := getattr(self, part, None)) is not None:
                await asyncio.gather(one.stop(), return_exceptions=True)
        if (bed := getattr(self, "bed", None)) is not None:
            await asyncio.to_thread(bed.close)

    def _accepted(self, item: Item, partition: int, offset: int) -> None:
        now = time.monotonic()
        names = [item.outcome_id]
        if item.outcome_id is None:
            record = Record(IMAGES, partition, offset, None, item.value, item.headers)
            names = [one.outcome_id for one in self._intake.read(record)]
        for name in names:
            assert name is not None
            self.places.setdefault(name, (partition, offset))
            known = self.expected.setdefault(name, item)
            if known.picture != item.picture:
                self.several.add(name)
            self.clock.accepted(name, partition, now)

    def _ended(self, slot: Slot, life: Life) -> None:
        if life.exit_code in SIGNALLED:
            self.deaths += 1
            self.faults["kill"] += 1
            self.healed(f"kill {slot.name}", life.ended)
