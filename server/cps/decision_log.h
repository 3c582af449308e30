/* One log line per verdict on a POST. Neither tokens nor whole numbers get into it. */
#ifndef SERVER_CPS_DECISION_LOG_H
#define SERVER_CPS_DECISION_LOG_H

#include "common/spc.h"
#include "server/cps/verify.h"

struct request;

/* `served` is the SPC in the path. */
void decision_log(struct request *request, const struct spc *served,
                  const struct verify_result *result);

/* "ACCEPTED", the name of the refusal, "BUSY", "NOT_READY". */
const char *verdict_name(const struct verify_result *result);

/* A number with all but its last two digits replaced by '*'. */
void mask_number(const struct tn *tn, char out[TN_MAX_DIGITS + 1]);

#endif
