/* Telephone numbers, canonical: digits only, country code first (E.164), 1 to 15 of them.
 *
 * One canonicaliser serves the called number, the portability file, the CPS store and PASSporT
 * claims alike, so that 2025550123 and 12025550123 are one call everywhere. */
#ifndef COMMON_TN_H
#define COMMON_TN_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TN_MAX_DIGITS 15

struct tn {
    char digits[TN_MAX_DIGITS + 1]; /* NUL-terminated, NUL-padded */
};

/* A number as a person or a host writes it: an optional leading '+', digits, and the separators
 * space,
 * '-', '.', '(' and ')' (RFC 3966 s5.1.1). Without '+', ten digits of the form [2-9]xx[2-9]xxxxxx
 * get the leading 1 of the North American plan when `default_country` is 1 (0: no default). With
 * '+' the country code is already there and nothing is added. STICPS_ERR_TN: empty, longer than 15
 * digits, or another character. */
enum sticps_err tn_from_typed(const char *text, size_t len, unsigned default_country,
                              struct tn *out, struct sticps_error *err) STICPS_MUST_CHECK;

/* A number as a PASSporT claim carries it (RFC 8225 s5.2.1, ATIS-1000074): digits only. The same
 * default country applies. */
enum sticps_err tn_from_claim(const char *text, size_t len, unsigned default_country,
                              struct tn *out, struct sticps_error *err) STICPS_MUST_CHECK;

/* The number as one integer that also tells numbers apart whose leading zeros differ; never 0. */
uint64_t tn_key(const struct tn *tn);

/* The inverse of tn_key. */
void tn_from_key(uint64_t key, struct tn *out);

/* Eleven digits of the North American plan: 1, [2-9]xx, [2-9]xxxxxx. */
bool tn_is_nanp(const struct tn *tn);

/* A toll-free number of the plan: 1 and 800, 822, 833, 844, 855, 866, 877 or 888 before the rest.
 */
bool tn_is_toll_free(const struct tn *tn);

#endif
