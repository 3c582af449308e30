#include "server/http/internal.h"
#include "server/http/log.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SWEEP_MS 250
#define SWEEP_DRAINING_MS 50
#define MAX_WAIT_MS 1000
/* What is left after the drain deadline has broken every connection must unwind in this time. */
#define UNWIND_MS 5000

/* ---- messages from other threads ---- */

struct post {
    h2o_multithread_message_t message;
    void (*fn)(void *arg);
    void *arg;
};

bool server_post(struct server_thread *thread, void (*fn)(void *arg), void *arg)
{
    struct post *post = calloc(1, sizeof(*post));
    if (post == NULL)
        abort();
    post->fn = fn;
    post->arg = arg;
    pthread_mutex_lock(&thread->post_lock);
    bool open = !thread->closed;
    if (open)
        h2o_multithread_send_message(&thread->posts, &post->message);
    pthread_mutex_unlock(&thread->post_lock);
    if (!open)
        free(post);
    return open;
}

static void on_posts(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        struct post *post = H2O_STRUCT_FROM_MEMBER(struct post, message.link, messages->next);
        h2o_linklist_unlink(&post->message.link);
        post->fn(post->arg);
        free(post);
    }
}

void server_thread_hold(struct server_thread *thread)
{
    thread->holds++;
}

void server_thread_release(struct server_thread *thread)
{
    thread->holds--;
}

/* ---- timers ---- */

void timer_start(struct server_thread *thread, struct timer *timer, unsigned ms,
                 timer_callback *callback)
{
    timer->callback = callback;
    timer_heap_add(&thread->timers, timer, monotonic_ms() + ms);
}

void timer_stop(struct server_thread *thread, struct timer *timer)
{
    timer_heap_remove(&thread->timers, timer);
}

static bool run_timers(struct server_thread *thread)
{
    bool any = false;
    struct timer *timer;
    uint64_t now_ms = monotonic_ms();
    while ((timer = timer_heap_pop(&thread->timers, now_ms)) != NULL) {
        timer->callback(timer);
        any = true;
    }
    return any;
}

/* ---- the end ---- */

static void on_sweep(struct timer *timer)
{
    struct server_thread *thread = H2O_STRUCT_FROM_MEMBER(struct server_thread, sweep, timer);
    if (thread->draining && monotonic_ms() >= thread->drain_deadline_ms) {
        pendings_expire(thread);
        connections_abort(thread);
    }
    connections_sweep(thread);
    atomic_store(&thread->turned_at_ms, monotonic_ms());
    timer_start(thread, timer, thread->draining ? SWEEP_DRAINING_MS : SWEEP_MS, on_sweep);
}

void thread_drain(void *arg)
{
    struct server_thread *thread = arg;
    if (thread->draining)
        return;
    thread->draining = true;
    thread->drain_deadline_ms = monotonic_ms() + thread->server->options.drain_timeout_ms;
    for (size_t i = 0; i < thread->acceptors_len; i++)
        acceptor_stop(&thread->acceptors[i]);
    /* From now on h2o answers "Connection: close" and keeps no connection. Not by
     * h2o_context_request_shutdown: in 2.2.5 that also starts a timer of HTTP/2, which is still
     * linked when a drain takes less than a second, and then h2o_context_dispose asserts. */
    thread->context.shutdown_requested = 1;
    timer_start(thread, &thread->sweep, 0, on_sweep);
}

static bool finished(const struct server_thread *thread)
{
    if (!thread->draining)
        return false;
    if (thread->connections_open == 0 && thread->holds == 0)
        return true;
    return monotonic_ms() > thread->drain_deadline_ms + UNWIND_MS;
}

static void run_loop(struct server_thread *thread)
{
    bool again = false; /* what timers did may have left work that only the loop can see */
    while (!finished(thread)) {
        int wait = again ? 0 : timer_heap_wait(&thread->timers, monotonic_ms(), MAX_WAIT_MS);
        if (h2o_evloop_run(thread->loop, wait) != 0 && errno != EINTR) {
            log_error("event loop %zu: %s", thread->index, strerror(errno));
            nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
        }
        again = run_timers(thread);
    }
}

/* ---- start ---- */

void thread_init(struct server_thread *thread, struct server *server, size_t index)
{
    memset(thread, 0, sizeof(*thread));
    thread->server = server;
    thread->index = index;
    h2o_linklist_init_anchor(&thread->connections);
    h2o_linklist_init_anchor(&thread->pendings);
    pthread_mutex_init(&thread->post_lock, NULL);
    if (RAND_bytes((unsigned char *)&thread->id_next, sizeof(thread->id_next)) != 1)
        abort();
    thread->closed = true; /* until open_loop */
}

/* On the thread itself: what h2o 2.2.5 makes here keeps a pointer to a free list in the memory of
 * the thread that made it (h2o_socket_buffer_prototype is __thread), and uses that list without a
 * lock. */
static void open_loop(struct server_thread *thread)
{
    thread->loop = h2o_evloop_create();
    h2o_context_init(&thread->context, thread->loop, &thread->server->conf);
    h2o_multithread_register_receiver(thread->context.queue, &thread->posts, on_posts);
    pthread_mutex_lock(&thread->post_lock);
    thread->closed = false;
    pthread_mutex_unlock(&thread->post_lock);
}

static enum sticps_err start_accepting(struct server_thread *thread, struct sticps_error *err)
{
    struct server *server = thread->server;
    thread->acceptors = calloc(server->listeners_len, sizeof(*thread->acceptors));
    if (thread->acceptors == NULL)
        abort();
    for (struct listener *each = server->listeners; each != NULL; each = each->next) {
        enum sticps_err code =
            listener_start(each, thread, &thread->acceptors[thread->acceptors_len], err);
        if (code != STICPS_OK)
            return code;
        thread->acceptors_len++;
    }
    return STICPS_OK;
}

/* No thread starts what may post to another before all loops are there to be posted to. */
static void wait_for_all_loops(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->opened++;
    pthread_cond_broadcast(&server->changed);
    while (server->opened < server->threads_len && !server->start_failed)
        pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
}

/* Tells server_run that this thread serves, or why it does not. */
static void report_start(struct server *server, enum sticps_err code,
                         const struct sticps_error *err)
{
    pthread_mutex_lock(&server->lock);
    server->started++;
    if (code != STICPS_OK && !server->start_failed) {
        server->start_failed = true;
        server->start_error = *err;
    }
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void end_loop(struct server_thread *thread)
{
    pthread_mutex_lock(&thread->post_lock);
    thread->closed = true;
    pthread_mutex_unlock(&thread->post_lock);
    for (size_t i = 0; i < thread->acceptors_len; i++)
        acceptor_stop(&thread->acceptors[i]);
    /* Posts that came in before, and sockets that were closed meanwhile. */
    for (int i = 0; i < 3; i++)
        (void)h2o_evloop_run(thread->loop, 0);
    if (thread->connections_open != 0 || thread->holds != 0) {
        /* h2o asserts that nothing is open; the process is about to end anyway. */
        log_error("thread %zu ends with %zu connections and %zu jobs open", thread->index,
                  thread->connections_open, thread->holds);
        return;
    }
    h2o_multithread_queue_t *queue = thread->context.queue;
    h2o_multithread_unregister_receiver(queue, &thread->posts);
    h2o_context_dispose(&thread->context);
    h2o_evloop_destroy(thread->loop);
    free(queue); /* h2o_multithread_destroy_queue of 2.2.5 leaves it */
}

/* h2o keeps a few freed buffers per thread for reuse and has no call to give them back. */
static void free_recycled_buffers(void)
{
    h2o_mem_recycle_t *kept = &h2o_socket_buffer_prototype.allocator;
    while (kept->_link != NULL) {
        void *chunk = kept->_link;
        memcpy(&kept->_link, chunk, sizeof(kept->_link));
        free(chunk);
    }
    kept->cnt = 0;
}

#if defined(__SANITIZE_ADDRESS__)
/* A second free list, of memory pools, is private to h2o and dies with its thread: at most 64 KiB
 * for each thread of a process that is about to end. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:h2o_mem_alloc_recycle\n";
}
#endif

void *thread_main(void *arg)
{
    struct server_thread *thread = arg;
    struct server *server = thread->server;
    const struct server_options *options = &server->options;
    struct sticps_error err = {0};
    enum sticps_err code = STICPS_OK;
    bool stop_state = false;

    open_loop(thread);
    wait_for_all_loops(server);
    if (options->thread_start != NULL) {
        code = options->thread_start(thread, options->arg, &thread->state, &err);
        stop_state = code == STICPS_OK;
    }
    if (code == STICPS_OK)
        code = start_accepting(thread, &err);
    atomic_store(&thread->turned_at_ms, monotonic_ms());
    report_start(server, code, &err);
    timer_start(thread, &thread->sweep, SWEEP_MS, on_sweep);
    if (code != STICPS_OK)
        thread_drain(thread);
    run_loop(thread);
    if (stop_state && options->thread_stop != NULL)
        options->thread_stop(thread, options->arg, thread->state);
    end_loop(thread);
    free_recycled_buffers();
    pthread_mutex_lock(&server->lock);
    server->ended++;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

void thread_free(struct server_thread *thread)
{
    free(thread->acceptors);
    timer_heap_clear(&thread->timers);
    /* post_lock stays until server_free: other threads may still post, and be told that it is too
     * late. */
}

/* ---- what a handler may ask ---- */

size_t server_thread_index(const struct server_thread *thread)
{
    return thread->index;
}

struct server *server_thread_server(const struct server_thread *thread)
{
    return thread->server;
}

void *server_thread_state(const struct server_thread *thread)
{
    return thread->state;
}

struct st_h2o_evloop_t *server_thread_loop(const struct server_thread *thread)
{
    return thread->loop;
}
