/* `sticps-registryd init`: the schema, the key of the access tokens, the first administrator. */
#ifndef REGISTRY_INIT_H
#define REGISTRY_INIT_H

#include "common/error.h"
#include "server/registry/config.h"

/* Safe to run again: applies what is missing and says what is there. Writes to stdout; the
 * administrator's one-time password once, as two lines "userId: …" and "password: …". */
enum sticps_err init_run(const struct config *config, const char *pa_user,
                         struct sticps_error *err) STICPS_MUST_CHECK;

#endif
