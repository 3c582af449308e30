/* What a CPS says when it refuses: RFC 9457 problem details, as far as the body is one. Called by
 * deliver, retrieve and provision. */
#ifndef CLIENT_PROBLEM_H
#define CLIENT_PROBLEM_H

#include "client/fetch.h"

struct problem {
    char code[64];    /* our `code` member, or "" */
    char detail[256]; /* `detail`, or `title`, or "" */
};

/* Never fails: a body that is no problem leaves both "". Printable ASCII comes out, whatever went
 * in. */
void problem_read(const struct fetch_answer *answer, struct problem *out);

#endif
