#include "common/spc_index.h"

#include <stdlib.h>

#define MIN_BITS 4 /* a shift by 32 has no meaning */
#define MAX_BITS 31

struct spc_index *spc_index_new(size_t count)
{
    unsigned bits = MIN_BITS;
    while (bits < MAX_BITS && (size_t)1 << bits < 2 * count)
        bits++;
    if (count > (size_t)1 << (bits - 1))
        return NULL;
    struct spc_index *index =
        calloc(1, sizeof(*index) + sizeof(struct spc_index_slot) * ((size_t)1 << bits));
    if (index == NULL)
        return NULL;
    index->shift = 32 - bits;
    index->mask = ((uint32_t)1 << bits) - 1;
    return index;
}

void spc_index_put(struct spc_index *index, const struct spc *spc, uint32_t value)
{
    uint32_t code = spc_index_code(spc);
    uint32_t at = code * UINT32_C(0x9e3779b1) >> index->shift;
    while (index->slots[at].code != 0)
        at = (at + 1) & index->mask;
    index->slots[at] = (struct spc_index_slot){code, value};
}
