"""What keeps the demo from its verdict; the text is one clear message for the person at the terminal."""

from __future__ import annotations


class DemoProblem(Exception):
    """The demo cannot go on; the message says why and what to do."""
