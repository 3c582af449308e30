-- The list of approved STI-CAs: what the publisher found in its directory the last time that it could be
-- taken whole. trustList is published from here.

CREATE TABLE trusted_ca (
    sha256   text PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'), -- of the DER
    subject  text NOT NULL,
    pem      text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO list_state (kind) VALUES ('ca-list');

-- Makes trusted_ca what p_certificates says, [{"sha256","subject","pem"}], and audits each difference. The
-- publisher calls it. An empty set is refused: it would end every call of the country.
CREATE FUNCTION ca_replace(p_user text, p_certificates json, OUT added integer, OUT removed integer)
LANGUAGE plpgsql AS $$
DECLARE
    ca record;
BEGIN
    IF json_array_length(p_certificates) = 0 THEN
        RAISE EXCEPTION 'no list of STI-CAs is ever empty';
    END IF;
    added := 0;
    removed := 0;
    LOCK TABLE trusted_ca IN SHARE ROW EXCLUSIVE MODE;
    FOR ca IN DELETE FROM trusted_ca t
               WHERE t.sha256 NOT IN (SELECT c->>'sha256' FROM json_array_elements(p_certificates) c)
              RETURNING t.sha256, t.subject
    LOOP
        removed := removed + 1;
        PERFORM audit_write(p_user, NULL, 'ca.remove', NULL, NULL,
                            json_build_object('subject', ca.subject, 'sha256', ca.sha256));
    END LOOP;
    FOR ca IN INSERT INTO trusted_ca (sha256, subject, pem)
              SELECT c->>'sha256', c->>'subject', c->>'pem' FROM json_array_elements(p_certificates) c
              ON CONFLICT DO NOTHING
              RETURNING sha256, subject
    LOOP
        added := added + 1;
        PERFORM audit_write(p_user, NULL, 'ca.add', NULL, NULL,
                            json_build_object('subject', ca.subject, 'sha256', ca.sha256));
    END LOOP;
END $$;
