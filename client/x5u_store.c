#include "client/x5u_store.h"

#include "client/sha256.h"
#include "client/state_file.h"
#include "common/cert.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX ".chain"
#define NAME_LEN (64 + sizeof(SUFFIX) - 1)
#define TEMP_PREFIX "new-"
#define TEMP_OLD_S 3600                  /* what a crash has left by then, nobody writes any more */
#define MAX_FILE (CERT_MAX_BYTES + 4096) /* chain, URL and the lines around */
#define WRITES_PER_SWEEP 32
#define END "end\n"

struct x5u_store {
    char *state_dir, *dir;
    unsigned writes;
    bool read_only;
};

enum sticps_err x5u_store_new(const struct sticps_options *options, struct x5u_store **out,
                              struct sticps_error *err)
{
    if (options->state_dir == NULL)
        return STICPS_OK;
    struct x5u_store *store = calloc(1, sizeof(*store));
    if (store != NULL) {
        store->state_dir = strdup(options->state_dir);
        store->dir = state_file_path(options->state_dir, "x5u", "");
        store->read_only = options->rehearsal;
    }
    if (store == NULL || store->state_dir == NULL || store->dir == NULL) {
        x5u_store_free(store);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    *out = store;
    return STICPS_OK;
}

void x5u_store_free(struct x5u_store *store)
{
    if (store == NULL)
        return;
    free(store->state_dir);
    free(store->dir);
    free(store);
}

/* NULL when out of memory. */
static char *path_of(const struct x5u_store *store, const char *url)
{
    char name[65];
    if (sha256_hex(url, strlen(url), name, NULL) != STICPS_OK)
        return NULL;
    return state_file_path(store->dir, name, SUFFIX);
}

/* What stands before the moment at which a file of this URL expires; NULL when out of memory. */
static char *heading_of(const char *url)
{
    char *text = NULL;
    return asprintf(&text, "sticps x5u 1\nx5u: %s\nexpires: ", url) < 0 ? NULL : text;
}

/* ---- reading ---- */

/* The PEM within a file of this URL that is whole; NULL when it is not. */
static const char *parse(const char *text, size_t len, const char *url, int64_t *expires)
{
    char *heading = heading_of(url);
    size_t heading_len = heading != NULL ? strlen(heading) : 0;
    bool ours = heading != NULL && strncmp(text, heading, heading_len) == 0;
    free(heading);
    if (!ours || strlen(text) != len || len < strlen(END) ||
        strcmp(text + len - strlen(END), END) != 0)
        return NULL;
    char *end = NULL;
    errno = 0;
    *expires = strtoll(text + heading_len, &end, 10);
    return errno == 0 && *end == '\n' ? end : NULL;
}

char *x5u_store_read(const struct x5u_store *store, const char *url, int64_t now, int64_t *until)
{
    char *path = store != NULL ? path_of(store, url) : NULL;
    char *text = NULL, *found = NULL;
    size_t len = 0;
    int64_t expires = 0;
    struct cert_chain *chain = NULL;
    if (path == NULL)
        return NULL;
    const char *pem =
        state_file_read(path, MAX_FILE, &text, &len, NULL) == STICPS_OK && text != NULL
            ? parse(text, len, url, &expires)
            : NULL;
    if (pem != NULL &&
        cert_chain_parse(pem, strlen(pem), STICPS_ERR_STATE, &chain, NULL) == STICPS_OK) {
        if (expires > cert_chain_first_end(chain))
            expires = cert_chain_first_end(chain);
        if (expires > now)
            found = strdup(cert_chain_pem(chain));
        *until = expires;
    }
    cert_chain_unref(chain);
    free(text);
    free(path);
    return found;
}

/* ---- room ---- */

struct found {
    struct timespec written;
    off_t size;
    char name[NAME_LEN + 1];
};

struct sweep {
    struct found *files;
    size_t len, room;
    off_t bytes;
};

static bool is_ours(const char *name)
{
    return strlen(name) == NAME_LEN && strspn(name, "0123456789abcdef") == 64 &&
           strcmp(name + 64, SUFFIX) == 0;
}

static void note_file(struct sweep *sweep, const char *name, const struct stat *stat)
{
    if (sweep->len == sweep->room) {
        size_t room = sweep->room == 0 ? 256 : 2 * sweep->room;
        struct found *files = realloc(sweep->files, room * sizeof(*files));
        if (files == NULL)
            return; /* the next sweep finds it */
        sweep->files = files;
        sweep->room = room;
    }
    struct found *file = &sweep->files[sweep->len++];
    file->written = stat->st_mtim;
    file->size = stat->st_size;
    memcpy(file->name, name, NAME_LEN + 1);
    sweep->bytes += stat->st_size;
}

static int older_first(const void *a, const void *b)
{
    const struct timespec *one = &((const struct found *)a)->written;
    const struct timespec *other = &((const struct found *)b)->written;
    if (one->tv_sec != other->tv_sec)
        return one->tv_sec < other->tv_sec ? -1 : 1;
    return (one->tv_nsec > other->tv_nsec) - (one->tv_nsec < other->tv_nsec);
}

static void remove_oldest(int dir_fd, struct sweep *sweep)
{
    if (sweep->len > 0)
        qsort(sweep->files, sweep->len, sizeof(*sweep->files), older_first);
    size_t left = sweep->len;
    for (size_t i = 0; i < sweep->len && (left > X5U_STORE_FILES || sweep->bytes > X5U_STORE_BYTES);
         i++, left--) {
        unlinkat(dir_fd, sweep->files[i].name, 0);
        sweep->bytes -= sweep->files[i].size;
    }
}

/* Removes what is too much, and what a crash has left. Other files are nobody's concern here. */
static void sweep_folder(const struct x5u_store *store)
{
    struct sweep sweep = {0};
    DIR *dir = opendir(store->dir);
    if (dir == NULL)
        return;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        struct stat stat;
        bool left_over = strncmp(entry->d_name, TEMP_PREFIX, strlen(TEMP_PREFIX)) == 0;
        if ((!left_over && !is_ours(entry->d_name)) ||
            fstatat(dirfd(dir), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (!left_over)
            note_file(&sweep, entry->d_name, &stat);
        else if (stat.st_mtim.tv_sec < time(NULL) - TEMP_OLD_S) /* the disk's clock, not ours */
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    remove_oldest(dirfd(dir), &sweep);
    free(sweep.files);
    closedir(dir);
}

/* ---- writing ---- */

/* A name that no other writer has, in this process or another. */
static char *temp_path(const struct x5u_store *store)
{
    uint64_t random = 0;
    char name[sizeof(TEMP_PREFIX) + 16];
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        random = (uint64_t)(uintptr_t)store ^ ((uint64_t)getpid() << 32); /* O_EXCL does the rest */
    snprintf(name, sizeof(name), TEMP_PREFIX "%016" PRIx64, random);
    return state_file_path(store->dir, name, "");
}

static void replace(struct x5u_store *store, const char *path, const char *text, size_t len)
{
    char *temp = temp_path(store);
    if (temp == NULL)
        return;
    if (mkdir(store->dir, 0755) < 0 && errno == ENOENT) {
        mkdir(store->state_dir, 0755);
        mkdir(store->dir, 0755);
    }
    enum sticps_err code =
        state_file_write(store->dir, path, temp, text, len, STATE_FILE_CACHE, NULL);
    (void)code; /* what cannot be kept is fetched again */
    if (store->writes++ % WRITES_PER_SWEEP == 0)
        sweep_folder(store);
    free(temp);
}

/* The earliest moment at which one of the chain's certificates ends; 0 when it cannot be told. */
static int64_t first_end(const char *pem)
{
    struct cert_chain *chain = NULL;
    if (cert_chain_parse(pem, strlen(pem), STICPS_ERR_STATE, &chain, NULL) != STICPS_OK)
        return 0;
    int64_t end = cert_chain_first_end(chain);
    cert_chain_unref(chain);
    return end;
}

void x5u_store_write(struct x5u_store *store, const char *url, const char *pem, int64_t now,
                     int64_t until)
{
    if (store == NULL || store->read_only)
        return;
    int64_t end = first_end(pem);
    if (until > end)
        until = end;
    char *path = path_of(store, url);
    char *heading = heading_of(url);
    char *text = NULL;
    int len = path != NULL && heading != NULL
                  ? asprintf(&text, "%s%" PRId64 "\n%s" END, heading, until, pem)
                  : -1;
    if (path != NULL && (until <= now || len > MAX_FILE))
        unlink(path);
    else if (len > 0)
        replace(store, path, text, (size_t)len);
    if (len >= 0)
        free(text);
    free(heading);
    free(path);
}
