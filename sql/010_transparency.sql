-- Transparency (docs/transparency.md): what was published forms a Merkle tree for each kind of list, and
-- the audit trail a hash chain, so that a change of the past shows.

-- ---- the tree of publications (RFC 6962 s2.1; a leaf is the JWS) ----

-- Every complete subtree, so that a proof reads a handful of rows however long the history is: level 0 are
-- the leaves' hashes; (level, index) covers the leaves index * 2^level to (index + 1) * 2^level - 1.
CREATE TABLE tree_node (
    kind  text NOT NULL,
    level integer NOT NULL CHECK (level BETWEEN 0 AND 52),
    index bigint NOT NULL CHECK (index >= 0),
    hash  bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (kind, level, index)
);

-- One row for each publication: the tree that ends with it, and the head of the audit chain at that time
-- (0 and zeros: no row was linked yet). The leaf of a publication is size - 1; it is sequence - 1 too,
-- unless sequence numbers were passed over when an older state of the database was restored.
CREATE TABLE tree_head (
    kind       text NOT NULL,
    size       bigint NOT NULL CHECK (size >= 1),
    sequence   bigint NOT NULL,
    root       bytea NOT NULL CHECK (length(root) = 32),
    audit_id   bigint NOT NULL,
    audit_hash bytea NOT NULL CHECK (length(audit_hash) = 32),
    PRIMARY KEY (kind, size),
    UNIQUE (kind, sequence)
);

-- ---- the chain of audit rows ----

-- hash = SHA-256(hash of the link before || the row's bytes); before the first stand 32 zero bytes. Apart
-- from the rows, because they are written by many transactions at once, which must not wait for each other.
CREATE TABLE audit_link (
    id   bigint PRIMARY KEY,
    hash bytea NOT NULL CHECK (length(hash) = 32)
);

CREATE FUNCTION audit_field(t text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN t IS NULL THEN '-' ELSE octet_length(convert_to(t, 'UTF8')) || ':' || t END
$$;

-- The bytes of a row: each column in its order as "length:text", length in bytes; NULL is "-". `at` is in
-- microseconds since 1970, the address has its mask. A later column of audit has to be added here, at the
-- end and only where it is not NULL, or earlier rows would no longer verify; the same in audit_verify.c.
CREATE FUNCTION audit_bytes(a audit) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT convert_to(audit_field(a.id::text) || audit_field((extract(epoch FROM a.at) * 1000000)::bigint::text)
                      || audit_field(a.user_id) || audit_field(text(a.address)) || audit_field(a.action)
                      || audit_field(a.sp) || audit_field(a.spc) || audit_field(a.detail::text), 'UTF8')
$$;

-- A transaction has its number before it draws an audit id: audit_mark relies on it. A statement trigger
-- runs before the row, and so its identity, is computed.
CREATE FUNCTION audit_takes_xid() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_current_xact_id();
    RETURN NULL;
END $$;
CREATE TRIGGER audit_xid BEFORE INSERT ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_takes_xid();

-- Links must follow the ids, but a transaction that drew a low id may commit after one that drew a higher.
-- Neither is there an order between transaction numbers and ids. So it takes two steps. First audit_mark
-- notes the newest visible id and then takes a transaction number: whoever drew an id up to that one has a
-- lower number. Once all lower numbers have ended (audit_link_rows), every id up to the mark is visible or
-- was rolled back, and no row can come between any more.
--
-- NULL when everything is linked. To be called in a transaction of its own, which has no number yet.
CREATE FUNCTION audit_mark(OUT upto bigint, OUT horizon xid8) LANGUAGE plpgsql AS $$
DECLARE
    newest bigint;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'audit_mark needs a transaction of its own';
    END IF;
    newest := (SELECT max(id) FROM audit);
    IF newest > coalesce((SELECT max(id) FROM audit_link), 0) THEN
        upto := newest;
        horizon := pg_current_xact_id();
    END IF;
END $$;

-- Links at most p_limit rows up to a mark, in the order of their ids, and returns how many: p_limit means
-- there may be more. NULL: an older transaction still runs. Called by the publisher of the elected node;
-- should two ever do it, both begin with the same row and the primary key refuses one of them.
CREATE FUNCTION audit_link_rows(p_upto bigint, p_horizon xid8, p_limit integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    last audit_link;
    ids bigint[] := '{}';
    hashes bytea[] := '{}';
    r record;
BEGIN
    IF pg_snapshot_xmin(pg_current_snapshot()) <= p_horizon THEN
        RETURN NULL;
    END IF;
    SELECT * INTO last FROM audit_link ORDER BY id DESC LIMIT 1;
    IF NOT FOUND THEN
        last := (0, decode(repeat('00', 32), 'hex'));
    END IF;
    FOR r IN SELECT a.id, audit_bytes(a) AS bytes FROM audit a
              WHERE a.id > last.id AND a.id <= p_upto ORDER BY a.id LIMIT p_limit LOOP
        last.hash := sha256(last.hash || r.bytes);
        ids := ids || r.id;
        hashes := hashes || last.hash;
    END LOOP;
    INSERT INTO audit_link SELECT * FROM unnest(ids, hashes);
    RETURN cardinality(ids);
END $$;

-- ---- growing the tree ----

-- In the transaction that stores the publication, whose lock on list_state keeps others out.
CREATE FUNCTION tree_append(p_kind text, p_sequence bigint, p_jws text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    leaf bigint := coalesce((SELECT max(size) FROM tree_head WHERE kind = p_kind), 0);
    l integer := 0;
    i bigint := leaf;
    h bytea := sha256('\x00'::bytea || convert_to(p_jws, 'UTF8'));
    neighbour bytea;
    last audit_link;
BEGIN
    INSERT INTO tree_node VALUES (p_kind, l, i, h);
    -- the subtrees that it completes
    WHILE i % 2 = 1 LOOP
        SELECT hash INTO STRICT neighbour FROM tree_node WHERE kind = p_kind AND level = l AND index = i - 1;
        h := sha256('\x01'::bytea || neighbour || h);
        l := l + 1;
        i := i / 2;
        INSERT INTO tree_node VALUES (p_kind, l, i, h);
    END LOOP;
    -- the root: the complete subtrees to the left, from the smallest
    WHILE i > 0 LOOP
        IF i % 2 = 1 THEN
            SELECT hash INTO STRICT neighbour FROM tree_node
             WHERE kind = p_kind AND level = l AND index = i - 1;
            h := sha256('\x01'::bytea || neighbour || h);
        END IF;
        l := l + 1;
        i := i / 2;
    END LOOP;
    SELECT * INTO last FROM audit_link ORDER BY id DESC LIMIT 1;
    INSERT INTO tree_head VALUES (p_kind, leaf + 1, p_sequence, h, coalesce(last.id, 0),
                                  coalesce(last.hash, decode(repeat('00', 32), 'hex')));
END $$;

-- Those of before; none of them can commit to audit rows.
DO $$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT kind, sequence FROM publication ORDER BY kind, sequence LOOP
        PERFORM tree_append(p.kind, p.sequence, x.jws)
           FROM publication x WHERE x.kind = p.kind AND x.sequence = p.sequence;
    END LOOP;
END $$;

-- A trigger: no publication can be stored in another way. BEFORE, while the JWS is still in memory.
CREATE FUNCTION publication_joins_tree() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tree_append(NEW.kind, NEW.sequence, NEW.jws);
    RETURN NEW;
END $$;
CREATE TRIGGER publication_tree BEFORE INSERT ON publication
    FOR EACH ROW EXECUTE FUNCTION publication_joins_tree();

CREATE FUNCTION history_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the history is append-only';
END $$;
CREATE TRIGGER tree_node_final BEFORE UPDATE OR DELETE OR TRUNCATE ON tree_node
    FOR EACH STATEMENT EXECUTE FUNCTION history_is_final();
CREATE TRIGGER tree_head_final BEFORE UPDATE OR DELETE OR TRUNCATE ON tree_head
    FOR EACH STATEMENT EXECUTE FUNCTION history_is_final();
CREATE TRIGGER audit_link_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_link
    FOR EACH STATEMENT EXECUTE FUNCTION history_is_final();
