-- Which node publishes: whoever holds the one lease. It says nothing of time. The holder raises `beat` about
-- once a second, and a node that has seen the same beat for some seconds of its own monotonic clock takes over
-- (server/registry/lease.c); so no clock that is stepped, of a node or of the database, matters. Nothing here
-- belongs to a session: a paused holder keeps its connection, and loses the lease all the same.

CREATE TABLE publisher_lease (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    term   bigint NOT NULL DEFAULT 0,  -- rises with every take-over: the fencing token
    beat   bigint NOT NULL DEFAULT 0,  -- rises with every renewal
    holder integer NOT NULL DEFAULT 0  -- the process of the server that the holder last spoke with
);
INSERT INTO publisher_lease DEFAULT VALUES;

-- `vacant`: the holder's connection is gone, so nobody has to wait. False says nothing: behind a pooler the
-- connection stays.
CREATE FUNCTION lease_look(OUT term bigint, OUT beat bigint, OUT vacant boolean) LANGUAGE sql STABLE AS $$
    SELECT l.term, l.beat, NOT EXISTS (SELECT 1 FROM pg_stat_get_activity(l.holder)) FROM publisher_lease l
$$;

-- The new term; NULL when the lease has moved since the caller looked at it.
CREATE FUNCTION lease_take(p_term bigint, p_beat bigint) RETURNS bigint LANGUAGE sql AS $$
    UPDATE publisher_lease SET term = term + 1, beat = 0, holder = pg_backend_pid()
     WHERE term = p_term AND beat = p_beat RETURNING term
$$;

-- False when another node has taken over.
CREATE FUNCTION lease_renew(p_term bigint) RETURNS boolean LANGUAGE sql AS $$
    WITH renewed AS (UPDATE publisher_lease SET beat = beat + 1, holder = pg_backend_pid()
                      WHERE term = p_term RETURNING 1)
    SELECT EXISTS (SELECT 1 FROM renewed)
$$;

-- For the transaction of whoever publishes: true means that nobody takes over before it ends, and false that
-- somebody has. A publisher that is paused within it is thrown out soon, because it is in the way.
CREATE FUNCTION lease_hold(p_term bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '3000', true);
    PERFORM 1 FROM publisher_lease WHERE term = p_term FOR SHARE;
    RETURN FOUND;
END $$;

-- ca_replace for the holder of the lease alone.
CREATE FUNCTION ca_take(p_term bigint, p_user text, p_certificates json, OUT added integer, OUT removed integer)
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT lease_hold(p_term) THEN
        RAISE EXCEPTION 'another node publishes now';
    END IF;
    SELECT r.added, r.removed INTO added, removed FROM ca_replace(p_user, p_certificates) r;
END $$;
