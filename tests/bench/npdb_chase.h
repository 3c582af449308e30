/* How long one DRAM miss takes where the portability file lies: a walk through a file of the same
 * size, beside it and mapped as it is, so in pages of the same kind. Each cache line says where the
 * next one is, in one random cycle through all of them. Called by npdb_measure; a failure ends the
 * program. */
#ifndef BENCH_NPDB_CHASE_H
#define BENCH_NPDB_CHASE_H

#include <stddef.h>
#include <stdint.h>

struct chase {
    const unsigned char *memory;
    size_t size;
    uint64_t at;
};

/* The file lies in `dir`, under no name. */
struct chase chase_new(const char *dir, size_t size);
void chase_free(struct chase *chase);

/* Walks on; nanoseconds of the thread's CPU time for a step. */
double chase_walk(struct chase *chase, size_t steps);

/* CPU time of this thread: what others do with the processor meanwhile does not count. */
double cpu_ns(void);

#endif
