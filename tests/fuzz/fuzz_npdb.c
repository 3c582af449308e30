/* client/npdb_reader: whatever the file, opening, looking up and walking through it stay inside it
 * and end; every way to ask gives the same answer. */
#include "client/npdb_reader.h"
#include "tests/fuzz/npdb_mutator.h"
#include "tests/fuzz/target.h"

#define MANY 64u /* blocks and rows of prefixes that are looked at; there may be thousands */

static void check_result(const struct npdb *npdb, uint32_t result)
{
    struct spc spc;
    struct tn lrn;
    uint32_t owner = result & NPDB_OWNER;
    MUST(owner < npdb->owners_count);
    const char *code = npdb_owner_code(npdb, owner);
    MUST(code[0] == '\0' || spc_from_claim(code, strnlen(code, 8), &spc, NULL) == STICPS_OK);
    uint64_t key = npdb_owner_lrn(npdb, owner);
    if (key != 0)
        tn_from_key(key, &lrn);
    MUST(key == 0 || tn_is_nanp(&lrn));
}

/* ---- the plan ---- */

static void check_block(const struct npdb *npdb, uint32_t npa, uint32_t slot,
                        const unsigned char *block)
{
    uint16_t numbers[NPDB_BLOCK_NUMBERS], own = 0;
    uint64_t asked[NPDB_BLOCK_NUMBERS];
    uint32_t results[NPDB_BLOCK_NUMBERS];
    npdb_block_decode(block, numbers, &own);
    for (uint32_t x = 0; x < NPDB_BLOCK_NUMBERS; x++)
        asked[x] = ((npa + 200) * UINT64_C(10000) + slot + 2000) * 1000 + x + UINT64_C(10000000000);
    npdb_find_batch(npdb, asked, NPDB_BLOCK_NUMBERS, results);
    for (uint32_t x = 0; x < NPDB_BLOCK_NUMBERS; x++) {
        bool ported = numbers[x] != NPDB_NOT_PORTED;
        uint32_t owner = npdb_palette_owner(npdb, npa, ported ? numbers[x] : own), portable;
        MUST(results[x] == (owner | (ported ? NPDB_PORTED : 0)));
        MUST(npdb_find_number(npdb, asked[x]) == results[x]);
        uint32_t entry = npdb_block_find_portable(block, x, &portable);
        MUST(npdb_palette_owner(npdb, npa, entry) == owner && portable == ported);
        check_result(npdb, results[x]);
    }
}

static void walk_plan(const struct npdb *npdb)
{
    uint32_t blocks = 0;
    for (uint32_t npa = 0; npa < NPDB_NPA_COUNT; npa++) {
        uint32_t owner;
        const unsigned char *page = npdb_page(npdb, npa, &owner);
        if (page == NULL) {
            check_result(npdb, owner);
            continue;
        }
        for (uint32_t i = 0; i < NPDB_PAGE_SLOTS; i++) {
            uint32_t slot = npdb_get32(page + (size_t)i * NPDB_SLOT_SIZE);
            if ((slot & NPDB_SLOT_BLOCK) == 0)
                check_result(npdb, slot);
            else if (blocks++ < MANY)
                check_block(npdb, npa, i, npdb_slot_block(npdb, slot));
        }
    }
}

/* ---- the prefixes ---- */

static unsigned digits_of(uint64_t number)
{
    unsigned digits = 1;
    for (; number >= 10; number /= 10)
        digits++;
    return digits;
}

/* As the page says it, row by row. */
static uint32_t longest_row(const struct npdb *npdb, uint64_t number)
{
    uint32_t best = NPDB_OWNER_UNKNOWN, owner;
    unsigned best_rank = 0, digits = digits_of(number);
    for (uint32_t i = 0; i < npdb->prefixes_count; i++) {
        uint64_t key = npdb_prefix(npdb, i, &owner), value = key >> 5, start = number;
        unsigned len = key >> 1 & 15, ported = key & 1;
        for (unsigned d = len; d < 15; d++)
            value /= 10;
        for (unsigned d = len; d < digits; d++)
            start /= 10;
        if (len <= digits && (!ported || len == digits) && start == value &&
            2 * len + ported > best_rank) {
            best_rank = 2 * len + ported;
            best = owner | (ported ? NPDB_PORTED : 0);
        }
    }
    return best;
}

static void check_number(const struct npdb *npdb, uint64_t number)
{
    unsigned digits = digits_of(number);
    if (number == 0 || digits > TN_MAX_DIGITS)
        return;
    uint32_t result = npdb_find_number(npdb, number), batch;
    npdb_find_batch(npdb, &number, 1, &batch);
    check_result(npdb, result);
    MUST(result == batch && result == npdb_find(npdb, number, digits));
    uint64_t npa = number / 10000000, nxx = number / 10000 % 1000;
    if (digits != 11 || npa < 1200 || npa > 1999 || nxx < 200)
        MUST(result == longest_row(npdb, number));
}

static void walk_prefixes(const struct npdb *npdb)
{
    uint32_t owner, step = 1 + npdb->prefixes_count / MANY;
    for (uint32_t i = 0; i < npdb->prefixes_count; i += step) {
        uint64_t key = npdb_prefix(npdb, i, &owner), value = key >> 5;
        for (unsigned d = key >> 1 & 15; d < 15; d++)
            value /= 10;
        for (unsigned more = 0; more < 3; more++, value *= 10) {
            check_number(npdb, value - 1);
            check_number(npdb, value);
            check_number(npdb, value + 1);
            check_number(npdb, more > 0 ? value + 9 : value);
        }
    }
}

static void look_at(const uint8_t *data, size_t size, enum npdb_check depth)
{
    static const uint64_t numbers[] = {1, 9, 12025550101, 12001999999, 18005550101, 19999999999};
    struct npdb *npdb;
    struct npdb_figures figures;
    if (npdb_open_memory(data, size, depth, &npdb, NULL) != STICPS_OK)
        return;
    npdb_figures(npdb, &figures);
    walk_plan(npdb);
    walk_prefixes(npdb);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        check_number(npdb, numbers[i]);
    for (uint64_t number = UINT64_MAX; number > 999999999999999; number /= 10)
        MUST(npdb_find_number(npdb, number) == NPDB_OWNER_UNKNOWN);
    npdb_close(npdb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct npdb *npdb;
    look_at(data, size, NPDB_CHECK_STRUCTURE);
    if (npdb_open_memory(data, size, NPDB_CHECK_ALL, &npdb, NULL) == STICPS_OK)
        npdb_close(npdb);
    return 0;
}
