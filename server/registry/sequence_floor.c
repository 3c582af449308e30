#include "server/registry/sequence_floor.h"

#include "common/json_doc.h"
#include "common/jws.h"
#include "common/read_file.h"
#include "server/http/log.h"
#include "server/registry/static_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEPT_MAX (32u << 20) /* bytes; clients take half of it */

struct sequence_floor {
    pthread_mutex_t lock; /* over all below */
    char *directory;      /* NULL: in memory only */
    int folder;           /* its descriptor, or -1 */
    struct floor_mark marks[LIST_KINDS][FLOOR_SOURCES];
    struct published_list *kept[LIST_KINDS];
    bool failed;
};

/* ---- the files ---- */

/* "cps-list.jwt": the bare JWS. */
static void name_of(enum list_kind kind, char out[32])
{
    snprintf(out, 32, "%s.jwt", list_kind_name(kind));
}

/* What the payload says of itself. The signature is for clients to check: whoever can write here
 * could also stop the daemon. */
static bool read_payload(const char *text, size_t len, int64_t *sequence, int64_t *exp)
{
    struct sticps_error ignored;
    struct json_doc doc = {0};
    struct jws jws;

    if (jws_split(text, len, STICPS_ERR_FORM, &jws, &ignored) != STICPS_OK)
        return false;
    bool ok = json_doc_parse_object(jws.payload, jws.payload_len, STICPS_ERR_PAYLOAD, &doc,
                                    &ignored) == STICPS_OK;
    if (ok) {
        const struct json_node *s = json_node_get(&doc, doc.nodes, "sequence");
        const struct json_node *e = json_node_get(&doc, doc.nodes, "exp");

        ok = s != NULL && s->kind == JSON_NODE_INTEGER && s->value.integer >= 1 && e != NULL &&
             e->kind == JSON_NODE_INTEGER;
        if (ok) {
            *sequence = s->value.integer;
            *exp = e->value.integer;
        }
        json_doc_clear(&doc);
    }
    jws_clear(&jws);
    return ok;
}

/* A file that is not there is no error. */
static enum sticps_err load(struct sequence_floor *floor, enum list_kind kind,
                            struct sticps_error *err)
{
    char name[32], path[4200], *text = NULL;
    int64_t sequence = 0, exp = 0;
    size_t len = 0;

    name_of(kind, name);
    snprintf(path, sizeof(path), "%s/%s", floor->directory, name);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return STICPS_OK;
    enum sticps_err rc = read_file(path, KEPT_MAX, &text, &len, err);
    if (rc == STICPS_OK && !read_payload(text, len, &sequence, &exp))
        rc = fail(err, STICPS_ERR_STATE, path,
                  "%s is damaged: it is the newest list that this node has seen. Remove it when "
                  "you are sure that the database was not put back to an earlier state",
                  path);
    if (rc == STICPS_OK)
        rc = published_list_new(kind, sequence, exp, text, len, &floor->kept[kind], err);
    free(text);
    return rc;
}

static enum sticps_err open_directory(struct sequence_floor *floor, struct sticps_error *err)
{
    const char *path = floor->directory;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fail(err, STICPS_ERR_FILE, "state", "%s cannot be made: %s", path, strerror(errno));
    floor->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (floor->folder < 0 || faccessat(floor->folder, ".", R_OK | W_OK | X_OK, 0) != 0)
        return fail(err, STICPS_ERR_FILE, "state", "%s cannot be written: %s", path,
                    strerror(errno));
    return STICPS_OK;
}

/* Locked. */
static void write_kept(struct sequence_floor *floor, const struct published_list *list)
{
    struct sticps_error err = {0};
    char name[32];
    size_t len;
    const void *data = shared_bytes_data(list->bare.plain, &len);

    name_of(list->kind, name);
    floor->failed =
        static_file_write(floor->folder, name, data, len, time(NULL), &err) != STICPS_OK;
    if (floor->failed)
        log_error("state: %s; after a restart this node will not know that list %" PRId64
                  " was served",
                  err.text, list->sequence);
}

/* ---- marks ---- */

static void set_mark(struct floor_mark *mark, const char *source, int64_t sequence,
                     const char *sha256)
{
    *mark = (struct floor_mark){.sequence = sequence};
    snprintf(mark->sha256, sizeof(mark->sha256), "%s", sha256);
    snprintf(mark->source, sizeof(mark->source), "%s", source);
}

static void mark_own(struct sequence_floor *floor, const struct published_list *list)
{
    set_mark(&floor->marks[list->kind][0], "this node", list->sequence, list->sha256);
}

void sequence_floor_keep(struct sequence_floor *floor, struct published_list *list)
{
    struct published_list **kept = &floor->kept[list->kind];

    pthread_mutex_lock(&floor->lock);
    if (*kept == NULL || (*kept)->sequence < list->sequence) {
        published_list_unref(*kept);
        *kept = published_list_ref(list);
        mark_own(floor, list);
        if (floor->directory != NULL)
            write_kept(floor, list);
    }
    pthread_mutex_unlock(&floor->lock);
}

/* A cache may show an older list than it has shown before; that takes nothing back. */
void sequence_floor_seen(struct sequence_floor *floor, enum list_kind kind, size_t witness,
                         const char *source, int64_t sequence, const char *sha256)
{
    struct floor_mark *mark = &floor->marks[kind][1 + witness];

    pthread_mutex_lock(&floor->lock);
    if (sequence >= mark->sequence)
        set_mark(mark, source, sequence, sha256);
    pthread_mutex_unlock(&floor->lock);
}

size_t sequence_floor_marks(struct sequence_floor *floor, enum list_kind kind,
                            struct floor_mark out[FLOOR_SOURCES])
{
    size_t len = 0;

    pthread_mutex_lock(&floor->lock);
    for (size_t i = 0; i < FLOOR_SOURCES; i++)
        if (floor->marks[kind][i].sequence > 0)
            out[len++] = floor->marks[kind][i];
    pthread_mutex_unlock(&floor->lock);
    return len;
}

struct published_list *sequence_floor_kept(struct sequence_floor *floor, enum list_kind kind)
{
    pthread_mutex_lock(&floor->lock);
    struct published_list *list =
        floor->kept[kind] != NULL ? published_list_ref(floor->kept[kind]) : NULL;
    pthread_mutex_unlock(&floor->lock);
    return list;
}

bool sequence_floor_failed(struct sequence_floor *floor)
{
    pthread_mutex_lock(&floor->lock);
    bool failed = floor->failed;
    pthread_mutex_unlock(&floor->lock);
    return failed;
}

/* ---- life ---- */

enum sticps_err sequence_floor_new(const char *directory, struct sequence_floor **out,
                                   struct sticps_error *err)
{
    struct sequence_floor *floor = calloc(1, sizeof(*floor));
    enum sticps_err rc = STICPS_OK;

    if (floor == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    pthread_mutex_init(&floor->lock, NULL);
    floor->folder = -1;
    if (directory != NULL) {
        floor->directory = strdup(directory);
        rc = floor->directory != NULL ? open_directory(floor, err)
                                      : fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
        for (enum list_kind kind = 0; kind < LIST_KINDS && rc == STICPS_OK; kind++) {
            rc = load(floor, kind, err);
            if (rc == STICPS_OK && floor->kept[kind] != NULL)
                mark_own(floor, floor->kept[kind]);
        }
    }
    if (rc == STICPS_OK)
        *out = floor;
    else
        sequence_floor_free(floor);
    return rc;
}

void sequence_floor_free(struct sequence_floor *floor)
{
    if (floor == NULL)
        return;
    for (size_t kind = 0; kind < LIST_KINDS; kind++)
        published_list_unref(floor->kept[kind]);
    pthread_mutex_destroy(&floor->lock);
    if (floor->folder >= 0)
        close(floor->folder);
    free(floor->directory);
    free(floor);
}
