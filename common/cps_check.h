/* The words between sticps-registryd and its checker of CPS URLs (sticps-cps-check), a process of
 * its own: one order and one report per datagram of a SOCK_SEQPACKET pair. Both programs are of one
 * build on one host, so the structs go as they are. Neither trusts the other's: the checker obeys
 * its own limits, and the registry reads a report as it reads any bytes from outside. */
#ifndef COMMON_CPS_CHECK_H
#define COMMON_CPS_CHECK_H

#include "common/url.h"

#include <stdint.h>

#define CPS_CHECK_PROGRAM "sticps-cps-check" /* beside sticps-registryd */
#define CPS_CHECK_PATH "/health"             /* PROTOCOL section 6 */
#define CPS_CHECK_MAX_RUNNING 32             /* orders without a report, at most */
#define CPS_CHECK_MAX_BODY (64 * 1024)

struct cps_check_order {
    uint64_t id;
    uint32_t timeout_ms; /* total, DNS included */
    char url[URL_MAX_LENGTH +
             sizeof(CPS_CHECK_PATH)]; /* NUL-terminated: the host's CPS_CHECK_PATH */
};

struct cps_check_report {
    uint64_t id;
    uint32_t good;    /* 1: TLS and name are right, and the answer was 200; else 0 */
    uint32_t status;  /* of HTTP, 0 when there was no whole answer */
    uint32_t ms;      /* it took */
    char detail[480]; /* what is wrong, for people; NUL-terminated */
};

#endif
