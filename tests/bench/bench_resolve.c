/* How long does it take to resolve a called number, and how long does one DRAM miss take on the
 * same machine in the same minute? Called by tests/bench/run:
 *
 *     bench_resolve STATE_DIR NPDB NUMBERS ROUNDS
 *
 * NUMBERS has one called number a line. Prints one JSON object with a value per round, in CPU
 * nanoseconds of a thread: one resolve, alone and while a second thread does the same (equal is
 * perfect); the same for the lookup in the portability file alone, which shares nothing that is
 * written, so that its two threads show what the machine has to give; and a miss. The miss is a
 * pointer chase through MISS_BYTES in random order, a cache line a step; it includes the TLB miss,
 * as the lookups do. */
#include <sticps/sticps.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE 64
#define MISS_BYTES ((size_t)512 * 1024 * 1024)
#define MISS_STEPS 200000

static void die(const char *what)
{
    fprintf(stderr, "bench_resolve: %s\n", what);
    exit(1);
}

/* The CPU time of this thread: what others do with the processor meanwhile does not count. */
static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* xorshift64*: the order only has to be unforeseeable for the prefetcher. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

/* One cycle through every line of the memory (Sattolo's algorithm). */
static char *chase_new(void)
{
    size_t lines = MISS_BYTES / LINE;
    char *memory = malloc(MISS_BYTES);
    uint32_t *order = malloc(lines * sizeof(*order));
    if (memory == NULL || order == NULL)
        die("out of memory");
    for (size_t i = 0; i < lines; i++)
        order[i] = (uint32_t)i;
    uint64_t state = 88172645463325252u;
    for (size_t i = lines - 1; i > 0; i--) {
        size_t j = (size_t)(next_random(&state) % i);
        uint32_t swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
    for (size_t i = 0; i < lines; i++) {
        char *next = memory + (size_t)order[i] * LINE;
        memcpy(memory + i * LINE, &next, sizeof(next));
    }
    free(order);
    return memory;
}

/* Walks on from *at; nanoseconds a step. */
static double chase(char **at)
{
    char *p = *at;
    double start = cpu_ns();
    for (size_t i = 0; i < MISS_STEPS; i++)
        memcpy(&p, p, sizeof(p));
    double end = cpu_ns();
    *at = p;
    return (end - start) / MISS_STEPS;
}

/* The lines of a file, in one block; an index of NUL-terminated texts. */
static char **numbers_read(const char *path, size_t *count)
{
    FILE *file = fopen(path, "r");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        die("cannot read the numbers");
    long size = ftell(file);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    if (size <= 0 || text == NULL || fread(text, 1, (size_t)size, file) != (size_t)size)
        die("cannot read the numbers");
    fclose(file);
    text[size] = '\0';
    char **numbers = malloc(((size_t)size / 2 + 1) * sizeof(*numbers));
    if (numbers == NULL)
        die("out of memory");
    *count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        numbers[(*count)++] = line;
    return numbers;
}

static struct sticps_client *client_open(const char *state, const char *npdb)
{
    struct sticps_error err;
    struct sticps_client *client;
    struct sticps_options *options = sticps_options_new();
    if (options == NULL)
        die("out of memory");
    if (sticps_options_set_state_dir(options, state, &err) != STICPS_OK)
        die(err.text);
    if (sticps_client_new(options, &client, &err) != STICPS_OK)
        die(err.text);
    sticps_options_free(options);
    if (sticps_list_load(client, STICPS_LIST_CPS, &err) != STICPS_OK)
        die(err.text);
    if (sticps_client_set_npdb(client, &npdb, 1, &err) != STICPS_OK)
        die(err.text);
    return client;
}

/* ---- what is measured ---- */

struct peers {
    struct sticps_client *client;
    const struct sticps_npdb *npdb;
    char **numbers;
    size_t count;
};

/* One of the two things that are compared, over numbers [from, from + len). */
typedef void work_fn(const struct peers *peers, struct sticps_answer *answer, size_t from,
                     size_t len);

static void work_resolve(const struct peers *peers, struct sticps_answer *answer, size_t from,
                         size_t len)
{
    for (size_t i = from; i < from + len; i++)
        if (sticps_resolve(peers->client, peers->numbers[i], answer, NULL) ==
            STICPS_ERR_NOT_A_NUMBER)
            die("not a number");
}

/* The portability file alone. */
static void work_lookup(const struct peers *peers, struct sticps_answer *answer, size_t from,
                        size_t len)
{
    struct sticps_npdb_answer found;
    (void)answer;
    for (size_t i = from; i < from + len; i++)
        if (sticps_npdb_lookup(peers->npdb, peers->numbers[i], 1, &found, NULL) != STICPS_OK)
            die("not a number");
}

struct worker {
    pthread_t thread;
    pthread_barrier_t *start;
    const struct peers *peers;
    work_fn *work;
    size_t from, len;
    double ns; /* a number */
};

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct sticps_answer *answer = sticps_answer_new();
    if (answer == NULL)
        die("out of memory");
    pthread_barrier_wait(worker->start);
    double start = cpu_ns();
    worker->work(worker->peers, answer, worker->from, worker->len);
    worker->ns = (cpu_ns() - start) / (double)worker->len;
    sticps_answer_free(answer);
    return NULL;
}

/* One or two threads at once, each with numbers of its own; CPU nanoseconds a number. */
static double by_threads(const struct peers *peers, work_fn *work, int threads, size_t from,
                         size_t len)
{
    pthread_barrier_t barrier;
    struct worker workers[2];
    double ns = 0;
    if (pthread_barrier_init(&barrier, NULL, (unsigned)threads) != 0)
        die("no barrier");
    for (int i = 0; i < threads; i++) {
        size_t half = len / (size_t)threads;
        workers[i] = (struct worker){.start = &barrier,
                                     .peers = peers,
                                     .work = work,
                                     .from = from + (size_t)i * half,
                                     .len = half};
        if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0)
            die("no thread");
    }
    for (int i = 0; i < threads; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        ns += workers[i].ns / threads;
    }
    pthread_barrier_destroy(&barrier);
    return ns;
}

/* How many of the numbers end in a URL. */
static size_t count_urls(const struct peers *peers)
{
    struct sticps_answer *answer = sticps_answer_new();
    size_t found = 0;
    if (answer == NULL)
        die("out of memory");
    for (size_t i = 0; i < peers->count; i++)
        found += sticps_resolve(peers->client, peers->numbers[i], answer, NULL) == STICPS_OK;
    sticps_answer_free(answer);
    return found;
}

enum { RESOLVE, RESOLVE_TWO, LOOKUP, LOOKUP_TWO, MISS, FIGURES };
static const char *const names[FIGURES] = {"resolve_ns", "resolve_two_ns", "lookup_ns",
                                           "lookup_two_ns", "miss_ns"};

/* One round: the numbers in PARTS parts, and for each part all figures in turn, each over a part of
 * its own, so that what a neighbour on the machine does falls on all alike and nobody finds what
 * another has just brought into the cache. */
#define PARTS 10

static void measure(const struct peers *peers, char **chase_at, double out[FIGURES])
{
    size_t len = peers->count / PARTS;
    for (size_t i = 0; i < FIGURES; i++)
        out[i] = 0;
    for (size_t part = 0; part < PARTS; part++) {
        size_t from[4];
        for (size_t i = 0; i < 4; i++)
            from[i] = (part + i * PARTS / 4) % PARTS * len;
        out[RESOLVE] += by_threads(peers, work_resolve, 1, from[0], len) / PARTS;
        out[LOOKUP] += by_threads(peers, work_lookup, 1, from[1], len) / PARTS;
        out[RESOLVE_TWO] += by_threads(peers, work_resolve, 2, from[2], len) / PARTS;
        out[LOOKUP_TWO] += by_threads(peers, work_lookup, 2, from[3], len) / PARTS;
        out[MISS] += chase(chase_at) / PARTS;
    }
}

int main(int argc, char **argv)
{
    if (argc != 5)
        die("usage: bench_resolve STATE_DIR NPDB NUMBERS ROUNDS");
    long rounds = strtol(argv[4], NULL, 10);
    if (rounds < 1 || rounds > 100)
        die("ROUNDS is 1 to 100");
    struct peers peers = {.client = client_open(argv[1], argv[2])};
    struct sticps_npdb *npdb;
    struct sticps_error err;
    if (sticps_npdb_open(argv[2], 0, &npdb, &err) != STICPS_OK)
        die(err.text);
    peers.npdb = npdb;
    peers.numbers = numbers_read(argv[3], &peers.count);
    if (peers.count < 10 * PARTS)
        die("too few numbers");
    char *memory = chase_new(), *at = memory;
    double figures[100][FIGURES];

    size_t with_url = count_urls(&peers); /* and pages in */
    for (long i = 0; i < rounds; i++)
        measure(&peers, &at, figures[i]);
    if (at == NULL) /* keeps the chase from being optimised away */
        die("impossible");

    printf("{");
    for (size_t figure = 0; figure < FIGURES; figure++) {
        printf("\"%s\":[", names[figure]);
        for (long i = 0; i < rounds; i++)
            printf("%s%.1f", i > 0 ? "," : "", figures[i][figure]);
        printf("],");
    }
    printf("\"with_url\":%.4f}\n", (double)with_url / (double)peers.count);
    free(memory);
    sticps_npdb_close(npdb);
    sticps_client_free(peers.client);
    free(peers.numbers[0]);
    free(peers.numbers);
    return 0;
}
