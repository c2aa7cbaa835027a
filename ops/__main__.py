"""Entry point of `ringover-ops`."""

from ops.cli import app


def main() -> None:
    """Run the command line."""
    app(prog_name="ringover-ops")


if __name__ == "__main__":
    main()
