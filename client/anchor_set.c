#include "client/anchor_set.h"

#include "common/file_stamp.h"
#include "common/read_file.h"
#include "common/text_copy.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct part {
    struct text text; /* the certificates; ours, with the path */
    struct file_stamp stamp;
    bool bad; /* what stands in the file now cannot be used; `text` is from before */
};

struct anchor_set {
    struct events *events;
    pthread_mutex_t mutex; /* of everything below */
    struct anchors *anchors;
    struct part *parts;
    size_t len;
};

static enum sticps_err no_memory(struct sticps_error *err)
{
    return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
}

/* All parts, `text` standing in for part `at`. */
static enum sticps_err parse_parts(const struct anchor_set *set, size_t at, const struct text *text,
                                   struct anchors **out, struct sticps_error *err)
{
    struct anchors *anchors = NULL;
    enum sticps_err code = anchors_new(&anchors, err);
    for (size_t i = 0; i < set->len && code == STICPS_OK; i++) {
        const struct text *part = i == at ? text : &set->parts[i].text;
        code = anchors_add(anchors, part->data, part->len, STICPS_ERR_FILE, err);
    }
    if (code == STICPS_OK)
        *out = anchors;
    else
        anchors_free(anchors);
    return code;
}

enum sticps_err anchor_set_new(const struct text_list *certificates, struct events *events,
                               struct anchor_set **out, struct sticps_error *err)
{
    struct anchor_set *set = calloc(1, sizeof(*set));
    if (set == NULL)
        return no_memory(err);
    set->events = events;
    pthread_mutex_init(&set->mutex, NULL);
    set->parts = calloc(certificates->len + 1, sizeof(*set->parts));
    enum sticps_err code = set->parts != NULL ? STICPS_OK : no_memory(err);
    for (; code == STICPS_OK && set->len < certificates->len; set->len++) {
        const struct text *from = &certificates->items[set->len];
        struct text *to = &set->parts[set->len].text;
        to->data = text_copy(from->data, from->len);
        to->len = from->len;
        to->path = from->path != NULL ? strdup(from->path) : NULL;
        if (to->data == NULL || (from->path != NULL && to->path == NULL))
            code = no_memory(err);
    }
    if (code == STICPS_OK)
        code = parse_parts(set, SIZE_MAX, NULL, &set->anchors, err);
    if (code == STICPS_OK)
        *out = set;
    else
        anchor_set_free(set);
    return code;
}

void anchor_set_free(struct anchor_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->len; i++) {
        free(set->parts[i].text.data);
        free(set->parts[i].text.path);
    }
    free(set->parts);
    anchors_free(set->anchors);
    pthread_mutex_destroy(&set->mutex);
    free(set);
}

struct anchors *anchor_set_get(struct anchor_set *set)
{
    pthread_mutex_lock(&set->mutex);
    struct anchors *anchors = anchors_ref(set->anchors);
    pthread_mutex_unlock(&set->mutex);
    return anchors;
}

/* ---- a file that has changed; under the mutex ---- */

static enum sticps_err take_file(struct anchor_set *set, size_t at, bool *changed,
                                 struct sticps_error *err)
{
    struct part *part = &set->parts[at];
    struct text text = {.path = part->text.path};
    struct anchors *anchors = NULL;
    enum sticps_err code = read_file(part->text.path, ANCHOR_FILE_MAX, &text.data, &text.len, err);
    if (code != STICPS_OK)
        return code;
    *changed = text.len != part->text.len || memcmp(text.data, part->text.data, text.len) != 0;
    if (*changed)
        code = parse_parts(set, at, &text, &anchors, err);
    if (code == STICPS_OK && *changed) {
        free(part->text.data);
        part->text = text;
        text.data = NULL;
        anchors_free(set->anchors);
        set->anchors = anchors;
    }
    free(text.data);
    return code;
}

static enum sticps_err look_at(struct anchor_set *set, size_t at, struct sticps_error *err)
{
    struct part *part = &set->parts[at];
    struct sticps_error why = {0};
    bool changed = false;
    enum sticps_err code = take_file(set, at, &changed, &why);
    part->bad = code != STICPS_OK;
    if (code != STICPS_OK) {
        fail(err, code, part->text.path, "the anchors of before stay in use: %s", why.text);
        events_note(set->events, STICPS_EVENT_ANCHORS, code, err);
    } else if (changed) {
        events_tell(set->events, STICPS_EVENT_ANCHORS, part->text.path,
                    "the anchors have been read again: %zu in all", anchors_count(set->anchors));
    }
    return code;
}

enum sticps_err anchor_set_look(struct anchor_set *set, bool again, struct sticps_error *err)
{
    struct sticps_error first = {0};
    pthread_mutex_lock(&set->mutex);
    for (size_t i = 0; i < set->len; i++) {
        struct part *part = &set->parts[i];
        struct sticps_error why = {0};
        if (part->text.path == NULL ||
            (!file_stamp_changed(&part->stamp, part->text.path) && !(again && part->bad)))
            continue;
        if (look_at(set, i, &why) != STICPS_OK && first.code == STICPS_OK)
            first = why;
    }
    pthread_mutex_unlock(&set->mutex);
    if (first.code != STICPS_OK && err != NULL)
        *err = first;
    return first.code;
}
