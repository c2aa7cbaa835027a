"""Defines the errors of the operators' commands: one line for a person, and the exit code that a script sees."""

EXIT_OK = 0
EXIT_FAILED = 1  # could not be done: broker or database away, webhook refused, check failed
EXIT_USAGE = 2  # wrong options or settings (also what typer and runtime.settings answer)
EXIT_DIFFERS = 3  # what exists is not what this version expects; nothing was touched
EXIT_NOT_FOUND = 4  # no such group, topic, call or key
EXIT_STALE = 5  # the plan no longer fits what exists; nothing was touched
EXIT_REFUSED = 6  # something is still active, or it would be unsafe; nothing was touched

#: For every command's --help.
EXIT_CODES = (
    "Exit codes: 0 done; 1 could not be done; 2 wrong usage or settings; "
    "3 what exists differs from what this version expects, nothing was touched; "
    "4 no such group, topic, call or key; 5 the plan is stale, nothing was touched; "
    "6 refused: something is still active, or it would be unsafe."
)


class OpsError(Exception):
    """A command cannot do what it was asked; the message is one line."""

    exit_code = EXIT_FAILED


class UnreachableError(OpsError):
    """A broker, a database or an ingress does not answer."""


AWAY = "no broker answers in time"


class KafkaAwayError(UnreachableError):
    """No broker answers in time: the command's last word asks why (`ops.kit.options`)."""


class NotAuthorizedError(OpsError):
    """Credentials or access rights are missing."""


class NotFoundError(OpsError):
    """There is no such group or topic."""

    exit_code = EXIT_NOT_FOUND


class DiffersError(OpsError):
    """Tells that what exists is not what this version expects."""

    exit_code = EXIT_DIFFERS


class UsageError(OpsError):
    """The options or the input make no sense together."""

    exit_code = EXIT_USAGE


class StaleError(OpsError):
    """Tells that the plan no longer fits: something has changed since it was made."""

    exit_code = EXIT_STALE


class UnsafeError(OpsError):
    """Something is still active, or the guarantee would suffer."""

    exit_code = EXIT_REFUSED
