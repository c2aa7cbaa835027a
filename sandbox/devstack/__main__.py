"""Runs the devstack's commands on their own: `python -m sandbox.devstack`."""

from sandbox.devstack.cli import app

if __name__ == "__main__":
    app()
