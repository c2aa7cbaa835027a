-- name: lock_log
-- A write that leaves no dead row and that processors need not wait with for each other: refused by a read-only server
-- or session as a claim is, and its commit waits for the disk.
SELECT log_id FROM log WHERE name = %(name)s FOR KEY SHARE;

-- name: add_log
-- Only after lock_log found nothing: every try takes a number, and numbers are few.
INSERT INTO log (name) VALUES (%(name)s) ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name RETURNING log_id;

-- name: progress
SELECT next_offset FROM progress WHERE log_id = %(log_id)s AND partition = %(partition)s;

-- name: open_progress
INSERT INTO progress AS p (log_id, partition, next_offset) VALUES (%(log_id)s, %(partition)s, %(next_offset)s)
ON CONFLICT (log_id, partition) DO UPDATE SET next_offset = GREATEST(p.next_offset, EXCLUDED.next_offset);

-- name: claim
-- Claims every key of the records in [first, next_offset), in one statement and one commit. Nothing is claimed unless
-- everything before `first` was: that is what makes the owner of a key its first record in the log. The row without a
-- key answers the progress and how many keys were claimed, the others are the owners that are not what we claim; no row
-- at all means that this database is behind.
-- DO UPDATE rather than DO NOTHING: only an update returns the row after waiting for a concurrent claim of it.
-- `records` grows only when nobody counted these records before: not when an answer was lost and the claim repeated, and
-- not when a zombie claims what its successor has claimed already. Where it does not grow, a claim that exists is only
-- read: a pass again over old records writes nothing. (LATERAL with LIMIT: whatever is estimated, by the index.)
-- Keys come as lines of one text, since they have no control characters: arrays cost the client more than all the rest.
WITH before AS (
    SELECT next_offset FROM progress
    WHERE log_id = %(log_id)s AND partition = %(partition)s AND next_offset >= %(first)s
    FOR UPDATE
), advanced AS (
    UPDATE progress AS p SET next_offset = GREATEST(before.next_offset, %(next_offset)s) FROM before
    WHERE p.log_id = %(log_id)s AND p.partition = %(partition)s
    RETURNING p.next_offset, before.next_offset <= %(counted_until)s AS uncounted
), wanted AS MATERIALIZED (
    SELECT r.key, r.owner_offset, r.time_ms, r.content_hash,
        CASE WHEN advanced.uncounted THEN r.records ELSE 0 END AS records
    FROM advanced, unnest(
        string_to_array(%(keys)s, E'\n'), %(offsets)s::bigint[], %(times)s::bigint[], %(hashes)s::bigint[],
        %(records)s::bigint[]
    ) AS r (key, owner_offset, time_ms, content_hash, records)
), known AS MATERIALIZED (
    SELECT c.idempotency_key, c.partition, c.owner_offset, c.content_hash
    FROM wanted AS r, LATERAL (
        SELECT * FROM claim WHERE log_id = %(log_id)s AND idempotency_key = r.key LIMIT 1
    ) AS c
    WHERE r.records = 0
), claimed AS (
    INSERT INTO claim AS c
        (log_id, idempotency_key, partition, owner_offset, owner_time, content_hash, records)
    SELECT %(log_id)s, r.key, %(partition)s, r.owner_offset, to_timestamp(r.time_ms / 1000.0), r.content_hash, r.records
    FROM wanted AS r WHERE r.key NOT IN (SELECT idempotency_key FROM known)
    ON CONFLICT (log_id, idempotency_key) DO UPDATE SET records = c.records + EXCLUDED.records
    RETURNING idempotency_key, partition, owner_offset, content_hash
), owner AS (
    SELECT * FROM known UNION ALL SELECT * FROM claimed
)
SELECT NULL AS idempotency_key, 0 AS partition, next_offset AS owner_offset, (SELECT count(*) FROM owner) FROM advanced
UNION ALL (
    SELECT * FROM owner EXCEPT SELECT key, %(partition)s, owner_offset, content_hash FROM wanted
);

-- name: note_conflicts
INSERT INTO conflict (log_id, partition, record_offset, idempotency_key, record_time)
SELECT %(log_id)s, %(partition)s, r.record_offset, r.key, to_timestamp(r.time_ms / 1000.0)
FROM unnest(%(keys)s::text[], %(offsets)s::bigint[], %(times)s::bigint[]) AS r (key, record_offset, time_ms)
ON CONFLICT DO NOTHING;

-- name: schema_version
SELECT max(version) FROM schema_migration;

-- name: read_only
SELECT current_setting('transaction_read_only')::boolean;

-- name: pause
SELECT extract(epoch FROM until - now())::float8, reason FROM pause WHERE group_name = %(group)s AND until > now();

-- name: tell_problems
-- `well` are partitions that work, whatever an earlier owner said of them. What is known already is not written again.
WITH solved AS (
    DELETE FROM partition_problem
    WHERE group_name = %(group)s AND topic = %(topic)s AND partition = ANY(%(well)s::integer[])
)
INSERT INTO partition_problem AS p (group_name, topic, partition, problem, processor)
SELECT %(group)s, %(topic)s, r.partition, r.problem, %(processor)s
FROM unnest(%(partitions)s::integer[], %(problems)s::text[]) AS r (partition, problem)
ON CONFLICT (group_name, topic, partition) DO UPDATE SET problem = EXCLUDED.problem, processor = EXCLUDED.processor
WHERE (p.problem, p.processor) IS DISTINCT FROM (EXCLUDED.problem, EXCLUDED.processor);

-- name: problems
SELECT partition, since, problem, processor FROM partition_problem
WHERE group_name = %(group)s AND topic = %(topic)s;
