#include "server/http/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 8
#define MAX_KEY 128

struct kept {
    void *config;
    struct kept *next;
};

struct reload {
    const char *path;
    void (*free_config)(void *config);
    struct kept *kept;
};

struct level {
    size_t indent, key_len; /* of the key up to this level */
};

/* Goes over a text line by line, and knows the key that each line belongs to. */
struct walk {
    const char *at, *end;
    const char *line; /* the current one */
    size_t line_len;
    char key[MAX_KEY]; /* of it, "signer.id" */
    size_t depth;
    struct level levels[MAX_DEPTH];
};

/* "name:" at the beginning of a line's content; 0 when there is none: a list's item, the rest of a
 * long text. */
static size_t name_len(const char *text, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    size_t n = 0;

    while (n < len && strchr(letters, text[n]) != NULL)
        n++;
    return n > 0 && n < len && text[n] == ':' && (n + 1 == len || text[n + 1] == ' ') ? n : 0;
}

static void enter(struct walk *walk, size_t indent, const char *name, size_t len)
{
    size_t used = walk->depth > 0 ? walk->levels[walk->depth - 1].key_len : 0;
    int n = snprintf(walk->key + used, sizeof(walk->key) - used, "%s%.*s", used > 0 ? "." : "",
                     (int)len, name);

    used += (size_t)n;
    if (used >= sizeof(walk->key))
        used = sizeof(walk->key) - 1;
    if (walk->depth < MAX_DEPTH)
        walk->levels[walk->depth++] = (struct level){indent, used};
}

/* The marks of a document's begin and end. */
static bool is_mark(const struct walk *walk)
{
    return walk->line_len == 3 &&
           (memcmp(walk->line, "---", 3) == 0 || memcmp(walk->line, "...", 3) == 0);
}

static bool next(struct walk *walk)
{
    if (walk->at >= walk->end)
        return false;
    const char *newline = memchr(walk->at, '\n', (size_t)(walk->end - walk->at));
    const char *stop = newline != NULL ? newline : walk->end;
    size_t indent = 0;

    walk->line = walk->at;
    walk->line_len = (size_t)(stop - walk->at);
    walk->at = newline != NULL ? newline + 1 : walk->end;
    while (indent < walk->line_len && walk->line[indent] == ' ')
        indent++;
    size_t len = name_len(walk->line + indent, walk->line_len - indent);
    if (len == 0)
        return true; /* belongs to the key before it */
    while (walk->depth > 0 && walk->levels[walk->depth - 1].indent >= indent)
        walk->depth--;
    walk->key[walk->depth > 0 ? walk->levels[walk->depth - 1].key_len : 0] = '\0';
    enter(walk, indent, walk->line + indent, len);
    return true;
}

static bool has_line(const char *text, size_t len, const struct walk *wanted)
{
    struct walk walk = {.at = text, .end = text + len};

    while (next(&walk))
        if (walk.line_len == wanted->line_len &&
            memcmp(walk.line, wanted->line, walk.line_len) == 0 &&
            strcmp(walk.key, wanted->key) == 0)
            return true;
    return false;
}

/* Is there a line in `text` that `other` has not? */
static bool lacks(const char *text, size_t len, const char *other, size_t other_len, char *key,
                  size_t size)
{
    struct walk walk = {.at = text, .end = text + len};

    while (next(&walk)) {
        if (!is_mark(&walk) && !has_line(other, other_len, &walk)) {
            snprintf(key, size, "%s", walk.key);
            return true;
        }
    }
    return false;
}

bool reload_differs(const char *before, size_t before_len, const char *after, size_t after_len,
                    char *key, size_t size)
{
    if (before_len == after_len && memcmp(before, after, before_len) == 0)
        return false;
    if (!lacks(after, after_len, before, before_len, key, size) &&
        !lacks(before, before_len, after, after_len, key, size))
        snprintf(key, size, "the order of a list");
    return true;
}

enum sticps_err reload_new(const char *path, void (*free_config)(void *config), struct reload **out,
                           struct sticps_error *err)
{
    struct reload *reload = calloc(1, sizeof(*reload));
    if (reload == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    reload->path = path;
    reload->free_config = free_config;
    *out = reload;
    return STICPS_OK;
}

void reload_free(struct reload *reload)
{
    while (reload != NULL && reload->kept != NULL) {
        struct kept *next = reload->kept->next;
        reload->free_config(reload->kept->config);
        free(reload->kept);
        reload->kept = next;
    }
    free(reload);
}

const char *reload_path(const struct reload *reload)
{
    return reload->path;
}

void reload_keep(struct reload *reload, void *config)
{
    struct kept *kept = malloc(sizeof(*kept));
    if (kept == NULL)
        abort();
    *kept = (struct kept){config, reload->kept};
    reload->kept = kept;
}
