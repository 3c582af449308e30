#include "client/npdb_write.h"

#include "client/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum sticps_err no_memory(struct sticps_error *err)
{
    return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
}

/* ---- owners ---- */

static int by_code(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint32_t position(const uint64_t *sorted, size_t len, uint64_t code)
{
    const uint64_t *found = bsearch(&code, sorted, len, sizeof(*sorted), by_code);
    return (uint32_t)(found - sorted);
}

/* Who owns the NPA-NXX of an LRN: the block of exactly those digits decides, neither a pooled
 * thousand in it nor a shorter prefix. */
static struct spc owner_of_lrn(uint64_t lrn, const struct npdb_owners *owners,
                               const struct npdb_rows *blocks)
{
    uint64_t npa_nxx = (lrn >> 4) / 10000 << 4 | 7;
    const struct npdb_row *block = npdb_rows_find(blocks, npa_nxx);
    return npdb_owner_spc(block != NULL ? owners->codes[block->owner] : NPDB_NOBODY);
}

/* Fills `renumbered` with the new index of each owner, or UINT32_MAX for one that no row names. */
static enum sticps_err make_owners(struct npdb_image *image, const struct npdb_owners *owners,
                                   const struct npdb_rows *blocks, const struct npdb_rows *ports,
                                   uint32_t *renumbered, struct sticps_error *err)
{
    size_t used = 0;
    uint64_t *sorted = calloc(owners->len + 1, sizeof(*sorted));
    if (sorted == NULL)
        return no_memory(err);
    memset(renumbered, 0xff, owners->len * sizeof(*renumbered));
    for (size_t i = 0; i < blocks->len; i++)
        renumbered[blocks->rows[i].owner] = 0;
    for (size_t i = 0; i < ports->len; i++)
        renumbered[ports->rows[i].owner] = 0;
    for (size_t i = 0; i < owners->len; i++)
        if (renumbered[i] == 0)
            sorted[used++] = owners->codes[i];
    qsort(sorted, used, sizeof(*sorted), by_code);
    for (size_t i = 0; i < owners->len; i++)
        if (renumbered[i] == 0)
            renumbered[i] = position(sorted, used, owners->codes[i]);

    unsigned char *entry = calloc(used + 1, NPDB_OWNER_SIZE);
    image->section[NPDB_OWNERS] = entry;
    image->section_len[NPDB_OWNERS] = used * NPDB_OWNER_SIZE;
    for (size_t i = 0; entry != NULL && i < used; i++, entry += NPDB_OWNER_SIZE) {
        bool is_lrn = npdb_owner_is_lrn(sorted[i]);
        struct spc spc =
            is_lrn ? owner_of_lrn(sorted[i], owners, blocks) : npdb_owner_spc(sorted[i]);
        npdb_put64(entry, is_lrn ? sorted[i] : 0);
        memcpy(entry + 8, spc.text, sizeof(spc.text));
    }
    free(sorted);
    return image->section[NPDB_OWNERS] != NULL ? STICPS_OK : no_memory(err);
}

/* ---- tables ---- */

static void renumber(struct npdb_rows *rows, const uint32_t *renumbered)
{
    for (size_t i = 0; i < rows->len; i++)
        rows->rows[i].owner = renumbered[rows->rows[i].owner];
}

/* A hash table two thirds full. The rows come sorted, so that equal rows give an equal table. */
static enum sticps_err make_table(struct npdb_image *image, enum npdb_section which,
                                  const struct npdb_rows *rows, uint32_t *probes,
                                  struct sticps_error *err)
{
    size_t count = rows->len == 0 ? 0 : rows->len + rows->len / 2 + 1;
    unsigned char *slots = calloc(count + 1, NPDB_SLOT_SIZE);
    image->section[which] = slots;
    image->section_len[which] = count * NPDB_SLOT_SIZE;
    *probes = 0;
    if (slots == NULL)
        return no_memory(err);
    for (size_t i = 0; i < rows->len; i++) {
        uint64_t key = npdb_row_key(&rows->rows[i]);
        size_t at = npdb_home(key, (uint32_t)count);
        uint32_t tried = 1;
        for (; npdb_get64(slots + at * NPDB_SLOT_SIZE) != 0; tried++)
            at = at + 1 == count ? 0 : at + 1;
        npdb_put64(slots + at * NPDB_SLOT_SIZE, key);
        npdb_put32(slots + at * NPDB_SLOT_SIZE + 8, rows->rows[i].owner);
        if (tried > *probes)
            *probes = tried;
    }
    if (*probes > NPDB_MAX_PROBES)
        return fail(err, STICPS_ERR_NPDB, NULL, "the rows cannot be laid out in this format");
    return STICPS_OK;
}

static uint32_t lengths_in_use(const struct npdb_rows *blocks)
{
    uint32_t lengths = 0;
    for (size_t i = 0; i < blocks->len; i++)
        lengths |= UINT32_C(1) << (npdb_row_key(&blocks->rows[i]) & 15);
    return lengths;
}

static void make_header(struct npdb_image *image, const struct npdb_rows *blocks,
                        const struct npdb_rows *ports, uint32_t blocks_probes,
                        uint32_t ports_probes)
{
    static const size_t entry_size[NPDB_SECTIONS] = {NPDB_OWNER_SIZE, NPDB_SLOT_SIZE,
                                                     NPDB_SLOT_SIZE};
    unsigned char *h = image->header;
    uint64_t offset = NPDB_HEADER_SIZE;
    memcpy(h + NPDB_AT_MAGIC, NPDB_MAGIC, sizeof(NPDB_MAGIC) - 1);
    npdb_put32(h + NPDB_AT_VERSION, NPDB_VERSION);
    npdb_put32(h + NPDB_AT_HEADER_SIZE, NPDB_HEADER_SIZE);
    for (size_t i = 0; i < NPDB_SECTIONS; i++) {
        unsigned char *section = h + NPDB_AT_SECTIONS + i * NPDB_SECTION_SIZE;
        npdb_put64(section, offset);
        npdb_put32(section + 8, (uint32_t)(image->section_len[i] / entry_size[i]));
        npdb_put32(section + 12, crc32c(image->section[i], image->section_len[i]));
        offset += image->section_len[i];
    }
    npdb_put64(h + NPDB_AT_FILE_SIZE, offset);
    npdb_put32(h + NPDB_AT_PORTS_USED, (uint32_t)ports->len);
    npdb_put32(h + NPDB_AT_BLOCKS_USED, (uint32_t)blocks->len);
    npdb_put32(h + NPDB_AT_PORTS_PROBES, ports_probes);
    npdb_put32(h + NPDB_AT_BLOCKS_PROBES, blocks_probes);
    npdb_put32(h + NPDB_AT_LENGTHS, lengths_in_use(blocks));
    npdb_put32(h + NPDB_AT_CRC, crc32c(h, NPDB_AT_CRC));
}

enum sticps_err npdb_image_make(struct npdb_image *image, const struct npdb_owners *owners,
                                struct npdb_rows *blocks, struct npdb_rows *ports,
                                struct sticps_error *err)
{
    uint32_t blocks_probes, ports_probes;
    uint32_t *renumbered = calloc(owners->len + 1, sizeof(*renumbered));
    if (renumbered == NULL)
        return no_memory(err);
    enum sticps_err code = make_owners(image, owners, blocks, ports, renumbered, err);
    if (code == STICPS_OK) {
        renumber(blocks, renumbered);
        renumber(ports, renumbered);
        code = make_table(image, NPDB_PORTS, ports, &ports_probes, err);
    }
    if (code == STICPS_OK)
        code = make_table(image, NPDB_BLOCKS, blocks, &blocks_probes, err);
    if (code == STICPS_OK)
        make_header(image, blocks, ports, blocks_probes, ports_probes);
    free(renumbered);
    return code;
}

void npdb_image_clear(struct npdb_image *image)
{
    for (size_t i = 0; i < NPDB_SECTIONS; i++)
        free(image->section[i]);
    memset(image, 0, sizeof(*image));
}

/* ---- the file ---- */

static bool write_all(int fd, const unsigned char *data, size_t len)
{
    while (len > 0) {
        size_t part = len < 1 << 30 ? len : 1 << 30;
        ssize_t n = write(fd, data, part);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool write_image(int fd, const struct npdb_image *image)
{
    bool ok = write_all(fd, image->header, sizeof(image->header));
    for (size_t i = 0; ok && i < NPDB_SECTIONS; i++)
        ok = write_all(fd, image->section[i], image->section_len[i]);
    return ok && fchmod(fd, 0644) == 0 && fsync(fd) == 0;
}

/* The folder that `path` is in, or -1 with errno. */
static int open_folder(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL) {
        errno = ENOMEM; /* a host's allocator need not say so */
        return -1;
    }
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    return fd;
}

/* Writes `temporary`, which ends in XXXXXX, and renames it to `path`. On failure nothing of it is
 * left and errno says why. */
static bool write_and_rename(const struct npdb_image *image, char *temporary, const char *path)
{
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = write_image(fd, image);
    int saved = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        saved = errno;
    }
    if (ok && rename(temporary, path) == 0)
        return true;
    if (ok)
        saved = errno;
    unlink(temporary);
    errno = saved;
    return false;
}

enum sticps_err npdb_image_write(const struct npdb_image *image, const char *path,
                                 struct sticps_error *err)
{
    static const char suffix[] = ".XXXXXX";
    size_t size = strlen(path) + sizeof(suffix);
    char *temporary = malloc(size);
    if (temporary == NULL)
        return no_memory(err);
    snprintf(temporary, size, "%s%s", path, suffix);

    /* The rename itself is on disk only when the folder is. */
    int folder = open_folder(path);
    bool ok = folder >= 0 && write_and_rename(image, temporary, path) && fsync(folder) == 0;
    enum sticps_err code = STICPS_OK;
    if (!ok)
        code = fail(err, errno == ENOMEM ? STICPS_ERR_NO_MEMORY : STICPS_ERR_FILE, path,
                    "cannot write the portability file: %s", strerror(errno));
    if (folder >= 0)
        close(folder);
    free(temporary);
    return code;
}
