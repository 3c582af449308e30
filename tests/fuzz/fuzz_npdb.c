/* client/npdb_reader: whatever the file, opening and looking up stay inside it and end. */
#include "client/crc32c.h"
#include "client/npdb_format.h"
#include "client/npdb_reader.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const uint8_t *data, size_t size, enum npdb_check depth)
{
    static const char *const numbers[] = {"12025550101", "12025550102",  "18005550101",
                                          "12025551000", "442079460018", "9"};
    struct npdb *npdb;
    struct npdb_figures figures;
    struct sticps_error err;
    if (npdb_open_memory(data, size, depth, &npdb, &err) != STICPS_OK)
        return;
    npdb_figures(npdb, &figures);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct npdb_answer answer;
        struct tn tn = {{0}};
        struct spc spc;
        memcpy(tn.digits, numbers[i], strlen(numbers[i]));
        npdb_lookup(npdb, &tn, &answer);
        if (answer.has_owner &&
            spc_from_claim(answer.spc.text, strnlen(answer.spc.text, 8), &spc, NULL) != STICPS_OK)
            abort();
        if (answer.lrn.digits[0] != '\0' && !(answer.ported && tn_is_nanp(&answer.lrn)))
            abort();
    }
    npdb_close(npdb);
}

/* Right sizes, offsets and checksums, so that mutations reach what lies behind those checks. */
static void seal(uint8_t *data, size_t size)
{
    size_t offset = NPDB_HEADER_SIZE;
    memcpy(data, NPDB_MAGIC, sizeof(NPDB_MAGIC) - 1);
    npdb_put32(data + NPDB_AT_VERSION, NPDB_VERSION);
    npdb_put32(data + NPDB_AT_HEADER_SIZE, NPDB_HEADER_SIZE);
    npdb_put64(data + NPDB_AT_FILE_SIZE, size);
    memset(data + NPDB_AT_ZERO, 0, NPDB_AT_CRC - NPDB_AT_ZERO);
    for (size_t i = 0; i < NPDB_SECTIONS; i++) {
        uint8_t *section = data + NPDB_AT_SECTIONS + i * NPDB_SECTION_SIZE;
        size_t len = npdb_get32(section + 8);
        if (len > size - offset || i + 1 == NPDB_SECTIONS)
            len = size - offset;
        npdb_put64(section, offset);
        npdb_put64(section + 8, len);
        npdb_put32(section + 16, crc32c(data + offset, len));
        npdb_put32(section + 20, 0);
        offset += len;
        while (offset < size && offset % 8 != 0)
            data[offset++] = 0;
    }
    npdb_put32(data + NPDB_AT_CRC, crc32c(data, NPDB_AT_CRC));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    look_up(data, size, NPDB_CHECK_STRUCTURE);
    look_up(data, size, NPDB_CHECK_ALL);
    if (size < NPDB_HEADER_SIZE)
        return 0;
    uint8_t *copy = malloc(size);
    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    seal(copy, size);
    look_up(copy, size, NPDB_CHECK_ALL);
    free(copy);
    return 0;
}
