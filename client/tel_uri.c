#include "client/tel_uri.h"

#include <string.h>
#include <strings.h>

#define NUMBER_MAX 40 /* with separators */

struct span {
    const char *text; /* NULL: not there */
    size_t len;
};

static bool is(const struct span *span, const char *name)
{
    return span->len == strlen(name) && strncasecmp(span->text, name, span->len) == 0;
}

/* What is before the next ';', or the end; *rest is behind it. */
static struct span next(struct span *rest)
{
    const char *end = memchr(rest->text, ';', rest->len);
    struct span part = {rest->text, end != NULL ? (size_t)(end - rest->text) : rest->len};
    size_t used = part.len + (end != NULL);
    rest->text += used;
    rest->len -= used;
    return part;
}

/* One parameter. False when it was there before. */
static bool read_parameter(struct span part, struct tel_uri *out, struct span *rn,
                           struct span *context)
{
    const char *equals = memchr(part.text, '=', part.len);
    struct span name = {part.text, equals != NULL ? (size_t)(equals - part.text) : part.len};
    struct span value = {part.text + name.len, 0};
    if (equals != NULL)
        value = (struct span){equals + 1, part.len - name.len - 1};
    struct span *to = is(&name, "rn") ? rn : is(&name, "rn-context") ? context : NULL;
    if (is(&name, "npdi")) {
        bool again = out->npdi;
        out->npdi = true;
        return !again;
    }
    if (to == NULL)
        return true;
    bool again = to->text != NULL;
    *to = value;
    return !again;
}

/* RFC 4694 s4: a local number is its context's digits and its own. */
static enum sticps_err read_rn(const struct span *rn, const struct span *context,
                               unsigned default_country, struct tn *out, struct sticps_error *err)
{
    char whole[NUMBER_MAX];
    size_t len = 0;
    if (rn->text == NULL)
        return STICPS_OK;
    bool local = rn->len > 0 && rn->text[0] != '+';
    if (local && context->text != NULL) {
        if (context->len < 2 || context->text[0] != '+')
            return fail(err, STICPS_ERR_TN, "rn-context", "it is not a number's beginning, as +1");
        len = context->len;
    }
    if (len + rn->len > sizeof(whole))
        return fail(err, STICPS_ERR_TN, "rn", "the routing number is too long");
    if (len > 0)
        memcpy(whole, context->text, len);
    if (rn->len > 0)
        memcpy(whole + len, rn->text, rn->len);
    struct sticps_error why;
    if (tn_from_typed(whole, len + rn->len, default_country, out, &why) != STICPS_OK)
        return fail(err, STICPS_ERR_TN, "rn", "the routing number: %s", why.text);
    if (local && len == 0 && !tn_is_nanp(out))
        return fail(err, STICPS_ERR_TN, "rn", "a local routing number needs an rn-context");
    return STICPS_OK;
}

enum sticps_err tel_uri_read(const char *text, size_t len, unsigned default_country,
                             struct tel_uri *out, struct sticps_error *err)
{
    struct tel_uri read = {.npdi = false};
    struct span rn = {NULL, 0}, context = {NULL, 0}, rest = {text, len};
    struct sticps_error why;
    if (len < 5 || strncasecmp(text, "tel:+", 5) != 0)
        return fail(err, STICPS_ERR_TN, "tel", "not a tel URI of a global number (tel:+…)");
    rest.text += 4;
    rest.len -= 4;
    struct span number = next(&rest);
    if (tn_from_typed(number.text, number.len, 0, &read.tn, &why) != STICPS_OK)
        return fail(err, STICPS_ERR_TN, "tel", "%s", why.text);
    while (rest.len > 0)
        if (!read_parameter(next(&rest), &read, &rn, &context))
            return fail(err, STICPS_ERR_TN, "tel", "a parameter is there twice");
    enum sticps_err code = read_rn(&rn, &context, default_country, &read.rn, err);
    if (code == STICPS_OK)
        *out = read;
    return code;
}
