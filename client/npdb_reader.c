#include "client/npdb_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ---- */

enum sticps_err npdb_open_memory(const void *data, size_t len, enum npdb_check check,
                                 struct npdb **out, struct sticps_error *err)
{
    struct npdb *npdb = calloc(1, sizeof(*npdb));
    if (npdb == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    npdb->data = data;
    npdb->len = len;
    npdb->find = npdb_block_finder();
    enum sticps_err code = npdb_validate(npdb, check, err);
    if (code != STICPS_OK) {
        free(npdb);
        return code;
    }
    *out = npdb;
    return STICPS_OK;
}

enum sticps_err npdb_open(const char *path, enum npdb_check check, struct npdb **out,
                          struct sticps_error *err)
{
    enum sticps_err code;
    struct stat st;
    void *data = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not make us wait */
    if (fd < 0 || fstat(fd, &st) < 0) {
        code = fail(err, STICPS_ERR_FILE, path, "cannot open the portability file: %s",
                    strerror(errno));
        goto cleanup;
    }
    if (!S_ISREG(st.st_mode)) {
        code = fail(err, STICPS_ERR_FILE, path, "the portability file is not a regular file");
        goto cleanup;
    }
    size_t len = (size_t)st.st_size;
    if (len < NPDB_HEADER_SIZE) { /* mmap refuses an empty file with an error of its own */
        code = fail(err, STICPS_ERR_NPDB, path, "not a portability file: it has %zu bytes", len);
        goto cleanup;
    }
    data = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        code = fail(err, STICPS_ERR_FILE, path, "cannot map the portability file: %s",
                    strerror(errno));
        goto cleanup;
    }
    struct npdb *npdb;
    code = npdb_open_memory(data, len, check, &npdb, err);
    if (code != STICPS_OK) {
        if (err != NULL && err->where[0] == '\0') {
            struct sticps_error inner = *err;
            fail(err, code, path, "%s", inner.text);
        }
        goto cleanup;
    }
    npdb->mapped = true;
    *out = npdb;
    data = MAP_FAILED;

cleanup:
    if (data != MAP_FAILED)
        munmap(data, len);
    if (fd >= 0)
        close(fd);
    return code;
}

void npdb_close(struct npdb *npdb)
{
    if (npdb == NULL)
        return;
    if (npdb->mapped)
        munmap((void *)(uintptr_t)npdb->data, npdb->len);
    free(npdb);
}

/* ---- numbers of the North American plan ---- */

#define PLAN_FIRST UINT64_C(12000000000) /* NPA 200 */
#define PLAN_SIZE UINT64_C(8000000000)

/* Where the slot of a number lies: NPA, thousand in its page, number in the thousand. */
struct place {
    uint32_t npa, slot, number;
};

static inline bool in_plan(uint64_t value, struct place *place)
{
    uint64_t offset = value - PLAN_FIRST; /* below it: wraps to a large number */
    if (offset >= PLAN_SIZE)
        return false;
    uint32_t thousand = (uint32_t)(offset / 1000);
    place->number = (uint32_t)(offset - thousand * UINT64_C(1000));
    place->npa = thousand / 10000;
    place->slot = thousand % 10000 - 2000; /* NXX below 200: wraps */
    return place->slot < NPDB_PAGE_SLOTS;
}

/* A block has some 250 bytes: asked for at once, its cache lines come together. */
static inline void prefetch_block(const unsigned char *block)
{
    for (size_t line = 0; line < 256; line += 64)
        __builtin_prefetch(block + line);
}

static inline uint32_t find_in_block(const struct npdb *npdb, const struct place *place,
                                     const unsigned char *block)
{
    uint32_t ported, entry = npdb->find(block, place->number, &ported);
    return npdb_palette_owner(npdb, place->npa, entry) | ported << 31;
}

static inline uint32_t find_place(const struct npdb *npdb, const struct place *place)
{
    uint32_t slot;
    const unsigned char *page = npdb_page(npdb, place->npa, &slot);
    if (page != NULL)
        slot = npdb_get32(page + (size_t)place->slot * NPDB_SLOT_SIZE);
    if ((slot & NPDB_SLOT_BLOCK) == 0)
        return slot;
    const unsigned char *block = npdb_slot_block(npdb, slot);
    prefetch_block(block);
    return find_in_block(npdb, place, block);
}

/* ---- prefixes ---- */

/* How many rows have a key of at most `key`; the first `end` are searched. */
static uint32_t rows_up_to(const struct npdb *npdb, uint32_t end, uint64_t key)
{
    uint32_t begin = 0, owner;
    while (begin < end) {
        uint32_t middle = begin + (end - begin) / 2;
        if (npdb_prefix(npdb, middle, &owner) <= key)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

/* The row with the most digits that the number starts with. A prefix sorts before what starts with
 * it, so the last row up to the number is that one, or shares fewer digits with the number than
 * it has; then only a row of no more than those digits can be it. */
static uint32_t find_prefix(const struct npdb *npdb, uint64_t value, unsigned digits)
{
    uint64_t key = npdb_prefix_key(value, digits, 1), padded = key >> 5;
    uint32_t end = npdb->prefixes_count, owner;
    while ((end = rows_up_to(npdb, end, key)) > 0) {
        key = npdb_prefix(npdb, --end, &owner);
        uint64_t row = key >> 5, number = padded, power = 1;
        unsigned len = key >> 1 & 15, ported = key & 1, common = 15;
        for (; row != number; row /= 10, number /= 10, power *= 10)
            common--;
        if (len <= common && len <= digits) {
            if (!ported || len == digits)
                return owner | ported << 31;
            key--; /* a longer number than the ported one: look on from there */
        } else {
            if (common > digits)
                common = digits;
            if (common == 0)
                break;
            key = (padded - padded % power) << 5 | (uint64_t)common << 1 | 1;
        }
    }
    return NPDB_OWNER_UNKNOWN;
}

/* ---- looking up ---- */

uint32_t npdb_find(const struct npdb *npdb, uint64_t value, unsigned digits)
{
    struct place place;
    if (digits == 11 && in_plan(value, &place))
        return find_place(npdb, &place);
    return find_prefix(npdb, value, digits);
}

static unsigned count_digits(uint64_t value)
{
    unsigned digits = 1;
    while (value >= 10) {
        value /= 10;
        digits++;
    }
    return digits;
}

static inline uint32_t find_anywhere(const struct npdb *npdb, uint64_t number)
{
    unsigned digits = count_digits(number);
    return digits <= TN_MAX_DIGITS ? find_prefix(npdb, number, digits) : NPDB_OWNER_UNKNOWN;
}

uint32_t npdb_find_number(const struct npdb *npdb, uint64_t number)
{
    struct place place;
    return in_plan(number, &place) ? find_place(npdb, &place) : find_anywhere(npdb, number);
}

/* So many at a time: enough for every outstanding miss that a core can have. */
#define BATCH 32

/* Slots, then blocks, then what they say: each step's accesses are asked for in the one before. */
static void find_some(const struct npdb *npdb, const uint64_t *numbers, size_t count,
                      uint32_t *results)
{
    struct place places[BATCH];
    const unsigned char *at[BATCH]; /* the slot, then the block; NULL: the result is known */
    for (size_t i = 0; i < count; i++) {
        at[i] = NULL;
        if (!in_plan(numbers[i], &places[i])) {
            results[i] = find_anywhere(npdb, numbers[i]);
            continue;
        }
        const unsigned char *page = npdb_page(npdb, places[i].npa, &results[i]);
        if (page == NULL)
            continue;
        at[i] = page + (size_t)places[i].slot * NPDB_SLOT_SIZE;
        __builtin_prefetch(at[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (at[i] == NULL)
            continue;
        results[i] = npdb_get32(at[i]);
        at[i] = NULL;
        if ((results[i] & NPDB_SLOT_BLOCK) != 0) {
            at[i] = npdb_slot_block(npdb, results[i]);
            prefetch_block(at[i]);
        }
    }
    for (size_t i = 0; i < count; i++)
        if (at[i] != NULL)
            results[i] = find_in_block(npdb, &places[i], at[i]);
}

void npdb_find_batch(const struct npdb *npdb, const uint64_t *numbers, size_t count,
                     uint32_t *results)
{
    for (size_t done = 0; done < count; done += BATCH)
        find_some(npdb, numbers + done, count - done < BATCH ? count - done : BATCH,
                  results + done);
}

/* The owner of a ported number's LRN was settled when the file was built: it is that of the LRN's
 * NPA-NXX or nobody, and never that of the number's own block. */
void npdb_lookup(const struct npdb *npdb, const struct tn *tn, struct npdb_answer *answer)
{
    uint64_t key = tn_key(tn);
    uint32_t result = npdb_find(npdb, key >> 4, key & 15), owner = result & NPDB_OWNER;
    memset(answer, 0, sizeof(*answer));
    answer->ported = (result & NPDB_PORTED) != 0;
    answer->found = result != NPDB_OWNER_UNKNOWN;
    uint64_t lrn = npdb_owner_lrn(npdb, owner);
    if (lrn != 0)
        tn_from_key(lrn, &answer->lrn);
    memcpy(answer->spc.text, npdb_owner_code(npdb, owner), sizeof(answer->spc.text));
    answer->has_owner = answer->spc.text[0] != '\0';
}

bool npdb_owner_of_lrn(const struct npdb *npdb, const struct tn *lrn, struct spc *out)
{
    uint64_t key = tn_key(lrn);
    uint32_t owner = NPDB_OWNER_UNKNOWN;
    if (tn_is_nanp(lrn)) {
        uint64_t row = npdb_prefix_key((key >> 4) / 10000, 7, 0);
        uint32_t rows = rows_up_to(npdb, npdb->prefixes_count, row);
        if (rows > 0 && npdb_prefix(npdb, rows - 1, &owner) != row)
            owner = NPDB_OWNER_UNKNOWN;
    } else {
        owner = find_prefix(npdb, key >> 4, key & 15) & NPDB_OWNER;
    }
    memcpy(out->text, npdb_owner_code(npdb, owner), sizeof(out->text));
    return owner != NPDB_OWNER_UNKNOWN;
}

/* ---- figures ---- */

void npdb_figures(const struct npdb *npdb, struct npdb_figures *out)
{
    memset(out, 0, sizeof(*out));
    out->bytes = npdb->len;
    out->sequence = npdb_get64(npdb->data + NPDB_AT_SEQUENCE);
    out->ports = npdb_get64(npdb->data + NPDB_AT_PORTS);
    for (uint32_t i = 0, owner; i < npdb->prefixes_count; i++) {
        unsigned ported = npdb_prefix(npdb, i, &owner) & 1;
        out->ports += ported;
        out->blocks += !ported;
    }
    for (uint32_t i = NPDB_FIRST_OWNER; i < npdb->owners_count; i++) {
        bool has_lrn = npdb_owner_lrn(npdb, i) != 0, has_spc = *npdb_owner_code(npdb, i) != '\0';
        out->spcs += has_spc && !has_lrn;
        out->lrns += has_lrn;
        out->lrns_without_owner += has_lrn && !has_spc;
    }
}
