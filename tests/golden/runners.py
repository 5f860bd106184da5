"""What answers the examples of a folder: `simulate`'s own function, or one that is named here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from domain.errors import Refused
from runtime.simulate.command import said_of, simulate
from runtime.simulate.document import read_document, written
from runtime.simulate.kind import Kind
from runtime.simulate.reading import WrongInput
from tests.golden import entitlement, invoice

Run = Callable[[dict[str, object]], dict[str, object]]

OTHERS: dict[str, Run] = {
    "entitlement": entitlement.entitlement,
    "invoice": invoice.run,
    "threshold": entitlement.threshold,
}
"""Folder to function, for what `meterstream simulate` has no command for. Values as in a result of `simulate`."""


def answer(kind: str, case: Mapping[str, object]) -> object:
    """The result as a reader of the printed JSON sees it; what is refused or wrong is `{"error"}` with its field."""
    run = OTHERS.get(kind) or (lambda case: simulate(Kind(kind), case))
    try:
        result = run(dict(case))
    except Refused as refused:
        result = {
            "error": {
                "code": refused.code,
                "field": refused.field,
                "message": said_of(refused),
            }
        }
    except WrongInput as wrong:
        result = {"error": {"code": "wrong_input", "field": wrong.field, "message": wrong.message}}
    return read_document(written(result).encode())
