/* A request whose answer comes later: from the database, a worker, another thread.
 *
 * h2o does not notice that an HTTP/1.1 client left while a handler works, and frees the request
 * under it when it does. So what waits for the answer never holds a request but a struct pending:
 * malloc'd, known to the request's pool by a dispose hook; the hook and the operation's completion
 * each mark done, the second frees.
 *
 *     static void handler(struct request *request)
 *     {
 *         struct lookup *lookup = calloc(1, sizeof(*lookup));
 *         struct pending *pending = pending_new(request, 0, lookup, free);
 *         db_query(pool, &stmt, params, 0, on_row, pending);
 *     }
 *     static void on_row(const struct db_result *result, void *arg)
 *     {
 *         struct pending *pending = arg;
 *         struct request *request = pending_request(pending);
 *         if (request != NULL)
 *             reply_json(request, 200, …);
 *         pending_done(pending);
 *     }
 *
 * One operation at a time holds a pending; it may start the next one in place of pending_done. All
 * calls on the request's thread. */
#ifndef SERVER_HTTP_PENDING_H
#define SERVER_HTTP_PENDING_H

#include <stddef.h>

struct request;
struct pending;
struct server_thread;

/* After `deadline_ms` (0: the server's handler_deadline_ms) without a reply the client gets 503
 * UNAVAILABLE with Retry-After, and pending_request gives NULL from then on. `data` is freed by
 * `free_data` (may be NULL) when both sides are done. */
struct pending *pending_new(struct request *request, unsigned deadline_ms, void *data,
                            void (*free_data)(void *));

/* The request to reply to; NULL when it is gone or already answered. */
struct request *pending_request(struct pending *pending);
void *pending_data(struct pending *pending);
struct server_thread *pending_thread(struct pending *pending);

/* The operation is over: it must not use `pending` again. When nobody replied the client gets 500
 * INTERNAL, so that no path can leave it without an answer. */
void pending_done(struct pending *pending);

/* The operation is over and the request goes on in another way, which may make a pending of its
 * own: what an asynchronous authenticate hook calls before router_continue(). The request, or NULL
 * when it is gone; `pending` must not be used again. */
struct request *pending_detach(struct pending *pending);

/* Called when the request goes away or its deadline passes before pending_done, so that a waiter
 * can leave its queue; inside, pending_request is already NULL, and pending_done may be called. */
void pending_on_gone(struct pending *pending, void (*gone)(struct pending *pending));

/* Replaces the deadline (0: none: the caller has a timer of its own). */
void pending_set_deadline(struct pending *pending, unsigned deadline_ms);

#endif
