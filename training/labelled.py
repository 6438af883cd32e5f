"""Labelled files as their owner keeps them, in folders by class or in a CSV, to manifest rows whose facts are still to be read."""

import csv
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from schemas.errors import UsageError
from training.manifest import Row

CLASS_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_COLUMNS: Final = ("generator", "version", "source", "group", "licence", "date", "sha256")
_SHOWN: Final = 5


def labelled_rows(place: Path, *, relative_to: Path, role: str | None = None) -> list[Row]:
    """List the files of a folder (first level: class, second level: source and group) or of a CSV, in a fixed order.

    `relative_to` is the folder that the manifest will lie in; `role` keeps the CSV's rows of that role only. Raises `UsageError` for whatever
    is not such a folder or CSV: no files, bad class names, missing columns, files that are not there.
    """
    if place.is_dir():
        if role is not None:
            raise UsageError(
                "a folder has no roles", why="they are a column of a CSV", remedy="Leave out --role, or give the CSV."
            )
        found = list(_in_folder(place))
    elif place.is_file():
        found = list(_in_csv(place, role))
    else:
        raise UsageError(f"{place} is neither a folder nor a file", remedy="Check the path.")
    if not found:
        raise UsageError(
            f"{place} holds no labelled images",
            why="no file of that role is listed" if role else "nothing lies in its sub-folders",
            remedy="Put the images into one sub-folder a class, `real` among them: FOLDER/real/1.jpg, FOLDER/flux/2.png.",
        )
    require_class_names(row.label for _, row in found)
    _require_there(place, [path for path, _ in found])
    return [_placed(row, path, relative_to) for path, row in found]


def require_class_names(labels: Iterable[str]) -> None:
    """Raise `UsageError` for a name that no checkpoint could carry."""
    if bad := sorted({label for label in labels if not CLASS_NAME.fullmatch(label)}):
        raise UsageError(
            f"not a class name: {', '.join(map(repr, bad[:_SHOWN]))}",
            why="a class starts with a small letter or digit; then small letters, digits, `_`, `.` and `-`, at most 64 in all",
            remedy=f"Rename it, for instance to `{_suggestion(bad[0])}`.",
        )


def _suggestion(label: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "_", label.lower()).strip("_.-")[:64] or "other"


def _in_folder(folder: Path) -> Iterator[tuple[Path, Row]]:
    """Yield what lies in class folders. Names that start with a dot are left out, and links to folders not followed."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(parent).relative_to(folder).parts
        for name in sorted(files) if inside else ():
            if not name.startswith("."):
                source = inside[1] if len(inside) > 1 else ""
                yield Path(parent, name), Row(file="", label=inside[0], source=source, group=source)


def _in_csv(path: Path, role: str | None) -> Iterator[tuple[Path, Row]]:
    """Yield the rows of a CSV. A column `repo` stands for both source and group, where these have no column."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read", why=str(error), remedy="Give a CSV in UTF-8, or a folder."
        ) from error
    reader = csv.DictReader(lines)
    names = reader.fieldnames or ()
    needed = ("file", "class", *(("role",) if role is not None else ()))
    if missing := [name for name in needed if name not in names]:
        raise UsageError(
            f"{path} lacks the columns {', '.join(missing)}",
            why=f"it has {', '.join(names) or 'none'}",
            remedy="The first line must name the columns; `file` and `class` are needed, others may follow.",
        )
    for cells in reader:
        if role is not None and cells["role"] != role:
            continue
        if not cells["file"] or not cells["class"]:
            raise UsageError(
                f"{path}, line {reader.line_num}: no file or no class", remedy="Fill in both, or remove the line."
            )
        values = {name: cells.get(name) or "" for name in _COLUMNS}
        for name in ("source", "group"):
            values[name] = values[name] or cells.get("repo") or ""
        yield path.parent / cells["file"], Row(file="", label=cells["class"], **values)  # type: ignore[arg-type]


def _require_there(place: Path, paths: Sequence[Path]) -> None:
    if missing := [str(path) for path in paths if not os.path.lexists(path)]:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise UsageError(
            f"{len(missing)} of the {len(paths)} files that {place} lists are not there",
            why=", ".join(missing[:_SHOWN]) + more,
            remedy="Paths are relative to the CSV. Correct them, or remove the lines.",
        )


def _placed(row: Row, path: Path, folder: Path) -> Row:
    """Write the path as the manifest will: from folders as they really lie, for `..` does not lead back out of a linked one."""
    real = path.parent.resolve() / path.name
    return replace(row, file=Path(os.path.relpath(real, folder.resolve())).as_posix())
