#include "common/address.h"

#include <string.h>

enum verdict {
    CLOSED,
    PRIVATE, /* loopback and private networks: open in the lab */
    UNWRAP4, /* the last four bytes are an IPv4 address that decides */
};

struct range {
    unsigned char prefix[16]; /* the rest is zero */
    unsigned char bits;
    enum verdict verdict;
};

/* IANA IPv4 Special-Purpose Address Registry, and multicast (RFC 5771). Ranges that the registry
 * calls globally reachable (AS112, AMT) are closed too: what lives there is no web server. */
static const struct range ranges4[] = {
    {{0}, 8, CLOSED},             /* this network, RFC 791 */
    {{10}, 8, PRIVATE},           /* RFC 1918 */
    {{100, 64}, 10, CLOSED},      /* shared address space, RFC 6598 */
    {{127}, 8, PRIVATE},          /* loopback, RFC 1122 */
    {{169, 254}, 16, CLOSED},     /* link local, RFC 3927 */
    {{172, 16}, 12, PRIVATE},     /* RFC 1918 */
    {{192, 0, 0}, 24, CLOSED},    /* protocol assignments, RFC 6890 */
    {{192, 0, 2}, 24, CLOSED},    /* documentation, RFC 5737 */
    {{192, 31, 196}, 24, CLOSED}, /* AS112, RFC 7535 */
    {{192, 52, 193}, 24, CLOSED}, /* AMT, RFC 7450 */
    {{192, 88, 99}, 24, CLOSED},  /* 6to4 relay anycast, RFC 7526 */
    {{192, 168}, 16, PRIVATE},    /* RFC 1918 */
    {{192, 175, 48}, 24, CLOSED}, /* AS112, RFC 7534 */
    {{198, 18}, 15, CLOSED},      /* benchmarking, RFC 2544 */
    {{198, 51, 100}, 24, CLOSED}, /* documentation, RFC 5737 */
    {{203, 0, 113}, 24, CLOSED},  /* documentation, RFC 5737 */
    {{224}, 4, CLOSED},           /* multicast, RFC 5771 */
    {{240}, 4, CLOSED},           /* reserved and limited broadcast, RFC 1112, RFC 8190 */
};

/* IANA IPv6 Special-Purpose Address Registry, multicast (RFC 4291) and what was withdrawn. The
 * first match counts. */
static const struct range ranges6[] = {
    {{[15] = 1}, 128, PRIVATE},                   /* ::1, loopback */
    {{[10] = 0xff, 0xff}, 96, UNWRAP4},           /* IPv4-mapped, RFC 4291 */
    {{0}, 96, CLOSED},                            /* ::, IPv4-compatible, RFC 4291 */
    {{0x00, 0x64, 0xff, 0x9b}, 96, UNWRAP4},      /* NAT64, RFC 6052 */
    {{0x00, 0x64, 0xff, 0x9b, 0, 1}, 48, CLOSED}, /* local NAT64, RFC 8215 */
    {{0x01}, 64, CLOSED},                         /* discard only, RFC 6666 */
    {{0x01, 0, 0, 0, 0, 0, 0, 1}, 64, CLOSED},    /* dummy prefix, RFC 9780 */
    {{0x20, 0x01}, 23, CLOSED},                   /* assignments, Teredo, RFC 2928 */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, CLOSED},       /* documentation, RFC 3849 */
    {{0x20, 0x02}, 16, CLOSED},                   /* 6to4, RFC 3056 */
    {{0x26, 0x20, 0, 0x4f, 0x80}, 48, CLOSED},    /* AS112, RFC 7534 */
    {{0x3f, 0xff}, 20, CLOSED},                   /* documentation, RFC 9637 */
    {{0x5f}, 16, CLOSED},                         /* segment routing, RFC 9602 */
    {{0xfc}, 7, PRIVATE},                         /* unique local, RFC 4193 */
    {{0xfe, 0x80}, 10, CLOSED},                   /* link local, RFC 4291 */
    {{0xfe, 0xc0}, 10, CLOSED},                   /* site local, RFC 3879 */
    {{0xff}, 8, CLOSED},                          /* multicast, RFC 4291 */
};

static bool in_range(const unsigned char *addr, const struct range *range)
{
    size_t bytes = range->bits / 8;
    unsigned rest = range->bits % 8;
    if (memcmp(addr, range->prefix, bytes) != 0)
        return false;
    return rest == 0 || (addr[bytes] ^ range->prefix[bytes]) >> (8 - rest) == 0;
}

static const struct range *find(const unsigned char *addr, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (in_range(addr, &ranges[i]))
            return &ranges[i];
    return NULL;
}

bool address_is_closed(const void *addr, size_t len, bool lab)
{
    const unsigned char *bytes = addr;
    const struct range *range = NULL;
    if (len == 16) {
        range = find(bytes, ranges6, sizeof(ranges6) / sizeof(ranges6[0]));
        if (range != NULL && range->verdict == UNWRAP4) {
            bytes += 12;
            len = 4;
        }
    } else if (len != 4) {
        return true;
    }
    if (len == 4)
        range = find(bytes, ranges4, sizeof(ranges4) / sizeof(ranges4[0]));
    return range != NULL && !(lab && range->verdict == PRIVATE);
}
