/* A tel URI as ENUM gives it for a number (RFC 3966), with what RFC 4694 adds of number
 * portability. Called by enum_answer. */
#ifndef CLIENT_TEL_URI_H
#define CLIENT_TEL_URI_H

#include "common/error.h"
#include "common/tn.h"

#include <stdbool.h>
#include <stddef.h>

struct tel_uri {
    struct tn tn;
    struct tn rn; /* the routing number, canonical; "" when there is none */
    bool npdi;    /* a portability database was asked */
};

/* A global number ("tel:+…") with any parameters: npdi, rn and rn-context are understood, others
 * are left alone. rn is global ("+…"), or local with a global rn-context ("+1"), or local without
 * one when `default_country` is 1 and it has the ten digits of the North American plan.
 * STICPS_ERR_TN. */
enum sticps_err tel_uri_read(const char *text, size_t len, unsigned default_country,
                             struct tel_uri *out, struct sticps_error *err) STICPS_MUST_CHECK;

#endif
