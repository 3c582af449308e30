/* Filling in the public error struct, for every part of the project. */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#include "sticps/error.h"

/* Records a failure and returns `code`, so that a function can `return fail(err, …)`.
 * `err` and `where` may be NULL. Text and where are cut to fit, bytes outside printable ASCII in
 * them are replaced by '?', so that what a peer sent can be quoted into a log or a terminal. */
enum sticps_err fail(struct sticps_error *err, enum sticps_err code, const char *where,
                     const char *format, ...) STICPS_PRINTF(4, 5);

/* Puts "context: " before the text of an error that is passed on. */
void fail_context(struct sticps_error *err, const char *format, ...) STICPS_PRINTF(2, 3);

/* The HTTP status that stands for a PASSporT verdict (400, 403, 436, 437, 438); 500 for any other.
 */
int sticps_err_http_status(enum sticps_err code);

#endif
