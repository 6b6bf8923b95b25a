"""Zones as a matrix: a row for where traffic starts, a column for where it may go."""

from __future__ import annotations

from estate.checks import source_zones
from estate.model import Estate
from estate.project.page.drawing import ACCENT, INK, LINE, PALE, box, canvas, label, render

CELL, ROW, LEFT, TOP = 132, 58, 190, 96


def zones(estate: Estate) -> str:
    """The matrix; an empty cell is traffic that the site drops."""
    names = [zone.name for zone in estate.zones]
    cells: dict[tuple[str, str], dict[str, None]] = {}
    for flow in estate.flows:
        starts = sorted(source_zones(estate, flow)) + (["operators"] if flow.source.administration else [])
        for host, endpoint, _ in estate.destinations(flow):
            for start in starts:
                cells.setdefault((start, host.zone), {})[endpoint.value] = None
    rows = [*names, "operators"]
    deepest = {start: max((len(cells.get((start, end), ())) for end in names), default=0) for start in rows}
    heights = {start: max(ROW, 14 * deepest[start] + 14) for start in rows}
    drawing = canvas(LEFT + CELL * len(names) + 20, TOP + sum(heights.values()) + 40, "Zones and allowed flows")
    drawing.append(label("from ↓   to →", 16, TOP - 18, 12, colour=LINE))
    for column, zone in enumerate(estate.zones):
        x = LEFT + column * CELL
        drawing.append(label(zone.name, x + CELL / 2, TOP - 46, 13, anchor="middle", bold=True))
        drawing.append(label(str(zone.network), x + CELL / 2, TOP - 28, 9, anchor="middle"))
        count = sum(host.zone == zone.name for host in estate.hosts)
        drawing.append(label(f"{count} hosts", x + CELL / 2, TOP - 14, 9, anchor="middle", colour=LINE))
    y: float = TOP
    for start in rows:
        height = heights[start]
        drawing.append(label(start, 16, y + height / 2, 13, bold=True))
        for column, end in enumerate(names):
            allowed = list(cells.get((start, end), ()))
            fill = "#e6f2ec" if allowed else ("white" if start != end else PALE)
            x = LEFT + column * CELL
            drawing.append(
                box(x + 2, y + 2, CELL - 4, height - 4, fill=fill, stroke=ACCENT if allowed else "#e3e8ec")
            )
            first = y + height / 2 - 7 * (len(allowed) - 1)
            for line, text in enumerate(allowed):
                drawing.append(
                    label(text.replace("_", " "), x + CELL / 2, first + 14 * line, 10, anchor="middle")
                )
        y += height
    drawing.append(label("Empty: dropped, on the way and at the host.", LEFT, y + 18, 11, colour=INK))
    return render(drawing)
