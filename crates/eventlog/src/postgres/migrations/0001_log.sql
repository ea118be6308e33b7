-- A small key of each stream, for the index that every append asks.
CREATE TABLE stream (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);

-- Positions end below 2^53, so that they are plain JSON numbers.
CREATE TABLE event (
    position bigint PRIMARY KEY CHECK (position BETWEEN 1 AND 9007199254740991),
    stream_id integer NOT NULL REFERENCES stream,
    revision integer NOT NULL CHECK (revision >= 0),
    id uuid NOT NULL,
    type text NOT NULL,
    data bytea NOT NULL,
    metadata bytea NOT NULL,
    UNIQUE (stream_id, revision)
);

-- Sealed words don't compress.
ALTER TABLE event ALTER COLUMN data SET STORAGE EXTERNAL, ALTER COLUMN metadata SET STORAGE EXTERNAL;

-- The advisory lock that every append of this log holds from before it looks until it has committed.
CREATE FUNCTION append_lock() RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT (7824230::bigint << 32) | 'event'::regclass::oid::bigint
$$;

-- A group of appends, of streams that differ, each as far as its own expectation holds.
-- `names` and `expected` (-1: no stream) have an element for each append; the others one for each event:
-- `owners` says of which append (from 1), `revisions` where it goes.
-- `head` is the log's last position before the group, `lasts` each stream's last revision (-1: no stream).
-- An append whose stream was not where it was expected writes nothing.
CREATE PROCEDURE append(
    IN names text[], IN expected bigint[],
    IN owners integer[], IN revisions bigint[],
    IN ids uuid[], IN types text[], IN datas bytea[], IN metadatas bytea[],
    OUT head bigint, OUT lasts bigint[]
)
LANGUAGE plpgsql AS $$
DECLARE
    keys integer[];
BEGIN
    -- In a statement of its own, so that those after it see what the lock's last holder committed.
    PERFORM pg_advisory_xact_lock(append_lock());

    SELECT coalesce(max(position), 0) INTO head FROM event;

    INSERT INTO stream (name)
    SELECT name FROM unnest(names, expected) AS asked (name, last)
    WHERE last = -1 AND NOT EXISTS (SELECT FROM stream WHERE stream.name = asked.name);

    SELECT array_agg(coalesce(stream.id, 0) ORDER BY n),
           array_agg(coalesce((SELECT max(revision) FROM event WHERE stream_id = stream.id), -1) ORDER BY n)
    INTO keys, lasts
    FROM unnest(names) WITH ORDINALITY AS asked (name, n) LEFT JOIN stream ON stream.name = asked.name;

    INSERT INTO event (position, stream_id, revision, id, type, data, metadata)
    SELECT head + row_number() OVER (ORDER BY n), keys[owner], to_be, event_id, event_type, event_data, event_metadata
    FROM unnest(owners, revisions, ids, types, datas, metadatas)
        WITH ORDINALITY AS given (owner, to_be, event_id, event_type, event_data, event_metadata, n)
    WHERE lasts[owner] = expected[owner];

    -- Here, and not when the client's next message comes: it may be paused before that, and holds the lock till then.
    COMMIT;
END
$$;
