"""Draws the picture of README.md and docs/architecture.md: `python docs/picture.py` writes docs/picture.svg anew.

The standard library alone; a test fails when the committed file differs. Colors follow the reader's light or dark mode.
"""

from pathlib import Path
from typing import NamedTuple

PATH = Path(__file__).with_name("picture.svg")
WIDTH, HEIGHT = 1180, 392
LINE = 17  # height of a line of text, in the picture's units

STYLE = """\
text { font: 13px sans-serif; fill: #57606a; text-anchor: middle }
.name { font-weight: bold; fill: #1f2328 }
.topic { font: bold 13px monospace; fill: #1f2328 }
rect { fill: #ffffff; stroke: #57606a; stroke-width: 1.5 }
.page { stroke: none }
.ours { fill: #ddf4ff; stroke: #0969da }
.kafka { fill: #fff8c5; stroke: #9a6700 }
.store { fill: #dafbe1; stroke: #1a7f37 }
path { fill: none; stroke: #57606a; stroke-width: 1.5; marker-end: url(#head) }
.dashed { stroke-dasharray: 5 4 }
marker path { fill: #57606a; stroke: none; marker-end: none }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 }
  .name, .topic { fill: #f0f6fc }
  rect { fill: #0d1117; stroke: #9198a1 }
  .page { stroke: none }
  .ours { fill: #0c2d4d; stroke: #4493f8 }
  .kafka { fill: #3b2a06; stroke: #d29922 }
  .store { fill: #0f2d18; stroke: #3fb950 }
  path { stroke: #9198a1 }
  marker path { fill: #9198a1; stroke: none }
}"""


class Box(NamedTuple):
    """A rectangle with its top left corner, its kind (a class of the style), and its lines, the name first."""

    x: int
    y: int
    width: int
    height: int
    kind: str
    lines: tuple[str, ...]


class Arrow(NamedTuple):
    """A path from its first point to its last; a dashed one is taken only when something is away or wrong."""

    points: str
    words: str = ""
    x: int = 0
    y: int = 0
    dashed: bool = False


BOXES = (
    Box(10, 96, 110, 64, "", ("Ringover",)),
    Box(200, 84, 150, 88, "ours", ("ingress", "checks the sender,", "answers 202 when", "the body is stored")),
    Box(420, 96, 160, 64, "kafka", ("ringover.raw.v1", "every body as it came,", "30 days")),
    Box(650, 84, 150, 88, "ours", ("processor", "one event per key,", "in each call's order")),
    Box(860, 20, 200, 48, "kafka", ("ringover.call.v1", "call started, call ended")),
    Box(860, 88, 200, 48, "kafka", ("ringover.recording.v1", "recording, transcript")),
    Box(860, 156, 200, 48, "kafka", ("ringover.dead-letter.v1", "no event, and why not")),
    Box(860, 256, 200, 48, "kafka", ("ringover.offset.v1", "how far processors are")),
    Box(1095, 54, 80, 48, "", ("your", "services")),
    Box(200, 256, 150, 48, "store", ("spool", "disk of the ingress")),
    Box(650, 256, 150, 48, "store", ("PostgreSQL", "who owns which key")),
    Box(200, 336, 860, 40, "ours", ("ringover-ops: lag, calls show, rewind, dead-letters replay, erase, …",)),
)
ARROWS = (
    Arrow("M120,128 H198", "POST", 158, 120),
    Arrow("M350,128 H418"),
    Arrow("M580,128 H648"),
    Arrow("M800,110 H830 V44 H858"),
    Arrow("M800,118 H858"),
    Arrow("M800,146 H830 V172 H858"),
    Arrow("M1060,44 H1075 V70 H1093"),
    Arrow("M1060,112 H1075 V88 H1093"),
    Arrow("M245,172 V254", "Kafka is away", 194, 218, dashed=True),
    Arrow("M300,256 V214 H500 V162", "sent when it is back", 400, 231, dashed=True),
    Arrow("M340,172 V194 H858", "no usable call id", 600, 188, dashed=True),
    Arrow("M700,172 V254"),
    Arrow("M780,172 V232 H836 V280 H858"),
)


def svg() -> str:
    """The picture as a file's text."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="From a webhook to an event: Ringover, ingress, raw topic, processor, output topics, services">',
        f"<style>\n{STYLE}\n</style>",
        '<defs><marker id="head" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        '<path d="M0,0 L9,4 L0,8 z"/></marker></defs>',
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        *map(_arrow, ARROWS),
        *map(_box, BOXES),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _box(box: Box) -> str:
    middle = box.x + box.width // 2
    first = box.y + box.height // 2 + 5 - LINE * (len(box.lines) - 1) // 2
    name = "topic" if box.lines[0].startswith("ringover.") else "name"
    texts = [
        f'<text{f" class={chr(34)}{name}{chr(34)}" if not number else ""} x="{middle}" y="{first + LINE * number}">'
        f"{line}</text>"
        for number, line in enumerate(box.lines)
    ]
    kind = f' class="{box.kind}"' if box.kind else ""
    rect = f'<rect{kind} x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6"/>'
    return "\n".join([rect, *texts])


def _arrow(arrow: Arrow) -> str:
    kind = ' class="dashed"' if arrow.dashed else ""
    text = f'\n<text x="{arrow.x}" y="{arrow.y}">{arrow.words}</text>' if arrow.words else ""
    return f'<path{kind} d="{arrow.points}"/>{text}'


if __name__ == "__main__":
    PATH.write_text(svg(), encoding="utf-8")
