-- What operators do: pausing a group, moving its offsets, sending dead letters back.

-- A pause is a lease: when the tool that asked for it dies, it ends by itself and the processors go on.
CREATE TABLE pause (
    group_name text PRIMARY KEY,
    until timestamptz NOT NULL,
    reason text NOT NULL
);

-- Every rewind that was carried out or begun. `before` and `target`: offsets by partition.
CREATE TABLE rewind (
    rewind_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_name text NOT NULL,
    topic text NOT NULL,
    who text NOT NULL,
    arguments text NOT NULL,
    before jsonb NOT NULL,
    target jsonb NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    committed_at timestamptz,                  -- set once the offsets are moved
    outcome text                               -- null while it runs, or when the tool died
);

-- Dead letters that were sent back to the raw topic; each at most once. The place in the raw log is known once Kafka
-- has acknowledged; `raw_end` is where the raw partition ended before, so that a resumed run finds what was sent.
CREATE TABLE replay (
    topic text NOT NULL,
    partition integer NOT NULL,
    dead_letter_offset bigint NOT NULL,
    raw_partition integer NOT NULL,
    raw_end bigint NOT NULL,
    raw_offset bigint,
    who text NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, dead_letter_offset)
);

-- Claims lie in the heap in the order of the log, so block ranges are enough to find a range of offsets or of time, at
-- no cost to claiming.
CREATE INDEX claim_by_place ON claim USING brin (owner_offset, owner_time) WITH (pages_per_range = 32, autosummarize = on);
