#include "client/npdb_csv_options.h"

#include "client/npdb_date.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name[NPDB_CSV_KINDS]; /* NULL: a file of that kind has no use for it */
} columns[NPDB_COLUMN_COUNT] = {
    [NPDB_COLUMN_NUMBER] = {{"prefix", "tn"}}, [NPDB_COLUMN_NPA] = {{"npa", NULL}},
    [NPDB_COLUMN_NXX] = {{"nxx", NULL}},       [NPDB_COLUMN_BLOCK] = {{"block", NULL}},
    [NPDB_COLUMN_LRN] = {{NULL, "lrn"}},       [NPDB_COLUMN_SPC] = {{"spc", "spc"}},
    [NPDB_COLUMN_SPID] = {{"spid", "spid"}},   [NPDB_COLUMN_STATUS] = {{"status", "status"}},
    [NPDB_COLUMN_DATE] = {{"date", "date"}},
};

const char *npdb_column_name(enum npdb_csv_kind kind, enum npdb_column column)
{
    return columns[column].name[kind];
}

static bool equals(const char *name, const char *text, size_t len)
{
    return name != NULL && strlen(name) == len && memcmp(name, text, len) == 0;
}

/* ---- "tn=NUMBER,lrn=3,status=-" ---- */

static enum sticps_err choose_column(const char *text, size_t len,
                                     struct npdb_column_choice *choice, struct sticps_error *err)
{
    if (len == 0 || len >= sizeof(choice->name))
        return fail(err, STICPS_ERR_USAGE, NULL,
                    "a column is given by its name in the heading, of 1 to %zu characters, by its "
                    "position from 1, or by - for none",
                    sizeof(choice->name) - 1);
    *choice = (struct npdb_column_choice){"", 0, equals("-", text, len)};
    if (choice->absent)
        return STICPS_OK;
    if (strspn(text, "0123456789") < len) {
        memcpy(choice->name, text, len);
        return STICPS_OK;
    }
    unsigned long position = len <= 4 ? strtoul(text, NULL, 10) : 0;
    if (position < 1 || position > NPDB_CSV_MAX_COLUMNS)
        return fail(err, STICPS_ERR_USAGE, NULL, "a column's position is from 1 to %u",
                    NPDB_CSV_MAX_COLUMNS);
    choice->position = (uint16_t)position;
    return STICPS_OK;
}

static enum sticps_err unknown_column(enum npdb_csv_kind kind, const char *text, size_t len,
                                      struct sticps_error *err)
{
    return fail(err, STICPS_ERR_USAGE, NULL,
                "'%.*s' is not one of the columns of %s; write NAME=COLUMN,... with the names %s",
                len < 32 ? (int)len : 32, text, kind == NPDB_CSV_BLOCKS ? "blocks" : "ports",
                kind == NPDB_CSV_BLOCKS ? "prefix, npa, nxx, block, spc, spid, status, date"
                                        : "tn, lrn, spc, spid, status, date");
}

static enum sticps_err set_columns(struct npdb_csv_options *options, enum npdb_csv_kind kind,
                                   const char *value, struct sticps_error *err)
{
    struct npdb_column_choice chosen[NPDB_COLUMN_COUNT] = {{"", 0, false}};
    for (const char *p = value; *p != '\0';) {
        size_t len = strcspn(p, ","), name = strcspn(p, "=,"), column = 0;
        while (column < NPDB_COLUMN_COUNT && !equals(columns[column].name[kind], p, name))
            column++;
        if (column == NPDB_COLUMN_COUNT || p[name] != '=')
            return unknown_column(kind, p, len, err);
        enum sticps_err code = choose_column(p + name + 1, len - name - 1, &chosen[column], err);
        if (code != STICPS_OK)
            return code;
        p += len + (p[len] == ',');
    }
    memcpy(options->columns[kind], chosen, sizeof(chosen));
    return STICPS_OK;
}

/* ---- the others ---- */

static enum sticps_err set_separator(struct npdb_csv_options *options, const char *value,
                                     struct sticps_error *err)
{
    static const struct {
        const char *name;
        char separator;
    } names[] = {{"", '\0'},     {",", ','},         {";", ';'},   {"|", '|'},   {"\t", '\t'},
                 {"comma", ','}, {"semicolon", ';'}, {"bar", '|'}, {"tab", '\t'}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(value, names[i].name) == 0) {
            options->separator = names[i].separator;
            return STICPS_OK;
        }
    }
    return fail(err, STICPS_ERR_USAGE, NULL,
                "'%.16s' separates no columns; it is comma, semicolon, tab or bar", value);
}

static enum sticps_err set_date_order(struct npdb_csv_options *options, const char *value,
                                      struct sticps_error *err)
{
    static const struct {
        const char *name;
        unsigned orders;
    } names[] = {{"", 0}, {"ymd", NPDB_DATE_YMD}, {"mdy", NPDB_DATE_MDY}, {"dmy", NPDB_DATE_DMY}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(value, names[i].name) == 0) {
            options->date_orders = names[i].orders;
            return STICPS_OK;
        }
    }
    return fail(err, STICPS_ERR_USAGE, NULL, "'%.16s' is no order of a date; it is ymd, mdy or dmy",
                value);
}

static enum sticps_err set_as_of(struct npdb_csv_options *options, const char *value,
                                 struct sticps_error *err)
{
    uint32_t date = 0;
    if (value[0] != '\0' &&
        (npdb_date_parse(value, strlen(value), NPDB_DATE_YMD, &date, NULL) != STICPS_OK ||
         date == 0))
        return fail(err, STICPS_ERR_USAGE, NULL, "'%.32s' is no date; write YYYY-MM-DD", value);
    options->as_of = date;
    return STICPS_OK;
}

static char fold(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static enum sticps_err set_statuses(char **statuses, const char *value, struct sticps_error *err)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    for (char *p = copy; *p != '\0'; p++)
        *p = fold(*p);
    free(*statuses);
    *statuses = copy;
    return STICPS_OK;
}

bool npdb_status_in(const char *list, const char *status, size_t len)
{
    for (size_t one; *list != '\0'; list += one + (list[one] == ',')) {
        size_t same = 0;
        list += strspn(list, " ");
        one = strcspn(list, ",");
        while (same < len && same < one && fold(status[same]) == list[same])
            same++;
        if (same == len && same == one && len > 0)
            return true;
    }
    return false;
}

static enum sticps_err set_table(struct override_table **table, const char *path,
                                 struct sticps_error *err)
{
    struct override_table *read = NULL;
    enum sticps_err code = path[0] != '\0' ? override_table_load(path, &read, err) : STICPS_OK;
    if (code != STICPS_OK)
        return code;
    override_table_unref(*table);
    *table = read;
    return STICPS_OK;
}

enum sticps_err npdb_csv_options_set(struct npdb_csv_options *options,
                                     enum sticps_npdb_build_option which, const char *value,
                                     struct sticps_error *err)
{
    const char *text = value != NULL ? value : "";
    switch (which) {
    case STICPS_NPDB_BLOCKS_COLUMNS:
        return set_columns(options, NPDB_CSV_BLOCKS, text, err);
    case STICPS_NPDB_PORTS_COLUMNS:
        return set_columns(options, NPDB_CSV_PORTS, text, err);
    case STICPS_NPDB_SEPARATOR:
        return set_separator(options, text, err);
    case STICPS_NPDB_DATE_ORDER:
        return set_date_order(options, text, err);
    case STICPS_NPDB_AS_OF:
        return set_as_of(options, text, err);
    case STICPS_NPDB_SKIP_STATUSES:
        return set_statuses(&options->skip_statuses, value != NULL ? value : NPDB_SKIP_STATUSES,
                            err);
    case STICPS_NPDB_END_STATUSES:
        return set_statuses(&options->end_statuses, value != NULL ? value : NPDB_END_STATUSES, err);
    case STICPS_NPDB_SPID_MAP:
        return set_table(&options->spids, text, err);
    case STICPS_NPDB_SPC_MAP:
        return set_table(&options->spcs, text, err);
    }
    return fail(err, STICPS_ERR_USAGE, NULL, "this version has no such option");
}

void npdb_csv_options_clear(struct npdb_csv_options *options)
{
    free(options->skip_statuses);
    free(options->end_statuses);
    override_table_unref(options->spids);
    override_table_unref(options->spcs);
    memset(options, 0, sizeof(*options));
}
