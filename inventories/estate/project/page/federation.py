"""The federation: clients on the left, providers on the right, a line for each access right."""

from __future__ import annotations

import drawsvg

from estate.federation import SubsystemId
from estate.model import Estate
from estate.project.page.drawing import ACCENT, COOL, LINE, WARM, box, canvas, label, render

WIDTH, ROW, TOP = 300, 62, 70


def federation(estate: Estate) -> str:
    """Subsystems with their members and security servers, joined by what they may call."""
    subsystems = estate.federation.subsystems()
    rights = [
        (holder, SubsystemId.parse(right.provider))
        for right in estate.federation.access_rights
        for holder in estate.federation.holders(right)
    ]
    clients = list(dict.fromkeys(holder for holder, _ in rights))
    providers = [identifier for identifier, item in subsystems.items() if item.services]
    others = [identifier for identifier in subsystems if identifier not in {*clients, *providers}]
    rows = max(len(clients) + len(others), len(providers))
    drawing = canvas(1000, TOP + rows * ROW + 30, "Federation")
    title = f"X-Road instance {estate.federation.instance} · central server {estate.federation.central_server}"
    drawing.append(label(title, 20, 24, 15, bold=True))
    drawing.append(label("asks", 20, 52, 11, colour=LINE))
    drawing.append(label("offers", 680, 52, 11, colour=LINE))
    places: dict[SubsystemId, float] = {}
    spread = rows / max(len(clients) + len(others), 1)
    left = [(20.0, TOP + (i + 0.5) * spread * ROW - ROW / 2, s) for i, s in enumerate([*clients, *others])]
    right = [(680.0, float(TOP + i * ROW), s) for i, s in enumerate(providers) if s not in clients]
    for x, y, identifier in [*left, *right]:
        item = subsystems[identifier]
        member = estate.federation.member(identifier.member)
        places[identifier] = y + (ROW - 8) / 2
        stroke = COOL if identifier in clients else (ACCENT if item.services else LINE)
        drawing.append(box(x, y, WIDTH, ROW - 8, stroke=stroke))
        drawing.append(label(str(identifier), x + 10, y + 14, 12, bold=True))
        drawing.append(label(f"{member.name} · {', '.join(item.security_servers)}", x + 10, y + 29, 10))
        codes = ", ".join(service.code for service in item.services)
        drawing.append(label(codes, x + 10, y + 43, 10, colour=WARM))
    for start, end in rights:
        path = drawsvg.Path(stroke=ACCENT, stroke_width=1.5, fill="none")
        path.M(20 + WIDTH, places[start]).C(500, places[start], 520, places[end], 680, places[end])
        drawing.append(path)
    return render(drawing)
