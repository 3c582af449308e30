/* The portability file, version 1, as npdb_write makes it and npdb_reader maps it;
 * docs/npdb-format.md describes it byte by byte. Integers are little-endian and read with the
 * functions below, so that neither alignment nor the host's byte order matters.
 *
 *   header   128 bytes
 *   owners   16 bytes each: LRN key (0: none), SPC text (zeros: nobody)
 *   ports    hash table, 12 bytes a slot: tn_key of the number (0: free), index of its owner
 *   blocks   the same, keyed by the prefix
 */
#ifndef CLIENT_NPDB_FORMAT1_H
#define CLIENT_NPDB_FORMAT1_H

#include <stddef.h>
#include <stdint.h>

#define NPDB_MAGIC "STICNPDB"
#define NPDB_VERSION 1
#define NPDB_HEADER_SIZE 128
#define NPDB_OWNER_SIZE 16
#define NPDB_SLOT_SIZE 12
#define NPDB_MAX_COUNT 0xffffffffu /* entries of a section */
#define NPDB_MAX_PROBES 65536      /* slots that a reader is willing to look at for one key */

enum npdb_section { NPDB_OWNERS, NPDB_PORTS, NPDB_BLOCKS, NPDB_SECTIONS };

/* Offsets in the header. */
enum {
    NPDB_AT_MAGIC = 0,
    NPDB_AT_VERSION = 8,
    NPDB_AT_HEADER_SIZE = 12,
    NPDB_AT_FILE_SIZE = 16,
    NPDB_AT_SECTIONS = 24, /* three times: offset 8, count 4, CRC 4 */
    NPDB_SECTION_SIZE = 16,
    NPDB_AT_PORTS_USED = 72,
    NPDB_AT_BLOCKS_USED = 76,
    NPDB_AT_PORTS_PROBES = 80,
    NPDB_AT_BLOCKS_PROBES = 84,
    NPDB_AT_LENGTHS = 88, /* bit n: there are prefixes of n digits */
    NPDB_AT_ZERO = 92,
    NPDB_AT_CRC = 124 /* of the header before it */
};

static inline uint32_t npdb_get32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t npdb_get64(const unsigned char *p)
{
    return npdb_get32(p) | (uint64_t)npdb_get32(p + 4) << 32;
}

static inline void npdb_put32(unsigned char *p, uint32_t v)
{
    for (size_t i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> 8 * i);
}

static inline void npdb_put64(unsigned char *p, uint64_t v)
{
    npdb_put32(p, (uint32_t)v);
    npdb_put32(p + 4, (uint32_t)(v >> 32));
}

/* The slot where the search for a key starts, out of `slots` (not 0). The high half of the mixed
 * key (the finalizer of splitmix64) is scaled to the table, so that it need not be a power of two.
 */
static inline uint32_t npdb_home(uint64_t key, uint32_t slots)
{
    key = (key ^ key >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    key = (key ^ key >> 27) * UINT64_C(0x94d049bb133111eb);
    key ^= key >> 31;
    return (uint32_t)((key >> 32) * slots >> 32);
}

#endif
