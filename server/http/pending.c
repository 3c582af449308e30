#include "server/http/pending.h"

#include "server/http/internal.h"
#include "server/http/log.h"

#include <stdlib.h>

struct pending {
    h2o_linklist_t link; /* in thread->pendings while the request lives */
    struct server_thread *thread;
    struct request *request; /* NULL: gone, or answered by the deadline */
    struct timer deadline;
    void (*gone)(struct pending *);
    void *data;
    void (*free_data)(void *);
    bool operation_done;
    bool request_done; /* its dispose hook has run */
};

static void free_when_both_done(struct pending *pending)
{
    if (!pending->operation_done || !pending->request_done)
        return;
    if (pending->free_data != NULL)
        pending->free_data(pending->data);
    free(pending);
}

/* The operation may still be running, but nobody waits for it any more. */
static void tell_gone(struct pending *pending)
{
    void (*gone)(struct pending *) = pending->gone;
    pending->gone = NULL;
    if (gone != NULL && !pending->operation_done)
        gone(pending);
}

static void expire(struct pending *pending)
{
    struct request *request = pending_request(pending);
    timer_stop(pending->thread, &pending->deadline);
    if (request == NULL)
        return;
    reply_problem(request, &PROBLEM_UNAVAILABLE, "no answer in time; try again");
    /* h2o disposes of an answered request from the loop, never inside a reply: both live on here.
     */
    pending->request = NULL;
    tell_gone(pending);
}

static void on_deadline(struct timer *timer)
{
    expire(H2O_STRUCT_FROM_MEMBER(struct pending, deadline, timer));
}

struct pending *pending_new(struct request *request, unsigned deadline_ms, void *data,
                            void (*free_data)(void *))
{
    struct pending *pending = calloc(1, sizeof(*pending));
    if (pending == NULL || request->pending != NULL)
        abort(); /* one request has one pending */
    pending->thread = request->thread;
    pending->request = request;
    pending->data = data;
    pending->free_data = free_data;
    request->pending = pending;
    h2o_linklist_insert(&request->thread->pendings, &pending->link);
    pending_set_deadline(pending, deadline_ms != 0
                                      ? deadline_ms
                                      : request->thread->server->options.handler_deadline_ms);
    return pending;
}

struct request *pending_request(struct pending *pending)
{
    if (pending->request != NULL && pending->request->replied)
        return NULL;
    return pending->request;
}

void *pending_data(struct pending *pending)
{
    return pending->data;
}

struct server_thread *pending_thread(struct pending *pending)
{
    return pending->thread;
}

void pending_done(struct pending *pending)
{
    struct request *request = pending_request(pending);
    timer_stop(pending->thread, &pending->deadline);
    if (request != NULL) {
        log_error("request %s: the handler gave no answer", request->id);
        reply_problem(request, &PROBLEM_INTERNAL, "no answer");
    }
    pending->operation_done = true;
    free_when_both_done(pending);
}

struct request *pending_detach(struct pending *pending)
{
    struct request *request = pending_request(pending);
    timer_stop(pending->thread, &pending->deadline);
    if (request != NULL) {
        h2o_linklist_unlink(&pending->link);
        request->pending = NULL;
        pending->request_done = true;
    }
    pending->operation_done = true;
    free_when_both_done(pending);
    return request;
}

void pending_on_gone(struct pending *pending, void (*gone)(struct pending *pending))
{
    pending->gone = gone;
}

void pending_set_deadline(struct pending *pending, unsigned deadline_ms)
{
    timer_stop(pending->thread, &pending->deadline);
    if (deadline_ms != 0 && pending->request != NULL)
        timer_start(pending->thread, &pending->deadline, deadline_ms, on_deadline);
}

void pending_gone(struct pending *pending)
{
    timer_stop(pending->thread, &pending->deadline);
    h2o_linklist_unlink(&pending->link);
    pending->request = NULL;
    tell_gone(pending);
    pending->request_done = true;
    free_when_both_done(pending);
}

void pendings_expire(struct server_thread *thread)
{
    /* Replying takes none out of the list: that happens when h2o disposes of the request, later. */
    h2o_linklist_t *next;
    for (h2o_linklist_t *at = thread->pendings.next; at != &thread->pendings; at = next) {
        next = at->next;
        expire(H2O_STRUCT_FROM_MEMBER(struct pending, link, at));
    }
}
