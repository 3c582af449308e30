/* CSV into the rows of a portability file. Called by npdb_build with one piece of a file after the
 * other, each a whole number of lines; pieces of one file may be read by different threads at once.
 * Nothing is allocated. What is tolerated, and what is a fault: docs/npdb-format.md, "The CSV". */
#ifndef CLIENT_NPDB_CSV_H
#define CLIENT_NPDB_CSV_H

#include "client/npdb_dialect.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes of a line without its end. A longer one is one fault. Whoever cuts a file into pieces and
 * meets one that does not fit a piece hands in the first NPDB_CSV_MAX_LINE + 1 bytes of it as a
 * piece, and goes on after its end. */
#define NPDB_CSV_MAX_LINE 4096u

/* An owner that only a row has: the block is nobody's from then on, as if it had no row. */
#define NPDB_ENDED UINT64_MAX

struct npdb_csv_row {
    uint64_t number; /* tn_key of the number or the prefix */
    uint64_t owner;  /* an LRN, an SPC or NPDB_NOBODY as in npdb_owners.h; blocks: or NPDB_ENDED */
    uint32_t line;   /* of the piece, from 0 */
    uint32_t since; /* blocks: yyyymmdd, of two rows for a prefix the later one counts; 0: always */
};

/* A number of country code 1 in ports always has the form of the plan; these are its ten digits as
 * an integer, from 2002000000. 0 for a number of another country. */
static inline uint64_t npdb_plan_number(uint64_t number)
{
    const uint64_t first = UINT64_C(10000000000);
    uint64_t value = number >> 4;
    return (number & 15) == 11 && value - first < first ? value - first : 0;
}

struct npdb_csv {
    const struct npdb_dialect *dialect;
    const char *at, *end;
    uint32_t lines;   /* behind `at` */
    uint64_t skipped; /* rows left out for their status */
    uint64_t future;  /* rows left out for their date */
    uint64_t ended;   /* rows of ports left out because the number is out of service */
    /* Called for each row that is wrong, with the line as above and a borrowed text. */
    void (*on_fault)(uint32_t line, const char *what, void *arg);
    void *arg;
};

/* `text` is borrowed until the reading is over. For the first piece of a file it starts at
 * dialect->body. */
void npdb_csv_init(struct npdb_csv *csv, const struct npdb_dialect *dialect, const char *text,
                   size_t len, void (*on_fault)(uint32_t line, const char *what, void *arg),
                   void *arg);

/* Up to `max` rows; how many there are. Fewer than `max`: the piece is at its end. */
size_t npdb_csv_read(struct npdb_csv *csv, struct npdb_csv_row *rows, size_t max);

#endif
