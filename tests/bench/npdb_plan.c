#include "tests/bench/npdb_plan.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CARRIERS 6000u
#define BY_SHARE 36u    /* of an area's rivals, drawn by their national share */
#define AREA_CODES 475u /* in a full area */

static const double tail = 1.1;        /* the n-th carrier's share is n^-tail */
static const double pooled = 0.6;      /* of the codes */
static const double given_back = 0.05; /* of a pooled code's thousands: nobody has them */
static const double given_on = 0.45;   /* ... somebody drawn anew has them */

struct area areas[MAX_AREAS];
char lrn_text[MAX_AREAS * RIVALS][12];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Four characters, the last of 36: different for different carriers. */
static void carrier_name(uint32_t carrier, char out[5])
{
    uint32_t place = carrier * 7919 % 36000; /* 7,919 and 36,000 have no divisor in common */
    snprintf(out, 5, "%03u%c", place / 36, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[place % 36]);
}

/* Not N11, not N9X, not 37X or 96X, not toll-free or another special use (NANPA's rules). */
static int npa_assignable(unsigned npa)
{
    unsigned first = npa / 100, second = npa / 10 % 10, third = npa % 10;
    if (second == 9 || npa / 10 == 37 || npa / 10 == 96)
        return 0;
    if (second == third && (second == 1 || first == 5 || first == 8))
        return 0;
    return npa != 500 && npa != 700 && npa != 800 && npa != 900;
}

unsigned pick(struct random *random, const double *weight, unsigned len, double left)
{
    double at = random_unit(random) * left;
    unsigned last = 0;
    for (unsigned i = 0; i < len; i++) {
        if (weight[i] <= 0)
            continue;
        last = i;
        at -= weight[i];
        if (at < 0)
            break;
    }
    return last;
}

/* Who competes in the area, and how well: the national share, bent by local luck. */
static void area_draw_rivals(struct area *area, struct random *random)
{
    static double national[CARRIERS];
    double left = 0, sum = 0;
    for (uint32_t i = 0; i < CARRIERS; i++)
        left += national[i] = pow(i + 1, -tail);
    for (unsigned i = 0; i < RIVALS; i++) {
        uint32_t carrier;
        if (i < BY_SHARE)
            carrier = pick(random, national, CARRIERS, left);
        else
            while (national[carrier = random_below(random, CARRIERS)] <= 0) {
            }
        area->carrier[i] = carrier;
        left -= national[carrier];
        national[carrier] = 0; /* each once */
        double luck = random_unit(random) + random_unit(random) + random_unit(random) - 1.5;
        sum += area->weight[i] = fmax(pow(carrier + 1, -tail), 1e-3) * exp2(2 * luck);
    }
    for (unsigned i = 0; i < RIVALS; i++)
        area->weight[i] /= sum;
}

/* Who has the code's thousands. */
static void code_draw(struct area *area, struct random *random, unsigned nxx, unsigned owner,
                      struct plan *plan)
{
    unsigned char *thousands = &area->owner[(nxx - 200) * 10];
    area->code_owner[nxx - 200] = (unsigned char)owner;
    area->code_pooled[nxx - 200] = random_unit(random) < pooled;
    plan->codes++;
    for (unsigned i = 0; i < 10; i++) {
        double luck = random_unit(random);
        thousands[i] = (unsigned char)owner;
        if (area->code_pooled[nxx - 200] && luck < given_back)
            thousands[i] = UNASSIGNED;
        else if (area->code_pooled[nxx - 200] && luck < given_back + given_on)
            thousands[i] = (unsigned char)pick(random, area->weight, RIVALS, 1);
        plan->thousands += thousands[i] != UNASSIGNED;
    }
}

/* The area's codes, at random places. The first ones go round, so that everybody has one for its
 * LRN. */
static void area_draw_codes(struct area *area, struct random *random, unsigned index,
                            unsigned codes, struct plan *plan)
{
    memset(area->owner, UNASSIGNED, sizeof(area->owner));
    memset(area->code_owner, UNASSIGNED, sizeof(area->code_owner));
    for (unsigned i = 0; i < codes;) {
        unsigned nxx = 200 + random_below(random, 800);
        if (nxx % 100 == 11 || area->code_owner[nxx - 200] != UNASSIGNED)
            continue;
        unsigned owner = i < RIVALS ? i : pick(random, area->weight, RIVALS, 1);
        code_draw(area, random, nxx, owner, plan);
        if (i < RIVALS) {
            char text[sizeof(lrn_text[0]) + 1];
            snprintf(text, sizeof(text), ",%03u%03u%04u\n", area->npa, nxx,
                     random_below(random, 10000));
            memcpy(lrn_text[index * RIVALS + i], text, sizeof(lrn_text[0]));
        }
        i++;
    }
}

struct plan plan_draw(unsigned codes, uint64_t seed)
{
    struct plan plan = {.areas = (codes + AREA_CODES - 1) / AREA_CODES};
    struct random random = random_stream(seed, 2);
    unsigned npas[800], npas_len = 0, len = plan.areas;
    for (unsigned npa = 200; npa < 1000; npa++)
        if (npa_assignable(npa))
            npas[npas_len++] = npa;
    if (len > MAX_AREAS || len > npas_len) {
        fprintf(stderr, "npdb_workload: there are too few areas for so many numbers\n");
        exit(1);
    }
    for (unsigned i = 0; i < len; i++) {
        unsigned j = i + random_below(&random, npas_len - i);
        areas[i].npa = npas[j];
        npas[j] = npas[i];
        area_draw_rivals(&areas[i], &random);
        area_draw_codes(&areas[i], &random, i, codes / len + (i < codes % len), &plan);
    }
    return plan;
}

void plan_write(const struct plan *plan, const char *dir)
{
    char path[PATH_MAX], spc[5];
    snprintf(path, sizeof(path), "%s/blocks.csv", dir);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        die(path);
    for (unsigned i = 0; i < plan->areas; i++) {
        const struct area *area = &areas[i];
        for (unsigned code = 0; code < 800; code++) {
            if (area->code_owner[code] == UNASSIGNED)
                continue;
            carrier_name(area->carrier[area->code_owner[code]], spc);
            fprintf(file, "%03u%03u,%s\n", area->npa, code + 200, spc);
            for (unsigned x = 0; x < 10; x++) {
                unsigned owner = area->owner[code * 10 + x];
                if (owner == area->code_owner[code])
                    continue;
                if (owner != UNASSIGNED)
                    carrier_name(area->carrier[owner], spc);
                fprintf(file, "%03u%03u%u,%s\n", area->npa, code + 200, x,
                        owner != UNASSIGNED ? spc : "-");
            }
        }
    }
    if (ferror(file) || fclose(file) != 0)
        die(path);
}
