"""Public data sets through the `datasets` library, to files and manifest rows: the files' own bytes, wherever the data set has kept them."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from model.limits import DEFAULT_LIMITS
from model.sniff import sniff
from schemas.errors import DependencyDown, Rejection, UsageError
from training.labelled import CLASS_NAME, require_class_names
from training.manifest import Row
from training.manifest_build import Refused

COLUMNS: Final = ("generator", "version", "source", "group", "licence", "date")
_OFFLINE: Final = "Check the network, or take simulated images in its place: --dummy."


@dataclass(frozen=True, slots=True)
class Order:
    """Which data set, and what its columns mean."""

    dataset: str  # a name on the hub, a folder, or a format such as `parquet` together with `data_files`
    split: str = "train"
    config: str | None = None
    data_files: str | None = None
    image_column: str | None = None  # unset: the only column of images
    label_column: str | None = None  # unset: `label`, or the only column of class labels
    classes: Mapping[str, str] = field(default_factory=dict)  # label to class; empty: labels are classes
    columns: Mapping[str, str] = field(default_factory=dict)  # column of the manifest to column of the data set
    limit: int = 1000  # images a class

    def __post_init__(self) -> None:
        """Raise `UsageError` for class names or manifest columns that are none."""
        require_class_names(self.classes.values())
        if unknown := sorted(set(self.columns) - set(COLUMNS)):
            raise UsageError(
                f"not a column to be filled from the data set: {', '.join(unknown)}",
                remedy=f"Use one of {', '.join(COLUMNS)}.",
            )


@dataclass(frozen=True, slots=True)
class Fetched:
    """One image that was written, or why it was not."""

    row: Row | None = None
    refused: Refused | None = None


def fetch(order: Order, out: Path) -> Iterator[Fetched]:
    """Write images under `out`, one folder a class, until each class has `limit` of them; yields what came of each image.

    Raises `UsageError` for a data set, split or column that does not exist, and `DependencyDown` where it cannot be reached.
    """
    import datasets

    stream = _open(order)
    image, label, names = _columns(order, stream.features or {})
    licence, source = _licence(stream), order.dataset
    if Path(source).exists():
        source = Path(source).resolve().name  # a manifest names no places of one machine
    stream = stream.cast_column(image, datasets.Image(decode=False))
    wanted = _wanted(order, names)
    counts: Counter[str] = Counter()
    for number, record in enumerate(_records(order, stream)):
        named = names[record[label]] if names and isinstance(record[label], int) else str(record[label])
        target = order.classes.get(named) if order.classes else _class_of(named)
        if target is None or counts[target] >= order.limit:
            continue
        counts[target] += 1
        extra = {name: str(record[column] or "") for name, column in order.columns.items()}
        row = Row(file="", label=target, **{"source": source, "licence": licence, **extra})  # type: ignore[arg-type]
        yield _written(record[image], row, out, f"{number:07d}")
        if wanted and all(counts[name] >= order.limit for name in wanted):
            return
    if not counts:
        raise UsageError(
            f"{order.dataset} has no images of the classes that are wanted",
            why=f"the labels are {', '.join(names) if names else 'other ones'}",
            remedy="Map its labels to classes: --map LABEL=CLASS, once for each.",
        )


def _open(order: Order) -> Any:
    import datasets

    try:
        return datasets.load_dataset(
            order.dataset, order.config, data_files=order.data_files, split=order.split, streaming=True
        )
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(
            f"there is no data set {order.dataset} with a split {order.split}",
            why=_first_line(error),
            remedy="Check --dataset, --config, --split and --data-files.",
        ) from error
    except Exception as error:  # what the library and its clients raise without a network is not a closed set
        raise DependencyDown(
            f"the data set {order.dataset} cannot be reached", why=_first_line(error), remedy=_OFFLINE
        ) from error


def _records(order: Order, stream: Any) -> Iterator[Mapping[str, Any]]:
    records = iter(stream)
    while True:
        try:
            record = next(records)
        except StopIteration:
            return
        except Exception as error:
            raise DependencyDown(
                f"the data set {order.dataset} broke off", why=_first_line(error), remedy=_OFFLINE
            ) from error
        yield record


def _columns(order: Order, features: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    """Return the columns of images and labels, and the labels' names where the data set has any."""
    import datasets

    image = _column(
        order.image_column,
        [name for name, kind in features.items() if isinstance(kind, datasets.Image)],
        features,
        "--image-column",
    )
    labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    label = _column(order.label_column, ["label"] if "label" in features else labels, features, "--label-column")
    for column in order.columns.values():
        _column(column, [], features, "--column")
    return image, label, list(getattr(features.get(label), "names", None) or ())


def _column(given: str | None, candidates: list[str], features: Mapping[str, Any], option: str) -> str:
    if given in features or (given and not features):
        return str(given)
    if given is None and len(candidates) == 1:
        return candidates[0]
    raise UsageError(
        f"there is no column {given}" if given else "which column is meant cannot be told",
        why=f"the data set has {', '.join(features) or 'no list of columns'}",
        remedy=f"Name one of them with {option}.",
    )


def _licence(stream: Any) -> str:
    licence = getattr(stream.info, "license", "") or ""
    return licence if isinstance(licence, str) else ", ".join(map(str, licence))


def _wanted(order: Order, names: list[str]) -> set[str]:
    """Return the classes that can come; empty where that is not known beforehand."""
    return set(order.classes.values()) if order.classes else {_class_of(name) for name in names}


def _class_of(label: str) -> str:
    """Return the label as a class name: `Stable Diffusion` is `stable_diffusion`. Raises `UsageError` where nothing is left of it."""
    name = re.sub(r"[^a-z0-9.-]+", "_", label.lower()).strip("_.-")
    if not CLASS_NAME.fullmatch(name):
        raise UsageError(
            f"the label {label!r} makes no class name", remedy="Map it: --map LABEL=CLASS, once for each label."
        )
    return name


def _written(image: Any, row: Row, out: Path, name: str) -> Fetched:
    try:
        data = _bytes_of(image)
        kind = sniff(data)
    except (Rejection, OSError) as error:
        return Fetched(refused=Refused(f"record {name}", row.label, str(error)))
    folder = out / row.label
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{kind.lower().replace('jpeg', 'jpg')}"
    path.write_bytes(data)
    return Fetched(row=replace(row, file=f"{row.label}/{path.name}"))


def _bytes_of(image: Any) -> bytes:
    """Return the file behind an undecoded image, which holds it or says where it lies."""
    if image is None:
        raise Rejection("the record has no image")
    if image["bytes"] is not None:
        return bytes(image["bytes"])
    import fsspec

    with fsspec.open(image["path"], "rb") as file:
        return bytes(file.read(DEFAULT_LIMITS.max_bytes + 1))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
