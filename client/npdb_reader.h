/* Looking numbers up in a portability file (PROTOCOL section 7). Called by number_source, the
 * public API and tests. The file is mapped read-only and never trusted: it is validated when
 * opened, and every index found in it is checked when used. It must be replaced by rename, never
 * written in place: a mapped file that shrinks ends the process with SIGBUS. */
#ifndef CLIENT_NPDB_READER_H
#define CLIENT_NPDB_READER_H

#include "common/error.h"
#include "common/spc.h"
#include "common/tn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct npdb;

struct npdb_answer {
    bool found;     /* the number has a row of its own, or a block with or without an owner */
    bool ported;    /* it has a row of its own */
    bool has_owner; /* spc is set */
    struct tn lrn;  /* of a ported number; "" when there is none */
    struct spc spc; /* "" when nobody is named */
};

struct npdb_figures {
    uint64_t bytes, blocks, ports, spcs, lrns, lrns_without_owner;
};

/* How much of the file npdb_open reads: the header and the owners always, the rest when asked. */
enum npdb_check { NPDB_CHECK_HEADER, NPDB_CHECK_ALL };

/* STICPS_ERR_FILE, STICPS_ERR_NPDB (err->where is the path), STICPS_ERR_NO_MEMORY. The caller owns
 * *out. */
enum sticps_err npdb_open(const char *path, enum npdb_check check, struct npdb **out,
                          struct sticps_error *err) STICPS_MUST_CHECK;

/* The same over memory that the caller keeps until npdb_close. */
enum sticps_err npdb_open_memory(const void *data, size_t len, enum npdb_check check,
                                 struct npdb **out, struct sticps_error *err) STICPS_MUST_CHECK;

/* Accepts NULL. No lookup may be under way: who shares a database between threads counts
 * references. */
void npdb_close(struct npdb *npdb);

/* Who serves `tn`? No allocation, no lock, no system call. Any thread. */
void npdb_lookup(const struct npdb *npdb, const struct tn *tn, struct npdb_answer *answer);

/* Reads the owners; not for the call path. */
void npdb_figures(const struct npdb *npdb, struct npdb_figures *out);

/* Those of them that a table of owners tells: every SPC has one entry there without an LRN. */
void npdb_owner_figures(const unsigned char *owners, uint32_t count, struct npdb_figures *out);

#endif
