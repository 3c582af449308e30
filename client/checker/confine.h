/* Gives up what a process does not need that only asks HTTPS servers on behalf of strangers: other
 * users' rights, new privileges, core files, writing files, and reading any but those of DNS, TLS
 * roots and shared libraries. After it, a fault in the TLS or HTTP code reaches neither the signing
 * key nor the database's password, although the process has the daemon's user id. */
#ifndef CLIENT_CHECKER_CONFINE_H
#define CLIENT_CHECKER_CONFINE_H

#include "common/error.h"

#include <stdbool.h>

/* Call once, before any thread is started. As root it becomes nobody. Files are closed by Landlock;
 * on a kernel without it the rest still holds and *files_open says so. STICPS_ERR_STATE when
 * anything else does not work; then do not go on. */
enum sticps_err confine(bool *files_open, struct sticps_error *err) STICPS_MUST_CHECK;

#endif
