-- Signing in, and slowing down those who guess. Kept in the database, so that all nodes count together.
--
-- Failures are counted for a user from one address. From the fifth on, that address waits: 2 s, 4 s, … 300 s.
-- Failures for the user from everywhere are counted too; beyond fifty, an address waits from its first
-- failure on. An address that has not failed never waits, so nobody can lock a victim out from
-- elsewhere, and from the victim's own address for 5 minutes at most. Success clears. Unknown users are
-- treated as known ones are.

CREATE TABLE login_failure (
    user_id       text COLLATE "C" NOT NULL,
    address       inet NOT NULL, -- IPv4 address or IPv6 /64; 0.0.0.0/0 for everywhere
    failures      integer NOT NULL,
    last_at       timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL,
    PRIMARY KEY (user_id, address)
);
CREATE INDEX login_failure_last_at ON login_failure (last_at);

-- An IPv6 customer has a /64 to change addresses in, so that is what counts as one address.
CREATE FUNCTION login_address(p_address inet) RETURNS inet LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN family(p_address) = 6 THEN set_masklen(network(set_masklen(p_address, 64))::inet, 64)
                ELSE p_address END
$$;

-- Seconds still to wait, 0 for none.
CREATE FUNCTION login_wait(p_user text, p_address inet) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT greatest(0, ceil(extract(epoch FROM blocked_until - clock_timestamp())))::integer
                       FROM login_failure
                      WHERE user_id = p_user AND address = login_address(p_address)), 0)
$$;

-- Before the password is hashed. outcome THROTTLED with version = seconds to wait, or OK with body =
-- {"password": scrypt string or null for an unknown user}.
CREATE FUNCTION login_begin(p_user text, p_address inet) RETURNS reply LANGUAGE plpgsql STABLE AS $$
DECLARE
    wait integer := login_wait(p_user, p_address);
BEGIN
    IF wait > 0 THEN
        RETURN ('THROTTLED', 'too many failures; wait before the next try', NULL, wait)::reply;
    END IF;
    RETURN ('OK', NULL, json_build_object(
        'password', (SELECT password FROM account_user WHERE user_id = p_user)), NULL)::reply;
END $$;

CREATE FUNCTION login_failed(p_user text, p_address inet) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    everywhere constant inet := '0.0.0.0/0';
    here inet := login_address(p_address);
    total integer;
    mine integer;
BEGIN
    -- An hour without failures forgets them.
    INSERT INTO login_failure AS f VALUES (p_user, everywhere, 1, now(), 'epoch')
    ON CONFLICT (user_id, address) DO UPDATE
       SET failures = CASE WHEN f.last_at < now() - interval '1 hour' THEN 1 ELSE f.failures + 1 END,
           last_at = now()
    RETURNING failures INTO total;
    INSERT INTO login_failure AS f VALUES (p_user, here, 1, now(), 'epoch')
    ON CONFLICT (user_id, address) DO UPDATE
       SET failures = CASE WHEN f.last_at < now() - interval '1 hour' THEN 1 ELSE f.failures + 1 END,
           last_at = now()
    RETURNING failures INTO mine;
    IF total > 50 THEN
        mine := mine + 4;
    END IF;
    IF mine >= 5 THEN
        UPDATE login_failure
           SET blocked_until = clock_timestamp() + make_interval(secs => least(300, 2 ^ least(mine - 4, 9)))
         WHERE user_id = p_user AND address = here;
    END IF;
END $$;

-- After the password is hashed. p_verified says whether it matched p_password, the string that login_begin
-- gave. The wait is looked at again, under a lock: of many guesses sent at once only five are answered.
-- The body on success is for the handler: {sid, userId}.
CREATE FUNCTION login_finish(p_user text, p_address inet, p_verified boolean, p_password text,
                             p_refresh bytea, p_lifetime integer)
RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    u account_user;
    wait integer;
    suspended boolean;
    v_sid uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('login ' || p_user, 0));
    wait := login_wait(p_user, p_address);
    IF wait > 0 THEN
        RETURN ('THROTTLED', 'too many failures; wait before the next try', NULL, wait)::reply;
    END IF;
    SELECT * INTO u FROM account_user WHERE user_id = p_user FOR KEY SHARE;
    IF NOT FOUND OR NOT p_verified OR u.password IS DISTINCT FROM p_password THEN
        PERFORM login_failed(p_user, p_address);
        RETURN reply_error('INVALID_CREDENTIALS', 'the user or the password is wrong');
    END IF;
    DELETE FROM login_failure
     WHERE user_id = p_user AND address IN (login_address(p_address), '0.0.0.0/0');
    SELECT state = 'suspended' INTO suspended FROM account WHERE sp = u.sp;
    IF suspended THEN
        RETURN reply_error('ACCOUNT_SUSPENDED', 'the account is suspended');
    END IF;
    INSERT INTO session (user_id, expires_at)
    VALUES (p_user, now() + make_interval(secs => p_lifetime)) RETURNING sid INTO v_sid;
    INSERT INTO refresh_token (hash, sid) VALUES (p_refresh, v_sid);
    PERFORM audit_write(p_user, p_address, 'session.login', u.sp, NULL, NULL);
    RETURN ('OK', NULL, json_build_object('sid', v_sid, 'userId', p_user), NULL)::reply;
END $$;
