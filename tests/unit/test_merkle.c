/* common/merkle: the vectors of the reference implementation of RFC 6962 (certificate-transparency,
 * merkle_tree_test.cc), a digest over every proof of every tree up to 70 leaves that a brute-force
 * Python program computed, and proofs that were tampered with. */
#include "common/merkle.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define SIZE 70 /* of the tree for everything that tries all sizes */

static const struct {
    const char *bytes;
    size_t len;
} leaves[] = {
    {"", 0},
    {"\x00", 1},
    {"\x10", 1},
    {"\x20\x21", 2},
    {"\x30\x31", 2},
    {"\x40\x41\x42\x43", 4},
    {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
    {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16},
};

static const char *const roots[] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static void assert_hex(const struct merkle_hash *hash, const char *expected)
{
    char hex[2 * MERKLE_HASH_SIZE + 1];

    for (size_t i = 0; i < MERKLE_HASH_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash->bytes[i]);
    assert_string_equal(hex, expected);
}

/* ---- a store of complete subtrees, as the registry's table is one ---- */

struct store {
    struct merkle_tree tree;
    struct merkle_hash node[8][SIZE]; /* by level and index */
    struct merkle_hash root[SIZE + 1];
};

static void store_add(struct store *store, const void *data, size_t len)
{
    struct merkle_hash leaf, completed[MERKLE_LEVELS];
    uint64_t index = store->tree.size;

    assert_true(merkle_leaf(data, len, &leaf));
    size_t count = merkle_append(&store->tree, &leaf, completed);
    assert_int_not_equal(count, 0);
    assert_int_equal(store->tree.size, index + 1);
    for (size_t level = 0; level < count; level++)
        store->node[level][index >> level] = completed[level];
    assert_true(merkle_root(&store->tree, &store->root[index + 1]));
}

static void store_fill(struct store *store, size_t size)
{
    memset(store, 0, sizeof(*store));
    for (size_t i = 0; i < size; i++) {
        char text[24];

        snprintf(text, sizeof(text), "%zu", i);
        store_add(store, text, strlen(text));
    }
}

static void range_hash(const struct store *store, const struct merkle_range *range,
                       struct merkle_hash *out)
{
    struct merkle_place places[MERKLE_LEVELS];
    struct merkle_hash hashes[MERKLE_LEVELS];
    size_t len = merkle_range_places(range, places);

    for (size_t i = 0; i < len; i++) {
        assert_true(places[i].level < 8 && places[i].index < SIZE);
        hashes[i] = store->node[places[i].level][places[i].index];
    }
    assert_true(merkle_range_hash(hashes, len, out));
}

static size_t inclusion(const struct store *store, uint64_t index, uint64_t size,
                        struct merkle_hash path[MERKLE_MAX_PATH])
{
    struct merkle_range ranges[MERKLE_MAX_PATH];
    size_t len = merkle_inclusion_plan(index, size, ranges);

    for (size_t i = 0; i < len; i++)
        range_hash(store, &ranges[i], &path[i]);
    return len;
}

static size_t consistency(const struct store *store, uint64_t first, uint64_t second,
                          struct merkle_hash path[MERKLE_MAX_PATH])
{
    struct merkle_range ranges[MERKLE_MAX_PATH];
    size_t len = merkle_consistency_plan(first, second, ranges);

    for (size_t i = 0; i < len; i++)
        range_hash(store, &ranges[i], &path[i]);
    return len;
}

static struct store *reference(void)
{
    static struct store store;

    memset(&store, 0, sizeof(store));
    for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
        store_add(&store, leaves[i].bytes, leaves[i].len);
    return &store;
}

static struct store *filled(void)
{
    static struct store store;

    store_fill(&store, SIZE);
    return &store;
}

/* ---- the published vectors ---- */

static void test_roots(void **state)
{
    const struct store *store = reference();
    struct merkle_tree empty = {0};
    struct merkle_hash root;

    (void)state;
    assert_true(merkle_root(&empty, &root));
    assert_hex(&root, roots[0]);
    for (size_t size = 1; size <= 8; size++)
        assert_hex(&store->root[size], roots[size]);
}

#define NODE_96 "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
#define NODE_5F "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
#define NODE_6B "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
#define NODE_BC "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
#define NODE_CA "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
#define NODE_0E "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
#define ROOT_1 "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
#define ROOT_2 "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
#define ROOT_4 "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"

static void test_inclusion_vectors(void **state)
{
    static const struct {
        uint64_t index, size;
        size_t len;
        const char *path[3];
    } cases[] = {
        {0, 1, 0, {NULL}},
        {0, 8, 3, {NODE_96, NODE_5F, NODE_6B}},
        {5, 8, 3, {NODE_BC, NODE_CA, ROOT_4}},
        {2, 3, 1, {ROOT_2}},
        {1, 5, 3, {ROOT_1, NODE_5F, NODE_BC}},
    };
    const struct store *store = reference();
    struct merkle_hash path[MERKLE_MAX_PATH];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(inclusion(store, cases[i].index, cases[i].size, path), cases[i].len);
        for (size_t k = 0; k < cases[i].len; k++)
            assert_hex(&path[k], cases[i].path[k]);
    }
}

static void test_consistency_vectors(void **state)
{
    static const struct {
        uint64_t first, second;
        size_t len;
        const char *path[3];
    } cases[] = {
        {1, 1, 0, {NULL}},
        {1, 8, 3, {NODE_96, NODE_5F, NODE_6B}},
        {6, 8, 3, {NODE_0E, NODE_CA, ROOT_4}},
        {2, 5, 2, {NODE_5F, NODE_BC}},
    };
    const struct store *store = reference();
    struct merkle_hash path[MERKLE_MAX_PATH];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(consistency(store, cases[i].first, cases[i].second, path), cases[i].len);
        for (size_t k = 0; k < cases[i].len; k++)
            assert_hex(&path[k], cases[i].path[k]);
    }
}

/* The digest comes from this, with leaf i being str(i):
 *
 *   def mth(D): return H(b"\0" + D[0]) if len(D) == 1 else H(b"\1" + mth(D[:k(D)]) + mth(D[k(D):]))
 *   for n in 1..70: mth(D[:n]); PATH(m, D[:n]) for m in 0..n-1; PROOF(m, D[:n]) for m in 1..n
 *
 * with PATH and PROOF by the recursive definitions of RFC 6962 s2.1.1 and s2.1.2. */
static void test_every_proof_is_that_of_brute_force(void **state)
{
    const struct store *store = filled();
    struct merkle_hash path[MERKLE_MAX_PATH], digest;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();

    (void)state;
    assert_int_equal(EVP_DigestInit_ex(hash, EVP_sha256(), NULL), 1);
    for (uint64_t size = 1; size <= SIZE; size++) {
        EVP_DigestUpdate(hash, store->root[size].bytes, MERKLE_HASH_SIZE);
        for (uint64_t m = 0; m < size; m++) {
            size_t len = inclusion(store, m, size, path);
            EVP_DigestUpdate(hash, path, len * MERKLE_HASH_SIZE);
        }
        for (uint64_t m = 1; m <= size; m++) {
            size_t len = consistency(store, m, size, path);
            EVP_DigestUpdate(hash, path, len * MERKLE_HASH_SIZE);
        }
    }
    assert_int_equal(EVP_DigestFinal_ex(hash, digest.bytes, NULL), 1);
    EVP_MD_CTX_free(hash);
    assert_hex(&digest, "1b6db8ed9e506bf73ccf9a94231d17913b83d0e67409dcae24aa9812bd3b49c6");
}

/* ---- checking ---- */

static void test_every_inclusion_holds_and_only_there(void **state)
{
    const struct store *store = filled();
    struct merkle_hash path[MERKLE_MAX_PATH];

    (void)state;
    for (uint64_t size = 1; size <= SIZE; size++) {
        for (uint64_t m = 0; m < size; m++) {
            size_t len = inclusion(store, m, size, path);
            const struct merkle_hash *leaf = &store->node[0][m], *root = &store->root[size];

            assert_true(merkle_inclusion_check(leaf, m, size, path, len, root));
            assert_false(merkle_inclusion_check(leaf, size, size, path, len, root));
            for (uint64_t other = 0; other < size; other++)
                if (other != m)
                    assert_false(merkle_inclusion_check(leaf, other, size, path, len, root));
            assert_false(merkle_inclusion_check(leaf, m, size, path, len, &store->root[size - 1]));
            if (size > 1) {
                const struct merkle_hash *wrong = &store->node[0][(m + 1) % size];
                assert_false(merkle_inclusion_check(wrong, m, size, path, len, root));
                assert_false(merkle_inclusion_check(leaf, m, size, path, len - 1, root));
            }
            path[len] = *root;
            assert_false(merkle_inclusion_check(leaf, m, size, path, len + 1, root));
            for (size_t i = 0; i < len; i++) {
                path[i].bytes[i % MERKLE_HASH_SIZE] ^= 1;
                assert_false(merkle_inclusion_check(leaf, m, size, path, len, root));
                path[i].bytes[i % MERKLE_HASH_SIZE] ^= 1;
            }
        }
    }
}

static void test_every_consistency_holds_and_only_there(void **state)
{
    const struct store *store = filled();
    struct merkle_hash path[MERKLE_MAX_PATH];

    (void)state;
    for (uint64_t second = 1; second <= SIZE; second++) {
        for (uint64_t first = 1; first <= second; first++) {
            size_t len = consistency(store, first, second, path);
            const struct merkle_hash *a = &store->root[first], *b = &store->root[second];

            assert_true(merkle_consistency_check(first, a, second, b, path, len));
            assert_false(merkle_consistency_check(0, a, second, b, path, len));
            assert_false(merkle_consistency_check(second + 1, a, second, b, path, len));
            assert_false(merkle_consistency_check(first, b, second, &store->root[0], path, len));
            if (first < second) {
                assert_false(merkle_consistency_check(first, b, second, b, path, len));
                assert_false(merkle_consistency_check(first, a, second, a, path, len));
                assert_false(merkle_consistency_check(first, a, second, b, path, len - 1));
                assert_false(merkle_consistency_check(first, a, second, b, path, 0));
            }
            path[len] = *b;
            assert_false(merkle_consistency_check(first, a, second, b, path, len + 1));
            for (size_t i = 0; i < len; i++) {
                path[i].bytes[i % MERKLE_HASH_SIZE] ^= 0x80;
                assert_false(merkle_consistency_check(first, a, second, b, path, len));
                path[i].bytes[i % MERKLE_HASH_SIZE] ^= 0x80;
            }
        }
    }
}

/* ---- bounds ---- */

static void test_plans_refuse_what_is_out_of_range(void **state)
{
    struct merkle_range ranges[MERKLE_MAX_PATH];

    (void)state;
    assert_int_equal(merkle_inclusion_plan(0, 0, ranges), 0);
    assert_int_equal(merkle_inclusion_plan(5, 5, ranges), 0);
    assert_int_equal(merkle_inclusion_plan(0, MERKLE_MAX_SIZE + 1, ranges), 0);
    assert_int_equal(merkle_inclusion_plan(0, UINT64_MAX, ranges), 0);
    assert_int_equal(merkle_consistency_plan(0, 5, ranges), 0);
    assert_int_equal(merkle_consistency_plan(6, 5, ranges), 0);
    assert_int_equal(merkle_consistency_plan(5, MERKLE_MAX_SIZE + 1, ranges), 0);
}

/* The largest tree: a path of one hash for each level, each of at most one subtree a level. */
static void test_the_largest_tree_stays_within_bounds(void **state)
{
    static const uint64_t at[] = {0, 1, MERKLE_MAX_SIZE / 2, MERKLE_MAX_SIZE - 2,
                                  MERKLE_MAX_SIZE - 1};
    struct merkle_range ranges[MERKLE_MAX_PATH];
    struct merkle_place places[MERKLE_LEVELS];

    (void)state;
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        size_t inclusion_len = merkle_inclusion_plan(at[i], MERKLE_MAX_SIZE, ranges);
        uint64_t covered = 1; /* with the leaf itself, a path covers every leaf */

        assert_in_range(inclusion_len, 1, MERKLE_LEVELS);
        for (size_t k = 0; k < inclusion_len; k++) {
            assert_in_range(merkle_range_places(&ranges[k], places), 1, MERKLE_LEVELS);
            covered += ranges[k].end - ranges[k].first;
        }
        assert_int_equal(covered, MERKLE_MAX_SIZE);
        assert_in_range(merkle_consistency_plan(at[i] + 1, MERKLE_MAX_SIZE, ranges), 0,
                        MERKLE_MAX_PATH);
    }
}

static void test_a_full_tree_takes_no_leaf(void **state)
{
    struct merkle_tree tree = {.size = MERKLE_MAX_SIZE};
    struct merkle_hash leaf = {{0}}, completed[MERKLE_LEVELS];

    (void)state;
    assert_int_equal(merkle_append(&tree, &leaf, completed), 0);
    assert_int_equal(tree.size, MERKLE_MAX_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_inclusion_vectors),
        cmocka_unit_test(test_consistency_vectors),
        cmocka_unit_test(test_every_proof_is_that_of_brute_force),
        cmocka_unit_test(test_every_inclusion_holds_and_only_there),
        cmocka_unit_test(test_every_consistency_holds_and_only_there),
        cmocka_unit_test(test_plans_refuse_what_is_out_of_range),
        cmocka_unit_test(test_the_largest_tree_stays_within_bounds),
        cmocka_unit_test(test_a_full_tree_takes_no_leaf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
