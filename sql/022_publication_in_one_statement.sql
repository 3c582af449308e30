-- A publication no longer stands in a transaction while it is made: the publisher reads, signs, and stores with
-- one statement that asks whether the ground is still the same. So a publisher that is paused or cut off holds no
-- lock, whose end would hang on timers of the server, which follow its clock: one that is stepped back makes them
-- an hour late.

-- For the statement that calls it: true means that nobody takes over before it ends, and false that somebody has.
CREATE OR REPLACE FUNCTION lease_hold(p_term bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM publisher_lease WHERE term = p_term FOR SHARE;
    RETURN FOUND;
END $$;

-- Holds the lease and the sequence for the statement that calls it: NULL. Otherwise DEPOSED, another node publishes
-- by now; or MOVED, p_last is no longer where the sequence stands.
CREATE FUNCTION publication_guard(p_term bigint, p_kind text, p_last bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF NOT lease_hold(p_term) THEN
        RETURN 'DEPOSED';
    END IF;
    PERFORM 1 FROM list_state WHERE kind = p_kind AND sequence = p_last FOR UPDATE;
    RETURN CASE WHEN NOT FOUND THEN 'MOVED' END;
END $$;

-- The three ways in which a publication ends. Each returns what publication_guard says; anything but NULL, and
-- nothing was done. p_spcs (may be NULL) at p_versions are marked as published.

-- The list that follows p_last is stored.
CREATE FUNCTION publication_end_stored(p_term bigint, p_kind text, p_last bigint, p_exp bigint, p_jws text,
                                       p_sha256 text, p_content text, p_entries integer, p_reason text,
                                       p_now bigint, p_spcs text[], p_versions bigint[])
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    verdict text := publication_guard(p_term, p_kind, p_last);
BEGIN
    IF verdict IS NULL THEN
        PERFORM publication_store(p_kind, p_last + 1, p_exp, p_jws, p_sha256, p_content, p_entries, p_reason, p_now);
        PERFORM list_mark(p_last + 1, p_spcs, p_versions);
    END IF;
    RETURN verdict;
END $$;

-- It would say what the last one (p_published) says.
CREATE FUNCTION publication_end_unchanged(p_term bigint, p_kind text, p_last bigint, p_published bigint,
                                          p_spcs text[], p_versions bigint[])
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    verdict text := publication_guard(p_term, p_kind, p_last);
BEGIN
    IF verdict IS NULL THEN
        PERFORM brake_release(p_kind);
        PERFORM list_mark(p_published, p_spcs, p_versions);
    END IF;
    RETURN verdict;
END $$;

-- The brake holds it. MOVED, too, when somebody has confirmed this very loss meanwhile.
CREATE FUNCTION publication_end_held(p_term bigint, p_kind text, p_last bigint, p_confirm text, p_lost bigint,
                                     p_of bigint, p_removed text[])
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    verdict text := publication_guard(p_term, p_kind, p_last);
BEGIN
    IF verdict IS NULL AND EXISTS (SELECT 1 FROM list_state WHERE kind = p_kind AND confirmed = p_confirm) THEN
        RETURN 'MOVED';
    ELSIF verdict IS NULL THEN
        PERFORM brake_hold(p_kind, p_confirm, p_lost, p_of, p_removed);
    END IF;
    RETURN verdict;
END $$;

DELETE FROM permission
 WHERE role = 'sticps_publishing'
   AND object IN ('lease_hold', 'publication_store', 'list_mark', 'brake_hold', 'brake_release');
DELETE FROM permission
 WHERE (role, privilege, object) = ('sticps_publishing', 'UPDATE', 'list_state'); -- was for its lock
INSERT INTO permission
SELECT 'sticps_publishing', 'EXECUTE', unnest(ARRAY['publication_end_stored', 'publication_end_unchanged',
                                                    'publication_end_held']);
