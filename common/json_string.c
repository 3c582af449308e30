#include "common/json_string.h"

#include <string.h>

/* How many bytes the UTF-8 sequence at `s` has, 0 if it is none (RFC 3629 s4). */
static size_t utf8_length(const unsigned char *s)
{
    unsigned char low = 0x80, high = 0xbf; /* what the second byte may be */
    size_t len;
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        len = 2;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        len = 3;
        if (s[0] == 0xe0)
            low = 0xa0; /* overlong */
        else if (s[0] == 0xed)
            high = 0x9f; /* surrogates */
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        len = 4;
        if (s[0] == 0xf0)
            low = 0x90; /* overlong */
        else if (s[0] == 0xf4)
            high = 0x8f; /* above U+10FFFF */
    } else {
        return 0;
    }
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return len;
}

static size_t utf8_put(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* The four hex digits at `s`, or -1. */
static int32_t hex4(const char *s)
{
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        int32_t digit;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if (c >= 'a' && c <= 'f')
            digit = c - 'a' + 10;
        else if (c >= 'A' && c <= 'F')
            digit = c - 'A' + 10;
        else
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* \uXXXX at *at, two of them for a character above U+FFFF; moves past it. */
static const char *unescape_unicode(char **at, char **to)
{
    int32_t c = hex4(*at + 2);
    if (c < 0)
        return "a bad \\u escape";
    if (c == 0)
        return "\\u0000";
    size_t used = 6;
    if (c >= 0xd800 && c <= 0xdfff) {
        int32_t second = -1;
        if (c <= 0xdbff && (*at)[6] == '\\' && (*at)[7] == 'u')
            second = hex4(*at + 8);
        if (second < 0xdc00 || second > 0xdfff)
            return "half of a surrogate pair";
        c = 0x10000 + ((c - 0xd800) << 10) + (second - 0xdc00);
        used = 12;
    }
    *at += used;
    *to += utf8_put(*to, (uint32_t)c);
    return NULL;
}

static const char *unescape(char **at, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    char c = (*at)[1];
    if (c == 'u')
        return unescape_unicode(at, to);
    const char *found = c == '\0' ? NULL : strchr(from, c);
    if (found == NULL)
        return "a bad escape";
    *(*to)++ = into[found - from];
    *at += 2;
    return NULL;
}

/* Neither the end of a string nor anything that needs a closer look. */
static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

const char *json_string_read(char **at, const char **text, uint32_t *len)
{
    const char *fault;
    char *begin = ++*at;
    while (is_plain((unsigned char)**at))
        ++*at;
    char *to = *at; /* what is written never overtakes what is read */
    while (**at != '"') {
        unsigned char c = (unsigned char)**at;
        if (c == '\\') {
            if ((fault = unescape(at, &to)) != NULL)
                return fault;
        } else if (c < 0x20) {
            return c == '\0' ? "an unfinished string" : "a control character";
        } else {
            size_t n = c < 0x80 ? 1 : utf8_length((const unsigned char *)*at);
            if (n == 0)
                return "bytes that are not UTF-8";
            memmove(to, *at, n);
            to += n;
            *at += n;
        }
    }
    ++*at;
    *to = '\0'; /* over the closing quote, or before it */
    *text = begin;
    *len = (uint32_t)(to - begin);
    return NULL;
}

bool json_string_is_utf8(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        size_t n = *at < 0x80 ? 1 : utf8_length(at);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}
