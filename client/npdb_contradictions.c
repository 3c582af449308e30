#include "client/npdb_contradictions.h"

#include <string.h>

static void keep(struct npdb_contradictions *all, uint64_t number)
{
    size_t at = all->len;
    while (at > 0 && all->number[at - 1] > number)
        at--;
    if (at == NPDB_MAX_CONTRADICTED || (at > 0 && all->number[at - 1] == number))
        return;
    if (all->len < NPDB_MAX_CONTRADICTED)
        all->len++;
    memmove(all->number + at + 1, all->number + at, (all->len - 1 - at) * sizeof(all->number[0]));
    all->number[at] = number;
}

void npdb_contradictions_add(struct npdb_contradictions *all, uint64_t number)
{
    all->rows++;
    keep(all, number);
}

void npdb_contradictions_join(struct npdb_contradictions *all,
                              const struct npdb_contradictions *some)
{
    all->rows += some->rows;
    for (size_t i = 0; i < some->len; i++)
        keep(all, some->number[i]);
}
