#include "client/npdb_tables.h"

#include "client/npdb_assemble.h"
#include "client/npdb_write.h"

#include <stdlib.h>
#include <string.h>

static enum sticps_err no_memory(struct sticps_error *err)
{
    return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
}

/* ---- collecting ---- */

static enum sticps_err add_palette(struct npdb_tables *tables, const struct npdb_npa_result *result,
                                   struct sticps_error *err)
{
    size_t needed = tables->palettes_len + result->palette_len;
    if (needed > tables->palettes_capacity) {
        size_t capacity = 2 * needed;
        uint32_t *grown = reallocarray(tables->palettes, capacity, sizeof(*grown));
        if (grown == NULL)
            return no_memory(err);
        tables->palettes = grown;
        tables->palettes_capacity = capacity;
    }
    if (result->palette_len > 0)
        memcpy(tables->palettes + tables->palettes_len, result->palette,
               result->palette_len * sizeof(*result->palette));
    tables->palettes_len = needed;
    tables->palette_len[result->npa - 200] = (uint32_t)result->palette_len;
    return STICPS_OK;
}

enum sticps_err npdb_tables_add(struct npdb_tables *tables, const struct npdb_npa_result *result,
                                uint64_t base, struct sticps_error *err)
{
    size_t npa = result->npa - 200;
    tables->owner[npa] = result->owner;
    if (!result->has_page)
        return STICPS_OK;
    uint32_t *page = malloc(NPDB_PAGE_SIZE);
    if (page == NULL)
        return no_memory(err);
    tables->pages[npa] = page;
    for (size_t i = 0; i < NPDB_PAGE_SLOTS; i++)
        page[i] = result->slots[i] + ((result->slots[i] & NPDB_SLOT_BLOCK) != 0
                                          ? (uint32_t)(base / 8)
                                          : 0); /* the sum stays below 2^31: base was checked */
    return add_palette(tables, result, err);
}

void npdb_tables_clear(struct npdb_tables *tables)
{
    for (size_t i = 0; i < NPDB_NPA_COUNT; i++)
        free(tables->pages[i]);
    free(tables->palettes);
    memset(tables, 0, sizeof(*tables));
}

/* ---- which owners there are, and where ---- */

#define NOT_NAMED UINT32_MAX

struct ranked {
    uint64_t rank;
    uint32_t owner;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* Sets index[owner] to 0 for each owner that the file names, and leaves NOT_NAMED for the others.
 */
static void mark_named(const struct npdb_tables *tables, const struct npdb_assembly *assembly,
                       uint32_t *index)
{
    memset(index, 0xff, assembly->owners->len * sizeof(*index));
    for (size_t npa = 0; npa < NPDB_NPA_COUNT; npa++) {
        const uint32_t *page = tables->pages[npa];
        index[tables->owner[npa]] = 0;
        for (size_t i = 0; page != NULL && i < NPDB_PAGE_SLOTS; i++)
            if ((page[i] & NPDB_SLOT_BLOCK) == 0)
                index[page[i]] = 0;
    }
    for (size_t i = 0; i < tables->palettes_len; i++)
        index[tables->palettes[i]] = 0;
    for (size_t i = 0; i < assembly->prefixes_len; i++)
        index[assembly->prefixes[i].owner] = 0;
    index[NPDB_OWNER_UNKNOWN] = index[NPDB_OWNER_NOBODY] = 0; /* fixed entries */
}

/* The named owners in the file's order; index[owner] becomes the place there. */
static enum sticps_err sort_owners(const struct npdb_owners *owners, uint32_t *index,
                                   struct ranked **out, size_t *len, struct sticps_error *err)
{
    struct ranked *ranked = calloc(owners->len, sizeof(*ranked));
    if (ranked == NULL)
        return no_memory(err);
    size_t count = 0;
    for (uint32_t i = 0; i < owners->len; i++)
        if (index[i] != NOT_NAMED)
            ranked[count++] = (struct ranked){npdb_owners_rank(owners, i), i};
    qsort(ranked, count, sizeof(*ranked), by_rank);
    for (uint32_t i = 0; i < count; i++)
        index[ranked[i].owner] = i;
    *out = ranked;
    *len = count;
    return STICPS_OK;
}

/* Who owns the NPA-NXX of an LRN: the block of exactly those digits decides, neither a pooled
 * thousand in it nor a shorter prefix. */
static struct spc owner_of_lrn(uint64_t lrn, const struct npdb_assembly *assembly)
{
    const struct npdb_prefix *block = npdb_prefix_find(assembly, (lrn >> 4) / 10000, 7);
    return npdb_owner_spc(block != NULL ? assembly->owners->codes[block->owner] : NPDB_NOBODY);
}

/* ---- writing ---- */

static enum sticps_err write_index(struct npdb_tables *tables, const uint32_t *index,
                                   struct npdb_output *output, struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (size_t npa = 0; code == STICPS_OK && npa < NPDB_NPA_COUNT; npa++) {
        uint32_t *page = tables->pages[npa];
        if (page == NULL)
            continue;
        for (size_t i = 0; i < NPDB_PAGE_SLOTS; i++) {
            uint32_t slot = (page[i] & NPDB_SLOT_BLOCK) != 0 ? page[i] : index[page[i]];
            npdb_put32((unsigned char *)&page[i], slot);
        }
        code = npdb_output_add(output, page, NPDB_PAGE_SIZE, err);
    }
    return code;
}

static enum sticps_err write_npas(const struct npdb_tables *tables, const uint32_t *index,
                                  struct npdb_output *output, struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    uint32_t pages = 0, palette = 0;
    for (size_t npa = 0; code == STICPS_OK && npa < NPDB_NPA_COUNT; npa++) {
        unsigned char entry[NPDB_NPA_SIZE];
        bool has_page = tables->pages[npa] != NULL;
        npdb_put32(entry, has_page ? ++pages : 0);
        npdb_put32(entry + 4, index[tables->owner[npa]]);
        npdb_put32(entry + 8, palette);
        npdb_put32(entry + 12, tables->palette_len[npa]);
        palette += tables->palette_len[npa];
        code = npdb_output_add(output, entry, sizeof(entry), err);
    }
    return code;
}

static enum sticps_err write_palettes(const struct npdb_tables *tables, const uint32_t *index,
                                      struct npdb_output *output, struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (size_t i = 0; code == STICPS_OK && i < tables->palettes_len; i++) {
        unsigned char entry[NPDB_PALETTE_ENTRY_SIZE];
        npdb_put32(entry, index[tables->palettes[i]]);
        code = npdb_output_add(output, entry, sizeof(entry), err);
    }
    return code;
}

static enum sticps_err write_prefixes(const struct npdb_assembly *assembly, const uint32_t *index,
                                      struct npdb_output *output, struct npdb_assembled *out,
                                      struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (size_t i = 0; code == STICPS_OK && i < assembly->prefixes_len; i++) {
        unsigned char entry[NPDB_PREFIX_SIZE];
        const struct npdb_prefix *prefix = &assembly->prefixes[i];
        npdb_put64(entry, prefix->key);
        npdb_put32(entry + 8, index[prefix->owner]);
        code = npdb_output_add(output, entry, sizeof(entry), err);
        if ((prefix->key & 1) != 0)
            out->ports++;
        else
            out->blocks++;
    }
    return code;
}

static enum sticps_err write_owners(const struct npdb_assembly *assembly,
                                    const struct ranked *ranked, size_t len,
                                    struct npdb_output *output, struct npdb_assembled *out,
                                    struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (size_t i = 0; code == STICPS_OK && i < len; i++) {
        unsigned char entry[NPDB_OWNER_SIZE] = {0};
        uint64_t owner = i < NPDB_FIRST_OWNER ? NPDB_NOBODY : ranked[i].rank;
        bool is_lrn = npdb_owner_is_lrn(owner);
        struct spc spc = is_lrn ? owner_of_lrn(owner, assembly) : npdb_owner_spc(owner);
        npdb_put64(entry, is_lrn ? owner : 0);
        memcpy(entry + 8, spc.text, sizeof(spc.text));
        code = npdb_output_add(output, entry, sizeof(entry), err);
        out->spcs += !is_lrn && owner != NPDB_NOBODY;
        out->lrns += is_lrn;
        out->lrns_without_owner += is_lrn && spc.text[0] == '\0';
    }
    return code;
}

/* In the order of enum npdb_section. */
static enum sticps_err write_sections(struct npdb_tables *tables,
                                      const struct npdb_assembly *assembly, const uint32_t *index,
                                      const struct ranked *ranked, size_t ranked_len,
                                      struct npdb_output *output, struct npdb_assembled *out,
                                      struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (int section = NPDB_BLOCKS + 1; code == STICPS_OK && section < NPDB_SECTIONS; section++) {
        code = npdb_output_next_section(output, err);
        if (code != STICPS_OK)
            break;
        if (section == NPDB_INDEX)
            code = write_index(tables, index, output, err);
        else if (section == NPDB_NPAS)
            code = write_npas(tables, index, output, err);
        else if (section == NPDB_PALETTES)
            code = write_palettes(tables, index, output, err);
        else if (section == NPDB_PREFIXES)
            code = write_prefixes(assembly, index, output, out, err);
        else
            code = write_owners(assembly, ranked, ranked_len, output, out, err);
    }
    return code;
}

enum sticps_err npdb_tables_write(struct npdb_tables *tables, const struct npdb_assembly *assembly,
                                  struct npdb_output *output, struct npdb_assembled *out,
                                  struct sticps_error *err)
{
    struct ranked *ranked = NULL;
    size_t len = 0;
    uint32_t *index = calloc(assembly->owners->len, sizeof(*index));
    if (index == NULL)
        return no_memory(err);
    mark_named(tables, assembly, index);
    enum sticps_err code = sort_owners(assembly->owners, index, &ranked, &len, err);
    if (code == STICPS_OK)
        code = write_sections(tables, assembly, index, ranked, len, output, out, err);
    free(ranked);
    free(index);
    return code;
}
