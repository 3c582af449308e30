-- Who owned which SPC, from when to when, and how it changed.
--
-- Written by triggers on spc_owner, in the transaction of the change, so that no way of giving or taking an
-- SPC can forget it. Who did it stands in the audit trail.

CREATE TABLE spc_period (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    spc      text COLLATE "C" NOT NULL,
    sp       text COLLATE "C" NOT NULL REFERENCES account,
    since_at timestamptz NOT NULL,
    gained   text NOT NULL CHECK (gained IN ('assigned', 'transferred')),
    until_at timestamptz CHECK (until_at >= since_at), -- NULL: owns it now
    lost     text CHECK (lost IN ('transferred', 'deleted')),
    CHECK ((until_at IS NULL) = (lost IS NULL))
);
CREATE UNIQUE INDEX spc_period_now ON spc_period (spc) WHERE until_at IS NULL;
CREATE INDEX spc_period_spc ON spc_period (spc, id);

-- Those of before: for what gave an SPC to an account, the next thing that took it away; then today's owners.
INSERT INTO spc_period (spc, sp, since_at, gained, until_at, lost)
SELECT e.spc, e.sp, e.at, CASE e.action WHEN 'spc.add' THEN 'assigned' ELSE 'transferred' END,
       greatest(e.at, e.next_at), CASE e.next_action WHEN 'spc.remove' THEN 'deleted' ELSE 'transferred' END
  FROM (SELECT a.*, lead(a.at) OVER w AS next_at, lead(a.action) OVER w AS next_action
          FROM audit a WHERE a.action IN ('spc.add', 'spc.transfer-in', 'spc.transfer-out', 'spc.remove')
        WINDOW w AS (PARTITION BY a.spc, a.sp ORDER BY a.id)) e
 WHERE e.action IN ('spc.add', 'spc.transfer-in') AND e.next_action IN ('spc.remove', 'spc.transfer-out')
 ORDER BY e.id;
INSERT INTO spc_period (spc, sp, since_at, gained)
SELECT o.spc, o.sp, o.since_at,
       CASE WHEN EXISTS (SELECT 1 FROM audit a WHERE a.spc = o.spc AND a.sp = o.sp AND a.at = o.since_at
                            AND a.action = 'spc.transfer-in') THEN 'transferred' ELSE 'assigned' END
  FROM spc_owner o ORDER BY o.spc;
ALTER TABLE spc_owner DROP COLUMN since_at; -- the open period says it

-- After the owner's row is locked: the changes of one SPC come here one after the other, whatever now() of
-- their transactions is. A clock that was stepped back does not make periods overlap.
CREATE FUNCTION spc_owner_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed_spc text := CASE TG_OP WHEN 'DELETE' THEN OLD.spc ELSE NEW.spc END;
    at timestamptz := clock_timestamp();
    last spc_period;
BEGIN
    SELECT * INTO last FROM spc_period WHERE spc = changed_spc ORDER BY id DESC LIMIT 1;
    at := greatest(at, last.since_at, last.until_at);
    IF TG_OP <> 'INSERT' THEN
        UPDATE spc_period SET until_at = at, lost = CASE TG_OP WHEN 'DELETE' THEN 'deleted' ELSE 'transferred' END
         WHERE id = last.id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO spc_period (spc, sp, since_at, gained)
        VALUES (NEW.spc, NEW.sp, at, CASE TG_OP WHEN 'INSERT' THEN 'assigned' ELSE 'transferred' END);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER spc_owner_history AFTER INSERT OR DELETE ON spc_owner
    FOR EACH ROW EXECUTE FUNCTION spc_owner_changed();
CREATE TRIGGER spc_owner_transferred AFTER UPDATE ON spc_owner
    FOR EACH ROW WHEN (OLD.sp <> NEW.sp) EXECUTE FUNCTION spc_owner_changed();

-- Periods end once, and stay.
CREATE FUNCTION spc_period_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the history of an SPC is append-only';
END $$;
CREATE TRIGGER spc_period_kept BEFORE DELETE OR TRUNCATE ON spc_period
    FOR EACH STATEMENT EXECUTE FUNCTION spc_period_is_final();
CREATE TRIGGER spc_period_closed BEFORE UPDATE ON spc_period
    FOR EACH ROW WHEN (OLD.until_at IS NOT NULL) EXECUTE FUNCTION spc_period_is_final();

-- A page of an SPC's history, newest first: all of it for the STI-PA, its own periods for an account, which
-- does not hear whether others ever owned it. p_after is NULL for the first page.
CREATE FUNCTION spc_history(p_sid uuid, p_spc text, p_limit integer, p_after bigint) RETURNS reply
LANGUAGE plpgsql AS $$
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
    IF NOT EXISTS (SELECT 1 FROM spc_period WHERE spc = p_spc AND (c.sp IS NULL OR sp = c.sp)) THEN
        RETURN CASE WHEN c.sp IS NULL THEN reply_error('NOT_FOUND', 'nobody ever owned this SPC')
                    ELSE reply_error('SPC_NOT_OWNED', 'the account never owned this SPC') END;
    END IF;
    SELECT coalesce(json_agg(json_build_object(
               'sp', p.sp, 'since', rfc3339(p.since_at), 'gained', p.gained,
               'until', rfc3339(p.until_at), 'lost', p.lost) ORDER BY p.id DESC), '[]'), min(p.id)
      INTO page, last
      FROM (SELECT * FROM spc_period
             WHERE spc = p_spc AND (c.sp IS NULL OR sp = c.sp) AND (p_after IS NULL OR id < p_after)
             ORDER BY id DESC LIMIT p_limit) p;
    more := EXISTS (SELECT 1 FROM spc_period WHERE spc = p_spc AND (c.sp IS NULL OR sp = c.sp) AND id < last);
    IF more THEN
        RETURN ('OK', NULL, json_build_object('status', 'success', 'spc', p_spc, 'periods', page,
                                              'next', last::text), NULL)::reply;
    END IF;
    RETURN ('OK', NULL, json_build_object('status', 'success', 'spc', p_spc, 'periods', page), NULL)::reply;
END $$;

-- In place of the one in 006_accounts_api.sql, which sets since_at. Gives an SPC to an account. A transfer takes the URL along: the new owner starts without one.
CREATE OR REPLACE FUNCTION spc_put(p_sid uuid, p_address inet, p_sp text, p_spc text, p_transfer boolean)
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
    UPDATE spc_owner SET sp = p_sp WHERE spc = p_spc;
    PERFORM audit_write(c.user_id, p_address, 'spc.transfer-out', owner, p_spc,
                        json_build_object('to', p_sp));
    PERFORM audit_write(c.user_id, p_address, 'spc.transfer-in', p_sp, p_spc,
                        json_build_object('from', owner));
    RETURN spc_reply('CREATED', p_sp, p_spc);
END $$;

INSERT INTO permission VALUES ('sticps_serving', 'EXECUTE', 'spc_history');
