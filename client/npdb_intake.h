/* CSV files into rows with owners, piece by piece: a crew parses, the caller takes the pieces in
 * the order of the files. Called by npdb_build, which reads everything so, and again when it looks
 * for the lines of contradictions. */
#ifndef CLIENT_NPDB_INTAKE_H
#define CLIENT_NPDB_INTAKE_H

#include "client/npdb_csv.h"
#include "client/npdb_input.h"
#include "client/npdb_owners.h"
#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

#define NPDB_MAX_REPORTED_FAULTS 20u

/* A row that does not become a ported number of the plan, or that is looked for. */
struct npdb_piece_row {
    uint64_t number;
    uint32_t owner; /* index in npdb_owners, or NPDB_ROW_ENDED */
    uint32_t line;  /* of the piece, from 0 */
    uint32_t since;
};

struct npdb_piece {
    struct npdb_span span;
    char *text;
    enum sticps_err code;
    struct sticps_error err;

    /* Ported numbers of the plan: npdb_ported_part, npdb_ported_in_part, npdb_ported_owner. */
    uint64_t *ported;
    size_t ported_len, ported_capacity;
    struct npdb_piece_row *rows;
    size_t rows_len, rows_capacity;
    uint32_t lines; /* in the piece */
    uint64_t faults, ended, skipped, future;
    struct {
        uint32_t line;
        char what[sizeof(((struct sticps_error *)NULL)->text)];
    } fault[NPDB_MAX_REPORTED_FAULTS]; /* the first of them */
};

static inline uint32_t npdb_ported_part(uint64_t ported)
{
    return (uint32_t)(ported >> 40);
}

static inline uint32_t npdb_ported_in_part(uint64_t ported)
{
    return (uint32_t)(ported >> 20) & 0xfffff;
}

static inline uint32_t npdb_ported_owner(uint64_t ported)
{
    return (uint32_t)ported & 0xfffff;
}

struct npdb_intake {
    struct npdb_input *input;   /* started; borrowed */
    struct npdb_owners *owners; /* started; grows */
    unsigned workers;
    /* When not NULL, only these numbers (keys, sorted) matter, and they come in `rows`. */
    const uint64_t *wanted;
    size_t wanted_len;
    /* Called in the calling thread for each piece, in order. */
    enum sticps_err (*take)(void *arg, const struct npdb_piece *piece, struct sticps_error *err);
    void *arg;
};

/* What npdb_input_next, npdb_owners_add and take return; STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_intake_run(const struct npdb_intake *intake,
                                struct sticps_error *err) STICPS_MUST_CHECK;

#endif
