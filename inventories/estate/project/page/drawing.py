"""The look that the pictures of a site share: fonts, colours, boxes."""

from __future__ import annotations

import drawsvg

INK = "#1b2733"
PALE = "#f4f6f8"
LINE = "#9aa7b4"
ACCENT = "#00693e"
WARM = "#b8441f"
COOL = "#2b5c8a"
GOLD = "#c99700"
FONT = "Helvetica, Arial, sans-serif"


def canvas(width: float, height: float, title: str) -> drawsvg.Drawing:
    """An empty picture with a white ground and a title that screen readers find."""
    drawing = drawsvg.Drawing(width, height, font_family=FONT)
    drawing.append_title(title)
    drawing.append(drawsvg.Rectangle(0, 0, width, height, fill="white"))
    return drawing


def label(
    text: str,
    x: float,
    y: float,
    size: float = 12,
    *,
    colour: str = INK,
    anchor: str = "start",
    bold: bool = False,
) -> drawsvg.Text:
    """A line of text whose middle line is at `y`."""
    weight = "bold" if bold else "normal"
    # A third of the size below the middle: renderers disagree on dominant-baseline.
    return drawsvg.Text(text, size, x, y + size * 0.35, fill=colour, text_anchor=anchor, font_weight=weight)


def box(
    x: float, y: float, width: float, height: float, *, fill: str = PALE, stroke: str = LINE
) -> drawsvg.Rectangle:
    """A rounded box."""
    return drawsvg.Rectangle(x, y, width, height, rx=3, fill=fill, stroke=stroke)


def render(drawing: drawsvg.Drawing) -> str:
    """The picture as SVG text, the same for the same estate."""
    return str(drawing.as_svg()).rstrip() + "\n"
