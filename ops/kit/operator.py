"""Names who runs a command, for audit rows and for those who wait for it."""

import getpass
import os
import socket


def who() -> str:
    """`user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
