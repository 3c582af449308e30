/* One NPA of a portability file on its way to blocks: who has each of its 8,000,000 numbers.
 * npdb_assemble has one for each worker, lets its caller fill it (from CSV, or from an older file
 * and changes), and takes from it the blocks, the page of the index and the palette. Not for
 * several threads at once.
 *
 * While it is filled, an owner has a *local* number of 16 bits, in the order in which owners come;
 * what is made of it does not depend on that order. */
#ifndef CLIENT_NPDB_NPA_H
#define CLIENT_NPDB_NPA_H

#include "client/npdb_block.h"
#include "client/npdb_format.h"
#include "client/npdb_owners.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NPDB_NPA_NUMBERS (NPDB_PAGE_SLOTS * NPDB_BLOCK_NUMBERS)

struct npdb_named;

struct npdb_npa {
    const struct npdb_owners *owners; /* borrowed, only read */
    unsigned npa;                     /* 200 to 999 */

    uint16_t *numbers;        /* (NXX - 200) * 10000 + XXXX: local owner, or NPDB_NOT_PORTED */
    uint16_t *local;          /* of each owner: its local number + 1, or 0 */
    uint32_t *owner;          /* of each local number */
    uint32_t *uses;           /* of each local number: how many numbers have it */
    uint16_t *entry;          /* of each local number: its entry in the palette */
    struct npdb_named *named; /* those that blocks name, while they are sorted */
    uint32_t locals;
    uint16_t ported[NPDB_PAGE_SLOTS]; /* numbers of each thousand that have a row of their own */
    uint32_t own[NPDB_PAGE_SLOTS];    /* owner of the others */

    /* Blocks of an older file that are as they were (npdb_base); their numbers are not in
     * `numbers`, but `uses` is above 0 for their owners, and counts them when that decides. */
    const unsigned char *kept[NPDB_PAGE_SLOTS]; /* borrowed, or NULL */
    uint16_t *kept_local; /* of each entry of the older palette: local, or NPDB_NOT_PORTED */
    uint64_t replaced;    /* ported numbers in those blocks of the older file that are not kept */
};

/* What becomes of it. Starts as zeros. */
struct npdb_npa_result {
    unsigned npa;
    unsigned char *blocks;
    size_t blocks_len, blocks_capacity;
    uint64_t block_count;
    uint64_t ports; /* more than in the older file, modulo 2^64 */
    bool has_page;
    uint32_t owner;                  /* of every number when there is no page */
    uint32_t slots[NPDB_PAGE_SLOTS]; /* owner, or NPDB_SLOT_BLOCK and offset in blocks / 8 */
    uint32_t *palette;
    size_t palette_len, palette_capacity;
};

/* STICPS_ERR_NO_MEMORY. 16 MB, of which only those parts are touched that have ported numbers. */
enum sticps_err npdb_npa_start(struct npdb_npa *npa, const struct npdb_owners *owners,
                               struct sticps_error *err) STICPS_MUST_CHECK;

void npdb_npa_clear(struct npdb_npa *npa);

/* Makes a local number for an owner that has none; npdb_npa_local is what to call. STICPS_ERR_NPDB
 * when the NPA has NPDB_MAX_PALETTE owners already. */
enum sticps_err npdb_npa_new_local(struct npdb_npa *npa, uint32_t owner, uint32_t *local,
                                   struct sticps_error *err) STICPS_MUST_CHECK;

/* The local number of an owner (an index of npdb_owners). */
static inline enum sticps_err npdb_npa_local(struct npdb_npa *npa, uint32_t owner, uint32_t *local,
                                             struct sticps_error *err)
{
    if (npa->local[owner] == 0)
        return npdb_npa_new_local(npa, owner, local, err);
    *local = npa->local[owner] - 1u;
    return STICPS_OK;
}

/* Gives `number` to a local owner, or to NPDB_NOT_PORTED, whoever had it. */
static inline void npdb_npa_set(struct npdb_npa *npa, uint32_t number, uint32_t local)
{
    uint16_t *held = &npa->numbers[number], *ported = &npa->ported[number / NPDB_BLOCK_NUMBERS];
    if (*held != NPDB_NOT_PORTED) {
        npa->uses[*held]--;
        --*ported;
    }
    if (local != NPDB_NOT_PORTED) {
        npa->uses[local]++;
        ++*ported;
    }
    *held = (uint16_t)local;
}

/* Makes blocks, slots and palette of what was filled in, and empties it for the next NPA.
 * STICPS_ERR_NO_MEMORY; STICPS_ERR_NPDB as npdb_npa_new_local. */
enum sticps_err npdb_npa_finish(struct npdb_npa *npa, struct npdb_npa_result *result,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* Empties it without that. */
void npdb_npa_reset(struct npdb_npa *npa);

void npdb_npa_result_clear(struct npdb_npa_result *result);

#endif
