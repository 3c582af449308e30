/* Looking numbers up in a portability file (PROTOCOL section 7). Called by number_source, the
 * public API, the tools of `sticps npdb` and tests. The file is mapped read-only and never trusted:
 * opening it checks everything that a lookup relies on (npdb_validate.c), so that no lookup can
 * leave it. It must be replaced by rename, never written in place: a mapped file that shrinks ends
 * the process with SIGBUS. */
#ifndef CLIENT_NPDB_READER_H
#define CLIENT_NPDB_READER_H

#include "client/npdb_block.h"
#include "client/npdb_format.h"
#include "common/error.h"
#include "common/spc.h"
#include "common/tn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An open file. What points into it is set once it has been found sound. */
struct npdb {
    const unsigned char *data;
    size_t len;
    const unsigned char *index, *npas, *palettes, *prefixes, *owners;
    uint32_t pages, palettes_count, prefixes_count, owners_count; /* entries */
    npdb_block_find_fn *find;
    bool mapped;
};

/* How much npdb_open reads: all that keeps lookups inside the file, or also the checksums. */
enum npdb_check { NPDB_CHECK_STRUCTURE, NPDB_CHECK_ALL };

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

/* Checks data and len and sets the rest. STICPS_ERR_NPDB. (npdb_validate.c) */
enum sticps_err npdb_validate(struct npdb *npdb, enum npdb_check check,
                              struct sticps_error *err) STICPS_MUST_CHECK;

/* ---- looking up. No allocation, no lock, no system call; any thread ---- */

/* An owner, and whether the number has a row of its own. */
#define NPDB_PORTED 0x80000000u
#define NPDB_OWNER 0x7fffffffu

/* The owner of a number: its value and how many digits it has, 1 to 15. */
uint32_t npdb_find(const struct npdb *npdb, uint64_t value, unsigned digits);

/* The same for a number that does not start with 0. */
uint32_t npdb_find_number(const struct npdb *npdb, uint64_t number);

/* The same for many such numbers, several memory accesses under way at a time. */
void npdb_find_batch(const struct npdb *npdb, const uint64_t *numbers, size_t count,
                     uint32_t *results);

/* tn_key of the LRN, 0 for none; the SPC, "" for none, valid while the file is open. */
static inline uint64_t npdb_owner_lrn(const struct npdb *npdb, uint32_t owner)
{
    return npdb_get64(npdb->owners + (size_t)owner * NPDB_OWNER_SIZE);
}

static inline const char *npdb_owner_code(const struct npdb *npdb, uint32_t owner)
{
    return (const char *)npdb->owners + (size_t)owner * NPDB_OWNER_SIZE + 8;
}

/* An owner as npdb_owners.h has it: tn_key of the LRN, spc_key of the SPC, 0 for nobody. */
static inline uint64_t npdb_owner_key(const struct npdb *npdb, uint32_t owner)
{
    struct spc spc;
    uint64_t lrn = npdb_owner_lrn(npdb, owner);
    memcpy(spc.text, npdb_owner_code(npdb, owner), sizeof(spc.text));
    return lrn != 0 ? lrn : spc_key(&spc);
}

struct npdb_answer {
    bool found;     /* the number has a row of its own, or a block with or without an owner */
    bool ported;    /* it has a row of its own */
    bool has_owner; /* spc is set */
    struct tn lrn;  /* of a ported number; "" when there is none */
    struct spc spc; /* "" when nobody is named */
};

/* Who serves `tn`? */
void npdb_lookup(const struct npdb *npdb, const struct tn *tn, struct npdb_answer *answer);

/* Who serves an LRN: in the North American plan the block of exactly its NPA-NXX decides, neither a
 * pooled thousand of it nor a shorter prefix; elsewhere the longest prefix. False: no row says. */
bool npdb_owner_of_lrn(const struct npdb *npdb, const struct tn *lrn, struct spc *out);

/* ---- walking through it ---- */

/* The page of an NPA (below NPDB_NPA_COUNT, NPA - 200), or NULL; then *owner has all of it. */
static inline const unsigned char *npdb_page(const struct npdb *npdb, uint32_t npa, uint32_t *owner)
{
    const unsigned char *entry = npdb->npas + (size_t)npa * NPDB_NPA_SIZE;
    uint32_t page = npdb_get32(entry);
    *owner = npdb_get32(entry + 4);
    return page == 0 ? NULL : npdb->index + (size_t)(page - 1) * NPDB_PAGE_SIZE;
}

/* The slot of a thousand, (NXX - 200) * 10 + X, of an NPA. */
static inline uint32_t npdb_slot(const struct npdb *npdb, uint32_t npa, uint32_t thousand)
{
    uint32_t owner;
    const unsigned char *page = npdb_page(npdb, npa, &owner);
    return page == NULL ? owner : npdb_get32(page + (size_t)thousand * NPDB_SLOT_SIZE);
}

/* The block that a slot with NPDB_SLOT_BLOCK leads to. */
static inline const unsigned char *npdb_slot_block(const struct npdb *npdb, uint32_t slot)
{
    return npdb->data + (size_t)(slot & ~NPDB_SLOT_BLOCK) * 8;
}

/* The owner that an entry of an NPA's palette names. */
static inline uint32_t npdb_palette_owner(const struct npdb *npdb, uint32_t npa, uint32_t entry)
{
    uint32_t first = npdb_get32(npdb->npas + (size_t)npa * NPDB_NPA_SIZE + 8);
    return npdb_get32(npdb->palettes + ((size_t)first + entry) * NPDB_PALETTE_ENTRY_SIZE);
}

/* The sequence of the build. */
static inline uint64_t npdb_sequence(const struct npdb *npdb)
{
    return npdb_get64(npdb->data + NPDB_AT_SEQUENCE);
}

/* Row `i` of prefixes: npdb_prefix_key and owner. */
static inline uint64_t npdb_prefix(const struct npdb *npdb, uint32_t i, uint32_t *owner)
{
    const unsigned char *entry = npdb->prefixes + (size_t)i * NPDB_PREFIX_SIZE;
    *owner = npdb_get32(entry + 8);
    return npdb_get64(entry);
}

/* ---- figures ---- */

struct npdb_figures {
    uint64_t bytes, sequence, blocks, ports, spcs, lrns, lrns_without_owner;
};

/* Reads prefixes and owners; not for the call path. */
void npdb_figures(const struct npdb *npdb, struct npdb_figures *out);

#endif
