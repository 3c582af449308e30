/* One block of a portability file: who has each of the 1,000 numbers of an NPA-NXX-X. Called by
 * the builder, which encodes, and by the reader, which checks once and then looks up.
 * docs/npdb-format.md, "A block".
 *
 * The numbers' owners are given as entries of the NPA's palette. A block lists those that occur in
 * it, its *symbols*, commonest first, and then says for each number which symbol it has: in a chain
 * of bitmaps ("not the first symbol", among those "nor the second", ...), and for what is left
 * after the last bitmap in a fixed number of bits. Tens of numbers with the same owner may be told
 * once, in front of the chain. */
#ifndef CLIENT_NPDB_BLOCK_H
#define CLIENT_NPDB_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NPDB_BLOCK_NUMBERS 1000u
#define NPDB_BLOCK_DECADES 100u
#define NPDB_BLOCK_MAX_LEVELS 15u

/* The head of a block, 4 bytes. */
#define NPDB_BLOCK_HEAD_SIZE 4u
#define NPDB_HEAD_SYMBOLS 0x000003ffu /* number of symbols - 1 */
#define NPDB_HEAD_LEVELS_SHIFT 10
#define NPDB_HEAD_LEVELS 0x00003c00u
#define NPDB_HEAD_WIDE 0x00004000u    /* two bytes for each symbol, not one */
#define NPDB_HEAD_DECADES 0x00008000u /* 100 bits say which tens have one owner */
#define NPDB_HEAD_OWN_SHIFT 16
#define NPDB_HEAD_OWN 0x03ff0000u /* the symbol of numbers that have no row of their own */
#define NPDB_HEAD_ZERO 0xfc000000u
#define NPDB_HEAD_NO_OWN 1023u

/* No block is longer: 1,000 symbols of two bytes, all decades mixed, ten bits for each number. */
#define NPDB_BLOCK_MAX_SIZE 3280u

/* What a number has when it has no row of its own. */
#define NPDB_NOT_PORTED 0xffffu

/* Encodes `numbers`, each an entry of the NPA's palette (ported) or NPDB_NOT_PORTED; `own` is the
 * palette's entry for the latter. Writes to `out`, which has room for NPDB_BLOCK_MAX_SIZE, and
 * returns the size, a multiple of 8. The same numbers give the same bytes. */
size_t npdb_block_encode(const uint16_t numbers[NPDB_BLOCK_NUMBERS], uint16_t own,
                         unsigned char *out);

/* The inverse. `block` has passed the check. `own` receives the palette's entry of the numbers
 * without a row, if there are any. */
void npdb_block_decode(const unsigned char *block, uint16_t numbers[NPDB_BLOCK_NUMBERS],
                       uint16_t *own);

/* Which entries of the palette a block that has passed the check names, in the order of its
 * symbols; returns how many. *own is the symbol of the numbers without a row, or NPDB_HEAD_NO_OWN.
 */
unsigned npdb_block_symbols(const unsigned char *block, uint16_t entries[NPDB_BLOCK_NUMBERS],
                            unsigned *own);

/* Writes `block`, which has passed the check and has `size` bytes, to `out` for another palette, in
 * which entry[i] is what was entry i: what encoding its numbers again would give. Returns `size`,
 * or 0 when that cannot be told without encoding. */
size_t npdb_block_renumber(const unsigned char *block, size_t size, const uint16_t *entry,
                           unsigned char *out);

/* The size of the block at `block` if it is sound: all of it lies within `room` bytes and every
 * palette entry and symbol that it can lead to exists; 0 if it is not. After that, npdb_block_find
 * cannot leave it but for reading up to 8 bytes beyond its end, which the file has. */
size_t npdb_block_check(const unsigned char *block, size_t room, uint32_t palette_len);

/* The palette's entry for number `x` (below 1,000); *ported is set to whether it has a row of its
 * own. A function for each kind of processor; npdb_block_finder chooses the fastest that this one
 * can run. */
typedef uint32_t npdb_block_find_fn(const unsigned char *block, unsigned x, uint32_t *ported);

npdb_block_find_fn *npdb_block_finder(void);
npdb_block_find_fn npdb_block_find_portable; /* any processor */

#endif
