"""Charts as inline SVG: no script, no font, no colour of its own but by class, so that light and dark both work.

Law: every text is escaped here, whatever it is; numbers are formatted here and come from nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from hqd.core.report.page import Bars, Columns, Lines
from hqd.core.report.share import percent

WIDTH, HEIGHT = 640, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 14, 30
_BAR, _NAMES = 22, 250
_MOST_LABELS = 12


def chart(what: Bars | Lines | Columns, caption: str) -> str:
    """One chart with its legend; empty where there is nothing to draw."""
    if isinstance(what, Bars):
        return _bars(what, caption) if what.rows else ""
    if not what.labels:
        return ""
    return _lines(what, caption) if isinstance(what, Lines) else _columns(what, caption)


def _svg(body: Sequence[str], height: int, caption: str) -> str:
    name = escape(caption)
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{name}" preserveAspectRatio="xMinYMin meet">'
    return "".join([head, f"<title>{name}</title>", *body, "</svg>"])


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def _legend(names: Sequence[str]) -> list[str]:
    made, x = [], float(_LEFT)
    for place, name in enumerate(names):
        made.append(f'<rect x="{x:.1f}" y="2" width="10" height="8" class="s{place % 4}"/>')
        made.append(_text(x + 14, 10, name))
        x += 30 + 7 * len(name)
    return made


def _bars(what: Bars, caption: str) -> str:
    """Horizontal bars from 0 to the highest end of an interval, the interval as a thin line over each."""
    top = max((high for _name, _value, _low, high in what.rows), default=0.0) or 1.0
    room = WIDTH - _NAMES - 70
    body = []
    for place, (name, value, low, high) in enumerate(what.rows):
        y = place * _BAR + 6
        body.append(_text(_NAMES - 8, y + 11, name if len(name) <= 38 else name[:37] + "…", "end"))
        body.append(
            f'<rect x="{_NAMES}" y="{y}" width="{room * value / top:.1f}" height="{_BAR - 8}" class="s0">'
            f"<title>{escape(name)}: {escape(percent(value))}</title></rect>"
        )
        body.append(_line(_NAMES + room * low / top, y + 7, _NAMES + room * high / top, y + 7, "range"))
        body.append(_text(_NAMES + room * high / top + 6, y + 11, percent(value)))
    return _svg(body, len(what.rows) * _BAR + 8, caption)


def _x(place: int, count: int) -> float:
    span = WIDTH - _LEFT - _RIGHT
    return _LEFT + (span * place / (count - 1) if count > 1 else span / 2)


def _labels(labels: Sequence[str], at: Sequence[float]) -> list[str]:
    every = max(1, -(-len(labels) // _MOST_LABELS))
    return [
        _text(at[place], HEIGHT - 10, label.split("-")[-1], "middle")
        for place, label in enumerate(labels)
        if place % every == 0
    ]


def _lines(what: Lines, caption: str) -> str:
    """Shares over time from 0 to 1; a gap where nothing is known, the interval as a band behind each line."""
    room = HEIGHT - _TOP - _BOTTOM

    def y(part: float) -> float:
        return _TOP + room * (1 - part)

    count = len(what.labels)
    body = _legend([name for name, _points in what.series])
    for part in (0.0, 0.5, 1.0):
        body.append(_line(_LEFT, y(part), WIDTH - _RIGHT, y(part), "grid"))
        body.append(_text(_LEFT - 6, y(part) + 4, f"{part:.0%}", "end"))
    for place, (_name, points) in enumerate(what.series):
        for run in _runs(points):
            upper = " ".join(f"{_x(at, count):.1f},{y(point[2]):.1f}" for at, point in run)
            lower = " ".join(f"{_x(at, count):.1f},{y(point[1]):.1f}" for at, point in reversed(run))
            path = " ".join(f"{_x(at, count):.1f},{y(point[0]):.1f}" for at, point in run)
            body.append(f'<polygon points="{upper} {lower}" class="band s{place % 4}"/>')
            body.append(f'<polyline points="{path}" class="line l{place % 4}"/>')
            body += [
                f'<circle cx="{_x(at, count):.1f}" cy="{y(point[0]):.1f}" r="2.5" class="s{place % 4}"/>'
                for at, point in run
            ]
    body += _labels(what.labels, [_x(place, count) for place in range(count)])
    return _svg(body, HEIGHT, caption)


def _runs(
    points: Sequence[tuple[float, float, float] | None],
) -> list[list[tuple[int, tuple[float, float, float]]]]:
    """The stretches without a gap, with their places."""
    runs: list[list[tuple[int, tuple[float, float, float]]]] = [[]]
    for place, point in enumerate(points):
        if point is None:
            runs.append([])
        else:
            runs[-1].append((place, point))
    return [run for run in runs if run]


def _columns(what: Columns, caption: str) -> str:
    """Stacked counts over time."""
    count = len(what.labels)
    sums = [sum(values[place] for _name, values in what.series) for place in range(count)]
    top = max(sums) or 1.0
    room, span = HEIGHT - _TOP - _BOTTOM, WIDTH - _LEFT - _RIGHT
    wide = span / count
    body = _legend([name for name, _values in what.series])
    for part in (0.0, 1.0):
        at = _TOP + room * (1 - part)
        body.append(_line(_LEFT, at, WIDTH - _RIGHT, at, "grid"))
        body.append(_text(_LEFT - 6, at + 4, f"{top * part:g}", "end"))
    for place in range(count):
        base = float(_TOP + room)
        for which, (name, values) in enumerate(what.series):
            high = room * values[place] / top
            base -= high
            body.append(
                f'<rect x="{_LEFT + wide * (place + 0.1):.1f}" y="{base:.1f}" width="{wide * 0.8:.1f}"'
                f' height="{high:.1f}" class="s{which % 4}">'
                f"<title>{escape(what.labels[place])}: {values[place]:g} {escape(name)}</title></rect>"
            )
    body += _labels(what.labels, [_LEFT + wide * (place + 0.5) for place in range(count)])
    return _svg(body, HEIGHT, caption)
