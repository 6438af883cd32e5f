import json

import numpy as np
import pytest
from typer.testing import CliRunner

from streams.cli.main import app
from training.corpus.files import jpeg, png
from training.manifest import SPLITS, read_manifest

pytestmark = pytest.mark.timeout(900)  # the first test pays for what its fixture makes

NUMBERS = ("--scenes", "2", "--calibration-scenes", "1", "--test-scenes", "1")


def run(*arguments, code=0):
    answer = CliRunner().invoke(app, ["data", *map(str, arguments)], env={"COLUMNS": "200"})
    assert answer.exit_code == code, answer.output
    return answer


def simulate(out, *options):
    return run("simulate", "--out", out, *NUMBERS, *options)


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus")
    assert json.loads(simulate(out, "--processes", 2, "--json").stdout)["images"] == 37
    return out


@pytest.fixture
def folder(tmp_path):
    """Ten groups of a photograph and a generated image, and a broken file."""
    rng = np.random.default_rng(1)
    for number in range(10):
        for label, encode in (("real", lambda pixels: jpeg(pixels, 90)), ("flux", png)):
            place = tmp_path / "images" / label / f"source{number}"
            place.mkdir(parents=True)
            (place / "1").write_bytes(encode(rng.integers(0, 256, (230, 240, 3), dtype=np.uint8)))
    (tmp_path / "images/flux/broken.png").write_bytes(b"no")
    return tmp_path


def test_a_simulated_corpus_is_files_and_a_manifest_with_all_splits(corpus):
    """Every row names a file that is there, and each of the seven splits has images."""
    manifest = read_manifest(corpus / "manifest.csv")
    assert {row.split for row in manifest.rows} == set(SPLITS)
    assert manifest.classes == ("real", "dalle3", "flux", "midjourney", "stable_diffusion")
    assert {row.file for row in manifest.rows} | {"manifest.csv"} == tree(corpus).keys()
    assert {row.label for row in manifest.of("unseen_generator")} == {"real", "other_ai"}
    flux = next(row for row in manifest.of("later") if row.label == "flux")
    assert (flux.generator, flux.source, flux.group) == ("simulated_flux", "simulated-v2", "scene-500000")
    assert flux.version.startswith("flux-1")
    assert {row.source for row in manifest.of("unseen_source")} == {"simulated-v2-elsewhere"}


def test_no_scene_is_in_two_splits(corpus):
    """The group of a scene has one split."""
    rows = read_manifest(corpus / "manifest.csv").rows
    assert len({row.group for row in rows}) == len({(row.group, row.split) for row in rows})


def test_one_process_and_two_write_the_same_bytes(corpus, tmp_path):
    """Images and manifest."""
    simulate(tmp_path, "--processes", 1)
    assert tree(tmp_path) == tree(corpus)


def test_more_scenes_leave_the_others_as_they_were(corpus, tmp_path):
    """A longer training set has the shorter one's files, and the same test."""
    run(
        "simulate",
        "--out",
        tmp_path,
        "--scenes",
        3,
        "--calibration-scenes",
        0,
        "--test-scenes",
        1,
        "--held-out-scenes",
        0,
    )
    before, after = tree(corpus), tree(tmp_path)
    shared = before.keys() & after.keys() - {"manifest.csv"}
    assert len(shared) == 15
    assert all(before[name] == after[name] for name in shared)


def test_a_sixth_class_is_an_option(tmp_path):
    """Another generator joins the trained ones, and a further one is held out in its place."""
    classes = "real,stable_diffusion,midjourney,dalle3,flux,other_ai"
    simulate(tmp_path, "--classes", classes, "--unseen-generator", "pixel_ai")
    manifest = read_manifest(tmp_path / "manifest.csv")
    assert manifest.classes == ("real", "dalle3", "flux", "midjourney", "other_ai", "stable_diffusion")
    assert {row.label for row in manifest.of("unseen_generator")} == {"real", "pixel_ai"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--classes", "real,dragons"), "dragons cannot be simulated"),
        (("--classes", "flux,dalle3"), "flux, dalle3 makes no corpus"),
        (("--classes", "real"), "real makes no corpus"),
        (("--unseen-generator", "flux"), "flux is to be trained and to be unseen"),
        (("--scenes", "100001"), "train: at most 100000 scenes"),
    ],
)
def test_a_corpus_that_cannot_be_made_is_a_usage_error(tmp_path, options, message):
    """Said before anything is written."""
    assert message in run("simulate", "--out", tmp_path / "x", *options, code=2).output
    assert not (tmp_path / "x").exists()


def test_a_folder_becomes_a_split_manifest_and_a_list_of_what_is_broken(folder):
    """One command, exit code 0 in spite of the broken file."""
    answer = run("manifest", folder / "images", "--out", folder / "lists/m.csv", "--processes", 1)
    manifest = read_manifest(folder / "lists/m.csv")
    assert len(manifest.rows) == 20
    assert {row.split for row in manifest.rows} == {"train", "calibration", "test"}
    assert all(manifest.path(row).is_file() for row in manifest.rows)
    assert "1 files were left out" in answer.stderr
    assert (folder / "lists/m.rejected.csv").read_text().splitlines()[1].startswith("../images/flux/broken.png,flux,")


def test_the_manifest_command_counts_in_json(folder):
    """Images, rejected files, splits by class."""
    answer = run("manifest", folder / "images", "--out", folder / "m.csv", "--processes", 1, "--json")
    told = json.loads(answer.stdout)
    assert (told["images"], told["rejected"], told["missing"]) == (20, 1, {})
    assert sum(told["splits"][name]["flux"] for name in ("train", "calibration", "test")) == 10


def test_a_list_of_files_is_not_overwritten_by_its_manifest(folder):
    """The same name for both is a mistake."""
    run("manifest", folder / "images", "--out", folder / "m.csv", "--processes", 1)
    before = (folder / "m.csv").read_bytes()
    assert "would be overwritten" in run("manifest", folder / "m.csv", "--out", folder / "m.csv", code=2).output
    assert (folder / "m.csv").read_bytes() == before


def test_an_empty_folder_is_a_usage_error(tmp_path):
    """What, why and what to do."""
    output = run("manifest", tmp_path, "--out", tmp_path / "m.csv", code=2).output
    assert "holds no labelled images" in output
    assert "one sub-folder a class" in output
    assert not (tmp_path / "m.csv").exists()


def test_splitting_again_holds_out_what_is_named(folder):
    """The manifest is written anew; without the option it is as before."""
    path = folder / "m.csv"
    run("manifest", folder / "images", "--out", path, "--processes", 1)
    before = path.read_bytes()
    run("split", path, "--hold-out-source", "source3")
    held = read_manifest(path).of("unseen_source")
    assert {row.source for row in held} == {"source3"}
    assert len(held) == 2
    run("split", path)
    assert path.read_bytes() == before


def test_the_knobs_of_a_file_are_obeyed(folder):
    """Shares and seed stand in params.yaml."""
    (folder / "params.yaml").write_text("data: {calibration_share: 0.0, test_share: 0.5}\n")
    run(
        "manifest", folder / "images", "--out", folder / "m.csv", "--params", folder / "params.yaml", "--processes", 1
    )  # fmt: skip
    rows = read_manifest(folder / "m.csv").rows
    assert sum(row.split == "test" for row in rows) == 10
    assert not [row for row in rows if row.split == "calibration"]


def test_the_audit_exits_with_3_when_canonical_crops_tell_the_class(folder):
    """One class is brighter: twenty images are enough to see it, the report names it, and nothing goes on."""
    rng = np.random.default_rng(2)
    for number in range(10):
        bright = np.clip(rng.normal(190, 20, (230, 240, 3)), 0, 255).astype(np.uint8)
        (folder / f"images/flux/source{number}/1").write_bytes(png(bright))
    run("manifest", folder / "images", "--out", folder / "m.csv", "--processes", 1)
    answer = run("audit", folder / "m.csv", "--processes", 1, "--json", code=3)
    told = json.loads(answer.stdout)
    assert "colour_contrast" in told["canonical"]["caught"]
    assert "format" in told["as_found"]["caught"]
    assert "the images have a shortcut" in answer.stderr


def test_the_audit_prints_both_figures(corpus):
    """A table with chance and n; the simulated corpus passes."""
    answer = run("audit", corpus / "manifest.csv", "--processes", 1)
    assert all(
        name in answer.stdout for name in ("format", "size", "tables", "source", "colour_contrast", "file_length")
    )
    assert "chance 0.200, n = 20 in 4 groups" in answer.stdout


def test_dummies_stand_in_for_a_data_set(tmp_path):
    """No network: the classes of the mapping, simulated and saying so, listed and split."""
    run(
        "download", "--dataset", "some/thing", "--dummy", "--limit", 6, "--map", "0=real", "--map", "1=newcomer",
        "--out", tmp_path, "--processes", 1,
    )  # fmt: skip
    rows = read_manifest(tmp_path / "manifest.csv").rows
    assert {row.label for row in rows} == {"real", "newcomer"}
    assert len(rows) == 12
    assert {row.source for row in rows} == {"simulated-v2"}
    assert {row.generator for row in rows} == {"", "simulated_stable_diffusion"}
    assert {row.split for row in rows} == {"train", "calibration", "test"}


def test_a_pair_without_a_value_is_a_usage_error(tmp_path):
    """The option and how to write it."""
    output = run("download", "--dataset", "x", "--out", tmp_path, "--map", "real", code=2).output
    assert "--map real: no pair" in output
