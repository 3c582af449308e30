/* Who has which codes and thousands in the workload of tests/bench/npdb, whose model
 * npdb_workload.c describes. Called by it, once. */
#ifndef BENCH_NPDB_PLAN_H
#define BENCH_NPDB_PLAN_H

#include "tests/bench/random.h"

#include <stdint.h>

#define RIVALS 48u /* carriers in an area */
#define AREA_SLOTS 8000u
#define MAX_AREAS 400u
#define UNASSIGNED 0xffu

struct area {
    unsigned npa;
    uint32_t carrier[RIVALS];
    double weight[RIVALS];           /* they add up to 1 */
    unsigned char owner[AREA_SLOTS]; /* of each thousand: one of the RIVALS, or UNASSIGNED */
    unsigned char code_owner[800];   /* of each NXX */
    unsigned char code_pooled[800];
};

struct plan {
    unsigned areas, codes, thousands; /* thousands that somebody has */
};

/* Of the plan that was drawn. The LRN of carrier c in area a is lrn_text[a * RIVALS + c]: a comma,
 * ten digits and a line break. */
extern struct area areas[MAX_AREAS];
extern char lrn_text[MAX_AREAS * RIVALS][12];

/* So many codes. Ends the program when there are not so many. */
struct plan plan_draw(unsigned codes, uint64_t seed);

/* Writes it as DIR/blocks.csv. */
void plan_write(const struct plan *plan, const char *dir);

/* One of `len` by weight; those with weight 0 never. `left` is the sum of the weights. */
unsigned pick(struct random *random, const double *weight, unsigned len, double left);

#endif
