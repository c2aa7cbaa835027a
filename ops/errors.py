"""Errors of the operators' commands: one line for a person, and the exit code that a script sees."""

EXIT_OK = 0
EXIT_FAILED = 1  # could not be done: broker or database away, webhook refused, check failed
EXIT_USAGE = 2  # wrong options or settings (also what typer and runtime.settings answer)
EXIT_DIFFERS = 3  # what exists is not what this version expects; nothing was touched
EXIT_NOT_FOUND = 4  # no such group or topic

#: For every command's --help.
EXIT_CODES = (
    "Exit codes: 0 done; 1 could not be done; 2 wrong usage or settings; "
    "3 what exists differs from what this version expects, nothing was touched; 4 no such group or topic."
)


class OpsError(Exception):
    """A command cannot do what it was asked; the message is one line."""

    exit_code = EXIT_FAILED


class UnreachableError(OpsError):
    """A broker, a database or an ingress does not answer."""


class NotAuthorizedError(OpsError):
    """Credentials or access rights are missing."""


class NotFoundError(OpsError):
    """There is no such group or topic."""

    exit_code = EXIT_NOT_FOUND


class DiffersError(OpsError):
    """What exists is not what this version expects."""

    exit_code = EXIT_DIFFERS


class UsageError(OpsError):
    """The options or the input make no sense together."""

    exit_code = EXIT_USAGE
