#include "client/list_store.h"

#include "client/list.h"
#include "client/list_json.h"
#include "client/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_FILE (64 * 1024 * 1024) /* a list of 16 MiB, escaped, and its company */
#define LOCK_TRIES 500
#define LOCK_PAUSE_MS 10

struct list_store {
    char *dir, *path, *temp_path, *lock_path; /* all NULL: in memory */
    enum sticps_list_kind kind;
    bool rehearsal;
    int lock_fd;  /* -1 while unlocked */
    char *memory; /* the state as JSON, without a directory or in a rehearsal */
    size_t memory_len;
};

enum sticps_err list_store_new(const char *dir, enum sticps_list_kind kind, struct list_store **out,
                               struct sticps_error *err)
{
    struct list_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    store->lock_fd = -1;
    store->kind = kind;
    if (dir != NULL) {
        const char *name = kind == STICPS_LIST_CPS ? "cps-list" : "ca-list";
        store->dir = strdup(dir);
        store->path = state_file_path(dir, name, ".json");
        store->temp_path = state_file_path(dir, name, ".json.tmp");
        store->lock_path = state_file_path(dir, name, ".lock");
        if (!store->dir || !store->path || !store->temp_path || !store->lock_path) {
            list_store_free(store);
            return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
        }
    }
    *out = store;
    return STICPS_OK;
}

void list_store_free(struct list_store *store)
{
    if (store == NULL)
        return;
    if (store->lock_fd >= 0)
        close(store->lock_fd); /* in a child: the lock stays its parent's */
    free(store->dir);
    free(store->path);
    free(store->temp_path);
    free(store->lock_path);
    free(store->memory);
    free(store);
}

void list_store_rehearse(struct list_store *store)
{
    store->rehearsal = true;
}

/* ---- the lock ---- */

enum sticps_err list_store_lock(struct list_store *store, struct sticps_error *err)
{
    if (store->dir == NULL || store->rehearsal)
        return STICPS_OK;
    if (mkdir(store->dir, 0755) < 0 && errno != EEXIST)
        return fail(err, STICPS_ERR_FILE, store->dir, "the state directory cannot be made: %s",
                    strerror(errno));
    int fd = open(store->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return fail(err, STICPS_ERR_FILE, store->lock_path, "cannot be opened: %s",
                    strerror(errno));
    const struct timespec pause = {0, LOCK_PAUSE_MS * 1000000L};
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            store->lock_fd = fd;
            return STICPS_OK;
        }
        if (errno != EWOULDBLOCK && errno != EINTR)
            break;
        nanosleep(&pause, NULL);
    }
    enum sticps_err code = fail(err, STICPS_ERR_STATE, store->lock_path, "no lock within %d s: %s",
                                LOCK_TRIES * LOCK_PAUSE_MS / 1000, strerror(errno));
    close(fd);
    return code;
}

void list_store_unlock(struct list_store *store)
{
    if (store->lock_fd < 0)
        return;
    flock(store->lock_fd, LOCK_UN); /* also of what a child of this process may have copied */
    close(store->lock_fd);
    store->lock_fd = -1;
}

/* ---- reading ---- */

static enum sticps_err check_claims(const struct sticps_list *list, const struct list_state *state,
                                    struct sticps_error *err)
{
    if (sticps_list_sequence(list) != state->sequence || sticps_list_exp(list) != state->exp)
        return fail(err, STICPS_ERR_STATE, NULL, "sequence and exp are not the ones signed");
    return STICPS_OK;
}

/* The held list is what the state says of it. */
static enum sticps_err check_payload(const struct list_store *store, const struct list_state *state,
                                     const struct sticps_list *known, struct sticps_error *err)
{
    struct sticps_list *list = NULL;
    if (state->jws == NULL)
        return STICPS_OK;
    if (known != NULL && strcmp(sticps_list_sha256(known), state->sha256) == 0)
        return check_claims(known, state, err);
    enum sticps_err code = list_from_held(store->kind, state->jws, state->jws_len, state->sha256,
                                          state->source, state->fetched_at, &list, err);
    if (code == STICPS_ERR_NO_MEMORY)
        return code;
    if (code != STICPS_OK)
        return STICPS_ERR_STATE;
    code = check_claims(list, state, err);
    sticps_list_unref(list);
    return code;
}

enum sticps_err list_store_read(struct list_store *store, struct list_state *out,
                                struct sticps_error *err)
{
    return list_store_read_known(store, NULL, out, err);
}

enum sticps_err list_store_read_known(struct list_store *store, const struct sticps_list *known,
                                      struct list_state *out, struct sticps_error *err)
{
    char *text = NULL;
    size_t len = 0;
    struct list_state state = {0};
    enum sticps_err code = STICPS_OK;
    bool on_disk = store->dir != NULL && store->memory == NULL;
    if (on_disk)
        code = state_file_read(store->path, MAX_FILE, &text, &len, err);
    bool found = text != NULL;
    if (code == STICPS_OK && found)
        code = list_json_take(text, len, &state, err);
    else if (code == STICPS_OK && !on_disk && store->memory != NULL)
        code = list_json_read(store->memory, store->memory_len, &state, err);
    if (code == STICPS_OK)
        code = check_payload(store, &state, known, err);
    if (code == STICPS_ERR_STATE && found) {
        char why[sizeof(((struct sticps_error *)0)->text)] = "";
        if (err != NULL)
            memcpy(why, err->text, sizeof(why));
        fail(err, code, store->path,
             "the state is damaged (%.200s); put a good copy back, or remove the file to start "
             "anew, which forgets the highest sequence seen",
             why);
    }
    if (code == STICPS_OK)
        *out = state;
    else
        list_state_clear(&state);
    return code;
}

/* ---- writing ---- */

enum sticps_err list_store_write(struct list_store *store, const struct list_state *state,
                                 struct sticps_error *err)
{
    char *text = NULL;
    size_t len = 0;
    enum sticps_err code = list_json_write(state, &text, &len, err);
    if (code != STICPS_OK)
        return code;
    if (store->dir != NULL && !store->rehearsal) {
        code = state_file_write(store->dir, store->path, store->temp_path, text, len,
                                STATE_FILE_DURABLE, err);
        free(text);
        return code;
    }
    free(store->memory);
    store->memory = text;
    store->memory_len = len;
    return STICPS_OK;
}
