/* What DNS says of a telephone number: the name to ask for (RFC 6116 s3.2), and the meaning of the
 * message that comes back, by its NAPTR records of the service E2U+pstn:tel (RFC 4769). Called by
 * enum_source. No allocation; any thread. */
#ifndef CLIENT_ENUM_ANSWER_H
#define CLIENT_ENUM_ANSWER_H

#include "client/dns_message.h"
#include "client/number_source.h"

#include <stddef.h>

struct enum_answer {
    /* FOUND: ported, to `lrn`. NOT_FOUND: not in the DNS, or not ported, which says nothing of who
     * serves it. FAILED: no answer of use. */
    enum number_result result;
    struct tn lrn;
    uint32_t ttl; /* seconds for which DNS lets one remember it; 0 when it does not say */
};

/* "3.2.1.0.5.5.5.2.0.2.1." and the apex. */
void enum_name(const struct tn *tn, const char *apex, char out[DNS_NAME_SIZE]);

/* `name` is the one that was asked for. `err` says why when the result is NUMBER_FAILED. */
void enum_answer_read(const void *message, size_t len, const char *name, const struct tn *tn,
                      unsigned default_country, struct enum_answer *out, struct sticps_error *err);

#endif
