#include "server/registry/transparency_routes.h"

#include "common/json_write.h"
#include "common/merkle.h"
#include "server/http/log.h"
#include "server/registry/api.h"
#include "server/registry/daemon.h"
#include "server/registry/list_routes.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOR_EVER "max-age=31536000, immutable"
#define BASE64_SIZE 45 /* of a hash, with its NUL */

/* ---- what was asked ---- */

/* Goes on with `then` for the list that the request names. */
static void for_list(struct request *request, void (*then)(struct request *, enum list_kind))
{
    bool replied = false;
    const char *name = request_query(request, "list", &replied);

    if (replied)
        return;
    if (name == NULL)
        name = list_kind_name(LIST_CPS);
    for (enum list_kind kind = 0; kind < LIST_KINDS; kind++) {
        if (strcmp(name, list_kind_name(kind)) == 0) {
            list_when_allowed(request, then, kind);
            return;
        }
    }
    reply_problem(request, &PROBLEM_INVALID, "list must be cps-list or ca-list");
}

/* A tree's size or a sequence, which must be there. False after it has replied 422. */
static bool read_number(struct request *request, const char *name, int64_t *out)
{
    if (!request_query_int(request, name, 1, (int64_t)MERKLE_MAX_SIZE, 0, out))
        return false;
    if (*out != 0)
        return true;
    reply_problem(request, &PROBLEM_INVALID, "%s must be given", name);
    return false;
}

/* ---- the head ---- */

static void on_head(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);
    const bool *newest = pending_data(pending);

    if (request != NULL && result->status == DB_OK && PQntuples(result->rows) == 0) {
        reply_problem(request, &PROBLEM_NOT_FOUND, "there is no tree of that size");
    } else if (request != NULL && api_result_ok(request, result)) {
        const char *body = db_text(result->rows, 0, 0);

        list_cache_for(request, *newest ? "max-age=10" : FOR_EVER);
        reply_json_text(request, 200, body, strlen(body));
    }
    pending_done(pending);
}

static void serve_head(struct request *request, enum list_kind kind)
{
    static const char *const names[] = {"list", "treeSize", NULL};
    static const struct db_statement statement = {
        "transparency_head", "SELECT body FROM tree_head_get($1, $2::bigint)", 2};
    char size_text[24];
    int64_t size;

    if (!request_query_only(request, names) ||
        !request_query_int(request, "treeSize", 1, (int64_t)MERKLE_MAX_SIZE, 0, &size))
        return;
    bool *newest = malloc(sizeof(*newest));
    if (newest == NULL)
        abort();
    *newest = size == 0;
    snprintf(size_text, sizeof(size_text), "%" PRId64, size);
    const char *params[] = {list_kind_name(kind), size != 0 ? size_text : NULL};
    db_query(node_of(request)->pool, &statement, params, 0, on_head,
             pending_new(request, 0, newest, free));
}

void transparency_head(struct request *request)
{
    for_list(request, serve_head);
}

/* ---- proofs ---- */

/* A proof on its way: the roots are read first, then the subtrees that the proof is made of. */
struct proof {
    bool inclusion;
    const char *kind;
    int64_t sequence;       /* inclusion only */
    uint64_t first, second; /* tree sizes; of an inclusion the leaf's index and the tree's size */
    struct merkle_hash first_hash, second_hash; /* of an inclusion the leaf's and the root */
    struct merkle_range ranges[MERKLE_MAX_PATH];
    size_t len;
    struct merkle_hash path[MERKLE_MAX_PATH];
};

static bool read_hash(const char *hex, struct merkle_hash *out)
{
    size_t len = 0;

    return OPENSSL_hexstr2buf_ex(out->bytes, sizeof(out->bytes), &len, hex, '\0') == 1 &&
           len == sizeof(out->bytes);
}

static json_t *base64_json(const struct merkle_hash *hash)
{
    unsigned char text[BASE64_SIZE];

    EVP_EncodeBlock(text, hash->bytes, sizeof(hash->bytes));
    return json_string((const char *)text);
}

static json_t *path_json(const struct proof *proof)
{
    json_t *path = json_array();

    for (size_t i = 0; i < proof->len; i++)
        json_array_append_new(path, base64_json(&proof->path[i]));
    return path;
}

static json_t *proof_json(const struct proof *proof)
{
    if (proof->inclusion)
        return json_pack("{s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o}", "status", "success", "list",
                         proof->kind, "sequence", (json_int_t)proof->sequence, "leafIndex",
                         (json_int_t)proof->first, "treeSize", (json_int_t)proof->second,
                         "leafHash", base64_json(&proof->first_hash), "rootHash",
                         base64_json(&proof->second_hash), "inclusionPath", path_json(proof));
    return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o}", "status", "success", "list",
                     proof->kind, "first", (json_int_t)proof->first, "second",
                     (json_int_t)proof->second, "firstHash", base64_json(&proof->first_hash),
                     "secondHash", base64_json(&proof->second_hash), "consistencyPath",
                     path_json(proof));
}

static bool proof_holds(const struct proof *proof)
{
    if (proof->inclusion)
        return merkle_inclusion_check(&proof->first_hash, proof->first, proof->second, proof->path,
                                      proof->len, &proof->second_hash);
    return merkle_consistency_check(proof->first, &proof->first_hash, proof->second,
                                    &proof->second_hash, proof->path, proof->len);
}

/* The rows are the hashes of the places, in their order; "" where one is missing. */
static bool fold_path(struct proof *proof, const PGresult *rows)
{
    struct merkle_place places[MERKLE_LEVELS];
    struct merkle_hash hashes[MERKLE_LEVELS];
    int row = 0;

    if (proof->inclusion && !read_hash(db_text(rows, row++, 0), &proof->first_hash))
        return false;
    for (size_t i = 0; i < proof->len; i++) {
        size_t len = merkle_range_places(&proof->ranges[i], places);

        for (size_t k = 0; k < len; k++)
            if (!read_hash(db_text(rows, row++, 0), &hashes[k]))
                return false;
        if (!merkle_range_hash(hashes, len, &proof->path[i]))
            return false;
    }
    return true;
}

/* A proof is checked before it leaves: damaged nodes must not look like a forged history. */
static void on_nodes(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);
    struct proof *proof = pending_data(pending);

    if (request != NULL && api_query_ok(request, result)) {
        if (fold_path(proof, result->rows) && proof_holds(proof)) {
            list_cache_for(request, FOR_EVER);
            reply_json(request, 200, proof_json(proof));
        } else {
            log_error("the stored tree of %s does not hold: run sticps-registryd audit verify",
                      proof->kind);
            reply_problem(request, &PROBLEM_INTERNAL, "the request could not be completed");
        }
    }
    pending_done(pending);
}

static void write_place(const struct merkle_place *place, struct json_write *levels,
                        struct json_write *indexes)
{
    const char *separator = levels->len == 0 ? "{" : ",";

    json_write_raw(levels, separator, 1);
    json_write_integer(levels, place->level);
    json_write_raw(indexes, separator, 1);
    json_write_integer(indexes, (int64_t)place->index);
}

/* Asks for every subtree of the proof; of an inclusion also for the leaf. */
static void ask_nodes(struct request *request, struct proof *proof, struct pending *pending)
{
    static const struct db_statement statement = {
        "transparency_nodes", "SELECT hash FROM tree_nodes_get($1, $2::integer[], $3::bigint[])",
        3};
    struct merkle_place places[MERKLE_LEVELS];
    struct json_write levels, indexes;
    struct sticps_error err;

    json_write_init(&levels, 256);
    json_write_init(&indexes, 1024);
    if (proof->inclusion)
        write_place(&(struct merkle_place){0, proof->first}, &levels, &indexes);
    for (size_t i = 0; i < proof->len; i++) {
        size_t len = merkle_range_places(&proof->ranges[i], places);

        for (size_t k = 0; k < len; k++)
            write_place(&places[k], &levels, &indexes);
    }
    if (levels.len == 0) { /* two trees of one size */
        json_write_literal(&levels, "{");
        json_write_literal(&indexes, "{");
    }
    json_write_raw(&levels, "}", 2); /* with its NUL */
    json_write_raw(&indexes, "}", 2);
    if (json_write_check(&levels, &err) != STICPS_OK ||
        json_write_check(&indexes, &err) != STICPS_OK)
        abort();
    const char *params[] = {proof->kind, levels.data, indexes.data};
    db_query(node_of(request)->pool, &statement, params, 0, on_nodes, pending);
    json_write_clear(&levels);
    json_write_clear(&indexes);
}

/* ---- inclusion ---- */

static void on_leaf(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);
    struct proof *proof = pending_data(pending);

    if (request == NULL || !api_result_ok(request, result)) {
        pending_done(pending);
        return;
    }
    int64_t size = db_int(result->rows, 0, 0);
    if (size == 0 || !read_hash(db_text(result->rows, 0, 1), &proof->second_hash)) {
        reply_problem(request, &PROBLEM_NOT_FOUND,
                      size == 0 ? "there is no publication of that number"
                                : "there is no tree of that size");
        pending_done(pending);
    } else if ((uint64_t)size > proof->second) {
        reply_problem(request, &PROBLEM_INVALID, "the tree of that treeSize ends before the list");
        pending_done(pending);
    } else {
        proof->first = (uint64_t)size - 1;
        proof->len = merkle_inclusion_plan(proof->first, proof->second, proof->ranges);
        ask_nodes(request, proof, pending);
    }
}

static struct proof *proof_new(bool inclusion, enum list_kind kind)
{
    struct proof *proof = calloc(1, sizeof(*proof));

    if (proof == NULL)
        abort();
    proof->inclusion = inclusion;
    proof->kind = list_kind_name(kind);
    return proof;
}

static void serve_inclusion(struct request *request, enum list_kind kind)
{
    static const char *const names[] = {"list", "sequence", "treeSize", NULL};
    static const struct db_statement statement = {
        "transparency_leaf", "SELECT tree_size_of($1, $2::bigint), tree_root($1, $3::bigint)", 3};
    char texts[2][24];
    int64_t sequence, size;

    if (!request_query_only(request, names) || !read_number(request, "sequence", &sequence) ||
        !read_number(request, "treeSize", &size))
        return;
    struct proof *proof = proof_new(true, kind);
    proof->sequence = sequence;
    proof->second = (uint64_t)size;
    snprintf(texts[0], sizeof(texts[0]), "%" PRId64, sequence);
    snprintf(texts[1], sizeof(texts[1]), "%" PRId64, size);
    const char *params[] = {list_kind_name(kind), texts[0], texts[1]};
    db_query(node_of(request)->pool, &statement, params, 0, on_leaf,
             pending_new(request, 0, proof, free));
}

void transparency_inclusion(struct request *request)
{
    for_list(request, serve_inclusion);
}

/* ---- consistency ---- */

static void on_roots(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);
    struct proof *proof = pending_data(pending);

    if (request == NULL || !api_result_ok(request, result)) {
        pending_done(pending);
    } else if (!read_hash(db_text(result->rows, 0, 0), &proof->first_hash) ||
               !read_hash(db_text(result->rows, 0, 1), &proof->second_hash)) {
        reply_problem(request, &PROBLEM_NOT_FOUND, "there is no tree of that size");
        pending_done(pending);
    } else {
        proof->len = merkle_consistency_plan(proof->first, proof->second, proof->ranges);
        ask_nodes(request, proof, pending);
    }
}

static void serve_consistency(struct request *request, enum list_kind kind)
{
    static const char *const names[] = {"list", "first", "second", NULL};
    static const struct db_statement statement = {
        "transparency_roots", "SELECT tree_root($1, $2::bigint), tree_root($1, $3::bigint)", 3};
    char texts[2][24];
    int64_t first, second;

    if (!request_query_only(request, names) || !read_number(request, "first", &first) ||
        !read_number(request, "second", &second))
        return;
    if (first > second) {
        reply_problem(request, &PROBLEM_INVALID, "first must not be above second");
        return;
    }
    struct proof *proof = proof_new(false, kind);
    proof->first = (uint64_t)first;
    proof->second = (uint64_t)second;
    snprintf(texts[0], sizeof(texts[0]), "%" PRId64, first);
    snprintf(texts[1], sizeof(texts[1]), "%" PRId64, second);
    const char *params[] = {list_kind_name(kind), texts[0], texts[1]};
    db_query(node_of(request)->pool, &statement, params, 0, on_roots,
             pending_new(request, 0, proof, free));
}

void transparency_consistency(struct request *request)
{
    for_list(request, serve_consistency);
}
