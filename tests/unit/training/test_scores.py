import numpy as np
import pytest

from model.config import Temperatures
from schemas.errors import UsageError
from training.scores import Answers, Rows
from training.served import UNKNOWN, Image, Refused, served

CLASSES = ("real", "flux")


def image(name, label, unit="u"):
    return Image(None, name, label, unit)


def three():
    """Image a has two crops, b one and c two."""
    rows = Rows(np.arange(10.0).reshape(5, 2), np.array([0, 0, 1, 2, 2]))
    vit = Rows(np.arange(6.0).reshape(3, 2), np.arange(3))
    images = (image("a", 0, "one"), image("b", 1, "two"), image("c", UNKNOWN, "two"))
    return Answers(
        CLASSES,
        "clean",
        images,
        (("bad", "not_an_image"),),
        {"fused": rows, "vit": vit},
        novelty=np.array([1.0, 2.0, 3.0]),
        joint=np.arange(5, dtype=np.float32)[:, None],
    )


def test_choosing_images_keeps_their_crops_and_nothing_else():
    """Rows are numbered anew, crop branches and image branches alike."""
    chosen = three().where(np.array([True, False, True]))
    assert [one.name for one in chosen.images] == ["a", "c"]
    assert chosen.branches["fused"].image_of.tolist() == [0, 0, 1, 1]
    assert chosen.branches["fused"].logits[:, 0].tolist() == [0, 2, 6, 8]
    assert chosen.branches["vit"].logits[:, 0].tolist() == [0, 4]
    assert chosen.novelty.tolist() == [1, 3]
    assert chosen.joint[:, 0].tolist() == [0, 1, 3, 4]


def test_the_known_are_those_of_a_class_that_was_taught():
    """c is of another one."""
    assert [one.name for one in three().known().images] == ["a", "b"]
    assert three().units.tolist() == ["one", "two", "two"]
    assert three().is_ai.tolist() == [False, True, True]


def test_the_shift_moves_the_ensemble_only():
    """Serving adds it to the fused logit of real after the division, and leaves the branches alone."""
    answers = Answers(
        CLASSES,
        "clean",
        (image("a", 0),),
        (),
        {name: Rows(np.array([[2.0, 0.0]]), np.array([0])) for name in ("fused", "cnn")},
    )
    temperatures = Temperatures(fused=2.0, real_logit_shift=-1.0)
    assert answers.probs(temperatures)[0] == pytest.approx([0.5, 0.5])
    assert answers.probs(temperatures, "cnn")[0, 0] == pytest.approx(1 / (1 + np.exp(-2)))


def test_energy_by_hand():
    """Minus the log of the summed exponents, as a mean over crops; large logits do not overflow."""
    rows = Rows(np.array([[0.0, 0.0], [np.log(3), 0.0], [1000.0, 0.0]]), np.array([0, 0, 1]))
    assert rows.energy() == pytest.approx([-(np.log(2) + np.log(4)) / 2, -1000.0])


def test_images_of_a_unit_share_the_draw_of_a_condition(tmp_path):
    """Two classes of one scene go through the same laundering: equal pixels come out equal, another scene's do not."""
    from PIL import Image as Picture

    from model.policy import policy_of

    noise = Picture.fromarray(np.random.default_rng(0).integers(0, 256, (260, 300, 3), dtype=np.uint8))
    for name in "abc":
        noise.save(tmp_path / f"{name}.png")
    images = [Image(tmp_path / f"{name}.png", name, 0, unit) for name, unit in (("a", "1"), ("b", "1"), ("c", "2"))]
    first, second, third = served(images, "laundered", map, seed=7, policy=policy_of("crops1-224-native-v1"))
    assert np.array_equal(first.view, second.view)
    assert not np.array_equal(first.view, third.view)


def test_what_the_policy_rejects_is_listed_and_what_is_gone_is_an_error(tmp_path):
    """Bytes that are no image are a fact about the data; a missing file is a wrong list."""
    from model.policy import policy_of

    policy = policy_of("crops1-224-native-v1")
    (tmp_path / "bad.png").write_bytes(b"no picture at all, only words")
    (refused,) = served([Image(tmp_path / "bad.png", "bad.png", 0, "u")], "clean", map, seed=7, policy=policy)
    assert refused == Refused("not_an_image")
    with pytest.raises(UsageError, match=r"gone\.png cannot be read"):
        list(served([Image(tmp_path / "gone.png", "gone.png", 0, "u")], "clean", map, seed=7, policy=policy))
