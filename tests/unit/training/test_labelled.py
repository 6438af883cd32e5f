from pathlib import Path

import pytest

from schemas.errors import UsageError
from training.labelled import labelled_rows
from training.manifest import Row


def folder(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")
    return root


def listing(root, text, name="labels.csv"):
    (root / name).write_text(text, encoding="utf-8")
    return root / name


def test_folders_give_class_source_and_group(tmp_path):
    """First level: class. Second level: source and group. Deeper levels, hidden files and files beside the classes do not matter."""
    folder(tmp_path, "real/b.jpg", "real/nikon/deep/c.jpg", "flux/a.png", "real/.DS_Store", ".git/x/y", "readme.txt")
    assert labelled_rows(tmp_path, relative_to=tmp_path) == [
        Row(file="flux/a.png", label="flux"),
        Row(file="real/b.jpg", label="real"),
        Row(file="real/nikon/deep/c.jpg", label="real", source="nikon", group="nikon"),
    ]


def test_files_are_named_from_where_the_manifest_lies(tmp_path):
    """A manifest in another folder points across."""
    folder(tmp_path, "images/real/a.jpg", "lists/x")
    (row,) = labelled_rows(tmp_path / "images", relative_to=tmp_path / "lists")
    assert row.file == "../images/real/a.jpg"


def test_a_link_to_a_folder_of_images_is_looked_through(tmp_path):
    """`..` out of a linked folder would lead somewhere else."""
    folder(tmp_path, "disk/far/images/real/a.jpg")
    (tmp_path / "here").symlink_to(tmp_path / "disk/far/images")
    (row,) = labelled_rows(tmp_path / "here", relative_to=tmp_path)
    assert (tmp_path / row.file).read_bytes() == b"x"


def test_a_csv_in_the_manifests_own_columns(tmp_path):
    """All that a person may know of an image is taken over; what is measured is not."""
    folder(tmp_path, "a.jpg")
    path = listing(
        tmp_path,
        "class,file,generator,version,source,group,licence,date,width,note\nflux,a.jpg,flux-dev,1,hub,s1,MIT,2026-01-31,7,hi\n",
    )
    assert labelled_rows(path, relative_to=tmp_path) == [
        Row(
            file="a.jpg", label="flux", generator="flux-dev", version="1", source="hub", group="s1", licence="MIT",
            date="2026-01-31",
        )
    ]  # fmt: skip


def test_a_repo_is_source_and_group_and_a_role_selects(tmp_path):
    """The columns of a list of files from public repositories."""
    folder(tmp_path, "a.jpg", "b.jpg")
    path = listing(
        tmp_path, "file,class,role,repo,sha256\na.jpg,real,pixel,me/photos,00\nb.jpg,real,trap,me/photos,11\n"
    )
    assert labelled_rows(path, relative_to=tmp_path, role="pixel") == [
        Row(file="a.jpg", label="real", source="me/photos", group="me/photos", sha256="00")
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.jpg,real\n", "lacks the columns class: it has file, label"),
        ("", "lacks the columns file, class: it has none"),
        ("file,class\na.jpg,\n", "line 2: no file or no class"),
        (
            "file,class\nnot_there.jpg,real\na.jpg,real\n",
            "1 of the 2 files that .* lists are not there: .*not_there.jpg",
        ),
        ("file,class\na.jpg,Stable Diffusion\n", "not a class name: 'Stable Diffusion'"),
        ("file,class\n", "holds no labelled images"),
    ],
)
def test_a_wrong_list_says_what_is_wrong(tmp_path, text, message):
    """Each fault of a labels file has its own words, and a remedy."""
    folder(tmp_path, "a.jpg")
    with pytest.raises(UsageError, match=message) as caught:
        labelled_rows(listing(tmp_path, text), relative_to=tmp_path)
    assert caught.value.remedy


def test_a_list_that_is_no_text_is_refused(tmp_path):
    """An image in the place of the list."""
    (tmp_path / "labels.csv").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UsageError, match="cannot be read"):
        labelled_rows(tmp_path / "labels.csv", relative_to=tmp_path)


def test_an_empty_folder_is_an_error(tmp_path):
    """As is one whose images lie in no class folder."""
    with pytest.raises(UsageError, match="holds no labelled images: nothing lies in its sub-folders"):
        labelled_rows(folder(tmp_path, "a.jpg"), relative_to=tmp_path)


def test_a_folder_with_a_bad_name_gets_a_better_one(tmp_path):
    """The remedy is a name that works."""
    with pytest.raises(UsageError, match="not a class name: 'DALL-E 3'") as caught:
        labelled_rows(folder(tmp_path, "DALL-E 3/a.png"), relative_to=tmp_path)
    assert "`dall-e_3`" in caught.value.remedy


def test_a_place_that_is_not_there_is_an_error():
    """Neither folder nor file."""
    with pytest.raises(UsageError, match="neither a folder nor a file"):
        labelled_rows(Path("nowhere"), relative_to=Path())


def test_a_folder_has_no_roles(tmp_path):
    """The option would silently do nothing."""
    with pytest.raises(UsageError, match="a folder has no roles"):
        labelled_rows(folder(tmp_path, "real/a.jpg"), relative_to=tmp_path, role="pixel")
