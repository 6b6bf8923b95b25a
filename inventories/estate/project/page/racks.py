"""Rack elevations: what stands where, on which power."""

from __future__ import annotations

import drawsvg

from estate.hardware import Rack, SwitchTier
from estate.model import Estate
from estate.project.page.drawing import ACCENT, COOL, GOLD, INK, LINE, box, canvas, label, render

UNIT, WIDTH, GAP, TOP = 15, 190, 50, 80


def racks(estate: Estate) -> str:
    """All racks side by side, data centre by data centre, lowest unit at the bottom."""
    columns = [(centre, rack) for centre in estate.data_centres for rack in centre.racks]
    tallest = max(rack.height_units for _, rack in columns)
    drawing = canvas(len(columns) * (WIDTH + GAP) + GAP, TOP + tallest * UNIT + 60, "Racks")
    hosts = {host.server: host for host in estate.hosts if host.server}
    previous = None
    for column, (centre, rack) in enumerate(columns):
        x = GAP + column * (WIDTH + GAP)
        if centre is not previous:
            drawing.append(label(f"{centre.name} · {centre.place}", x, 22, 16, bold=True))
            previous = centre
        drawing.append(label(f"rack {rack.name}", x, 46, 13, bold=True))
        drawing.append(label(" + ".join(rack.power_feeds), x, 63, 9, colour=ACCENT))
        height = rack.height_units * UNIT
        drawing.append(box(x, TOP, WIDTH, height))
        for unit in range(1, rack.height_units + 1):
            if unit % 6 == 0 or unit == 1:
                drawing.append(
                    label(str(unit), x - 6, _top(rack, unit, 1) + UNIT / 2, 8, colour=LINE, anchor="end")
                )
        for server in estate.servers:
            if server.rack == rack.name:
                host = hosts.get(server.name)
                text = host.name if host else server.name
                note = f"{server.cores} cores, {server.memory} GiB"
                _device(drawing, x, rack, server.unit, server.height_units, text, note, "white")
        for switch in estate.switches:
            if switch.rack == rack.name:
                fill = "#e4edf5" if switch.tier is not SwitchTier.MANAGEMENT else "#f7efd8"
                asn = f"AS {switch.autonomous_system}" if switch.autonomous_system else switch.tier.value
                _device(drawing, x, rack, switch.unit, switch.height_units, switch.name, asn, fill)
    foot = TOP + tallest * UNIT + 25
    for index, (colour, text) in enumerate(
        ((COOL, "data switch"), (GOLD, "management switch"), (INK, "server"))
    ):
        drawing.append(box(GAP + index * 150, foot, 12, 12, fill="white", stroke=colour))
        drawing.append(label(text, GAP + index * 150 + 18, foot + 6, 11))
    return render(drawing)


def _top(rack: Rack, unit: int, height: int) -> float:
    return TOP + (rack.height_units - unit - height + 1) * UNIT


def _device(
    drawing: drawsvg.Drawing, x: float, rack: Rack, unit: int, height: int, text: str, note: str, fill: str
) -> None:
    y = _top(rack, unit, height)
    stroke = {"white": INK, "#e4edf5": COOL}.get(fill, GOLD)
    drawing.append(box(x + 3, y + 1, WIDTH - 6, height * UNIT - 2, fill=fill, stroke=stroke))
    drawing.append(label(text, x + 8, y + height * UNIT / 2, 9, bold=True))
    drawing.append(label(note, x + WIDTH - 8, y + height * UNIT / 2, 7, anchor="end"))
