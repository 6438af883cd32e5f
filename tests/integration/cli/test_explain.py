"""`deeptrace explain` as a user calls it, with the demo checkpoint."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image
from support.world import picture

pytestmark = pytest.mark.integration


def explain(*arguments, cwd, **env):
    """Run the command in an empty folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DEEPTRACE_")}
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", "explain", *arguments],
        cwd=cwd,
        env={**clean, "DEEPTRACE_MODEL__THREADS": "1", **env},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_one_image_gets_one_figure_and_its_numbers(tmp_path):
    """Three maps; the verdict is that of `classify`; the warning is in the figure and, without --json, on standard error."""
    (tmp_path / "a.png").write_bytes(picture(1, side=240))
    shown = explain("a.png", "--out", "why/figure.png", "--json", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert [one["part"] for one in found["maps"]] == ["cnn", "vit", "fft"]
    assert found["figure"] == "why/figure.png"
    assert found["verdict"]["model"]["training_data"].startswith("simulated")
    with Image.open(tmp_path / "why/figure.png") as figure:
        assert (figure.format, figure.width) == ("PNG", 1200)


def test_lime_adds_a_map_and_a_class_may_be_asked_for(tmp_path):
    """As WebP, by the name's ending."""
    (tmp_path / "a.png").write_bytes(picture(2, side=224))
    shown = explain("a.png", "--lime", "--class", "flux", "--out", "figure.webp", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "for flux" in shown.stdout
    assert "lime" in shown.stdout
    assert "says nothing about true generators" in " ".join(shown.stderr.split())
    with Image.open(tmp_path / "figure.webp") as figure:
        assert figure.format == "WEBP"


def test_a_file_that_is_no_image_is_said_as_classify_says_it(tmp_path):
    """Exit 65, the code on standard output with --json, and no figure."""
    (tmp_path / "b.png").write_text("no image")
    shown = explain("b.png", "--json", cwd=tmp_path)
    assert shown.returncode == 65
    assert json.loads(shown.stdout)["error"] == "not_an_image"
    assert "Traceback" not in shown.stderr
    assert not (tmp_path / "explained.png").exists()


@pytest.mark.parametrize(
    ("side", "arguments", "env", "code", "said"),
    [
        (240, ("--class", "flx"), {}, 2, "its classes are"),
        (240, ("--out", "figure.gif"), {}, 2, ".png or .webp"),
        (240, (), {"DEEPTRACE_MODEL__CLASSIFIER": "fake"}, 2, "no network to explain"),
        (16, (), {}, 3, "too_small"),
    ],
)
def test_what_cannot_be_explained_says_why(tmp_path, side, arguments, env, code, said):
    """No traceback, and a remedy where there is one."""
    (tmp_path / "a.png").write_bytes(picture(3, side=side))
    shown = explain("a.png", *arguments, cwd=tmp_path, **env)
    assert shown.returncode == code, shown.stderr
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr
