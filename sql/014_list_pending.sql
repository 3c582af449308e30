-- The publisher's look again (007_publications.sql), the same answer at the same price however old the
-- planner's statistics are. It has to begin at the few entries that wait: after a bulk import, when all of
-- them had waited, it began at the owners instead, and read all of them five times a second.
CREATE OR REPLACE FUNCTION list_pending(OUT sequence bigint, OUT requested boolean, OUT unpublished boolean)
LANGUAGE sql STABLE AS $$
    SELECT s.sequence, s.requested_at IS NOT NULL,
           EXISTS (SELECT 1 FROM (SELECT spc FROM cps_entry WHERE published_sequence IS NULL
                                   ORDER BY spc OFFSET 0) e
                    WHERE EXISTS (SELECT 1 FROM spc_owner o JOIN account a ON a.sp = o.sp
                                   WHERE o.spc = e.spc AND a.state = 'active' OFFSET 0))
      FROM list_state s WHERE s.kind = 'cps-list'
$$;
