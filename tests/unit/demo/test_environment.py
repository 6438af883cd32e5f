from pathlib import Path

import pytest

from streams.demo.environment import ORDINARY_DAY, demo_environment
from streams.settings_sources import load
from streams.stack.local_stack import StackInfo

STACK = StackInfo(
    bootstrap_servers="127.0.0.1:1234",
    s3_endpoint="127.0.0.1:4321",
    s3_access_key="key",
    s3_secret_key="secret",
    s3_server="s3proxy",
    broker_pid=1,
    store_pid=2,
    state_dir=Path("state"),
    broker_log=Path("broker.log"),
    store_log=Path("s3proxy.log"),
)


def test_the_workers_are_told_of_the_stack() -> None:
    """Broker, store and its credentials are those of the demo."""
    settings = load(demo_environment(STACK, {})).settings

    assert settings.kafka.bootstrap_servers == "127.0.0.1:1234"
    assert settings.store.endpoint == "127.0.0.1:4321"
    assert settings.store.secret_key.get_secret_value() == "secret"
    assert settings.drift.reference == dict(ORDINARY_DAY)
    assert settings.model.allow_simulated


def test_a_users_model_is_used() -> None:
    """The demo can show a checkpoint of the user's own."""
    environ = demo_environment(STACK, {"DEEPTRACE_MODEL__CLASSIFIER": "fake", "DEEPTRACE_MODEL__MAX_BATCH": "2"})

    assert (environ["DEEPTRACE_MODEL__CLASSIFIER"], environ["DEEPTRACE_MODEL__MAX_BATCH"]) == ("fake", "2")


@pytest.mark.parametrize(
    "name",
    [
        "DEEPTRACE_KAFKA__INSTANCE_ID",
        "DEEPTRACE_STORE__SECRET_KEY_FILE",
        "DEEPTRACE_DRIFT__REFERENCE_FILE",
        "DEEPTRACE_CONFIG",
        "DEEPTRACE_STATE_DIR",
        "APP_ENV_PREFIX",
        "PYTHONPATH",
    ],
)
def test_settings_for_another_place_are_not_passed_on(name: str) -> None:
    """A production broker or store in the environment must not be touched by a demo."""
    assert name not in demo_environment(STACK, {name: "x"})


def test_the_rest_of_the_environment_is_passed_on() -> None:
    """Such as what chooses a GPU."""
    assert demo_environment(STACK, {"CUDA_VISIBLE_DEVICES": "1"})["CUDA_VISIBLE_DEVICES"] == "1"


def test_the_reference_sums_to_one() -> None:
    """Six in ten photographs, one in ten of each generator."""
    assert sum(ORDINARY_DAY.values()) == pytest.approx(1)
