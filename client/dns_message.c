#include "client/dns_message.h"

#include <string.h>

#define HEADER 12
#define FIXED 10 /* of a record, behind its name */

uint16_t dns_message_u16(const struct dns_message *message, size_t at)
{
    return (uint16_t)(message->data[at] << 8 | message->data[at + 1]);
}

uint32_t dns_message_u32(const struct dns_message *message, size_t at)
{
    return (uint32_t)dns_message_u16(message, at) << 16 | dns_message_u16(message, at + 2);
}

static char fold(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    bool known =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '/';
    return known ? (char)c : '?';
}

/* Where the label's length stands, behind the pointers that lead there, each back to a place before
 * any that was read; message->len when they do not. `*after` is behind the first pointer. */
static size_t follow(const struct dns_message *message, size_t at, size_t *lowest, size_t *after)
{
    while (at < message->len && (message->data[at] & 0xc0) == 0xc0) {
        if (at + 2 > message->len)
            return message->len;
        size_t target = dns_message_u16(message, at) & 0x3fff;
        if (*after == 0)
            *after = at + 2;
        if (target >= *lowest)
            return message->len;
        *lowest = at = target;
    }
    return at;
}

bool dns_message_name(const struct dns_message *message, size_t *at, char out[DNS_NAME_SIZE])
{
    size_t here = *at, lowest = *at, after = 0, len = 0;
    for (;;) {
        here = follow(message, here, &lowest, &after);
        if (here >= message->len || message->data[here] > 63)
            return false;
        size_t label = message->data[here++];
        if (label == 0)
            break;
        if (label > message->len - here || len + label + 2 > DNS_NAME_SIZE)
            return false;
        if (len > 0)
            out[len++] = '.';
        for (size_t i = 0; i < label; i++)
            out[len++] = fold(message->data[here + i]);
        here += label;
    }
    out[len] = '\0';
    *at = after != 0 ? after : here;
    return true;
}

bool dns_message_read(struct dns_message *out, const void *data, size_t len)
{
    *out = (struct dns_message){.data = data, .len = len, .at = HEADER};
    if (len < HEADER || (out->data[2] & 0xf8) != 0x80 || dns_message_u16(out, 4) != 1)
        return false; /* no answer, of another kind, or to more than one question */
    out->truncated = (out->data[2] & 2) != 0;
    out->rcode = out->data[3] & 15;
    out->answers = dns_message_u16(out, 6);
    out->authorities = dns_message_u16(out, 8);
    if (!dns_message_name(out, &out->at, out->name) || len - out->at < 4)
        return false;
    out->type = dns_message_u16(out, out->at);
    out->class = dns_message_u16(out, out->at + 2);
    dns_message_rewind(out);
    return true;
}

void dns_message_rewind(struct dns_message *message)
{
    char name[DNS_NAME_SIZE];
    message->at = HEADER;
    message->left = message->answers + message->authorities;
    message->broken = !dns_message_name(message, &message->at, name);
    message->at += 4;
}

bool dns_message_next(struct dns_message *message, struct dns_record *out)
{
    if (message->broken || message->left == 0)
        return false;
    message->broken = true;
    if (!dns_message_name(message, &message->at, out->name) || message->len - message->at < FIXED)
        return false;
    size_t at = message->at;
    out->type = dns_message_u16(message, at);
    out->class = dns_message_u16(message, at + 2);
    out->ttl = dns_message_u32(message, at + 4);
    if (out->ttl > INT32_MAX)
        out->ttl = 0;
    out->data_len = dns_message_u16(message, at + 8);
    out->data_at = at + FIXED;
    if (out->data_len > message->len - out->data_at)
        return false;
    out->is_answer = message->left > message->authorities;
    message->at = out->data_at + out->data_len;
    message->left--;
    message->broken = false;
    return true;
}
