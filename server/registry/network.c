#include "server/registry/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The number of bits behind the slash: decimal, without a leading zero, at most `max`. */
static bool read_bits(const char *text, unsigned max, unsigned *out)
{
    size_t len = strlen(text);
    unsigned value = 0;

    if (len < 1 || len > 3 || strspn(text, "0123456789") != len || (len > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    *out = value;
    return value <= max;
}

/* Clears what is behind the first `bits` of `size` bytes; true when anything was set there. */
static bool clear_host(unsigned char *bytes, size_t size, unsigned bits)
{
    bool set = false;

    for (size_t i = 0; i < size; i++) {
        unsigned keep = bits >= 8 * (i + 1) ? 8 : bits > 8 * i ? bits - 8 * (unsigned)i : 0;
        unsigned char host = (unsigned char)(0xff >> keep);

        set = set || (bytes[i] & host) != 0;
        bytes[i] = (unsigned char)(bytes[i] & ~host);
    }
    return set;
}

/* Address and length; without a slash all bits count. */
static bool parse(const char *text, size_t len, int family, unsigned char *bytes, unsigned *bits)
{
    char copy[NETWORK_TEXT_SIZE];

    if (len >= sizeof(copy) || memchr(text, '\0', len) != NULL)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    char *slash = strchr(copy, '/');
    if (slash != NULL)
        *slash = '\0';
    return inet_pton(family, copy, bytes) == 1 &&
           (slash == NULL || read_bits(slash + 1, *bits, bits));
}

enum sticps_err network_normalize(const char *text, size_t len, char out[NETWORK_TEXT_SIZE],
                                  struct sticps_error *err)
{
    static const unsigned char mapped[12] = {[10] = 0xff, 0xff};
    int family = memchr(text, ':', len) != NULL ? AF_INET6 : AF_INET;
    unsigned bits = family == AF_INET6 ? 128 : 32;
    unsigned char bytes[16];
    char address[INET6_ADDRSTRLEN];

    if (!parse(text, len, family, bytes, &bits))
        return fail(err, STICPS_ERR_USAGE, NULL,
                    "must be an address or a network such as 192.0.2.0/24 or 2001:db8::/32");
    if (family == AF_INET6 && bits >= 96 && memcmp(bytes, mapped, sizeof(mapped)) == 0)
        return fail(err, STICPS_ERR_USAGE, NULL, "is IPv4 inside IPv6; write it as IPv4");
    bool host = clear_host(bytes, family == AF_INET6 ? 16 : 4, bits);
    inet_ntop(family, bytes, address, sizeof(address));
    if (host)
        return fail(err, STICPS_ERR_USAGE, NULL,
                    "has bits set behind its length; write %s/%u, or the address alone", address,
                    bits);
    snprintf(out, NETWORK_TEXT_SIZE, "%s/%u", address, bits);
    return STICPS_OK;
}
