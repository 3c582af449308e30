#include "server/registry/exporter.h"

#include "server/db/sync.h"
#include "server/http/log.h"
#include "server/http/timer.h"
#include "server/registry/crl_file.h"
#include "server/registry/daemon.h"
#include "server/registry/database.h"
#include "server/registry/list_board.h"
#include "server/registry/static_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 200 /* at the board */
#define RETRY_MS 2000
#define COMPLAIN_AGAIN_MS 60000
#define CONNECT_MS 3000
#define QUERY_MS 20000
#define ROWS_PER_QUERY "4" /* of up to some megabytes each */
#define NAMES_PER_STEP \
    100000 /* looked for while catching up, so that a new list waits for no more */

/* One kind of list in the directory. */
struct shelf {
    int64_t latest; /* what "latest" is, of those written by this process; 0: none */
    int64_t before; /* the highest number that was there when the directory was opened */
    time_t mtime;   /* of "latest" */
    /* Earlier lists are looked for from `at` down to, but without, `until`. */
    int64_t at, until;
};

struct exporter {
    struct daemon *daemon;
    pthread_t thread;
    int stop_fd;
    pthread_mutex_t lock; /* over status */
    struct exporter_status status;

    /* the thread's own */
    int root; /* -1: not open */
    struct db_sync *db;
    struct shelf shelves[LIST_KINDS];
    char crl_etag[ETAG_SIZE];
    uint64_t complained_at;
};

/* ---- status ---- */

static void set_trouble(struct exporter *e, const char *trouble)
{
    char *said = e->status.trouble;

    pthread_mutex_lock(&e->lock);
    bool news = strcmp(said, trouble) != 0;
    snprintf(said, sizeof(e->status.trouble), "%s", trouble);
    for (size_t kind = 0; kind < LIST_KINDS; kind++)
        e->status.sequence[kind] = e->shelves[kind].latest;
    pthread_mutex_unlock(&e->lock);
    if (trouble[0] != '\0' && (news || monotonic_ms() >= e->complained_at + COMPLAIN_AGAIN_MS)) {
        log_error("THE EXPORT IS NOT UP TO DATE: %s", trouble);
        e->complained_at = monotonic_ms();
    } else if (trouble[0] == '\0' && news) {
        log_info("the export is up to date again");
    }
}

void exporter_status(struct exporter *e, struct exporter_status *out)
{
    pthread_mutex_lock(&e->lock);
    *out = e->status;
    pthread_mutex_unlock(&e->lock);
}

/* ---- the directory ---- */

static enum sticps_err open_root(const struct config *config, int *out, struct sticps_error *err)
{
    const char *path = config->export->directory;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0 && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == 0) {
        *out = fd;
        return STICPS_OK;
    }
    enum sticps_err rc =
        fail(err, STICPS_ERR_FILE, path, "export.directory: %s cannot be written to: %s", path,
             strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

enum sticps_err exporter_check(const struct config *config, struct sticps_error *err)
{
    int fd = -1;
    enum sticps_err rc = open_root(config, &fd, err);

    if (rc == STICPS_OK)
        close(fd);
    return rc;
}

/* The number that a file's name is, or 0. */
static int64_t number_of(const char *name)
{
    size_t len = strlen(name);

    if (len < 1 || len > 16 || name[0] == '0' || strspn(name, "0123456789") != len)
        return 0;
    return strtoll(name, NULL, 10);
}

/* What an earlier run, or an earlier state of the database, has left. */
static void read_shelf(struct exporter *e, enum list_kind kind)
{
    char path[STATIC_FILE_NAME];
    struct stat info;

    e->shelves[kind] = (struct shelf){0};
    snprintf(path, sizeof(path), "download/v1/%s/latest", list_kind_name(kind));
    if (fstatat(e->root, path, &info, AT_SYMLINK_NOFOLLOW) == 0)
        e->shelves[kind].mtime = info.st_mtime;
    *strrchr(path, '/') = '\0';
    int fd = openat(e->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
        if (number_of(entry->d_name) > e->shelves[kind].before)
            e->shelves[kind].before = number_of(entry->d_name);
    if (folder != NULL)
        closedir(folder);
    else if (fd >= 0)
        close(fd);
}

/* Opens it when it is not, or when another directory stands there now (a mount, a swap). */
static enum sticps_err look_at_root(struct exporter *e, struct sticps_error *err)
{
    const struct config *config = e->daemon->config;
    struct stat here, there;

    if (e->root >= 0 && fstat(e->root, &here) == 0 &&
        stat(config->export->directory, &there) == 0 && here.st_dev == there.st_dev &&
        here.st_ino == there.st_ino)
        return STICPS_OK;
    if (e->root >= 0)
        close(e->root);
    e->root = -1;
    enum sticps_err rc = open_root(config, &e->root, err);
    if (rc != STICPS_OK)
        return rc;
    for (size_t kind = 0; kind < LIST_KINDS; kind++)
        read_shelf(e, kind);
    e->crl_etag[0] = '\0';
    return STICPS_OK;
}

/* ---- the database ---- */

static enum sticps_err ask_once(struct exporter *e, const char *sql, int params_len,
                                const char *const *params, struct db_result *result,
                                struct sticps_error *err)
{
    enum sticps_err rc = STICPS_OK;

    if (e->db == NULL)
        rc = database_connect(e->daemon->config, DATABASE_PUBLISHING, "sticps-registryd exporter",
                              CONNECT_MS, &e->db, err);
    if (rc != STICPS_OK)
        return rc;
    if (db_sync_exec(e->db, sql, params_len, params, QUERY_MS, result) == DB_OK)
        return STICPS_OK;
    rc = db_sync_fail(result, sql, err);
    db_sync_clear(result);
    db_sync_free(e->db);
    e->db = NULL;
    return rc;
}

/* The connection idles between lists and may have been lost long ago: that is no news. */
static enum sticps_err ask(struct exporter *e, const char *sql, int params_len,
                           const char *const *params, struct db_result *result,
                           struct sticps_error *err)
{
    bool kept = e->db != NULL;
    enum sticps_err rc = ask_once(e, sql, params_len, params, result, err);

    return rc == STICPS_ERR_FETCH && kept ? ask_once(e, sql, params_len, params, result, err) : rc;
}

/* Every certificate that was ever published. They never change. */
static enum sticps_err export_certificates(struct exporter *e, struct sticps_error *err)
{
    struct db_result result;
    char path[STATIC_FILE_NAME];
    enum sticps_err rc = ask(e, "SELECT id, pem FROM signer_certificate", 0, NULL, &result, err);

    if (rc != STICPS_OK)
        return rc;
    for (int row = 0; row < PQntuples(result.rows) && rc == STICPS_OK; row++) {
        const char *pem = db_text(result.rows, row, 1);

        snprintf(path, sizeof(path), "download/v1/certificate/certificateId_%s.crt",
                 db_text(result.rows, row, 0));
        if (!static_file_exists(e->root, path))
            rc = static_file_write(e->root, path, pem, strlen(pem),
                                   (time_t)clock_now(e->daemon->clock), err);
    }
    db_sync_clear(&result);
    return rc;
}

/* ---- lists ---- */

static enum sticps_err write_numbered(struct exporter *e, enum list_kind kind, int64_t sequence,
                                      const void *jws, size_t len, struct sticps_error *err)
{
    char path[STATIC_FILE_NAME];

    snprintf(path, sizeof(path), "download/v1/%s/%" PRId64, list_kind_name(kind), sequence);
    if (static_file_exists(e->root, path))
        return STICPS_OK;
    return static_file_write(e->root, path, jws, len, (time_t)clock_now(e->daemon->clock), err);
}

/* Under the names that stay. All is on the disk before the first is moved to its place, and a
 * compressed copy before the plain one, so that none is ever older. */
static enum sticps_err write_latest(struct exporter *e, const struct published_list *list,
                                    time_t mtime, struct sticps_error *err)
{
    const struct {
        const char *pattern;
        struct shared_bytes *bytes; /* NULL: no such form, and no such file */
    } wanted[] = {
        {"download/v1/%s/latest.gz", list->bare.gzip},
        {"download/v1/%s/latest", list->bare.plain},
        {"api/v1/%s.gz", list->envelope.gzip},
        {"api/v1/%s", list->envelope.plain},
    };
    struct static_file files[4] = {{.folder = -1}, {.folder = -1}, {.folder = -1}, {.folder = -1}};
    enum sticps_err rc = STICPS_OK;

    for (size_t i = 0; i < 4 && rc == STICPS_OK; i++) {
        char path[STATIC_FILE_NAME];
        size_t len = 0;

        snprintf(path, sizeof(path), wanted[i].pattern, list_kind_name(list->kind));
        if (wanted[i].bytes == NULL) {
            rc = static_file_remove(e->root, path, err);
        } else {
            const void *data = shared_bytes_data(wanted[i].bytes, &len);

            rc = static_file_prepare(e->root, path, data, len, mtime, &files[i], err);
        }
    }
    for (size_t i = 0; i < 4; i++)
        if (rc == STICPS_OK && files[i].folder >= 0)
            rc = static_file_commit(&files[i], err);
        else
            static_file_abort(&files[i]);
    return rc;
}

/* The newest list, when it is another than "latest". */
static enum sticps_err export_newest(struct exporter *e, const struct published_list *list,
                                     struct sticps_error *err)
{
    struct shelf *shelf = &e->shelves[list->kind];
    size_t len;
    const void *jws = shared_bytes_data(list->bare.plain, &len);
    time_t now = (time_t)clock_now(e->daemon->clock);
    enum sticps_err rc;

    if (list->sequence <= shelf->latest)
        return STICPS_OK;
    if (list->sequence < shelf->before)
        return fail(err, STICPS_ERR_STATE, NULL,
                    "the directory has %s %" PRId64 ", and the database %" PRId64
                    " as its newest: it was put back to an earlier state, or the directory is "
                    "another registry's",
                    list_kind_name(list->kind), shelf->before, list->sequence);
    /* Web servers make the ETag of the time in seconds and of the size, and two lists of one second
     * may have one size. */
    time_t mtime = now > shelf->mtime ? now : shelf->mtime + 1;
    rc = export_certificates(e, err);
    if (rc == STICPS_OK)
        rc = write_numbered(e, list->kind, list->sequence, jws, len, err);
    if (rc == STICPS_OK)
        rc = write_latest(e, list, mtime, err);
    if (rc != STICPS_OK)
        return rc;
    if (shelf->at <= shelf->until)
        shelf->until = shelf->latest;
    shelf->at = list->sequence - 1;
    shelf->latest = list->sequence;
    shelf->mtime = mtime;
    return STICPS_OK;
}

/* A few of the earlier lists that are missing, the newest first. `*more`: there may be others. */
static enum sticps_err catch_up(struct exporter *e, enum list_kind kind, bool *more,
                                struct sticps_error *err)
{
    struct shelf *shelf = &e->shelves[kind];
    char path[STATIC_FILE_NAME], at[24], until[24];
    struct db_result result;
    enum sticps_err rc;

    for (int i = 0; shelf->at > shelf->until; i++) {
        snprintf(path, sizeof(path), "download/v1/%s/%" PRId64, list_kind_name(kind), shelf->at);
        if (!static_file_exists(e->root, path))
            break;
        shelf->at--;
        if (i == NAMES_PER_STEP) {
            *more = true;
            return STICPS_OK;
        }
    }
    if (shelf->at <= shelf->until)
        return STICPS_OK;
    snprintf(at, sizeof(at), "%" PRId64, shelf->at);
    snprintf(until, sizeof(until), "%" PRId64, shelf->until);
    const char *params[] = {list_kind_name(kind), at, until};
    rc = ask(e,
             "SELECT sequence, jws FROM publication WHERE kind = $1 AND sequence <= $2 "
             "AND sequence > $3 ORDER BY sequence DESC LIMIT " ROWS_PER_QUERY,
             3, params, &result, err);
    if (rc != STICPS_OK)
        return rc;
    if (PQntuples(result.rows) == 0)
        shelf->at = shelf->until; /* numbers that were passed over */
    for (int row = 0; row < PQntuples(result.rows) && rc == STICPS_OK; row++) {
        const char *jws = db_text(result.rows, row, 1);

        rc = write_numbered(e, kind, db_int(result.rows, row, 0), jws, strlen(jws), err);
        if (rc == STICPS_OK)
            shelf->at = db_int(result.rows, row, 0) - 1;
    }
    db_sync_clear(&result);
    *more = *more || shelf->at > shelf->until;
    return rc;
}

static enum sticps_err export_crl(struct exporter *e, struct sticps_error *err)
{
    char etag[ETAG_SIZE];
    struct shared_bytes *der = e->daemon->crl != NULL ? crl_file_get(e->daemon->crl, etag) : NULL;
    enum sticps_err rc = STICPS_OK;
    size_t len;

    if (der != NULL && strcmp(etag, e->crl_etag) != 0) {
        const void *data = shared_bytes_data(der, &len);

        rc = static_file_write(e->root, "download/v1/crl", data, len,
                               (time_t)clock_now(e->daemon->clock), err);
        if (rc == STICPS_OK)
            snprintf(e->crl_etag, sizeof(e->crl_etag), "%s", etag);
    }
    shared_bytes_unref(der);
    return rc;
}

/* ---- the thread ---- */

static enum sticps_err step(struct exporter *e, bool *more, struct sticps_error *err)
{
    enum sticps_err rc = look_at_root(e, err);

    for (size_t kind = 0; kind < LIST_KINDS && rc == STICPS_OK; kind++) {
        struct published_list *list = list_board_get(e->daemon->board, kind);

        if (list != NULL)
            rc = export_newest(e, list, err);
        published_list_unref(list);
    }
    if (rc == STICPS_OK)
        rc = export_crl(e, err);
    for (size_t kind = 0; kind < LIST_KINDS && rc == STICPS_OK; kind++)
        rc = catch_up(e, kind, more, err);
    return rc;
}

static void *run(void *arg)
{
    struct exporter *e = arg;
    struct pollfd stop = {.fd = e->stop_fd, .events = POLLIN};
    int wait_ms;

    do {
        struct sticps_error err = {0};
        bool more = false;
        enum sticps_err rc = step(e, &more, &err);

        set_trouble(e, rc == STICPS_OK ? "" : err.text);
        wait_ms = rc != STICPS_OK ? RETRY_MS : more ? 0 : LOOK_MS;
    } while (poll(&stop, 1, wait_ms) == 0);
    db_sync_free(e->db);
    if (e->root >= 0)
        close(e->root);
    return NULL;
}

enum sticps_err exporter_start(struct daemon *daemon, struct exporter **out,
                               struct sticps_error *err)
{
    struct exporter *e = calloc(1, sizeof(*e));

    if (e == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    e->daemon = daemon;
    e->root = -1;
    pthread_mutex_init(&e->lock, NULL);
    e->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->stop_fd < 0 || pthread_create(&e->thread, NULL, run, e) != 0) {
        if (e->stop_fd >= 0)
            close(e->stop_fd);
        free(e);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "the exporter's thread cannot be started");
    }
    *out = e;
    return STICPS_OK;
}

void exporter_stop(struct exporter *e)
{
    if (e == NULL)
        return;
    (void)!write(e->stop_fd, &(uint64_t){1}, sizeof(uint64_t));
    pthread_join(e->thread, NULL);
    close(e->stop_fd);
    pthread_mutex_destroy(&e->lock);
    free(e);
}
