#include "client/enum_answer.h"

#include "client/tel_uri.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_MESSAGE (16 * 1024)
#define MAX_RECORDS 128
#define MAX_ALIASES 8

void enum_name(const struct tn *tn, const char *apex, char out[DNS_NAME_SIZE])
{
    size_t at = 0;
    for (size_t i = strlen(tn->digits); i > 0; i--) {
        out[at++] = tn->digits[i - 1];
        out[at++] = '.';
    }
    snprintf(out + at, DNS_NAME_SIZE - at, "%s", apex);
}

/* ---- one NAPTR record ---- */

struct naptr {
    uint32_t rank; /* order, then preference */
    const char *flags, *services, *regexp;
    size_t flags_len, services_len, regexp_len;
};

static bool read_string(const struct dns_message *message, size_t *at, size_t end, const char **out,
                        size_t *out_len)
{
    if (*at >= end)
        return false;
    size_t len = message->data[(*at)++];
    if (len > end - *at)
        return false;
    *out = (const char *)message->data + *at;
    *out_len = len;
    *at += len;
    return true;
}

/* RFC 3403 s4.1. The replacement behind it is of non-terminal records. */
static bool read_naptr(const struct dns_message *message, const struct dns_record *record,
                       struct naptr *out)
{
    size_t at = record->data_at + 4, end = record->data_at + record->data_len;
    if (record->data_len < 4)
        return false;
    out->rank = dns_message_u32(message, record->data_at);
    return read_string(message, &at, end, &out->flags, &out->flags_len) &&
           read_string(message, &at, end, &out->services, &out->services_len) &&
           read_string(message, &at, end, &out->regexp, &out->regexp_len);
}

static bool same(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

/* "E2U+pstn:tel" alone or among other services, "E2U+sip+pstn:tel" (RFC 6116 s3.4.3). */
static bool offers_pstn_tel(const struct naptr *naptr)
{
    size_t at = 0;
    for (bool first = true; at < naptr->services_len; first = false) {
        const char *word = naptr->services + at;
        const char *plus = memchr(word, '+', naptr->services_len - at);
        size_t len = plus != NULL ? (size_t)(plus - word) : naptr->services_len - at;
        if (first && !same(word, len, "E2U"))
            return false;
        if (!first && same(word, len, "pstn:tel"))
            return true;
        at += len + 1;
    }
    return false;
}

/* The URI that the rule makes of the number: for a rule that matches all of it, whatever it is, and
 * puts nothing of it into the result. Patterns of others are not run: they are a program that the
 * server writes. */
static enum sticps_err apply_regexp(const struct naptr *naptr, const char **uri, size_t *len,
                                    struct sticps_error *err)
{
    const char *text = naptr->regexp;
    size_t all = naptr->regexp_len;
    const char *second = all > 0 ? memchr(text + 1, text[0], all - 1) : NULL;
    const char *third =
        second != NULL ? memchr(second + 1, text[0], (size_t)(text + all - second - 1)) : NULL;
    if (third == NULL || strchr("0123456789i\\", text[0]) != NULL)
        return fail(err, STICPS_ERR_FORM, "regexp", "not of the form !pattern!replacement!");
    size_t pattern = (size_t)(second - text - 1), flags = (size_t)(text + all - third - 1);
    *uri = second + 1;
    *len = (size_t)(third - *uri);
    if (!same(text + 1, pattern, "^.*$") && !same(text + 1, pattern, "^(.*)$"))
        return fail(err, STICPS_ERR_FORM, "regexp",
                    "the pattern is not ^.*$; others are not applied");
    if (flags > 1 || (flags == 1 && third[1] != 'i'))
        return fail(err, STICPS_ERR_FORM, "regexp", "it has a flag other than i");
    if (memchr(*uri, '\\', *len) != NULL)
        return fail(err, STICPS_ERR_FORM, "regexp",
                    "the replacement refers back to the pattern; write the URI as it is");
    return STICPS_OK;
}

/* What one record says of the number. */
static enum sticps_err judge(const struct naptr *naptr, const struct tn *tn,
                             unsigned default_country, struct enum_answer *out,
                             struct sticps_error *err)
{
    const char *text = NULL;
    size_t len = 0;
    struct tel_uri uri;
    if (!same(naptr->flags, naptr->flags_len, "u"))
        return fail(err, STICPS_ERR_FORM, "flags", "not u: a rule that is not the last one");
    enum sticps_err code = apply_regexp(naptr, &text, &len, err);
    if (code == STICPS_OK)
        code = tel_uri_read(text, len, default_country, &uri, err);
    if (code != STICPS_OK)
        return code;
    if (memcmp(&uri.tn, tn, sizeof(*tn)) != 0)
        return fail(err, STICPS_ERR_TN, "tel", "the URI is of another number");
    bool ported = uri.rn.digits[0] != '\0' && memcmp(&uri.rn, tn, sizeof(*tn)) != 0;
    out->result = ported ? NUMBER_FOUND : NUMBER_NOT_FOUND;
    out->lrn = ported ? uri.rn : (struct tn){.digits = ""};
    return STICPS_OK;
}

/* ---- the message ---- */

static uint32_t shorter(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* What `name` is an alias of, in place of it. False when it is none. */
static bool follow_alias(struct dns_message *message, char name[DNS_NAME_SIZE], uint32_t *ttl)
{
    struct dns_record record;
    dns_message_rewind(message);
    while (dns_message_next(message, &record)) {
        size_t at = record.data_at;
        if (!record.is_answer || record.type != DNS_TYPE_CNAME || record.class != DNS_CLASS_IN ||
            strcmp(record.name, name) != 0)
            continue;
        *ttl = shorter(*ttl, record.ttl);
        return dns_message_name(message, &at, name);
    }
    return false;
}

/* How long a name that is not there is so: RFC 2308 s5. False when no SOA says. */
static bool read_denial(struct dns_message *message, uint32_t *ttl)
{
    struct dns_record record;
    dns_message_rewind(message);
    while (dns_message_next(message, &record))
        if (!record.is_answer && record.type == DNS_TYPE_SOA && record.data_len >= 22) {
            size_t minimum = record.data_at + record.data_len - 4;
            *ttl = shorter(*ttl, shorter(record.ttl, dns_message_u32(message, minimum)));
            return true;
        }
    return false;
}

/* The record of use that comes first by order and preference decides; without one of use, the first
 * refusal; without a record of the service, the number is not there. False without any NAPTR. */
static bool find_naptr(struct dns_message *message, const char *name, const struct tn *tn,
                       unsigned default_country, struct enum_answer *out, struct sticps_error *err)
{
    struct dns_record record;
    struct sticps_error refusal = {.code = STICPS_OK}, why;
    uint32_t best = 0;
    bool seen = false, usable = false;
    dns_message_rewind(message);
    while (dns_message_next(message, &record)) {
        struct naptr naptr;
        if (!record.is_answer || record.type != DNS_TYPE_NAPTR || record.class != DNS_CLASS_IN ||
            strcmp(record.name, name) != 0)
            continue;
        seen = true;
        out->ttl = shorter(out->ttl, record.ttl);
        if (!read_naptr(message, &record, &naptr) || !offers_pstn_tel(&naptr) ||
            (usable && naptr.rank >= best))
            continue;
        if (judge(&naptr, tn, default_country, out, &why) == STICPS_OK) {
            best = naptr.rank;
            usable = true;
        } else if (refusal.code == STICPS_OK) {
            refusal = why;
        }
    }
    if (seen && !usable)
        out->result = refusal.code == STICPS_OK ? NUMBER_NOT_FOUND : NUMBER_FAILED;
    if (seen && out->result == NUMBER_FAILED && err != NULL)
        *err = refusal;
    return seen;
}

/* There is no NAPTR: because the name or the type is not there, which a server says by an SOA. */
static void read_nothing(struct dns_message *message, struct enum_answer *out,
                         struct sticps_error *err)
{
    if (read_denial(message, &out->ttl) || message->rcode == DNS_RCODE_NO_SUCH_NAME)
        out->result = NUMBER_NOT_FOUND;
    else
        fail(err, STICPS_ERR_FORM, "dns",
             "the server neither answers nor denies; name one that resolves names itself");
}

/* The question is the one that was asked. */
static void read_answer(struct dns_message *message, const struct tn *tn, unsigned default_country,
                        struct enum_answer *out, struct sticps_error *err)
{
    char name[DNS_NAME_SIZE];
    int aliases = 0;
    memcpy(name, message->name, sizeof(name));
    out->ttl = UINT32_MAX;
    while (aliases <= MAX_ALIASES && follow_alias(message, name, &out->ttl))
        aliases++;
    if (aliases > MAX_ALIASES)
        fail(err, STICPS_ERR_FORM, "dns", "the name is an alias of an alias, without an end");
    else if (!find_naptr(message, name, tn, default_country, out, err))
        read_nothing(message, out, err);
    if (out->ttl == UINT32_MAX)
        out->ttl = 0;
    if (message->broken) {
        *out = (struct enum_answer){.result = NUMBER_FAILED};
        fail(err, STICPS_ERR_FORM, "dns", "the answer breaks off in a record");
    }
}

void enum_answer_read(const void *data, size_t len, const char *name, const struct tn *tn,
                      unsigned default_country, struct enum_answer *out, struct sticps_error *err)
{
    struct dns_message message;
    *out = (struct enum_answer){.result = NUMBER_FAILED};
    if (len > MAX_MESSAGE || !dns_message_read(&message, data, len) ||
        message.answers + message.authorities > MAX_RECORDS)
        fail(err, STICPS_ERR_FORM, "dns", "the answer is no DNS message, or larger than any needs");
    else if (strcasecmp(message.name, name) != 0 || message.type != DNS_TYPE_NAPTR ||
             message.class != DNS_CLASS_IN)
        fail(err, STICPS_ERR_FORM, "dns", "the answer is to another question");
    else if (message.truncated)
        fail(err, STICPS_ERR_FORM, "dns", "the answer is truncated");
    else if (message.rcode != DNS_RCODE_OK && message.rcode != DNS_RCODE_NO_SUCH_NAME)
        fail(err, STICPS_ERR_FORM, "dns", "the server answers with error %u", message.rcode);
    else
        read_answer(&message, tn, default_country, out, err);
}
