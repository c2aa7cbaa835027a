-- Requests to erase what is held of a person. No number is ever kept here; the call ids only until all of it is gone.
CREATE TABLE erasure (
    erasure_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    who text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('call', 'number')),
    requested_at timestamptz NOT NULL DEFAULT now(),
    log_name text NOT NULL,                    -- the raw log whose calls these are
    call_ids text[],                           -- null once nothing is left of them
    remains_until timestamptz,                 -- when retention has removed the rest; infinity: never; null: no rest
    claims bigint NOT NULL DEFAULT 0,          -- rows erased so far
    conflicts bigint NOT NULL DEFAULT 0,
    completed_at timestamptz,
    CHECK (completed_at IS NULL OR call_ids IS NULL)
);
