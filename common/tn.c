#include "common/tn.h"

#include <string.h>

#define MAX_TYPED 32 /* bytes; no way of writing 15 digits needs more */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_separator(char c)
{
    return c == ' ' || c == '-' || c == '.' || c == '(' || c == ')';
}

/* [2-9]xx[2-9]xxxxxx: how the North American plan writes a number without its country code. */
static bool is_national_nanp(const char *digits, size_t len)
{
    return len == 10 && digits[0] >= '2' && digits[3] >= '2';
}

/* `digits` holds `len` of them and nothing else. */
static enum sticps_err canonical(const char *digits, size_t len, unsigned default_country,
                                 struct tn *out, struct sticps_error *err)
{
    if (len == 0)
        return fail(err, STICPS_ERR_TN, NULL, "a telephone number has at least one digit");
    if (len > TN_MAX_DIGITS)
        return fail(err, STICPS_ERR_TN, NULL, "a telephone number has at most 15 digits (E.164)");

    struct tn tn = {{0}};
    size_t at = 0;
    if (default_country == 1 && is_national_nanp(digits, len))
        tn.digits[at++] = '1';
    memcpy(tn.digits + at, digits, len);
    *out = tn;
    return STICPS_OK;
}

static enum sticps_err bad_character(char c, size_t at, const char *allowed,
                                     struct sticps_error *err)
{
    if (c >= 0x20 && c <= 0x7e)
        return fail(err, STICPS_ERR_TN, NULL, "'%c' at position %zu: a telephone number has %s", c,
                    at + 1, allowed);
    return fail(err, STICPS_ERR_TN, NULL, "byte 0x%02x at position %zu: a telephone number has %s",
                (unsigned)(unsigned char)c, at + 1, allowed);
}

enum sticps_err tn_from_typed(const char *text, size_t len, unsigned default_country,
                              struct tn *out, struct sticps_error *err)
{
    if (len > MAX_TYPED)
        return fail(err, STICPS_ERR_TN, NULL, "%zu characters are too many for a telephone number",
                    len);

    char digits[MAX_TYPED];
    size_t count = 0, start = 0;
    while (start < len && text[start] == ' ')
        start++;
    bool has_plus = start < len && text[start] == '+';
    for (size_t i = has_plus ? start + 1 : start; i < len; i++) {
        if (is_digit(text[i]))
            digits[count++] = text[i];
        else if (!is_separator(text[i]))
            return bad_character(
                text[i], i, "digits, separators ( ) - . and space, and a '+' only in front", err);
    }
    return canonical(digits, count, has_plus ? 0 : default_country, out, err);
}

enum sticps_err tn_from_claim(const char *text, size_t len, unsigned default_country,
                              struct tn *out, struct sticps_error *err)
{
    for (size_t i = 0; i < len; i++)
        if (!is_digit(text[i]))
            return bad_character(text[i], i, "digits only in a claim", err);
    return canonical(text, len, default_country, out, err);
}

/* The value times 16, plus the number of digits: 15 digits take 50 bits. */
uint64_t tn_key(const struct tn *tn)
{
    uint64_t value = 0;
    size_t len = 0;
    for (; len < TN_MAX_DIGITS && tn->digits[len] != '\0'; len++)
        value = value * 10 + (uint64_t)(tn->digits[len] - '0');
    return value << 4 | len;
}

void tn_from_key(uint64_t key, struct tn *out)
{
    uint64_t value = key >> 4;
    size_t len = key & 15;
    memset(out, 0, sizeof(*out));
    for (size_t i = len; i > 0; i--) {
        out->digits[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
}

bool tn_is_nanp(const struct tn *tn)
{
    return tn->digits[0] == '1' && is_national_nanp(tn->digits + 1, strlen(tn->digits + 1));
}

bool tn_is_toll_free(const struct tn *tn)
{
    if (!tn_is_nanp(tn) || tn->digits[1] != '8' || tn->digits[2] != tn->digits[3])
        return false;
    return tn->digits[2] == '0' || (tn->digits[2] >= '2' && tn->digits[2] <= '8');
}
