"""Puts an error that nobody expected into words: its class and where it was raised, never its own text.

That text may quote a record (UnicodeEncodeError shows the whole string), and it goes into logs, probes and tables.
"""

import traceback
from pathlib import PurePath

from runtime.errors import PipelineError
from runtime.logs import logger

log = logger(__name__)


def report(event: str, error: Exception, **fields: object) -> None:
    """Log an error that nobody expected, with the lines that it passed."""
    log.error(event, **fields, reason=problem_of(error), exception=shown_traceback(error))


def problem_of(error: BaseException) -> str:
    """Put an error into words for an operator: our own errors by their text, any other by its class and place."""
    return str(error) if isinstance(error, PipelineError) else f"unexpected {type(error).__name__} at {_place(error)}"


def shown_traceback(error: BaseException) -> str:
    """List the lines of code that an error and its causes passed, and the class of each, without any value."""
    parts: list[str] = []
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        parts.append("".join(traceback.format_tb(following.__traceback__)) + type(following).__name__)
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return "\n\nraised while handling:\n\n".join(reversed(parts))


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "an unknown place"
    return f"{'/'.join(PurePath(frames[-1].filename).parts[-2:])}:{frames[-1].lineno}"
