/* What became of one delivery, CPS by CPS: the public struct sticps_delivery. Written by deliver.c
 * and sending.c until the callback, then immutable and shared by counting references. */
#ifndef CLIENT_DELIVERY_H
#define CLIENT_DELIVERY_H

#include "client/problem.h"
#include "sticps/deliver.h"

#include <stdatomic.h>

struct outcome {
    char *url;
    enum sticps_err code;
    int status;                /* of the last answer, 0 without one */
    unsigned tries;            /* requests that were sent, or attempted */
    struct problem problem;    /* of a refusal */
    struct sticps_error error; /* of a failure */
};

struct sticps_delivery {
    atomic_uint refs;
    size_t len;
    struct outcome outcomes[];
};

/* With room for `room` outcomes and none yet; NULL when out of memory. */
struct sticps_delivery *delivery_new(size_t room);

/* Adds a CPS, unless it is there. */
enum sticps_err delivery_add(struct sticps_delivery *delivery, const char *url,
                             struct sticps_error *err) STICPS_MUST_CHECK;

/* The one to report: what was refused, then what failed, then what went well. There is one. */
const struct outcome *delivery_gravest(const struct sticps_delivery *delivery);

#endif
