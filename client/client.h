/* The client handle: who owns what. Only the files of the public calls look inside. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "client/deliver.h"
#include "client/events.h"
#include "client/fetch.h"
#include "client/forks.h"
#include "client/gate.h"
#include "client/list_keeper.h"
#include "client/lists.h"
#include "client/loop.h"
#include "client/number_sources.h"
#include "client/options.h"
#include "client/x5u_cache.h"
#include "common/cert.h"
#include "sticps/client.h"

#include <stdatomic.h>

/* Members are made from top to bottom and freed from bottom to top. */
struct sticps_client {
    struct sticps_options *options;
    struct events events;
    struct anchor_set *anchors, *crl_signers; /* the same one, unless options name CRL signers */
    struct gate gate;                         /* of `numbers` and of the held lists */
    _Atomic(struct number_sources *) numbers;
    struct lists *lists;
    struct loop *loop;
    struct fetcher *fetcher;
    struct x5u_cache *x5u;
    struct enum_source *enumeration; /* NULL when it is not among the sources of numbers */
    struct deliverer *deliverer;
    struct list_source list_source;
    struct list_refresher refresher;
    struct list_keeper keepers[2]; /* by enum sticps_list_kind */
    unsigned forks;                /* forks_count() when it was made */
};

/* Is this the process that made the client? STICPS_ERR_USAGE in a child of it, where only what
 * client.h (the public one) names may be done. Costs nothing to speak of. */
enum sticps_err client_check(const struct sticps_client *client,
                             struct sticps_error *err) STICPS_MUST_CHECK;

#endif
