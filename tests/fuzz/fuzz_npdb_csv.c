/* client/npdb_csv: every row is two fields inside the line, and reading comes to an end. */
#include "client/npdb_csv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct npdb_csv csv;
    struct sticps_error err;
    uint64_t line = 0;
    if (size == 0) /* fmemopen refuses it */
        return 0;
    FILE *file = fmemopen((void *)(uintptr_t)data, size, "r");
    if (file == NULL)
        return 0;
    npdb_csv_init(&csv, file);
    for (;;) {
        enum npdb_csv_result result = npdb_csv_next(&csv, &err);
        if (result == NPDB_CSV_END)
            break;
        if (result == NPDB_CSV_FAILED || csv.line <= line)
            abort();
        line = csv.line;
        for (size_t i = 0; result == NPDB_CSV_ROW && i < 2; i++)
            if (csv.field[i] < csv.text || csv.field_len[i] > NPDB_CSV_MAX_LINE ||
                csv.field[i] + csv.field_len[i] > csv.text + NPDB_CSV_MAX_LINE)
                abort();
    }
    fclose(file);
    return 0;
}
