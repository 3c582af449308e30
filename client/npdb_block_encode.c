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

/* One way to tell them: the order of the symbols, and what it takes. */
struct plan {
    bool decades;
    uint64_t order[NPDB_BLOCK_NUMBERS]; /* sorts as the symbols shall; the lowest 16 bits: which */
    unsigned levels, bits;
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

/* Whether each of the ten is like the one behind it. */
static bool is_uniform(const uint16_t ten[10])
{
    return memcmp(ten, ten + 1, 9 * sizeof(ten[0])) == 0;
}

/* How many members of the sequence have each symbol; returns how many there are in all. */
static unsigned count_members(const struct symbols *symbols, bool decades,
                              unsigned count[NPDB_BLOCK_NUMBERS])
{
    unsigned members = 0;
    memset(count, 0, symbols->len * sizeof(count[0]));
    for (const uint16_t *ten = symbols->of; ten < symbols->of + NPDB_BLOCK_NUMBERS; ten += 10) {
        unsigned take = decades && is_uniform(ten) ? 1 : 10;
        for (unsigned i = 0; i < take; i++)
            count[ten[i]]++;
        members += take;
    }
    return members;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void sort(uint64_t *values, unsigned len)
{
    if (len > 64) {
        qsort(values, len, sizeof(values[0]), by_value);
        return;
    }
    for (unsigned i = 1; i < len; i++) {
        uint64_t value = values[i];
        unsigned at = i;
        for (; at > 0 && values[at - 1] > value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
}

static unsigned width_of_rest(unsigned symbols, unsigned levels)
{
    unsigned rest = symbols - levels;
    return rest <= 1 ? 0 : 32 - (unsigned)__builtin_clz(rest - 1);
}

/* The symbols commonest first, then by palette entry, the numbers without a row behind a ported
 * one; and how many levels need the fewest bits. */
static void make_plan(const struct symbols *symbols, uint16_t own, bool decades, struct plan *plan)
{
    unsigned count[NPDB_BLOCK_NUMBERS];
    unsigned left = count_members(symbols, decades, count);
    for (unsigned i = 0; i < symbols->len; i++) {
        bool is_own = symbols->entry[i] == NPDB_NOT_PORTED;
        uint64_t entry = is_own ? own : symbols->entry[i];
        plan->order[i] = (uint64_t)(NPDB_BLOCK_NUMBERS - count[i]) << 40 | entry << 24 |
                         (uint64_t)is_own << 16 | i;
    }
    sort(plan->order, symbols->len);

    unsigned chain = decades ? NPDB_BLOCK_DECADES : 0;
    plan->decades = decades;
    plan->bits = ~0u;
    for (unsigned levels = 0; levels < symbols->len && levels <= NPDB_BLOCK_MAX_LEVELS; levels++) {
        unsigned bits = chain + left * width_of_rest(symbols->len, levels);
        if (bits < plan->bits) {
            plan->bits = bits;
            plan->levels = levels;
        }
        chain += left;
        left -= NPDB_BLOCK_NUMBERS - (unsigned)(plan->order[levels] >> 40);
    }
}

/* ---- writing ---- */

struct writer {
    unsigned char *to;
    uint64_t word;
    unsigned used; /* bits of it, below 64 */
};

/* At most 64 bits; those of `bits` above them are clear. */
static inline void put_bits(struct writer *w, uint64_t bits, unsigned len)
{
    w->word |= bits << w->used;
    w->used += len;
    if (w->used >= 64) {
        npdb_put64(w->to, w->word);
        w->to += 8;
        w->used -= 64;
        w->word = w->used > 0 ? bits >> (len - w->used) : 0;
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

/* The sequence, as symbols in their order; writes the bits of the tens on the way. */
static unsigned put_decades(const struct symbols *symbols, const struct plan *plan,
                            uint16_t members[NPDB_BLOCK_NUMBERS], struct writer *w)
{
    uint16_t place[NPDB_BLOCK_NUMBERS];
    unsigned len = 0;
    for (unsigned i = 0; i < symbols->len; i++)
        place[plan->order[i] & 0xffff] = (uint16_t)i;
    for (const uint16_t *ten = symbols->of; ten < symbols->of + NPDB_BLOCK_NUMBERS; ten += 10) {
        bool uniform = plan->decades && is_uniform(ten);
        if (plan->decades)
            put_bits(w, uniform, 1);
        for (unsigned i = 0; i < (uniform ? 1 : 10); i++)
            members[len++] = place[ten[i]];
    }
    return len;
}

static void put_chain(const struct symbols *symbols, const struct plan *plan, struct writer *w)
{
    uint16_t members[NPDB_BLOCK_NUMBERS];
    unsigned len = put_decades(symbols, plan, members, w);
    for (unsigned level = 0; level < plan->levels; level++) {
        unsigned kept = 0;
        for (unsigned i = 0; i < len;) {
            unsigned take = len - i < 64 ? len - i : 64;
            uint64_t bits = 0;
            for (unsigned k = 0; k < take; k++, i++) { /* no branch: it would be a coin's */
                uint16_t member = members[i];
                bool other = member != level;
                bits |= (uint64_t)other << k;
                members[kept] = member;
                kept += other;
            }
            put_bits(w, bits, take);
        }
        len = kept;
    }
    unsigned width = width_of_rest(symbols->len, plan->levels);
    for (unsigned i = 0; width > 0 && i < len; i++)
        put_bits(w, members[i] - plan->levels, width);
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
    const struct plan *plan = decades.bits < flat.bits ? &decades : &flat;
    struct writer w = {put_symbols(&symbols, plan, out), 0, 0};
    put_chain(&symbols, plan, &w);
    unsigned char *end = flush_bits(&w);
    size_t size = (size_t)(end - out);
    while (size % 8 != 0)
        out[size++] = 0;
    return size;
}
