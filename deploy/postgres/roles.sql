-- Who may do what in the database. Run by a superuser (or a role with CREATEROLE that owns the database), connected to
-- the project's database, before the first `ringover-ops migrate` and after each one:
--
--     psql --single-transaction -v ON_ERROR_STOP=1 -f deploy/postgres/roles.sql "$ADMIN_DATABASE_URL"
--
-- Running it again changes nothing. The login roles have no password here and cannot log in until one is set
-- (`\password ringover_processor` in psql), with scram-sha-256 and TLS only: see deploy/README.md.
--
-- | login role         | may                                                                                       |
-- |--------------------|-------------------------------------------------------------------------------------------|
-- | ringover_migrator  | everything in the schema: `ringover-ops migrate`. Owns nothing itself: becomes the owner  |
-- | ringover_processor | read claims, add some, advance progress; change no owner, delete no claim                 |
-- | ringover_operator  | read all; pause, note rewinds and replays; rebuild and compact the claims. No DDL         |
-- | ringover_reader    | read all                                                                                  |
--
-- Rights belong to groups (ringover_owner, _processors, _operators, _readers): a further login gets them by
-- `CREATE ROLE processor_2 LOGIN IN ROLE ringover_processors` and the settings below, which PostgreSQL keeps by login.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['ringover_owner', 'ringover_processors', 'ringover_operators', 'ringover_readers'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
    END LOOP;
    FOREACH name IN ARRAY ARRAY['ringover_migrator', 'ringover_processor', 'ringover_operator', 'ringover_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
    END LOOP;
END $$;

-- The migrator is the owner while it is connected, so what it makes belongs to the group.
GRANT ringover_owner TO ringover_migrator;
ALTER ROLE ringover_migrator SET role = 'ringover_owner';
GRANT ringover_processors TO ringover_processor;
GRANT ringover_operators TO ringover_operator;
GRANT ringover_readers TO ringover_reader;

-- Connections: a processor has PROCESSOR_DATABASE_CONNECTIONS (4) and one that listens; 20 processors fit.
ALTER ROLE ringover_migrator CONNECTION LIMIT 5;
ALTER ROLE ringover_processor CONNECTION LIMIT 100;
ALTER ROLE ringover_operator CONNECTION LIMIT 20;
ALTER ROLE ringover_reader CONNECTION LIMIT 20;

-- A lock that is not had soon is given up: who waits for one makes everybody behind it wait, too.
ALTER ROLE ringover_migrator SET lock_timeout = '2s';
ALTER ROLE ringover_migrator SET idle_in_transaction_session_timeout = '5s';
ALTER ROLE ringover_processor SET statement_timeout = '5s';
ALTER ROLE ringover_processor SET lock_timeout = '2s';
ALTER ROLE ringover_processor SET idle_in_transaction_session_timeout = '5s';
-- `state stats` and `state rebuild --wipe` read or empty the whole table.
ALTER ROLE ringover_operator SET statement_timeout = '15min';
ALTER ROLE ringover_operator SET lock_timeout = '10s';
ALTER ROLE ringover_operator SET idle_in_transaction_session_timeout = '5s';
ALTER ROLE ringover_reader SET statement_timeout = '5min';
ALTER ROLE ringover_reader SET lock_timeout = '2s';
ALTER ROLE ringover_reader SET idle_in_transaction_session_timeout = '5s';
ALTER ROLE ringover_reader SET default_transaction_read_only = on;

DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO ringover_owner, ringover_migrator, ringover_processors, ringover_operators, '
        'ringover_readers', current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO ringover_owner;
GRANT USAGE ON SCHEMA public TO ringover_processors, ringover_operators, ringover_readers;

-- Tables of later migrations can be read at once; what may be written there is added below.
ALTER DEFAULT PRIVILEGES FOR ROLE ringover_owner IN SCHEMA public
    GRANT SELECT ON TABLES TO ringover_operators, ringover_readers;

-- Functions are PUBLIC's by default.
ALTER DEFAULT PRIVILEGES FOR ROLE ringover_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Per table. Tables that are not there yet are passed over: run this file again after `ringover-ops migrate`.
DO $$
DECLARE
    rule record;
BEGIN
    FOR rule IN
        SELECT * FROM (VALUES
            -- Columns where they are enough: a processor cannot change who owns a key.
            ('schema_migration', 'ringover_processors', 'SELECT'),
            ('pause',            'ringover_processors', 'SELECT'),
            ('log',              'ringover_processors', 'SELECT, INSERT, UPDATE (name)'),
            ('progress',         'ringover_processors', 'SELECT, INSERT, UPDATE (next_offset)'),
            ('claim',            'ringover_processors', 'SELECT, INSERT, UPDATE (records)'),
            ('conflict',         'ringover_processors', 'INSERT'),
            ('partition_problem', 'ringover_processors', 'SELECT, INSERT, UPDATE (problem, processor), DELETE'),
            -- state rebuild claims as a processor does, and empties the tables before when it is told to.
            ('log',              'ringover_operators',  'SELECT, INSERT, UPDATE (name)'),
            ('progress',         'ringover_operators',  'SELECT, INSERT, UPDATE (next_offset), DELETE'),
            ('claim',            'ringover_operators',  'SELECT, INSERT, UPDATE (records), DELETE, TRUNCATE'),
            ('conflict',         'ringover_operators',  'SELECT, INSERT, DELETE'),
            ('schema_migration', 'ringover_operators',  'SELECT'),
            ('pause',            'ringover_operators',  'SELECT, INSERT, UPDATE, DELETE'),
            ('rewind',           'ringover_operators',  'SELECT, INSERT, UPDATE (committed_at, outcome)'),
            ('replay',           'ringover_operators',  'SELECT, INSERT, UPDATE (raw_offset), DELETE'),
            ('erasure',          'ringover_operators',  'SELECT, INSERT, UPDATE'),
            ('partition_problem', 'ringover_operators', 'SELECT'),
            ('log',              'ringover_readers',    'SELECT'),
            ('progress',         'ringover_readers',    'SELECT'),
            ('claim',            'ringover_readers',    'SELECT'),
            ('conflict',         'ringover_readers',    'SELECT'),
            ('schema_migration', 'ringover_readers',    'SELECT'),
            ('pause',            'ringover_readers',    'SELECT'),
            ('rewind',           'ringover_readers',    'SELECT'),
            ('replay',           'ringover_readers',    'SELECT'),
            ('erasure',          'ringover_readers',    'SELECT'),
            ('partition_problem', 'ringover_readers',   'SELECT')
        ) AS rules (table_name, role_name, privileges)
        WHERE to_regclass('public.' || table_name) IS NOT NULL
    LOOP
        EXECUTE format('ALTER TABLE public.%I OWNER TO ringover_owner', rule.table_name);
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC', rule.table_name);
        EXECUTE format('GRANT %s ON public.%I TO %I', rule.privileges, rule.table_name, rule.role_name);
    END LOOP;
END $$;
