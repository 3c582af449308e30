/* A list asked of its sources, one after the other, under one deadline (sticps/refresh.h says in
 * which way), and the events that this makes. Called by the public calls, from any thread, and by
 * list_keeper. */
#ifndef CLIENT_LIST_REFRESH_H
#define CLIENT_LIST_REFRESH_H

#include "client/events.h"
#include "client/list_source.h"

/* What a refresh works with; all outlive it. */
struct list_refresher {
    const struct list_source *source;
    struct events *events;
    struct loop *loop;
};

/* The sources of the options. `rest_until`, when not NULL, has one moment (loop_now()) for each URL
 * before which it is not asked; it is set by what the URLs answer, and touched in the loop's thread
 * only. As sticps_list_refresh. */
void list_refresh_all(struct list_refresher *refresher, enum sticps_list_kind kind,
                      uint64_t *rest_until, sticps_list_fn *callback, void *ctx);

/* The sources of the options, until the first that has a list past rules 1 to 7, of which nothing
 * is kept (list_request.offer). As sticps_list_offer_wait. */
void list_refresh_offer(struct list_refresher *refresher, enum sticps_list_kind kind,
                        sticps_list_fn *callback, void *ctx);

/* One URL. As sticps_list_fetch. */
void list_refresh_one(struct list_refresher *refresher, enum sticps_list_kind kind, const char *url,
                      sticps_list_fn *callback, void *ctx);

/* Looks for new anchors, and signers of the CRL, in their files (anchor_set_look). Any thread. */
enum sticps_err list_refresh_look(const struct list_refresher *refresher, bool again,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

/* STICPS_ERR_USAGE when the options have no source for this list, or no anchors. */
enum sticps_err list_refresh_check(const struct list_refresher *refresher,
                                   enum sticps_list_kind kind,
                                   struct sticps_error *err) STICPS_MUST_CHECK;

#endif
