#include "client/client.h"

#include "sticps/inbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* One delivery, made when it is queued so that its end needs no memory. */
struct letter {
    struct letter *next; /* while it waits */
    struct sticps_inbox *inbox;
    void *tag;
    enum sticps_err code;
    struct sticps_error err;
    struct sticps_delivery *delivery;
};

struct sticps_inbox {
    unsigned forks; /* forks_count() when it was made */
    int event_fd;   /* its counter is 1 while letters wait, else 0 */

    pthread_mutex_t mutex; /* of everything below */
    bool closed;           /* freed by the host; ends with the last letter under way */
    unsigned under_way, waiting;
    struct letter *first, **last; /* that wait */
};

/* ---- life ---- */

enum sticps_err sticps_inbox_new(struct sticps_inbox **out, struct sticps_error *err)
{
    enum sticps_err code = forks_watch(err);
    if (code != STICPS_OK)
        return code;
    struct sticps_inbox *inbox = calloc(1, sizeof(*inbox));
    if (inbox == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    inbox->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (inbox->event_fd < 0) {
        free(inbox);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "no descriptors left: %s; raise RLIMIT_NOFILE",
                    strerror(errno));
    }
    inbox->forks = forks_count();
    inbox->last = &inbox->first;
    pthread_mutex_init(&inbox->mutex, NULL);
    *out = inbox;
    return STICPS_OK;
}

static bool is_foreign(const struct sticps_inbox *inbox)
{
    return inbox->forks != forks_count();
}

static void letter_free(struct letter *letter)
{
    sticps_delivery_free(letter->delivery);
    free(letter);
}

static void destroy(struct sticps_inbox *inbox)
{
    close(inbox->event_fd);
    pthread_mutex_destroy(&inbox->mutex);
    free(inbox);
}

void sticps_inbox_free(struct sticps_inbox *inbox)
{
    if (inbox == NULL)
        return;
    if (is_foreign(inbox)) { /* lock and letters may have been copied amid a change */
        close(inbox->event_fd);
        free(inbox);
        return;
    }
    pthread_mutex_lock(&inbox->mutex);
    struct letter *letter = inbox->first;
    inbox->first = NULL;
    inbox->closed = true;
    bool last = inbox->under_way == 0;
    pthread_mutex_unlock(&inbox->mutex);
    while (letter != NULL) {
        struct letter *next = letter->next;
        letter_free(letter);
        letter = next;
    }
    if (last)
        destroy(inbox);
}

int sticps_inbox_fd(const struct sticps_inbox *inbox)
{
    return is_foreign(inbox) ? -1 : inbox->event_fd;
}

/* ---- in ---- */

/* Takes a place for a letter under way. */
static bool take_place(struct sticps_inbox *inbox, unsigned limit)
{
    pthread_mutex_lock(&inbox->mutex);
    bool room = inbox->under_way + inbox->waiting < limit;
    inbox->under_way += room;
    pthread_mutex_unlock(&inbox->mutex);
    return room;
}

static void leave_place(struct sticps_inbox *inbox)
{
    pthread_mutex_lock(&inbox->mutex);
    inbox->under_way--;
    pthread_mutex_unlock(&inbox->mutex);
}

/* Under the mutex, as taking is: so the descriptor never says what is not so. */
static void put(struct sticps_inbox *inbox, struct letter *letter)
{
    static const uint64_t one = 1;
    *inbox->last = letter;
    inbox->last = &letter->next;
    if (inbox->waiting++ > 0)
        return;
    ssize_t written =
        write(inbox->event_fd, &one, sizeof(one)); /* cannot fail with a counter of 0 */
    (void)written;
}

static void on_delivered(void *ctx, enum sticps_err code, const struct sticps_error *err,
                         const struct sticps_delivery *delivery)
{
    struct letter *letter = ctx;
    struct sticps_inbox *inbox = letter->inbox;
    letter->code = code;
    letter->err = *err;
    letter->delivery = sticps_delivery_ref(delivery);
    pthread_mutex_lock(&inbox->mutex);
    inbox->under_way--;
    bool closed = inbox->closed, last = closed && inbox->under_way == 0;
    if (!closed)
        put(inbox, letter);
    pthread_mutex_unlock(&inbox->mutex);
    if (closed)
        letter_free(letter);
    if (last)
        destroy(inbox);
}

enum sticps_err sticps_deliver_to_inbox(struct sticps_client *client, const char *token, size_t len,
                                        struct sticps_inbox *inbox, void *tag,
                                        struct sticps_error *err)
{
    unsigned limit = client->options->deliver_queue;
    if (is_foreign(inbox))
        return fail(err, STICPS_ERR_USAGE, NULL,
                    "this inbox is of the process before the fork; make one of its own in the "
                    "child");
    struct letter *letter = calloc(1, sizeof(*letter));
    if (letter == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (!take_place(inbox, limit)) {
        free(letter);
        return fail(err, STICPS_ERR_BUSY, NULL,
                    "%u deliveries are under way to this inbox or wait in it; take them", limit);
    }
    letter->inbox = inbox;
    letter->tag = tag;
    enum sticps_err code = sticps_deliver(client, token, len, on_delivered, letter, err);
    if (code != STICPS_OK) {
        leave_place(inbox);
        free(letter);
    }
    return code;
}

/* ---- out ---- */

/* Under the mutex; NULL when none waits. */
static struct letter *take(struct sticps_inbox *inbox)
{
    struct letter *letter = inbox->first;
    if (letter == NULL)
        return NULL;
    inbox->first = letter->next;
    if (--inbox->waiting > 0)
        return letter;
    inbox->last = &inbox->first;
    uint64_t count;
    ssize_t got = read(inbox->event_fd, &count, sizeof(count)); /* cannot fail with one of 1 */
    (void)got;
    return letter;
}

bool sticps_inbox_next(struct sticps_inbox *inbox, void **tag, enum sticps_err *code,
                       struct sticps_error *err, struct sticps_delivery **delivery)
{
    if (is_foreign(inbox))
        return false;
    pthread_mutex_lock(&inbox->mutex);
    struct letter *letter = take(inbox);
    pthread_mutex_unlock(&inbox->mutex);
    if (letter == NULL)
        return false;
    if (tag != NULL)
        *tag = letter->tag;
    if (code != NULL)
        *code = letter->code;
    if (err != NULL && letter->code != STICPS_OK)
        *err = letter->err;
    if (delivery != NULL) {
        *delivery = letter->delivery;
        letter->delivery = NULL;
    }
    letter_free(letter);
    return true;
}
