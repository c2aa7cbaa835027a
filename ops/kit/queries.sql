-- name: logs
SELECT log_id, name FROM log ORDER BY log_id;

-- name: find_log
SELECT log_id FROM log WHERE name = %(name)s;

-- name: claims_of_keys
SELECT l.name, c.idempotency_key, c.partition, c.owner_offset, c.owner_time, c.content_hash, c.records, c.log_id
FROM claim AS c JOIN log AS l USING (log_id)
WHERE c.idempotency_key = ANY(%(keys)s)
ORDER BY l.log_id, c.idempotency_key;

-- name: conflicts_of_key
SELECT record_offset, record_time FROM conflict
WHERE log_id = %(log_id)s AND partition = %(partition)s AND idempotency_key = %(key)s
ORDER BY record_offset;

-- name: table_size
-- `reltuples` is what the last vacuum or analyze counted; -1: it never did.
SELECT pg_table_size('claim'), pg_indexes_size('claim'), reltuples::bigint FROM pg_class WHERE oid = 'claim'::regclass;

-- name: claim_statistics
SELECT log_id, split_part(idempotency_key, ':', 2), count(*), sum(greatest(records - 1, 0))::bigint,
    min(owner_time), max(owner_time)
FROM claim GROUP BY 1, 2 ORDER BY 1, 2;

-- name: claim_statistics_sampled
SELECT log_id, split_part(idempotency_key, ':', 2), count(*), sum(greatest(records - 1, 0))::bigint,
    min(owner_time), max(owner_time)
FROM claim TABLESAMPLE SYSTEM (%(percent)s) GROUP BY 1, 2 ORDER BY 1, 2;

-- name: conflict_statistics
SELECT log_id, split_part(idempotency_key, ':', 2), count(*) FROM conflict GROUP BY 1, 2 ORDER BY 1, 2;

-- name: progress_of_log
SELECT partition, next_offset FROM progress JOIN log USING (log_id) WHERE name = %(name)s ORDER BY partition;

-- name: owners_of
SELECT idempotency_key, partition, owner_offset, content_hash FROM claim
WHERE log_id = %(log_id)s AND idempotency_key = ANY(%(keys)s);

-- name: conflicts_of
SELECT partition, record_offset FROM conflict WHERE log_id = %(log_id)s AND idempotency_key = ANY(%(keys)s);

-- name: claims_with_owner_removed
-- Claims whose owner the raw log no longer has.
SELECT count(*) FROM claim AS c
JOIN unnest(%(partitions)s::int[], %(starts)s::bigint[]) AS b (partition, log_start) USING (partition)
WHERE c.log_id = %(log_id)s AND c.owner_offset < b.log_start;

-- name: claims_of_log
SELECT count(*) FROM claim WHERE log_id = %(log_id)s;

-- name: wipe_progress
-- First of the wipe: a claim statement locks this row, so one that is under way ends before, and a later one finds
-- nothing to build on.
DELETE FROM progress WHERE log_id = %(log_id)s;

-- name: wipe_claims
-- What the raw log can tell again goes; a claim whose owner retention removed is the only memory of it, and stays.
DELETE FROM claim AS c
WHERE c.log_id = %(log_id)s AND NOT EXISTS (
    SELECT FROM unnest(%(partitions)s::int[], %(starts)s::bigint[]) AS b (partition, log_start)
    WHERE b.partition = c.partition AND c.owner_offset < b.log_start
);

-- name: wipe_counts
-- Duplicates that are still in the log are about to be counted anew.
UPDATE claim SET records = 1 WHERE log_id = %(log_id)s AND records <> 1;

-- name: wipe_conflicts
DELETE FROM conflict AS c
WHERE c.log_id = %(log_id)s AND NOT EXISTS (
    SELECT FROM unnest(%(partitions)s::int[], %(starts)s::bigint[]) AS b (partition, log_start)
    WHERE b.partition = c.partition AND c.record_offset < b.log_start
);

-- name: count_expired
SELECT count(*), count(*) FILTER (WHERE c.owner_offset < b.log_start)
FROM claim AS c JOIN unnest(%(partitions)s::int[], %(starts)s::bigint[]) AS b (partition, log_start) USING (partition)
WHERE c.log_id = %(log_id)s AND c.owner_time < %(before)s;

-- name: count_expired_conflicts
SELECT count(*) FROM conflict AS c
JOIN unnest(%(partitions)s::int[], %(starts)s::bigint[]) AS b (partition, log_start) USING (partition)
WHERE c.log_id = %(log_id)s AND c.record_time < %(before)s AND c.record_offset < b.log_start;

-- name: claim_blocks
SELECT pg_relation_size('claim') / current_setting('block_size')::bigint;

-- name: delete_expired
-- One window of the heap's blocks: read once, in order, whatever earlier windows left behind. `owner_offset` below the
-- log's start is what makes it safe; the time is what the operator asked for.
DELETE FROM claim AS c
USING unnest(%(partitions)s::int[], %(starts)s::bigint[]) AS b (partition, log_start)
WHERE c.ctid >= %(first)s::tid AND c.ctid < %(next)s::tid AND c.log_id = %(log_id)s
    AND c.partition = b.partition AND c.owner_offset < b.log_start AND c.owner_time < %(before)s;

-- name: delete_expired_conflicts
WITH expired AS (
    SELECT c.partition, c.record_offset FROM conflict AS c
    JOIN unnest(%(partitions)s::int[], %(starts)s::bigint[]) AS b (partition, log_start) USING (partition)
    WHERE c.log_id = %(log_id)s AND c.record_time < %(before)s AND c.record_offset < b.log_start
    LIMIT %(most)s
)
DELETE FROM conflict AS c USING expired AS e
WHERE c.log_id = %(log_id)s AND c.partition = e.partition AND c.record_offset = e.record_offset;

-- name: claims_in_range
SELECT idempotency_key, owner_offset, content_hash FROM claim
WHERE log_id = %(log_id)s AND partition = %(partition)s
    AND owner_offset >= %(first)s AND owner_offset < %(next)s;

-- name: claims_of_call
-- `ops.kit.claims` puts the keys of the call's events in.
SELECT idempotency_key, partition, owner_offset, owner_time, content_hash, records FROM claim
WHERE log_id = %(log_id)s AND ({of_call})
ORDER BY partition, owner_offset;

-- name: conflicts_of_call
SELECT partition, record_offset FROM conflict
WHERE log_id = %(log_id)s AND ({of_call});

-- name: erase_conflicts_of_call
DELETE FROM conflict
WHERE log_id = %(log_id)s AND ({of_call});

-- name: erase_claims
-- A claim that has counted another record since it was looked at is in use again, and stays.
DELETE FROM claim AS c
USING unnest(%(keys)s::text[], %(records)s::bigint[], %(starts)s::bigint[]) AS e (key, records, log_start)
WHERE c.log_id = %(log_id)s AND c.idempotency_key = e.key AND c.records = e.records AND c.owner_offset < e.log_start;

-- name: note_erasure
INSERT INTO erasure (who, kind, log_name, call_ids, remains_until, claims, conflicts, completed_at)
VALUES (%(who)s, %(kind)s, %(log_name)s, %(call_ids)s, %(until)s, %(claims)s, %(conflicts)s,
    CASE WHEN %(complete)s THEN now() END)
RETURNING erasure_id;

-- name: open_erasures
SELECT erasure_id, who, kind, requested_at, coalesce(call_ids, '{}'), NULLIF(remains_until, 'infinity'),
    coalesce(remains_until > now(), false)
FROM erasure WHERE completed_at IS NULL AND log_name = %(log_name)s ORDER BY erasure_id;

-- name: go_on_erasing
UPDATE erasure SET claims = claims + %(claims)s, conflicts = conflicts + %(conflicts)s,
    call_ids = CASE WHEN %(complete)s THEN NULL ELSE call_ids END,
    completed_at = CASE WHEN %(complete)s THEN now() END
WHERE erasure_id = %(erasure_id)s;

-- name: take_pause
-- Taken only when nobody else has it: the pause is also what keeps two tools apart that work on one group.
INSERT INTO pause AS p (group_name, until, reason)
VALUES (%(group)s, now() + make_interval(secs => %(seconds)s), %(reason)s)
ON CONFLICT (group_name) DO UPDATE SET until = GREATEST(p.until, EXCLUDED.until), reason = EXCLUDED.reason
WHERE p.until <= now() OR p.reason = EXCLUDED.reason
RETURNING true;

-- name: renew_pause
UPDATE pause SET until = GREATEST(until, now() + make_interval(secs => %(seconds)s))
WHERE group_name = %(group)s AND reason = %(reason)s AND until > now() RETURNING true;

-- name: release_pause
DELETE FROM pause WHERE group_name = %(group)s AND reason = %(reason)s;
