-- Provisioning by the STI-PA: accounts, the SPCs they own, and users.

CREATE FUNCTION account_reply(p_outcome text, p_sp text) RETURNS reply LANGUAGE sql STABLE AS $$
    SELECT p_outcome, NULL::text,
           json_build_object('status', 'success', 'sp', a.sp, 'name', a.name, 'state', a.state,
                             'createdAt', rfc3339(a.created_at), 'updatedAt', rfc3339(a.updated_at),
                             'spcs', (SELECT coalesce(json_agg(o.spc ORDER BY o.spc), '[]')
                                        FROM spc_owner o WHERE o.sp = a.sp)),
           NULL::bigint
      FROM account a WHERE a.sp = p_sp
$$;

CREATE FUNCTION account_get(p_sid uuid, p_sp text) RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    r reply := refusal(caller_of(p_sid), p_sp, 'pa-read');
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    r := account_reply('OK', p_sp);
    IF r.outcome IS NULL THEN
        RETURN reply_error('NOT_FOUND', 'there is no such account');
    END IF;
    RETURN r;
END $$;

CREATE FUNCTION account_put(p_sid uuid, p_address inet, p_sp text, p_name text) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, p_sp, 'pa-write');
    was text;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    INSERT INTO account (sp, name) VALUES (p_sp, p_name) ON CONFLICT (sp) DO NOTHING;
    IF FOUND THEN
        PERFORM audit_write(c.user_id, p_address, 'account.create', p_sp, NULL,
                            json_build_object('name', p_name));
        RETURN account_reply('CREATED', p_sp);
    END IF;
    -- Accounts are never deleted, so the row is there.
    SELECT name INTO was FROM account WHERE sp = p_sp FOR UPDATE;
    IF was <> p_name THEN
        UPDATE account SET name = p_name, updated_at = now() WHERE sp = p_sp;
        PERFORM audit_write(c.user_id, p_address, 'account.rename', p_sp, NULL,
                            json_build_object('name', p_name, 'was', was));
    END IF;
    RETURN account_reply('OK', p_sp);
END $$;

CREATE FUNCTION account_set_state(p_sid uuid, p_address inet, p_sp text, p_state text) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, p_sp, 'pa-write');
    was text;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    SELECT state INTO was FROM account WHERE sp = p_sp FOR UPDATE;
    IF NOT FOUND THEN
        RETURN reply_error('NOT_FOUND', 'there is no such account');
    END IF;
    IF was <> p_state THEN
        UPDATE account SET state = p_state, updated_at = now() WHERE sp = p_sp;
        -- Its entries leave the list, or come back to it.
        PERFORM list_changed();
        PERFORM audit_write(c.user_id, p_address, 'account.state', p_sp, NULL,
                            json_build_object('state', p_state, 'was', was));
    END IF;
    RETURN account_reply('OK', p_sp);
END $$;

CREATE FUNCTION spc_reply(p_outcome text, p_sp text, p_spc text) RETURNS reply LANGUAGE sql IMMUTABLE AS $$
    SELECT p_outcome, NULL::text, json_build_object('status', 'success', 'sp', p_sp, 'spc', p_spc),
           NULL::bigint
$$;

-- Gives an SPC to an account. A transfer takes the URL along: the new owner starts without one.
CREATE FUNCTION spc_put(p_sid uuid, p_address inet, p_sp text, p_spc text, p_transfer boolean)
RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, p_sp, 'pa-write');
    owner text;
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM account WHERE sp = p_sp) THEN
        RETURN reply_error('NOT_FOUND', 'there is no such account');
    END IF;
    LOOP
        INSERT INTO spc_owner (spc, sp) VALUES (p_spc, p_sp) ON CONFLICT (spc) DO NOTHING;
        IF FOUND THEN
            PERFORM audit_write(c.user_id, p_address, 'spc.add', p_sp, p_spc, NULL);
            RETURN spc_reply('CREATED', p_sp, p_spc);
        END IF;
        SELECT sp INTO owner FROM spc_owner WHERE spc = p_spc FOR UPDATE;
        EXIT WHEN FOUND; -- not when it was deleted in between
    END LOOP;
    IF owner = p_sp THEN
        RETURN spc_reply('OK', p_sp, p_spc);
    END IF;
    IF NOT p_transfer THEN
        RETURN reply_error('SPC_OWNED_BY_ANOTHER',
                           'another account owns this SPC; add ?transfer=true to move it');
    END IF;
    PERFORM entry_remove(c.user_id, p_address, owner, p_spc);
    UPDATE spc_owner SET sp = p_sp, since_at = now() WHERE spc = p_spc;
    PERFORM audit_write(c.user_id, p_address, 'spc.transfer-out', owner, p_spc,
                        json_build_object('to', p_sp));
    PERFORM audit_write(c.user_id, p_address, 'spc.transfer-in', p_sp, p_spc,
                        json_build_object('from', owner));
    RETURN spc_reply('CREATED', p_sp, p_spc);
END $$;

CREATE FUNCTION spc_delete(p_sid uuid, p_address inet, p_sp text, p_spc text) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, p_sp, 'pa-write');
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM account WHERE sp = p_sp) THEN
        RETURN reply_error('NOT_FOUND', 'there is no such account');
    END IF;
    PERFORM 1 FROM spc_owner WHERE spc = p_spc AND sp = p_sp FOR UPDATE;
    IF NOT FOUND THEN
        RETURN reply_error('SPC_NOT_OWNED', 'the account does not own this SPC');
    END IF;
    PERFORM entry_remove(c.user_id, p_address, p_sp, p_spc);
    DELETE FROM spc_owner WHERE spc = p_spc;
    PERFORM audit_write(c.user_id, p_address, 'spc.remove', p_sp, p_spc, NULL);
    RETURN ('NO_CONTENT', NULL, NULL, NULL)::reply;
END $$;

-- Is p_user the only administrator left? Locks them all, so that two cannot remove each other at once.
CREATE FUNCTION is_last_admin(p_user text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM account_user WHERE role = 'pa-admin' ORDER BY user_id FOR UPDATE;
    RETURN EXISTS (SELECT 1 FROM account_user WHERE role = 'pa-admin' AND user_id = p_user)
       AND NOT EXISTS (SELECT 1 FROM account_user WHERE role = 'pa-admin' AND user_id <> p_user);
END $$;

-- A user of account p_sp, or of the STI-PA when p_sp is NULL. Every PUT sets the password (given or
-- generated by the handler), so it also ends the sessions that the user had.
CREATE FUNCTION user_put(p_sid uuid, p_address inet, p_sp text, p_user text, p_role text,
                         p_password text)
RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, p_sp, CASE WHEN p_sp IS NULL THEN 'pa-write' ELSE 'write' END);
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

CREATE FUNCTION user_delete(p_sid uuid, p_address inet, p_sp text, p_user text) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, p_sp, CASE WHEN p_sp IS NULL THEN 'pa-write' ELSE 'write' END);
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

-- `sticps-registryd init`: the first administrator. False when there is one already.
CREATE FUNCTION first_admin(p_user text, p_password text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE account_user IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT 1 FROM account_user WHERE role = 'pa-admin') THEN
        RETURN false;
    END IF;
    INSERT INTO account_user (user_id, role, password) VALUES (p_user, 'pa-admin', p_password);
    PERFORM audit_write(p_user, NULL, 'user.create', NULL, NULL,
                        json_build_object('userId', p_user, 'role', 'pa-admin'));
    RETURN true;
END $$;

-- A page of the audit trail, newest first: all of it for the STI-PA, its own for an account. p_after is
-- NULL for the first page. Planned at each call for the account at hand: one plan for all reads the whole
-- trail to find the few rows of a quiet account.
CREATE FUNCTION audit_list(p_sid uuid, p_limit integer, p_after bigint) RETURNS reply
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    c caller := caller_of(p_sid);
    r reply := refusal(c, c.sp, CASE WHEN c.sp IS NULL THEN 'pa-read' ELSE 'read' END);
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
