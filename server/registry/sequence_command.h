/* `sticps-registryd sequence raise`: an operator's word that sequence numbers are passed over,
 * because the publications that had them are lost (sequence_floor.h). */
#ifndef REGISTRY_SEQUENCE_COMMAND_H
#define REGISTRY_SEQUENCE_COMMAND_H

#include "common/error.h"
#include "server/registry/config.h"
#include "server/registry/published_list.h"

#include <stdint.h>

/* The next publication of that kind becomes `to` + 1 (1 to 2^53-2), which is audited, and prints
 * so. STICPS_ERR_STATE when the database is there already: it only goes upwards. */
enum sticps_err sequence_raise(const struct config *config, enum list_kind kind, int64_t to,
                               struct sticps_error *err) STICPS_MUST_CHECK;

#endif
