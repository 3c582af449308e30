-- Whoever tries another user each time is not slowed by 004_sign_in.sql, which counts failures by user. So the
-- failures of an address are counted as well, whatever the user: 300 are free, which is a bad morning of a
-- large office behind one address; then there is one every 12 s, and one more is free for every 12 s without
-- a failure. An address never waits longer than that, and the sessions that it has are not touched.
--
-- Success gives nothing back: one's own account would pay for guessing at others.

-- As a debt of time: each failure moves until_at on by 12 s, from now at the earliest. An address waits while
-- its debt is over 300 times that. No row: no debt.
CREATE TABLE login_debt (
    address  inet PRIMARY KEY, -- as login_address gives it
    until_at timestamptz NOT NULL
);

CREATE FUNCTION login_debt_step() RETURNS interval LANGUAGE sql IMMUTABLE AS $$
    SELECT interval '12 seconds'
$$;

CREATE FUNCTION login_debt_free() RETURNS interval LANGUAGE sql IMMUTABLE AS $$
    SELECT 300 * login_debt_step()
$$;

-- In place of the one in 004_sign_in.sql: for the user from that address, and for the address. The limit of
-- the latter is looked at before a password is hashed only; how many are hashed at once is bounded by address
-- too (server/registry/auth_routes.c).
CREATE OR REPLACE FUNCTION login_begin(p_user text, p_address inet) RETURNS reply LANGUAGE plpgsql STABLE AS $$
DECLARE
    wait integer := login_wait(p_user, p_address);
    debt timestamptz;
BEGIN
    SELECT until_at INTO debt FROM login_debt WHERE address = login_address(p_address);
    wait := greatest(wait, ceil(extract(epoch FROM debt - login_debt_free() - clock_timestamp()))::integer);
    IF wait > 0 THEN
        RETURN ('THROTTLED', 'too many failures; wait before the next try', NULL, wait)::reply;
    END IF;
    RETURN ('OK', NULL, json_build_object(
        'password', (SELECT password FROM account_user WHERE user_id = p_user)), NULL)::reply;
END $$;

-- In place of the one in 004_sign_in.sql: the address gets into debt as well. That row comes last, because
-- others who fail from this address wait for it.
CREATE OR REPLACE FUNCTION login_failed(p_user text, p_address inet) RETURNS void LANGUAGE plpgsql AS $$
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
    -- Guesses that were under way together do not add up to a longer wait.
    INSERT INTO login_debt AS d VALUES (here, clock_timestamp() + login_debt_step())
    ON CONFLICT (address) DO UPDATE
       SET until_at = least(greatest(d.until_at, clock_timestamp()), clock_timestamp() + login_debt_free())
                      + login_debt_step();
END $$;

-- In place of the one in 016_sti_proof.sql.
CREATE OR REPLACE FUNCTION housekeeping() RETURNS void LANGUAGE sql AS $$
    DELETE FROM session WHERE expires_at < now();
    DELETE FROM login_failure WHERE last_at < now() - interval '1 hour';
    DELETE FROM sti_proof WHERE expires_at < now() - interval '1 day';
    DELETE FROM login_debt WHERE until_at < now();
$$;
