#include "common/base64url.h"

#include <stdint.h>

/* Marks a character outside the alphabet: no 6-bit value has its top bits, so one OR over a whole
 * text tells whether any was seen. */
#define BAD 0xff
#define BAD_BITS 0xc0

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const uint8_t value_of[256] = {
    /* clang-format off */
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, 62, BAD, BAD,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, BAD, BAD, BAD, BAD, 63,
    BAD, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    /* clang-format on */
};

size_t base64url_encoded_size(size_t len)
{
    static const uint8_t tail[3] = {0, 2, 3};
    return len / 3 * 4 + tail[len % 3];
}

size_t base64url_decoded_size(size_t len)
{
    static const uint8_t tail[4] = {0, 0, 1, 2};
    return len / 4 * 3 + tail[len % 4];
}

size_t base64url_encode(const void *in, size_t len, char *out)
{
    const uint8_t *from = in;
    char *to = out;
    for (; len >= 3; len -= 3, from += 3) {
        uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        *to++ = alphabet[bits >> 18];
        *to++ = alphabet[bits >> 12 & 0x3f];
        *to++ = alphabet[bits >> 6 & 0x3f];
        *to++ = alphabet[bits & 0x3f];
    }
    if (len == 1) {
        *to++ = alphabet[from[0] >> 2];
        *to++ = alphabet[(from[0] & 0x03) << 4];
    } else if (len == 2) {
        *to++ = alphabet[from[0] >> 2];
        *to++ = alphabet[(from[0] & 0x03) << 4 | from[1] >> 4];
        *to++ = alphabet[(from[1] & 0x0f) << 2];
    }
    return (size_t)(to - out);
}

bool base64url_decode(const char *in, size_t len, void *out, size_t *out_len)
{
    const uint8_t *from = (const uint8_t *)in;
    uint8_t *to = out;
    uint32_t seen = 0;
    for (; len >= 4; len -= 4, from += 4) {
        uint32_t a = value_of[from[0]], b = value_of[from[1]];
        uint32_t c = value_of[from[2]], d = value_of[from[3]];
        seen |= a | b | c | d;
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        *to++ = (uint8_t)(bits >> 16);
        *to++ = (uint8_t)(bits >> 8);
        *to++ = (uint8_t)bits;
    }
    uint32_t unused = 0;
    if (len == 1) {
        return false;
    } else if (len == 2) {
        uint32_t a = value_of[from[0]], b = value_of[from[1]];
        seen |= a | b;
        unused = b & 0x0f;
        *to++ = (uint8_t)(a << 2 | b >> 4);
    } else if (len == 3) {
        uint32_t a = value_of[from[0]], b = value_of[from[1]], c = value_of[from[2]];
        seen |= a | b | c;
        unused = c & 0x03;
        *to++ = (uint8_t)(a << 2 | b >> 4);
        *to++ = (uint8_t)(b << 4 | c >> 2);
    }
    if ((seen & BAD_BITS) != 0 || unused != 0)
        return false;
    *out_len = (size_t)(to - (uint8_t *)out);
    return true;
}
