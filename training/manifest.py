"""The list of labelled images that training, calibration and evaluation share: one CSV row a file, in a fixed order.

Columns: `file` (relative to the manifest), `class`, `generator`, `version` (of the generator, or its checkpoint), `source` (repository, owner,
camera), `group` (never split: scene, repository), `licence`, `date`, `sha256`, `bytes`, `width`, `height`, `format`, `dhash` (64 bits, hex),
`near` (group of near duplicates), `split`. Empty means unknown. Built by `training.manifest_build`, split by `training.splits`.
"""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Final

from schemas.errors import UsageError
from schemas.verdict import REAL

SPLITS: Final = (
    "train",
    "calibration",
    "test",
    "unseen_checkpoint",
    "unseen_generator",
    "later",
    "unseen_source",
)
_REQUIRED: Final = ("file", "class")


@dataclass(frozen=True, slots=True)
class Row:
    """One image. `label` is the column `class`."""

    file: str
    label: str
    generator: str = ""
    version: str = ""
    source: str = ""
    group: str = ""
    licence: str = ""
    date: str = ""
    sha256: str = ""
    bytes: int = 0
    width: int = 0
    height: int = 0
    format: str = ""
    dhash: str = ""
    near: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Rows, and the folder that their `file` is relative to."""

    root: Path
    rows: tuple[Row, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the classes that training knows: `real` first, then the others in the order of the alphabet.

        What is only in `unseen_generator`, or in no split of a manifest that is split, is not known.
        """
        rows = [row for row in self.rows if row.split] or self.rows
        labels = {row.label for row in rows if row.split != "unseen_generator"}
        return (REAL, *sorted(labels - {REAL}))

    def of(self, split: str) -> list[Row]:
        """Return the rows of one split, in the manifest's order."""
        return [row for row in self.rows if row.split == split]

    def path(self, row: Row) -> Path:
        """Return where the file of a row lies."""
        return self.root / row.file

    def with_rows(self, rows: Iterable[Row]) -> "Manifest":
        """Return the same manifest with other rows."""
        return replace(self, rows=tuple(rows))


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; raises `UsageError` naming the line and the column that is at fault."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"manifest {path} cannot be read", why=str(error), remedy="Make one: `deeptrace data manifest FOLDER`."
        ) from error
    reader = csv.DictReader(text.splitlines())
    if missing := [name for name in _REQUIRED if name not in (reader.fieldnames or ())]:
        raise UsageError(
            f"manifest {path} lacks the columns {', '.join(missing)}",
            why=f"it has {', '.join(reader.fieldnames or ()) or 'none'}",
            remedy="The first line must name the columns, `file` and `class` among them.",
        )
    return Manifest(path.parent, tuple(_row(path, reader.line_num, cells) for cells in reader))


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest; equal rows give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        names = ["class" if field.name == "label" else field.name for field in fields(Row)]
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(asdict(row).values() for row in manifest.rows)


def _row(path: Path, line: int, cells: dict[str, str]) -> Row:
    known = {field.name: field.type for field in fields(Row)}
    values: dict[str, str | int] = {}
    for name, cell in cells.items():
        target = "label" if name == "class" else name
        if target not in known or cell is None:
            continue
        try:
            values[target] = int(cell or 0) if known[target] is int else cell
        except ValueError as error:
            raise UsageError(
                f"manifest {path}, line {line}: {name} is {cell!r}",
                why="not a whole number",
                remedy="Correct the cell, or leave it empty.",
            ) from error
    row = Row(**values)  # type: ignore[arg-type]
    if not row.file or not row.label:
        raise UsageError(
            f"manifest {path}, line {line}: no file or no class", remedy="Fill in both, or remove the line."
        )
    if row.split and row.split not in SPLITS:
        raise UsageError(
            f"manifest {path}, line {line}: unknown split {row.split!r}",
            remedy=f"Use one of {', '.join(SPLITS)}, or leave it empty.",
        )
    return row
