"""Entry point of `ringover-ops`."""

import io
import sys

from ops.cli import app
from ops.kit.errors import EXIT_USAGE


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal of another encoding must not end a command half-way
        sys.stdout.reconfigure(errors="backslashreplace")
    for argument in sys.argv[1:]:
        try:
            argument.encode()
        except UnicodeEncodeError:  # bytes that are no text: no id, name or file that we made has such
            sys.stderr.write(f"error: an argument is not UTF-8: {argument!a}\n")
            sys.exit(EXIT_USAGE)
    app(prog_name="ringover-ops")


if __name__ == "__main__":
    main()
