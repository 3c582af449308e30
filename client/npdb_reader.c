#include "client/npdb_reader.h"

#include "client/crc32c.h"
#include "client/npdb_format1.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct table {
    const unsigned char *slots; /* NPDB_SLOT_SIZE each */
    uint32_t count;             /* slots, free ones included */
    uint32_t used;
    uint32_t probes; /* no key lies further than this from its home */
};

struct npdb {
    const unsigned char *data;
    size_t len;
    bool mapped;
    const unsigned char *owners;
    uint32_t owners_count;
    struct table ports, blocks;
    uint32_t lengths; /* bit n: there are prefixes of n digits */
};

static enum sticps_err damaged(struct sticps_error *err, const char *what)
{
    return fail(err, STICPS_ERR_NPDB, NULL,
                "not a portability file that this version reads: %s; build it again", what);
}

/* The sections follow each other without a gap, so that an offset has one right value. */
static enum sticps_err check_sections(const unsigned char *header, uint64_t file_size,
                                      struct sticps_error *err)
{
    static const uint64_t entry_size[NPDB_SECTIONS] = {NPDB_OWNER_SIZE, NPDB_SLOT_SIZE,
                                                       NPDB_SLOT_SIZE};
    uint64_t expected = NPDB_HEADER_SIZE;
    for (size_t i = 0; i < NPDB_SECTIONS; i++) {
        const unsigned char *section = header + NPDB_AT_SECTIONS + i * NPDB_SECTION_SIZE;
        if (npdb_get64(section) != expected)
            return damaged(err, "a section is not where it should be");
        expected += entry_size[i] * npdb_get32(section + 8); /* at most 2^36: cannot overflow */
    }
    if (expected != file_size)
        return damaged(err, "the sections do not fill the file");
    return STICPS_OK;
}

static enum sticps_err check_header(const unsigned char *data, size_t len, struct sticps_error *err)
{
    if (len < NPDB_HEADER_SIZE)
        return damaged(err, "it is shorter than its header");
    if (memcmp(data + NPDB_AT_MAGIC, NPDB_MAGIC, sizeof(NPDB_MAGIC) - 1) != 0)
        return damaged(err, "it does not begin with " NPDB_MAGIC);
    if (npdb_get32(data + NPDB_AT_VERSION) != NPDB_VERSION)
        return damaged(err, "its version is another");
    if (npdb_get32(data + NPDB_AT_HEADER_SIZE) != NPDB_HEADER_SIZE)
        return damaged(err, "the size of its header is wrong");
    if (npdb_get32(data + NPDB_AT_CRC) != crc32c(data, NPDB_AT_CRC))
        return damaged(err, "the checksum of the header does not match");
    if (npdb_get64(data + NPDB_AT_FILE_SIZE) != len)
        return damaged(err, "it is shorter or longer than its header says");
    for (size_t i = NPDB_AT_ZERO; i < NPDB_AT_CRC; i++)
        if (data[i] != 0)
            return damaged(err, "reserved bytes are not zero");
    return check_sections(data, len, err);
}

static const unsigned char *section_at(const struct npdb *npdb, enum npdb_section which,
                                       uint32_t *count, uint32_t *crc)
{
    const unsigned char *section =
        npdb->data + NPDB_AT_SECTIONS + (size_t)which * NPDB_SECTION_SIZE;
    *count = npdb_get32(section + 8);
    *crc = npdb_get32(section + 12);
    return npdb->data + npdb_get64(section);
}

/* Every LRN is a number and every SPC a code, so that a lookup can hand them out as they are. */
static enum sticps_err check_owners(struct npdb *npdb, struct sticps_error *err)
{
    uint32_t crc;
    npdb->owners = section_at(npdb, NPDB_OWNERS, &npdb->owners_count, &crc);
    if (crc32c(npdb->owners, (size_t)npdb->owners_count * NPDB_OWNER_SIZE) != crc)
        return damaged(err, "the checksum of the owners does not match");
    for (size_t i = 0; i < npdb->owners_count; i++) {
        const unsigned char *owner = npdb->owners + i * NPDB_OWNER_SIZE;
        const char *text = (const char *)owner + 8;
        uint64_t key = npdb_get64(owner);
        struct tn lrn;
        struct spc spc, none = {{0}};
        tn_from_key(key, &lrn);
        if (key != 0 && (tn_key(&lrn) != key || !tn_is_nanp(&lrn)))
            return damaged(err, "an LRN is no number of the North American plan");
        if (memcmp(text, none.text, sizeof(none.text)) == 0)
            continue;
        size_t len = strnlen(text, sizeof(spc.text));
        if (spc_from_claim(text, len, &spc, NULL) != STICPS_OK ||
            memcmp(text, spc.text, sizeof(spc.text)) != 0)
            return damaged(err, "an owner is no Service Provider Code");
    }
    return STICPS_OK;
}

static enum sticps_err check_table(struct npdb *npdb, enum npdb_section which, struct table *table,
                                   enum npdb_check check, struct sticps_error *err)
{
    uint32_t crc;
    table->slots = section_at(npdb, which, &table->count, &crc);
    bool ports = which == NPDB_PORTS;
    table->used = npdb_get32(npdb->data + (ports ? NPDB_AT_PORTS_USED : NPDB_AT_BLOCKS_USED));
    table->probes = npdb_get32(npdb->data + (ports ? NPDB_AT_PORTS_PROBES : NPDB_AT_BLOCKS_PROBES));
    if (table->used > table->count || table->probes > table->count ||
        table->probes > NPDB_MAX_PROBES || (table->used > 0) != (table->probes > 0))
        return damaged(err, "the figures of a table contradict each other");
    if (check == NPDB_CHECK_ALL &&
        crc32c(table->slots, (size_t)table->count * NPDB_SLOT_SIZE) != crc)
        return damaged(err, "the checksum of a table does not match");
    return STICPS_OK;
}

static enum sticps_err check_all(struct npdb *npdb, enum npdb_check check, struct sticps_error *err)
{
    enum sticps_err code = check_header(npdb->data, npdb->len, err);
    if (code == STICPS_OK)
        code = check_owners(npdb, err);
    if (code == STICPS_OK)
        code = check_table(npdb, NPDB_PORTS, &npdb->ports, check, err);
    if (code == STICPS_OK)
        code = check_table(npdb, NPDB_BLOCKS, &npdb->blocks, check, err);
    if (code != STICPS_OK)
        return code;
    npdb->lengths = npdb_get32(npdb->data + NPDB_AT_LENGTHS);
    if ((npdb->lengths & ~(uint32_t)0xfffe) != 0)
        return damaged(err, "the lengths of its prefixes are not 1 to 15");
    return STICPS_OK;
}

enum sticps_err npdb_open_memory(const void *data, size_t len, enum npdb_check check,
                                 struct npdb **out, struct sticps_error *err)
{
    struct npdb *npdb = calloc(1, sizeof(*npdb));
    if (npdb == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    npdb->data = data;
    npdb->len = len;
    enum sticps_err code = check_all(npdb, check, err);
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

/* Linear probing from the key's home, around the end of the table. False if the key is not there.
 */
static bool table_find(const struct table *table, uint64_t key, uint32_t *value)
{
    if (table->count == 0)
        return false;
    uint32_t at = npdb_home(key, table->count);
    for (uint32_t i = 0; i < table->probes; i++) {
        const unsigned char *slot = table->slots + (size_t)at * NPDB_SLOT_SIZE;
        uint64_t found = npdb_get64(slot);
        if (found == key) {
            *value = npdb_get32(slot + 8);
            return true;
        }
        if (found == 0)
            return false;
        if (++at == table->count)
            at = 0;
    }
    return false;
}

/* The longest prefix of the number that is a block. */
static bool find_block(const struct npdb *npdb, uint64_t key, uint32_t *value)
{
    uint64_t digits = key >> 4;
    for (unsigned len = (unsigned)(key & 15); len > 0; len--, digits /= 10)
        if ((npdb->lengths >> len & 1) != 0 && table_find(&npdb->blocks, digits << 4 | len, value))
            return true;
    return false;
}

/* The owner of a ported number's LRN was settled when the file was built: it is that of the LRN's
 * NPA-NXX or nobody, and never that of the number's own block. */
void npdb_lookup(const struct npdb *npdb, const struct tn *tn, struct npdb_answer *answer)
{
    uint64_t key = tn_key(tn);
    uint32_t index;
    memset(answer, 0, sizeof(*answer));
    answer->ported = table_find(&npdb->ports, key, &index);
    answer->found = answer->ported || find_block(npdb, key, &index);
    if (!answer->found || index >= npdb->owners_count) /* beyond: the table is damaged */
        return;
    const unsigned char *owner = npdb->owners + (size_t)index * NPDB_OWNER_SIZE;
    uint64_t lrn = npdb_get64(owner);
    if (answer->ported && lrn != 0)
        tn_from_key(lrn, &answer->lrn);
    memcpy(answer->spc.text, owner + 8, sizeof(answer->spc.text));
    answer->has_owner = answer->spc.text[0] != '\0';
}

void npdb_owner_figures(const unsigned char *owners, uint32_t count, struct npdb_figures *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < count; i++, owners += NPDB_OWNER_SIZE) {
        bool has_lrn = npdb_get64(owners) != 0, has_spc = owners[8] != 0;
        out->spcs += has_spc && !has_lrn;
        out->lrns += has_lrn;
        out->lrns_without_owner += has_lrn && !has_spc;
    }
}

void npdb_figures(const struct npdb *npdb, struct npdb_figures *out)
{
    npdb_owner_figures(npdb->owners, npdb->owners_count, out);
    out->bytes = npdb->len;
    out->blocks = npdb->blocks.used;
    out->ports = npdb->ports.used;
}
