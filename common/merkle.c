#include "common/merkle.h"

#include <openssl/evp.h>
#include <string.h>

static bool sha256(const void *data, size_t len, struct merkle_hash *out)
{
    return EVP_Digest(data, len, out->bytes, NULL, EVP_sha256(), NULL) == 1;
}

static bool same(const struct merkle_hash *a, const struct merkle_hash *b)
{
    return memcmp(a->bytes, b->bytes, MERKLE_HASH_SIZE) == 0;
}

bool merkle_leaf(const void *data, size_t len, struct merkle_hash *out)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool done = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(hash, "\x00", 1) == 1 && EVP_DigestUpdate(hash, data, len) == 1 &&
                EVP_DigestFinal_ex(hash, out->bytes, NULL) == 1;

    EVP_MD_CTX_free(hash);
    return done;
}

bool merkle_node(const struct merkle_hash *left, const struct merkle_hash *right,
                 struct merkle_hash *out)
{
    unsigned char both[1 + 2 * MERKLE_HASH_SIZE] = {0x01};

    memcpy(both + 1, left->bytes, MERKLE_HASH_SIZE);
    memcpy(both + 1 + MERKLE_HASH_SIZE, right->bytes, MERKLE_HASH_SIZE);
    return sha256(both, sizeof(both), out);
}

/* ---- a tree that grows ---- */

size_t merkle_append(struct merkle_tree *tree, const struct merkle_hash *leaf,
                     struct merkle_hash completed[MERKLE_LEVELS])
{
    size_t len = 1;

    if (tree->size >= MERKLE_MAX_SIZE)
        return 0;
    completed[0] = *leaf;
    for (; (tree->size >> (len - 1) & 1) != 0; len++)
        if (!merkle_node(&tree->edge[len - 1], &completed[len - 1], &completed[len]))
            return 0;
    tree->edge[len - 1] = completed[len - 1];
    tree->size++;
    return len;
}

bool merkle_root(const struct merkle_tree *tree, struct merkle_hash *out)
{
    struct merkle_hash parts[MERKLE_LEVELS];
    size_t len = 0;

    if (tree->size == 0)
        return sha256("", 0, out);
    for (unsigned level = MERKLE_LEVELS; level-- > 0;)
        if ((tree->size >> level & 1) != 0)
            parts[len++] = tree->edge[level];
    return merkle_range_hash(parts, len, out);
}

/* ---- making a proof ---- */

/* The largest power of two that is smaller than len; len >= 2. */
static uint64_t split(uint64_t len)
{
    uint64_t k = 1;

    while (k < len - k)
        k *= 2;
    return k;
}

/* The definitions go down the tree and list what they pass from the bottom; so is it turned. */
static size_t turn(struct merkle_range *ranges, size_t len)
{
    for (size_t i = 0; i < len / 2; i++) {
        struct merkle_range kept = ranges[i];

        ranges[i] = ranges[len - 1 - i];
        ranges[len - 1 - i] = kept;
    }
    return len;
}

size_t merkle_inclusion_plan(uint64_t index, uint64_t size,
                             struct merkle_range out[MERKLE_MAX_PATH])
{
    uint64_t low = 0, high = size;
    size_t len = 0;

    if (index >= size || size > MERKLE_MAX_SIZE)
        return 0;
    while (high - low > 1) {
        uint64_t middle = low + split(high - low);

        if (index < middle) {
            out[len++] = (struct merkle_range){middle, high};
            high = middle;
        } else {
            out[len++] = (struct merkle_range){low, middle};
            low = middle;
        }
    }
    return turn(out, len);
}

size_t merkle_consistency_plan(uint64_t first, uint64_t second,
                               struct merkle_range out[MERKLE_MAX_PATH])
{
    uint64_t low = 0, high = second;
    size_t len = 0;

    if (first == 0 || first > second || second > MERKLE_MAX_SIZE)
        return 0;
    while (high != first) {
        uint64_t middle = low + split(high - low);

        if (first <= middle) {
            out[len++] = (struct merkle_range){middle, high};
            high = middle;
        } else {
            out[len++] = (struct merkle_range){low, middle};
            low = middle;
        }
    }
    /* What is left is the right end of the first tree; all of it when the first tree is a whole
     * subtree of the second, and then the verifier has its root. */
    if (low != 0)
        out[len++] = (struct merkle_range){low, high};
    return turn(out, len);
}

size_t merkle_range_places(const struct merkle_range *range, struct merkle_place out[MERKLE_LEVELS])
{
    uint64_t at = range->first;
    size_t len = 0;

    for (unsigned level = MERKLE_LEVELS; level-- > 0;) {
        uint64_t leaves = UINT64_C(1) << level;

        if (range->end - at < leaves)
            continue;
        out[len++] = (struct merkle_place){level, at >> level};
        at += leaves;
    }
    return len;
}

bool merkle_range_hash(const struct merkle_hash *hashes, size_t len, struct merkle_hash *out)
{
    struct merkle_hash hash = hashes[len - 1];

    for (size_t i = len - 1; i-- > 0;)
        if (!merkle_node(&hashes[i], &hash, &hash))
            return false;
    *out = hash;
    return true;
}

/* ---- checking a proof ---- */

bool merkle_inclusion_check(const struct merkle_hash *leaf, uint64_t index, uint64_t size,
                            const struct merkle_hash *path, size_t path_len,
                            const struct merkle_hash *root)
{
    uint64_t node = index, last = size - 1;
    struct merkle_hash hash = *leaf;

    if (index >= size)
        return false;
    for (size_t i = 0; i < path_len; i++) {
        bool done;

        if (last == 0)
            return false;
        if ((node & 1) != 0 || node == last) {
            done = merkle_node(&path[i], &hash, &hash);
            while ((node & 1) == 0 && node != 0) {
                node >>= 1;
                last >>= 1;
            }
        } else {
            done = merkle_node(&hash, &path[i], &hash);
        }
        if (!done)
            return false;
        node >>= 1;
        last >>= 1;
    }
    return last == 0 && same(&hash, root);
}

/* s2.1.4.2 steps 3 to 7: `path` with the first tree's root before it where that is a complete
 * subtree. */
static bool consistency_fold(uint64_t node, uint64_t last, const struct merkle_hash *start,
                             const struct merkle_hash *path, size_t path_len,
                             const struct merkle_hash *first_root,
                             const struct merkle_hash *second_root)
{
    struct merkle_hash first_hash = *start, second_hash = *start;

    while ((node & 1) != 0) {
        node >>= 1;
        last >>= 1;
    }
    for (size_t i = 0; i < path_len; i++) {
        bool done;

        if (last == 0)
            return false;
        if ((node & 1) != 0 || node == last) {
            done = merkle_node(&path[i], &first_hash, &first_hash) &&
                   merkle_node(&path[i], &second_hash, &second_hash);
            while ((node & 1) == 0 && node != 0) {
                node >>= 1;
                last >>= 1;
            }
        } else {
            done = merkle_node(&second_hash, &path[i], &second_hash);
        }
        if (!done)
            return false;
        node >>= 1;
        last >>= 1;
    }
    return last == 0 && same(&first_hash, first_root) && same(&second_hash, second_root);
}

bool merkle_consistency_check(uint64_t first, const struct merkle_hash *first_root, uint64_t second,
                              const struct merkle_hash *second_root, const struct merkle_hash *path,
                              size_t path_len)
{
    if (first == 0 || first > second)
        return false;
    if (first == second)
        return path_len == 0 && same(first_root, second_root);
    if (path_len == 0)
        return false;
    if ((first & (first - 1)) == 0)
        return consistency_fold(first - 1, second - 1, first_root, path, path_len, first_root,
                                second_root);
    return consistency_fold(first - 1, second - 1, &path[0], path + 1, path_len - 1, first_root,
                            second_root);
}
