/* How long do lookups in a portability file take, one after the other and in batches, against one
 * DRAM miss in the same minute, and against other ways to keep the same? Called by
 * tests/bench/npdb:
 *
 *     npdb_measure NPDB BLOCKS_CSV PORTS_CSV ASKED ROUNDS DIR [peers]
 *
 * Asked are ASKED numbers that somebody has, drawn evenly, so ported ones in their proportion. Each
 * lookup's number depends on the answer before it, and each batch's numbers on the batch before. In
 * DIR lie the file of the walk that shows what a miss takes and the databases of the peers.
 *
 * First the file's answers are compared with the first rows of PORTS_CSV, then the peers' answers
 * with the file's. Prints one JSON object; times are CPU nanoseconds for one number, a value for
 * each round. */
#include "tests/bench/npdb_asked.h"
#include "tests/bench/npdb_chase.h"
#include "tests/bench/npdb_peers.h"

#include <sticps/npdb.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTS 10u /* of a round */
#define BATCH 32u
#define CHECKED 1000000u /* rows of the CSV */
#define MAX_ROUNDS 100u

static void die(const char *what)
{
    fprintf(stderr, "npdb_measure: %s\n", what);
    exit(1);
}

/* ---- the file ---- */

#define COUNTRY UINT64_C(10000000000) /* 1, and ten digits */

/* Every page of the file is brought in. */
static void touch_all(const struct sticps_npdb *npdb, const struct asked *asked)
{
    for (size_t i = 0; i < asked->thousands_len; i++)
        (void)sticps_npdb_find(npdb, COUNTRY + asked->thousands[i] * UINT64_C(1000));
}

/* The file says what the first rows of the CSV say. */
static void check_rows(const struct sticps_npdb *npdb, const char *ports_csv)
{
    char line[64];
    size_t rows = 0;
    FILE *file = fopen(ports_csv, "r");
    if (file == NULL)
        die("cannot read the ports");
    for (; rows < CHECKED && fgets(line, sizeof(line), file) != NULL; rows++) {
        char *rest;
        uint64_t number = strtoull(line, &rest, 10);
        if (*rest != ',')
            die("a row of the ports is not TN,LRN");
        uint32_t result = sticps_npdb_find(npdb, COUNTRY + number);
        if ((result & STICPS_NPDB_PORTED) == 0 ||
            sticps_npdb_result_lrn(npdb, result) != COUNTRY + strtoull(rest + 1, NULL, 10))
            die("the file contradicts a row of the ports");
    }
    fclose(file);
    if (rows == 0)
        die("the ports are empty");
}

/* ---- what the peers hold ---- */

/* The owner that a result means, as the peers keep it. */
static uint16_t owner_of(uint32_t result)
{
    uint32_t owner = result & ~STICPS_NPDB_PORTED;
    if (owner > UINT16_MAX)
        die("more owners than the peers have room for");
    return (uint16_t)owner;
}

/* The ported numbers of the file, and who has the others. */
static struct peer_rows rows_of(const struct sticps_npdb *npdb, const struct asked *asked)
{
    uint64_t numbers[1000];
    uint32_t results[1000];
    size_t ported = (size_t)sticps_npdb_figure(npdb, STICPS_NPDB_PORTS);
    struct peer_rows rows = {.rows = peer_pages(ported * sizeof(*rows.rows)),
                             .thousands = peer_pages(10000000 * sizeof(*rows.thousands))};
    for (size_t i = 0; i < asked->thousands_len; i++) {
        uint64_t first = asked->thousands[i] * UINT64_C(1000);
        for (unsigned x = 0; x < 1000; x++)
            numbers[x] = COUNTRY + first + x;
        sticps_npdb_find_batch(npdb, numbers, 1000, results);
        for (unsigned x = 0; x < 1000; x++) {
            uint16_t owner = owner_of(results[x]);
            if ((results[x] & STICPS_NPDB_PORTED) == 0)
                rows.thousands[asked->thousands[i]] = owner;
            else if (rows.len == ported)
                die("the file has more ported numbers than it says");
            else
                rows.rows[rows.len++] = peer_row(first + x, owner);
        }
    }
    return rows;
}

/* All give the same answers. */
static void check_peers(const struct sticps_npdb *npdb, const struct peers *peers,
                        const struct asked *asked)
{
    for (size_t i = 0; i < asked->len; i++)
        for (unsigned which = 0; which < PEERS; which++)
            if (peer_find[which](peers, asked->numbers[i] - COUNTRY) !=
                owner_of(sticps_npdb_find(npdb, asked->numbers[i])))
                die("a peer contradicts the file");
}

/* ---- measuring ---- */

/* One of the things that are compared, over `len` numbers; CPU nanoseconds a number. */
struct subjects {
    const struct sticps_npdb *npdb;
    struct peers *peers; /* or NULL */
    struct chase chase;
    const struct asked *asked;
    uint64_t sum; /* of the answers, so that none is optimised away */
};

enum { MISS, FIND, FIND_BATCH, FIRST_PEER, FIGURES = FIRST_PEER + PEERS };

/* What an answer adds to the next number: nothing, which neither compiler nor processor can know.
 */
static volatile uint64_t no_bits = 0;

static double time_find(struct subjects *s, size_t from, size_t len)
{
    const uint64_t *numbers = s->asked->numbers + from, mask = no_bits;
    uint64_t last = 0;
    double start = cpu_ns();
    for (size_t i = 0; i < len; i++)
        last = sticps_npdb_find(s->npdb, numbers[i] + (last & mask));
    double end = cpu_ns();
    s->sum += last;
    return (end - start) / (double)len;
}

static double time_batch(struct subjects *s, size_t from, size_t len)
{
    const uint64_t *asked = s->asked->numbers + from, mask = no_bits;
    uint64_t numbers[BATCH], last = 0;
    uint32_t results[BATCH];
    double start = cpu_ns();
    for (size_t i = 0; i < len; i += BATCH) {
        for (size_t j = 0; j < BATCH; j++)
            numbers[j] = asked[i + j] + (last & mask);
        sticps_npdb_find_batch(s->npdb, numbers, BATCH, results);
        last = results[BATCH - 1];
    }
    double end = cpu_ns();
    s->sum += last;
    return (end - start) / (double)len;
}

static double time_peer(struct subjects *s, unsigned which, size_t from, size_t len)
{
    const uint64_t *numbers = s->asked->numbers + from, mask = no_bits;
    peer_find_fn *find = peer_find[which];
    uint64_t last = 0;
    double start = cpu_ns();
    for (size_t i = 0; i < len; i++)
        last = find(s->peers, numbers[i] - COUNTRY + (last & mask));
    double end = cpu_ns();
    s->sum += last;
    return (end - start) / (double)len;
}

static double time_figure(struct subjects *s, unsigned figure, size_t from, size_t len)
{
    switch (figure) {
    case MISS:
        return chase_walk(&s->chase, len);
    case FIND:
        return time_find(s, from, len);
    case FIND_BATCH:
        return time_batch(s, from, len);
    default:
        return time_peer(s, figure - FIRST_PEER, from, len);
    }
}

/* One round: the numbers in parts, and for each part all in turn, each over a part of its own, so
 * that what a neighbour on the machine does falls on all alike and nobody finds what another has
 * just brought into the cache. */
static void measure(struct subjects *s, unsigned figures, double out[FIGURES])
{
    size_t len = s->asked->len / PARTS / BATCH * BATCH;
    for (unsigned figure = 0; figure < figures; figure++)
        out[figure] = 0;
    for (unsigned part = 0; part < PARTS; part++)
        for (unsigned figure = 0; figure < figures; figure++)
            out[figure] += time_figure(s, figure, (part + figure) % PARTS * len, len) / PARTS;
}

static void print_figure(const char *name, double figures[][FIGURES], unsigned figure,
                         unsigned rounds)
{
    printf("\"%s\":[", name);
    for (unsigned i = 0; i < rounds; i++)
        printf("%s%.1f", i > 0 ? "," : "", figures[i][figure]);
    printf("]");
}

static void print_peers(const struct peers *peers, double figures[][FIGURES], unsigned rounds)
{
    printf(",\"peers\":{");
    for (unsigned i = 0; i < PEERS; i++) {
        printf("%s\"%s\":{\"bytes\":%llu,", i > 0 ? "," : "", peer_names[i],
               (unsigned long long)peer_bytes(peers, i));
        print_figure("ns", figures, FIRST_PEER + i, rounds);
        printf("}");
    }
    printf("}");
}

static void print(const struct subjects *s, double figures[][FIGURES], unsigned rounds)
{
    printf("{\"assigned\":%zu,\"sum\":%llu,", s->asked->thousands_len * 1000,
           (unsigned long long)s->sum);
    print_figure("missNs", figures, MISS, rounds);
    printf(",");
    print_figure("findNs", figures, FIND, rounds);
    printf(",");
    print_figure("batchNs", figures, FIND_BATCH, rounds);
    if (s->peers != NULL)
        print_peers(s->peers, figures, rounds);
    printf("}\n");
}

int main(int argc, char **argv)
{
    static double figures[MAX_ROUNDS][FIGURES];
    struct sticps_error err;
    struct sticps_npdb *npdb;
    unsigned rounds = argc >= 7 ? (unsigned)strtoul(argv[5], NULL, 10) : 0;
    if (rounds < 1 || rounds > MAX_ROUNDS)
        die("usage: npdb_measure NPDB BLOCKS_CSV PORTS_CSV ASKED ROUNDS DIR [peers]");
    struct asked asked = asked_new(argv[2], strtoul(argv[4], NULL, 10), 1);
    if (asked.len < PARTS * BATCH)
        die("too few numbers");
    if (sticps_npdb_open(argv[1], 0, &npdb, &err) != STICPS_OK)
        die(err.text);
    check_rows(npdb, argv[3]);
    struct subjects s = {.npdb = npdb, .asked = &asked};
    struct peer_rows rows = {.len = 0};
    if (argc > 7) {
        rows = rows_of(npdb, &asked);
        s.peers = peers_new(&rows, argv[6]);
        check_peers(npdb, s.peers, &asked);
    }
    s.chase = chase_new(argv[6], sticps_npdb_figure(npdb, STICPS_NPDB_BYTES));
    touch_all(npdb, &asked);
    for (unsigned i = 0; i < rounds; i++)
        measure(&s, s.peers != NULL ? FIGURES : FIRST_PEER, figures[i]);
    print(&s, figures, rounds);
    chase_free(&s.chase);
    if (s.peers != NULL)
        peers_free(s.peers);
    sticps_npdb_close(npdb);
    asked_free(&asked);
    return 0;
}
