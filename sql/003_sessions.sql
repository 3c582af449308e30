-- Sessions. An access token names a session; it is worth as much as the row is. Sign-out deletes the row,
-- so both tokens die on every node at once. Tokens are stored only as SHA-256.

-- The HS256 key of access tokens, made by `sticps-registryd init`.
CREATE TABLE token_key (
    id         integer PRIMARY KEY CHECK (id = 1),
    key        bytea NOT NULL CHECK (length(key) = 32),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE session (
    sid        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id    text COLLATE "C" NOT NULL REFERENCES account_user ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX session_user_id ON session (user_id);
CREATE INDEX session_expires_at ON session (expires_at);

-- Every refresh token of a session, used ones too: using one twice means that somebody else holds a copy.
CREATE TABLE refresh_token (
    hash    bytea PRIMARY KEY CHECK (length(hash) = 32),
    sid     uuid NOT NULL REFERENCES session ON DELETE CASCADE,
    used_at timestamptz
);
CREATE INDEX refresh_token_sid ON refresh_token (sid);

CREATE TYPE caller AS (user_id text, role text, sp text, suspended boolean);

-- Who holds this session now: role and account are read at every request, never taken from the token.
-- All NULL when the session is over.
CREATE FUNCTION caller_of(p_sid uuid) RETURNS caller LANGUAGE plpgsql STABLE AS $$
DECLARE
    c caller;
BEGIN
    SELECT u.user_id, u.role, u.sp, coalesce(a.state = 'suspended', false) INTO c
      FROM session s
      JOIN account_user u ON u.user_id = s.user_id
      LEFT JOIN account a ON a.sp = u.sp
     WHERE s.sid = p_sid AND s.expires_at > now();
    RETURN c;
END $$;

-- NULL outcome: go ahead. `p_need` is 'read' or 'write' of account p_sp, or 'pa-read' or 'pa-write' for what
-- is the STI-PA's alone. This is the whole table of who may do what.
CREATE FUNCTION refusal(c caller, p_sp text, p_need text) RETURNS reply LANGUAGE plpgsql STABLE AS $$
DECLARE
    allowed boolean;
BEGIN
    IF c.user_id IS NULL THEN
        RETURN reply_error('UNAUTHENTICATED', 'the session is over; sign in again');
    END IF;
    IF c.suspended THEN
        RETURN reply_error('ACCOUNT_SUSPENDED', 'the account is suspended');
    END IF;
    allowed := CASE c.role
        WHEN 'pa-admin' THEN true
        WHEN 'pa-auditor' THEN p_need IN ('read', 'pa-read')
        WHEN 'sp-admin' THEN p_need IN ('read', 'write') AND c.sp = p_sp
        WHEN 'sp-viewer' THEN p_need = 'read' AND c.sp = p_sp
        ELSE false
    END;
    IF allowed THEN
        RETURN NULL;
    END IF;
    IF c.sp IS NOT NULL AND c.sp IS DISTINCT FROM p_sp AND p_need IN ('read', 'write') THEN
        RETURN reply_error('FORBIDDEN', 'this is not your account');
    END IF;
    RETURN reply_error('FORBIDDEN', format('the role %s does not allow this', c.role));
END $$;

-- Is the session alive? Asked before a malformed request is explained to anybody, and by list routes when
-- the list is not public.
CREATE FUNCTION session_check(p_sid uuid) RETURNS reply LANGUAGE plpgsql STABLE AS $$
DECLARE
    c caller := caller_of(p_sid);
BEGIN
    IF c.user_id IS NULL THEN
        RETURN reply_error('UNAUTHENTICATED', 'the session is over; sign in again');
    END IF;
    RETURN ('OK', NULL, json_build_object('status', 'success'), NULL)::reply;
END $$;

CREATE FUNCTION session_end(p_sid uuid, p_address inet) RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
BEGIN
    DELETE FROM session WHERE sid = p_sid;
    IF c.user_id IS NULL OR NOT FOUND THEN
        RETURN reply_error('UNAUTHENTICATED', 'the session is over; sign in again');
    END IF;
    PERFORM audit_write(c.user_id, p_address, 'session.logout', c.sp, NULL, NULL);
    RETURN ('OK', NULL, json_build_object('status', 'success'), NULL)::reply;
END $$;

-- Refresh with rotation. The body is for the handler, which makes the access token: {sid, userId}.
CREATE FUNCTION session_refresh(p_old bytea, p_new bytea, p_lifetime integer, p_address inet)
RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    t refresh_token;
    c caller;
BEGIN
    -- The session first, as its end takes them: a refresh and a sign-out at once must not wait for each other.
    PERFORM 1 FROM session WHERE sid = (SELECT sid FROM refresh_token WHERE hash = p_old) FOR UPDATE;
    SELECT * INTO t FROM refresh_token WHERE hash = p_old FOR UPDATE;
    IF NOT FOUND THEN
        RETURN reply_error('UNAUTHENTICATED', 'the refresh token is not valid; sign in again');
    END IF;
    c := caller_of(t.sid);
    IF t.used_at IS NOT NULL THEN
        -- Two holders of one token, and no way to tell the thief: nobody keeps the session.
        DELETE FROM session WHERE sid = t.sid;
        IF FOUND AND c.user_id IS NOT NULL THEN
            PERFORM audit_write(c.user_id, p_address, 'session.refresh-reused', c.sp, NULL, NULL);
        END IF;
        RETURN reply_error('UNAUTHENTICATED',
                           'the refresh token was used before; the session is ended');
    END IF;
    IF c.user_id IS NULL THEN
        RETURN reply_error('UNAUTHENTICATED', 'the session is over; sign in again');
    END IF;
    IF c.suspended THEN
        RETURN reply_error('ACCOUNT_SUSPENDED', 'the account is suspended');
    END IF;
    UPDATE refresh_token SET used_at = now() WHERE hash = p_old;
    INSERT INTO refresh_token (hash, sid) VALUES (p_new, t.sid);
    UPDATE session SET expires_at = now() + make_interval(secs => p_lifetime) WHERE sid = t.sid;
    RETURN ('OK', NULL, json_build_object('sid', t.sid, 'userId', c.user_id), NULL)::reply;
END $$;
