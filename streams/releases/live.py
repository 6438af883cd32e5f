"""The classifier that judges now, exchangeable while it works."""

from collections.abc import Sequence

from model.classifier import Classifier, ModelInfo, Prediction
from model.pixels import Pixels


class LiveClassifier:
    """`Classifier` that hands each batch to the current one, whole: a batch is never judged by two.

    `swap` may be called from any thread at any time. A batch that has begun ends with the classifier it began with, every later one
    goes to the new; since one thread judges, no reference is judged by the old after one was judged by the new.
    """

    def __init__(self, first: Classifier) -> None:
        self._current = first

    @property
    def info(self) -> ModelInfo:
        """Say which model judges the next batch."""
        return self._current.info

    def predict(self, batch: Sequence[Pixels], *, explain: Sequence[bool]) -> list[Prediction]:
        """As in `Classifier`; each prediction says which model gave it."""
        return self._current.predict(batch, explain=explain)

    def faithfulness(self, batch: Sequence[Pixels], predictions: Sequence[Prediction]) -> list[float | None]:
        """As in `Classifier`; None for a prediction of the classifier before."""
        return self._current.faithfulness(batch, predictions)

    def swap(self, other: Classifier) -> None:
        """Let `other` judge from the next batch on. The one before is let go of, and with it its memory, once its last batch has ended."""
        self._current = other
