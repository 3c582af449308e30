/* The codec of one block: random thousands of every shape, in every form, against an encoder that
 * was written from docs/npdb-format.md and puts bit after bit; and blocks that are cut or damaged,
 * at the end of the mapped memory: whatever the check accepts can be read and names only what
 * exists. */
#include "client/npdb_block.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OVERREAD 8 /* bytes beyond a block that reading it may touch */

static uint64_t seed = 20261123;

static unsigned below(unsigned n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % n;
}

struct thousand {
    uint16_t numbers[NPDB_BLOCK_NUMBERS]; /* as npdb_block_encode takes them */
    uint16_t own;
};

/* ---- the model: the page's rules, one bit at a time ---- */

struct form {
    unsigned levels;
    bool decades;
    unsigned char bytes[2 * NPDB_BLOCK_MAX_SIZE];
    unsigned symbols, at; /* at: bits written */
    size_t size;
};

static void put(struct form *f, unsigned value, unsigned bits)
{
    for (unsigned i = 0; i < bits; i++, f->at++)
        if ((value >> i & 1) != 0)
            f->bytes[f->at / 8] |= (unsigned char)(1u << f->at % 8);
}

struct model_symbol {
    uint16_t value; /* as in numbers */
    unsigned entry, is_own, count;
};

static int by_the_rule(const void *a, const void *b)
{
    const struct model_symbol *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    if (x->entry != y->entry)
        return x->entry < y->entry ? -1 : 1;
    return (int)x->is_own - (int)y->is_own;
}

static bool ten_is_uniform(const struct thousand *t, unsigned ten)
{
    for (unsigned i = 1; i < 10; i++)
        if (t->numbers[10 * ten + i] != t->numbers[10 * ten])
            return false;
    return true;
}

/* The sequence that the bits describe. */
static unsigned model_members(const struct thousand *t, bool decades, uint16_t members[1000])
{
    unsigned len = 0;
    for (unsigned x = 0; x < 1000; x++)
        if (x % 10 == 0 || !decades || !ten_is_uniform(t, x / 10))
            members[len++] = t->numbers[x];
    return len;
}

static unsigned model_symbols(const struct thousand *t, const uint16_t *members, unsigned len,
                              struct model_symbol symbols[1000])
{
    static unsigned count[0x10000]; /* all 0 between the calls */
    unsigned found = 0;
    for (unsigned i = 0; i < len; i++)
        count[members[i]]++;
    for (unsigned i = 0; i < len; i++) {
        uint16_t value = members[i];
        unsigned is_own = value == NPDB_NOT_PORTED;
        if (count[value] > 0)
            symbols[found++] =
                (struct model_symbol){value, is_own ? t->own : value, is_own, count[value]};
        count[value] = 0;
    }
    qsort(symbols, found, sizeof(*symbols), by_the_rule);
    return found;
}

/* What the page says of a thousand with so many bitmaps; false when it has too few symbols. */
static bool model_encode(const struct thousand *t, unsigned levels, bool decades, struct form *f)
{
    uint16_t members[1000], place[0x10000];
    struct model_symbol symbols[1000];
    unsigned len = model_members(t, decades, members), own = 1023, wide = 0, width = 0;
    memset(f, 0, sizeof(*f));
    f->symbols = model_symbols(t, members, len, symbols);
    f->levels = levels;
    f->decades = decades;
    if (levels >= f->symbols)
        return false;
    for (unsigned i = 0; i < f->symbols; i++) {
        place[symbols[i].value] = (uint16_t)i;
        own = symbols[i].is_own ? i : own;
        wide |= symbols[i].entry > 255;
    }
    put(f, f->symbols - 1, 10);
    put(f, levels, 4);
    put(f, wide, 1);
    put(f, decades, 1);
    put(f, own, 10);
    put(f, 0, 6);
    for (unsigned i = 0; i < f->symbols; i++)
        put(f, symbols[i].entry, wide ? 16 : 8);
    for (unsigned ten = 0; decades && ten < 100; ten++)
        put(f, ten_is_uniform(t, ten), 1);
    for (unsigned level = 0; level < levels; level++)
        for (unsigned i = 0; i < len; i++)
            if (place[members[i]] >= level)
                put(f, place[members[i]] > level, 1);
    while (1u << width < f->symbols - levels)
        width++;
    for (unsigned i = 0; i < len; i++)
        if (place[members[i]] >= levels)
            put(f, place[members[i]] - levels, width);
    f->size = (f->at + 63) / 64 * 8;
    return true;
}

/* ---- memory that ends ---- */

static unsigned char *end_of_memory; /* the first byte that must not be touched */

static int map_memory(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 4 * page;
    unsigned char *memory =
        mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -1;
    end_of_memory = memory + size;
    return mprotect(end_of_memory, page, PROT_NONE);
}

/* Places `len` bytes so that only those that may be touched follow; they are full of `rubbish`. */
static unsigned char *place(const unsigned char *bytes, size_t len, int rubbish)
{
    unsigned char *at = end_of_memory - OVERREAD - len;
    memcpy(at, bytes, len);
    memset(at + len, rubbish, OVERREAD);
    return at;
}

/* ---- what must hold ---- */

static unsigned palette_for(const struct thousand *t)
{
    unsigned most = t->own;
    for (unsigned x = 0; x < 1000; x++)
        if (t->numbers[x] != NPDB_NOT_PORTED && t->numbers[x] > most)
            most = t->numbers[x];
    return most + 1;
}

/* Decodes, and finds every `step`th number. */
static void reads_as(const unsigned char *bytes, size_t size, const struct thousand *t,
                     unsigned step)
{
    npdb_block_find_fn *const finders[] = {npdb_block_find_portable, npdb_block_finder()};
    const unsigned char *block = place(bytes, size, 0xff);
    assert_int_equal(npdb_block_check(block, size, palette_for(t)), size);
    assert_int_equal(npdb_block_check(block, size + OVERREAD, palette_for(t)), size);
    assert_int_equal(npdb_block_check(block, size - 8, palette_for(t)), 0);
    struct thousand back = {.own = NPDB_NOT_PORTED};
    npdb_block_decode(block, back.numbers, &back.own);
    assert_memory_equal(back.numbers, t->numbers, sizeof(t->numbers));
    for (unsigned x = below(step); x < 1000; x += step) {
        bool ported = t->numbers[x] != NPDB_NOT_PORTED;
        if (!ported)
            assert_int_equal(back.own, t->own);
        for (unsigned i = 0; i < 2; i++) {
            uint32_t got_ported = 2;
            assert_int_equal(finders[i](block, x, &got_ported), ported ? t->numbers[x] : t->own);
            assert_int_equal(got_ported, ported);
        }
    }
}

static unsigned reached[16][2][2][2]; /* levels, decades, wide, own: how often the encoder chose */

/* Every form of the thousand reads as it, and the encoder takes the one that the page prescribes.
 */
static void holds(const struct thousand *t)
{
    static struct form form, best;
    unsigned char bytes[NPDB_BLOCK_MAX_SIZE];
    best.at = ~0u;
    for (unsigned decades = 0; decades < 2; decades++)
        for (unsigned levels = 0; levels <= NPDB_BLOCK_MAX_LEVELS; levels++) {
            if (!model_encode(t, levels, decades, &form))
                break;
            if (form.at < best.at)
                best = form;
            if (form.size <= NPDB_BLOCK_MAX_SIZE)
                reads_as(form.bytes, form.size, t, 9);
        }
    memset(bytes, 0xaa, sizeof(bytes));
    size_t size = npdb_block_encode(t->numbers, t->own, bytes);
    assert_int_equal(size, best.size);
    assert_memory_equal(bytes, best.bytes, size);
    reads_as(bytes, size, t, 1);
    reached[best.levels][best.decades][bytes[1] >> 6 & 1]
           [((bytes[2] | bytes[3] << 8) & 0x3ff) != NPDB_HEAD_NO_OWN]++;
}

/* ---- shapes ---- */

/* `symbols` values below `span`, in random order, `own` among them when asked. */
static void random_values(uint16_t *values, unsigned symbols, unsigned span, bool own)
{
    static uint16_t all[NPDB_NOT_PORTED];
    for (unsigned i = 0; i < span; i++)
        all[i] = (uint16_t)i;
    for (unsigned i = 0; i < symbols; i++) {
        unsigned other = i + below(span - i);
        uint16_t value = all[other];
        all[other] = all[i];
        values[i] = all[i] = value;
    }
    if (own)
        values[below(symbols)] = NPDB_NOT_PORTED;
}

/* Each symbol has `share` percent of the members that those before it leave, 0: all alike; `run`
 * members in a row have the same. Every symbol occurs when there are no more than members. */
static void random_thousand(struct thousand *t, unsigned symbols, unsigned span, unsigned share,
                            unsigned run, bool own)
{
    uint16_t values[1000];
    random_values(values, symbols, span, own);
    t->own = own && below(4) == 0 ? values[0] : (uint16_t)below(span); /* also one of the others */
    if (t->own == NPDB_NOT_PORTED)
        t->own = 0;
    for (unsigned x = 0; x < 1000; x++) {
        unsigned symbol = share == 0 ? below(symbols) : 0;
        while (share > 0 && below(100) >= share)
            symbol = (symbol + 1) % symbols;
        t->numbers[x] = x % run == 0 ? values[symbol] : t->numbers[x - 1];
    }
    unsigned step = 1000 / symbols;
    for (unsigned i = 0; i < symbols && run == 1; i++)
        t->numbers[i * step] = values[i];
}

static void every_shape_comes_back(void **state)
{
    (void)state;
    static const unsigned symbols[] = {1,  2,  3,  4,  5,   8,   9,   16,  17,
                                       24, 32, 33, 80, 255, 256, 257, 512, 1000};
    static const unsigned shares[] = {0, 17, 30, 50, 80, 97};
    static const unsigned runs[] = {1, 7, 10, 50};
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++)
        for (size_t share = 0; share < sizeof(shares) / sizeof(shares[0]); share++)
            for (size_t run = 0; run < sizeof(runs) / sizeof(runs[0]); run++)
                for (unsigned way = 0; way < 4; way++) {
                    struct thousand t;
                    unsigned span = way < 2 ? (symbols[i] < 200 ? 200 : 1000) : 65535;
                    random_thousand(&t, symbols[i], span, shares[share], runs[run], way % 2 == 0);
                    holds(&t);
                }
}

/* Few different tens among many that are uniform, where the tens are worth telling. */
static void tens_are_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct thousand t;
        random_thousand(&t, 1 + below(40), below(2) ? 200 : 60000, 10 * below(9), 10, below(2));
        for (unsigned n = below(30); n > 0; n--)
            t.numbers[below(1000)] = t.numbers[below(1000)];
        holds(&t);
    }
}

/* A long chain pays when there are few symbols, or when each takes a sixth of what those before it
 * leave. */
static void every_form_is_chosen(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1200; i++) {
        struct thousand t;
        unsigned symbols = i % 4 == 0 ? 60 + below(60) : i % 4 == 1 ? 1 + below(18) : 14 + below(4);
        unsigned share = i % 4 == 0 ? 15 + below(5) : 22 + below(16);
        random_thousand(&t, symbols, below(2) ? 200 : 60000, share, 1, below(2));
        if (below(2) > 0)
            for (unsigned ten = 0; ten < 1000; ten += 10) /* some become uniform */
                for (unsigned x = 1; x < 10 && below(8) > 0; x++)
                    t.numbers[ten + x] = t.numbers[ten];
        holds(&t);
    }
    for (unsigned levels = 0; levels <= NPDB_BLOCK_MAX_LEVELS; levels++)
        for (unsigned decades = 0; decades < 2; decades++) {
            unsigned times = 0;
            for (unsigned way = 0; way < 4; way++)
                times += reached[levels][decades][way / 2][way % 2];
            if (times == 0)
                print_error("%u bitmaps, decades %u: never\n", levels, decades);
            assert_true(times > 0);
        }
}

/* A block worked out by hand: all numbers but 5 are without a row, their palette entry is 7, and
 * 5 is ported to entry 3. One bit tells two symbols; with the tens that takes 100 + 99 + 10 bits,
 * the first ten alone being mixed. */
static void a_block_by_hand(void **state)
{
    (void)state;
    unsigned char expected[40] = {0x01, 0x80, 0x00, 0x00, 7, 3}, bytes[NPDB_BLOCK_MAX_SIZE];
    struct thousand t = {.own = 7};
    memset(t.numbers, 0xff, sizeof(t.numbers));
    t.numbers[5] = 3;
    memset(expected + 6, 0xff, 12);
    expected[6] = 0xfe;
    expected[18] = 0x0f;
    expected[(48 + 100 + 5) / 8] |= 1u << (48 + 100 + 5) % 8;
    assert_int_equal(npdb_block_encode(t.numbers, t.own, bytes), sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
    holds(&t);
}

/* ---- hostile blocks ---- */

/* Reads all that can be read of a block, if the check lets it in; returns whether it does. */
static bool stays_inside(const unsigned char *block, size_t room, unsigned palette_len)
{
    size_t size = npdb_block_check(block, room, palette_len);
    if (size == 0)
        return false;
    assert_true(size <= room && size % 8 == 0);
    npdb_block_find_fn *const fast = npdb_block_finder();
    struct thousand t = {.own = 0};
    npdb_block_decode(block, t.numbers, &t.own);
    assert_true(t.own < palette_len);
    for (unsigned x = 0; x < 1000; x += x % 10 == 0 ? 1 : 4) {
        uint32_t ported, ported_fast;
        uint32_t entry = npdb_block_find_portable(block, x, &ported);
        assert_true(entry < palette_len);
        assert_int_equal(fast(block, x, &ported_fast), entry);
        assert_int_equal(ported_fast, ported);
        assert_int_equal(ported ? t.numbers[x] : t.own, entry);
        assert_int_equal(t.numbers[x] == NPDB_NOT_PORTED, !ported);
    }
    return true;
}

static const struct {
    unsigned symbols, span, share, run;
    bool own;
} attacked[] = {
    {1, 200, 0, 1, true},   {2, 200, 90, 1, true},    {5, 200, 50, 10, true},
    {17, 300, 40, 1, true}, {100, 255, 18, 1, false}, {1000, 65535, 0, 1, false},
};

#define ATTACKED (sizeof(attacked) / sizeof(attacked[0]))

static size_t attacked_block(size_t i, struct thousand *t, unsigned char *bytes)
{
    random_thousand(t, attacked[i].symbols, attacked[i].span, attacked[i].share, attacked[i].run,
                    attacked[i].own);
    return npdb_block_encode(t->numbers, t->own, bytes);
}

static void a_block_cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < ATTACKED; i++) {
        struct thousand t;
        unsigned char bytes[NPDB_BLOCK_MAX_SIZE];
        size_t size = attacked_block(i, &t, bytes);
        for (size_t len = 0; len < size; len++)
            for (int rubbish = 0; rubbish <= 0xff; rubbish += 0xff)
                assert_false(stays_inside(place(bytes, len, rubbish), len, palette_for(&t)));
        assert_true(stays_inside(place(bytes, size, 0), size, palette_for(&t)));
        assert_int_equal(npdb_block_check(place(bytes, size, 0), size, 0), 0);
    }
}

static void a_block_with_any_bit_wrong(void **state)
{
    (void)state;
    unsigned accepted = 0, refused = 0;
    for (size_t i = 0; i < ATTACKED; i++) {
        struct thousand t;
        unsigned char bytes[NPDB_BLOCK_MAX_SIZE];
        size_t size = attacked_block(i, &t, bytes);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            if (stays_inside(place(bytes, size, 0xff), size, palette_for(&t)))
                accepted++;
            else
                refused++;
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
    }
    assert_true(accepted > 1000 && refused > 1000);
}

/* Heads of every kind before random bits, in as much room as they may have. */
static void random_bytes(void **state)
{
    (void)state;
    unsigned accepted = 0;
    for (unsigned i = 0; i < 20000; i++) {
        unsigned char bytes[NPDB_BLOCK_MAX_SIZE];
        size_t size = 8 + below(NPDB_BLOCK_MAX_SIZE - 8 + 1);
        unsigned symbols = below(3) > 0 ? 1 + below(1u << (1 + below(10))) : 1 + below(20);
        uint32_t head = (symbols - 1) |
                        below(below(2)       ? 16
                              : symbols < 16 ? symbols
                                             : 16)
                            << 10 |
                        below(2) << 14 | below(2) << 15 |
                        (below(2) ? NPDB_HEAD_NO_OWN : below(symbols)) << 16;
        for (size_t at = 0; at < size; at++)
            bytes[at] = (unsigned char)(i % 2 == 0 ? below(256) : below(256) & below(256) & 0x3f);
        for (unsigned at = 0; at < 4; at++)
            bytes[at] = (unsigned char)(head >> 8 * at);
        accepted += stays_inside(place(bytes, size, 0xff), size, 65535);
    }
    assert_true(accepted > 1000);
}

/* Each field of the head, one above what it may say. */
static void heads_that_lie(void **state)
{
    (void)state;
    struct thousand t;
    unsigned char bytes[NPDB_BLOCK_MAX_SIZE + 1000] = {0};
    memset(t.numbers, 0xff, sizeof(t.numbers));
    t.own = 1;
    t.numbers[0] = 0;
    npdb_block_encode(t.numbers, t.own, bytes); /* two symbols */
    const uint32_t good = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16;
    static const struct {
        uint32_t clear, set;
        bool accepted;
    } heads[] = {
        {0, 0, true},
        {NPDB_HEAD_LEVELS, 1u << NPDB_HEAD_LEVELS_SHIFT, true},
        {NPDB_HEAD_LEVELS, 2u << NPDB_HEAD_LEVELS_SHIFT, false},
        {NPDB_HEAD_LEVELS, NPDB_HEAD_LEVELS, false},
        {NPDB_HEAD_OWN, 1u << NPDB_HEAD_OWN_SHIFT, true},
        {NPDB_HEAD_OWN, 2u << NPDB_HEAD_OWN_SHIFT, false},
        {NPDB_HEAD_OWN, 1022u << NPDB_HEAD_OWN_SHIFT, false},
        {NPDB_HEAD_OWN, NPDB_HEAD_OWN, true},
        {NPDB_HEAD_SYMBOLS, 1000, false},
        {NPDB_HEAD_SYMBOLS, NPDB_HEAD_SYMBOLS, false},
        {0, 0x04000000, false},
        {0, 0x80000000, false},
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        uint32_t head = (good & ~heads[i].clear) | heads[i].set;
        for (unsigned at = 0; at < 4; at++)
            bytes[at] = (unsigned char)(head >> 8 * at);
        assert_int_equal(npdb_block_check(bytes, sizeof(bytes), 2) != 0, heads[i].accepted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_by_hand),      cmocka_unit_test(every_shape_comes_back),
        cmocka_unit_test(tens_are_told),        cmocka_unit_test(every_form_is_chosen),
        cmocka_unit_test(a_block_cut_anywhere), cmocka_unit_test(a_block_with_any_bit_wrong),
        cmocka_unit_test(random_bytes),         cmocka_unit_test(heads_that_lie),
    };
    return cmocka_run_group_tests(tests, map_memory, NULL);
}
