-- Publications: signed, numbered, kept for ever. The rules of the sequence live here: it is taken under a
-- lock in the transaction that stores the signed list, so it rises by exactly one and never repeats.

CREATE TABLE publication (
    kind       text NOT NULL CHECK (kind IN ('cps-list', 'ca-list')),
    sequence   bigint NOT NULL CHECK (sequence BETWEEN 1 AND 9007199254740991),
    exp        bigint NOT NULL, -- Unix seconds
    jws        text NOT NULL,
    sha256     text NOT NULL,   -- of the JWS, hex
    content    text NOT NULL,   -- SHA-256 of the mapping alone, hex: has anything changed?
    entries    integer NOT NULL,
    reason     text NOT NULL,   -- first, change, period, request, signer
    created_at timestamptz NOT NULL,
    PRIMARY KEY (kind, sequence)
);
-- A JWS is base64 of text that hardly repeats; trying to compress it costs more than it saves.
ALTER TABLE publication ALTER COLUMN jws SET STORAGE EXTERNAL;

-- One row per kind; whoever publishes holds it locked.
CREATE TABLE list_state (
    kind         text PRIMARY KEY CHECK (kind IN ('cps-list', 'ca-list')),
    sequence     bigint NOT NULL DEFAULT 0, -- the last one stored
    requested_at timestamptz                -- somebody asked to publish now
);
INSERT INTO list_state (kind) VALUES ('cps-list');

-- The publisher's look, several times a second: the last sequence, whether somebody asked to publish now,
-- and whether an entry of the list waits for its first publication.
CREATE FUNCTION list_pending(OUT sequence bigint, OUT requested boolean, OUT unpublished boolean)
LANGUAGE sql STABLE AS $$
    SELECT s.sequence, s.requested_at IS NOT NULL,
           EXISTS (SELECT 1 FROM cps_entry e
                     JOIN spc_owner o ON o.spc = e.spc
                     JOIN account a ON a.sp = o.sp
                    WHERE e.published_sequence IS NULL AND a.state = 'active')
      FROM list_state s WHERE s.kind = 'cps-list'
$$;

-- What the next list will say, in one statement and so in one snapshot. The publisher calls it.
CREATE FUNCTION list_entries()
RETURNS TABLE (spc text, url text, version bigint, needs_mark boolean) LANGUAGE sql STABLE AS $$
    SELECT e.spc, e.url, e.version, e.published_sequence IS NULL
      FROM cps_entry e
      JOIN spc_owner o ON o.spc = e.spc
      JOIN account a ON a.sp = o.sp
     WHERE a.state = 'active'
     ORDER BY e.spc COLLATE "C"
$$;

-- These versions are in publication p_sequence. Only rows still at that version are marked: one that was
-- changed meanwhile waits for the next list.
CREATE FUNCTION list_mark(p_sequence bigint, p_spcs text[], p_versions bigint[]) RETURNS void
LANGUAGE sql AS $$
    WITH published AS (
        SELECT e.spc, e.version FROM cps_entry e
          JOIN unnest(p_spcs, p_versions) AS p (spc, version)
            ON p.spc = e.spc AND p.version = e.version
         ORDER BY e.spc FOR NO KEY UPDATE OF e)
    UPDATE cps_entry e SET published_sequence = p_sequence
      FROM published p WHERE e.spc = p.spc AND e.version = p.version
$$;

-- Stores a signed list. The caller holds the lock on list_state and has signed last sequence + 1; any
-- other number is refused.
CREATE FUNCTION publication_store(p_kind text, p_sequence bigint, p_exp bigint, p_jws text,
                                  p_sha256 text, p_content text, p_entries integer, p_reason text,
                                  p_now bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE list_state SET sequence = p_sequence, requested_at = NULL
     WHERE kind = p_kind AND sequence = p_sequence - 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'sequence % does not follow the last one', p_sequence;
    END IF;
    INSERT INTO publication VALUES (p_kind, p_sequence, p_exp, p_jws, p_sha256, p_content, p_entries,
                                    p_reason, to_timestamp(p_now));
    PERFORM pg_notify('sticps_list', p_sequence::text);
END $$;

-- Publications are what clients were promised: no change, no removal.
CREATE FUNCTION publication_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a publication is never changed or removed';
END $$;
CREATE TRIGGER publication_final BEFORE UPDATE OR DELETE OR TRUNCATE ON publication
    FOR EACH STATEMENT EXECUTE FUNCTION publication_is_final();

-- Publish now: the request survives a publisher that dies before it hears of it.
CREATE FUNCTION publication_request(p_sid uuid, p_address inet) RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, NULL, 'pa-write');
    last bigint;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    UPDATE list_state SET requested_at = now() WHERE kind = 'cps-list' RETURNING sequence INTO last;
    PERFORM audit_write(c.user_id, p_address, 'publication.request', NULL, NULL,
                        json_build_object('after', last));
    PERFORM pg_notify('sticps_publish', '');
    RETURN ('ACCEPTED', NULL, json_build_object(
                'status', 'success', 'message', 'the list is published again within seconds',
                'lastSequence', last), NULL)::reply;
END $$;

-- A page of the history, newest first. p_after is NULL for the first page.
CREATE FUNCTION publication_list(p_sid uuid, p_limit integer, p_after bigint) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    r reply := refusal(caller_of(p_sid), NULL, 'pa-read');
    page json;
    last bigint;
    more boolean;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    SELECT coalesce(json_agg(json_build_object(
               'sequence', p.sequence, 'publishedAt', rfc3339(p.created_at), 'exp', p.exp,
               'entries', p.entries, 'sha256', p.sha256, 'reason', p.reason) ORDER BY p.sequence DESC), '[]'),
           min(p.sequence)
      INTO page, last
      FROM (SELECT * FROM publication
             WHERE kind = 'cps-list' AND (p_after IS NULL OR sequence < p_after)
             ORDER BY sequence DESC LIMIT p_limit) p;
    more := EXISTS (SELECT 1 FROM publication WHERE kind = 'cps-list' AND sequence < last);
    IF more THEN
        RETURN ('OK', NULL, json_build_object('status', 'success', 'publications', page,
                                              'next', last::text), NULL)::reply;
    END IF;
    RETURN ('OK', NULL, json_build_object('status', 'success', 'publications', page), NULL)::reply;
END $$;

-- The certificate chain behind every x5u that was ever signed into a list, so that each node can serve
-- those of the others, and of the past.
CREATE TABLE signer_certificate (
    id         integer PRIMARY KEY CHECK (id >= 1),
    pem        text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The publisher's own. False when another chain stands there under the same id: whoever holds a copy may
-- keep it for a year.
CREATE FUNCTION signer_certificate_store(p_id integer, p_pem text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO signer_certificate (id, pem) VALUES (p_id, p_pem) ON CONFLICT (id) DO NOTHING;
    RETURN (SELECT pem = p_pem FROM signer_certificate WHERE id = p_id);
END $$;

-- What has outlived its use; the publisher calls it now and then.
CREATE FUNCTION housekeeping() RETURNS void LANGUAGE sql AS $$
    DELETE FROM session WHERE expires_at < now();
    DELETE FROM login_failure WHERE last_at < now() - interval '1 hour';
$$;
