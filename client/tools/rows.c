#include "client/tools/rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum sticps_err rows_owners_make(const struct npdb *npdb, struct rows_owners *out,
                                 struct sticps_error *err)
{
    char(*text)[ROWS_OWNER_SIZE] = calloc(npdb->owners_count, sizeof(*text));
    if (text == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    for (uint32_t i = 0; i < npdb->owners_count; i++) {
        struct tn lrn;
        tn_from_key(npdb_owner_lrn(npdb, i), &lrn);
        const char *spc = npdb_owner_code(npdb, i);
        if (lrn.digits[0] != '\0')
            snprintf(text[i], sizeof(text[i]), "%.10s", lrn.digits + 1);
        else
            snprintf(text[i], sizeof(text[i]), "%.8s", spc[0] != '\0' ? spc : "-");
    }
    out->text = text;
    return STICPS_OK;
}

void rows_owners_clear(struct rows_owners *owners)
{
    free(owners->text);
    owners->text = NULL;
}

static void put_row(FILE *to, const char *digits, size_t len, const char *owner)
{
    char line[40];
    size_t owner_len = strlen(owner);
    memcpy(line, digits, len);
    line[len] = ',';
    memcpy(line + len + 1, owner, owner_len);
    line[len + 1 + owner_len] = '\n';
    fwrite_unlocked(line, 1, len + owner_len + 2, to);
}

void rows_number(FILE *to, uint64_t number, const char *owner)
{
    char digits[10];
    for (size_t i = sizeof(digits); i > 0; number /= 10)
        digits[--i] = (char)('0' + number % 10);
    put_row(to, digits, sizeof(digits), owner);
}

void rows_prefix(FILE *to, uint64_t key, const char *owner)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "+%015" PRIu64, key >> 5);
    put_row(to, digits, 1 + (key >> 1 & 15), owner);
}
