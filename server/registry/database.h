/* The roles under which the registry uses its database (docs/database.md), and the blocking
 * connections under each. The pools of the request threads use database.url (daemon.c). */
#ifndef REGISTRY_DATABASE_H
#define REGISTRY_DATABASE_H

#include "common/error.h"
#include "server/registry/config.h"

struct db_sync;

enum database_role {
    DATABASE_OWNER,      /* `init`: owns the schema */
    DATABASE_PUBLISHING, /* the publisher's thread */
    DATABASE_AUDITING,   /* `audit verify`: reads the history */
};

/* Borrowed from the configuration. */
const char *database_url(const struct config *config, enum database_role role);

/* A connection that sees the rows of every account, as each of these roles must; the requests see
 * those of one. Errors as db_sync_connect. The caller owns *out. */
enum sticps_err database_connect(const struct config *config, enum database_role role,
                                 const char *application_name, unsigned timeout_ms,
                                 struct db_sync **out, struct sticps_error *err) STICPS_MUST_CHECK;

/* Is the schema this program's, and does the role of database.url have what requests need and no
 * more? Before serving, and at every connection of the publisher. STICPS_ERR_FETCH: not reached;
 * STICPS_ERR_STATE, the text saying what is wrong. In a lab a role that may do more is logged. */
enum sticps_err database_check(const struct config *config,
                               struct sticps_error *err) STICPS_MUST_CHECK;

#endif
