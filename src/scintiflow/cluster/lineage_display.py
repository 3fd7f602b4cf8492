"""A lineage as a tree of text, as JSON, and as a page with a drawing."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from rich.text import Text
from rich.tree import Tree

from scintiflow.cluster.lineage_graph import LineageGraph, Node
from scintiflow.files import whole_file

BOX_WIDTH, COLUMN_GAP, ROW_GAP = 240, 44, 18  # pixels
ARC_DEPTH = 24  # how much lower an arrow hangs for each column that it passes by
TITLE_HEIGHT, LINE_HEIGHT, MARGIN = 26, 16, 20
COLOURS = {"model": "#7b3fa0", "stage": "#2f5d8a", "cohort": "#2e7d4f", "dataset": "#8a6d1f", "patient": "#a33a3a"}


def lineage_tree(graph: LineageGraph) -> Tree:
    """From what was asked for, along the arrows; a box that comes up again is only named."""
    shown: set[str] = set()

    def grow(key: str, parent: Tree | None) -> Tree:
        node = graph.nodes[key]
        again = key in shown
        shown.add(key)
        branch = _label(node, again)
        tree = Tree(branch) if parent is None else parent.add(branch)
        if not again:
            for neighbour in _neighbours(graph, key):
                grow(neighbour, tree)
        return tree

    return grow(graph.root, None)


def lineage_as_json(graph: LineageGraph) -> dict[str, Any]:
    return {
        "title": graph.title,
        "root": graph.root,
        "nodes": [asdict(node) | {"facts": dict(node.facts)} for node in graph.nodes.values()],
        "arrows": [{"from": start, "to": end} for start, end in graph.arrows],
        "notes": graph.notes,
        "params": graph.params,
        "files": graph.files,
    }


@dataclass(frozen=True)
class Box:
    """A node with its place on the page, in pixels from the drawing's top left corner."""

    node: Node
    left: int
    top: int
    height: int


def write_page(graph: LineageGraph, target: Path) -> None:
    """One self-contained HTML page: the drawing, then parameters and files. Whole or not at all."""
    boxes = place(graph)
    bottom = max(box.top + box.height for box in boxes.values())
    curves = [_curve(boxes[start], boxes[end], bottom) for start, end in graph.arrows]
    widest = max(_columns_between(boxes[start], boxes[end]) for start, end in graph.arrows) if graph.arrows else 1
    environment = Environment(loader=PackageLoader("scintiflow.cluster", "."), autoescape=True)
    page = environment.get_template("lineage.html.j2").render(
        graph=graph,
        boxes=list(boxes.values()),
        curves=curves,
        colours=COLOURS,
        width=max(box.left for box in boxes.values()) + BOX_WIDTH + MARGIN,
        height=bottom + MARGIN + ARC_DEPTH * (widest - 1),
        box_width=BOX_WIDTH,
        title_height=TITLE_HEIGHT,
        line_height=LINE_HEIGHT,
    )
    with whole_file(target) as partial:
        partial.write_text(page, encoding="utf-8")


def place(graph: LineageGraph) -> dict[str, Box]:
    """Boxes in columns from left to right: every arrow points to a column farther right."""
    columns: dict[int, list[Node]] = {}
    for key, node in graph.nodes.items():
        columns.setdefault(_column(graph, key), []).append(node)
    boxes: dict[str, Box] = {}
    for column, nodes in sorted(columns.items()):
        top = MARGIN
        for node in nodes:
            height = TITLE_HEIGHT + LINE_HEIGHT * len(node.facts) + 6
            boxes[node.key] = Box(node, MARGIN + column * (BOX_WIDTH + COLUMN_GAP), top, height)
            top += height + ROW_GAP
    return boxes


def _column(graph: LineageGraph, key: str) -> int:
    """Length of the longest way to a box."""
    before = [start for start, end in graph.arrows if end == key]
    return 1 + max(_column(graph, start) for start in before) if before else 0


def _columns_between(start: Box, end: Box) -> int:
    return (end.left - start.left) // (BOX_WIDTH + COLUMN_GAP)


def _curve(start: Box, end: Box, bottom: int) -> str:
    """An SVG path from one box to the next column, or below the boxes in between to a column farther right."""
    columns = _columns_between(start, end)
    if columns > 1:
        x1, y1 = start.left + BOX_WIDTH - 20 - 12 * columns, start.top + start.height
        x2, y2 = end.left + 20 + 12 * columns, end.top + end.height
        low = bottom + int(ARC_DEPTH * (columns - 1) * 4 / 3)  # a cubic curve reaches three quarters of its handles
        return f"M{x1},{y1} C{x1},{low} {x2},{low} {x2},{y2}"
    x1, y1 = start.left + BOX_WIDTH, start.top + start.height // 2
    x2, y2 = end.left, end.top + end.height // 2
    return f"M{x1},{y1} C{x1 + COLUMN_GAP // 2},{y1} {x2 - COLUMN_GAP // 2},{y2} {x2},{y2}"


def _neighbours(graph: LineageGraph, key: str) -> list[str]:
    if graph.backward:
        return [start for start, end in graph.arrows if end == key]
    return [end for start, end in graph.arrows if start == key]


def _label(node: Node, again: bool) -> Text:
    label = Text(node.title, style="bold")
    if again:
        return label.append("  (see above)", style="dim not bold")
    for name, value in node.facts:
        label.append(f"\n{name}: ", style="dim not bold").append(value, style="not bold")
    return label
