/* What the library answers, as JSON: the one form that `sticps --json` and the agent share. Over
 * the public headers alone. Any thread. */
#ifndef CLIENT_REPORT_REPORT_H
#define CLIENT_REPORT_REPORT_H

#include "common/error.h"
#include "sticps/sticps.h"

#include <jansson.h>

/* Each returns a value that the caller owns, or NULL when out of memory. */

/* PROTOCOL section 7: {"number","tn","ported","lrn","carrier","spc","url","sequence","freshness",
 * "code","detail"}. `number` as it was typed; `err` as sticps_resolve left it, read when there is
 * no URL. */
json_t *report_answer(const char *number, const struct sticps_answer *answer,
                      const struct sticps_error *err);

/* An array of {"url","code","httpStatus","tries","problem","detail"}, one for each CPS; empty for
 * NULL. */
json_t *report_deliveries(const struct sticps_delivery *delivery);

/* A text of the outside, which need not be UTF-8: then with '?' for what JSON cannot hold. */
json_t *report_text(const char *text);

#endif
