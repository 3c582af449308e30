/* A list in a state directory, as if it had been fetched, for tests of what comes after. */
#ifndef TESTS_UNIT_HELD_LIST_H
#define TESTS_UNIT_HELD_LIST_H

#include "client/list_store.h"
#include "client/sha256.h"
#include "common/signed_list.h"

#include "tests/unit/pki.h"

/* `key` signs; nobody looks at it again. */
static inline void hold_list(const char *dir, EVP_PKEY *key, const struct cps_entry *entries,
                             size_t count, int64_t sequence, int64_t exp)
{
    struct list_store *store = NULL;
    struct list_state state = {0};
    char *jws = NULL, sha256[65];
    size_t len = 0;
    assert_int_equal(signed_list_build(entries, count, sequence, exp, "https://a.example/c", key,
                                       &jws, &len, NULL),
                     STICPS_OK);
    assert_int_equal(sha256_hex(jws, len, sha256, NULL), STICPS_OK);
    const struct list_accepted accepted = {.jws = jws,
                                           .jws_len = len,
                                           .sha256 = sha256,
                                           .sequence = sequence,
                                           .exp = exp,
                                           .source = "https://a.example/l",
                                           .etag = "",
                                           .x5u = "https://a.example/c",
                                           .chain = ""};
    assert_int_equal(list_store_new(dir, STICPS_LIST_CPS, &store, NULL), STICPS_OK);
    assert_int_equal(list_store_lock(store, NULL), STICPS_OK);
    assert_int_equal(list_state_take(&state, &accepted, NULL), STICPS_OK);
    assert_int_equal(list_store_write(store, &state, NULL), STICPS_OK);
    list_store_unlock(store);
    list_store_free(store);
    list_state_clear(&state);
    free(jws);
}

#endif
