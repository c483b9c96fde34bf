"""Panels of lines over one logarithmic axis, as an SVG that reads well in light and in dark."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 470, 300, 60, 32, 56, 52
STYLE = """
  .back { fill: #fff } text { fill: #24292f; font: 12px system-ui, sans-serif } .title { font-weight: 600 }
  .grid { stroke: #d0d7de } .axis { stroke: #57606a }
  .line { fill: none; stroke-width: 2 } .dashed { stroke-dasharray: 5 4 }
  .c0 { stroke: #57606a } .c1 { stroke: #0550ae } .c2 { stroke: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } text { fill: #e6edf3 } .grid { stroke: #30363d } .axis { stroke: #8b949e }
    .c0 { stroke: #8b949e } .c1 { stroke: #79c0ff } .c2 { stroke: #ffa657 }
  }
"""


@dataclass(frozen=True)
class Line:
    """A value for each place on the horizontal axis."""

    name: str
    values: Sequence[float]
    colour: int
    """A class of `STYLE`."""
    is_dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """Lines over one vertical axis, which begins at 0."""

    title: str
    lines: Sequence[Line]
    step: int
    """Between two marks."""


def drawn(across: str, places: Sequence[float], panels: Sequence[Panel]) -> str:
    """The file. ``across`` says what ``places`` are."""
    inside = "".join(
        f'<g transform="translate({number * WIDTH} 0)">{_panel(panel, across, places)}</g>\n'
        for number, panel in enumerate(panels)
    )
    title = escape("; ".join(panel.title for panel in panels) + f", by {across}")
    wide = WIDTH * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {HEIGHT}" width="{wide}" height="{HEIGHT}"'
        f' role="img">\n<title>{title}</title>\n<style>{STYLE}</style>\n'
        f'<rect class="back" width="{wide}" height="{HEIGHT}"/>\n{inside}</svg>\n'
    )


def _panel(panel: Panel, across: str, places: Sequence[float]) -> str:
    top = max(max(line.values) for line in panel.lines)
    marks = range(0, int(top) + panel.step, panel.step)

    def x(place: float) -> float:
        span = log10(places[-1] / places[0])
        return LEFT + (WIDTH - LEFT - RIGHT) * log10(place / places[0]) / span

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / marks[-1]

    parts = [_text(LEFT, 20, panel.title, "start", "title")]
    for mark in marks:
        parts += [_stroke("axis" if mark == 0 else "grid", (LEFT, y(mark)), (WIDTH - RIGHT, y(mark)))]
        parts += [_text(LEFT - 8, y(mark) + 4, f"{mark:,}", "end")]
    for place in (place for place in places if place / 10 ** int(log10(place)) in {1, 2, 5}):
        parts += [_stroke("axis", (x(place), y(0)), (x(place), y(0) + 5))]
        parts += [_text(x(place), y(0) + 20, f"{place:,g}", "middle")]
    parts += [_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, "middle")]
    at = float(LEFT)
    for line in panel.lines:
        kind = f"line c{line.colour}{' dashed' if line.is_dashed else ''}"
        parts += [_stroke(kind, *((x(place), y(value)) for place, value in zip(places, line.values, strict=True)))]
        parts += [_stroke(kind, (at, 38), (at + 20, 38)), _text(at + 26, 42, line.name, "start")]
        at += 26 + 7 * len(line.name) + 10
    return "\n".join(parts)


def _stroke(kind: str, *points: tuple[float, float]) -> str:
    return f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def _text(x: float, y: float, words: str, anchor: str, kind: str = "label") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'
