"""`meterstream explain`: why a balance is what it is, asked of the API and printed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from runtime.command_line import ConfigOption, DataDirOption, fail, read_config, wrong_input

if TYPE_CHECKING:
    from rich.console import Console

_TIMEOUT_S = 60.0
_EVENTS_MAX = 1_000
_WIDTH = 160


def explain(
    customer: Annotated[str, typer.Argument(help="Id or key of the customer.")],
    feature: Annotated[str, typer.Argument(help="Feature key, or the id of the entitlement.")],
    at: Annotated[
        str | None,
        typer.Option("--at", help="As of when, e.g. 2026-03-05T12:00:00Z. Default: now."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", help="Since when. Default: the usage period before the current."),
    ] = None,
    events: Annotated[
        int, typer.Option("--events", min=0, max=_EVENTS_MAX, help="Events to print, the first.")
    ] = 0,
    rows: Annotated[
        int, typer.Option("--rows", min=0, max=1_000, help="Rows of usage of each segment.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="As the API answers.")] = False,
    url: Annotated[
        str | None, typer.Option("--url", help="Of the API. Default: that of the running stack.")
    ] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Say why a balance is what it is: what changed it when, who paid for which usage, and the events behind that.

    Everything is computed anew from what is stored; the running balance of a worker stands beside it.

    Examples:

      meterstream explain acme tokens

      meterstream explain acme tokens --at 2026-03-05T12:00:00Z --rows 10 --events 20

      meterstream explain 01ARZ3NDEKTSV4RRFFQ69G5FAV tokens --json
    """
    asked = {"rows": str(rows), "events": str(events)}
    asked |= {name: text for name, text in (("time", at), ("from", since)) if text is not None}
    told = _ask(url or _url(config, data_dir), customer, feature, asked)
    if as_json:
        import json

        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDTH
    show(told, Console(highlight=False, width=width))


def _ask(url: str, customer: str, feature: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """The answer of the API, or one line that says what is wrong."""
    import httpx

    path = f"/api/v2/customers/{quote(customer, safe='')}/entitlements/{quote(feature, safe='')}/explain"
    try:
        answer = httpx.get(url.rstrip("/") + path, params=asked, timeout=_TIMEOUT_S)
        told: dict[str, Any] = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        fail(f"the API at {url} does not answer: {error}")
    except ValueError:
        fail(f"what answers at {url} is not the API: HTTP {answer.status_code}")
    if answer.status_code == 200:
        return told
    detail = told.get("detail") or told.get("title") or f"HTTP {answer.status_code}"
    if answer.status_code == 400:
        wrong_input(_named(detail))
    fail(detail)


def _named(detail: str) -> str:
    """The API's parameters by the names that they have here."""
    for theirs, ours in (("(time)", "(--at)"), ("(from)", "(--from)")):
        detail = detail.replace(theirs, ours)
    return detail


def _url(path: Path | None, data_dir: Path | None) -> str:
    """The API of the stack that runs on the data directory, else where the configuration says that it listens."""
    from runtime.supervisor.processes import find
    from runtime.supervisor.state import read_state

    chosen = read_config(path)
    for member in read_state((data_dir or chosen.data_dir).absolute()).members:
        if member.role == "api" and find(member.process) is not None:
            return member.target
    host = f"[{chosen.api.host}]" if ":" in chosen.api.host else chosen.api.host
    return f"http://{host}:{chosen.api.port}"


# -- for people


def show(told: Mapping[str, Any], console: Console) -> None:
    """The explanation in words and tables."""
    _show_value(told, console)
    _show_grants(told["grants"], console)
    for reset in told["resets"]:
        how = "by hand" if reset["byHand"] else "a usage period ended"
        kept = ", overage went over" if reset["preserveOverage"] else ""
        console.print(f"reset {_time(reset['at'])}: {how}{kept}", markup=False)
    _show_segments(told["segments"], console)
    _show_rows(told["segments"], console)
    _show_events(told["events"], console)


def _show_value(told: Mapping[str, Any], console: Console) -> None:
    entitlement, value, period = (
        told[name] for name in ("entitlement", "value", "currentUsagePeriod")
    )
    console.print(
        f"{entitlement['featureKey']} of customer {entitlement['customerId']}, entitlement {entitlement['id']}",
        markup=False,
    )
    if "balance" in value:
        console.print(
            f"at {_time(told['usageBefore'])} balance {_number(value['balance'])}, overage {_number(value['overage'])}, "
            f"access {'yes' if value['hasAccess'] else 'no'}; since {_time(period['from'])} used {_number(value['usage'])} of "
            f"{_number(value['totalAvailableGrantAmount'])}",
            markup=False,
        )
    else:
        console.print(f"not active at {_time(told['at'])}: no access", markup=False)
    if (running := told.get("running")) is not None:
        held = f", held {_number(running['held'])}" if "held" in running else ""
        console.print(
            f"running balance ({running['source']}): {_number(running.get('balance', 0))}{held}",
            markup=False,
        )


def _show_grants(grants: Sequence[Mapping[str, Any]], console: Console) -> None:
    if not grants:
        console.print("no grants")
        return
    shown = []
    for grant in grants:
        end = grant.get("deletedAt") or grant.get("voidedAt") or grant.get("expiresAt")
        shown.append(
            (
                grant["id"],
                _number(grant["amount"]),
                str(grant["priority"]),
                _time(grant["effectiveAt"]),
                "" if end is None else _time(end),
                grant.get("recurrence", {}).get("interval", ""),
                f"{_number(grant['minRolloverAmount'])}-{_number(grant['maxRolloverAmount'])}",
                _number(grant["balance"]) if "balance" in grant else "not active",
            )
        )
    names = ("grant", "amount", "priority", "from", "until", "recurs", "rolls over", "left")
    _table(console, names, shown)


def _show_segments(segments: Sequence[Mapping[str, Any]], console: Console) -> None:
    shown = []
    for place, segment in enumerate(segments):
        rollover = segment.get("endedBy") == "rollover"
        paid = ", ".join(
            f"{_number(one['usage'])} {one['grantId']}"
            for one in segment["grantUsages"]
            if one["usage"]
        )
        shown.append(
            (
                str(place),
                _time(segment["period"]["from"]),
                "" if rollover else _time(segment["period"]["to"]),
                "; ".join(map(_because, segment["causes"])) or "goes on",
                _number(segment["balanceAtStart"]),
                _number(segment["overageAtStart"]),
                _number(segment["usage"]),
                paid,
                _number(segment["balanceAtEnd"]),
                _number(segment["overage"]),
            )
        )
    names = ("#", "from", "to", "because", "held", "owed", "used", "paid by", "left", "over")
    _table(console, names, shown)


def _because(cause: Mapping[str, Any]) -> str:
    from api.balances.explain_page import WORDS

    words = WORDS[cause["why"]]
    return f"{cause['grantId']} {words}" if "grantId" in cause else words


def _show_rows(segments: Sequence[Mapping[str, Any]], console: Console) -> None:
    shown = [
        (
            str(place),
            _time(row["minute"]),
            row["subject"],
            _groups(row),
            str(row["events"]),
            _number(row["usage"]),
            f"{row['partition']}/{row['firstOffset']}-{row['lastOffset']}",
        )
        for place, segment in enumerate(segments)
        for row in segment["rows"]
    ]
    if shown:
        names = ("#", "minute", "subject", "groups", "events", "usage", "partition/offsets")
        _table(console, names, shown)


def _show_events(events: Mapping[str, Any], console: Console) -> None:
    shown = [
        (
            str(event.get("segment", "")),
            _time(event["time"]),
            _time(event["arrivedAt"]),
            event["id"],
            event["source"],
            event["subject"],
            event.get("value", ""),
            event["verdict"] if event["counts"] or event["verdict"] == "duplicate" else "no number",
        )
        for event in events["items"]
    ]
    if shown:
        names = ("#", "time", "arrived", "id", "source", "subject", "value", "verdict")
        _table(console, names, shown)
    if "nextCursor" in events:
        console.print("there are more events: raise --events, or narrow with --from", markup=False)


_NUMBERS = frozenset(
    ("amount", "priority", "left", "#", "held", "owed", "used", "over", "events", "usage", "value")
)


def _table(console: Console, names: Sequence[str], shown: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.ASCII2, show_edge=False, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    for row in shown:
        table.add_row(*map(escape, row))
    console.print()
    console.print(table)


def _groups(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in row.get("groupBy", {}).items())


def _number(value: float) -> str:
    return f"{value:.15g}"


def _time(text: str) -> str:
    """As it came, without seconds where they are zero."""
    return text.removesuffix("Z").replace("T", " ").removesuffix(":00")
