"""The rules that the guarantee stands on, what the code looks like without each, and the tests that must then fail.

docs/testing.md lists the same rules by name; tests/unit/test_docs.py holds it to this table.
"""

from dataclasses import dataclass

SIMULATION = "tests/simulation/test_simulation.py"
TAKEOVER = "tests/unit/processors/test_takeover.py"
PIPELINE = "tests/unit/processors/test_pipeline.py"
DECIDE = "tests/unit/processors/test_decide.py"
LOG = "tests/contract/test_log_contract.py"
ACCUMULATOR = "tests/unit/ingress/test_accumulator.py"
STATE = "tests/contract/test_state_contract.py"


@dataclass(frozen=True, slots=True)
class Edit:
    """One piece of code, and what stands there instead; it must be in the file exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, the edits that remove it, and pytest's ids of the tests that must fail, each of them."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def _rule(name: str, file: str, old: str, new: str, *tests: str) -> Rule:
    return Rule(name, (Edit(file, old, new),), tests)


RULES = (
    _rule(
        "fence before reading the offset",
        "processors/takeover.py",
        """    await output.start()
    committed = await raw.committed()
""",
        """    committed = await raw.committed()
    await output.start()
""",
        f"{TAKEOVER}::test_fencing_comes_before_anything_is_read",
        SIMULATION,
    ),
    _rule(
        "begin at our own record of the offset",
        "processors/takeover.py",
        "    committed = await raw.committed()\n    progress",
        "    committed = await raw.shown()\n    progress",
        f"{TAKEOVER}::test_what_kafkas_tools_show_is_corrected_and_never_begun_at",
        SIMULATION,
    ),
    _rule(
        "first commit before the first claim",
        "processors/takeover.py",
        "            await output.commit({}, offset)\n",
        "            await state.open(offset)\n            await output.commit({}, offset)\n",
        f"{TAKEOVER}::test_first_takeover_commits_before_it_opens_the_state",
        SIMULATION,
    ),
    _rule(
        "claiming starts nowhere but at the log's start",
        "processors/takeover.py",
        "await state.open(bounds.start)",
        "await state.open(start)",
        f"{TAKEOVER}::test_healing_opens_at_the_logs_start_only_and_ends_at_the_committed_offset",
    ),
    _rule(
        "heal when progress is behind the committed offset",
        "processors/takeover.py",
        "if progress is None or progress < committed:",
        "if progress is None:",
        f"{TAKEOVER}::test_plan",
        SIMULATION,
    ),
    _rule(
        "refuse when offsets are lost",
        "processors/takeover.py",
        """        if progress is None:
            return Initialize(bounds.start)
""",
        """        if progress is None or progress:
            return Initialize(bounds.start)
""",
        f"{TAKEOVER}::test_plan",
    ),
    _rule(
        "who froze in a takeover judges nothing",
        "processors/takeover.py",
        "if await raw.committed() != committed:",
        "if not committed and committed:",
        f"{TAKEOVER}::test_takeover_that_froze_while_another_began_is_fenced_and_not_refused",
        SIMULATION,
    ),
    _rule(
        "a gap that retention made is refused",
        "processors/pipeline.py",
        "if found < position or bounds.start > position:",
        "if found < position:",
        f"{PIPELINE}::test_gap_that_retention_made_is_refused_although_the_fetch_succeeded",
    ),
    _rule(
        "nothing is emitted without a claim",
        "processors/pipeline.py",
        "        owners = await self._claim(batch)\n",
        """        claims = claims_of(batch, counted_until=self._counted_until)
        owners = {claim.key: (batch.partition, claim.offset, claim.content_hash) for claim in claims}
""",
        f"{PIPELINE}::test_log_comes_out_as_the_reference_model_says",
        SIMULATION,
    ),
    Rule(
        "claims and conflicts before the commit",
        (
            Edit(
                "processors/pipeline.py",
                """        if decision.conflicts:
            await self._patiently(lambda: self._ports.state.note_conflicts(decision.conflicts))
        return decision
""",
                "        return decision\n",
            ),
            Edit(
                "processors/pipeline.py",
                "            await self._ports.output.commit(decision.outputs, batch.next_offset)\n",
                """            await self._ports.output.commit(decision.outputs, batch.next_offset)
        if decision.conflicts:
            await self._patiently(lambda: self._ports.state.note_conflicts(decision.conflicts))
""",
            ),
        ),
        (f"{PIPELINE}::test_conflicts_are_noted_before_their_batch_is_committed",),
    ),
    _rule(
        "smallest offset of a key in a batch",
        "processors/decide.py",
        "else Claim(key, known.offset, known.time_ms, known.content_hash, known.records + new)",
        "else Claim(key, offset, verdict.timestamp_ms, verdict.content_hash, known.records + new)",
        f"{DECIDE}::test_claim_has_the_smallest_offset_with_its_time_and_content",
        SIMULATION,
    ),
    _rule(
        "dead letters claim nothing",
        "processors/decide.py",
        """        if not isinstance(verdict, Normalized):
            continue
""",
        """        if not isinstance(verdict, Normalized):
            key = ClaimKey(f"ringover:call.ended:{(verdict.record.key or b'').decode()}")
            claims.setdefault(key, Claim(key, verdict.offset, verdict.timestamp_ms, 0, 0))
            continue
""",
        SIMULATION,
    ),
    _rule(
        "the key is the body's call id",
        "processors/normalize.py",
        "if record.key != key:",
        "if record.key is None:",
        "tests/unit/processors/test_normalize.py::test_key_that_is_not_the_call_id_is_told",
        SIMULATION,
    ),
    _rule(
        "only the owner's offset emits",
        "processors/decide.py",
        "if offset == verdict.offset and partition == batch.partition:",
        "if partition == batch.partition and offset >= batch.first:",
        f"{DECIDE}::test_every_pass_in_whatever_batches_gives_the_same_outcomes",
        SIMULATION,
    ),
    _rule(
        "claims sorted by key",
        "processors/decide.py",
        "return sorted(claims.values())",
        "return list(claims.values())",
        f"{DECIDE}::test_keys_are_claimed_in_the_order_of_their_bytes",
    ),
    _rule(
        "too large is decided before the claim",
        "processors/normalize.py",
        "if not event_fits(event):",
        "if not event:",
        "tests/unit/processors/test_size.py::test_event_that_no_topic_takes_is_rejected_before_it_claims",
    ),
    _rule(
        "records counted once",
        "processors/decide.py",
        "new = 1 if offset >= counted_until else 0",
        "new = 1 if counted_until >= 0 else 0",
        f"{DECIDE}::test_records_counted_before_are_not_counted_again",
        SIMULATION,
    ),
    _rule(
        "healing claims and notes in one transaction",
        "processors/pipeline.py",
        "                await self._reclaim(batch)\n",
        "                await self._decide(batch)\n",
        f"{PIPELINE}::test_crash_in_the_middle_of_healing_loses_no_conflict",
    ),
    _rule(
        "healing begins a batch before the progress",
        "processors/pipeline.py",
        "start - self._config.max_records)",
        "start)",
        f"{PIPELINE}::test_copy_made_between_claims_and_conflicts_of_a_batch_loses_no_conflict",
    ),
    _rule(
        "transactions follow each other",
        "processors/pipeline.py",
        """                    if committing is not None:
                        await committing
                    committing = asyncio.create_task""",
        "                    committing = asyncio.create_task",
        f"{PIPELINE}::test_next_batch_is_claimed_while_the_last_one_commits",
        SIMULATION,
    ),
    _rule(
        "an error ends its producer",
        "processors/pipeline.py",
        "            await self._ports.output.commit(decision.outputs, batch.next_offset)\n",
        """            try:
                await self._ports.output.commit(decision.outputs, batch.next_offset)
            except StateUnavailableError.__bases__[0]:
                await self._ports.output.commit(decision.outputs, batch.next_offset)
""",
        SIMULATION,
    ),
    _rule(
        "a transaction under way may end",
        "processors/pipeline.py",
        "                await _settle(committing)\n",
        "                committing.cancel()\n",
        f"{PIPELINE}::test_cancelled_pipeline_lets_its_transaction_finish_first",
    ),
    _rule(
        "one transactional id per group and partition",
        "processors/kafka_offsets.py",
        'return f"{group}|{source.topic}|{source.partition}"',
        """return f"{group}|{source.topic}|{__import__('os').urandom(8).hex()}\"""",
        "tests/unit/processors/test_kafka_output.py::test_transactional_id_is_of_group_and_partition_alone",
    ),
    _rule(
        "202 only when the record is durable",
        "ingress/handler.py",
        "            await self._publisher.publish(record)\n",
        """            publishing = self._publisher.publish(record)
            asyncio.ensure_future(publishing).add_done_callback(asyncio.Future.exception)
""",
        "tests/unit/ingress/test_app.py::test_webhook_that_cannot_be_stored_is_503",
    ),
    _rule(
        "a batch is sent again before what came later",
        "ingress/kafka/accumulator.py",
        "batches = [(queue, queue.batches[0]) for queue in queues if queue.batches]",
        "batches = [(queue, queue.batches[-1]) for queue in queues if queue.batches]",
        f"{ACCUMULATOR}::test_passing_error_is_tried_again_before_what_came_later",
    ),
    _rule(
        "one request at a time to each broker",
        "ingress/kafka/accumulator.py",
        "            elif broker in self._busy:\n",
        "            elif broker in self._busy and not due:\n",
        f"{ACCUMULATOR}::test_one_request_at_a_time_and_the_next_one_fills_meanwhile",
    ),
    _rule(
        "the signature is of the body",
        "ingress/dialects/specification.py",
        "            mac.update(body)\n",
        '            mac.update(body[:0] + b"{}")\n',
        "tests/unit/ingress/test_specification.py::test_right_signature_is_accepted_for_its_body_only",
    ),
)

# What only the real servers show; `make test` runs these.
SERVER_RULES = (
    _rule(
        "await every acknowledgement",
        "processors/kafka_output.py",
        "            await asyncio.gather(*acknowledgements)\n",
        "",
        f"{LOG}::test_refused_record_fails_its_transaction_and_nothing_of_it_is_seen[kafka]",
    ),
    _rule(
        "offsets last in the transaction",
        "processors/kafka_output.py",
        """            await asyncio.gather(*acknowledgements)
            # Last: a torn transaction would then repeat records rather than lose them.
            written = await self._send_offset(place, next_offset)
""",
        """            written = await self._send_offset(place, next_offset)
            await asyncio.gather(*acknowledgements)
""",
        "tests/integration/test_kafka_output.py::test_offset_joins_the_transaction_when_every_record_is_acknowledged",
    ),
    _rule(
        "a request without an answer ends its producer",
        "processors/kafka_output.py",
        "self._unanswered = self._unanswered or isinstance(request, _OF_TRANSACTIONS)",
        "pass",
        "tests/integration/test_kafka_output.py::test_producer_whose_request_was_sent_twice_had_its_last_transaction"
        "[EndTxnRequest]",
    ),
    _rule(
        "the id that fences is the same in every process",
        "processors/kafka_offsets.py",
        'return f"{group}|{source.topic}|{source.partition}"',
        """return f"{group}|{source.topic}|{__import__('os').urandom(8).hex()}\"""",
        f"{LOG}::test_second_start_fences_the_first_and_nothing_of_it_is_seen[kafka]",
    ),
    _rule(
        "a batch is claimed only after everything before it",
        "processors/queries.sql",
        "    WHERE log_id = %(log_id)s AND partition = %(partition)s AND next_offset >= %(first)s\n",
        "    WHERE log_id = %(log_id)s AND partition = %(partition)s AND next_offset >= %(first)s - 1000000\n",
        f"{STATE}::test_claim_is_refused_when_something_before_it_was_not_claimed_and_writes_nothing[postgres]",
    ),
    _rule(
        "a claim answers the owner whoever it is",
        "processors/queries.sql",
        "ON CONFLICT (log_id, idempotency_key) DO UPDATE SET records = c.records + EXCLUDED.records",
        "ON CONFLICT (log_id, idempotency_key) DO NOTHING",
        f"{STATE}::test_claim_answers_every_owner_and_moves_progress[postgres]",
    ),
    _rule(
        "a repeated claim counts once",
        "processors/queries.sql",
        "CASE WHEN advanced.uncounted THEN r.records ELSE 0 END",
        "r.records",
        f"{STATE}::test_a_claim_repeated_after_a_lost_answer_counts_once[postgres]",
    ),
    _rule(
        "claims and conflicts of healing: both or neither",
        "processors/postgres_state.py",
        """        async with self._state.transaction() as execute:
            conflicts = conflicts_of(await self._claim(execute, first, next_offset, claims, counted_until))
            if conflicts:
                await self._note(execute, conflicts)
""",
        """        execute = self._state.execute
        conflicts = conflicts_of(await self._claim(execute, first, next_offset, claims, counted_until))
        if conflicts:
            await self._note(execute, conflicts)
""",
        f"{STATE}::test_reclaim_that_ends_before_its_conflicts_are_noted_writes_nothing[postgres]",
    ),
    _rule(
        "what fits into raw fits on",
        "schemas/topics.py",
        "MAX_OUTPUT_BYTES = MAX_MESSAGE_BYTES + 64 * 1024",
        "MAX_OUTPUT_BYTES = MAX_MESSAGE_BYTES",
        "tests/e2e/test_large_records.py::test_largest_raw_records_become_events_and_dead_letters",
    ),
    _rule(
        "the ingress awaits the acknowledgement",
        "ingress/kafka/accumulator.py",
        "        errors = await self._produce(broker, batches)\n",
        """        errors = {queue.partition: None for queue, _ in batches}
        await asyncio.wait([asyncio.ensure_future(self._produce(broker, batches))], timeout=0)
""",
        "tests/integration/test_ingress_publisher.py::test_broker_that_goes_away_fails_publishing_and_heals",
    ),
)
