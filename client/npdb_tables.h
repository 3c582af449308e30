/* The sections of a portability file behind the blocks: index, npas, palettes, prefixes, owners.
 * npdb_assemble collects them NPA by NPA and writes them when all is known, for only then is it
 * known which owners the file names, and under which index. */
#ifndef CLIENT_NPDB_TABLES_H
#define CLIENT_NPDB_TABLES_H

#include "client/npdb_npa.h"
#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

struct npdb_assembly;
struct npdb_assembled;
struct npdb_output;

struct npdb_tables { /* starts as zeros; owners as in npdb_owners, until they are written */
    uint32_t *pages[NPDB_NPA_COUNT]; /* NPDB_PAGE_SLOTS slots each; NULL: no page */
    uint32_t owner[NPDB_NPA_COUNT];  /* of an NPA without a page */
    uint32_t palette_len[NPDB_NPA_COUNT];
    uint32_t *palettes; /* behind each other */
    size_t palettes_len, palettes_capacity;
};

/* Takes over what is in `result`, whose blocks go to offset `base` of the file. NPAs come in rising
 * order. STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_tables_add(struct npdb_tables *tables, const struct npdb_npa_result *result,
                                uint64_t base, struct sticps_error *err) STICPS_MUST_CHECK;

/* Ends the section of blocks and writes all others; the last is not ended. Counts in *out all but
 * the bytes and the ported numbers of the plan. STICPS_ERR_FILE, STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_tables_write(struct npdb_tables *tables, const struct npdb_assembly *assembly,
                                  struct npdb_output *output, struct npdb_assembled *out,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

void npdb_tables_clear(struct npdb_tables *tables);

#endif
