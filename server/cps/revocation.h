/* The STI-PA's CRL, from a file that other software keeps up to date: read at the start, when the
 * file changes, and on SIGHUP; checked (crl_check) and put into the trust set. What cannot be
 * relied on leaves the last good one in force, until its nextUpdate ends the set (trust.h).
 *
 * Called by daemon, each second from a server thread, and by reload from the main one. */
#ifndef SERVER_CPS_REVOCATION_H
#define SERVER_CPS_REVOCATION_H

#include "common/error.h"
#include "server/sti/trust.h"

#include <stdint.h>

struct revocation;

/* Reads the CRL at once, because nobody is to be believed without it: STICPS_ERR_FILE. `signer` is
 * a PEM file of who may sign it. The paths and `trust` are borrowed; `now` in Unix seconds. */
enum sticps_err revocation_new(const char *file, const char *signer, struct trust *trust,
                               int64_t now, struct revocation **out,
                               struct sticps_error *err) STICPS_MUST_CHECK;
void revocation_free(struct revocation *revocation); /* accepts NULL */

/* Reads the file when it has changed; the log says what came of it. */
void revocation_tick(struct revocation *revocation, int64_t now);

/* Reads both files, changed or not. STICPS_ERR_FILE. */
enum sticps_err revocation_reload(struct revocation *revocation, int64_t now,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

#endif
