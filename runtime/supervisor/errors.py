"""What can keep a stack from running; the text is one clear message for the person at the terminal."""


class StackProblem(Exception):
    """The stack cannot be started, asked or stopped; the message says what is wrong and what to do."""
