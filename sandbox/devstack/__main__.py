"""`python -m sandbox.devstack`: the devstack's commands on their own."""

from sandbox.devstack.cli import app

if __name__ == "__main__":
    app()
