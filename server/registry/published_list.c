#include "server/registry/published_list.h"

#include "common/clock.h"
#include "server/registry/gzip_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define GZIP_FROM 1024 /* bytes; shorter forms are not worth it */

/* What tells the kinds apart where they are served. */
static const struct {
    const char *name, *title, *member;
} kinds[LIST_KINDS] = {
    [LIST_CPS] = {"cps-list", "CPS list", "cpsList"},
    [LIST_CA] = {"ca-list", "list of STI-CAs", "caList"},
};

const char *list_kind_name(enum list_kind kind)
{
    return kinds[kind].name;
}

struct counted_list {
    struct published_list list; /* first: what callers hold */
    atomic_size_t references;
};

static void sha256_hex(const void *data, size_t len, char out[65])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256(data, len, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void published_list_etag(int64_t sequence, const char *jws, size_t jws_len, char out[ETAG_SIZE])
{
    char hash[65];

    sha256_hex(jws, jws_len, hash);
    snprintf(out, ETAG_SIZE, "\"%" PRId64 "-%.8s\"", sequence, hash);
}

/* Of one form: the JWS between `before` and `after`, plain and, over GZIP_FROM bytes, compressed.
 * `name` tells the resources' ETags apart. False when memory runs out. */
static bool make_form(struct list_form *out, const struct published_list *list, const char *name,
                      const char *before, const char *jws, size_t jws_len,
                      const struct gzip_text *packed, const char *after)
{
    size_t before_len = strlen(before), after_len = strlen(after), gzip_len;
    size_t len = before_len + jws_len + after_len;
    char *plain = malloc(len + 1);

    snprintf(out->etag, ETAG_SIZE, "\"%" PRId64 "-%.8s%s\"", list->sequence, list->sha256, name);
    snprintf(out->gzip_etag, ETAG_SIZE, "\"%" PRId64 "-%.8s%s-gz\"", list->sequence, list->sha256,
             name);
    if (plain == NULL)
        return false;
    memcpy(plain, before, before_len);
    memcpy(plain + before_len, jws, jws_len);
    memcpy(plain + before_len + jws_len, after, after_len);
    out->plain = shared_bytes_adopt(plain, len);
    if (len <= GZIP_FROM)
        return true;
    void *gzip = gzip_text_file(packed, before, before_len, after, after_len, &gzip_len);
    if (gzip != NULL)
        out->gzip = shared_bytes_adopt(gzip, gzip_len);
    return gzip != NULL;
}

static void free_form(struct list_form *form)
{
    shared_bytes_unref(form->plain);
    shared_bytes_unref(form->gzip);
}

/* A JWS is base64url and dots, so it stands in JSON as it is. */
static bool make_forms(struct published_list *list, const char *jws, size_t jws_len)
{
    struct gzip_text packed;
    char expires[21], before[128];

    if (!gzip_text_make(&packed, jws, jws_len))
        return false;
    clock_format(list->exp, expires);
    snprintf(before, sizeof(before),
             "{\"status\":\"success\",\"message\":\"%s %" PRId64 ", expires %s\",\"%s\":\"",
             kinds[list->kind].title, list->sequence, expires, kinds[list->kind].member);
    bool made = make_form(&list->bare, list, "", "", jws, jws_len, &packed, "") &&
                make_form(&list->envelope, list, "-e", before, jws, jws_len, &packed, "\"}");
    gzip_text_clear(&packed);
    return made;
}

enum sticps_err published_list_new(enum list_kind kind, int64_t sequence, int64_t exp,
                                   const char *jws, size_t jws_len, struct published_list **out,
                                   struct sticps_error *err)
{
    struct counted_list *counted = calloc(1, sizeof(*counted));

    if (counted == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    struct published_list *list = &counted->list;
    atomic_init(&counted->references, 1);
    list->kind = kind;
    list->sequence = sequence;
    list->exp = exp;
    sha256_hex(jws, jws_len, list->sha256);
    if (!make_forms(list, jws, jws_len)) {
        published_list_unref(list);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory for list %" PRId64, sequence);
    }
    *out = list;
    return STICPS_OK;
}

struct published_list *published_list_ref(struct published_list *list)
{
    atomic_fetch_add_explicit(&((struct counted_list *)list)->references, 1, memory_order_relaxed);
    return list;
}

void published_list_unref(struct published_list *list)
{
    struct counted_list *counted = (struct counted_list *)list;

    if (list == NULL ||
        atomic_fetch_sub_explicit(&counted->references, 1, memory_order_acq_rel) != 1)
        return;
    free_form(&list->bare);
    free_form(&list->envelope);
    free(counted);
}

/* The weight of one element "gzip;q=0.5" is it zero? Only zero matters: the server has one coding.
 */
static bool weight_is_zero(const char *parameters, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++) {
        if (tolower((unsigned char)parameters[i]) != 'q' || parameters[i + 1] != '=')
            continue;
        for (i += 2; i < len && (parameters[i] == '0' || parameters[i] == '.'); i++)
            ;
        while (i < len && (parameters[i] == ' ' || parameters[i] == '\t'))
            i++;
        return i == len;
    }
    return false;
}

bool accepts_gzip(const char *accept_encoding)
{
    bool star = false;
    const char *p = accept_encoding;

    while (p != NULL && *p != '\0') {
        p += strspn(p, " \t,");
        size_t len = strcspn(p, ",");
        size_t name = strcspn(p, ",; \t");
        bool wanted = !weight_is_zero(p + name, len - name);

        if ((name == 4 && strncasecmp(p, "gzip", 4) == 0) ||
            (name == 6 && strncasecmp(p, "x-gzip", 6) == 0))
            return wanted;
        if (name == 1 && *p == '*')
            star = wanted;
        p += len;
    }
    return star;
}
