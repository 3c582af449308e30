#include "client/tools/dump.h"

#include "client/tools/rows.h"
#include "client/tools/walk.h"

static uint64_t dump_thousand(const struct npdb *npdb, const struct rows_owners *owners,
                              uint32_t npa, uint32_t thousand, FILE *to)
{
    uint32_t results[NPDB_BLOCK_NUMBERS];
    uint64_t number = walk_number(npa, thousand), count = 0;
    walk_numbers(npdb, npa, thousand, results);
    for (size_t i = 0; i < NPDB_BLOCK_NUMBERS; i++) {
        if ((results[i] & NPDB_PORTED) == 0)
            continue;
        rows_number(to, number + i, owners->text[results[i] & NPDB_OWNER]);
        count++;
    }
    return count;
}

static uint64_t dump_plan(const struct npdb *npdb, const struct rows_owners *owners, FILE *to)
{
    uint64_t count = 0;
    for (uint32_t npa = 0; npa < NPDB_NPA_COUNT; npa++)
        for (uint32_t i = 0; i < NPDB_PAGE_SLOTS && !ferror(to); i++)
            if ((npdb_slot(npdb, npa, i) & NPDB_SLOT_BLOCK) != 0)
                count += dump_thousand(npdb, owners, npa, i, to);
    return count;
}

enum sticps_err dump_rows(const struct npdb *npdb, FILE *blocks, FILE *ports, uint64_t *blocks_rows,
                          uint64_t *ports_rows, struct sticps_error *err)
{
    struct rows_owners owners;
    uint64_t counts[2] = {0, 0};
    enum sticps_err code = rows_owners_make(npdb, &owners, err);
    if (code != STICPS_OK)
        return code;
    for (uint32_t i = 0, owner; i < npdb->prefixes_count; i++) {
        uint64_t key = npdb_prefix(npdb, i, &owner);
        FILE *to = (key & 1) != 0 ? ports : blocks;
        if (to != NULL) {
            rows_prefix(to, key, owners.text[owner]);
            counts[key & 1]++;
        }
    }
    if (ports != NULL)
        counts[1] += dump_plan(npdb, &owners, ports);
    *blocks_rows = counts[0];
    *ports_rows = counts[1];
    rows_owners_clear(&owners);
    return STICPS_OK;
}
