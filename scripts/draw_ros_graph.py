"""Draw the nodes and their topics, and write the tables of docs/ros.md, from what ros_interface found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ros_interface import CALLS, NODES, PUBLISHES, SERVES, SUBSCRIBES, End

ROLES = {
    "event_detector": "one decision a second",
    "policy": "proposes, may be wrong",
    "guard": "disposes, alone moves the base",
    "mqtt_gateway": "to and from the broker",
    "announcer": "speaks events",
    "recorder": "writes MCAP or rosbag2",
    "player": "plays a recording instead",
}
FIRST, SECOND, APART = (
    tuple(node for node in column if node in NODES)
    for column in (("event_detector", "policy"), ("guard", "mqtt_gateway", "announcer"), ("player", "recorder"))
)
"""The columns of nodes, from left to right; those apart have to do with most topics and are drawn without arrows."""

MOVES = ("/policy/proposed_cmd_vel", "/cmd_vel")
"""The way of a velocity from the policy to the base."""

WIDTH = 1220
INPUTS_X, FIRST_X, TOPICS_X, SECOND_X, OUTPUTS_X = 10, 255, 470, 765, 1000
BOX, PILL, TOP, STEP = (180, 52), (220, 36), 70, 50
WIDE = 210
HEADS = {INPUTS_X: "from the robot", TOPICS_X: "between the nodes", OUTPUTS_X: "to the robot and its people"}
STYLE = """\
text { font: 13px sans-serif; fill: #1c2733; } .small { font-size: 11px; fill: #5b6875; } .title { font-weight: bold; }
.node { fill: #e8f0fb; stroke: #2f6db5; stroke-width: 1.5; } .topic { fill: #f5f6f7; stroke: #9aa5b1; }
.moves { fill: #fdeaea; stroke: #c23b3b; } .arrow { fill: none; stroke: #7b8794; stroke-width: 1.3; }
.danger { stroke: #c23b3b; stroke-width: 2; } .call { stroke-dasharray: 5 4; }"""


def topic_table(ends: Iterable[End]) -> str:
    """List all topics by node, as Markdown."""
    return _table(ends, (PUBLISHES, SUBSCRIBES), "| node | | topic | type | QoS |\n|---|---|---|---|---|")


def service_table(ends: Iterable[End]) -> str:
    """List all services by node, as Markdown."""
    return _table(ends, (SERVES, CALLS), "| node | | service | type |\n|---|---|---|---|")


def _table(ends: Iterable[End], kinds: Sequence[str], head: str) -> str:
    rows = [
        f"| `{end.node}` | {end.does} | `{end.name[1:]}` | `{end.type}` |" + (f" {end.qos} |" if end.qos else "")
        for end in ends
        if end.does in kinds
    ]
    return "\n".join([head, *rows])


def drawn(ends: Sequence[End]) -> str:
    """Draw the graph as SVG: topics in grey, in red what can move the robot, dashed the calls of services."""
    near = [end for end in ends if end.node not in APART]
    out = {end.name: end.node for end in near if end.does == PUBLISHES}
    outside = [end for end in near if end.does == SUBSCRIBES and end.name not in out]
    inputs = _unique(end.name for end in outside if end.node in FIRST)
    late = _unique(end.name for end in outside if end.name not in inputs)
    between = [*late, *_unique(name for name, node in out.items() if node in FIRST)]
    outputs = _unique(name for name, node in out.items() if node in SECOND)
    rows = max(len(inputs), len(between), len(outputs), 2 * len(SECOND))
    height = TOP + rows * STEP + 110
    places = {
        **_column(FIRST, FIRST_X, rows, BOX[0]),
        **_column(SECOND, SECOND_X, rows, BOX[0]),
        **_column(inputs, INPUTS_X, rows, WIDE),
        **_column(between, TOPICS_X, rows, PILL[0]),
        **_column(outputs, OUTPUTS_X, rows, WIDE),
    }
    topics = [end for end in near if end.does in {PUBLISHES, SUBSCRIBES}]
    types = {name: _types({end.type for end in topics if end.name == name}) for name in (*inputs, *between, *outputs)}
    parts = _unique(_arrow(places, end) for end in topics)
    parts += _calls(places, near)
    parts += [_pill(places[name], name, types[name]) for name in (*inputs, *between, *outputs)]
    parts += [_box(places[node], node, ROLES[node]) for node in (*FIRST, *SECOND)]
    parts += [_apart(node, ends, 20 + 585 * number, height - 88) for number, node in enumerate(APART)]
    parts += [f'<text class="small" x="{x}" y="40">{text}</text>' for x, text in HEADS.items()]
    return _page(parts, height)


Place = tuple[float, float, float]  # left, middle, width


def _types(types: set[str]) -> str:
    first, *others = sorted(types, key=len)
    return ", ".join([first, *(other.partition("/")[2] for other in others)])


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _column(names: Sequence[str], x: int, rows: int, width: int) -> dict[str, Place]:
    gap = rows * STEP / max(1, len(names))
    return {name: (x, TOP + gap * (number + 0.5), width) for number, name in enumerate(names)}


def _arrow(places: dict[str, Place], end: End) -> str:
    begin, target = (end.node, end.name) if end.does == PUBLISHES else (end.name, end.node)
    return _curve(places[begin], places[target], "danger" if end.name in MOVES else "")


def _curve(begin: Place, end: Place, kind: str) -> str:
    forward = begin[0] < end[0]
    x1, x2 = (begin[0] + begin[2], end[0] - 3) if forward else (begin[0], end[0] + end[2] + 3)
    middle = (x1 + x2) / 2
    return (
        f'<path class="arrow {kind}" marker-end="url(#head)" '
        f'd="M{x1:.0f} {begin[1]:.0f} C{middle:.0f} {begin[1]:.0f} {middle:.0f} {end[1]:.0f} {x2:.0f} {end[1]:.0f}"/>'
    )


def _calls(places: dict[str, Place], ends: Sequence[End]) -> list[str]:
    serves = {end.name: end.node for end in ends if end.does == SERVES}
    pairs = {(end.node, serves[end.name]): None for end in ends if end.does == CALLS and end.name in serves}
    return [_call(places[caller], places[server]) for caller, server in pairs if caller != server]


def _call(begin: Place, end: Place) -> str:
    if begin[0] != end[0]:
        return _curve(begin, end, "call")
    x = begin[0] + begin[2]  # a bow on the right, between two nodes of a column
    y1, y2 = begin[1] - 12, end[1] + 12
    return (
        f'<path class="arrow call" marker-end="url(#head)" '
        f'd="M{x} {y1:.0f} C{x + 45} {y1:.0f} {x + 45} {y2:.0f} {x + 3} {y2:.0f}"/>'
    )


def _pill(place: Place, name: str, kind: str) -> str:
    x, y, width = place
    style = "topic moves" if name in MOVES else "topic"
    return (
        f'<rect class="{style}" x="{x}" y="{y - PILL[1] / 2:.0f}" width="{width}" height="{PILL[1]}" rx="18"/>'
        f'<text x="{x + width / 2}" y="{y - 2:.0f}" text-anchor="middle">{escape(name[1:])}</text>'
        f'<text class="small" x="{x + width / 2}" y="{y + 12:.0f}" text-anchor="middle">{escape(kind)}</text>'
    )


def _box(place: Place, name: str, role: str) -> str:
    x, y, width = place
    return (
        f'<rect class="node" x="{x}" y="{y - BOX[1] / 2:.0f}" width="{width}" height="{BOX[1]}" rx="5"/>'
        f'<text class="title" x="{x + width / 2}" y="{y - 3:.0f}" text-anchor="middle">{name}</text>'
        f'<text class="small" x="{x + width / 2}" y="{y + 15:.0f}" text-anchor="middle">{role}</text>'
    )


def _apart(node: str, ends: Sequence[End], x: int, y: int) -> str:
    topics = _unique(end.name[1:] for end in ends if end.node == node and end.does in {PUBLISHES, SUBSCRIBES})
    lines = [topics[start : start + 3] for start in range(0, len(topics), 3)]
    text = "".join(
        f'<text class="small" x="{x + 195}" y="{y + 10 + 15 * row}">{escape(", ".join(line))}</text>'
        for row, line in enumerate(lines)
    )
    return _box((x, y + 26, BOX[0]), node, ROLES[node]) + text


def _page(parts: Sequence[str], height: int) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">',
            f"<title>Touchline's {len(NODES)} nodes and their topics</title>",
            f"<style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" fill="#5b6875"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            *parts,
            "</svg>\n",
        ]
    )
