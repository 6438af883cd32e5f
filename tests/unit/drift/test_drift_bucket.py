"""The drift bucket is nobody else's."""

import pytest

from schemas.errors import ConfigError
from streams.settings_sources import load


@pytest.mark.parametrize("bucket", ["deeptrace-images", "deeptrace-models"])
def test_the_drift_bucket_is_apart(bucket):
    """Who may upload images or publish models must not be able to change what counts as normal."""
    with pytest.raises(ConfigError, match="drift_bucket must be apart"):
        load({"DEEPTRACE_STORE__DRIFT_BUCKET": bucket})
