/* client/override: a table that is read maps codes to codes, one step and the same each time. */
#include "client/override.h"
#include "tests/fuzz/target.h"

#include <string.h>

static const struct spc *look_up(const struct override_table *table, const struct spc *spc)
{
    const struct spc *to = override_table_find(table, spc);
    struct spc again;
    MUST(to != NULL);
    MUST(spc_from_claim(to->text, strlen(to->text), &again, NULL) == STICPS_OK);
    return to;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct override_table *table = NULL;
    struct sticps_error err = {0};
    const char *line = (const char *)data, *end = line + len;
    if (override_table_parse(line, len, "input", &table, &err) != STICPS_OK) {
        MUST(table == NULL && err.text[0] != '\0');
        return 0;
    }
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t line_len = newline != NULL ? (size_t)(newline - line) : (size_t)(end - line);
        const char *comma = memchr(line, ',', line_len);
        struct spc spc;
        if (*line != '#' && comma != NULL &&
            spc_from_typed(line, (size_t)(comma - line), &spc, NULL) == STICPS_OK)
            MUST(look_up(table, &spc) == look_up(table, &spc));
        line += line_len + 1;
    }
    override_table_unref(table);
    return 0;
}
