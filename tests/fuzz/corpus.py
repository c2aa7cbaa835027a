"""`python -m tests.fuzz.corpus DIR`: the examples of the contract, and some strangers, as inputs to begin with."""

import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
STRANGERS = (
    b"R\n\n{}",
    b"Rsha256=\n\n{}",
    b"B\n\n{}",
    b"Usha256=\n\n{}",
    b"S" + b"A" * 43 + b"=\n\n{}",
    b"Ssha256=" + b"0" * 64 + b"\n\n{}",
    b"ABearer a-token\n\n{}",
    b"Abearer  another-token \n\n{}",
    b"R\nABearer a-token\n\n{}",
    b"R\nR\n\n{}",
    b"ABasic a-token\n\n",
)


def write(directory: Path) -> int:
    """Write the inputs; how many there are."""
    directory.mkdir(parents=True, exist_ok=True)
    bodies = sorted(path for path in EXAMPLES.rglob("*.json") if not path.name.endswith(".expected.json"))
    inputs = [bytes([kind]) + path.read_bytes() for path in bodies for kind in (0, 2, 4)]
    inputs += [b"\x01" + stranger for stranger in STRANGERS]
    for number, data in enumerate(inputs):
        (directory / f"{number:04}").write_bytes(data)
    return len(inputs)


if __name__ == "__main__":
    sys.stdout.write(f"{write(Path(sys.argv[1]))} inputs\n")
