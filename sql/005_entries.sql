-- Who owns which SPC, and the CPS URL that the owner has given it.

CREATE TABLE spc_owner (
    spc      text COLLATE "C" PRIMARY KEY CHECK (spc ~ '^([0-9A-Z]{4}|[A-Z]{3}[0-9]{2})$'),
    sp       text COLLATE "C" NOT NULL REFERENCES account,
    since_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX spc_owner_sp ON spc_owner (sp, spc);

-- One sequence for all entries: a version never comes back, not even after a delete.
CREATE SEQUENCE entry_version;

CREATE TABLE cps_entry (
    spc                text COLLATE "C" PRIMARY KEY REFERENCES spc_owner,
    url                text COLLATE "C" NOT NULL CHECK (url LIKE 'https://%' AND length(url) <= 2048),
    version            bigint NOT NULL UNIQUE,
    updated_at         timestamptz NOT NULL DEFAULT now(),
    updated_by         text COLLATE "C" NOT NULL,
    published_sequence bigint -- the publication that first had this version; NULL until then
);
CREATE INDEX cps_entry_unpublished ON cps_entry (spc) WHERE published_sequence IS NULL;

CREATE FUNCTION entry_json(e cps_entry) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('spc', e.spc, 'url', e.url, 'version', e.version,
                             'updatedAt', rfc3339(e.updated_at), 'updatedBy', e.updated_by,
                             'publishedSequence', e.published_sequence)
$$;

CREATE FUNCTION entry_reply(p_outcome text, e cps_entry) RETURNS reply LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (p_outcome, NULL,
            json_build_object('status', 'success', 'spc', e.spc, 'url', e.url, 'version', e.version,
                              'updatedAt', rfc3339(e.updated_at), 'updatedBy', e.updated_by,
                              'publishedSequence', e.published_sequence),
            e.version)::reply;
END $$;

-- RFC 9110 s13.1.1. p_if_match is NULL without the header, else the versions that its strong entity tags
-- name, and '*' for the star; what can never match is left out by the handler.
CREATE FUNCTION if_match_holds(p_if_match text[], p_version bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_if_match IS NULL
        OR (p_version IS NOT NULL AND ('*' = ANY (p_if_match) OR p_version::text = ANY (p_if_match)))
$$;

-- Something has left the list, or come back: the publisher, whichever node it lives on, is told at commit.
-- A new URL needs no NOTIFY: the publisher sees published_sequence NULL (list_pending in
-- 007_publications.sql). NOTIFY makes commits wait for each other, which costs a third of the writes per
-- second where every write does it.
CREATE FUNCTION list_changed() RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('sticps_change', '')
$$;

-- Common start of the three entry functions: NULL outcome when the caller may use this SPC of this account.
-- With p_lock the owner's row stays locked, so that a transfer and a change cannot pass each other.
CREATE FUNCTION entry_refusal(c caller, p_sp text, p_spc text, p_need text) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    r reply := refusal(c, p_sp, p_need);
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_need = 'write' THEN
        PERFORM 1 FROM spc_owner WHERE spc = p_spc AND sp = p_sp FOR UPDATE;
    ELSE
        PERFORM 1 FROM spc_owner WHERE spc = p_spc AND sp = p_sp;
    END IF;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    IF c.sp IS NULL AND NOT EXISTS (SELECT 1 FROM account WHERE sp = p_sp) THEN
        RETURN reply_error('NOT_FOUND', 'there is no such account');
    END IF;
    RETURN reply_error('SPC_NOT_OWNED', 'the account does not own this SPC');
END $$;

CREATE FUNCTION entry_get(p_sid uuid, p_sp text, p_spc text) RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    r reply := entry_refusal(caller_of(p_sid), p_sp, p_spc, 'read');
    e cps_entry;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    SELECT * INTO e FROM cps_entry WHERE spc = p_spc;
    IF NOT FOUND THEN
        RETURN reply_error('NOT_FOUND', 'the SPC has no CPS URL');
    END IF;
    RETURN entry_reply('OK', e);
END $$;

-- p_spc is in its canonical form and p_url has passed the rules of PROTOCOL section 1. The same URL again
-- changes nothing, publishes nothing and leaves no trace.
CREATE FUNCTION entry_put(p_sid uuid, p_address inet, p_sp text, p_spc text, p_url text,
                          p_if_match text[])
RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := entry_refusal(c, p_sp, p_spc, 'write');
    old cps_entry;
    e cps_entry;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    SELECT * INTO old FROM cps_entry WHERE spc = p_spc;
    IF NOT if_match_holds(p_if_match, old.version) THEN
        RETURN reply_error('PRECONDITION_FAILED', 'the entry is not at that version');
    END IF;
    IF old.url = p_url THEN
        RETURN entry_reply('OK', old);
    END IF;
    INSERT INTO cps_entry AS x (spc, url, version, updated_by)
    VALUES (p_spc, p_url, nextval('entry_version'), c.user_id)
    ON CONFLICT (spc) DO UPDATE
       SET url = excluded.url, version = excluded.version, updated_at = now(),
           updated_by = excluded.updated_by, published_sequence = NULL
    RETURNING x.* INTO e;
    PERFORM audit_write(c.user_id, p_address, 'entry.put', p_sp, p_spc,
                        json_build_object('url', p_url, 'was', old.url, 'version', e.version));
    RETURN entry_reply(CASE WHEN old.spc IS NULL THEN 'CREATED' ELSE 'OK' END, e);
END $$;

-- Takes an entry away, whatever the reason: deleted, or its SPC deleted or transferred. False when there
-- was none. The caller holds the lock on the owner's row.
CREATE FUNCTION entry_remove(p_user text, p_address inet, p_sp text, p_spc text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    old cps_entry;
BEGIN
    DELETE FROM cps_entry WHERE spc = p_spc RETURNING * INTO old;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM audit_write(p_user, p_address, 'entry.delete', p_sp, p_spc,
                        json_build_object('was', old.url, 'version', old.version));
    PERFORM list_changed();
    RETURN true;
END $$;

CREATE FUNCTION entry_delete(p_sid uuid, p_address inet, p_sp text, p_spc text, p_if_match text[])
RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := entry_refusal(c, p_sp, p_spc, 'write');
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF NOT if_match_holds(p_if_match, (SELECT version FROM cps_entry WHERE spc = p_spc)) THEN
        RETURN reply_error('PRECONDITION_FAILED', 'the entry is not at that version');
    END IF;
    IF NOT entry_remove(c.user_id, p_address, p_sp, p_spc) THEN
        RETURN reply_error('NOT_FOUND', 'the SPC has no CPS URL');
    END IF;
    RETURN ('NO_CONTENT', NULL, NULL, NULL)::reply;
END $$;

-- A page of an account's entries by SPC, after p_after ('' for the first page).
CREATE FUNCTION entry_list(p_sid uuid, p_sp text, p_limit integer, p_after text) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, p_sp, 'read');
    page json;
    last text;
    more boolean;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM account WHERE sp = p_sp) THEN
        RETURN reply_error('NOT_FOUND', 'there is no such account');
    END IF;
    SELECT coalesce(json_agg(entry_json(p.e) ORDER BY p.spc), '[]'), max(p.spc)
      INTO page, last
      FROM (SELECT x AS e, x.spc FROM spc_owner o JOIN cps_entry x ON x.spc = o.spc
             WHERE o.sp = p_sp AND o.spc > p_after ORDER BY o.spc LIMIT p_limit) p;
    more := EXISTS (SELECT 1 FROM spc_owner o JOIN cps_entry x ON x.spc = o.spc
                     WHERE o.sp = p_sp AND o.spc > last);
    IF more THEN
        RETURN ('OK', NULL,
                json_build_object('status', 'success', 'entries', page, 'next', last), NULL)::reply;
    END IF;
    RETURN ('OK', NULL, json_build_object('status', 'success', 'entries', page), NULL)::reply;
END $$;
