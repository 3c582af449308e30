/* Changes to a portability file that keep it a file: a field of the header or of an entry, a block,
 * rows more or fewer; offsets, sizes and checksums are put right again, so that what lies behind
 * those checks is reached. Included once, by fuzz_npdb.c. */
#ifndef TESTS_FUZZ_NPDB_MUTATOR_H
#define TESTS_FUZZ_NPDB_MUTATOR_H

#include "client/crc32c.h"
#include "client/npdb_block.h"
#include "client/npdb_format.h"

#include <stdbool.h>
#include <string.h>

/* libFuzzer's own, where there is one. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

struct image {
    uint8_t *data;
    size_t size, max;
    size_t at[NPDB_SECTIONS], len[NPDB_SECTIONS];
    uint64_t random;
};

static uint32_t any(struct image *image, uint32_t below)
{
    image->random = image->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return below == 0 ? 0 : (uint32_t)(image->random >> 33) % below;
}

/* A value that is right, nearly right or anything. */
static uint32_t some_value(struct image *image, uint32_t limit)
{
    switch (any(image, 6)) {
    case 0:
        return limit;
    case 1:
        return limit - 1;
    case 2:
        return limit + 1 + any(image, 8);
    case 3:
        return any(image, UINT32_C(0x7fffffff)) << any(image, 2);
    case 4:
        return any(image, 4);
    default:
        return any(image, limit);
    }
}

/* Where the sections lie; false when the header does not say it rightly. */
static bool read_image(struct image *image)
{
    if (image->size < NPDB_HEADER_SIZE)
        return false;
    size_t end = NPDB_HEADER_SIZE;
    for (size_t i = 0; i < NPDB_SECTIONS; i++) {
        const uint8_t *entry = image->data + NPDB_AT_SECTIONS + i * NPDB_SECTION_SIZE;
        uint64_t at = npdb_get64(entry), len = npdb_get64(entry + 8);
        if (at != (end + 7) / 8 * 8 || at > image->size || len > image->size - at)
            return false;
        image->at[i] = (size_t)at;
        image->len[i] = (size_t)len;
        end = (size_t)(at + len);
    }
    return image->len[NPDB_NPAS] == (size_t)NPDB_NPA_COUNT * NPDB_NPA_SIZE &&
           image->len[NPDB_OWNERS] >= (size_t)NPDB_OWNER_SIZE;
}

static void seal(struct image *image)
{
    uint8_t *data = image->data;
    npdb_put64(data + NPDB_AT_FILE_SIZE, image->size);
    for (size_t i = 0; i < NPDB_SECTIONS; i++) {
        uint8_t *entry = data + NPDB_AT_SECTIONS + i * NPDB_SECTION_SIZE;
        npdb_put64(entry, image->at[i]);
        npdb_put64(entry + 8, image->len[i]);
        npdb_put32(entry + 16, crc32c(data + image->at[i], image->len[i]));
    }
    npdb_put32(data + NPDB_AT_CRC, crc32c(data, NPDB_AT_CRC));
}

/* Makes a section longer (by zeros) or shorter at `offset` in it, and moves those behind. */
static bool resize(struct image *image, size_t which, size_t offset, size_t old, size_t new)
{
    if (offset > image->len[which] || old > image->len[which] - offset)
        return false; /* what another change left does not fit together */
    size_t len = image->len[which] - old + new, from = image->at[which] + offset;
    size_t tail = image->at[which] + image->len[which] - from - old, end = image->at[which] + len;
    size_t old_next = which + 1 < NPDB_SECTIONS ? image->at[which + 1] : image->size;
    size_t next = which + 1 < NPDB_SECTIONS ? (end + 7) / 8 * 8 : end;
    size_t rest = image->size - old_next;
    if (next + rest + (next - end) > image->max)
        return false;
    uint8_t *data = image->data;
    if (next >= old_next) { /* what lies behind goes first when it moves up */
        memmove(data + next, data + old_next, rest);
        memmove(data + from + new, data + from + old, tail);
    } else {
        memmove(data + from + new, data + from + old, tail);
        memmove(data + next, data + old_next, rest);
    }
    if (new > old)
        memset(data + from + old, 0, new - old);
    memset(data + end, 0, next - end);
    image->len[which] = len;
    for (size_t i = which + 1; i < NPDB_SECTIONS; i++)
        image->at[i] = i == which + 1 ? next : image->at[i] + next - old_next;
    image->size = next + rest;
    return true;
}

static uint8_t *entry_of(struct image *image, size_t which, size_t size)
{
    size_t count = image->len[which] / size;
    return count == 0 ? NULL : image->data + image->at[which] + any(image, (uint32_t)count) * size;
}

static uint32_t owners(const struct image *image)
{
    return (uint32_t)(image->len[NPDB_OWNERS] / NPDB_OWNER_SIZE);
}

/* ---- blocks ---- */

/* A slot that leads to a block, from a random one on; NULL when there is none. */
static uint8_t *slot_of_block(struct image *image, size_t *offset)
{
    size_t count = image->len[NPDB_INDEX] / NPDB_SLOT_SIZE, first = any(image, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        uint8_t *slot = image->data + image->at[NPDB_INDEX] + (first + i) % count * NPDB_SLOT_SIZE;
        uint32_t value = npdb_get32(slot);
        *offset = (size_t)(value & ~NPDB_SLOT_BLOCK) * 8 - image->at[NPDB_BLOCKS];
        if ((value & NPDB_SLOT_BLOCK) != 0 && *offset < image->len[NPDB_BLOCKS])
            return slot;
    }
    return NULL;
}

/* Blocks from `offset` of the section on are found `by` bytes later. */
static void shift_slots(struct image *image, size_t offset, size_t old, size_t new)
{
    uint8_t *slot = image->data + image->at[NPDB_INDEX];
    uint32_t from = (uint32_t)((image->at[NPDB_BLOCKS] + offset) / 8) | NPDB_SLOT_BLOCK;
    for (size_t i = 0; i < image->len[NPDB_INDEX] / NPDB_SLOT_SIZE; i++, slot += NPDB_SLOT_SIZE)
        if (npdb_get32(slot) >= from)
            npdb_put32(slot, npdb_get32(slot) - (uint32_t)(old / 8) + (uint32_t)(new / 8));
}

static size_t random_block(struct image *image, uint8_t *out)
{
    uint16_t numbers[NPDB_BLOCK_NUMBERS];
    uint32_t kinds = 1 + any(image, 1u << any(image, 11)), skew = any(image, 4);
    uint32_t run = any(image, 2) ? 1 : 10 * (1 + any(image, 5)), ported = any(image, 101);
    uint32_t first = any(image, 3) == 0 ? any(image, 300) : 0;
    for (uint32_t x = 0; x < NPDB_BLOCK_NUMBERS; x++) {
        uint32_t kind = any(image, kinds);
        for (uint32_t i = 0; i < skew; i++)
            kind = any(image, kind + 1);
        numbers[x] = any(image, 100) < ported ? (uint16_t)(first + kind) : NPDB_NOT_PORTED;
        if (x % run != 0)
            numbers[x] = numbers[x - 1];
    }
    return npdb_block_encode(numbers, (uint16_t)(first + any(image, kinds)), out);
}

/* A new block in place of one that is there, with as many palette entries as it may want. */
static void replace_block(struct image *image)
{
    uint8_t block[NPDB_BLOCK_MAX_SIZE + 8];
    size_t offset, room;
    if (slot_of_block(image, &offset) == NULL)
        return;
    const uint8_t *at = image->data + image->at[NPDB_BLOCKS] + offset;
    room = image->len[NPDB_BLOCKS] - offset;
    size_t old = npdb_block_check(at, room, UINT32_MAX), new = random_block(image, block);
    if (old == 0 || !resize(image, NPDB_BLOCKS, offset, old, new))
        return;
    memcpy(image->data + image->at[NPDB_BLOCKS] + offset, block, new);
    shift_slots(image, offset + 8, old, new);
}

/* A field of the head, a palette entry or a bit of what follows. */
static void damage_block(struct image *image)
{
    size_t offset;
    if (slot_of_block(image, &offset) == NULL || image->len[NPDB_BLOCKS] - offset < 16)
        return;
    uint8_t *block = image->data + image->at[NPDB_BLOCKS] + offset;
    size_t room = image->len[NPDB_BLOCKS] - offset, reach = any(image, 2) ? 8 : room;
    uint32_t head = npdb_get32(block), symbols = (head & NPDB_HEAD_SYMBOLS) + 1;
    switch (any(image, 5)) {
    case 0:
        head = (head & ~NPDB_HEAD_SYMBOLS) | ((symbols - 2 + any(image, 3)) & 1023);
        break;
    case 1:
        head = (head & ~NPDB_HEAD_LEVELS) | any(image, 16) << NPDB_HEAD_LEVELS_SHIFT;
        break;
    case 2:
        head ^= any(image, 2) ? NPDB_HEAD_WIDE : NPDB_HEAD_DECADES;
        break;
    case 3:
        head = (head & ~NPDB_HEAD_OWN) | (some_value(image, symbols) & 1023) << NPDB_HEAD_OWN_SHIFT;
        break;
    default:
        block[4 + any(image, (uint32_t)reach - 4)] ^= (uint8_t)(1u << any(image, 8));
        return;
    }
    npdb_put32(block, head);
}

/* ---- the other sections ---- */

static void change_slot(struct image *image)
{
    uint8_t *slot = entry_of(image, NPDB_INDEX, NPDB_SLOT_SIZE);
    if (slot == NULL)
        return;
    uint32_t value = some_value(image, owners(image));
    if (any(image, 3) == 0) /* among the blocks, or nearly */
        value = NPDB_SLOT_BLOCK | (uint32_t)(image->at[NPDB_BLOCKS] / 8 +
                                             any(image, (uint32_t)image->len[NPDB_BLOCKS] / 4 + 1));
    npdb_put32(slot, value);
}

static void change_npa(struct image *image)
{
    static const uint32_t limits[] = {3, 0, 0, 16};
    uint8_t *npa = entry_of(image, NPDB_NPAS, NPDB_NPA_SIZE);
    for (uint32_t i = 0; npdb_get32(npa) == 0 && i < 800 && any(image, 8) > 0; i++)
        npa = image->data + image->at[NPDB_NPAS] + i * NPDB_NPA_SIZE; /* rather one with a page */
    uint32_t field = any(image, 4), limit = field == 1 ? owners(image) : limits[field];
    if (field == 2)
        limit = (uint32_t)image->len[NPDB_PALETTES] / 4;
    npdb_put32(npa + 4 * field, some_value(image, limit));
}

static void change_palette(struct image *image)
{
    uint8_t *entry = entry_of(image, NPDB_PALETTES, NPDB_PALETTE_ENTRY_SIZE);
    if (entry != NULL)
        npdb_put32(entry, some_value(image, owners(image)));
}

static void change_owner(struct image *image)
{
    uint8_t *owner = entry_of(image, NPDB_OWNERS, NPDB_OWNER_SIZE);
    if (owner == NULL)
        return;
    if (any(image, 2) == 0)
        owner[8 + any(image, 8)] =
            (uint8_t)(any(image, 2) ? '0' + any(image, 10) : any(image, 256));
    else
        npdb_put64(owner, npdb_get64(owner) + any(image, 5) * 16);
}

static uint64_t random_key(struct image *image)
{
    unsigned len = 1 + any(image, 15);
    uint64_t value = 1 + any(image, 9);
    for (unsigned i = 1; i < len; i++)
        value = value * 10 + (any(image, 2) ? 0 : any(image, 10));
    return npdb_prefix_key(value, len, any(image, 4) == 0);
}

/* One more row of prefixes, in its place. */
static void add_prefix(struct image *image)
{
    uint64_t key = random_key(image);
    size_t at = 0, len = image->len[NPDB_PREFIXES];
    uint8_t *near = entry_of(image, NPDB_PREFIXES, NPDB_PREFIX_SIZE);
    if (near != NULL && any(image, 2) == 0) { /* below or beside one that is there */
        unsigned digits = (npdb_get64(near) >> 1 & 15) + any(image, 2);
        uint64_t unit = 1;
        for (unsigned i = digits; i < 15; i++)
            unit *= 10;
        if (digits <= 15)
            key =
                ((npdb_get64(near) >> 5) + unit * any(image, 3)) << 5 | digits << 1 | any(image, 2);
    }
    const uint8_t *rows = image->data + image->at[NPDB_PREFIXES];
    while (at < len && npdb_get64(rows + at) < key)
        at += NPDB_PREFIX_SIZE;
    if (!resize(image, NPDB_PREFIXES, at, 0, NPDB_PREFIX_SIZE))
        return;
    npdb_put64(image->data + image->at[NPDB_PREFIXES] + at, key);
    npdb_put32(image->data + image->at[NPDB_PREFIXES] + at + 8, 1 + any(image, owners(image) - 1));
}

static void drop_entry(struct image *image, size_t which, size_t size)
{
    uint8_t *entry = entry_of(image, which, size);
    if (entry != NULL)
        resize(image, which, (size_t)(entry - image->data) - image->at[which], size, 0);
}

/* One entry more or less of the first palette that has any; the others move up. */
static void resize_palette(struct image *image)
{
    uint8_t *npas = image->data + image->at[NPDB_NPAS];
    uint32_t grow = any(image, 2), by = 1 + any(image, any(image, 8) == 0 ? 300 : 3), i = 0;
    while (i < NPDB_NPA_COUNT && npdb_get32(npas + i * NPDB_NPA_SIZE + 12) == 0)
        i++;
    if (i == NPDB_NPA_COUNT || (!grow && npdb_get32(npas + i * NPDB_NPA_SIZE + 12) < by) ||
        !resize(image, NPDB_PALETTES, 0, grow ? 0 : 4 * (size_t)by, grow ? 4 * (size_t)by : 0))
        return;
    npas = image->data + image->at[NPDB_NPAS];
    npdb_put32(npas + i * NPDB_NPA_SIZE + 12,
               npdb_get32(npas + i * NPDB_NPA_SIZE + 12) + (grow ? by : 0 - by));
    for (i++; i < NPDB_NPA_COUNT; i++)
        npdb_put32(npas + i * NPDB_NPA_SIZE + 8,
                   npdb_get32(npas + i * NPDB_NPA_SIZE + 8) + (grow ? by : 0 - by));
}

/* A section that ends elsewhere than behind its last entry. */
static void cut_section(struct image *image)
{
    size_t which = any(image, NPDB_SECTIONS), len = image->len[which], by = 1 + any(image, 9);
    if (any(image, 2) == 0)
        resize(image, which, len, 0, by);
    else if (len >= by)
        resize(image, which, len - by, by, 0);
}

static void change_header(struct image *image)
{
    uint32_t field = any(image, 2) ? NPDB_AT_BLOCK_COUNT : 8 * any(image, NPDB_AT_CRC / 8);
    npdb_put32(image->data + field, npdb_get32(image->data + field) - 1 + any(image, 3));
}

static void mutate_once(struct image *image)
{
    switch (any(image, 15)) {
    case 0:
        change_header(image);
        return;
    case 14:
        cut_section(image);
        return;
    case 1:
        change_slot(image);
        return;
    case 2:
        change_npa(image);
        return;
    case 3:
        change_palette(image);
        return;
    case 4:
        change_owner(image);
        return;
    case 5:
        drop_entry(image, NPDB_PREFIXES, NPDB_PREFIX_SIZE);
        return;
    case 6:
        drop_entry(image, NPDB_OWNERS, NPDB_OWNER_SIZE);
        return;
    case 7:
        resize_palette(image);
        return;
    case 8:
    case 9:
        add_prefix(image);
        return;
    case 10:
    case 11:
        damage_block(image);
        return;
    default:
        replace_block(image);
        return;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct image image = {.data = data, .size = size, .max = max_size, .random = seed};
    if (!read_image(&image) || any(&image, 40) == 0)
        return LLVMFuzzerMutate != NULL ? LLVMFuzzerMutate(data, size, max_size) : size;
    for (uint32_t i = 1 + any(&image, 3); i > 0; i--)
        mutate_once(&image);
    if (any(&image, 8) == 0 && LLVMFuzzerMutate != NULL && image.len[NPDB_BLOCKS] > 0) {
        size_t len = image.len[NPDB_BLOCKS]; /* libFuzzer knows what the code compares with */
        LLVMFuzzerMutate(data + image.at[NPDB_BLOCKS], len, len);
    }
    seal(&image);
    if (any(&image, 16) == 0) /* a checksum that does not match */
        data[NPDB_AT_SECTIONS + 16 + any(&image, NPDB_SECTIONS) * NPDB_SECTION_SIZE] ^= 1;
    return image.size;
}

#endif
