#include "client/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64
#define PASSES_AT_ONCE 16 /* then the host's loop has its turn */
#define UNWATCHED_AT_ONCE 64
#define NEVER UINT64_MAX
#define RESCUE_MS 50

struct loop {
    int epoll_fd;
    int timer_fd; /* the next moment, curl's or of a timer */
    int event_fd; /* tasks were posted */
    CURLM *multi;
    uint64_t curl_due;        /* curl's next time-out, NEVER when it has none */
    struct loop_timer timers; /* a ring by their moment, around this one, which is due NEVER */
    struct loop_timer rescue;
    struct loop_watch *watches;
    uint64_t armed;                   /* what timer_fd is set to, NEVER when it is not */
    bool turning;                     /* in a turn, whose end arms the timer and looks for tasks */
    int unwatched[UNWATCHED_AT_ONCE]; /* curl's sockets, still in epoll_fd until the turn ends */
    size_t unwatched_len;

    pthread_mutex_t mutex; /* of everything below */
    pthread_cond_t changed;
    struct loop_task *first, **last; /* posted */
    bool awake;                      /* in a turn that will look at them: nobody need wake it */
    bool has_thread;
    bool stop;
    pthread_t thread;

    pthread_mutex_t driver; /* held by the waiting caller that drives the loop */
};

/* ---- time ---- */

uint64_t loop_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t next_due(const struct loop *loop)
{
    uint64_t due = loop->timers.next->due;
    return due < loop->curl_due ? due : loop->curl_due;
}

/* Sets the timer to the next moment, unless it fires before that anyway. To set it is a system call
 * that costs more than parsing a PASSporT, and the deadline of nearly every transfer is taken back
 * long before it comes: so it may fire for nothing, which then sets it anew. */
static void arm(struct loop *loop)
{
    uint64_t due = next_due(loop);
    if (loop->turning || due >= loop->armed)
        return;
    struct itimerspec when = {{0, 0}, {0, 0}};
    when.it_value.tv_sec = (time_t)(due / 1000);
    when.it_value.tv_nsec = (long)(due % 1000) * 1000000 + 1; /* all 0 would disarm it */
    if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) == 0)
        loop->armed = due;
}

bool loop_timer_is_set(const struct loop_timer *timer)
{
    return timer->next != NULL;
}

void loop_timer_stop(struct loop_timer *timer)
{
    if (!loop_timer_is_set(timer))
        return;
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->prev = timer->next = NULL;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, unsigned ms,
                    void (*run)(struct loop_timer *timer))
{
    loop_timer_stop(timer);
    timer->due = loop_now() + ms;
    timer->run = run;
    struct loop_timer *before = loop->timers.prev;
    while (before != &loop->timers && before->due > timer->due)
        before = before->prev;
    timer->prev = before;
    timer->next = before->next;
    timer->prev->next = timer->next->prev = timer;
    arm(loop);
}

/* Without memory libcurl 7.88 loses sight of a transfer's socket or time-out, says so once, and not
 * even the deadline would end that transfer. So all are looked at, now and then, until none is left
 * that was there. */
static void on_rescue(struct loop_timer *timer)
{
    struct loop *loop = (struct loop *)((char *)timer - offsetof(struct loop, rescue));
    int running = 0;
    if (curl_multi_perform(loop->multi, &running) != CURLM_OK || running > 0)
        loop_timer_set(loop, timer, RESCUE_MS, on_rescue);
}

static void act(struct loop *loop, curl_socket_t fd, int what)
{
    int running;
    if (curl_multi_socket_action(loop->multi, fd, what, &running) != CURLM_OK &&
        !loop_timer_is_set(&loop->rescue))
        loop_timer_set(loop, &loop->rescue, RESCUE_MS, on_rescue);
}

static void run_due(struct loop *loop)
{
    uint64_t now = loop_now();
    while (loop->timers.next->due <= now) {
        struct loop_timer *timer = loop->timers.next;
        loop_timer_stop(timer);
        timer->run(timer);
    }
    if (loop->curl_due <= now) {
        loop->curl_due = NEVER;
        act(loop, CURL_SOCKET_TIMEOUT, 0);
    }
}

/* ---- curl's wishes ---- */

static void unwatch_now(struct loop *loop)
{
    struct epoll_event none = {0};
    while (loop->unwatched_len > 0)
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, loop->unwatched[--loop->unwatched_len], &none);
}

/* At the end of the turn: by then a kept connection often has its next request. */
static void unwatch(struct loop *loop, int fd)
{
    if (loop->unwatched_len == UNWATCHED_AT_ONCE)
        unwatch_now(loop);
    loop->unwatched[loop->unwatched_len++] = fd;
    if (!loop->turning)
        unwatch_now(loop);
}

static bool is_unwatched(struct loop *loop, int fd)
{
    for (size_t i = 0; i < loop->unwatched_len; i++)
        if (loop->unwatched[i] == fd) {
            loop->unwatched[i] = loop->unwatched[--loop->unwatched_len];
            return true;
        }
    return false;
}

void loop_closing(struct loop *loop, int fd)
{
    struct epoll_event none = {0};
    if (is_unwatched(loop, fd))
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, &none);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    struct loop *loop = context;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        unwatch(loop, fd);
        return 0;
    }
    struct epoll_event event = {.data.fd = fd};
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        event.events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        event.events |= EPOLLOUT;

    /* The kernel forgets a descriptor that is closed, and its number may be another's by now, hence
     * both attempts. When neither works the transfer ends by its deadline; an error here would end
     * all of them. */
    bool there = is_unwatched(loop, fd) || known != NULL;
    if (epoll_ctl(loop->epoll_fd, there ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0 &&
        errno == (there ? ENOENT : EEXIST))
        epoll_ctl(loop->epoll_fd, there ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
    if (known == NULL)
        curl_multi_assign(loop->multi, fd, loop); /* comes back as `known` */
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *context)
{
    struct loop *loop = context;
    (void)multi;
    loop->curl_due = ms < 0 ? NEVER : loop_now() + (uint64_t)ms;
    arm(loop);
    return 0;
}

/* ---- life ---- */

static enum sticps_err add_fd(struct loop *loop, int fd, uint32_t events, struct sticps_error *err)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "epoll_ctl: %s", strerror(errno));
    return STICPS_OK;
}

/* Told once for each time that it fires or is written to, so that nobody has to read it. */
static enum sticps_err watch(struct loop *loop, int fd, struct sticps_error *err)
{
    return add_fd(loop, fd, EPOLLIN | EPOLLET, err);
}

enum sticps_err loop_watch(struct loop *loop, struct loop_watch *added, struct sticps_error *err)
{
    enum sticps_err code = add_fd(loop, added->fd, EPOLLIN, err);
    if (code == STICPS_OK) {
        added->next = loop->watches;
        loop->watches = added;
    }
    return code;
}

void loop_unwatch(struct loop *loop, struct loop_watch *removed)
{
    struct epoll_event none = {0};
    for (struct loop_watch **link = &loop->watches; *link != NULL; link = &(*link)->next)
        if (*link == removed) {
            *link = removed->next;
            epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, removed->fd, &none);
            return;
        }
}

enum sticps_err loop_new(struct loop **out, struct sticps_error *err)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    pthread_mutex_init(&loop->mutex, NULL);
    pthread_mutex_init(&loop->driver, NULL);
    pthread_cond_init(&loop->changed, NULL);
    loop->last = &loop->first;
    loop->curl_due = loop->armed = loop->timers.due = NEVER;
    loop->timers.prev = loop->timers.next = &loop->timers;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    loop->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    enum sticps_err code = STICPS_ERR_NO_MEMORY;
    if (loop->epoll_fd < 0 || loop->timer_fd < 0 || loop->event_fd < 0) {
        fail(err, code, NULL, "no descriptors left: %s; raise RLIMIT_NOFILE", strerror(errno));
        goto failed;
    }
    loop->multi = curl_multi_init();
    if (loop->multi == NULL) {
        fail(err, code, NULL, "out of memory");
        goto failed;
    }
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, 256L); /* idle ones kept, of all peers */
    code = watch(loop, loop->timer_fd, err);
    if (code == STICPS_OK)
        code = watch(loop, loop->event_fd, err);
    if (code != STICPS_OK)
        goto failed;
    *out = loop;
    return STICPS_OK;

failed:
    loop_free(loop);
    return code;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    loop_stop_thread(loop);
    if (loop->multi != NULL)
        curl_multi_cleanup(loop->multi); /* still calls on_socket */
    close_fd(loop->event_fd);
    close_fd(loop->timer_fd);
    close_fd(loop->epoll_fd);
    pthread_cond_destroy(&loop->changed);
    pthread_mutex_destroy(&loop->driver);
    pthread_mutex_destroy(&loop->mutex);
    free(loop);
}

void loop_abandon(struct loop *loop)
{
    if (loop == NULL)
        return;
    close_fd(loop->event_fd);
    close_fd(loop->timer_fd);
    close_fd(loop->epoll_fd);
}

int loop_fd(const struct loop *loop)
{
    return loop->epoll_fd;
}

CURLM *loop_multi(struct loop *loop)
{
    return loop->multi;
}

/* ---- one turn ---- */

static void wake(struct loop *loop)
{
    uint64_t one = 1;
    /* fails only when the counter is full, and then it is readable anyway */
    ssize_t written = write(loop->event_fd, &one, sizeof(one));
    (void)written;
}

void loop_post(struct loop *loop, struct loop_task *task)
{
    task->next = NULL;
    pthread_mutex_lock(&loop->mutex);
    bool asleep = loop->first == NULL && !loop->awake; /* whoever posts first wakes it for all */
    *loop->last = task;
    loop->last = &task->next;
    pthread_mutex_unlock(&loop->mutex);
    if (asleep)
        wake(loop);
}

void loop_run_posted(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    struct loop_task *task = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    pthread_mutex_unlock(&loop->mutex);
    while (task != NULL) {
        struct loop_task *next = task->next;
        task->run(task);
        task = next;
    }
}

static void reap_transfers(struct loop *loop)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(loop->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result;
        struct loop_transfer *transfer = NULL;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
        curl_multi_remove_handle(loop->multi, easy);
        transfer->done(transfer, result);
    }
}

static bool is_watched(struct loop *loop, int fd)
{
    for (struct loop_watch *at = loop->watches; at != NULL; at = at->next)
        if (at->fd == fd) {
            at->ready(at);
            return true;
        }
    return false;
}

static void on_event(struct loop *loop, const struct epoll_event *event)
{
    int fd = event->data.fd;
    if (is_watched(loop, fd))
        return;
    if (fd == loop->timer_fd) {
        loop->armed = NEVER;
    } else if (fd != loop->event_fd) {
        int what = 0;
        if (event->events & EPOLLIN)
            what |= CURL_CSELECT_IN;
        if (event->events & EPOLLOUT)
            what |= CURL_CSELECT_OUT;
        if (what == 0) /* EPOLLERR or EPOLLHUP alone; else reading or writing names the error */
            what = CURL_CSELECT_ERR;
        act(loop, fd, what);
    }
}

static void begin_turn(struct loop *loop)
{
    loop->turning = true;
    pthread_mutex_lock(&loop->mutex);
    loop->awake = true;
    pthread_mutex_unlock(&loop->mutex);
}

/* Whether there is nothing left that is due. */
static bool is_done(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    bool done = loop->first == NULL && next_due(loop) > loop_now();
    if (done)
        loop->awake = false;
    pthread_mutex_unlock(&loop->mutex);
    return done;
}

/* What is still due makes the descriptor readable again. */
static void break_off_turn(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    loop->awake = false;
    bool posted = loop->first != NULL;
    pthread_mutex_unlock(&loop->mutex);
    if (posted)
        wake(loop);
}

/* What happens brings more about: an answer its callback, that a delivery, that a transfer, which
 * curl wants to start by a time-out of 0 ms. All of it is one turn. */
static enum sticps_err turn(struct loop *loop, int wait_ms, struct sticps_error *err)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_AT_ONCE, wait_ms);
    if (count < 0 && errno != EINTR)
        return fail(err, STICPS_ERR_USAGE, NULL, "epoll_wait: %s", strerror(errno));
    begin_turn(loop);
    for (int i = 0; i < count; i++)
        on_event(loop, &events[i]);
    int passes = 0;
    do {
        loop_run_posted(loop);
        run_due(loop);
        reap_transfers(loop);
    } while (!is_done(loop) && ++passes < PASSES_AT_ONCE);
    if (passes == PASSES_AT_ONCE)
        break_off_turn(loop);
    unwatch_now(loop);
    loop->turning = false;
    arm(loop);
    return STICPS_OK;
}

enum sticps_err loop_process(struct loop *loop, struct sticps_error *err)
{
    return turn(loop, 0, err);
}

/* Cannot fail: the descriptors are ours, and open. EINTR is as good as an event. */
static void wait_and_process(struct loop *loop)
{
    enum sticps_err code = turn(loop, -1, NULL);
    (void)code;
}

/* ---- the own thread ---- */

static bool is_stopping(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    bool stop = loop->stop;
    pthread_mutex_unlock(&loop->mutex);
    return stop;
}

static void *thread_main(void *argument)
{
    struct loop *loop = argument;
    while (!is_stopping(loop))
        wait_and_process(loop);
    return NULL;
}

enum sticps_err loop_start_thread(struct loop *loop, struct sticps_error *err)
{
    pthread_mutex_lock(&loop->mutex);
    int result = EALREADY;
    if (!loop->has_thread) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before); /* signals stay the host's */
        loop->stop = false;
        result = pthread_create(&loop->thread, NULL, thread_main, loop);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        loop->has_thread = result == 0;
    }
    pthread_mutex_unlock(&loop->mutex);
    if (result == EALREADY)
        return fail(err, STICPS_ERR_USAGE, NULL, "the client has its thread already");
    if (result != 0)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "no thread: %s", strerror(result));
    return STICPS_OK;
}

static void stop_task(struct loop_task *task)
{
    (void)task; /* the wake-up is what counts */
}

void loop_stop_thread(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    bool had = loop->has_thread;
    loop->stop = true;
    pthread_mutex_unlock(&loop->mutex);
    if (!had)
        return;
    struct loop_task wake = {NULL, stop_task};
    loop_post(loop, &wake);
    pthread_join(loop->thread, NULL);
    pthread_mutex_lock(&loop->mutex);
    loop->has_thread = false;
    pthread_mutex_unlock(&loop->mutex);
    loop_run_posted(loop); /* `wake` may still be queued, and must not outlive this call */
}

bool loop_has_thread(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    bool has = loop->has_thread;
    pthread_mutex_unlock(&loop->mutex);
    return has;
}

/* ---- waiting ---- */

void loop_signal_set(struct loop *loop, struct loop_signal *signal)
{
    pthread_mutex_lock(&loop->mutex);
    signal->set = true;
    pthread_cond_broadcast(&loop->changed);
    pthread_mutex_unlock(&loop->mutex);
}

static bool is_set(struct loop *loop, const struct loop_signal *signal)
{
    pthread_mutex_lock(&loop->mutex);
    bool set = signal->set;
    pthread_mutex_unlock(&loop->mutex);
    return set;
}

void loop_wait(struct loop *loop, struct loop_signal *signal)
{
    if (loop_has_thread(loop)) {
        pthread_mutex_lock(&loop->mutex);
        while (!signal->set)
            pthread_cond_wait(&loop->changed, &loop->mutex);
        pthread_mutex_unlock(&loop->mutex);
        return;
    }
    pthread_mutex_lock(&loop->driver);
    while (!is_set(loop, signal))
        wait_and_process(loop);
    pthread_mutex_unlock(&loop->driver);
}
