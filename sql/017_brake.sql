-- The brake: a list that has lost too many entries against the last one is held back until a person confirms
-- that very loss (docs/decisions/34). What is held stands in list_state, so that every node can say so.

ALTER TABLE list_state
    ADD held json,      -- {"list","confirm","lost","of","since","removed"}; NULL: nothing is held
    ADD confirmed text; -- the loss that a person has confirmed; NULL: none

-- The publisher's look (014_list_pending.sql), now a row for each kind, and what is held.
DROP FUNCTION list_pending();
CREATE FUNCTION list_pending()
RETURNS TABLE (kind text, sequence bigint, requested boolean, unpublished boolean,
               held_confirm text, held_lost bigint, held_of bigint)
LANGUAGE sql STABLE AS $$
    SELECT s.kind, s.sequence, s.requested_at IS NOT NULL,
           s.kind = 'cps-list' AND
           EXISTS (SELECT 1 FROM (SELECT spc FROM cps_entry WHERE published_sequence IS NULL
                                   ORDER BY spc OFFSET 0) e
                    WHERE EXISTS (SELECT 1 FROM spc_owner o JOIN account a ON a.sp = o.sp
                                   WHERE o.spc = e.spc AND a.state = 'active' OFFSET 0)),
           s.held->>'confirm', (s.held->>'lost')::bigint, (s.held->>'of')::bigint
      FROM list_state s
$$;

-- The publisher calls the next two under its lock on list_state. p_removed are the first of those lost.
CREATE FUNCTION brake_hold(p_kind text, p_confirm text, p_lost bigint, p_of bigint, p_removed text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before json := (SELECT held FROM list_state WHERE kind = p_kind);
BEGIN
    UPDATE list_state
       SET held = json_build_object('list', p_kind, 'confirm', p_confirm, 'lost', p_lost, 'of', p_of,
                                    'since', coalesce(before->>'since', rfc3339(now())), 'removed', p_removed),
           confirmed = NULL, requested_at = NULL
     WHERE kind = p_kind
       AND (before->>'confirm' IS DISTINCT FROM p_confirm OR confirmed IS NOT NULL OR requested_at IS NOT NULL);
    IF before->>'confirm' IS DISTINCT FROM p_confirm THEN
        PERFORM audit_write('sticps-registryd', NULL, 'publication.hold', NULL, NULL,
                            json_build_object('list', p_kind, 'confirm', p_confirm, 'lost', p_lost, 'of', p_of));
    END IF;
END $$;

-- What was lost has come back, or never was too much.
CREATE FUNCTION brake_release(p_kind text) RETURNS void LANGUAGE sql AS $$
    UPDATE list_state SET held = NULL, confirmed = NULL
     WHERE kind = p_kind AND (held IS NOT NULL OR confirmed IS NOT NULL)
$$;

-- As before; and a publication ends what was held and what was confirmed, unless it is the last content
-- once more because of it.
CREATE OR REPLACE FUNCTION publication_store(p_kind text, p_sequence bigint, p_exp bigint, p_jws text,
                                             p_sha256 text, p_content text, p_entries integer,
                                             p_reason text, p_now bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE list_state
       SET sequence = p_sequence, requested_at = NULL,
           held = CASE WHEN p_reason = 'held' THEN held END,
           confirmed = CASE WHEN p_reason = 'held' THEN confirmed END
     WHERE kind = p_kind AND sequence = p_sequence - 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'sequence % does not follow the last one', p_sequence;
    END IF;
    INSERT INTO publication VALUES (p_kind, p_sequence, p_exp, p_jws, p_sha256, p_content, p_entries,
                                    p_reason, to_timestamp(p_now));
    PERFORM pg_notify('sticps_list', p_sequence::text);
END $$;

-- Publish now (p_confirm NULL), or publish what is held under that name. The request survives a publisher that
-- dies before it hears of it. `sticps-registryd publish` calls it by itself.
CREATE FUNCTION publication_ask(p_user text, p_address inet, p_confirm text) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    s list_state;
BEGIN
    SELECT * INTO s FROM list_state
     WHERE CASE WHEN p_confirm IS NULL THEN kind = 'cps-list' ELSE held->>'confirm' = p_confirm END
       FOR UPDATE;
    IF NOT FOUND THEN
        RETURN reply_error('NOT_HELD', 'no list is held back under this name: either the loss is another one by now, '
                                       'or it was confirmed or undone already; look again and confirm what you see');
    ELSIF p_confirm IS NULL AND s.held IS NOT NULL THEN
        RETURN reply_error('BRAKE_HOLDS', format(
            'the next list would lose %s of %s entries; bring them back, or confirm the loss with {"confirm":"%s"}',
            s.held->>'lost', s.held->>'of', s.held->>'confirm'));
    END IF;
    UPDATE list_state SET requested_at = now(), confirmed = p_confirm WHERE kind = s.kind;
    IF p_confirm IS NULL THEN
        PERFORM audit_write(p_user, p_address, 'publication.request', NULL, NULL,
                            json_build_object('after', s.sequence));
    ELSE
        PERFORM audit_write(p_user, p_address, 'publication.confirm', NULL, NULL,
                            json_build_object('list', s.kind, 'after', s.sequence, 'confirm', p_confirm,
                                              'lost', s.held->'lost', 'of', s.held->'of'));
    END IF;
    PERFORM pg_notify('sticps_publish', '');
    RETURN ('ACCEPTED', NULL, json_build_object(
                'status', 'success', 'message', 'the list is published again within seconds',
                'lastSequence', s.sequence), NULL)::reply;
END $$;

-- A machine may publish; what is to be confirmed is for a person to judge, so no API key does it.
DROP FUNCTION publication_request(uuid, inet);
CREATE FUNCTION publication_request(p_sid uuid, p_address inet, p_confirm text) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, NULL, CASE WHEN p_confirm IS NULL THEN 'publish' ELSE 'pa-write' END);
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    RETURN publication_ask(c.user_id, p_address, p_confirm);
END $$;

-- As before, and what is held.
CREATE OR REPLACE FUNCTION publication_list(p_sid uuid, p_limit integer, p_after bigint) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    r reply := refusal(caller_of(p_sid), NULL, 'history');
    page json;
    held json;
    last bigint;
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
    held := (SELECT coalesce(json_agg(s.held ORDER BY s.kind DESC), '[]') FROM list_state s WHERE s.held IS NOT NULL);
    IF EXISTS (SELECT 1 FROM publication WHERE kind = 'cps-list' AND sequence < last) THEN
        RETURN ('OK', NULL, json_build_object('status', 'success', 'publications', page, 'held', held,
                                              'next', last::text), NULL)::reply;
    END IF;
    RETURN ('OK', NULL, json_build_object('status', 'success', 'publications', page, 'held', held),
            NULL)::reply;
END $$;

INSERT INTO permission
SELECT 'sticps_publishing', 'EXECUTE', unnest(ARRAY['brake_hold', 'brake_release', 'publication_ask']);
