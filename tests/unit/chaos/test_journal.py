"""The journal survives the way through its file."""

from pathlib import Path

from tests.chaos.journal import Answer, Attempt, Journal
from tests.unit.chaos.history import correct


def test_what_is_written_is_read(tmp_path: Path) -> None:
    journal = Journal(skipped=3)
    for delivery in correct().deliveries:
        answer, attempts = delivery.answer, delivery.attempts
        delivery.attempts, delivery.answer = [], Answer.NONE
        journal.deliveries.append(delivery)
        journal.note(delivery, Attempt(0.25, 0.5, 503), Answer.NONE)
        journal.note(delivery, attempts[0], answer)

    journal.write(tmp_path / "journal.jsonl")

    assert Journal.read(tmp_path / "journal.jsonl") == journal
    assert journal.refused > len(journal.deliveries)
