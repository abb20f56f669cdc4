"""Is that process still the one we started? A pid alone does not say: the system uses it again."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path


def start_mark(pid: int) -> str | None:
    """When a process started, as an opaque mark; None when there is no such process (or a dead one unreaped).

    Two processes that had the same pid have different marks, also across a restart of the machine.
    """
    if Path("/proc/self/stat").exists():
        return _proc_mark(pid)
    answer = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return None if not answer or answer.startswith("Z") else answer[1:].lstrip("+<sNLl ")


def is_alive(pid: int, mark: str | None) -> bool:
    """Whether the process ``pid`` that had ``mark`` is still running; without a mark any process of that pid counts."""
    now = start_mark(pid)
    return now is not None and (mark is None or now == mark)


def this_process() -> tuple[int, str]:
    """(pid, mark) of the caller."""
    return os.getpid(), start_mark(os.getpid()) or ""


def _proc_mark(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the command may hold spaces and brackets
    state, ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{_boot()}:{ticks}"


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
