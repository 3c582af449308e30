/* What one server thread of the CPS counts for metrics beside its requests. Written by the thread,
 * read by any. */
#ifndef SERVER_CPS_CPS_COUNTERS_H
#define SERVER_CPS_CPS_COUNTERS_H

#include "server/sti/credentials.h"
#include "server/cps/verify.h"
#include "server/http/counter.h"

/* ACCEPTED, the five refusals, BUSY, NOT_READY, and whatever else. */
#define CPS_VERDICTS 9
extern const char *const cps_verdicts[CPS_VERDICTS];

struct cps_counters {
    counter verdicts[CPS_VERDICTS]; /* one for each POST */
    counter handed_over;            /* PASSporTs */
    struct credentials_counters credentials;
};

void cps_count_verdict(struct cps_counters *counters, const struct verify_result *result);

#endif
