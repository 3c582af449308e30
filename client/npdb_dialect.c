#include "client/npdb_dialect.h"

#include "client/npdb_csv.h"
#include "client/npdb_field.h"

#include <stdio.h>
#include <string.h>

/* ---- names of columns ---- */

/* How routing guides, number pooling reports and port lists call them. Only letters and digits
 * count, in either case: "BLOCK_ID" is "block id". */
#define MAX_NAMES 10
static const char *const usual_names[NPDB_CSV_KINDS][NPDB_COLUMN_COUNT][MAX_NAMES] = {
    [NPDB_CSV_BLOCKS] =
        {
            [NPDB_COLUMN_NUMBER] = {"prefix", "npanxx", "npanxxx"},
            [NPDB_COLUMN_NPA] = {"npa"},
            [NPDB_COLUMN_NXX] = {"nxx"},
            [NPDB_COLUMN_BLOCK] = {"blockid", "block", "x", "thousandsblock", "thousandblock"},
            [NPDB_COLUMN_SPC] = {"spc", "ocn", "resporg", "resporgid"},
            [NPDB_COLUMN_SPID] = {"spid", "serviceproviderid"},
            [NPDB_COLUMN_STATUS] = {"status"},
            [NPDB_COLUMN_DATE] = {"effdate", "effectivedate", "effective", "blockeffectivedate"},
        },
    [NPDB_CSV_PORTS] =
        {
            [NPDB_COLUMN_NUMBER] = {"tn", "number", "telephonenumber", "phonenumber", "phone",
                                    "did", "dn", "portedtn", "portednumber", "tollfreenumber"},
            [NPDB_COLUMN_LRN] = {"lrn", "locationroutingnumber", "routingnumber", "rn"},
            [NPDB_COLUMN_SPC] = {"spc", "ocn", "resporg", "resporgid"},
            [NPDB_COLUMN_SPID] = {"spid", "newspid", "serviceproviderid"},
            [NPDB_COLUMN_STATUS] = {"status"},
            [NPDB_COLUMN_DATE] = {"effdate", "effectivedate", "effective", "activationdate",
                                  "activationtimestamp"},
        },
};

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_name(const struct npdb_field *field, const char *name)
{
    const char *p = field->text, *end = p + field->len;
    for (;;) {
        while (p < end && !is_word(*p))
            p++;
        while (*name != '\0' && !is_word(*name))
            name++;
        if (p == end || *name == '\0')
            return p == end && *name == '\0';
        if (fold(*p++) != fold(*name++))
            return false;
    }
}

/* ---- the first line ---- */

struct heading {
    struct npdb_field fields[NPDB_CSV_MAX_COLUMNS];
    unsigned len;
    bool is_heading; /* else it is the first row */
};

/* The first line that is neither blank nor a comment; *end is behind it, without the line break.
 * Sets body and body_line to its beginning. NULL when there is none. */
static const char *first_line(const char *text, size_t len, struct npdb_dialect *dialect,
                              const char **end)
{
    static const char mark[] = "\xef\xbb\xbf";
    dialect->body = len >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
    while (dialect->body < len) {
        const char *p = text + dialect->body;
        const char *newline = memchr(p, '\n', len - dialect->body), *stop = newline;
        if (newline == NULL)
            stop = text + len;
        *end = newline != NULL && stop > p && stop[-1] == '\r' ? stop - 1 : stop;
        while (p < *end && (*p == ' ' || *p == '\t'))
            p++;
        if (p < *end && *p != '#')
            return text + dialect->body;
        dialect->body = (size_t)(stop - text) + (newline != NULL);
        dialect->body_line++;
    }
    return NULL;
}

/* The one that there is most of in the line, outside quotation marks. */
static char find_separator(const char *p, const char *end)
{
    static const char known[] = ",;\t|";
    unsigned count[4] = {0};
    bool quoted = false;
    size_t best = 0;
    for (; p < end; p++) {
        const char *is = memchr(known, *p, 4);
        quoted ^= *p == '"';
        if (is != NULL && !quoted)
            count[is - known]++;
    }
    for (size_t i = 1; i < 4; i++)
        if (count[i] > count[best])
            best = i;
    return known[best];
}

/* A line that cannot be cut is no heading; as a row it is a fault. */
static void cut_heading(const char *p, const char *end, char separator, struct heading *heading)
{
    const char *fault;
    if (end - p > (ptrdiff_t)NPDB_CSV_MAX_LINE)
        return;
    for (unsigned len = 0; len < NPDB_CSV_MAX_COLUMNS;) {
        p = npdb_field_cut(p, end, separator, &heading->fields[len], &fault);
        if (p == NULL)
            return;
        len++;
        if (p++ == end) {
            heading->len = len;
            return;
        }
    }
}

/* No number starts like that. 0xfe and 0xff are in no UTF-8: a file that starts with one is UTF-16,
 * and every row of it is bad. */
static bool is_title(const struct npdb_field *field)
{
    return field->len > 0 && strchr("0123456789+(-.", field->text[0]) == NULL &&
           (unsigned char)field->text[0] >= 0x20 && (unsigned char)field->text[0] < 0xfe;
}

/* With names to be looked for it is one; else when there is no number where one belongs. */
static bool is_heading(const struct heading *heading, const struct npdb_column_choice *choices)
{
    unsigned at = 0;
    for (unsigned i = 0; i < NPDB_COLUMN_COUNT; i++)
        if (choices[i].name[0] != '\0')
            return heading->len > 0;
    for (unsigned i = NPDB_COLUMN_NUMBER; i <= NPDB_COLUMN_NXX && at == 0; i++)
        at = choices[i].position;
    if (at > 0)
        return at <= heading->len && is_title(&heading->fields[at - 1]);
    while (at < heading->len && heading->fields[at].len == 0)
        at++;
    return at < heading->len && is_title(&heading->fields[at]);
}

/* ---- which column says what ---- */

struct search {
    const struct npdb_column_choice *choices;
    const struct heading *heading;
    struct npdb_dialect *dialect;
    int at[NPDB_COLUMN_COUNT]; /* or NPDB_NO_COLUMN */
};

static const char *kind_name(const struct search *search)
{
    return search->dialect->kind == NPDB_CSV_BLOCKS ? "blocks" : "ports";
}

/* "TN, LRN, SPID", cut where it becomes too long. */
static void list_columns(const struct heading *heading, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < heading->len; i++) {
        const struct npdb_field *field = &heading->fields[i];
        if (used + field->len + 8 >= size) {
            snprintf(out + used, size - used, ", ...");
            return;
        }
        used += (size_t)snprintf(out + used, size - used, "%s%.*s", i > 0 ? ", " : "",
                                 (int)field->len, field->text);
    }
}

static enum sticps_err missing(const struct search *search, const char *what,
                               enum npdb_column column, struct sticps_error *err)
{
    char names[256];
    const char *role = npdb_column_name(search->dialect->kind, column);
    if (!search->heading->is_heading)
        return fail(err, STICPS_ERR_NPDB, NULL,
                    "there is no heading; say by its position which column has %s "
                    "(--%s-columns %s=1)",
                    what, kind_name(search), role);
    list_columns(search->heading, names, sizeof(names));
    return fail(err, STICPS_ERR_NPDB, NULL,
                "no column of the heading is known to have %s; there are %s; say which it is "
                "(--%s-columns %s=NAME)",
                what, names, kind_name(search), role);
}

static enum sticps_err ambiguous(const struct search *search, enum npdb_column column,
                                 const struct npdb_field *first, const struct npdb_field *second,
                                 struct sticps_error *err)
{
    const char *role = npdb_column_name(search->dialect->kind, column);
    return fail(err, STICPS_ERR_NPDB, NULL,
                "the columns '%.*s' and '%.*s' may both be %s; say by its position which it is "
                "(--%s-columns %s=2)",
                first->len < 64 ? (int)first->len : 64, first->text,
                second->len < 64 ? (int)second->len : 64, second->text, role, kind_name(search),
                role);
}

/* The column that has one of `names`. */
static enum sticps_err find_name(struct search *search, enum npdb_column column,
                                 const char *const *names, size_t len, struct sticps_error *err)
{
    const struct heading *heading = search->heading;
    int found = NPDB_NO_COLUMN;
    for (unsigned i = 0; i < heading->len; i++) {
        for (size_t name = 0; name < len && names[name] != NULL; name++) {
            if (!same_name(&heading->fields[i], names[name]))
                continue;
            if (found != NPDB_NO_COLUMN)
                return ambiguous(search, column, &heading->fields[found], &heading->fields[i], err);
            found = (int)i;
            break;
        }
    }
    search->at[column] = found;
    return STICPS_OK;
}

static enum sticps_err find_chosen(struct search *search, enum npdb_column column,
                                   struct sticps_error *err)
{
    const struct npdb_column_choice *choice = &search->choices[column];
    const char *name = choice->name;
    char what[96];
    if (choice->position > 0) {
        search->at[column] = choice->position - 1;
        return STICPS_OK;
    }
    enum sticps_err code = find_name(search, column, &name, 1, err);
    if (code != STICPS_OK || search->at[column] != NPDB_NO_COLUMN)
        return code;
    snprintf(what, sizeof(what), "the name '%s'", name);
    return missing(search, what, column, err);
}

static bool is_chosen(const struct npdb_column_choice *choice)
{
    return choice->position > 0 || choice->name[0] != '\0';
}

static bool any_chosen(const struct npdb_column_choice *choices, enum npdb_column from,
                       enum npdb_column to)
{
    bool any = false;
    for (unsigned i = from; i <= to; i++)
        any |= is_chosen(&choices[i]);
    return any;
}

/* What somebody chose stands; of the columns that would compete with it none is looked for. */
static bool may_look(const struct npdb_column_choice *choices, enum npdb_column column)
{
    if (choices[column].absent)
        return false;
    switch (column) {
    case NPDB_COLUMN_NUMBER:
        return !any_chosen(choices, NPDB_COLUMN_NPA, NPDB_COLUMN_NXX);
    case NPDB_COLUMN_NPA:
    case NPDB_COLUMN_NXX:
        return !is_chosen(&choices[NPDB_COLUMN_NUMBER]);
    case NPDB_COLUMN_LRN:
    case NPDB_COLUMN_SPC:
    case NPDB_COLUMN_SPID:
        return !any_chosen(choices, NPDB_COLUMN_LRN, NPDB_COLUMN_SPID);
    default:
        return true;
    }
}

static enum sticps_err find_columns(struct search *search, struct sticps_error *err)
{
    enum npdb_csv_kind kind = search->dialect->kind;
    enum sticps_err code = STICPS_OK;
    for (unsigned i = 0; i < NPDB_COLUMN_COUNT && code == STICPS_OK; i++) {
        search->at[i] = NPDB_NO_COLUMN;
        if (is_chosen(&search->choices[i]))
            code = find_chosen(search, i, err);
        else if (search->heading->is_heading && may_look(search->choices, i))
            code = find_name(search, i, usual_names[kind][i], MAX_NAMES, err);
    }
    return code;
}

/* A prefix beside NPA and NXX says the same once more. */
static enum sticps_err check_columns(struct search *search, struct sticps_error *err)
{
    int *at = search->at;
    bool npa = at[NPDB_COLUMN_NPA] != NPDB_NO_COLUMN, nxx = at[NPDB_COLUMN_NXX] != NPDB_NO_COLUMN;
    if (npa && nxx) {
        at[NPDB_COLUMN_NUMBER] = NPDB_NO_COLUMN;
    } else {
        at[NPDB_COLUMN_NPA] = at[NPDB_COLUMN_NXX] = NPDB_NO_COLUMN;
        if (at[NPDB_COLUMN_NUMBER] == NPDB_NO_COLUMN && (npa || nxx))
            return missing(search, npa ? "the NXX" : "the NPA",
                           npa ? NPDB_COLUMN_NXX : NPDB_COLUMN_NPA, err);
        if (at[NPDB_COLUMN_NUMBER] == NPDB_NO_COLUMN)
            return missing(search,
                           search->dialect->kind == NPDB_CSV_BLOCKS ? "the prefix" : "the number",
                           NPDB_COLUMN_NUMBER, err);
    }
    if (at[NPDB_COLUMN_LRN] == NPDB_NO_COLUMN && at[NPDB_COLUMN_SPC] == NPDB_NO_COLUMN &&
        at[NPDB_COLUMN_SPID] == NPDB_NO_COLUMN)
        return missing(
            search, search->dialect->kind == NPDB_CSV_BLOCKS ? "the SPC" : "the LRN or SPC",
            search->dialect->kind == NPDB_CSV_BLOCKS ? NPDB_COLUMN_SPC : NPDB_COLUMN_LRN, err);
    return STICPS_OK;
}

static enum sticps_err assign_roles(struct search *search, struct sticps_error *err)
{
    struct npdb_dialect *dialect = search->dialect;
    for (unsigned i = 0; i < NPDB_COLUMN_COUNT; i++) {
        int at = search->at[i];
        if (at == NPDB_NO_COLUMN)
            continue;
        if (dialect->role[at] != NPDB_NO_COLUMN)
            return fail(err, STICPS_ERR_NPDB, NULL, "column %d is both %s and %s (--%s-columns)",
                        at + 1, npdb_column_name(dialect->kind, dialect->role[at]),
                        npdb_column_name(dialect->kind, i), kind_name(search));
        dialect->role[at] = (int8_t)i;
        if ((unsigned)at >= dialect->columns)
            dialect->columns = (unsigned)at + 1;
    }
    return STICPS_OK;
}

enum sticps_err npdb_dialect_find(const struct npdb_csv_options *options, enum npdb_csv_kind kind,
                                  const char *text, size_t len, struct npdb_dialect *out,
                                  struct sticps_error *err)
{
    struct npdb_dialect dialect = {.options = options, .kind = kind};
    const struct npdb_column_choice *choices = options->columns[kind];
    struct heading heading;
    const char *end = text, *line = first_line(text, len, &dialect, &end);
    struct search search = {choices, &heading, &dialect, {0}};
    enum sticps_err code = STICPS_OK;
    heading.len = 0;
    memset(dialect.role, NPDB_NO_COLUMN, sizeof(dialect.role));
    dialect.separator = options->separator;
    if (dialect.separator == '\0')
        dialect.separator = line != NULL ? find_separator(line, end) : ',';
    if (line != NULL)
        cut_heading(line, end, dialect.separator, &heading);
    heading.is_heading = is_heading(&heading, choices);
    if (heading.is_heading) {
        const char *newline = memchr(end, '\n', len - (size_t)(end - text));
        dialect.body = newline != NULL ? (size_t)(newline - text) + 1 : len;
        dialect.body_line++;
    }
    if (line == NULL || (!heading.is_heading && !any_chosen(choices, 0, NPDB_COLUMN_COUNT - 1))) {
        dialect.two_columns = true;
        dialect.role[0] = NPDB_COLUMN_NUMBER;
        dialect.role[1] = NPDB_COLUMN_SPC;
        dialect.columns = 2;
    } else {
        code = find_columns(&search, err);
        if (code == STICPS_OK)
            code = check_columns(&search, err);
        if (code == STICPS_OK)
            code = assign_roles(&search, err);
    }
    dialect.is_common = kind == NPDB_CSV_PORTS && dialect.columns == 2 &&
                        dialect.role[0] == NPDB_COLUMN_NUMBER &&
                        (dialect.role[1] == NPDB_COLUMN_LRN || dialect.role[1] == NPDB_COLUMN_SPC);
    if (code == STICPS_OK)
        *out = dialect;
    return code;
}
