"""`ringover-ops` that takes every group for an empty one, as one is whose consumers come back right after the look."""

from ops.__main__ import main
from ops.kit.groups import GroupState

if __name__ == "__main__":
    GroupState.empty = property(lambda _state: True)  # type: ignore[method-assign, assignment]
    main()
