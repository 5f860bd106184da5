"""What `meterstream simulate` does: read cases, ask the rules, say what they answer.

A kind of case is a module beside this one, with `run(case) -> result`. It may also have `explain(case) -> text`, a
readable account, and `plot(case, target) -> text`: the picture as text where `target` is None, else the picture is
written to the PNG file `target` and the text says so. All three raise WrongInput for what the format does not allow and
Refused for what the rules refuse. In a result a Decimal is a number and money is a text (see writing.py).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from domain.errors import Refused
from runtime.simulate.document import MAX_INPUT_BYTES, Case, Result, read_document, written
from runtime.simulate.kind import Kind
from runtime.simulate.reading import Fields, UnknownField, WrongInput

MAX_WARNINGS = 20
"""Lines about unknown fields in one run."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the person at the terminal asked for. `plot` draws as text, `png` into a file; else the result is JSON."""

    kind: Kind
    source: str
    explain: bool = False
    plot: bool = False
    png: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is printed: `warned` line by line on standard error."""

    text: str
    warned: list[str]


def answer(request: Request) -> Answer:
    """Read the source (a file, or `-` for standard input) and answer. Raises WrongInput and, of a single case, Refused."""
    document = read_document(_read(request.source))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnknownField)
        said = _say(request, document)
    return Answer(text=said, warned=_lines(caught))


def simulate(kind: Kind, case: Case) -> Result:
    """The result of one case, with its `id` where it has one."""
    run: Callable[[Case], Result] = _module(kind).run
    return _echoed(case) | run(case)


def results(kind: Kind, document: Case | list[object]) -> Result | list[Result]:
    """The result of a case, or of every case of an array, where one that the rules refuse is `{"error"}`."""
    if not isinstance(document, list):
        return simulate(kind, document)
    return _each(document, lambda case: simulate(kind, case), _error)


def said_of(refused: Refused) -> str:
    """A refusal in one line that names its field."""
    return f"{refused.field}: {refused}" if refused.field else str(refused)


def _say(request: Request, document: Case | list[object]) -> str:
    if request.png is not None and isinstance(document, list):
        raise WrongInput("$", "has to be one object for --png")
    readable = _readable(request)
    if readable is None:
        return written(results(request.kind, document))
    if not isinstance(document, list):
        return readable(document)
    parts = _each(document, readable, lambda _, no: f"refused ({no.code}): {said_of(no)}")
    return "\n\n".join(
        f"case {_echoed(case).get('id', index) if isinstance(case, dict) else index}\n{part}"
        for index, (case, part) in enumerate(zip(document, parts, strict=True))
    )


def _readable(request: Request) -> Callable[[Case], str] | None:
    """What makes text of a case; None where JSON is asked for."""
    module = _module(request.kind)
    explain: Callable[[Case], str] | None = getattr(module, "explain", None)
    plot: Callable[[Case, Path | None], str] | None = getattr(module, "plot", None)
    drawn = request.plot or request.png is not None
    if (request.explain and explain is None) or (drawn and plot is None):
        option = "--explain" if request.explain and explain is None else "--plot"
        raise WrongInput(option, f"{request.kind} has no such account")
    wanted: list[Callable[[Case], str]] = []
    if request.explain and explain is not None:
        wanted.append(explain)
    if drawn and plot is not None:
        wanted.append(lambda case: plot(case, request.png))
    return (lambda case: "\n\n".join(part(case) for part in wanted)) if wanted else None


def _each(
    cases: list[object], ask: Callable[[Case], T], refuse: Callable[[Case, Refused], T]
) -> list[T]:
    """Ask for each case; a fault names it by its index, a refusal is one case's own."""
    asked = []
    for index, case in enumerate(cases):
        path = f"$[{index}]"
        Fields(case, path)
        assert isinstance(case, dict)
        with _named(path):
            try:
                asked.append(ask(case))
            except Refused as refused:
                asked.append(refuse(case, refused))
    return asked


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Let a fault of `$.field` inside say `$[3].field`."""
    try:
        yield
    except WrongInput as wrong:
        if not wrong.field.startswith("$"):  # an option, which is no part of the case
            raise
        raise WrongInput(path + wrong.field.removeprefix("$"), wrong.message) from None


def _error(case: Case, refused: Refused) -> Result:
    return _echoed(case) | {"error": {"code": refused.code, "message": said_of(refused)}}


def _echoed(case: Case) -> Result:
    return {"id": case["id"]} if "id" in case else {}


def _module(kind: Kind) -> ModuleType:
    return import_module(f"runtime.simulate.{kind}")


def _read(source: str) -> bytes:
    """At most one byte more than is allowed, so that too much is seen without being read."""
    if source == "-":
        return sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    try:
        with Path(source).open("rb") as file:
            return file.read(MAX_INPUT_BYTES + 1)
    except OSError as problem:
        raise WrongInput(source, problem.strerror or "cannot be read") from None


def _lines(caught: list[warnings.WarningMessage]) -> list[str]:
    """Each field once: of many cases the same slip is one line."""
    lines = list(dict.fromkeys(str(one.message) for one in caught))
    more = len(lines) - MAX_WARNINGS
    return lines[:MAX_WARNINGS] + ([f"and {more} more unknown fields"] if more > 0 else [])
