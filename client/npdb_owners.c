#include "client/npdb_owners.h"

#include "client/npdb_format1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The slot of the index that holds `code`, or the free one where it belongs. */
static uint32_t *find_slot(uint32_t *index, uint32_t index_len, const uint64_t *codes,
                           uint64_t code)
{
    uint32_t at = npdb_home(code, index_len);
    while (index[at] != 0 && codes[index[at] - 1] != code)
        at = at + 1 == index_len ? 0 : at + 1;
    return &index[at];
}

static enum sticps_err grow(struct npdb_owners *owners, struct sticps_error *err)
{
    size_t capacity = owners->capacity == 0 ? 1024 : owners->capacity * 2;
    if (capacity > UINT32_MAX / 2)
        return fail(err, STICPS_ERR_NPDB, NULL, "there are too many different owners");
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

enum sticps_err npdb_owners_add(struct npdb_owners *owners, uint64_t code, uint32_t *index,
                                struct sticps_error *err)
{
    if (owners->len == owners->capacity) {
        enum sticps_err failed = grow(owners, err);
        if (failed != STICPS_OK)
            return failed;
    }
    uint32_t *slot = find_slot(owners->index, owners->index_len, owners->codes, code);
    if (*slot == 0) {
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
        snprintf(out, NPDB_OWNER_TEXT, "%.7s", code == NPDB_NOBODY ? "nobody" : spc.text);
}

void npdb_owners_clear(struct npdb_owners *owners)
{
    free(owners->codes);
    free(owners->index);
    memset(owners, 0, sizeof(*owners));
}
