"""Every error this package raises on purpose.

RimError                      anything the caller can act on
├── DataError                 events or files that cannot be used
│   ├── FormatError           a file is not in the layout it was said to be
│   └── EmptyLogError         nothing usable is left after validation or filtering
├── SplitError                a split that leaves nothing to train on or to test
├── ModelError                a model that cannot do what is asked
│   ├── NotFittedError        scored or saved before ``fit``
│   └── ArtifactError         a stored model is damaged, tampered with or of another version
├── ScoreError                scores that are not finite and non-negative, or shapes that do not match
├── ConstraintError           promises that contradict themselves (every problem is listed at once)
│   └── InfeasibleError       promises that cannot be kept together on these user-states
├── StorageError              the workspace cannot be opened, read or written
│   ├── WorkspaceBusyError    another process owns the database
│   └── NotFoundError         no such dataset, model, plan or job
├── JobError                  a training job failed
└── Cancelled                 the user asked to stop; what was checkpointed is kept

Each message names the cause and the next step.
"""

from __future__ import annotations

from pathlib import Path


class RimError(Exception):
    """Base of all errors the caller can act on."""

    exit_code = 1


class DataError(RimError):
    """Events or files that cannot be used."""

    exit_code = 3


class FormatError(DataError):
    """A file is not in the layout it was said to be."""


class EmptyLogError(DataError):
    """Nothing usable is left after validation or filtering.

    Attributes
    ----------
    said : str
        The message without the place of the rejects file, for whoever cannot look there.
    rejects_file : Path or None
        The rows an import rejected, and why.
    """

    def __init__(self, message: str, *, said: str = "", rejects_file: Path | None = None) -> None:
        self.said, self.rejects_file = said or message, rejects_file
        super().__init__(message)


class SplitError(RimError):
    """A split that leaves nothing to train on or to test."""

    exit_code = 3


class ModelError(RimError):
    """A model that cannot do what is asked."""

    exit_code = 4


class NotFittedError(ModelError):
    """Scored or saved before ``fit``."""


class ArtifactError(ModelError):
    """A stored model is damaged, tampered with or of another version."""


class ScoreError(RimError):
    """Scores that are not finite and non-negative, or shapes that do not match."""

    exit_code = 4


class ConstraintError(RimError):
    """Promises that contradict themselves.

    Parameters
    ----------
    problems : list of str
        Every violation found, each a sentence that says how to mend it.
    """

    exit_code = 5

    def __init__(self, problems: list[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class InfeasibleError(ConstraintError):
    """Promises that cannot be kept together on these user-states."""

    exit_code = 6


class StorageError(RimError):
    """The workspace cannot be opened, read or written."""

    exit_code = 7


class WorkspaceBusyError(StorageError):
    """Another process owns the database.

    Attributes
    ----------
    pid : int or None
        The owner's process.
    address : str or None
        Where the owner can be reached, if it serves pages.
    """

    exit_code = 8

    def __init__(self, message: str, *, pid: int | None = None, address: str | None = None) -> None:
        self.pid, self.address = pid, address
        super().__init__(message)


class NotFoundError(StorageError):
    """No such dataset, model, plan or job."""

    exit_code = 9


class JobError(RimError):
    """A training job failed."""

    exit_code = 10


class Cancelled(RimError):
    """The user asked to stop; what was checkpointed is kept."""

    exit_code = 130
