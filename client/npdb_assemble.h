/* From owners, prefixes and each NPA's numbers to a portability file. Called by npdb_build and by
 * npdb_merge, which differ in where the numbers come from. docs/npdb-format.md, "The layout".
 *
 * The file depends on what is said of which number, and not on the order or the number of threads.
 * Memory: about 19 MB for each worker, and up to 26 MB for the index. */
#ifndef CLIENT_NPDB_ASSEMBLE_H
#define CLIENT_NPDB_ASSEMBLE_H

#include "client/npdb_npa.h"
#include "client/npdb_owners.h"
#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

/* A row of the section "prefixes". */
struct npdb_prefix {
    uint64_t key; /* npdb_prefix_key */
    uint32_t owner;
};

/* Everything is borrowed. */
struct npdb_assembly {
    const struct npdb_owners *owners;   /* all that are named; complete, and started */
    const struct npdb_prefix *prefixes; /* sorted by key, each key once */
    size_t prefixes_len;
    /* Sets the ported numbers of npa->npa, which is empty. Any thread, several at once, each with
     * another `npa`. NULL: there are none. */
    enum sticps_err (*fill)(void *arg, struct npdb_npa *npa, struct sticps_error *err);
    /* After all NPAs have been filled, before the file gets its name: what fails here leaves
     * nothing behind. May be NULL. */
    enum sticps_err (*accept)(void *arg, struct sticps_error *err);
    /* After each NPA, in the calling thread: how many of NPDB_NPA_COUNT are done. May be NULL. */
    void (*progress)(void *arg, unsigned done);
    void *arg;
    unsigned workers; /* as crew_workers has it */
    uint64_t sequence;
    uint64_t base_ports; /* ported numbers of the plan in the older file, 0 without one */
    const char *output;
};

struct npdb_assembled {
    uint64_t bytes;
    uint64_t blocks; /* rows of blocks */
    uint64_t ports;  /* ported numbers, those outside the plan included */
    uint64_t spcs, lrns, lrns_without_owner;
};

/* The row of blocks for exactly these digits, or NULL. */
const struct npdb_prefix *npdb_prefix_find(const struct npdb_assembly *assembly, uint64_t digits,
                                           unsigned len);

/* Writes the file to assembly->output, whole or not at all. STICPS_ERR_FILE, STICPS_ERR_NO_MEMORY,
 * STICPS_ERR_NPDB when it is more than the format can hold; and what fill and accept return. */
enum sticps_err npdb_assemble(const struct npdb_assembly *assembly, struct npdb_assembled *out,
                              struct sticps_error *err) STICPS_MUST_CHECK;

#endif
