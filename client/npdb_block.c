#include "client/npdb_block.h"

#include "client/npdb_format.h"

#include <stdlib.h>

/* What of a block does not depend on the number looked up. Offsets are in bits from the block. */
struct shape {
    unsigned symbols, levels, own;
    unsigned width;   /* bits of an entry of the rest */
    unsigned symbol;  /* bits of a symbol's palette entry */
    unsigned decades; /* offset of the bits of the tens, 0 without them */
    unsigned chain;   /* offset of bitmap 0 */
};

/* The smallest number of bits that can tell `count` things apart. */
static inline unsigned bits_for(unsigned count)
{
    return count <= 1 ? 0 : 32 - (unsigned)__builtin_clz(count - 1);
}

static inline struct shape read_head(const unsigned char *block)
{
    uint32_t head = npdb_get32(block);
    struct shape s;
    s.symbols = (head & NPDB_HEAD_SYMBOLS) + 1;
    s.levels = (head & NPDB_HEAD_LEVELS) >> NPDB_HEAD_LEVELS_SHIFT;
    s.own = (head & NPDB_HEAD_OWN) >> NPDB_HEAD_OWN_SHIFT;
    s.width = bits_for(s.symbols - s.levels);
    s.symbol = (head & NPDB_HEAD_WIDE) != 0 ? 16 : 8;
    unsigned behind = 8 * NPDB_BLOCK_HEAD_SIZE + s.symbols * s.symbol;
    s.decades = (head & NPDB_HEAD_DECADES) != 0 ? behind : 0;
    s.chain = behind + (s.decades != 0 ? NPDB_BLOCK_DECADES : 0);
    return s;
}

static inline uint32_t symbol_entry(const unsigned char *block, const struct shape *s,
                                    unsigned symbol)
{
    const unsigned char *entry = block + NPDB_BLOCK_HEAD_SIZE + symbol * (s->symbol / 8);
    return s->symbol == 16 ? npdb_get16(entry) : entry[0];
}

/* ---- bits ---- */

static inline unsigned bit_at(const unsigned char *block, unsigned at)
{
    return block[at >> 3] >> (at & 7) & 1;
}

/* `width` bits, at most 10, from `at` on. Reads two bytes and, for the sake of speed, no fewer. */
static inline unsigned bits_at(const unsigned char *block, unsigned at, unsigned width)
{
    uint32_t word = npdb_get32(block + (at >> 3));
    return word >> (at & 7) & ((1u << width) - 1);
}

typedef unsigned count_fn(uint64_t word);

static inline unsigned count_portable(uint64_t word)
{
    word -= word >> 1 & UINT64_C(0x5555555555555555);
    word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
    word = (word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(word * UINT64_C(0x0101010101010101) >> 56);
}

/* How many of the `len` bits from `at` on are set. */
static inline __attribute__((always_inline)) unsigned
count_bits(const unsigned char *block, unsigned at, unsigned len, count_fn *count)
{
    const unsigned char *word = block + (at >> 6) * 8;
    unsigned first = at & 63, set = 0;
    uint64_t bits = npdb_get64(word) >> first;
    if (len > 64 - first) {
        set = count(bits);
        for (len -= 64 - first; len > 64; len -= 64)
            set += count(npdb_get64(word += 8));
        bits = npdb_get64(word + 8);
    }
    return len == 0 ? set : set + count(bits << (64 - len)); /* of the last word its lowest bits */
}

/* ---- looking up ---- */

static inline __attribute__((always_inline)) uint32_t find(const unsigned char *block, unsigned x,
                                                           uint32_t *ported, count_fn *count)
{
    struct shape s = read_head(block);
    unsigned member = x, len = NPDB_BLOCK_NUMBERS, at = s.chain, symbol = s.levels;
    if (s.decades != 0) {
        unsigned decade = x / 10, before = count_bits(block, s.decades, decade, count);
        member = 10 * decade - 9 * before;
        if (!bit_at(block, s.decades + decade))
            member += x % 10;
        len -= 9 *
               (before + count_bits(block, s.decades + decade, NPDB_BLOCK_DECADES - decade, count));
    }
    for (unsigned level = 0; level < s.levels; level++) {
        if (!bit_at(block, at + member)) {
            symbol = level;
            goto found;
        }
        unsigned before = count_bits(block, at, member, count);
        unsigned set = before + count_bits(block, at + member, len - member, count);
        at += len;
        member = before;
        len = set;
    }
    symbol += bits_at(block, at + member * s.width, s.width);
found:
    *ported = symbol != s.own;
    return symbol_entry(block, &s, symbol);
}

uint32_t npdb_block_find_portable(const unsigned char *block, unsigned x, uint32_t *ported)
{
    return find(block, x, ported, count_portable);
}

#if defined(__x86_64__)
__attribute__((target("popcnt"))) static inline unsigned count_popcnt(uint64_t word)
{
    return (unsigned)__builtin_popcountll(word);
}

__attribute__((target("popcnt,bmi,bmi2"))) static uint32_t find_bmi2(const unsigned char *block,
                                                                     unsigned x, uint32_t *ported)
{
    return find(block, x, ported, count_popcnt);
}
#endif

npdb_block_find_fn *npdb_block_finder(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi2"))
        return find_bmi2;
#endif
    return npdb_block_find_portable;
}

/* ---- checking ---- */

static bool symbols_exist(const unsigned char *block, const struct shape *s, uint32_t palette_len)
{
    for (unsigned i = 0; i < s->symbols; i++)
        if (symbol_entry(block, s, i) >= palette_len)
            return false;
    return true;
}

size_t npdb_block_check(const unsigned char *block, size_t room, uint32_t palette_len)
{
    room &= ~(size_t)7; /* a block fills multiples of 8 */
    if (room == 0)
        return 0;
    uint32_t head = npdb_get32(block);
    struct shape s = read_head(block);
    size_t limit = room < NPDB_BLOCK_MAX_SIZE ? room * 8 : (size_t)NPDB_BLOCK_MAX_SIZE * 8;
    if (s.symbols > NPDB_BLOCK_NUMBERS || s.levels >= s.symbols || (head & NPDB_HEAD_ZERO) != 0 ||
        (s.own >= s.symbols && s.own != NPDB_HEAD_NO_OWN) || s.chain > limit ||
        !symbols_exist(block, &s, palette_len))
        return 0;
    unsigned at = s.chain, len = NPDB_BLOCK_NUMBERS;
    if (s.decades != 0)
        len -= 9 * count_bits(block, s.decades, NPDB_BLOCK_DECADES, count_portable);
    for (unsigned level = 0; level < s.levels; level++) {
        if (at + len > limit)
            return 0;
        unsigned set = count_bits(block, at, len, count_portable);
        at += len;
        len = set;
    }
    if (at + len * s.width > limit)
        return 0;
    if (s.symbols - s.levels != 1u << s.width) /* else every value is a symbol */
        for (unsigned i = 0; i < len; i++)
            if (s.levels + bits_at(block, at + i * s.width, s.width) >= s.symbols)
                return 0;
    return (at + len * s.width + 63) / 64 * 8;
}

/* ---- decoding ---- */

void npdb_block_decode(const unsigned char *block, uint16_t numbers[NPDB_BLOCK_NUMBERS],
                       uint16_t *own)
{
    struct shape s = read_head(block);
    uint16_t first[NPDB_BLOCK_NUMBERS]; /* of each member, the number that it starts with */
    uint16_t entry[NPDB_BLOCK_NUMBERS];
    unsigned len = 0;
    for (unsigned x = 0; x < NPDB_BLOCK_NUMBERS; x++)
        if (x % 10 == 0 || s.decades == 0 || !bit_at(block, s.decades + x / 10))
            first[len++] = (uint16_t)x;
    for (unsigned i = 0; i < s.symbols; i++)
        entry[i] = (uint16_t)symbol_entry(block, &s, i);
    if (s.own != NPDB_HEAD_NO_OWN) {
        *own = entry[s.own];
        entry[s.own] = NPDB_NOT_PORTED;
    }
    unsigned at = s.chain;
    for (unsigned level = 0; level < s.levels; level++) {
        unsigned kept = 0;
        for (unsigned i = 0; i < len;) {
            unsigned take = 56 - (at & 7); /* bits that one word has for sure */
            uint64_t bits = npdb_get64(block + (at >> 3)) >> (at & 7);
            if (take > len - i)
                take = len - i;
            at += take;
            for (; take > 0; take--, i++, bits >>= 1) { /* no branch: it would be a coin's */
                uint16_t x = first[i];
                numbers[x] = entry[level];
                first[kept] = x;
                kept += bits & 1;
            }
        }
        len = kept;
    }
    for (unsigned i = 0; i < len; i++)
        numbers[first[i]] = entry[s.levels + bits_at(block, at + i * s.width, s.width)];
    for (unsigned d = 0; s.decades != 0 && d < NPDB_BLOCK_DECADES; d++)
        if (bit_at(block, s.decades + d))
            for (unsigned x = 1; x < 10; x++)
                numbers[10 * d + x] = numbers[10 * d];
}
