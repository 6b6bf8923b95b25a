-- Orders, certificates, and the chained log of what happened to them. Nothing here is ever changed or removed.

CREATE TABLE issuing.orders (
    id uuid PRIMARY KEY,
    orderer text NOT NULL,
    idempotency_key text NOT NULL,
    profile text NOT NULL CHECK (
        profile IN ('authentication', 'signing', 'status-responder', 'time-stamping')),
    -- Either a member or a service of the site's own; classes and codes hold no '/'.
    member_class text,
    member_code text,
    member_name text,
    server text,
    service text,
    owner text NOT NULL GENERATED ALWAYS AS (
        coalesce('service ' || service, 'member ' || member_class || '/' || member_code)) STORED,
    request bytea NOT NULL,
    key_digest bytea NOT NULL CHECK (length(key_digest) = 32),
    digest bytea NOT NULL CHECK (length(digest) = 32),
    UNIQUE (orderer, idempotency_key),
    UNIQUE (id, key_digest, owner, profile),
    UNIQUE (id, server),
    CHECK ((profile = 'authentication') = (server IS NOT NULL)),
    CHECK ((profile IN ('status-responder', 'time-stamping')) = (service IS NOT NULL)),
    CHECK (num_nonnulls(member_class, member_code, member_name) = CASE WHEN service IS NULL THEN 3 ELSE 0 END)
);

-- A key belongs to one owner and one profile for ever.
CREATE TABLE issuing.keys (
    digest bytea PRIMARY KEY,
    owner text NOT NULL,
    profile text NOT NULL,
    UNIQUE (digest, owner, profile)
);

-- A serial number is written down before anything is signed under it, and is never used again.
CREATE TABLE issuing.intents (
    serial text PRIMARY KEY CHECK (serial ~ '^[0-9a-f]{40}$'),
    order_id uuid NOT NULL REFERENCES issuing.orders,
    attempt integer NOT NULL CHECK (attempt > 0),
    worker integer NOT NULL,
    UNIQUE (order_id, attempt),
    UNIQUE (serial, order_id)
);

CREATE TABLE issuing.certificates (
    serial text PRIMARY KEY,
    order_id uuid NOT NULL UNIQUE,
    certificate bytea NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    -- The issuing key's identifier: authorities follow one another.
    issuer bytea NOT NULL,
    key_digest bytea NOT NULL,
    owner text NOT NULL,
    profile text NOT NULL,
    server text,
    CHECK ((profile = 'authentication') = (server IS NOT NULL)),
    FOREIGN KEY (order_id, server) REFERENCES issuing.orders (id, server),
    FOREIGN KEY (serial, order_id) REFERENCES issuing.intents (serial, order_id),
    FOREIGN KEY (order_id, key_digest, owner, profile)
        REFERENCES issuing.orders (id, key_digest, owner, profile),
    FOREIGN KEY (key_digest, owner, profile) REFERENCES issuing.keys (digest, owner, profile)
);
-- Which end soon, and have none of the same owner, profile and server after them.
CREATE INDEX ON issuing.certificates (owner, profile, server, not_before DESC) INCLUDE (not_after, serial);

CREATE TABLE issuing.events (
    sequence bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN (
        'placed', 'approved', 'refused', 'intended', 'issued', 'lint-refused', 'abandoned', 'revoked')),
    order_id uuid NOT NULL REFERENCES issuing.orders,
    serial text REFERENCES issuing.intents,
    actor text NOT NULL CHECK (actor !~ '\n'),
    facts text NOT NULL CHECK (facts !~ '\n'),
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    CHECK ((serial IS NULL) = (kind IN ('placed', 'approved', 'refused')))
);
CREATE INDEX ON issuing.events (order_id, sequence);
-- What happens once happens once, whoever asks at the same time.
CREATE UNIQUE INDEX ON issuing.events (order_id) WHERE kind = 'placed';
CREATE UNIQUE INDEX ON issuing.events (order_id) WHERE kind IN ('approved', 'refused');
CREATE UNIQUE INDEX ON issuing.events (order_id) WHERE kind = 'issued';
CREATE UNIQUE INDEX ON issuing.events (serial) WHERE kind = 'intended';
CREATE UNIQUE INDEX ON issuing.events (serial) WHERE kind IN ('issued', 'lint-refused', 'abandoned');
CREATE UNIQUE INDEX ON issuing.events (serial) WHERE kind = 'revoked';

-- The end of the chain: one row. Its lock puts all writers in one line.
CREATE TABLE issuing.chain (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    sequence bigint NOT NULL,
    hash bytea NOT NULL
);
INSERT INTO issuing.chain (sequence, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

CREATE SEQUENCE issuing.workers AS integer CYCLE;

-- The link is made here, whatever the writer sends: number, time, the hash before, and the hash over all of it,
-- a line each. trust_services.issuing.chain computes the same.
CREATE FUNCTION issuing.link() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head issuing.chain;
BEGIN
    SELECT * INTO STRICT head FROM issuing.chain FOR UPDATE;
    NEW.sequence := head.sequence + 1;
    NEW.at := clock_timestamp();
    NEW.previous := head.hash;
    NEW.hash := sha256(head.hash || convert_to(concat_ws(E'\n',
        NEW.sequence,
        to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
        NEW.kind,
        NEW.order_id,
        coalesce(NEW.serial, ''),
        NEW.actor,
        NEW.facts), 'UTF8'));
    UPDATE issuing.chain SET sequence = NEW.sequence, hash = NEW.hash;
    RETURN NEW;
END $$;
CREATE TRIGGER link BEFORE INSERT ON issuing.events FOR EACH ROW EXECUTE FUNCTION issuing.link();
ALTER TABLE issuing.events ENABLE ALWAYS TRIGGER link;

-- Taken first by whoever will write: one at a time, so that nobody waits for a lock that waits for this one.
CREATE FUNCTION issuing.hold_chain() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM issuing.chain FOR UPDATE;
END $$;

CREATE FUNCTION issuing.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the record is only added to: % of %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['orders', 'keys', 'intents', 'certificates', 'events'] LOOP
        EXECUTE format('CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON issuing.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION issuing.refuse_change()', name);
        EXECUTE format('ALTER TABLE issuing.%I ENABLE ALWAYS TRIGGER only_added_to', name);
    END LOOP;
    CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON issuing.chain
        FOR EACH STATEMENT EXECUTE FUNCTION issuing.refuse_change();
    ALTER TABLE issuing.chain ENABLE ALWAYS TRIGGER never_removed;
END $$;

-- What was intended and came to no end yet: somebody is at it, or died over it.
CREATE VIEW issuing.open_intents AS
SELECT serial, order_id, worker FROM issuing.intents
WHERE NOT EXISTS (
    SELECT FROM issuing.events
    WHERE events.serial = intents.serial AND events.kind IN ('issued', 'lint-refused', 'abandoned'));

-- Where an order stands follows from the last thing that happened to it.
CREATE VIEW issuing.order_states AS
SELECT
    orders.id,
    CASE last.kind
        WHEN 'placed' THEN 'waiting'
        WHEN 'refused' THEN 'refused'
        WHEN 'lint-refused' THEN 'refused'
        WHEN 'issued' THEN 'issued'
        WHEN 'revoked' THEN 'issued'
        ELSE 'approved'
    END AS state,
    CASE WHEN last.kind IN ('refused', 'lint-refused') THEN last.facts::jsonb ->> 'reason' END AS reason
FROM issuing.orders
CROSS JOIN LATERAL (
    SELECT kind, facts FROM issuing.events WHERE order_id = orders.id ORDER BY sequence DESC LIMIT 1
) AS last;
