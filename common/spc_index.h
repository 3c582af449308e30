/* From an SPC to a number, for a table that is made once and then asked at every call: one hash
 * probe, mostly one cache line, where a search among 25,000 sorted codes takes 15 steps. Used by
 * signed_list (where the URL is) and override (which row). Codes are valid ones (spc.h). */
#ifndef COMMON_SPC_INDEX_H
#define COMMON_SPC_INDEX_H

#include "common/spc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spc_index_slot {
    uint32_t code; /* 0: free */
    uint32_t value;
};

struct spc_index {
    unsigned shift; /* of a 32-bit hash, to the number of a slot */
    uint32_t mask;  /* slots - 1 */
    struct spc_index_slot slots[];
};

/* With room for `count` codes, which leaves at least half of the slots free; NULL when out of
 * memory. The caller frees it with free(). */
struct spc_index *spc_index_new(size_t count);

/* Adds a code that is not there. At most as many as there is room for. */
void spc_index_put(struct spc_index *index, const struct spc *spc, uint32_t value);

/* Five characters of 6 bits; '0' to 'Z' is 0 to 42, and the NUL after an OCN is 16, which no letter
 * or digit is. So no two codes are one number, and none is 0. */
static inline uint32_t spc_index_code(const struct spc *spc)
{
    uint32_t code = 0;
    for (unsigned i = 0; i < 5; i++)
        code = code << 6 | (((uint32_t)(unsigned char)spc->text[i] - '0') & 0x3f);
    return code;
}

/* Any thread. */
static inline bool spc_index_find(const struct spc_index *index, const struct spc *spc,
                                  uint32_t *value)
{
    uint32_t code = spc_index_code(spc);
    uint32_t at = code * UINT32_C(0x9e3779b1) >> index->shift;
    for (;; at = (at + 1) & index->mask) { /* ends: there are free slots */
        if (index->slots[at].code == code) {
            *value = index->slots[at].value;
            return true;
        }
        if (index->slots[at].code == 0)
            return false;
    }
}

#endif
