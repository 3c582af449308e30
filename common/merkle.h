/* The Merkle tree of RFC 6962 s2.1: SHA-256, a leaf is hashed with 0x00 before it, a node with
 * 0x01.
 *
 * Pure: no allocation but OpenSSL's, no recursion, bounded by the levels of a tree of
 * MERKLE_MAX_SIZE leaves. A tree grows at its right edge; proofs are planned as ranges of leaves,
 * each of which is folded from the hashes of complete subtrees that somebody has stored. Callers:
 * audit_verify (growing), transparency_routes (proofs).
 *
 * Where a function returns bool, false means: does not hold, or OpenSSL cannot compute SHA-256. */
#ifndef COMMON_MERKLE_H
#define COMMON_MERKLE_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MERKLE_HASH_SIZE 32
#define MERKLE_LEVELS 53 /* level 0 are the leaves */
#define MERKLE_MAX_SIZE ((UINT64_C(1) << MERKLE_LEVELS) - 1)
#define MERKLE_MAX_PATH (MERKLE_LEVELS + 1) /* hashes in a proof, at most */

struct merkle_hash {
    unsigned char bytes[MERKLE_HASH_SIZE];
};

bool merkle_leaf(const void *data, size_t len, struct merkle_hash *out) STICPS_MUST_CHECK;
bool merkle_node(const struct merkle_hash *left, const struct merkle_hash *right,
                 struct merkle_hash *out) STICPS_MUST_CHECK;

/* ---- a tree that grows ---- */

/* Starts as {0}. edge[l] is the complete subtree of 2^l leaves on the right edge, where bit l of
 * the size is set. */
struct merkle_tree {
    uint64_t size;
    struct merkle_hash edge[MERKLE_LEVELS];
};

/* Adds a leaf's hash. `completed`: the subtrees that it completes, from level 0 (itself) upwards;
 * returns how many, 0 when the tree is full or SHA-256 fails (then nothing was added). */
size_t merkle_append(struct merkle_tree *tree, const struct merkle_hash *leaf,
                     struct merkle_hash completed[MERKLE_LEVELS]) STICPS_MUST_CHECK;
/* MTH of all leaves; of none, the hash of nothing. */
bool merkle_root(const struct merkle_tree *tree, struct merkle_hash *out) STICPS_MUST_CHECK;

/* ---- making a proof ---- */

/* Leaves first … end - 1: one hash of a proof is the root of the tree of these alone. */
struct merkle_range {
    uint64_t first, end;
};

/* PATH(index, D[size]) of s2.1.1. 0 for a tree of one leaf, and for index >= size or a size out of
 * range. */
size_t merkle_inclusion_plan(uint64_t index, uint64_t size,
                             struct merkle_range out[MERKLE_MAX_PATH]);
/* PROOF(first, D[second]) of s2.1.2. 0 for equal sizes, and for first = 0 or first > second or a
 * size out of range. */
size_t merkle_consistency_plan(uint64_t first, uint64_t second,
                               struct merkle_range out[MERKLE_MAX_PATH]);

/* A complete subtree: leaves index * 2^level … (index + 1) * 2^level - 1. */
struct merkle_place {
    unsigned level;
    uint64_t index;
};

/* The complete subtrees that make up a range of a plan, from the left. At least one. */
size_t merkle_range_places(const struct merkle_range *range,
                           struct merkle_place out[MERKLE_LEVELS]);
/* Their hashes, in that order, to the hash of the range. len >= 1. */
bool merkle_range_hash(const struct merkle_hash *hashes, size_t len,
                       struct merkle_hash *out) STICPS_MUST_CHECK;

/* ---- checking a proof (RFC 9162 s2.1.3.2 and s2.1.4.2, which say how for the same hashes) ---- */

bool merkle_inclusion_check(const struct merkle_hash *leaf, uint64_t index, uint64_t size,
                            const struct merkle_hash *path, size_t path_len,
                            const struct merkle_hash *root) STICPS_MUST_CHECK;
bool merkle_consistency_check(uint64_t first, const struct merkle_hash *first_root, uint64_t second,
                              const struct merkle_hash *second_root, const struct merkle_hash *path,
                              size_t path_len) STICPS_MUST_CHECK;

#endif
