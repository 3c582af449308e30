/* What npdb_csv makes of a text, as one string, for tests/unit/test_npdb_csv.c and
 * test_npdb_dialect.c. */
#ifndef TESTS_UNIT_CSV_TOLD_H
#define TESTS_UNIT_CSV_TOLD_H

#include "client/npdb_csv.h"
#include "client/npdb_owners.h"
#include "common/tn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What came of a text, row by row: "line:number|owner;", "line:BAD;" */
struct told {
    char text[1024];
    size_t len;
    uint32_t before; /* lines in front of the piece */
    char fault[512]; /* the last one */
    uint64_t skipped, future, ended;
};

static void tell(struct told *told, const char *what)
{
    told->len +=
        (size_t)snprintf(told->text + told->len, sizeof(told->text) - told->len, "%s", what);
    assert_true(told->len < sizeof(told->text));
}

static void on_fault(uint32_t line, const char *what, void *arg)
{
    struct told *told = arg;
    char one[32];
    snprintf(one, sizeof(one), "%u:BAD;", told->before + line + 1);
    tell(told, one);
    snprintf(told->fault, sizeof(told->fault), "%s", what);
}

static void tell_row(struct told *told, const struct npdb_csv_row *row)
{
    struct tn number;
    char owner[NPDB_OWNER_TEXT], one[96];
    tn_from_key(row->number, &number);
    npdb_owner_text(row->owner, owner);
    snprintf(one, sizeof(one), "%u:%s|%s", told->before + row->line + 1, number.digits,
             row->owner == NPDB_ENDED ? "ended" : owner);
    tell(told, one);
    snprintf(one, sizeof(one), "@%u", row->since);
    tell(told, row->since != 0 ? one : "");
    tell(told, ";");
}

static inline void read_with(const struct npdb_csv_options *options, enum npdb_csv_kind kind,
                             const char *text, size_t len, struct told *told)
{
    struct npdb_dialect dialect;
    struct sticps_error err = {.text = ""};
    struct npdb_csv csv;
    struct npdb_csv_row row;
    memset(told, 0, sizeof(*told));
    if (npdb_dialect_find(options, kind, text, len, &dialect, &err) != STICPS_OK) {
        assert_int_equal(err.code, STICPS_ERR_NPDB);
        tell(told, "REFUSED;");
        snprintf(told->fault, sizeof(told->fault), "%s", err.text);
        return;
    }
    told->before = dialect.body_line;
    npdb_csv_init(&csv, &dialect, text + dialect.body, len - dialect.body, on_fault, told);
    while (npdb_csv_read(&csv, &row, 1) > 0)
        tell_row(told, &row);
    told->skipped = csv.skipped;
    told->future = csv.future;
    told->ended = csv.ended;
}

static inline void read_all(enum npdb_csv_kind kind, const char *text, size_t len,
                            struct told *told)
{
    static const struct npdb_csv_options options;
    read_with(&options, kind, text, len, told);
}

#endif
