-- Who may do what in the database (docs/database.md): the requests run as sticps_serving, the publisher as
-- sticps_publishing, `audit verify` as sticps_auditing. None of them owns anything, and each may do what
-- the table below says and nothing else.
--
-- Convention for later files. A function that the program calls gets a row here, in the file that makes it:
--
--     INSERT INTO permission VALUES ('sticps_serving', 'EXECUTE', 'entry_put');
--
-- That is all: do not write SECURITY DEFINER, SET search_path, GRANT or REVOKE. `sticps-registryd init` calls
-- permissions_apply after the last file, which gives these functions the owner's rights and a fixed
-- search_path, and takes everything else away, from PUBLIC too. CREATE OR REPLACE needs nothing further; a
-- DROP FUNCTION goes with a DELETE here. sticps_serving gets functions only, never a table.

CREATE TABLE permission (
    role      text CHECK (role IN ('sticps_serving', 'sticps_publishing', 'sticps_auditing')),
    privilege text CHECK (privilege IN ('EXECUTE', 'SELECT', 'UPDATE')),
    object    text, -- the name of a function for EXECUTE, otherwise of a table
    PRIMARY KEY (role, privilege, object),
    CHECK (role <> 'sticps_serving' OR privilege = 'EXECUTE')
);

-- ---- what the requests asked of tables until now ----

CREATE FUNCTION publication_get(p_kind text, p_sequence bigint)
RETURNS TABLE (sequence bigint, jws text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY SELECT p.sequence, p.jws FROM publication p
                  WHERE p.kind = p_kind AND p.sequence = p_sequence;
END $$;

CREATE FUNCTION signer_certificate_get(p_id integer) RETURNS TABLE (pem text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY SELECT s.pem FROM signer_certificate s WHERE s.id = p_id;
END $$;

-- The head of a tree as the whole body; p_size NULL for the newest. No row: there is no such tree.
CREATE FUNCTION tree_head_get(p_kind text, p_size bigint) RETURNS TABLE (body json) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
        SELECT json_build_object('status', 'success', 'list', h.kind, 'treeSize', h.size,
                                 'rootHash', encode(h.root, 'base64'), 'sequence', h.sequence,
                                 'auditHead', json_build_object('id', h.audit_id,
                                                                'hash', encode(h.audit_hash, 'base64')))
          FROM tree_head h
         WHERE h.kind = p_kind
           AND h.size = coalesce(p_size, (SELECT max(size) FROM tree_head WHERE kind = p_kind));
END $$;

-- The hashes (hex) of these nodes, in the order asked for; NULL for one that there is not.
CREATE FUNCTION tree_nodes_get(p_kind text, p_levels integer[], p_indexes bigint[])
RETURNS TABLE (hash text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
        SELECT encode(n.hash, 'hex')
          FROM unnest(p_levels, p_indexes) WITH ORDINALITY AS p (level, index, number)
          LEFT JOIN tree_node n ON n.kind = p_kind AND n.level = p.level AND n.index = p.index
         ORDER BY p.number;
END $$;

-- The size of the tree that a publication ended; NULL when there is no such publication.
CREATE FUNCTION tree_size_of(p_kind text, p_sequence bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT size FROM tree_head WHERE kind = p_kind AND sequence = p_sequence);
END $$;

-- The root (hex) of the tree of that size; NULL when there is none.
CREATE FUNCTION tree_root(p_kind text, p_size bigint) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT encode(root, 'hex') FROM tree_head WHERE kind = p_kind AND size = p_size);
END $$;

INSERT INTO permission
SELECT 'sticps_serving', 'EXECUTE', unnest(ARRAY[
    'account_get', 'account_put', 'account_set_state', 'audit_list', 'caller_id', 'entry_delete',
    'entry_export', 'entry_get', 'entry_list', 'entry_put', 'entry_put_all', 'key_create', 'key_list',
    'key_revoke', 'login_begin', 'login_finish', 'publication_get', 'publication_list',
    'publication_request', 'role_excess', 'session_check', 'session_end', 'session_refresh',
    'signer_certificate_get', 'spc_delete', 'spc_put', 'tree_head_get', 'tree_nodes_get', 'tree_root',
    'tree_size_of', 'user_delete', 'user_put']);
INSERT INTO permission
SELECT 'sticps_publishing', 'EXECUTE', unnest(ARRAY[
    'audit_link_rows', 'audit_mark', 'ca_take', 'housekeeping', 'lease_hold', 'lease_look', 'lease_renew',
    'lease_take', 'list_entries', 'list_mark', 'list_pending', 'publication_store',
    'signer_certificate_store']);
INSERT INTO permission
SELECT 'sticps_publishing', 'SELECT', unnest(ARRAY[
    'list_state', 'publication', 'schema_migration', 'token_key', 'trusted_ca']);
INSERT INTO permission VALUES ('sticps_publishing', 'UPDATE', 'list_state'); -- for its lock, FOR UPDATE
INSERT INTO permission
SELECT 'sticps_auditing', 'SELECT', unnest(ARRAY[
    'audit', 'audit_link', 'list_state', 'publication', 'schema_migration', 'tree_head', 'tree_node']);

-- ---- making it so ----

-- Everything that the owner has in the schema, and nothing of anybody else, an extension's say.
CREATE FUNCTION permission_objects(OUT kind text, OUT id oid, OUT name text) RETURNS SETOF record
LANGUAGE sql STABLE AS $$
    SELECT 'FUNCTION', f.oid, f.oid::regprocedure::text FROM pg_proc f, pg_class me
     WHERE me.oid = 'permission'::regclass AND f.pronamespace = me.relnamespace AND f.proowner = me.relowner
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid, c.oid::regclass::text
      FROM pg_class c, pg_class me
     WHERE me.oid = 'permission'::regclass AND c.relnamespace = me.relnamespace
       AND c.relowner = me.relowner AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
$$;

-- What PostgreSQL gives to all, or gave before version 15.
CREATE FUNCTION permission_close_schema() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC';
    IF pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE') THEN
        EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    END IF;
    IF has_schema_privilege('public', current_schema(), 'CREATE') THEN
        EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema());
    END IF;
    IF has_schema_privilege('public', current_schema(), 'CREATE') THEN
        RAISE EXCEPTION 'everybody may create objects in the schema %', current_schema()
            USING HINT = format('as a superuser: REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema());
    END IF;
END $$;

-- Called by `init` as the owner, each time, in one statement, so that nodes at work do not notice. Returns the
-- roles that this cluster does not have, which is no error: a lab may run on the owner alone.
CREATE FUNCTION permissions_apply() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    roles text[] := ARRAY(SELECT rolname::text FROM pg_roles
                           WHERE rolname IN ('sticps_serving', 'sticps_publishing', 'sticps_auditing'));
    wrong text;
    o record;
    p permission;
BEGIN
    SELECT string_agg(object, ', ' ORDER BY object) INTO wrong FROM permission
     WHERE CASE privilege WHEN 'EXECUTE' THEN to_regproc(object)::oid ELSE to_regclass(object)::oid END IS NULL;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the table permission names what is not there, or is there twice: %', wrong;
    END IF;
    PERFORM permission_close_schema();
    FOR o IN SELECT * FROM permission_objects() LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s', o.kind, o.name, array_to_string('{PUBLIC}' || roles, ', '));
        IF EXISTS (SELECT 1 FROM permission WHERE privilege = 'EXECUTE' AND to_regproc(object)::oid = o.id) THEN
            EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', o.name,
                           current_schema());
        END IF;
    END LOOP;
    FOR p IN SELECT * FROM permission WHERE role = ANY (roles) LOOP
        EXECUTE format('GRANT %s ON %s TO %I', p.privilege,
                       CASE p.privilege WHEN 'EXECUTE'
                           THEN 'FUNCTION ' || to_regproc(p.object)::oid::regprocedure
                           ELSE 'TABLE ' || to_regclass(p.object) END, p.role);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), p.role);
    END LOOP;
    RETURN QUERY SELECT r FROM unnest(ARRAY['sticps_serving', 'sticps_publishing', 'sticps_auditing']) r
                  WHERE r <> ALL (roles);
END $$;

-- What the role that is connected may do beyond the rows of p_role, in words; none when all is in order. The
-- daemon asks at its start.
CREATE FUNCTION role_excess(p_role text) RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
DECLARE
    me oid := (SELECT oid FROM pg_roles WHERE rolname = session_user);
    owner oid := (SELECT relowner FROM pg_class WHERE oid = 'permission'::regclass);
BEGIN
    RETURN QUERY
        SELECT w.what FROM pg_roles r,
               LATERAL (VALUES (r.rolsuper, 'is a superuser'), (r.rolbypassrls, 'bypasses row rules'),
                               (r.rolcreaterole, 'may create roles'),
                               (r.rolreplication, 'may replicate')) w (so, what)
         WHERE r.oid = me AND w.so
        UNION ALL
        SELECT format('is the owner of the schema, or a member of it: %I', owner::regrole)
         WHERE pg_has_role(me, owner, 'MEMBER')
        UNION ALL
        SELECT format('is a member of %I', rolname) FROM pg_roles
         WHERE rolname ~ '^pg_(checkpoint|execute|read_all_data|read_server|signal|write)'
           AND pg_has_role(me, oid, 'MEMBER')
        UNION ALL
        SELECT format('may create objects in the schema %I', current_schema())
         WHERE has_schema_privilege(me, current_schema(), 'CREATE')
        UNION ALL
        -- CASE: nothing is asked of an object of another kind, whatever the planner does first
        SELECT format('may %s the table %s', p.name, o.name)
          FROM permission_objects() o,
               unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p (name)
         WHERE CASE WHEN o.kind <> 'TABLE' THEN false
                    WHEN p.name IN ('DELETE', 'TRUNCATE', 'TRIGGER') THEN has_table_privilege(me, o.id, p.name)
                    ELSE has_any_column_privilege(me, o.id, p.name) END
           AND NOT EXISTS (SELECT 1 FROM permission x WHERE x.role = p_role AND x.privilege = p.name
                              AND to_regclass(x.object)::oid = o.id)
        UNION ALL
        SELECT format('may use the sequence %s', o.name) FROM permission_objects() o
         WHERE CASE o.kind WHEN 'SEQUENCE' THEN has_sequence_privilege(me, o.id, 'USAGE, SELECT, UPDATE') END
        UNION ALL
        SELECT format('may call the function %s', o.name) FROM permission_objects() o
         WHERE CASE o.kind WHEN 'FUNCTION' THEN has_function_privilege(me, o.id, 'EXECUTE') END
           AND NOT EXISTS (SELECT 1 FROM permission x WHERE x.role = p_role AND x.privilege = 'EXECUTE'
                              AND to_regproc(x.object)::oid = o.id);
END $$;
