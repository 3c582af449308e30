/* `sticps-registryd publish`: shows what the next lists would say (--dry-run, reads only), asks the
 * publishing node for one, or confirms a loss that the brake holds back. */
#ifndef REGISTRY_PUBLISH_COMMAND_H
#define REGISTRY_PUBLISH_COMMAND_H

#include "common/error.h"
#include "server/registry/config.h"

#include <stdbool.h>

struct publish_options {
    bool dry_run;
    bool json;           /* of a dry run */
    const char *confirm; /* the name of a loss, or NULL */
};

/* Prints to standard output. `*held`: a dry run found that the brake would hold. STICPS_ERR_FETCH
 * without the database, STICPS_ERR_STATE when the registry refuses or an entry could not be
 * published. */
enum sticps_err publish_command(const struct config *config, const struct publish_options *options,
                                bool *held, struct sticps_error *err) STICPS_MUST_CHECK;

#endif
