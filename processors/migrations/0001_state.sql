-- The state table: what was claimed of each raw log, and how far.

-- A raw log's identity. A topic that was deleted and made again is another log: its offsets mean other records.
CREATE TABLE log (
    log_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);

-- One row per idempotency key: the first valid record of the log with that key owns it.
-- No foreign key to log: its check would cost a lookup for each claim on the hot path.
CREATE TABLE claim (
    log_id smallint NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL, -- schemas.identity.claim_key: ids escaped, so that no two keys collide
    partition integer NOT NULL,
    owner_offset bigint NOT NULL,
    owner_time timestamptz NOT NULL,           -- broker time of the owning record; old claims are removed by it
    content_hash bigint NOT NULL,              -- of the owner's normalized value; another hash later is a conflict
    records bigint NOT NULL,                   -- records of the log with this key; all but one are duplicates
    PRIMARY KEY (log_id, idempotency_key)
) WITH (fillfactor = 90);                      -- room for updates in place: `records` is not indexed

-- Every record of the partition below next_offset has been claimed. Never behind the group's committed offset, unless
-- this database lost commits: then a takeover heals it from the raw log.
CREATE TABLE progress (
    log_id smallint NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (log_id, partition)
) WITH (fillfactor = 10);

-- Duplicates whose normalized content differs from the owner's.
CREATE TABLE conflict (
    log_id smallint NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    record_time timestamptz NOT NULL,
    PRIMARY KEY (log_id, partition, record_offset)
);
