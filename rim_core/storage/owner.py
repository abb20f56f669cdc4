"""Who has the database open: a small file beside it, for messages; the lock itself is DuckDB's.

The file is written after the lock was got and removed before it is given back, so whoever is refused the lock can say
who holds it. A file left by a process that is gone tells the next start that the last one ended without closing.
"""

from __future__ import annotations

import re
import shlex
import socket
import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from rim_core.errors import WorkspaceBusyError
from rim_core.storage.files import now, read_json, write_json
from rim_core.storage.processes import is_alive, this_process

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process that has the workspace open.

    Attributes
    ----------
    pid : int
    mark : str
        Tells this process from another that had the same pid.
    command : str
        What was typed.
    address : str or None
        Where the process can be reached ("http://localhost:8501" for the dashboard).
    host : str
    since : str
        ISO time, UTC.
    """

    pid: int
    mark: str
    command: str
    address: str | None
    host: str
    since: str

    @staticmethod
    def this(command: str | None = None, address: str | None = None) -> Owner:
        """The calling process."""
        pid, mark = this_process()
        typed = command or shlex.join([sys.argv[0].rpartition("/")[2] or "python", *sys.argv[1:]])
        return Owner(pid, mark, typed, address, socket.gethostname(), now().isoformat(timespec="seconds"))

    @property
    def alive(self) -> bool:
        """Whether the process is still there (only known on the same machine)."""
        return self.host == socket.gethostname() and is_alive(self.pid, self.mark)

    def describe(self) -> str:
        """For a person: "process 4211 (`rim train ml1m`), http://localhost:8501, since 09:31 UTC"."""
        where = f", at {self.address}" if self.address else ""
        return f"process {self.pid} (`{self.command}`){where}, since {self.since} UTC"


def read_owner(path: Path) -> Owner | None:
    """The owner the file names; None when there is none or the file is not readable."""
    found = read_json(path)
    try:
        return Owner(**found) if isinstance(found, dict) else None
    except TypeError:
        return None


def write_owner(path: Path, owner: Owner, address: str | None = None) -> Owner:
    """Name ``owner`` in the file, atomically; returns it with the address."""
    owner = owner if address is None else replace(owner, address=address)
    write_json(path, asdict(owner))
    return owner


def busy(database: Path, owner_file: Path, refusal: str) -> WorkspaceBusyError:
    """The error for a database that another process has: names it as well as can be known."""
    owner = read_owner(owner_file)
    locked_by = re.search(r"PID (\d+)", refusal)
    if owner is not None and (owner.alive or owner.host != socket.gethostname()):
        who, address = owner.describe(), owner.address
        pid: int | None = owner.pid
    else:
        pid = int(locked_by.group(1)) if locked_by else None
        address = None
        who = f"process {pid}" if pid else "another process"
    use = f"open {address} instead, or stop it" if address else "wait for it, or stop it"
    return WorkspaceBusyError(f"{database} is in use by {who}: {use} and try again.", pid=pid, address=address)
