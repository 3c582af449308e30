-- Row rules: what belongs to an account is out of reach of a request of another one, also when the function
-- that serves it forgets to ask (docs/database.md). They bind the owner of the tables too, with whose rights
-- the functions run; only a superuser is above them.
--
-- The rows that a transaction may see and write are those of its scope, the setting sticps.scope: an account,
-- '*' for all, and nothing at all while it is not set. Requests get theirs from caller_of, that is from the
-- credential and never from what the request says. It is set for the transaction alone, so a pooler that
-- gives the connection to the next one hands nothing on. The publisher, `audit verify` and `init` set '*'
-- for their connections.
--
-- Convention for later files. A table with rows of accounts has a column sp, or leads to such a table, and gets
-- its rule here or in its own file; a test looks for it. A new kind of credential is looked up in
-- caller_find, which sees everything; nothing else sets the scope without being named in that test.

-- An entry names its account itself: looking the owner up in each of the checks that a PUT passes took a quarter
-- of its time. The reference keeps the two in step, and no SPC changes hands before its entry is gone.
DROP INDEX spc_owner_sp;
ALTER TABLE spc_owner ADD CONSTRAINT spc_owner_sp UNIQUE (sp, spc);
ALTER TABLE cps_entry ADD COLUMN sp text COLLATE "C";
UPDATE cps_entry e SET sp = o.sp FROM spc_owner o WHERE o.spc = e.spc;
ALTER TABLE cps_entry ALTER COLUMN sp SET NOT NULL, DROP CONSTRAINT cps_entry_spc_fkey,
    ADD CONSTRAINT cps_entry_owner FOREIGN KEY (sp, spc) REFERENCES spc_owner (sp, spc);

ALTER TABLE account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE account_user ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE session ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE refresh_token ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE api_key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE spc_owner ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE spc_period ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE cps_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE audit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- CASE and not OR: the planner then takes half of the rows to be in reach, where it would take OR for next to
-- none, and read a whole trail for one page of it.
CREATE POLICY of_scope ON account USING (
    CASE current_setting('sticps.scope', true) WHEN '*' THEN true ELSE sp = current_setting('sticps.scope', true) END);
CREATE POLICY of_scope ON account_user USING (
    CASE current_setting('sticps.scope', true) WHEN '*' THEN true ELSE sp = current_setting('sticps.scope', true) END);
CREATE POLICY of_scope ON api_key USING (
    CASE current_setting('sticps.scope', true) WHEN '*' THEN true ELSE sp = current_setting('sticps.scope', true) END);
CREATE POLICY of_scope ON audit USING (
    CASE current_setting('sticps.scope', true) WHEN '*' THEN true ELSE sp = current_setting('sticps.scope', true) END);
CREATE POLICY of_scope ON cps_entry USING (
    CASE current_setting('sticps.scope', true) WHEN '*' THEN true ELSE sp = current_setting('sticps.scope', true) END);
CREATE POLICY of_scope ON spc_owner USING (
    CASE current_setting('sticps.scope', true) WHEN '*' THEN true ELSE sp = current_setting('sticps.scope', true) END);
CREATE POLICY of_scope ON spc_period USING (
    CASE current_setting('sticps.scope', true) WHEN '*' THEN true ELSE sp = current_setting('sticps.scope', true) END);
-- These two lead to account_user, whose own rule counts within the subquery.
CREATE POLICY of_scope ON session USING (
    CASE current_setting('sticps.scope', true) WHEN '*' THEN true
         ELSE EXISTS (SELECT 1 FROM account_user u WHERE u.user_id = session.user_id) END);
CREATE POLICY of_scope ON refresh_token USING (
    CASE current_setting('sticps.scope', true) WHEN '*' THEN true
         ELSE EXISTS (SELECT 1 FROM session s WHERE s.sid = refresh_token.sid) END);

-- ---- who sets the scope ----

-- What looks a credential up, and sees every account meanwhile.
ALTER FUNCTION caller_of(uuid) RENAME TO caller_find;

-- Whose request it is; from here on it reaches that account's rows, or all for the STI-PA's. Without a valid
-- credential it reaches none.
CREATE FUNCTION caller_of(p_sid uuid) RETURNS caller LANGUAGE plpgsql AS $$
DECLARE
    c caller;
    scope text := set_config('sticps.scope', '*', true);
BEGIN
    c := caller_find(p_sid);
    scope := set_config('sticps.scope', CASE WHEN c.sp IS NOT NULL THEN c.sp
                                             WHEN c.role IN ('pa-admin', 'pa-auditor', 'key') THEN '*'
                                             ELSE '' END, true);
    RETURN c;
END $$;

-- As caller_of: a key is not known before it was found.
ALTER FUNCTION caller_id(text) RENAME TO caller_id_find;
CREATE FUNCTION caller_id(p_credential text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    id uuid;
BEGIN
    PERFORM set_config('sticps.scope', '*', true);
    id := caller_id_find(p_credential);
    PERFORM set_config('sticps.scope', '', true);
    RETURN id;
END $$;

-- Signing in is about one user id or one refresh token, whose account is known only when it was found.
ALTER FUNCTION login_begin(text, inet) RENAME TO login_begin_find;
CREATE FUNCTION login_begin(p_user text, p_address inet) RETURNS reply LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('sticps.scope', '*', true);
    RETURN login_begin_find(p_user, p_address);
END $$;

ALTER FUNCTION login_finish(text, inet, boolean, text, bytea, integer) RENAME TO login_finish_find;
CREATE FUNCTION login_finish(p_user text, p_address inet, p_verified boolean, p_password text,
                             p_refresh bytea, p_lifetime integer)
RETURNS reply LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('sticps.scope', '*', true);
    RETURN login_finish_find(p_user, p_address, p_verified, p_password, p_refresh, p_lifetime);
END $$;

ALTER FUNCTION session_refresh(bytea, bytea, integer, inet) RENAME TO session_refresh_find;
CREATE FUNCTION session_refresh(p_old bytea, p_new bytea, p_lifetime integer, p_address inet)
RETURNS reply LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('sticps.scope', '*', true);
    RETURN session_refresh_find(p_old, p_new, p_lifetime, p_address);
END $$;

ALTER FUNCTION session_check(uuid) VOLATILE; -- as caller_of is

-- ---- the one question about other accounts ----

-- User ids are everybody's: is this one taken, wherever? Says no more than that.
CREATE FUNCTION user_id_taken(p_user text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    scope text := current_setting('sticps.scope', true);
    taken boolean;
BEGIN
    PERFORM set_config('sticps.scope', '*', true);
    taken := EXISTS (SELECT 1 FROM account_user WHERE user_id = p_user);
    PERFORM set_config('sticps.scope', scope, true);
    RETURN taken;
END $$;

-- In place of the one in 012_api_keys.sql, whose loop would wait for ever for a row that it cannot see.
CREATE OR REPLACE FUNCTION user_put(p_sid uuid, p_address inet, p_sp text, p_user text, p_role text,
                         p_password text)
RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, p_sp, 'users');
    old account_user;
    created boolean;
    body json := json_build_object('status', 'success', 'userId', p_user, 'role', p_role, 'sp', p_sp);
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_sp IS NOT NULL AND NOT EXISTS (SELECT 1 FROM account WHERE sp = p_sp) THEN
        RETURN reply_error('NOT_FOUND', 'there is no such account');
    END IF;
    IF p_sp IS NULL AND p_role <> 'pa-admin' AND is_last_admin(p_user) THEN
        RETURN reply_error('LAST_ADMIN', 'the last administrator of the STI-PA cannot step down');
    END IF;
    LOOP
        INSERT INTO account_user (user_id, role, sp, password) VALUES (p_user, p_role, p_sp, p_password)
        ON CONFLICT (user_id) DO NOTHING;
        created := FOUND;
        EXIT WHEN created;
        SELECT * INTO old FROM account_user WHERE user_id = p_user FOR UPDATE;
        EXIT WHEN FOUND;
        IF user_id_taken(p_user) THEN -- out of the caller's reach
            RETURN reply_error('USER_ID_TAKEN', 'the user id is in use elsewhere');
        END IF;
        -- it was deleted in between
    END LOOP;
    IF NOT created THEN
        IF old.sp IS DISTINCT FROM p_sp THEN
            RETURN reply_error('USER_ID_TAKEN', 'the user id is in use elsewhere');
        END IF;
        UPDATE account_user SET role = p_role, password = p_password, updated_at = now()
         WHERE user_id = p_user;
        DELETE FROM session WHERE user_id = p_user;
    END IF;
    PERFORM audit_write(c.user_id, p_address, CASE WHEN created THEN 'user.create' ELSE 'user.change' END,
                        p_sp, NULL, json_build_object('userId', p_user, 'role', p_role, 'was', old.role));
    RETURN (CASE WHEN created THEN 'CREATED' ELSE 'OK' END, NULL, body, NULL)::reply;
END $$;

-- ---- entries that name their account; nothing else is changed in these ----

CREATE OR REPLACE FUNCTION entry_put(p_sid uuid, p_address inet, p_sp text, p_spc text, p_url text,
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
    INSERT INTO cps_entry AS x (spc, sp, url, version, updated_by)
    VALUES (p_spc, p_sp, p_url, nextval('entry_version'), c.user_id)
    ON CONFLICT (spc) DO UPDATE
       SET url = excluded.url, version = excluded.version, updated_at = now(),
           updated_by = excluded.updated_by, published_sequence = NULL
    RETURNING x.* INTO e;
    PERFORM audit_write(c.user_id, p_address, 'entry.put', p_sp, p_spc,
                        audit_detail(json_build_object('url', p_url, 'was', old.url, 'version', e.version),
                                     c.certificate));
    RETURN entry_reply(CASE WHEN old.spc IS NULL THEN 'CREATED' ELSE 'OK' END, e);
END $$;

CREATE OR REPLACE FUNCTION entry_set_all(p_user text, p_address inet, p_sp text, p_spcs text[], p_urls text[],
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
            INSERT INTO cps_entry AS x (spc, sp, url, version, updated_by)
            SELECT w.spc, p_sp, w.url, nextval('entry_version'), p_user FROM wanted w
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
