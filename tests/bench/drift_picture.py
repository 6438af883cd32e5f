"""The stream as a picture: an SVG without script, readable on light and dark ground."""

from collections.abc import Iterable, Sequence

from drift_figures import Minute

from schemas.window import Estimate

_WIDTH, _HEIGHT = 860, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 34, 40
_HIGHEST = 0.4

_STYLE = """
  .ground { fill: #ffffff }
  text { font: 12px sans-serif; fill: #24292f }
  .grid { stroke: #8c959f55; stroke-width: 1 }
  .void { fill: #cf222e22 }
  .band { fill: #0969da33 }
  .corrected { stroke: #0969da; fill: none; stroke-width: 1.5 }
  .raw { stroke: #9a6700; fill: none; stroke-width: 1.2; stroke-dasharray: 4 3 }
  .true { stroke: #24292f; fill: none; stroke-width: 1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .ground { fill: #0d1117 }
    .corrected { stroke: #58a6ff }
    .band { fill: #58a6ff33 }
    .raw { stroke: #d29922 }
    .true { stroke: #e6edf3 }
  }"""


def picture(minutes: Sequence[Minute], phases: Sequence[str]) -> str:
    """Return the AI share by minute: true, raw, corrected with its interval; windows whose correction is void are shaded."""
    across = (_WIDTH - _LEFT - _RIGHT) / len(minutes)

    def x(minute: float) -> float:
        return _LEFT + across * minute

    def y(share: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(share, _HIGHEST) / _HIGHEST

    def path(points: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{x(at):.1f},{y(share):.1f}" for at, share in points)

    parts = [f'<rect class="ground" width="{_WIDTH}" height="{_HEIGHT}"/>']
    for share in (0, 0.1, 0.2, 0.3, 0.4):
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(share):.1f}" y2="{y(share):.1f}"/>'
        )
        parts.append(f'<text x="{_LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for number, name in enumerate(phases):
        first = next(at for at, minute in enumerate(minutes) if minute.phase == number)
        parts.append(f'<text x="{x(first) + 4:.1f}" y="{_HEIGHT - 8}">{name}</text>')
        parts.append(f'<line class="grid" x1="{x(first):.1f}" x2="{x(first):.1f}" y1="{_TOP}" y2="{_HEIGHT - 4}"/>')
    held = [(at, minute.said.correction) for at, minute in enumerate(minutes)]
    for at, correction in held:
        if correction is not None and correction.status == "void":
            parts.append(
                f'<rect class="void" x="{x(at):.1f}" y="{_TOP}" width="{across:.2f}" height="{_HEIGHT - _TOP - _BOTTOM}"/>'
            )
    for run in _runs([(at, correction.ai) for at, correction in held if correction is not None and correction.ai]):
        around = [(at + 0.5, one.low) for at, one in run] + [(at + 0.5, one.high) for at, one in reversed(run)]
        parts.append(f'<polygon class="band" points="{path(around)}"/>')
        parts.append(f'<polyline class="corrected" points="{path((at + 0.5, one.value) for at, one in run)}"/>')
    parts.append(f'<polyline class="raw" points="{path((at + 0.5, one.raw_ai) for at, one in enumerate(minutes))}"/>')
    steps = [(at + side, minute.truth_ai) for at, minute in enumerate(minutes) for side in (0, 1)]
    parts.append(f'<polyline class="true" points="{path(_corners(steps))}"/>')
    legend = (("raw", "raw: counted as AI"), ("corrected", "corrected, with its 95 % interval"), ("true", "true"))
    for number, (kind, name) in enumerate(legend):
        at = _LEFT + 250 * number
        parts.append(
            f'<line class="{kind}" x1="{at}" x2="{at + 28}" y1="16" y2="16"/><text x="{at + 34}" y="20">{name}</text>'
        )
    parts.append(f'<rect class="void" x="{_LEFT + 590}" y="8" width="16" height="16"/>')
    parts.append(f'<text x="{_LEFT + 612}" y="20">correction void</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        "<title>Share of AI by minute: true, raw and corrected</title>"
        f"<style>{_STYLE}\n</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _runs(points: Sequence[tuple[int, Estimate]]) -> Iterable[list[tuple[int, Estimate]]]:
    """Yield the points without gaps, run by run."""
    run: list[tuple[int, Estimate]] = []
    for at, value in points:
        if run and at != run[-1][0] + 1:
            yield run
            run = []
        run.append((at, value))
    if run:
        yield run


def _corners(steps: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out what lies on a level line between its neighbours."""
    last = len(steps) - 1
    return [
        one for at, one in enumerate(steps) if at in {0, last} or not steps[at - 1][1] == one[1] == steps[at + 1][1]
    ]
