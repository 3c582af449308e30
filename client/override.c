#include "client/override.h"

#include "common/read_file.h"
#include "common/spc_index.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE (4 * 1024 * 1024)

struct override {
    struct spc from, to;
};

struct override_table {
    atomic_uint refs;
    struct spc_index *index; /* of the rows */
    size_t len;
    struct override rows[]; /* sorted by from */
};

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct spc));
}

static void trim(const char **text, size_t *len)
{
    while (*len > 0 && (**text == ' ' || **text == '\t')) {
        (*text)++;
        (*len)--;
    }
    while (*len > 0 && strchr(" \t\r", (*text)[*len - 1]) != NULL)
        (*len)--;
}

static enum sticps_err parse_code(const char *text, size_t len, struct spc *out,
                                  struct sticps_error *err)
{
    trim(&text, &len);
    return spc_from_typed(text, len, out, err);
}

/* One line; *used tells whether it held a row. */
static enum sticps_err parse_line(const char *line, size_t len, struct override *row, bool *used,
                                  struct sticps_error *err)
{
    trim(&line, &len);
    *used = false;
    if (len == 0 || line[0] == '#')
        return STICPS_OK;
    const char *comma = memchr(line, ',', len);
    if (comma == NULL)
        return fail(err, STICPS_ERR_SPC, NULL, "not a row of two codes, FROM,TO");
    size_t first = (size_t)(comma - line);
    enum sticps_err code = parse_code(line, first, &row->from, err);
    if (code == STICPS_OK)
        code = parse_code(comma + 1, len - first - 1, &row->to, err);
    *used = code == STICPS_OK;
    return code;
}

static enum sticps_err refuse_duplicates(const struct override_table *table, const char *name,
                                         struct sticps_error *err)
{
    for (size_t i = 1; i < table->len; i++)
        if (compare(&table->rows[i - 1], &table->rows[i]) == 0)
            return fail(err, STICPS_ERR_SPC, name, "%s is overridden twice; keep one row",
                        table->rows[i].from.text);
    return STICPS_OK;
}

static enum sticps_err index_rows(struct override_table *table, const char *name,
                                  struct sticps_error *err)
{
    table->index = spc_index_new(table->len);
    if (table->index == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, name, "out of memory");
    for (size_t i = 0; i < table->len; i++) /* far fewer than 2^32: MAX_FILE */
        spc_index_put(table->index, &table->rows[i].from, (uint32_t)i);
    return STICPS_OK;
}

enum sticps_err override_table_parse(const char *text, size_t len, const char *name,
                                     struct override_table **out, struct sticps_error *err)
{
    size_t lines = 1;
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    struct override_table *table =
        calloc(1, sizeof(*table) + lines * sizeof(struct override)); /* len <= MAX_FILE */
    if (table == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, name, "out of memory");
    atomic_init(&table->refs, 1);

    enum sticps_err code = STICPS_OK;
    const char *end = text + len;
    for (size_t number = 1; text < end; number++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline != NULL ? newline : end;
        bool used;
        code = parse_line(text, (size_t)(stop - text), &table->rows[table->len], &used, err);
        if (code != STICPS_OK) {
            fail_context(err, "%s line %zu", name, number);
            goto cleanup;
        }
        table->len += used;
        text = stop < end ? stop + 1 : end;
    }
    qsort(table->rows, table->len, sizeof(struct override), compare);
    code = refuse_duplicates(table, name, err);
    if (code == STICPS_OK)
        code = index_rows(table, name, err);
    if (code == STICPS_OK) {
        *out = table;
        table = NULL;
    }
cleanup:
    override_table_unref(table);
    return code;
}

enum sticps_err override_table_load(const char *path, struct override_table **out,
                                    struct sticps_error *err)
{
    char *text = NULL;
    size_t len = 0;
    enum sticps_err code = read_file(path, MAX_FILE, &text, &len, err);
    if (code != STICPS_OK)
        return code;
    code = override_table_parse(text, len, path, out, err);
    free(text);
    return code;
}

struct override_table *override_table_ref(struct override_table *table)
{
    if (table != NULL)
        atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
    return table;
}

void override_table_unref(struct override_table *table)
{
    if (table == NULL || atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(table->index);
    free(table);
}

const struct spc *override_table_find(const struct override_table *table, const struct spc *spc)
{
    uint32_t row;
    if (table == NULL || !spc_index_find(table->index, spc, &row))
        return spc;
    return &table->rows[row].to;
}
