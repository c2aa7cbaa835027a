-- Partitions that stand still, as their processor tells; for those who look from outside. The owner of a partition that
-- works takes away what an earlier one left.
CREATE TABLE partition_problem (
    group_name text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    problem text NOT NULL,                     -- in words, never a value of a record
    processor text NOT NULL,                   -- who told it last: its client id in Kafka
    PRIMARY KEY (group_name, topic, partition)
);
