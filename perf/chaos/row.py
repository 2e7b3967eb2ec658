"""A line of the report: what was done, under which load, what was promised and what was seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MOST_CHARACTERS = 160
"""Of a note in the table; the JSON has all."""


@dataclass(frozen=True)
class Promise:
    """A figure and its bound; `at_least` where more is better."""

    name: str
    value: float
    bound: float
    unit: str = ""
    at_least: bool = False

    @property
    def kept(self) -> bool:
        """Whether the figure is within its bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        sign, unit = "≥" if self.at_least else "≤", f" {self.unit}" if self.unit else ""
        text = f"{self.name} {self.value:.3g}{unit} ({sign} {self.bound:g})"
        return text if self.kept else f"**{text}**"


@dataclass(frozen=True)
class Row:
    """One experiment's outcome.

    Attributes:
        notes: what else is worth reading: messages of failures, what was left behind.
        figures: for the JSON beside the table.
    """

    fault: str
    load: str
    promises: list[Promise]
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether all promises were kept."""
        return all(promise.kept for promise in self.promises)

    def cells(self) -> tuple[str, str, str, str]:
        """Of the table: fault, load, promises with their figures, notes."""
        texts = (self.fault, self.load, "; ".join(note[:MOST_CHARACTERS] for note in self.notes) or "-")
        fault, load, notes = (" ".join(text.replace("|", "/").split()) for text in texts)
        return fault, load, "<br>".join(map(str, self.promises)), notes
