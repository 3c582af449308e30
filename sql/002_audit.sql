-- The audit trail: who changed what, when, from where. Written by the functions that change something, in
-- the same transaction, and by nothing else. A request that changes nothing leaves no row.

CREATE TABLE audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    user_id text COLLATE "C" NOT NULL, -- no reference: the trail outlives the user
    address inet,                      -- NULL for what was done on the machine itself
    action  text NOT NULL,
    sp      text COLLATE "C",
    spc     text COLLATE "C",
    detail  json
);
CREATE INDEX audit_sp ON audit (sp, id);

CREATE FUNCTION audit_write(p_user text, p_address inet, p_action text, p_sp text, p_spc text,
                            p_detail json)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (user_id, address, action, sp, spc, detail)
    VALUES (p_user, p_address, p_action, p_sp, p_spc, p_detail);
END $$;

-- Rows are evidence: they are added, never changed and never removed.
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
