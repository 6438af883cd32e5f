import subprocess
from pathlib import Path

import pytest
from support.train_command import TINY_YAML, command, one_thread


@pytest.fixture(scope="session")
def deeptrace():
    """Runs the command in a process of its own and returns it; the exit code must be `code`."""

    def run(*arguments, cwd, code=0, **env):
        done = subprocess.run(
            command(*arguments),
            cwd=cwd,
            env=one_thread(**env),
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def corpus(tmp_path_factory, deeptrace) -> Path:
    """Ten training scenes of `real` and `flux`, two of each later split."""
    folder = tmp_path_factory.mktemp("corpus")
    deeptrace(
        "data", "simulate", "--out", folder, "--scenes", 10, "--calibration-scenes", 2, "--test-scenes", 2,
        "--held-out-scenes", 0, "--classes", "real,flux", "--processes", 1,
        cwd=folder,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def whole(tmp_path_factory, corpus, deeptrace):
    """The output folder of a training that nobody disturbed, and the process that did it."""
    workplace = tmp_path_factory.mktemp("whole")
    (workplace / "params.yaml").write_text(TINY_YAML)
    done = deeptrace("train", "--manifest", corpus / "manifest.csv", "--out", "out", cwd=workplace)
    return workplace / "out", done


@pytest.fixture
def workplace(tmp_path) -> Path:
    """A folder with a small params.yaml."""
    (tmp_path / "params.yaml").write_text(TINY_YAML)
    return tmp_path
