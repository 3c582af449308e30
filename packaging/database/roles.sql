-- The roles of a registry, once for each PostgreSQL cluster; nothing happens to those that are there:
--
--     sudo -u postgres psql -f roles.sql
--     sudo -u postgres createdb --owner=sticps_owner sticps
--
-- then `sticps-registryd init`, which gives them their rights (docs/database.md). They have no password yet.
SELECT format('CREATE ROLE %I LOGIN', r)
  FROM unnest(ARRAY['sticps_owner', 'sticps_serving', 'sticps_publishing', 'sticps_auditing']) r
 WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = r) \gexec

-- Ends a statement of a request that waits too long, also where PgBouncer gives each transaction another session.
ALTER ROLE sticps_serving SET statement_timeout = '4s';
