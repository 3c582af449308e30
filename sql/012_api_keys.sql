-- API keys: machines act for an account, or for the STI-PA, without signing in.
--
-- Of a key only the SHA-256 of its text is kept. The text holds 256 random bits, so there is nothing to
-- guess and no reason for a slow hash: scrypt protects what people choose.
--
-- A key has scopes, and each is one of the rights that refusal() below knows. What no scope names, users and
-- keys, accounts and ownership, no key can do.
--
--   read     the entries of its account            write  changes them, also in bulk
--   history  the audit trail and the ownership of SPCs, as far as its account may see them; the
--            publications, for a key of the STI-PA
--   publish  publishes now; only for a key of the STI-PA

CREATE TABLE api_key (
    id           text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[0-9a-f]{12}$'), -- public: in the key, in lists, in audits
    caller       uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),             -- p_sid of its requests
    hash         bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    sp           text COLLATE "C" REFERENCES account,                        -- NULL: the STI-PA's
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    scopes       text[] NOT NULL CHECK (cardinality(scopes) > 0),
    addresses    cidr[] NOT NULL,                                            -- none: from everywhere
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text COLLATE "C" NOT NULL,
    expires_at   timestamptz,                                                -- NULL: never
    last_used_at timestamptz,                                                -- to ten minutes
    CHECK (scopes <@ CASE WHEN sp IS NULL THEN ARRAY['history', 'publish']
                          ELSE ARRAY['read', 'write', 'history'] END)
);
CREATE INDEX api_key_sp ON api_key (sp);

-- ---- who calls ----

ALTER TYPE caller ADD ATTRIBUTE scopes text[]; -- of a key, whose role is 'key'; NULL for a user

-- In place of a key's caller when it is used from an address that is not on its list: caller_of knows what it
-- means. No random UUID looks like it.
CREATE FUNCTION caller_elsewhere() RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT '00000000-0000-0000-0000-000000000001'::uuid
$$;

-- Whose request it is, for credentials that are no session's id: 'key', the SHA-256 of the key and the
-- address of the peer, separated by a space. NULL for a key that is not, or is no longer, one. It is called
-- in the statement that calls the request's function, so that a key that was revoked is refused at once.
CREATE FUNCTION caller_id(p_credential text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    k api_key;
BEGIN
    IF split_part(p_credential, ' ', 1) <> 'key' THEN
        RETURN NULL;
    END IF;
    SELECT * INTO k FROM api_key
     WHERE hash = split_part(p_credential, ' ', 2)::bytea AND (expires_at IS NULL OR expires_at > now());
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF cardinality(k.addresses) > 0 AND NOT split_part(p_credential, ' ', 3)::inet <<= ANY (k.addresses) THEN
        RETURN caller_elsewhere();
    END IF;
    IF k.last_used_at IS NULL OR k.last_used_at < now() - interval '10 minutes' THEN
        -- Nobody waits for the row: whoever holds it notes the same, or revokes the key.
        UPDATE api_key SET last_used_at = now()
         WHERE id = (SELECT id FROM api_key WHERE id = k.id AND last_used_at IS NOT DISTINCT FROM k.last_used_at
                        FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN k.caller;
END $$;

-- In place of the one in 003_sessions.sql: a session, or a key.
CREATE OR REPLACE FUNCTION caller_of(p_sid uuid) RETURNS caller LANGUAGE plpgsql STABLE AS $$
DECLARE
    c caller;
BEGIN
    SELECT u.user_id, u.role, u.sp, coalesce(a.state = 'suspended', false) INTO c
      FROM session s
      JOIN account_user u ON u.user_id = s.user_id
      LEFT JOIN account a ON a.sp = u.sp
     WHERE s.sid = p_sid AND s.expires_at > now();
    IF FOUND THEN
        RETURN c;
    END IF;
    IF p_sid = caller_elsewhere() THEN
        c.user_id := 'key';
        c.role := 'elsewhere';
        RETURN c;
    END IF;
    -- No user id has a colon.
    SELECT 'key:' || k.id, 'key', k.sp, coalesce(a.state = 'suspended', false), k.scopes INTO c
      FROM api_key k
      LEFT JOIN account a ON a.sp = k.sp
     WHERE k.caller = p_sid AND (k.expires_at IS NULL OR k.expires_at > now());
    RETURN c;
END $$;

-- Is there anybody who may act at all? NULL outcome: yes.
CREATE FUNCTION caller_refusal(c caller) RETURNS reply LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF c.user_id IS NULL THEN
        RETURN reply_error('UNAUTHENTICATED', 'the session is over; sign in again');
    END IF;
    IF c.role = 'elsewhere' THEN
        RETURN reply_error('ADDRESS_NOT_ALLOWED', 'the key must not be used from this address');
    END IF;
    IF c.suspended THEN
        RETURN reply_error('ACCOUNT_SUSPENDED', 'the account is suspended');
    END IF;
    RETURN NULL;
END $$;

-- In place of the one in 003_sessions.sql. NULL outcome: go ahead. p_need is
--
--   'read', 'write'         the entries of account p_sp
--   'history'               what has happened to p_sp; with NULL, to everybody
--   'users', 'keys'         changes the users and keys of p_sp, with NULL of the STI-PA; looks at the keys
--   'publish'               the list
--   'pa-read', 'pa-write'   accounts and ownership, which are the STI-PA's alone
--
-- This is the whole table of who may do what.
CREATE OR REPLACE FUNCTION refusal(c caller, p_sp text, p_need text) RETURNS reply LANGUAGE plpgsql STABLE AS $$
DECLARE
    r reply := caller_refusal(c);
    allowed boolean;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    allowed := CASE c.role
        WHEN 'pa-admin' THEN true
        WHEN 'pa-auditor' THEN p_need IN ('read', 'history', 'keys', 'pa-read')
        WHEN 'sp-admin' THEN p_need IN ('read', 'write', 'history', 'keys', 'users') AND c.sp = p_sp
        WHEN 'sp-viewer' THEN p_need IN ('read', 'history', 'keys') AND c.sp = p_sp
        WHEN 'key' THEN p_need = ANY (c.scopes) AND c.sp IS NOT DISTINCT FROM p_sp
        ELSE false
    END;
    IF allowed THEN
        RETURN NULL;
    END IF;
    IF c.sp IS NOT NULL AND c.sp <> p_sp AND p_need NOT IN ('pa-read', 'pa-write') THEN
        RETURN reply_error('FORBIDDEN', 'this is not your account');
    END IF;
    IF c.role <> 'key' THEN
        RETURN reply_error('FORBIDDEN', format('the role %s does not allow this', c.role));
    END IF;
    IF c.sp IS NOT DISTINCT FROM p_sp AND p_need IN ('read', 'write', 'history', 'publish') THEN
        RETURN reply_error('SCOPE_MISSING', format('the key does not have the scope %s', p_need));
    END IF;
    RETURN reply_error('FORBIDDEN', format('no API key of %s may do this; sign in',
                                           coalesce('the account ' || c.sp, 'the STI-PA')));
END $$;

-- In place of the one in 003_sessions.sql: a key from elsewhere or of a suspended account reads no list.
CREATE OR REPLACE FUNCTION session_check(p_sid uuid) RETURNS reply LANGUAGE plpgsql STABLE AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := caller_refusal(c);
BEGIN
    IF r.outcome IS NOT NULL AND (c.user_id IS NULL OR c.role IN ('key', 'elsewhere')) THEN
        RETURN r;
    END IF;
    RETURN ('OK', NULL, json_build_object('status', 'success'), NULL)::reply;
END $$;

-- In place of the one in 003_sessions.sql: a key has no session that could end.
CREATE OR REPLACE FUNCTION session_end(p_sid uuid, p_address inet) RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply;
BEGIN
    IF c.role IN ('key', 'elsewhere') THEN
        r := caller_refusal(c);
        RETURN CASE WHEN r.outcome IS NOT NULL THEN r
                    ELSE reply_error('FORBIDDEN', 'a key has no session; revoke it to end it') END;
    END IF;
    DELETE FROM session WHERE sid = p_sid;
    IF c.user_id IS NULL OR NOT FOUND THEN
        RETURN reply_error('UNAUTHENTICATED', 'the session is over; sign in again');
    END IF;
    PERFORM audit_write(c.user_id, p_address, 'session.logout', c.sp, NULL, NULL);
    RETURN ('OK', NULL, json_build_object('status', 'success'), NULL)::reply;
END $$;

-- ---- what has a need of its own now; nothing else is changed in these ----

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
        EXIT WHEN FOUND; -- not when it was deleted in between
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

CREATE OR REPLACE FUNCTION user_delete(p_sid uuid, p_address inet, p_sp text, p_user text) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, p_sp, 'users');
    v_role text;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_sp IS NULL AND is_last_admin(p_user) THEN
        RETURN reply_error('LAST_ADMIN', 'the last administrator of the STI-PA cannot be deleted');
    END IF;
    DELETE FROM account_user WHERE user_id = p_user AND sp IS NOT DISTINCT FROM p_sp
    RETURNING role INTO v_role; -- takes the sessions along
    IF NOT FOUND THEN
        RETURN reply_error('NOT_FOUND', 'there is no such user');
    END IF;
    PERFORM audit_write(c.user_id, p_address, 'user.delete', p_sp, NULL,
                        json_build_object('userId', p_user, 'role', v_role));
    RETURN ('NO_CONTENT', NULL, NULL, NULL)::reply;
END $$;

CREATE OR REPLACE FUNCTION audit_list(p_sid uuid, p_limit integer, p_after bigint) RETURNS reply
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, c.sp, 'history');
    page json;
    last bigint;
    more boolean;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    SELECT coalesce(json_agg(json_build_object(
               'id', a.id, 'at', rfc3339(a.at), 'userId', a.user_id, 'address', host(a.address),
               'action', a.action, 'sp', a.sp, 'spc', a.spc, 'detail', a.detail) ORDER BY a.id DESC), '[]'),
           min(a.id)
      INTO page, last
      FROM (SELECT * FROM audit
             WHERE (c.sp IS NULL OR sp = c.sp) AND (p_after IS NULL OR id < p_after)
             ORDER BY id DESC LIMIT p_limit) a;
    more := EXISTS (SELECT 1 FROM audit WHERE (c.sp IS NULL OR sp = c.sp) AND id < last);
    IF more THEN
        RETURN ('OK', NULL, json_build_object('status', 'success', 'events', page, 'next', last::text),
                NULL)::reply;
    END IF;
    RETURN ('OK', NULL, json_build_object('status', 'success', 'events', page), NULL)::reply;
END $$;

CREATE OR REPLACE FUNCTION publication_request(p_sid uuid, p_address inet) RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, NULL, 'publish');
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

CREATE OR REPLACE FUNCTION publication_list(p_sid uuid, p_limit integer, p_after bigint) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    r reply := refusal(caller_of(p_sid), NULL, 'history');
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

-- ---- the keys themselves ----

CREATE FUNCTION key_json(k api_key) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('id', k.id, 'sp', k.sp, 'name', k.name, 'scopes', k.scopes,
                             'addresses', ARRAY(SELECT a::text FROM unnest(k.addresses) a),
                             'createdAt', rfc3339(k.created_at), 'createdBy', k.created_by,
                             'expiresAt', rfc3339(k.expires_at), 'lastUsedAt', rfc3339(k.last_used_at))
$$;

-- A key of account p_sp, or of the STI-PA when p_sp is NULL. The handler has made it and shows it; p_hash is
-- all that comes here. p_expires is in seconds, NULL for never. Expired keys count until they are revoked.
CREATE FUNCTION key_create(p_sid uuid, p_address inet, p_sp text, p_id text, p_hash bytea, p_name text,
                           p_scopes text[], p_addresses cidr[], p_expires integer)
RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    most constant integer := 50;
    c caller := caller_of(p_sid);
    r reply := refusal(c, p_sp, 'users');
    k api_key;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_sp IS NOT NULL AND NOT EXISTS (SELECT 1 FROM account WHERE sp = p_sp) THEN
        RETURN reply_error('NOT_FOUND', 'there is no such account');
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('api_key ' || coalesce(p_sp, ''), 0));
    IF (SELECT count(*) FROM api_key WHERE sp IS NOT DISTINCT FROM p_sp) >= most THEN
        RETURN reply_error('TOO_MANY_KEYS', format('there are %s keys, expired ones among them; revoke one first',
                                                   most));
    END IF;
    INSERT INTO api_key (id, hash, sp, name, scopes, addresses, created_by, expires_at)
    VALUES (p_id, p_hash, p_sp, p_name, p_scopes, p_addresses, c.user_id,
            now() + make_interval(secs => p_expires))
    RETURNING * INTO k;
    PERFORM audit_write(c.user_id, p_address, 'key.create', p_sp, NULL, json_build_object(
        'id', k.id, 'name', k.name, 'scopes', k.scopes,
        'addresses', ARRAY(SELECT a::text FROM unnest(k.addresses) a), 'expiresAt', rfc3339(k.expires_at)));
    RETURN ('CREATED', NULL, to_json(jsonb_build_object('status', 'success') || key_json(k)::jsonb), NULL)::reply;
END $$;

CREATE FUNCTION key_list(p_sid uuid, p_sp text) RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    r reply := refusal(caller_of(p_sid), p_sp, 'keys');
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF p_sp IS NOT NULL AND NOT EXISTS (SELECT 1 FROM account WHERE sp = p_sp) THEN
        RETURN reply_error('NOT_FOUND', 'there is no such account');
    END IF;
    RETURN ('OK', NULL, json_build_object('status', 'success', 'keys',
        (SELECT coalesce(json_agg(key_json(k) ORDER BY k.created_at, k.id), '[]')
           FROM api_key k WHERE k.sp IS NOT DISTINCT FROM p_sp)), NULL)::reply;
END $$;

CREATE FUNCTION key_revoke(p_sid uuid, p_address inet, p_sp text, p_id text) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, p_sp, 'users');
    k api_key;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    DELETE FROM api_key WHERE id = p_id AND sp IS NOT DISTINCT FROM p_sp RETURNING * INTO k;
    IF NOT FOUND THEN
        RETURN reply_error('NOT_FOUND', 'there is no such key');
    END IF;
    PERFORM audit_write(c.user_id, p_address, 'key.revoke', p_sp, NULL,
                        json_build_object('id', k.id, 'name', k.name));
    RETURN ('NO_CONTENT', NULL, NULL, NULL)::reply;
END $$;
