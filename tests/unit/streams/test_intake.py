"""How a consumer leaves its group. There is no broker: what it would answer is a double's."""

from schemas import topics
from schemas.errors import NotPermitted
from streams.intake import Intake
from streams.settings import KafkaSettings


class Refused(Intake):
    """An intake whose last commit the broker refuses."""

    stopped = False

    async def commit(self) -> None:
        """Refuse."""
        raise NotPermitted("no")

    async def stop(self) -> None:
        """Take note."""
        self.stopped = True


async def test_who_may_not_commit_leaves_all_the_same() -> None:
    """Else it would keep its partitions for as long as the process lives, and its successor in the process would get none of them."""
    intake = Refused(KafkaSettings(), topics.LABELS, "labels")
    await intake.leave()
    assert intake.stopped
