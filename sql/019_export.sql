-- The exporter (server/registry/exporter.c) writes the chain of every signer where web servers find it.
INSERT INTO permission VALUES ('sticps_publishing', 'SELECT', 'signer_certificate');
