-- A database that was put back to an earlier state is not published from: its next list would take a sequence
-- that clients know with other bytes. Each node brings the newest list that it or a witness has seen
-- (server/registry/sequence_floor.h); only an operator's word passes over the numbers that are lost.

ALTER TABLE list_state ADD raised_to bigint NOT NULL DEFAULT 0; -- by the last such word; 0: there was none

-- Has this database that list? NULL when it has, or when the sequence was raised past it since; BEHIND when it has
-- not come so far; DIFFERENT when it has another list under that number, or none. `last` is where it stands.
CREATE FUNCTION sequence_check(p_kind text, p_sequence bigint, p_sha256 text, OUT verdict text, OUT last bigint)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    raised bigint;
BEGIN
    SELECT s.sequence, s.raised_to INTO STRICT last, raised FROM list_state s WHERE s.kind = p_kind;
    IF last < p_sequence THEN
        verdict := 'BEHIND';
    ELSIF raised < p_sequence AND NOT EXISTS (SELECT 1 FROM publication p WHERE p.kind = p_kind
                                                 AND p.sequence = p_sequence AND p.sha256 = p_sha256) THEN
        verdict := 'DIFFERENT';
    END IF;
END $$;

-- The next publication of that kind will be p_to + 1. Upwards only; NULL, and nothing done, when the sequence is
-- there already. Returns where it was. `sticps-registryd sequence raise` calls it, as the owner.
CREATE FUNCTION sequence_raise(p_user text, p_kind text, p_to bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    was bigint;
BEGIN
    SELECT sequence INTO STRICT was FROM list_state WHERE kind = p_kind FOR UPDATE;
    IF p_to <= was THEN
        RETURN NULL;
    END IF;
    UPDATE list_state SET sequence = p_to, raised_to = p_to WHERE kind = p_kind;
    PERFORM audit_write(p_user, NULL, 'sequence.raise', NULL, NULL,
                        json_build_object('list', p_kind, 'from', was, 'to', p_to));
    PERFORM pg_notify('sticps_publish', '');
    RETURN was;
END $$;

INSERT INTO permission VALUES ('sticps_publishing', 'EXECUTE', 'sequence_check');
