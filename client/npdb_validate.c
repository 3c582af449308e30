/* Everything that a lookup relies on, checked once when a portability file is opened. */
#include "client/crc32c.h"
#include "client/npdb_reader.h"

#include <string.h>

static enum sticps_err damaged(struct sticps_error *err, const char *what)
{
    return fail(err, STICPS_ERR_NPDB, NULL,
                "not a portability file that this version reads: %s; build it again", what);
}

static bool all_zero(const unsigned char *from, const unsigned char *end)
{
    for (; from < end; from++)
        if (*from != 0)
            return false;
    return true;
}

/* ---- header and sections ---- */

static enum sticps_err check_header(const struct npdb *npdb, struct sticps_error *err)
{
    const unsigned char *data = npdb->data;
    if (npdb->len < NPDB_HEADER_SIZE)
        return damaged(err, "it is shorter than its header");
    if (memcmp(data + NPDB_AT_MAGIC, NPDB_MAGIC, sizeof(NPDB_MAGIC) - 1) != 0)
        return damaged(err, "it does not begin with " NPDB_MAGIC);
    if (npdb_get32(data + NPDB_AT_VERSION) != NPDB_VERSION)
        return damaged(err, "its version is another");
    if (npdb_get32(data + NPDB_AT_HEADER_SIZE) != NPDB_HEADER_SIZE)
        return damaged(err, "the size of its header is wrong");
    if (npdb_get32(data + NPDB_AT_CRC) != crc32c(data, NPDB_AT_CRC))
        return damaged(err, "the checksum of the header does not match");
    if (npdb_get64(data + NPDB_AT_FILE_SIZE) != npdb->len)
        return damaged(err, "it is shorter or longer than its header says");
    if (!all_zero(data + NPDB_AT_ZERO, data + NPDB_AT_CRC))
        return damaged(err, "reserved bytes are not zero");
    return STICPS_OK;
}

struct section {
    const unsigned char *at;
    uint64_t size;
};

/* The sections follow each other, so that an offset has one right value. */
static enum sticps_err find_sections(const struct npdb *npdb, enum npdb_check check,
                                     struct section sections[NPDB_SECTIONS],
                                     struct sticps_error *err)
{
    uint64_t end = NPDB_HEADER_SIZE; /* of the one before; never beyond the file */
    for (size_t i = 0; i < NPDB_SECTIONS; i++) {
        const unsigned char *entry = npdb->data + NPDB_AT_SECTIONS + i * NPDB_SECTION_SIZE;
        uint64_t offset = npdb_get64(entry), size = npdb_get64(entry + 8);
        if (offset != (end + 7) / 8 * 8 || offset > npdb->len || size > npdb->len - offset)
            return damaged(err, "a section is not where it should be");
        if (npdb_get32(entry + 20) != 0 || !all_zero(npdb->data + end, npdb->data + offset))
            return damaged(err, "bytes between the sections are not zero");
        if (check == NPDB_CHECK_ALL &&
            crc32c(npdb->data + offset, (size_t)size) != npdb_get32(entry + 16))
            return damaged(err, "the checksum of a section does not match");
        sections[i] = (struct section){npdb->data + offset, size};
        end = offset + size;
    }
    if (end != npdb->len)
        return damaged(err, "the sections do not fill the file");
    return STICPS_OK;
}

static bool count_entries(const struct section *section, uint32_t entry_size, uint32_t most,
                          uint32_t *count)
{
    *count = (uint32_t)(section->size / entry_size);
    return section->size % entry_size == 0 && section->size / entry_size <= most;
}

static enum sticps_err set_sections(struct npdb *npdb, const struct section *sections,
                                    struct sticps_error *err)
{
    uint32_t npas;
    npdb->index = sections[NPDB_INDEX].at;
    npdb->npas = sections[NPDB_NPAS].at;
    npdb->palettes = sections[NPDB_PALETTES].at;
    npdb->prefixes = sections[NPDB_PREFIXES].at;
    npdb->owners = sections[NPDB_OWNERS].at;
    if (!count_entries(&sections[NPDB_INDEX], NPDB_PAGE_SIZE, NPDB_NPA_COUNT, &npdb->pages) ||
        !count_entries(&sections[NPDB_NPAS], NPDB_NPA_SIZE, NPDB_NPA_COUNT, &npas) ||
        !count_entries(&sections[NPDB_PALETTES], NPDB_PALETTE_ENTRY_SIZE,
                       NPDB_NPA_COUNT * NPDB_MAX_PALETTE, &npdb->palettes_count) ||
        !count_entries(&sections[NPDB_PREFIXES], NPDB_PREFIX_SIZE, UINT32_MAX,
                       &npdb->prefixes_count) ||
        !count_entries(&sections[NPDB_OWNERS], NPDB_OWNER_SIZE, NPDB_MAX_OWNERS,
                       &npdb->owners_count) ||
        npas != NPDB_NPA_COUNT || npdb->owners_count < NPDB_FIRST_OWNER)
        return damaged(err, "the size of a section is wrong");
    return STICPS_OK;
}

/* ---- owners and prefixes ---- */

/* Every LRN is a number and every SPC a code, so that a lookup can hand them out as they are. */
static bool owner_is_sound(const unsigned char *owner)
{
    const char *text = (const char *)owner + 8;
    uint64_t key = npdb_get64(owner);
    struct tn lrn;
    struct spc spc, none = {{0}};
    tn_from_key(key, &lrn);
    if (key != 0 && (tn_key(&lrn) != key || !tn_is_nanp(&lrn)))
        return false;
    if (memcmp(text, none.text, sizeof(none.text)) == 0)
        return key != 0;
    return spc_from_claim(text, strnlen(text, sizeof(spc.text)), &spc, NULL) == STICPS_OK &&
           memcmp(text, spc.text, sizeof(spc.text)) == 0;
}

static uint64_t owner_order(const unsigned char *owner)
{
    uint64_t order = npdb_get64(owner);
    for (size_t i = 8; npdb_get64(owner) == 0 && i < 16; i++)
        order = order << 8 | owner[i];
    return order;
}

static enum sticps_err check_owners(const struct npdb *npdb, struct sticps_error *err)
{
    const unsigned char *owner = npdb->owners + (size_t)NPDB_FIRST_OWNER * NPDB_OWNER_SIZE;
    if (!all_zero(npdb->owners, owner))
        return damaged(err, "the first two owners are not empty");
    uint64_t before = 0;
    for (uint32_t i = NPDB_FIRST_OWNER; i < npdb->owners_count; i++, owner += NPDB_OWNER_SIZE) {
        if (!owner_is_sound(owner))
            return damaged(err, "an owner is neither an LRN nor a Service Provider Code");
        uint64_t order = owner_order(owner);
        if (order <= before)
            return damaged(err, "the owners are not sorted");
        before = order;
    }
    return STICPS_OK;
}

static enum sticps_err check_prefixes(const struct npdb *npdb, struct sticps_error *err)
{
    uint64_t before = 0;
    for (uint32_t i = 0; i < npdb->prefixes_count; i++) {
        uint32_t owner;
        uint64_t key = npdb_prefix(npdb, i, &owner), value = key >> 5, unit = 1;
        unsigned len = key >> 1 & 15;
        if (key <= before || value >= UINT64_C(1000000000000000) || len == 0)
            return damaged(err, "a prefix is no prefix or not in order");
        for (unsigned d = len; d < 15; d++)
            unit *= 10;
        if (value % unit != 0 || owner >= npdb->owners_count || owner == NPDB_OWNER_UNKNOWN)
            return damaged(err,
                           "a prefix is longer than it says or has an owner that is not there");
        before = key;
    }
    return STICPS_OK;
}

/* ---- index and blocks ---- */

/* How far the walk through the NPAs has come. */
struct walk {
    uint32_t pages, palettes;
    uint64_t block, blocks_end, blocks; /* offset of the next block, where they end, how many */
};

static enum sticps_err check_slots(const struct npdb *npdb, uint32_t npa, uint32_t palette_len,
                                   struct walk *walk, struct sticps_error *err)
{
    uint32_t owner;
    const unsigned char *page = npdb_page(npdb, npa, &owner);
    for (size_t i = 0; i < NPDB_PAGE_SLOTS; i++) {
        uint32_t slot = npdb_get32(page + i * NPDB_SLOT_SIZE);
        if ((slot & NPDB_SLOT_BLOCK) == 0) {
            if (slot >= npdb->owners_count)
                return damaged(err, "a slot has an owner that is not there");
            continue;
        }
        if ((uint64_t)(slot & ~NPDB_SLOT_BLOCK) * 8 != walk->block)
            return damaged(err, "a block is not where it should be");
        size_t size = npdb_block_check(npdb->data + walk->block,
                                       (size_t)(walk->blocks_end - walk->block), palette_len);
        if (size == 0)
            return damaged(err, "a block is damaged");
        walk->block += size;
        walk->blocks++;
    }
    return STICPS_OK;
}

static enum sticps_err check_npa(const struct npdb *npdb, uint32_t npa, struct walk *walk,
                                 struct sticps_error *err)
{
    const unsigned char *entry = npdb->npas + (size_t)npa * NPDB_NPA_SIZE;
    uint32_t page = npdb_get32(entry), owner = npdb_get32(entry + 4);
    uint32_t first = npdb_get32(entry + 8), len = npdb_get32(entry + 12);
    if (owner >= npdb->owners_count || first != walk->palettes || len > NPDB_MAX_PALETTE ||
        len > npdb->palettes_count - walk->palettes)
        return damaged(err, "an NPA has an owner or a palette that is not there");
    for (uint32_t i = 0; i < len; i++)
        if (npdb_palette_owner(npdb, npa, i) >= npdb->owners_count)
            return damaged(err, "a palette names an owner that is not there");
    walk->palettes += len;
    if (page == 0)
        return len == 0 ? STICPS_OK : damaged(err, "an NPA without blocks has a palette");
    if (page != walk->pages + 1 || page > npdb->pages || owner != 0)
        return damaged(err, "a page of the index is not where it should be");
    walk->pages = page;
    return check_slots(npdb, npa, len, walk, err);
}

static enum sticps_err check_index(const struct npdb *npdb, const struct section *blocks,
                                   struct sticps_error *err)
{
    struct walk walk = {0};
    walk.block = (uint64_t)(blocks->at - npdb->data);
    walk.blocks_end = walk.block + blocks->size;
    for (uint32_t npa = 0; npa < NPDB_NPA_COUNT; npa++) {
        enum sticps_err code = check_npa(npdb, npa, &walk, err);
        if (code != STICPS_OK)
            return code;
    }
    if (walk.pages != npdb->pages || walk.palettes != npdb->palettes_count ||
        walk.block != walk.blocks_end ||
        walk.blocks != npdb_get64(npdb->data + NPDB_AT_BLOCK_COUNT))
        return damaged(err, "pages, palettes or blocks are left over");
    return STICPS_OK;
}

enum sticps_err npdb_validate(struct npdb *npdb, enum npdb_check check, struct sticps_error *err)
{
    struct section sections[NPDB_SECTIONS];
    enum sticps_err code = check_header(npdb, err);
    if (code == STICPS_OK)
        code = find_sections(npdb, check, sections, err);
    if (code == STICPS_OK)
        code = set_sections(npdb, sections, err);
    if (code == STICPS_OK)
        code = check_owners(npdb, err);
    if (code == STICPS_OK)
        code = check_prefixes(npdb, err);
    if (code == STICPS_OK)
        code = check_index(npdb, &sections[NPDB_BLOCKS], err);
    return code;
}
