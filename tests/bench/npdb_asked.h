/* The numbers that tests/bench/npdb asks for: drawn evenly from all numbers that somebody has,
 * ported or not, in random order. Which they are is read from the blocks CSV of the workload. */
#ifndef BENCH_NPDB_ASKED_H
#define BENCH_NPDB_ASKED_H

#include <stddef.h>
#include <stdint.h>

struct asked {
    uint32_t *thousands; /* the first seven digits of each thousand that somebody has, rising */
    size_t thousands_len;
    uint64_t *numbers; /* E.164, country code first, as integers */
    size_t len;
};

/* Ends the program when the CSV cannot be read or says something other than NPA-NXX[-X],SPC. */
struct asked asked_new(const char *blocks_csv, size_t len, uint64_t seed);
void asked_free(struct asked *asked);

#endif
