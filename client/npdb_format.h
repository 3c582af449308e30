/* The portability file, version 2, as npdb_write makes it and npdb_reader maps it;
 * docs/npdb-format.md describes it byte by byte. Integers are little-endian and read with the
 * functions below, so that neither alignment nor the host's byte order matters.
 *
 *   header    256 bytes
 *   blocks    the thousands that have ported numbers, see npdb_block.h
 *   index     pages of 8,000 slots, one slot for each NPA-NXX-X of an NPA
 *   npas      800 entries, one for each NPA from 200 on
 *   palettes  for each NPA the owners that its blocks name
 *   prefixes  the rows of blocks as they were given, and the ported numbers outside +1
 *   owners    LRN and SPC
 */
#ifndef CLIENT_NPDB_FORMAT_H
#define CLIENT_NPDB_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NPDB_MAGIC "STICNPDB"
#define NPDB_VERSION 2
#define NPDB_HEADER_SIZE 256

enum npdb_section {
    NPDB_BLOCKS,
    NPDB_INDEX,
    NPDB_NPAS,
    NPDB_PALETTES,
    NPDB_PREFIXES,
    NPDB_OWNERS,
    NPDB_SECTIONS
};

/* Offsets in the header. */
enum {
    NPDB_AT_MAGIC = 0,
    NPDB_AT_VERSION = 8,
    NPDB_AT_HEADER_SIZE = 12,
    NPDB_AT_FILE_SIZE = 16,
    NPDB_AT_SEQUENCE = 24,    /* what the builder was told; 0 when nothing */
    NPDB_AT_PORTS = 32,       /* ported and toll-free numbers of the North American plan */
    NPDB_AT_BLOCK_COUNT = 40, /* blocks in the section */
    NPDB_AT_SECTIONS = 48,    /* for each: offset 8, size 8, CRC 4, zero 4 */
    NPDB_SECTION_SIZE = 24,
    NPDB_AT_ZERO = 192,
    NPDB_AT_CRC = 252 /* of the header before it */
};

/* A slot of the index: an owner for the whole thousand, or where its block lies. */
#define NPDB_SLOT_SIZE 4u
#define NPDB_SLOT_BLOCK 0x80000000u /* the other bits: offset in the file / 8 */
#define NPDB_PAGE_SLOTS 8000u       /* (NXX - 200) * 10 + X */
#define NPDB_PAGE_SIZE (NPDB_PAGE_SLOTS * NPDB_SLOT_SIZE)

/* An entry of npas: page of the index, counted from 1 (0: none), owner of every number when there
 * is no page, first entry and number of entries in palettes. */
#define NPDB_NPA_SIZE 16u
#define NPDB_NPA_COUNT 800u

#define NPDB_PALETTE_ENTRY_SIZE 4u /* index in owners */
#define NPDB_MAX_PALETTE 65535u    /* entries for one NPA */
#define NPDB_SORTED_PALETTE 256u   /* up to so many are in rising order, more by use */

/* An entry of prefixes: key, index in owners. Sorted by key, each key once. */
#define NPDB_PREFIX_SIZE 12u

/* An entry of owners: tn_key of the LRN (0: none), SPC text (zeros: nobody). The first two are
 * empty and mean what follows; the others are sorted. */
#define NPDB_OWNER_SIZE 16u
#define NPDB_OWNER_UNKNOWN 0u /* no row says anything of the number */
#define NPDB_OWNER_NOBODY 1u  /* a row says that nobody has it */
#define NPDB_FIRST_OWNER 2u
#define NPDB_MAX_OWNERS 0x100000u

/* Blocks are found by offset / 8 in 31 bits. */
#define NPDB_MAX_BLOCKS_END (UINT64_C(8) << 31)

static inline uint32_t npdb_get16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t npdb_get32(const unsigned char *p)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
#else
    return npdb_get16(p) | npdb_get16(p + 2) << 16;
#endif
}

static inline uint64_t npdb_get64(const unsigned char *p)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
#else
    return npdb_get32(p) | (uint64_t)npdb_get32(p + 4) << 32;
#endif
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

/* The key of a row of prefixes: the digits, filled up with zeros to 15 of them, then how many they
 * are, then 1 for a ported number and 0 for a prefix. So a prefix sorts before everything that
 * starts with it. `value` is the digits as a decimal number; 1 <= len <= 15. */
static inline uint64_t npdb_prefix_key(uint64_t value, unsigned len, unsigned ported)
{
    for (unsigned i = len; i < 15; i++)
        value *= 10;
    return value << 5 | (uint64_t)len << 1 | ported;
}

#endif
