"""`python -m ops.devstack`: the devstack's commands on their own."""

from ops.devstack.cli import app

if __name__ == "__main__":
    app()
