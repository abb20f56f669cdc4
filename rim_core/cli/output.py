"""What a command says: an answer on stdout, progress and warnings on stderr."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rim_core.progress import Progress
    from rim_core.storage import Workspace

EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""


class Output:
    """Where a command writes; commands get it as their ``obj``.

    Attributes
    ----------
    json : bool
        One JSON document instead of text.
    root : Path or None
        Folder of the workspace, as typed.
    """

    def __init__(self) -> None:
        self.json = False
        self.root: Path | None = None

    def answer(self, document: Mapping[str, Any] | Sequence[Any], text: str) -> None:
        """The answer: ``document`` with --json, ``text`` otherwise."""
        from rim_core.storage.files import to_json

        click.echo(to_json(document, indent=1) if self.json else text)

    def note(self, text: str) -> None:
        """Something a person should know beside the answer."""
        click.echo(text, err=True)

    def failed(self, text: str, kind: str, code: int) -> None:
        """Why there is no answer."""
        if self.json:
            click.echo(json.dumps({"error": {"type": kind, "message": text, "exit_code": code}}, ensure_ascii=False))
        click.echo(f"rim: {text}", err=True)

    @contextmanager
    def workspace(self, *, create: bool = False) -> Iterator[Workspace]:
        """The workspace, opened; what happened to the last session is said first."""
        from rim_core.storage import Workspace

        with Workspace(self.root, create=create) as opened:
            for text in opened.recovered:
                self.note(text)
            yield opened

    @contextmanager
    def meter(self, prefix: str = "") -> Iterator[Meter]:
        """Progress of work, on stderr."""
        meter = Meter(prefix)
        try:
            yield meter
        finally:
            meter.end()


class Meter:
    """A line that moves on a terminal; elsewhere a line now and then."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.moving = sys.stderr.isatty()
        self._shown = 0.0
        self._last = ""
        self._drawn = False

    def __call__(self, progress: Progress) -> None:
        """The callback of the engine."""
        share = progress.done / progress.total if progress.total > 0 else 0.0
        self.show(progress.stage, share)

    def show(self, stage: str, share: float, left: float | None = None) -> None:
        """Say what is done and how much of it."""
        now = time.monotonic()
        rest = f", about {duration(left)} left" if left else ""
        line = f"{self.prefix}{stage} ({min(max(share, 0.0), 1.0):.0%}{rest})"
        if self.moving:
            if now - self._shown > 0.1 or stage != self._last:
                width = shutil.get_terminal_size().columns - 1
                sys.stderr.write("\r\x1b[K" + line[:width])
                sys.stderr.flush()
                self._shown, self._drawn = now, True
        elif stage.partition(":")[0] != self._last.partition(":")[0] or now - self._shown > EVERY:
            click.echo(line, err=True)
            self._shown = now
        self._last = stage

    def end(self) -> None:
        """Leave the terminal as it was."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def table(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], formats: Mapping[str, str] | None = None
) -> str:
    """Rows as aligned text: numbers to the right, the rest to the left.

    Parameters
    ----------
    columns : mapping
        Key of a row → title.
    formats : mapping, optional
        Format specification by key (".4f"); integers get separators, other numbers four digits.
    """
    cells = [[_cell(row.get(key), (formats or {}).get(key)) for key in columns] for row in rows]
    titles = list(columns.values())
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    right = [any(isinstance(row.get(key), int | float) for row in rows) for key in columns]
    lines = [titles, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: Any, form: str | None) -> str:
    if value is None or value != value:
        return "–"
    if form is not None and not isinstance(value, str):
        return format(value, form)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def duration(seconds: float) -> str:
    """Seconds as a person says them: "1 min 20 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def as_json(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option --json of every command."""

    def asked(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            context.ensure_object(Output).json = True

    return click.option(
        "--json", is_flag=True, expose_value=False, is_eager=True, callback=asked, help="Answer with one JSON document."
    )(command)


def examples(*lines: str) -> str:
    """An epilog that keeps its lines."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
