/* Encoding a block: the smallest of the forms that npdb_block.h describes. */
#include "client/npdb_block.h"
#include "client/npdb_format.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_SIZE 2048u /* a power of two, above twice the numbers of a block */

/* The numbers as symbols in the order in which they are met. */
struct symbols {
    uint16_t entry[NPDB_BLOCK_NUMBERS]; /* of the NPA's palette, or NPDB_NOT_PORTED */
    unsigned len;
    uint16_t of[NPDB_BLOCK_NUMBERS]; /* of each number */
};

/* One way to tell them. */
struct plan {
    bool decades;
    uint16_t members[NPDB_BLOCK_NUMBERS]; /* symbols as met, then as ordered */
    unsigned len;
    uint64_t order[NPDB_BLOCK_NUMBERS]; /* sorts as the symbols shall; the lowest 16 bits: which */
    unsigned levels;
    unsigned bits;
};

static void collect(const uint16_t numbers[NPDB_BLOCK_NUMBERS], struct symbols *symbols)
{
    uint16_t table[TABLE_SIZE]; /* symbol + 1 */
    memset(table, 0, sizeof(table));
    symbols->len = 0;
    for (unsigned x = 0; x < NPDB_BLOCK_NUMBERS; x++) {
        if (x > 0 && numbers[x] == numbers[x - 1]) {
            symbols->of[x] = symbols->of[x - 1];
            continue;
        }
        uint32_t at = numbers[x] * 40503u >> 5 & (TABLE_SIZE - 1);
        while (table[at] != 0 && symbols->entry[table[at] - 1] != numbers[x])
            at = (at + 1) & (TABLE_SIZE - 1);
        if (table[at] == 0) {
            symbols->entry[symbols->len++] = numbers[x];
            table[at] = (uint16_t)symbols->len;
        }
        symbols->of[x] = table[at] - 1;
    }
}

static bool is_uniform(const uint16_t ten[10])
{
    for (unsigned i = 1; i < 10; i++)
        if (ten[i] != ten[0])
            return false;
    return true;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Commonest first, then by palette entry, the numbers without a row behind a ported one. */
static void order_symbols(const struct symbols *symbols, uint16_t own, struct plan *plan)
{
    unsigned count[NPDB_BLOCK_NUMBERS] = {0};
    for (unsigned i = 0; i < plan->len; i++)
        count[plan->members[i]]++;
    for (unsigned i = 0; i < symbols->len; i++) {
        bool is_own = symbols->entry[i] == NPDB_NOT_PORTED;
        uint64_t entry = is_own ? own : symbols->entry[i];
        plan->order[i] = (uint64_t)(NPDB_BLOCK_NUMBERS - count[i]) << 40 | entry << 24 |
                         (uint64_t)is_own << 16 | i;
    }
    qsort(plan->order, symbols->len, sizeof(plan->order[0]), by_value);

    uint16_t place[NPDB_BLOCK_NUMBERS];
    for (unsigned i = 0; i < symbols->len; i++)
        place[plan->order[i] & 0xffff] = (uint16_t)i;
    for (unsigned i = 0; i < plan->len; i++)
        plan->members[i] = place[plan->members[i]];

    /* How many levels need the fewest bits. */
    unsigned chain = plan->decades ? NPDB_BLOCK_DECADES : 0, left = plan->len;
    plan->bits = ~0u;
    for (unsigned levels = 0; levels < symbols->len && levels <= NPDB_BLOCK_MAX_LEVELS; levels++) {
        unsigned rest = symbols->len - levels;
        unsigned width = rest <= 1 ? 0 : 32 - (unsigned)__builtin_clz(rest - 1);
        if (chain + left * width < plan->bits) {
            plan->bits = chain + left * width;
            plan->levels = levels;
        }
        chain += left;
        left -= NPDB_BLOCK_NUMBERS - (unsigned)(plan->order[levels] >> 40);
    }
}

/* Sequence, order and size, without or with the tens. */
static void make_plan(const struct symbols *symbols, uint16_t own, bool decades, struct plan *plan)
{
    plan->decades = decades;
    plan->len = 0;
    for (unsigned x = 0; x < NPDB_BLOCK_NUMBERS; x += 10) {
        unsigned take = decades && is_uniform(symbols->of + x) ? 1 : 10;
        memcpy(plan->members + plan->len, symbols->of + x, take * sizeof(plan->members[0]));
        plan->len += take;
    }
    order_symbols(symbols, own, plan);
}

/* ---- writing ---- */

struct writer {
    unsigned char *to;
    uint64_t word;
    unsigned used; /* bits of it */
};

static inline void put_bits(struct writer *w, unsigned value, unsigned width)
{
    w->word |= (uint64_t)value << w->used;
    w->used += width;
    while (w->used >= 32) {
        npdb_put32(w->to, (uint32_t)w->word);
        w->to += 4;
        w->word >>= 32;
        w->used -= 32;
    }
}

static unsigned char *flush_bits(struct writer *w)
{
    for (; w->used > 0; w->used -= w->used < 8 ? w->used : 8) {
        *w->to++ = (unsigned char)w->word;
        w->word >>= 8;
    }
    return w->to;
}

static void put_decades(const struct symbols *symbols, struct writer *w)
{
    for (unsigned d = 0; d < NPDB_BLOCK_DECADES; d++)
        put_bits(w, is_uniform(symbols->of + 10 * d), 1);
}

static void put_chain(struct plan *plan, unsigned symbols, struct writer *w)
{
    for (unsigned level = 0; level < plan->levels; level++) {
        unsigned kept = 0;
        for (unsigned i = 0; i < plan->len; i++) {
            bool other = plan->members[i] != level;
            put_bits(w, other, 1);
            plan->members[kept] = plan->members[i];
            kept += other;
        }
        plan->len = kept;
    }
    unsigned rest = symbols - plan->levels;
    unsigned width = rest <= 1 ? 0 : 32 - (unsigned)__builtin_clz(rest - 1);
    for (unsigned i = 0; width > 0 && i < plan->len; i++)
        put_bits(w, plan->members[i] - plan->levels, width);
}

/* Head and symbols; returns where they end. */
static unsigned char *put_symbols(const struct symbols *symbols, const struct plan *plan,
                                  unsigned char *out)
{
    uint32_t own = NPDB_HEAD_NO_OWN, most = 0;
    for (unsigned i = 0; i < symbols->len; i++) {
        uint32_t entry = (uint32_t)(plan->order[i] >> 24) & 0xffff;
        if ((plan->order[i] >> 16 & 1) != 0)
            own = i;
        if (entry > most)
            most = entry;
    }
    bool wide = most > 255;
    npdb_put32(out, (symbols->len - 1) | plan->levels << NPDB_HEAD_LEVELS_SHIFT |
                        (wide ? NPDB_HEAD_WIDE : 0) | (plan->decades ? NPDB_HEAD_DECADES : 0) |
                        own << NPDB_HEAD_OWN_SHIFT);
    out += NPDB_BLOCK_HEAD_SIZE;
    for (unsigned i = 0; i < symbols->len; i++) {
        *out++ = (unsigned char)(plan->order[i] >> 24);
        if (wide)
            *out++ = (unsigned char)(plan->order[i] >> 32);
    }
    return out;
}

size_t npdb_block_encode(const uint16_t numbers[NPDB_BLOCK_NUMBERS], uint16_t own,
                         unsigned char *out)
{
    struct symbols symbols;
    struct plan flat, decades;
    collect(numbers, &symbols);
    make_plan(&symbols, own, false, &flat);
    make_plan(&symbols, own, true, &decades);
    struct plan *plan = decades.bits < flat.bits ? &decades : &flat;
    struct writer w = {put_symbols(&symbols, plan, out), 0, 0};
    if (plan->decades)
        put_decades(&symbols, &w);
    put_chain(plan, symbols.len, &w);
    unsigned char *end = flush_bits(&w);
    size_t size = (size_t)(end - out);
    while (size % 8 != 0)
        out[size++] = 0;
    return size;
}
