/* The rows of a portability file as CSV, in the form that `sticps npdb build` reads fastest. Called
 * by dump and diff. One thread for each file. */
#ifndef CLIENT_TOOLS_ROWS_H
#define CLIENT_TOOLS_ROWS_H

#include "client/npdb_reader.h"

#include <stdio.h>

/* How rows write each owner of a file. */
#define ROWS_OWNER_SIZE 12u
struct rows_owners {
    char (*text)[ROWS_OWNER_SIZE]; /* an LRN's ten digits, an SPC, "-" for nobody */
};

/* STICPS_ERR_NO_MEMORY. */
enum sticps_err rows_owners_make(const struct npdb *npdb, struct rows_owners *out,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

void rows_owners_clear(struct rows_owners *owners);

/* "2025550123,OWNER": a ported number of the plan, ten digits. A stream that fails says so when it
 * is closed. */
void rows_number(FILE *to, uint64_t number, const char *owner);

/* "+4420,OWNER": a row of the section prefixes. */
void rows_prefix(FILE *to, uint64_t key, const char *owner);

#endif
