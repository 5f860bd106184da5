"""Invoice numbers: which draft, of whom. Source: catalog §3.6."""

import unicodedata

UNKNOWN = "UNKN"
"""Of a customer whose name has nothing that ASCII knows."""

_NO_ACCENT = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
        "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH", "\u0131": "i", "ħ": "h", "Ħ": "H", "ŧ": "t", "Ŧ": "T",
    }
)  # fmt: skip
"""Latin letters that do not fall apart into an ASCII letter and an accent."""


def customer_prefix(name: str) -> str:
    """Two letters of each of the first two words, four of a single one: `PETU` for Peter Turi, `JOHN` for John."""
    words = _ascii(name).upper().split()
    if not words:
        return UNKNOWN
    return words[0][:4] if len(words) == 1 else words[0][:2] + words[1][:2]


def gathering_number(prefix: str, currency: str, count: int) -> str:
    """Of the invoice that collects pending lines; `count` is the namespace's counter of this kind of number."""
    return f"GATHER-{prefix}-{currency}-{count}"


def draft_number(prefix: str, count: int) -> str:
    """Of a standard invoice until its app gives another."""
    return f"DRAFT-{prefix}-{count}"


def sandbox_number(prefix: str, count: int) -> str:
    """Of an invoice that the sandbox app issued."""
    return f"OM-SANDBOX-{prefix}-{count}"


def _ascii(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.translate(_NO_ACCENT))
    return "".join(
        letter if letter.isprintable() else " " for letter in decomposed if letter.isascii()
    )
