-- Before a CPS is asked whether it answers (cps_check in the configuration): may the caller write these entries
-- at all? Nobody makes the registry call hosts for an SPC that is not his. The body of a success is the
-- caller's id, which stands for the credential in the write that follows: a credential may be good for once.

CREATE FUNCTION entry_put_allowed(p_caller uuid, p_sp text, p_spc text) RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    r reply := entry_refusal(caller_of(p_caller), p_sp, p_spc, 'write');
BEGIN
    IF r.outcome IS NOT NULL THEN
        RETURN r;
    END IF;
    RETURN ('OK', NULL, to_json(p_caller), NULL)::reply;
END $$;

CREATE FUNCTION entry_put_all_allowed(p_caller uuid, p_address inet, p_sp text, p_spcs text[], p_urls text[])
RETURNS reply LANGUAGE plpgsql AS $$
DECLARE
    r reply := entry_put_all(p_caller, p_address, p_sp, p_spcs, p_urls, true);
BEGIN
    IF r.outcome <> 'OK' THEN
        RETURN r;
    END IF;
    RETURN ('OK', NULL, to_json(p_caller), NULL)::reply;
END $$;

INSERT INTO permission VALUES ('sticps_serving', 'EXECUTE', 'entry_put_allowed'),
                              ('sticps_serving', 'EXECUTE', 'entry_put_all_allowed');
