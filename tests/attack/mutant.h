/* Included by the sources that tests/attack/mutate writes: which mutant the environment brings to
 * life. */
#ifndef TESTS_ATTACK_MUTANT_H
#define TESTS_ATTACK_MUTANT_H

#include <stdbool.h>
#include <stdlib.h>

static inline int sticps_mutant(void)
{
    static int living = -2; /* the same for every thread that asks first */
    if (living == -2) {
        const char *number = getenv("STICPS_MUTANT");
        living = number != NULL ? atoi(number) : -1;
    }
    return living;
}

/* The check is made, unless the mutant without it is the one that lives. */
#define STICPS_LIVES(number) (sticps_mutant() != (number))
/* 0 for the first of several that share a place. */
#define STICPS_MUTANT_INDEX(first) (sticps_mutant() - (first))

#endif
