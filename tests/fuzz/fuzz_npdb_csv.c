/* client/npdb_csv and npdb_dialect: reading comes to an end, lines rise, every row's number and
 * owner are ones that the file can hold, and the short way for the common row gives what the long
 * one gives. */
#include "client/npdb_csv.h"

#include "client/npdb_owners.h"
#include "common/tn.h"
#include "tests/fuzz/target.h"

#include <string.h>

#define BATCH 16

static void on_fault(uint32_t line, const char *what, void *arg)
{
    uint32_t *least = arg;
    MUST(what[0] != '\0' && line >= *least);
    *least = line + 1;
}

static void check_row(enum npdb_csv_kind kind, const struct npdb_csv_row *row)
{
    struct tn tn;
    tn_from_key(row->number, &tn);
    MUST(tn_key(&tn) == row->number && tn.digits[0] != '\0');
    if (kind == NPDB_CSV_PORTS) {
        MUST(tn.digits[0] != '1' || tn_is_nanp(&tn));
        MUST((npdb_plan_number(row->number) != 0) == tn_is_nanp(&tn));
        MUST(row->since == 0 && row->owner != NPDB_NOBODY && row->owner != NPDB_ENDED);
    } else {
        MUST(tn.digits[0] != '1' || tn.digits[8] == '\0');
        MUST(!npdb_owner_is_lrn(row->owner) && row->since <= 20240301);
    }
    tn_from_key(row->owner, &tn);
    MUST(!npdb_owner_is_lrn(row->owner) || tn_is_nanp(&tn));
}

static void start(struct npdb_csv *csv, const struct npdb_dialect *dialect, const char *text,
                  size_t len, uint32_t *least)
{
    npdb_csv_init(csv, dialect, text + dialect->body, len - dialect->body, on_fault, least);
}

static void read_as(enum npdb_csv_kind kind, const char *text, size_t len)
{
    static const struct npdb_csv_options options = {.as_of = 20240301};
    struct npdb_dialect dialect, long_way;
    struct npdb_csv csv, other;
    struct npdb_csv_row rows[BATCH], same[BATCH];
    uint32_t line = 0, least = 0, other_least = 0;
    size_t count = BATCH;
    if (npdb_dialect_find(&options, kind, text, len, &dialect, NULL) != STICPS_OK)
        return;
    MUST(dialect.body <= len);
    long_way = dialect;
    long_way.is_common = false;
    start(&csv, &dialect, text, len, &least);
    start(&other, &long_way, text, len, &other_least);
    while (count == BATCH) {
        count = npdb_csv_read(&csv, rows, BATCH);
        MUST(npdb_csv_read(&other, same, BATCH) == count);
        MUST(memcmp(rows, same, count * sizeof(rows[0])) == 0);
        MUST(csv.at == other.at && csv.lines == other.lines && least == other_least);
        for (size_t i = 0; i < count; i++) {
            MUST(rows[i].line >= line && rows[i].line < csv.lines);
            line = rows[i].line + 1;
            check_row(kind, &rows[i]);
        }
    }
    MUST(csv.at == csv.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    /* never NULL, as the text of a piece is not */
    const char *text = len > 0 ? (const char *)data : "";
    read_as(NPDB_CSV_BLOCKS, text, len);
    read_as(NPDB_CSV_PORTS, text, len);
    return 0;
}
