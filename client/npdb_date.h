/* Dates in CSV, as routing guides and exports write them. Called by npdb_meaning for effective
 * dates and by npdb_csv_options. */
#ifndef CLIENT_NPDB_DATE_H
#define CLIENT_NPDB_DATE_H

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

/* In which order a date has its parts. */
enum {
    NPDB_DATE_YMD = 1,
    NPDB_DATE_MDY = 2,
    NPDB_DATE_DMY = 4,
    NPDB_DATE_ANY = 7 /* whatever is the only one that makes a date */
};

/* Three numbers with '-', '/' or '.' between them, or 6 or 8 digits without; the year has two
 * digits (1970 to 2069) or four (1900 to 2199). A time may follow, after a space or a T, or as six
 * more digits, and does not count. Sets *date to yyyymmdd; to 0 when there is nothing but zeros.
 * STICPS_ERR_NPDB: no date in any of `orders`, or different ones; the text says what to do. */
enum sticps_err npdb_date_parse(const char *text, size_t len, unsigned orders, uint32_t *date,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* Today in UTC. */
uint32_t npdb_date_today(void);

#endif
