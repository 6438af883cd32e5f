import pytest

from model.codecs_check import check_codecs, webp_is_unsafe


@pytest.mark.parametrize(("version", "unsafe"), [("1.3.1", True), ("0.6.0", True), ("1.3.2", False), ("1.6.0", False)])
def test_libwebp_before_the_fix_is_unsafe(version, unsafe):
    """1.3.2 is the first without CVE-2023-4863."""
    assert webp_is_unsafe(version) is unsafe


def test_the_installed_codecs_pass():
    """All codecs of the policy are there, with their versions."""
    assert set(check_codecs()) == {"jpg", "zlib", "webp", "avif", "littlecms2"}
