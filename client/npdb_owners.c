#include "client/npdb_owners.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The slot where the search for a code starts: the high half of the mixed code (the finalizer of
 * splitmix64) scaled to the table. */
static uint32_t home(uint64_t code, uint32_t slots)
{
    code = (code ^ code >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    code = (code ^ code >> 27) * UINT64_C(0x94d049bb133111eb);
    code ^= code >> 31;
    return (uint32_t)((code >> 32) * slots >> 32);
}

/* The slot of the index that holds `code`, or the free one where it belongs. */
static uint32_t *find_slot(uint32_t *index, uint32_t index_len, const uint64_t *codes,
                           uint64_t code)
{
    uint32_t at = home(code, index_len);
    while (index[at] != 0 && codes[index[at] - 1] != code)
        at = at + 1 == index_len ? 0 : at + 1;
    return &index[at];
}

static enum sticps_err grow(struct npdb_owners *owners, struct sticps_error *err)
{
    size_t capacity = owners->capacity == 0 ? 1024 : owners->capacity * 2;
    uint64_t *codes = reallocarray(owners->codes, capacity, sizeof(*codes));
    if (codes != NULL)
        owners->codes = codes;
    uint32_t index_len = (uint32_t)capacity * 2;
    uint32_t *index = calloc(index_len, sizeof(*index));
    if (codes == NULL || index == NULL) {
        free(index);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    for (size_t i = 0; i < owners->len; i++)
        *find_slot(index, index_len, codes, codes[i]) = (uint32_t)i + 1;
    free(owners->index);
    owners->index = index;
    owners->index_len = index_len;
    owners->capacity = capacity;
    return STICPS_OK;
}

enum sticps_err npdb_owners_start(struct npdb_owners *owners, struct sticps_error *err)
{
    uint32_t index;
    enum sticps_err code = npdb_owners_add(owners, NPDB_UNKNOWN, &index, err);
    return code == STICPS_OK ? npdb_owners_add(owners, NPDB_NOBODY, &index, err) : code;
}

enum sticps_err npdb_owners_add(struct npdb_owners *owners, uint64_t code, uint32_t *index,
                                struct sticps_error *err)
{
    if (owners->len == owners->capacity && owners->len < NPDB_MAX_OWNERS) {
        enum sticps_err failed = grow(owners, err);
        if (failed != STICPS_OK)
            return failed;
    }
    uint32_t *slot = find_slot(owners->index, owners->index_len, owners->codes, code);
    if (*slot == 0) {
        if (owners->len >= NPDB_MAX_OWNERS)
            return fail(err, STICPS_ERR_NPDB, NULL,
                        "there are more than %u different owners (SPCs and LRNs); the second "
                        "column is hardly the one meant",
                        NPDB_MAX_OWNERS - NPDB_FIRST_OWNER);
        owners->codes[owners->len++] = code;
        *slot = (uint32_t)owners->len;
    }
    *index = *slot - 1;
    return STICPS_OK;
}

struct spc npdb_owner_spc(uint64_t code)
{
    struct spc spc;
    for (size_t i = 0; i < sizeof(spc.text); i++)
        spc.text[i] = (char)(code >> (8 * (sizeof(spc.text) - 1 - i)) & 0xff);
    return spc;
}

void npdb_owner_text(uint64_t code, char out[NPDB_OWNER_TEXT])
{
    struct tn lrn;
    struct spc spc = npdb_owner_spc(code);
    tn_from_key(code, &lrn);
    if (npdb_owner_is_lrn(code))
        snprintf(out, NPDB_OWNER_TEXT, "LRN %s", lrn.digits);
    else
        snprintf(out, NPDB_OWNER_TEXT, "%.7s",
                 code == NPDB_NOBODY    ? "nobody"
                 : code == NPDB_UNKNOWN ? "no row"
                                        : spc.text);
}

void npdb_owners_clear(struct npdb_owners *owners)
{
    free(owners->codes);
    free(owners->index);
    memset(owners, 0, sizeof(*owners));
}
