"""Our statistics and Evidently's on the same counts. Evidently runs in its own process, as it does in service."""

import importlib.util
import sys

import orjson
import pytest

from streams.drift.divergence import js_distance, kl_nats, psi
from streams.drift.reports.content import Content, Rendered
from streams.drift.reports.renderer import Renderer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("evidently") is None, reason="needs the extra `drift`"),
]

TABLES = [
    ({"real": 900, "flux": 60, "midjourney": 40}, {"real": 800, "flux": 150, "midjourney": 50}),
    ({"real": 5, "flux": 3}, {"real": 1, "flux": 1}),
    ({"real": 9_900, "flux": 40, "dalle3": 60}, {"real": 400, "flux": 300, "dalle3": 300}),
    ({"real": 10, "flux": 10}, {"real": 10, "flux": 10}),
    (
        {"real": 1, "a": 2, "b": 3, "c": 4, "unknown_generator": 5},
        {"real": 5, "a": 4, "b": 3, "c": 2, "unknown_generator": 1},
    ),
]
"""Reference and current, without an empty cell."""

Figures = dict[str, float]


@pytest.fixture(scope="module")
def renderer():
    """One process for all tables."""
    made = Renderer()
    yield made
    made.close()


def rendered(renderer: Renderer, reference: dict[str, int], current: dict[str, int], **more) -> Rendered:
    return renderer.render(Content(title="<Drift>", reference=reference, current=current, threshold=0.25, **more))


def evidently(renderer: Renderer, reference: dict[str, int], current: dict[str, int]) -> Figures:
    """Return its figures by method."""
    found = orjson.loads(rendered(renderer, reference, current).json)["metrics"]
    return {metric["config"]["method"]: metric["value"] for metric in found}


def shares(counts: dict[str, int]) -> dict[str, float]:
    """Return plain shares: Evidently does not smooth."""
    return {name: count / sum(counts.values()) for name, count in counts.items()}


@pytest.mark.parametrize(("reference", "current"), TABLES)
def test_on_the_same_shares_both_say_the_same(renderer, reference, current):
    """KL(reference || current), PSI and the Jensen-Shannon distance, to twelve digits, where no class is missing."""
    theirs = evidently(renderer, reference, current)
    p, q = shares(reference), shares(current)
    assert theirs["kl_div"] == pytest.approx(kl_nats(p, q), abs=1e-12)
    assert theirs["psi"] == pytest.approx(psi(q, p), abs=1e-12)
    assert theirs["jensenshannon"] == pytest.approx(js_distance(q, p), abs=1e-12)


def test_where_a_class_is_missing_evidently_puts_a_ten_thousandth(renderer):
    """And does not make the shares sum to 1 again for PSI, while its KL does. We smooth by half an image instead, so the two differ there, as documented."""
    reference, current = {"real": 90, "flux": 10}, {"real": 100}
    theirs = evidently(renderer, reference, current)
    p, q = {"real": 0.9, "flux": 0.1}, {"real": 1.0, "flux": 0.0001}
    whole = {name: share / 1.0001 for name, share in q.items()}
    assert theirs["kl_div"] == pytest.approx(kl_nats(p, whole), abs=1e-12)
    assert theirs["psi"] == pytest.approx(psi(q, p), abs=1e-12)
    assert theirs["jensenshannon"] == pytest.approx(js_distance({"real": 1.0, "flux": 0.0}, p), abs=1e-12)


def test_the_page_needs_no_network_and_says_what_it_is_about(renderer):
    """All script is in it; the title is escaped, and JSON carries the same words."""
    found = rendered(renderer, *TABLES[0], about={"window_id": "w&1"})
    page = found.html.decode()
    assert "<title>&lt;Drift&gt;</title>" in page
    assert "window_id: w&amp;1" in page
    assert "<script src" not in page
    assert "<link" not in page
    assert orjson.loads(found.json)["about"]["window_id"] == "w&1"


def test_a_class_is_no_markup(renderer):
    """Evidently writes names into its scripts as they are; whoever writes verdicts names the classes."""
    page = rendered(renderer, {"real": 9}, {"real": 8, "</script><script>alert(1)</script>": 1}).html.decode()
    assert "script>alert" not in page
    assert "?/script??script?alert(1)?/script?" in page


def test_confidence_is_compared_where_both_have_it(renderer):
    """A fourth figure, on the middles of ten bins."""
    found = rendered(
        renderer,
        {"real": 10},
        {"real": 10},
        reference_confidence=(0,) * 9 + (10,),
        current_confidence=(0,) * 8 + (5, 5),
    )
    assert [metric["config"]["column"] for metric in orjson.loads(found.json)["metrics"]] == [
        "predicted_source"
    ] * 3 + ["confidence"]


def test_our_threshold_is_on_the_divergence_alone(renderer):
    """The other two have Evidently's own, which are of other scales."""
    metrics = orjson.loads(rendered(renderer, *TABLES[0]).json)["metrics"]
    assert {metric["config"]["method"]: metric["config"]["threshold"] for metric in metrics} == {
        "kl_div": 0.25,
        "psi": 0.1,
        "jensenshannon": 0.1,
    }


def test_evidently_is_not_in_this_process(renderer):
    """A drift worker costs no 280 MB more for its reports."""
    rendered(renderer, *TABLES[0])
    assert "evidently" not in sys.modules
