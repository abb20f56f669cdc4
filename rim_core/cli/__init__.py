"""``rim …``: the main job from a terminal, one command an arrow of the walk.

Answers go to stdout (text, or one JSON document with ``--json``), progress and warnings to stderr. A command that fails
says what to do and ends with the exit code of its error (:mod:`rim_core.errors`); nothing shows a traceback unless
the environment variable RIM_DEBUG is set.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_core.cli.output import Output
from rim_core.errors import Cancelled, RimError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

COMMANDS = {
    "init": ("setup", "Make a workspace."),
    "data": ("data", "Add, list, show and remove datasets."),
    "train": ("train", "Train models on a dataset."),
    "models": ("models", "List, show and remove trained models."),
    "evaluate": ("evaluate", "Compare models in both directions: items for users, users for items."),
    "plan": ("plan", "Find item prices that keep promises at least loss."),
    "frontier": ("frontier", "See what promises cost: relevance against diversity."),
    "deliver": ("deliver", "Apply a plan to the test window, one user-state at a time."),
    "export": ("export", "Write an audience file."),
    "jobs": ("train", "List training jobs; cancel or discard one."),
    "doctor": ("doctor", "Check the workspace and say what to do."),
    "demo": ("demo", "Do the whole job on a real grocery chain."),
}
"""Commands in the order of the walk: their module, and what they do."""


NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""What newer versions of click raise where a group is given no command: its message is the help."""


class Commands(click.Group):
    """Commands whose modules are imported when they are run: ``rim --help`` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"rim_core.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with `rim demo`, or with `rim init` and `rim data add`. Every command takes --help and --json.",
)
@click.option(
    "--workspace",
    "-w",
    type=click.Path(path_type=Path),
    help="Folder of the workspace; RIM_WORKSPACE, or else the current folder, by default.",
)
@click.version_option(package_name="rim", prog_name="rim")
@click.pass_obj
def rim(out: Output, workspace: Path | None) -> None:
    """Plan campaigns: who will be interested in what, and which promises can be kept."""
    out.root = workspace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    _listen()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded: beside other work, spinning is slow
    out = Output()
    try:
        code = rim.main(None if arguments is None else list(arguments), "rim", standalone_mode=False, obj=out)
        sys.stdout.flush()
    except click.ClickException as error:
        if isinstance(error, NO_ARGUMENTS):
            out.note(error.format_message())
            return error.exit_code
        out.json = out.json or "--json" in (sys.argv[1:] if arguments is None else arguments)
        out.failed(error.format_message(), type(error).__name__, error.exit_code)
        if isinstance(error, click.UsageError) and error.ctx is not None:
            out.note(f"See `{error.ctx.command_path} --help`.")
        return error.exit_code
    except RimError as error:
        out.failed(str(error), type(error).__name__, error.exit_code)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        out.failed("Stopped.", "Cancelled", Cancelled.exit_code)
        return Cancelled.exit_code
    except (BrokenPipeError, SystemExit):  # `rim … | head`; click makes the second of the first
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if os.environ.get("RIM_DEBUG"):
            raise
        text = f"Unexpected error, {type(error).__name__}: {error}. Set RIM_DEBUG=1 to see where it came from."
        out.failed(text, type(error).__name__, 1)
        return 1
    return code if isinstance(code, int) else 0


def _listen() -> None:
    """Warnings of the engine stay inside unless asked for; SIGTERM ends a command as Ctrl-C does."""
    if os.environ.get("RIM_DEBUG"):
        logging.basicConfig(level=logging.INFO)
    else:
        logging.getLogger().addHandler(logging.NullHandler())
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> Any:
    raise KeyboardInterrupt
