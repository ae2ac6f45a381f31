"""Draws docs/architecture.svg from the source: its rooms, and who imports whom. The same source gives the same bytes.

A room is a folder or a file that lies directly in `service` or `training`; the other packages are one room each. Every
arrow points down, to what is imported. An arrow is left out where a longer way says the same. Rooms that import each
other in a circle are drawn in red.

    python scripts/draw_architecture.py            # draw
    python scripts/draw_architecture.py --check    # exit status 1 if the picture is out of date
"""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

PICTURE = Path("docs/architecture.svg")
WINGS = ("service", "training")  # drawn room by room
PARTS = ("mimi", *WINGS, "adapters_store", "backbone")  # from the top of the picture to its bottom
BOXES_PER_ROW = 5
BOX, GAP, ROW, THREAD = 104, 12, 58, 8  # pixels: width of a box, between boxes, height of a row, width of an arrow
BOX_HEIGHT, MARGIN, BAND = 30, 14, 74  # pixels: BAND is the height of a part that is one room
SWEEPS = 12  # of the ordering; more change nothing here

Graph = dict[str, set[str]]


@dataclass(slots=True)
class Room:
    """A folder or file of the source: how many modules it has, what the first of them says, which rooms it imports."""

    name: str
    files: int = 0
    purpose: str = ""
    imports: set[str] = field(default_factory=set)


def modules(root: Path) -> dict[str, Path]:
    """Every module of the drawn packages, by its dotted name."""
    found = {}
    for path in sorted(file for part in PARTS for file in (root / part).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """The room that a module lies in."""
    part, _, rest = module.partition(".")
    return f"{part}.{rest.partition('.')[0]}" if part in WINGS and rest else part


def rooms(root: Path) -> dict[str, Room]:
    """All rooms by name; a package's own `__init__` is none."""
    known = modules(root)
    found: dict[str, Room] = {}
    for module, path in known.items():
        if module in WINGS:
            continue
        tree, name = ast.parse(path.read_text(encoding="utf-8")), room_of(module)
        room = found.setdefault(name, Room(name))
        room.files += 1
        room.purpose = room.purpose or (ast.get_docstring(tree) or "").partition("\n")[0]
        room.imports |= {room_of(other) for other in imported(tree) if other in known} - {name, *WINGS}
    return found


def imported(tree: ast.Module) -> Iterator[str]:
    """Every name that may be a module which is imported, anywhere in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(graph: Graph, start: str) -> set[str]:
    """The rooms that can be reached from a room; the room itself only along a circle."""
    ahead = sorted(graph[start])
    seen: set[str] = set()
    while ahead:
        room = ahead.pop()
        if room not in seen:
            seen.add(room)
            ahead += sorted(graph[room])
    return seen


def reduced(graph: Graph) -> Graph:
    """The arrows that no longer way replaces; those of a circle are all left out."""
    reach = {room: reached(graph, room) for room in graph}
    down = {room: {other for other in graph[room] if room not in reach[other]} for room in graph}
    return {room: {b for b in down[room] if not any(b in reach[c] for c in down[room] - {b})} for room in graph}


def layered(graph: Graph) -> list[list[str]]:
    """Rows from the bottom up: each room above all that it imports, at most BOXES_PER_ROW in a row."""
    above = {room: sum(room in reached(graph, other) for other in graph) for room in graph}  # wanted most: lowest
    rows: list[list[str]] = []
    placed: set[str] = set()
    while len(placed) < len(graph):
        free = [room for room in graph if room not in placed and graph[room] <= placed]
        rows.append(sorted(free, key=lambda room: (-above[room], room))[:BOXES_PER_ROW])
        placed |= set(rows[-1])
    return rows


@dataclass(slots=True)
class Plan:
    """The layout of one part: rows of rooms and of the lines that pass between them, from the top."""

    rows: list[list[str]]
    threads: list[list[str]]  # each arrow as the names it passes: a room, places between rooms, a room

    @property
    def width(self) -> int:
        """Pixels of the widest row."""
        return max(sum(_width(name) + GAP for name in row) for row in self.rows) + 2 * MARGIN

    def centres(self, left: float, width: float) -> dict[str, float]:
        """Horizontal middle of everything, rows being centred."""
        found = {}
        for row in self.rows:
            x = left + (width - sum(_width(name) + GAP for name in row) + GAP) / 2
            for name in row:
                found[name] = x + _width(name) / 2
                x += _width(name) + GAP
        return found


def planned(graph: Graph) -> Plan:
    """Rows and threads, ordered so that arrows are short."""
    graph = reduced(graph)
    rows = layered(graph)[::-1]
    level = {room: number for number, row in enumerate(rows) for room in row}
    plan = Plan([list(row) for row in rows], [])
    for room, other in sorted((upper, lower) for upper in graph for lower in graph[upper]):
        between = [f"{room}>{other}@{number}" for number in range(level[room] + 1, level[other])]
        for number, name in enumerate(between, level[room] + 1):
            plan.rows[number].append(name)
        plan.threads.append([room, *between, other])
    beside: dict[str, list[str]] = {}
    for thread in plan.threads:
        for upper, lower in pairwise(thread):
            beside.setdefault(upper, []).append(lower)
            beside.setdefault(lower, []).append(upper)
    for _ in range(SWEEPS):
        for row in (*plan.rows, *plan.rows[::-1]):
            centres = plan.centres(0, plan.width)
            row.sort(key=lambda name: (_mean([centres[other] for other in beside.get(name, [name])]), name))
    return plan


def drawn(root: Path) -> str:
    """The whole picture as SVG."""
    found = rooms(root)
    graph = {name: room.imports for name, room in found.items()}
    plans = {wing: planned(_within(graph, wing)) for wing in WINGS if _within(graph, wing)}
    height = max(len(plan.rows) for plan in plans.values()) * ROW + 2 * MARGIN + 16
    width = sum(plan.width for plan in plans.values()) + MARGIN * (len(plans) + 1)
    lower, left, half = BAND + height + 2 * MARGIN, MARGIN, (width - 3 * MARGIN) // 2
    parts = [_band(found["mimi"], MARGIN, MARGIN, width - 2 * MARGIN)]
    for wing, plan in plans.items():
        parts.append(_wing(wing, plan, found, (left, BAND, height)))
        left += plan.width + MARGIN
    for number, name in enumerate(("adapters_store", "backbone")):
        parts.append(_band(found[name], MARGIN + number * (half + MARGIN), lower, half))
    return _SVG.format(width=width, height=lower + BAND - MARGIN, body="\n".join(parts))


def _within(graph: Mapping[str, set[str]], wing: str) -> Graph:
    inside = {name for name in graph if name.startswith(f"{wing}.")}
    return {name: graph[name] & inside for name in sorted(inside)}


def _wing(wing: str, plan: Plan, found: Mapping[str, Room], place: tuple[float, float, float]) -> str:
    left, top, height = place
    circle = {name for name in found if name in reached({n: r.imports for n, r in found.items()}, name)}
    x = plan.centres(left, plan.width)
    step = max(ROW, int((height - MARGIN - 22) / len(plan.rows)))  # the lower of two parts is spread
    y = {name: top + MARGIN + 22 + number * step for number, row in enumerate(plan.rows) for name in row}
    lines = [
        f'<rect class="part" x="{left}" y="{top}" width="{plan.width}" height="{height}"/>',
        f'<text class="part" x="{left + MARGIN}" y="{top + 22}">{wing}/</text>',
        *(_arrow([(x[name], y[name]) for name in thread]) for thread in plan.threads),
        *(_box(found[name], x[name] - BOX / 2, y[name], name in circle) for name in y if name in found),
    ]
    return "\n".join(lines)


def _arrow(points: Sequence[tuple[float, float]]) -> str:
    """Down from a room, past others, to a room."""
    path = f"M{points[0][0]:.0f},{points[0][1] + BOX_HEIGHT}"
    for number, ((x1, y1), (x2, y2)) in enumerate(pairwise(points), 1):
        start, end = y1 + BOX_HEIGHT, y2 - (5 if number == len(points) - 1 else 0)
        path += f" C{x1:.0f},{(start + end) / 2:.0f} {x2:.0f},{(start + end) / 2:.0f} {x2:.0f},{end}"
        path += "" if number == len(points) - 1 else f" V{y2 + BOX_HEIGHT}"
    return f'<path class="arrow" d="{path}"/>'


def _box(room: Room, x: float, y: float, red: bool) -> str:
    name = room.name.partition(".")[2]
    label = f"{name}/ {room.files}" if room.files > 1 else name
    kind = "circle" if red else "wing" if room.files > 1 else "room"
    return (
        f'<g class="{kind}"><title>{escape(room.purpose)}</title>'
        f'<rect x="{x:.0f}" y="{y}" width="{BOX}" height="{BOX_HEIGHT}" rx="4"/>'
        f'<text x="{x + BOX / 2:.0f}" y="{y + 20}">{label}</text></g>'
    )


def _band(room: Room, x: float, y: float, width: float) -> str:
    height = BAND - 2 * MARGIN
    return (
        f'<g class="wing"><rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4"/>'
        f'<text x="{x + width / 2:.0f}" y="{y + 19}">{room.name}/ {room.files}</text>'
        f'<text class="purpose" x="{x + width / 2:.0f}" y="{y + 37}">{escape(room.purpose)}</text></g>'
    )


def _width(name: str) -> int:
    return THREAD if "@" in name else BOX


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 3)


_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">
<!-- drawn by scripts/draw_architecture.py; do not edit -->
<style>
text {{ font-size: 12px; text-anchor: middle; fill: #1b1f24; }}
text.part {{ font-size: 15px; font-weight: bold; text-anchor: start; }}
text.purpose {{ font-size: 11px; fill: #57606a; }}
rect.part {{ fill: #f6f8fa; stroke: #d0d7de; }}
.room rect {{ fill: #ffffff; stroke: #8c959f; }}
.wing rect {{ fill: #ddf4ff; stroke: #0969da; }}
.circle rect {{ fill: #ffebe9; stroke: #cf222e; }}
.arrow {{ fill: none; stroke: #8c959f; marker-end: url(#head); }}
</style>
<marker id="head" viewBox="0 0 6 6" refX="1" refY="3" markerWidth="6" markerHeight="6" orient="auto">
<path d="M0,0 L6,3 L0,6 z" fill="#8c959f"/></marker>
<rect width="{width}" height="{height}" fill="#ffffff"/>
{body}
</svg>
"""


def main(arguments: Sequence[str]) -> int:
    """Draw, or with `--check` say whether the picture is that of the source."""
    picture = drawn(Path("."))
    if "--check" in arguments:
        current = PICTURE.exists() and PICTURE.read_text(encoding="utf-8") == picture
        print(f"{PICTURE} is {'current' if current else 'out of date: run make draw'}")
        return int(not current)
    PICTURE.write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
