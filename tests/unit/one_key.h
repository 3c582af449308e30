/* One P-256 key for all tests of a program. Included once. */
#ifndef TESTS_UNIT_ONE_KEY_H
#define TESTS_UNIT_ONE_KEY_H

#include "tests/unit/pki.h"

static EVP_PKEY *key;

static inline int make_key(void **state)
{
    (void)state;
    key = pki_p256();
    return 0;
}

static inline int free_key(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    return 0;
}

#endif
