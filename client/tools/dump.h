/* A portability file as the CSV that builds it again: `sticps npdb dump`. */
#ifndef CLIENT_TOOLS_DUMP_H
#define CLIENT_TOOLS_DUMP_H

#include "client/npdb_reader.h"

#include <stdio.h>

/* Writes the rows of blocks and those of ported numbers, each in rising order; either stream may be
 * NULL. Whoever closes the streams learns whether all could be written. *blocks_rows and
 * *ports_rows count them. STICPS_ERR_NO_MEMORY. */
enum sticps_err dump_rows(const struct npdb *npdb, FILE *blocks, FILE *ports, uint64_t *blocks_rows,
                          uint64_t *ports_rows, struct sticps_error *err) STICPS_MUST_CHECK;

#endif
