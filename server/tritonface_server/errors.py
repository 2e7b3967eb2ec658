"""What a command ends with."""

from __future__ import annotations


class CommandError(RuntimeError):
    """A command cannot do its work; the message says what is wrong and how to mend it."""
