-- Provisioning in bulk: an account's whole mapping in one request, and whole out again.
--
-- Everything here works on sets, never row by row: 25,000 entries are one statement each for what goes, what
-- comes and its audit rows.

-- What entry_put_all does once the caller is known. A function of its own for its settings, which must not
-- reach the plans that other functions keep: the plans depend on how long the arrays are, so they are made
-- anew each time; and while autovacuum still believes that the table is empty, a nested loop would
-- compare each of 25,000 with each of 25,000.
--
-- SPC_NOT_OWNED has the places (from 1) of these SPCs in p_spcs as its body.
CREATE FUNCTION entry_set_all(p_user text, p_address inet, p_sp text, p_spcs text[], p_urls text[],
                              p_dry_run boolean)
RETURNS reply LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan SET enable_nestloop = off SET jit = off AS $$
DECLARE
    owned text[];
    strangers json;
    created bigint;
    changed bigint;
    unchanged bigint;
    deleted bigint;
BEGIN
    -- First the owner's rows, then the entries, each in the order of the SPCs: whoever locks several does it
    -- in this order (list_mark below), so nobody waits for each other. What is not locked here was given to
    -- the account after this request, which then says nothing about it. No join where rows are locked: each
    -- row that somebody changed meanwhile would run it again.
    SELECT coalesce(array_agg(o.spc), '{}') INTO owned
      FROM (SELECT spc FROM spc_owner WHERE sp = p_sp ORDER BY spc FOR UPDATE) o;
    PERFORM 1 FROM cps_entry e WHERE e.spc = ANY (owned) ORDER BY e.spc FOR UPDATE;

    SELECT json_agg(w.place ORDER BY w.place) INTO strangers
      FROM unnest(p_spcs) WITH ORDINALITY AS w (spc, place)
     WHERE NOT EXISTS (SELECT 1 FROM unnest(owned) AS o (spc) WHERE o.spc = w.spc);
    IF strangers IS NOT NULL THEN
        RETURN ('SPC_NOT_OWNED', format('the account does not own %s of these SPCs; nothing was changed',
                                        json_array_length(strangers)), strangers, NULL)::reply;
    END IF;

    SELECT count(*) FILTER (WHERE e.spc IS NULL), count(*) FILTER (WHERE e.url <> w.url),
           count(*) FILTER (WHERE e.url = w.url)
      INTO created, changed, unchanged
      FROM unnest(p_spcs, p_urls) AS w (spc, url) LEFT JOIN cps_entry e ON e.spc = w.spc;
    SELECT count(*) - changed - unchanged INTO deleted
      FROM cps_entry e JOIN unnest(owned) AS o (spc) ON o.spc = e.spc;

    IF deleted > 0 AND NOT p_dry_run THEN
        WITH gone AS (
            DELETE FROM cps_entry e USING unnest(owned) AS o (spc)
             WHERE e.spc = o.spc
               AND NOT EXISTS (SELECT 1 FROM unnest(p_spcs) AS w (spc) WHERE w.spc = e.spc)
            RETURNING e.spc, e.url, e.version)
        INSERT INTO audit (user_id, address, action, sp, spc, detail)
        SELECT p_user, p_address, 'entry.delete', p_sp, g.spc,
               json_build_object('was', g.url, 'version', g.version)
          FROM gone g ORDER BY g.spc;
        PERFORM list_changed();
    END IF;
    IF created + changed > 0 AND NOT p_dry_run THEN
        WITH wanted AS MATERIALIZED (
            SELECT w.spc, w.url, e.url AS was
              FROM unnest(p_spcs, p_urls) AS w (spc, url) LEFT JOIN cps_entry e ON e.spc = w.spc
             WHERE e.url IS DISTINCT FROM w.url ORDER BY w.spc),
        put AS (
            INSERT INTO cps_entry AS x (spc, url, version, updated_by)
            SELECT w.spc, w.url, nextval('entry_version'), p_user FROM wanted w
            ON CONFLICT (spc) DO UPDATE
               SET url = excluded.url, version = excluded.version, updated_at = now(),
                   updated_by = excluded.updated_by, published_sequence = NULL
            RETURNING x.spc, x.url, x.version)
        INSERT INTO audit (user_id, address, action, sp, spc, detail)
        SELECT p_user, p_address, 'entry.put', p_sp, p.spc,
               json_build_object('url', p.url, 'was', w.was, 'version', p.version)
          FROM put p JOIN wanted w ON w.spc = p.spc ORDER BY p.spc;
    END IF;
    RETURN ('OK', NULL, json_build_object('status', 'success', 'created', created, 'changed', changed,
                                          'deleted', deleted, 'unchanged', unchanged,
                                          'dryRun', p_dry_run), NULL)::reply;
END $$;

-- Sets the whole mapping of an account, all or nothing. The arrays go in parallel; every SPC is in its
-- canonical form and there once, every URL has passed the rules of PROTOCOL section 1. Entries that stand
-- as wanted are not touched. Every change has the audit row that entry_put or entry_delete would have
-- written. With p_dry_run the same checks under the same locks, and the answer, but no change.
CREATE FUNCTION entry_put_all(p_sid uuid, p_address inet, p_sp text, p_spcs text[], p_urls text[],
                              p_dry_run boolean)
RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, p_sp, 'write');
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM account WHERE sp = p_sp) THEN
        RETURN reply_error('NOT_FOUND', 'there is no such account');
    END IF;
    RETURN entry_set_all(c.user_id, p_address, p_sp, p_spcs, p_urls, p_dry_run);
END $$;

-- In place of the one in 007_publications.sql, which joins the entries to the arrays: after a bulk request that
-- is 25,000 with 25,000, and took minutes while autovacuum still believed that the table is empty. A version
-- is one entry's alone and never comes back, so it says enough: an entry that was changed meanwhile has
-- another, and waits for the next list.
CREATE OR REPLACE FUNCTION list_mark(p_sequence bigint, p_spcs text[], p_versions bigint[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET jit = off AS $$
BEGIN
    PERFORM 1 FROM cps_entry WHERE version = ANY (p_versions) ORDER BY spc FOR NO KEY UPDATE;
    UPDATE cps_entry SET published_sequence = p_sequence WHERE version = ANY (p_versions);
END $$;

-- The whole mapping of an account as one object, p_prefix before every SPC.
CREATE FUNCTION entry_export(p_sid uuid, p_sp text, p_prefix text) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    r reply := refusal(caller_of(p_sid), p_sp, 'read');
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM account WHERE sp = p_sp) THEN
        RETURN reply_error('NOT_FOUND', 'there is no such account');
    END IF;
    RETURN ('OK', NULL,
            (SELECT coalesce(json_object_agg(p_prefix || e.spc, e.url ORDER BY e.spc), '{}')
               FROM spc_owner o JOIN cps_entry e ON e.spc = o.spc WHERE o.sp = p_sp), NULL)::reply;
END $$;
