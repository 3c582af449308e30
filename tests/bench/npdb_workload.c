/* Makes what a portability file is built from, of the nature that the North American data has, for
 * tests/bench/npdb:
 *
 *     npdb_workload PORTS SEED DIR
 *
 * writes DIR/blocks.csv and DIR/ports.csv (unsorted) of about PORTED ported numbers, the same for
 * the same seed, and prints one JSON object with what was drawn. Memory is bounded (about 150 MB).
 *
 * The model. Areas (NPAs) have about 475 codes (NPA-NXX) each. In an area some 48 carriers compete,
 * most of them drawn by a national share with a heavy tail, some at random; a code belongs to one
 * of them. Three codes in five are pooled: each of their thousands may have gone to another
 * carrier, or to nobody. In a thousand, a share of the numbers is ported, to some of the area's
 * carriers, of which the first has most: from the start of a ten in runs of whole tens (a business
 * takes its numbers along), and singly. Some singles are ported to the carrier that has the
 * thousand anyhow. A carrier has one LRN in each area, in a code of its own.
 *
 * The *description* is the number of bits that the draws are worth: the sum of the binary
 * logarithms of one over their probabilities, over everything that decides who has which number,
 * given who has which thousand. No file that holds these numbers can be expected to be smaller, so
 * it is the floor for the blocks of one. */
#include "tests/bench/npdb_plan.h"
#include "tests/bench/npdb_shuffle.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PORTED_PER_CODE 3860.0 /* on average, by the shares below */

static const double untouched = 0.08;       /* thousands without ported numbers */
static const double little_ported = 0.2;    /* up to here: thousands with few */
static const double business = 0.25;        /* thousands whose ported numbers come in runs mostly */
static const double own_carrier = 1.0 / 32; /* singles ported to the thousand's own carrier */

static const double favour = 1.6; /* of a thousand's winners the n-th wins n^-favour */

/* Runs of tens: how many tens, each as likely as another. */
static const unsigned run_tens[8] = {1, 1, 1, 2, 2, 5, 8, 15};
static const double mean_tens = 35.0 / 8;

/* How many carriers win numbers in a thousand, each as likely as another. */
#define CASTS 16u
static const unsigned cast_size[CASTS] = {2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 17, 22, 32};
#define CAST_CELLS 1024u
static unsigned char cast_cell[CASTS][CAST_CELLS]; /* a random cell names who wins a number */
static double cast_bits[CASTS][RIVALS];            /* what that draw is worth */

struct drawn {
    uint64_t touched, ported, in_runs;
    double thousand_bits, number_bits;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- the numbers of a thousand ---- */

static double bits_of(double probability)
{
    return -log2(probability);
}

/* `count` draws that were hit `hits` times. */
static double bits_of_draws(double probability, unsigned count, unsigned hits)
{
    return (hits > 0 ? hits * bits_of(probability) : 0) +
           (count > hits ? (count - hits) * bits_of(1 - probability) : 0);
}

static void casts_init(void)
{
    for (unsigned cast = 0; cast < CASTS; cast++) {
        double sum = 0;
        for (unsigned i = 0; i < cast_size[cast]; i++)
            sum += pow(i + 1, -favour);
        unsigned at = CAST_CELLS;
        for (unsigned i = cast_size[cast]; i-- > 0;) { /* the first gets what is left */
            unsigned cells = (unsigned)(CAST_CELLS * pow(i + 1, -favour) / sum) + 1;
            if (i == 0)
                cells = at;
            at -= cells;
            memset(&cast_cell[cast][at], (int)i, cells);
            cast_bits[cast][i] = bits_of((double)cells / CAST_CELLS);
        }
    }
}

struct thousand {
    uint64_t first; /* number */
    uint32_t lrns;  /* index of the area's first */
    unsigned owner;
    unsigned cast;
    unsigned winner[RIVALS];
    unsigned run, single; /* probabilities, times 65,536 */
};

/* Who wins numbers here: some of the area's carriers, one after the other by weight. */
static void draw_cast(struct thousand *t, const struct area *area, struct random *random,
                      struct drawn *drawn)
{
    double weight[RIVALS];
    memcpy(weight, area->weight, sizeof(weight));
    double left = 1 - weight[t->owner];
    weight[t->owner] = 0;
    t->cast = random_below(random, CASTS);
    drawn->thousand_bits += bits_of(1.0 / CASTS);
    for (unsigned i = 0; i < cast_size[t->cast]; i++) {
        unsigned winner = pick(random, weight, RIVALS, left);
        drawn->thousand_bits += bits_of(weight[winner] / left);
        left -= weight[winner];
        weight[winner] = 0;
        t->winner[i] = winner;
    }
}

/* How much of it is ported, in what manner; false: nothing. */
static int draw_shares(struct thousand *t, struct random *random, struct drawn *drawn)
{
    double luck = random_unit(random), share;
    if (luck < untouched) {
        drawn->thousand_bits += bits_of(untouched);
        return 0;
    }
    double step = (random_below(random, 64) + 0.5) / 64;
    if (luck < little_ported) {
        share = 0.03 * step;
        drawn->thousand_bits += bits_of(little_ported - untouched) + 6;
    } else {
        share = 0.02 + 0.95 * step;
        drawn->thousand_bits += bits_of(1 - little_ported) + 6;
    }
    int in_runs = random_unit(random) < business;
    drawn->thousand_bits += bits_of(in_runs ? business : 1 - business);
    double by_runs = share * (in_runs ? 0.75 : 0.125);
    t->run = (unsigned)(65536 * by_runs / (by_runs + mean_tens * (1 - by_runs))) + 1;
    t->single = (unsigned)(65536 * (share - by_runs) / (1 - by_runs)) + 1;
    return 1;
}

/* How often what was drawn, for its description. */
struct tally {
    unsigned starts, runs;   /* tens where a run may start; runs */
    unsigned asked, singles; /* numbers that may be ported singly; that are */
    unsigned own;            /* of the singles, to the thousand's own carrier */
    unsigned won[RIVALS];    /* by whom */
};

static void add_number(struct shuffle *shuffle, const struct thousand *t, unsigned x,
                       unsigned carrier)
{
    shuffle_add(shuffle, shuffle_row(t->first + x, t->lrns + carrier));
}

/* Ten numbers, each by itself. */
static void draw_singles(const struct thousand *t, unsigned x, struct random *random,
                         struct tally *tally, struct shuffle *shuffle)
{
    for (unsigned end = x + 10; x < end; x++) {
        uint64_t bits = random_next(random);
        if ((bits & 0xffff) >= t->single)
            continue;
        tally->singles++;
        if ((bits >> 16 & 0xffff) < 65536 * own_carrier) {
            tally->own++;
            add_number(shuffle, t, x, t->owner);
            continue;
        }
        unsigned won = cast_cell[t->cast][bits >> 32 & (CAST_CELLS - 1)];
        tally->won[won]++;
        add_number(shuffle, t, x, t->winner[won]);
    }
    tally->asked += 10;
}

static void draw_numbers(const struct thousand *t, struct random *random, struct tally *tally,
                         struct shuffle *shuffle, struct drawn *drawn)
{
    for (unsigned x = 0; x < 1000;) {
        uint64_t bits = random_next(random);
        tally->starts++;
        if ((bits & 0xffff) >= t->run) {
            draw_singles(t, x, random, tally, shuffle);
            x += 10;
            continue;
        }
        unsigned won = cast_cell[t->cast][bits >> 16 & (CAST_CELLS - 1)];
        unsigned end = x + 10 * run_tens[bits >> 32 & 7];
        tally->runs++;
        tally->won[won]++;
        for (; x < end && x < 1000; x++, drawn->in_runs++)
            add_number(shuffle, t, x, t->winner[won]);
    }
}

static void draw_thousand(unsigned area_index, unsigned slot, uint64_t seed,
                          struct shuffle *shuffle, struct drawn *drawn)
{
    const struct area *area = &areas[area_index];
    struct random random = random_stream(seed, ((uint64_t)area->npa << 16 | slot) + 3);
    struct thousand t = {.first = area->npa * UINT64_C(10000000) + 2000000 + slot * UINT64_C(1000),
                         .lrns = area_index * RIVALS,
                         .owner = area->owner[slot]};
    struct tally tally = {0};
    if (!draw_shares(&t, &random, drawn))
        return;
    draw_cast(&t, area, &random, drawn);
    uint64_t runs_before = drawn->in_runs;
    draw_numbers(&t, &random, &tally, shuffle, drawn);
    uint64_t ported = tally.singles + drawn->in_runs - runs_before;
    drawn->ported += ported;
    drawn->touched += ported > 0;
    double bits = bits_of_draws(t.run / 65536.0, tally.starts, tally.runs) + 3.0 * tally.runs +
                  bits_of_draws(t.single / 65536.0, tally.asked, tally.singles) +
                  bits_of_draws(own_carrier, tally.singles, tally.own);
    for (unsigned i = 0; i < cast_size[t.cast]; i++)
        bits += tally.won[i] * cast_bits[t.cast][i];
    drawn->number_bits += bits;
}

/* ---- all of them ---- */

/* Each thousand that somebody has, in random order: area * AREA_SLOTS + slot. */
static uint32_t *thousands_shuffled(const struct plan *plan, uint64_t seed)
{
    uint32_t *order = malloc(plan->thousands * sizeof(*order));
    if (order == NULL)
        die("no memory for the order of thousands");
    struct random random = random_stream(seed, 0);
    uint32_t len = 0;
    for (uint32_t i = 0; i < plan->areas * AREA_SLOTS; i++) {
        if (areas[i / AREA_SLOTS].owner[i % AREA_SLOTS] == UNASSIGNED)
            continue;
        uint32_t j = random_below(&random, ++len);
        order[len - 1] = order[j];
        order[j] = i;
    }
    return order;
}

static void ports_write(const struct plan *plan, const char *dir, uint64_t seed,
                        struct drawn *drawn)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/ports.csv", dir);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0)
        die(path);
    struct shuffle shuffle;
    shuffle_init(&shuffle, file, (const char(*)[12])lrn_text, seed);
    uint32_t *order = thousands_shuffled(plan, seed);
    for (unsigned i = 0; i < plan->thousands; i++)
        draw_thousand(order[i] / AREA_SLOTS, order[i] % AREA_SLOTS, seed, &shuffle, drawn);
    free(order);
    shuffle_end(&shuffle);
    if (close(file) != 0)
        die(path);
}

int main(int argc, char **argv)
{
    double ports = argc == 4 ? strtod(argv[1], NULL) : 0;
    if (!(ports >= 1e6 && ports <= 7e8)) {
        fprintf(stderr, "usage: npdb_workload PORTS SEED DIR   (1e6 to 7e8 ports)\n");
        return 1;
    }
    uint64_t seed = strtoull(argv[2], NULL, 10);
    struct drawn drawn = {0};
    casts_init();
    struct plan plan = plan_draw((unsigned)(ports / PORTED_PER_CODE), seed);
    plan_write(&plan, argv[3]);
    ports_write(&plan, argv[3], seed, &drawn);
    printf("{\"ported\":%llu,\"areas\":%u,\"codes\":%u,\"thousands\":%u,\"touched\":%llu,"
           "\"inRuns\":%.4f,\"descriptionBytes\":%.0f,\"ofThatThousands\":%.0f}\n",
           (unsigned long long)drawn.ported, plan.areas, plan.codes, plan.thousands,
           (unsigned long long)drawn.touched, (double)drawn.in_runs / (double)drawn.ported,
           (drawn.thousand_bits + drawn.number_bits) / 8, drawn.thousand_bits / 8);
    return 0;
}
