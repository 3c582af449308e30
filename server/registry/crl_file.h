/* The STI-PA's revocation list, served as it stands in a file that other software writes. Read
 * again when the file changes; what is no CRL, or is not signed by who may sign it where that is
 * configured, leaves the last good one in service. The publisher thread refreshes it, server
 * threads take references, main checks it. */
#ifndef REGISTRY_CRL_FILE_H
#define REGISTRY_CRL_FILE_H

#include "common/error.h"
#include "server/registry/config.h"
#include "server/registry/published_list.h"

#include <stdbool.h>

struct crl;
struct crl_file;

/* STICPS_ERR_FILE when the file cannot be read, holds no CRL (DER, or one in PEM), or one that
 * somebody else signed. `now` in Unix seconds. */
enum sticps_err crl_file_check(const struct config_crl *config, int64_t now,
                               struct sticps_error *err) STICPS_MUST_CHECK;

/* Nothing is read yet. `config` is borrowed. */
enum sticps_err crl_file_new(const struct config_crl *config, struct crl_file **out,
                             struct sticps_error *err) STICPS_MUST_CHECK;
void crl_file_free(struct crl_file *file); /* accepts NULL */

/* Reads the file when it is another than at the last call; says in the log what came of it. On one
 * thread. `now` in Unix seconds. */
void crl_file_refresh(struct crl_file *file, int64_t now);

/* A reference to the DER and its ETag, or NULL when no good CRL was read yet. Any thread; takes a
 * lock for a moment. */
struct shared_bytes *crl_file_get(struct crl_file *file, char etag[ETAG_SIZE]);
/* A reference to the list itself, or NULL; the same. */
struct crl *crl_file_list(struct crl_file *file);
/* The file cannot be used as it stands now. Any thread. */
bool crl_file_failed(struct crl_file *file);

#endif
