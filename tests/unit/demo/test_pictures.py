import json
from pathlib import Path

import pytest

from schemas.errors import UsageError
from streams.demo.pictures import Picture, pictures_under, samples_in


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_pictures_are_taken_by_their_extension(tmp_path: Path) -> None:
    """Whatever is in them: broken ones are to become dead letters."""
    make(tmp_path, "a.jpg", "b.PNG", "notes.txt", "c.heic", "d.svg", "e.blp")

    assert [picture.name for picture in pictures_under(tmp_path, None)] == ["a.jpg", "b.PNG", "c.heic", "d.svg"]


def test_the_folder_of_a_picture_is_its_label(tmp_path: Path) -> None:
    """`flux/1.png` is said to be flux; what lies on top is not said to be anything."""
    make(tmp_path, "top.jpg", "flux/1.png")

    assert pictures_under(tmp_path, None) == [
        Picture(tmp_path / "flux" / "1.png", "flux/1.png", "flux"),
        Picture(tmp_path / "top.jpg", "top.jpg", None),
    ]


def test_at_most_so_many_are_taken(tmp_path: Path) -> None:
    """`--count` bounds a large folder."""
    make(tmp_path, *(f"{number}.jpg" for number in range(5)))

    assert len(pictures_under(tmp_path, 3)) == 3


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    """With nothing to show there is no demo."""
    make(tmp_path, "notes.txt")

    with pytest.raises(UsageError, match="no picture"):
        pictures_under(tmp_path, None)


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A typing mistake is said, before anything is started."""
    with pytest.raises(UsageError, match="no such file"):
        pictures_under(tmp_path / "nowhere", None)


def test_samples_come_with_their_classes(tmp_path: Path) -> None:
    """index.json names the class of each."""
    index = {"images": [{"file": "s1.webp", "class": "real"}]}
    (tmp_path / "index.json").write_text(json.dumps(index))

    assert samples_in(tmp_path) == [Picture(tmp_path / "s1.webp", "s1.webp", "real")]
