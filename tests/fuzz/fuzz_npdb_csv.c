/* client/npdb_csv: reading comes to an end, lines rise, and every row's number and owner are ones
 * that the file can hold. */
#include "client/npdb_csv.h"

#include "client/npdb_owners.h"
#include "common/tn.h"
#include "tests/fuzz/target.h"

static void on_fault(uint32_t line, const char *what, void *arg)
{
    MUST(what[0] != '\0');
    *(uint32_t *)arg = line;
}

static void read_as(enum npdb_csv_kind kind, const char *text, size_t len)
{
    static const struct npdb_csv_options options;
    struct npdb_dialect dialect;
    struct npdb_csv csv;
    struct npdb_csv_row rows[3];
    uint32_t line = 0, fault = 0;
    size_t count = 3;
    if (npdb_dialect_find(&options, kind, text, len, &dialect, NULL) != STICPS_OK)
        return;
    MUST(dialect.body <= len);
    npdb_csv_init(&csv, &dialect, text + dialect.body, len - dialect.body, on_fault, &fault);
    while (count == 3) {
        count = npdb_csv_read(&csv, rows, 3);
        for (size_t i = 0; i < count; i++) {
            struct tn tn;
            MUST(rows[i].line >= line && rows[i].line < csv.lines);
            line = rows[i].line + 1;
            tn_from_key(rows[i].number, &tn);
            MUST(tn_key(&tn) == rows[i].number && tn.digits[0] != '\0');
            MUST(kind == NPDB_CSV_BLOCKS || tn.digits[0] != '1' || tn_is_nanp(&tn));
            tn_from_key(rows[i].owner, &tn);
            MUST(!npdb_owner_is_lrn(rows[i].owner) || tn_is_nanp(&tn));
        }
    }
    MUST(csv.at == csv.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    read_as(NPDB_CSV_BLOCKS, (const char *)data, len);
    read_as(NPDB_CSV_PORTS, (const char *)data, len);
    return 0;
}
