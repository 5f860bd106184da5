"""A plan as a table for people and as data for programs."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from runtime.topology.planning import Change, Create, Grow, Plan, Set, by_text, counted, problems

_Row = tuple[str, str, str, str, str]


def show_plan(plan: Plan, console: Console) -> None:
    """What would be changed, what is unsafe or refused with its reason, what is worth knowing; then the outcome in one line."""
    rows = [*map(_change_row, plan.changes), *_unsafe_rows(plan)]
    if rows:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("", "topic", "what", "now", "wanted"):
            table.add_column(heading, overflow="fold")
        for mark, *cells in rows:
            table.add_row(_COLOURED[mark], *cells)
        console.print(table)
    for line in problems(plan):
        console.print("[red]unsafe[/]", line)
    for line in by_text((note.topic, note.text) for note in plan.notes):
        console.print("note", line)
    console.print(outcome(plan))


def outcome(plan: Plan) -> str:
    """The plan in one line."""
    counts = (
        (len(plan.changes), "change"),
        (len(plan.repairs), "unsafe setting"),
        (len(plan.refusals), "refusal"),
    )
    said = [counted(count, what) for count, what in counts if count]
    return ", ".join(said) or "the cluster is as declared: nothing to do"


def plan_data(plan: Plan) -> dict[str, object]:
    """The plan for programs: the shape is documented in docs/topology.md."""
    return {
        "safe": plan.safe,
        "changes": [_change_data(change) for change in plan.changes],
        "unsafe": [
            {
                "topic": repair.topic,
                "setting": repair.name,
                "found": repair.found,
                "wanted": repair.wanted,
                "code": repair.code,
                "why": repair.why,
            }
            for repair in plan.repairs
        ],
        "refused": [
            {"topic": refusal.topic, "code": refusal.code, "reason": refusal.reason}
            for refusal in plan.refusals
        ],
        "notes": [{"topic": note.topic, "text": note.text} for note in plan.notes],
    }


_COLOURED = {"+": "[green]+[/]", "~": "[yellow]~[/]", "!": "[red]![/]", "x": "[red]x[/]"}


def _change_row(change: Change) -> _Row:
    match change:
        case Create(topic=topic, replication=replication):
            kept = f"{counted(topic.partitions, 'partition')}, {counted(replication, 'copy')}, {topic.cleanup}"
            return ("+", topic.name, "topic", "-", kept)
        case Grow():
            return ("~", change.topic, "partitions", str(change.found), str(change.wanted))
        case Set():
            return ("~", change.topic, change.name, change.found, change.wanted)


def _unsafe_rows(plan: Plan) -> Iterable[_Row]:
    for repair in plan.repairs:
        yield ("!", repair.topic, repair.name, repair.found, repair.wanted)
    for refusal in plan.refusals:
        yield ("x", refusal.topic, refusal.code, "", "refused")


def _change_data(change: Change) -> dict[str, object]:
    match change:
        case Create(topic=topic, replication=replication):
            return {
                "kind": "create",
                "topic": topic.name,
                "partitions": topic.partitions,
                "replication": replication,
                "settings": dict(topic.config),
            }
        case Grow():
            return {
                "kind": "grow",
                "topic": change.topic,
                "found": change.found,
                "wanted": change.wanted,
            }
        case Set():
            return {
                "kind": "set",
                "topic": change.topic,
                "setting": change.name,
                "found": change.found,
                "wanted": change.wanted,
            }
