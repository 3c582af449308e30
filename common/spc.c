#include "common/spc.h"

#include <stdbool.h>
#include <string.h>

/* Our own tests rather than ctype.h: they do not depend on the host's locale. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static char fold(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool is_ocn(const char *s)
{
    for (size_t i = 0; i < 4; i++)
        if (!is_digit(s[i]) && !is_upper(s[i]))
            return false;
    return true;
}

static bool is_resp_org(const char *s)
{
    return is_upper(s[0]) && is_upper(s[1]) && is_upper(s[2]) && is_digit(s[3]) && is_digit(s[4]);
}

enum sticps_err spc_from_claim(const char *text, size_t len, struct spc *out,
                               struct sticps_error *err)
{
    if (!(len == 4 && is_ocn(text)) && !(len == 5 && is_resp_org(text)))
        return fail(err, STICPS_ERR_SPC, NULL,
                    "'%.*s' is no Service Provider Code: an OCN has 4 characters 0-9 A-Z, a Resp "
                    "Org ID three letters and two digits, in upper case",
                    len < 16 ? (int)len : 16, text);
    struct spc spc = {{0}};
    memcpy(spc.text, text, len);
    *out = spc;
    return STICPS_OK;
}

enum sticps_err spc_from_typed(const char *text, size_t len, struct spc *out,
                               struct sticps_error *err)
{
    char folded[5];
    if (len > sizeof(folded))
        return spc_from_claim(text, len, out, err); /* for its error */
    for (size_t i = 0; i < len; i++)
        folded[i] = fold(text[i]);
    return spc_from_claim(folded, len, out, err);
}

/* Most significant byte first, so that integers sort as the texts do. */
uint64_t spc_key(const struct spc *spc)
{
    uint64_t key = 0;
    for (size_t i = 0; i < sizeof(spc->text); i++)
        key = key << 8 | (unsigned char)spc->text[i];
    return key;
}
