"""A model is swapped while references come in: a real broker, a real store, one worker as a process of its own."""

import json

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]


def test_no_reference_is_lost_by_a_swap(story):
    """Each has one outcome, a verdict: the audit counts them from topics and store."""
    report = json.loads(story.audited.stdout)
    assert story.audited.returncode == 0, story.audited.stdout + story.audited.stderr
    assert report["accepted"] == report["verdicts"] == len(story.versions) == story.sent


def test_the_switch_is_visible_in_the_verdicts(story):
    """The first reference was judged by 1.0, and nobody but the two has judged."""
    assert json.loads(story.promoted.stdout)["before"] == "1.0"
    assert story.versions[0] == "1.0"
    assert story.served(0, story.sent) == {"1.0", "1.1"}


def test_after_the_worker_has_swapped_the_old_model_judges_nothing(story):
    """Of what was accepted after its metrics named 1.1."""
    assert story.served(story.swapped_at, story.sent) == {"1.1"}


def test_a_release_whose_bytes_were_flipped_cannot_be_promoted(story):
    """The command says which hash was expected, exit 78."""
    assert story.broken.returncode == 78
    assert "release_corrupt" in story.broken.stderr


def test_a_worker_that_meets_one_keeps_its_model(story):
    """It says so in its log and its metrics, and goes on judging with 1.1."""
    assert story.served(story.broken_at, story.sent) == {"1.1"}
    assert 'deeptrace_model_swaps_total{result="release_corrupt",role="champion"}' in story.metrics
    assert "release_corrupt" in (story.world.folder / "worker.log").read_text()


def test_the_shadow_is_compared_with_the_champion(story):
    """A flip matrix over the images that both judged, with an advice; the verdicts are the champion's all the same."""
    assert story.compared.returncode == 0, story.compared.stderr
    found = json.loads(story.compared.stdout)
    assert (found["champion"], found["candidate"]) == ("1.1", "1.0")
    assert sum(count for row in found["matrix"].values() for count in row.values()) == found["n"] > 0
    assert found["advice"] in {"hold", "keep watching"}


def test_a_verdict_of_either_model_is_verified(story):
    """Recomputed from the stored image, by the release with the hash that the verdict names."""
    for number in (0, story.swapped_at):
        done = story.world.run("verify", story.outcome_ids[number], "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["same"] is True


def test_a_verdict_that_was_altered_is_found_out(story, tmp_path):
    """Exit 3, naming what differs."""
    shown = story.world.run("outcome", story.outcome_ids[0], "--json")
    verdict = json.loads(shown.stdout)
    (tmp_path / "forged.json").write_text(json.dumps(verdict | {"p_ai": round(1 - verdict["p_ai"], 6)}))
    done = story.world.run("verify", str(tmp_path / "forged.json"), "--json")
    assert done.returncode == 3
    assert [row["field"] for row in json.loads(done.stdout)["differs"]] == ["p_ai"]


def test_a_verdict_whose_image_was_replaced_cannot_be_verified(story):
    """Exit 65: it is neither confirmed nor refuted."""
    from support.world import picture

    story.world.put("picture-1", picture(999, 64))
    done = story.world.run("verify", story.outcome_ids[1])
    assert done.returncode == 65
    assert "not the image that was judged" in done.stderr
