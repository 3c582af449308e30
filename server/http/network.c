#include "server/http/network.h"

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

static const unsigned char mapped[12] = {[10] = 0xff, 0xff}; /* what IPv4 inside IPv6 begins with */

enum sticps_err network_parse(const char *text, size_t len, struct network *out,
                              struct sticps_error *err)
{
    struct network network = {.family = memchr(text, ':', len) != NULL ? AF_INET6 : AF_INET};
    size_t size = network.family == AF_INET6 ? 16 : 4;
    char address[INET6_ADDRSTRLEN];

    network.bits = (unsigned)size * 8;
    if (!parse(text, len, network.family, network.bytes, &network.bits))
        return fail(err, STICPS_ERR_USAGE, NULL,
                    "must be an address or a network such as 192.0.2.0/24 or 2001:db8::/32");
    if (size == 16 && network.bits >= 96 && memcmp(network.bytes, mapped, sizeof(mapped)) == 0)
        return fail(err, STICPS_ERR_USAGE, NULL, "is IPv4 inside IPv6; write it as IPv4");
    if (clear_host(network.bytes, size, network.bits)) {
        inet_ntop(network.family, network.bytes, address, sizeof(address));
        return fail(err, STICPS_ERR_USAGE, NULL,
                    "has bits set behind its length; write %s/%u, or the address alone", address,
                    network.bits);
    }
    *out = network;
    return STICPS_OK;
}

enum sticps_err network_normalize(const char *text, size_t len, char out[NETWORK_TEXT_SIZE],
                                  struct sticps_error *err)
{
    struct network network;
    char address[INET6_ADDRSTRLEN];
    enum sticps_err rc = network_parse(text, len, &network, err);

    if (rc != STICPS_OK)
        return rc;
    inet_ntop(network.family, network.bytes, address, sizeof(address));
    snprintf(out, NETWORK_TEXT_SIZE, "%s/%u", address, network.bits);
    return STICPS_OK;
}

bool network_has(const struct network *network, const struct sockaddr *address)
{
    unsigned char bytes[16];
    int family = address->sa_family;
    size_t size = 4;

    if (family == AF_INET) {
        memcpy(bytes, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else if (family == AF_INET6) {
        memcpy(bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
        size = 16;
        if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
            memmove(bytes, bytes + sizeof(mapped), 4);
            family = AF_INET;
            size = 4;
        }
    }
    if (family != network->family)
        return false;
    (void)clear_host(bytes, size, network->bits);
    return memcmp(bytes, network->bytes, size) == 0;
}
