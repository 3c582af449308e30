-- Proof by STI certificate (PROTOCOL section 3): in place of a session, the key of an STI certificate signs one
-- request, which may then read, set or delete the one entry of the certificate's SPC. The handler has checked
-- signature, certificate and claims (server/registry/proof.c). Here it is seen that a proof is used once,
-- whichever node it is sent to, and that the account of the request owns the SPC: who owns an SPC is the
-- STI-PA's word alone, and no certificate's.

-- Proofs that were used, kept for a day beyond their end: within that time no clock may be set back so far
-- that one which was forgotten is taken for a new one.
CREATE TABLE sti_proof (
    spc         text COLLATE "C" NOT NULL,
    jti         text COLLATE "C" NOT NULL,
    caller      uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(), -- p_sid of its request
    expires_at  timestamptz NOT NULL,
    certificate json NOT NULL, -- issuer, serial, spc, keySha256: for the audit trail
    PRIMARY KEY (spc, jti)
);
CREATE INDEX sti_proof_expires_at ON sti_proof (expires_at);

-- In place of a proof's caller; as caller_elsewhere().
CREATE FUNCTION caller_replayed() RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT '00000000-0000-0000-0000-000000000002'::uuid
$$;
CREATE FUNCTION caller_late() RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT '00000000-0000-0000-0000-000000000003'::uuid
$$;

-- Uses a proof up: {"spc","jti","exp","certificate"}. Two that are sent at once wait for each other here, and
-- the second finds the first; should the first one's transaction fail, nothing was changed and the proof is
-- as good as new. By this database's clock, which is one for all nodes, a proof may be an hour over: more
-- would be a replay of one that is forgotten.
CREATE FUNCTION proof_use(p json) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_caller uuid;
    v_end timestamptz := to_timestamp((p ->> 'exp')::bigint);
BEGIN
    IF v_end < now() - interval '1 hour' THEN
        RETURN caller_late();
    END IF;
    INSERT INTO sti_proof (spc, jti, expires_at, certificate)
    VALUES (p ->> 'spc', p ->> 'jti', v_end, p -> 'certificate')
    ON CONFLICT (spc, jti) DO NOTHING RETURNING caller INTO v_caller;
    RETURN coalesce(v_caller, caller_replayed());
END $$;

-- A credential is a key or a proof.
ALTER FUNCTION caller_id(text) RENAME TO key_use;
CREATE FUNCTION caller_id(p_credential text) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
    IF p_credential LIKE 'proof %' THEN
        RETURN proof_use(substr(p_credential, 7)::json);
    END IF;
    RETURN key_use(p_credential);
END $$;

ALTER TYPE caller ADD ATTRIBUTE spc text;         -- of a proof, whose role is 'certificate': the entry that it opens
ALTER TYPE caller ADD ATTRIBUTE certificate json; -- for the audit trail; NULL for all others

-- Whose request a proof makes it: nobody's but the SPC's. `sp` is its owner, '' for none: NULL is the STI-PA.
CREATE FUNCTION proof_caller(p_sid uuid) RETURNS caller LANGUAGE plpgsql STABLE AS $$
DECLARE
    c caller;
BEGIN
    IF p_sid IN (caller_replayed(), caller_late()) THEN
        c.user_id := 'sti';
        c.role := CASE p_sid WHEN caller_late() THEN 'late' ELSE 'replayed' END;
        c.sp := '';
        RETURN c;
    END IF;
    -- No user id has a colon.
    SELECT 'sti:' || p.spc, 'certificate', coalesce(a.sp, ''), coalesce(a.state = 'suspended', false), NULL,
           p.spc, p.certificate
      INTO c
      FROM sti_proof p
      LEFT JOIN spc_owner o ON o.spc = p.spc
      LEFT JOIN account a ON a.sp = o.sp
     WHERE p.caller = p_sid;
    RETURN c;
END $$;

-- In place of the one in 012_api_keys.sql: a session, a key, or a proof.
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
    IF FOUND THEN
        RETURN c;
    END IF;
    RETURN proof_caller(p_sid);
END $$;

-- NULL outcome: this proof opens this entry. What is not an entry it never opens: refusal() knows nothing of
-- its roles. FORBIDDEN for an SPC that the account does not own: it is none of the caller's business.
CREATE FUNCTION proof_refusal(c caller, p_sp text, p_spc text) RETURNS reply LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF c.role = 'replayed' THEN
        RETURN reply_error('PROOF_REPLAYED', 'a proof with this jti was used before; sign a new one');
    END IF;
    IF c.role = 'late' THEN
        RETURN reply_error('PROOF_TIME', 'exp has passed');
    END IF;
    IF c.spc IS DISTINCT FROM p_spc THEN
        RETURN reply_error('FORBIDDEN', format('the proof is for the entry of %s alone', c.spc));
    END IF;
    IF c.sp <> p_sp THEN
        RETURN reply_error('FORBIDDEN', format('this account does not own %s', c.spc));
    END IF;
    IF c.suspended THEN
        RETURN reply_error('ACCOUNT_SUSPENDED', 'the account is suspended');
    END IF;
    RETURN NULL;
END $$;

-- ---- the entries; what is new in these is the proof ----

CREATE OR REPLACE FUNCTION entry_refusal(c caller, p_sp text, p_spc text, p_need text) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    r reply;
BEGIN
    IF c.role IN ('certificate', 'replayed', 'late') THEN
        r := proof_refusal(c, p_sp, p_spc);
    ELSE
        r := refusal(c, p_sp, p_need);
    END IF;
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

-- The detail of an audit row, with the certificate that proved the request, if one did.
CREATE FUNCTION audit_detail(p_detail json, p_certificate json) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF p_certificate IS NULL THEN
        RETURN p_detail;
    END IF;
    RETURN (p_detail::jsonb || jsonb_build_object('certificate', p_certificate))::json;
END $$;

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
    INSERT INTO cps_entry AS x (spc, url, version, updated_by)
    VALUES (p_spc, p_url, nextval('entry_version'), c.user_id)
    ON CONFLICT (spc) DO UPDATE
       SET url = excluded.url, version = excluded.version, updated_at = now(),
           updated_by = excluded.updated_by, published_sequence = NULL
    RETURNING x.* INTO e;
    PERFORM audit_write(c.user_id, p_address, 'entry.put', p_sp, p_spc,
                        audit_detail(json_build_object('url', p_url, 'was', old.url, 'version', e.version),
                                     c.certificate));
    RETURN entry_reply(CASE WHEN old.spc IS NULL THEN 'CREATED' ELSE 'OK' END, e);
END $$;

DROP FUNCTION entry_remove(text, inet, text, text);
CREATE FUNCTION entry_remove(p_user text, p_address inet, p_sp text, p_spc text, p_certificate json DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    old cps_entry;
BEGIN
    DELETE FROM cps_entry WHERE spc = p_spc RETURNING * INTO old;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM audit_write(p_user, p_address, 'entry.delete', p_sp, p_spc,
                        audit_detail(json_build_object('was', old.url, 'version', old.version), p_certificate));
    PERFORM list_changed();
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION entry_delete(p_sid uuid, p_address inet, p_sp text, p_spc text, p_if_match text[])
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
    IF NOT entry_remove(c.user_id, p_address, p_sp, p_spc, c.certificate) THEN
        RETURN reply_error('NOT_FOUND', 'the SPC has no CPS URL');
    END IF;
    RETURN ('NO_CONTENT', NULL, NULL, NULL)::reply;
END $$;

CREATE OR REPLACE FUNCTION housekeeping() RETURNS void LANGUAGE sql AS $$
    DELETE FROM session WHERE expires_at < now();
    DELETE FROM login_failure WHERE last_at < now() - interval '1 hour';
    DELETE FROM sti_proof WHERE expires_at < now() - interval '1 day';
$$;
