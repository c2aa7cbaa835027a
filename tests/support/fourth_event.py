"""A copy of the product with one more event, `call.voicemail`, made by hand as a contributor would make it.

What a program does with it, it does in a process of its own: `environment(copy)` makes `python -m` take the copy.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.arrows import PACKAGES, ROOT
from tests.support.kafka import Webhook

SLUG, NAME = "call-voicemail", "call.voicemail"
BODY = (
    b'{ "event": "call.voicemail", "timestamp": "2026-01-02T15:08:00.000Z", '
    b'"call": { "id": "ro_call_123", "from": "+33601020304" }, '
    b'"voicemail": { "id": "ro_vm_9", "text": "Rappelez-moi...", "seconds": 12 } }'
)
EXPECTED = """{
  "call_id": "ro_call_123",
  "voicemail_id": "ro_vm_9",
  "from_e164": "+33601020304",
  "voicemail_text": "Rappelez-moi...",
  "duration_sec": 12
}
"""
WEBHOOK = Webhook(SLUG, "ro_call_123", BODY)

# File -> pieces of text, each once in the file, and what stands there instead.
_EDITS = {
    "schemas/received.py": [
        (
            "@_received\nclass CallStartedReceived",
            '''@_received
class VoicemailCall(TypedDict):
    """The `call` of a `call.voicemail`."""

    id: Id
    from_: NotRequired[Annotated[CallerNumber, Field(alias="from")]]


@_received
class Voicemail(TypedDict):
    """A voicemail."""

    id: Id
    text: Annotated[str, Shown.HIDDEN]
    seconds: Seconds


@_received
class VoicemailReceived(TypedDict):
    """Body of `POST /wh/ringover/call-voicemail`."""

    timestamp: Timestamp
    event_id: NotRequired[Id | None]
    call: VoicemailCall
    voicemail: Voicemail


@_received
class CallStartedReceived''',
        )
    ],
    "schemas/normalized.py": [
        (
            "class RecordingReady(",
            '''class VoicemailLeft(NormalizedEvent):
    """A caller left a voicemail."""

    voicemail_id: _Id
    from_e164: _E164 | None
    voicemail_text: Annotated[str, Shown.HIDDEN]
    duration_sec: Annotated[int, Field(ge=0, le=INT64_MAX), Shown.COUNT]


class RecordingReady(''',
        )
    ],
    "schemas/events.py": [
        ("import SCHEMA_VERSION, ", "import SCHEMA_VERSION, VoicemailLeft, "),
        ("import CallEndedReceived, ", "import VoicemailReceived, CallEndedReceived, "),
        (
            "class EventType(StrEnum):",
            """def _voicemail(received: VoicemailReceived) -> dict[str, object]:
    call, voicemail = received["call"], received["voicemail"]
    caller = call.get("from_")
    return {
        "call_id": call["id"],
        "voicemail_id": voicemail["id"],
        "from_e164": caller if caller and caller[0] == "+" else None,
        "voicemail_text": voicemail["text"],
        "duration_sec": voicemail["seconds"],
    }


class EventType(StrEnum):""",
        ),
        (
            "\n    slug: str\n",
            f'''
    VOICEMAIL = "{NAME}", "{SLUG}", VoicemailReceived, _voicemail, VoicemailLeft, RECORDING, "voicemail"

    slug: str
''',
        ),
    ],
    "README.md": [
        (
            "| `POST /wh/ringover/call-ended` |",
            f"| `POST /wh/ringover/{SLUG}` | `{NAME}` |\n| `POST /wh/ringover/call-ended` |",
        )
    ],
}
WRITTEN = {*_EDITS, *(f"schemas/examples/{SLUG}/specification{end}" for end in (".json", ".expected.json"))}
GENERATED = {f"schemas/jsonschema/{NAME}.v1.json", "schemas/openapi.json"}


def write(copy: Path) -> None:
    """Everything that ships, with the event.

    Raises:
        AssertionError: a text that is replaced is not there exactly once.
    """
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name)
    shutil.copy2(ROOT / "README.md", copy)
    for name, edits in _EDITS.items():
        text = (copy / name).read_text(encoding="utf-8")
        for old, new in edits:
            assert text.count(old) == 1, f"{name} has this {text.count(old)} times, not once:\n{old}"
            text = text.replace(old, new)
        (copy / name).write_text(text, encoding="utf-8")
    examples = copy / "schemas" / "examples" / SLUG
    examples.mkdir()
    (examples / "specification.json").write_bytes(BODY)
    (examples / "specification.expected.json").write_text(EXPECTED, encoding="utf-8")
    for module in ("schemas.export", "ingress.openapi"):
        run(copy, "-m", module)


def changed(copy: Path) -> set[str]:
    """The files in which the copy is not as the product is."""
    paths = [path for path in copy.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    pairs = [(path, ROOT / path.relative_to(copy)) for path in paths]
    return {
        path.relative_to(copy).as_posix()
        for path, original in pairs
        if not original.exists() or original.read_bytes() != path.read_bytes()
    }


def environment(copy: Path) -> dict[str, str]:
    """What makes a program run the copy's code, wherever it is started; tests.support is still ours."""
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": f"{copy}{os.pathsep}{ROOT}"}


def run(copy: Path, *arguments: str) -> str:
    """Run Python on the copy's code; what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env={**os.environ, **environment(copy)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
