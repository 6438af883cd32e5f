"""What the workers of the demo are told: exactly these variables, so that settings lying around cannot turn the demo into something else."""

from collections.abc import Mapping
from types import MappingProxyType

import orjson

from streams.settings_sources import PREFIX
from streams.stack.local_stack import StackInfo

ORDINARY_DAY: Mapping[str, float] = MappingProxyType(
    {"real": 0.8, "stable_diffusion": 0.05, "midjourney": 0.05, "dalle3": 0.05, "flux": 0.05}
)
"""The reference of the demo: on an ordinary day of this imagined platform eight in ten uploads are photographs. The simulated images
are one fifth of each class, so that their window shows what drift looks like, alert included."""

PARTITIONS = 4
WINDOW_S = 10
IDLE_CLOSE_S = 5
RETRY_DELAYS_S = "[1, 2]"  # instead of minutes: somebody waits for the dead letter of an object that never comes
MIN_IMAGES = 20
MAX_BATCH = 8  # small, so that the progress bar moves and verdicts never pause for as long as IDLE_CLOSE_S
IN_FLIGHT = 16  # so that an image's milliseconds are mostly its own, and not those of all the images before it

_USERS_OWN = tuple(f"{PREFIX}{section}__" for section in ("MODEL", "DECODE", "PIPELINE", "LOG"))
_NOT_PASSED_ON = ("APP_ENV_PREFIX", "PYTHONPATH")


def demo_environment(stack: StackInfo, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the workers: the user's, with the model settings they chose, and the demo's own for the rest."""
    passed_on = {
        name: value
        for name, value in environ.items()
        if name.startswith(_USERS_OWN) or not name.startswith((PREFIX, *_NOT_PASSED_ON))
    }
    gentle = {
        "MODEL__ALLOW_SIMULATED": "true",
        "MODEL__MAX_BATCH": str(MAX_BATCH),
        "PIPELINE__IN_FLIGHT": str(IN_FLIGHT),
        "LOG__FORMAT": "json",
    }
    fixed = {
        "KAFKA__BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "KAFKA__PARTITIONS": str(PARTITIONS),
        "KAFKA__RETRY_DELAYS_S": RETRY_DELAYS_S,
        "STORE__ENDPOINT": stack.s3_endpoint,
        "STORE__ACCESS_KEY": stack.s3_access_key,
        "STORE__SECRET_KEY": stack.s3_secret_key,
        "DRIFT__WINDOWS": orjson.dumps([f"{WINDOW_S}s"]).decode(),
        "DRIFT__ALLOWED_LATENESS_S": "2",
        "DRIFT__IDLE_CLOSE_S": str(IDLE_CLOSE_S),
        "DRIFT__MIN_IMAGES": str(MIN_IMAGES),
        "DRIFT__REFERENCE": orjson.dumps(dict(ORDINARY_DAY)).decode(),
        "HTTP__PORT": "0",
        "HTTP__DRIFT_PORT": "0",
    }
    return (
        {f"{PREFIX}{name}": value for name, value in gentle.items()}
        | passed_on
        | {f"{PREFIX}{name}": value for name, value in fixed.items()}
    )
