/* How long does it take to resolve a called number, and how long does one DRAM miss take on the
 * same machine in the same minute? Called by tests/bench/run:
 *
 *     bench_resolve STATE_DIR NPDB NUMBERS ROUNDS
 *
 * NUMBERS has one called number a line. Prints one JSON object with a value per round: one resolve,
 * by one thread and by two at once (the time from the first start to the last end over all of
 * both's numbers, so half is perfect), the lookup in the portability file alone, and a miss. The
 * miss is a pointer chase through MISS_BYTES in random order, a cache line a step; it includes the
 * TLB miss, as the lookups do. */
#include <sticps/sticps.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE 64
#define MISS_BYTES ((size_t)512 * 1024 * 1024)
#define MISS_STEPS 2000000

static void die(const char *what)
{
    fprintf(stderr, "bench_resolve: %s\n", what);
    exit(1);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
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
    double start = now_ns();
    for (size_t i = 0; i < MISS_STEPS; i++)
        memcpy(&p, p, sizeof(p));
    double end = now_ns();
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

/* Every number once; nanoseconds a number. `with_url` counts those that ended in a URL. */
static double resolve_all(struct sticps_client *client, struct sticps_answer *answer,
                          char **numbers, size_t count, size_t *with_url)
{
    double start = now_ns();
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (sticps_resolve(client, numbers[i], answer, NULL) == STICPS_OK)
            found++;
    }
    double end = now_ns();
    *with_url = found;
    return (end - start) / (double)count;
}

struct half {
    pthread_t thread;
    pthread_barrier_t *start;
    struct sticps_client *client;
    char **numbers;
    size_t count;
};

static void *resolve_half(void *arg)
{
    struct half *half = arg;
    struct sticps_answer *answer = sticps_answer_new();
    size_t found;
    if (answer == NULL)
        die("out of memory");
    pthread_barrier_wait(half->start);
    (void)resolve_all(half->client, answer, half->numbers, half->count, &found);
    sticps_answer_free(answer);
    return NULL;
}

/* Every number once, by two threads; nanoseconds a number. */
static double resolve_by_two(struct sticps_client *client, char **numbers, size_t count)
{
    pthread_barrier_t barrier;
    struct half halves[2] = {{0, &barrier, client, numbers, count / 2},
                             {0, &barrier, client, numbers + count / 2, count - count / 2}};
    if (pthread_barrier_init(&barrier, NULL, 3) != 0)
        die("no barrier");
    for (int i = 0; i < 2; i++)
        if (pthread_create(&halves[i].thread, NULL, resolve_half, &halves[i]) != 0)
            die("no thread");
    pthread_barrier_wait(&barrier);
    double start = now_ns();
    for (int i = 0; i < 2; i++)
        (void)pthread_join(halves[i].thread, NULL);
    double end = now_ns();
    pthread_barrier_destroy(&barrier);
    return (end - start) / (double)count;
}

/* The portability file alone; nanoseconds a number. */
static double lookup_all(const struct sticps_npdb *npdb, char **numbers, size_t count)
{
    struct sticps_npdb_answer answer;
    double start = now_ns();
    for (size_t i = 0; i < count; i++)
        if (sticps_npdb_lookup(npdb, numbers[i], 1, &answer, NULL) != STICPS_OK)
            die("not a number");
    return (now_ns() - start) / (double)count;
}

static void print_values(const char *name, const double *values, size_t count)
{
    printf("\"%s\":[", name);
    for (size_t i = 0; i < count; i++)
        printf("%s%.1f", i > 0 ? "," : "", values[i]);
    printf("]");
}

int main(int argc, char **argv)
{
    if (argc != 5)
        die("usage: bench_resolve STATE_DIR NPDB NUMBERS ROUNDS");
    long rounds = strtol(argv[4], NULL, 10);
    if (rounds < 1 || rounds > 100)
        die("ROUNDS is 1 to 100");
    size_t count;
    char **numbers = numbers_read(argv[3], &count);
    struct sticps_client *client = client_open(argv[1], argv[2]);
    struct sticps_answer *answer = sticps_answer_new();
    double *resolve_ns = calloc((size_t)rounds, sizeof(*resolve_ns));
    double *two_ns = calloc((size_t)rounds, sizeof(*two_ns));
    double *lookup_ns = calloc((size_t)rounds, sizeof(*lookup_ns));
    double *miss_ns = calloc((size_t)rounds, sizeof(*miss_ns));
    if (answer == NULL || resolve_ns == NULL || two_ns == NULL || lookup_ns == NULL ||
        miss_ns == NULL)
        die("out of memory");
    struct sticps_npdb *npdb;
    struct sticps_error err;
    if (sticps_npdb_open(argv[2], 0, &npdb, &err) != STICPS_OK)
        die(err.text);
    char *memory = chase_new();
    char *at = memory;
    size_t with_url = 0;

    (void)resolve_all(client, answer, numbers, count, &with_url); /* pages in */
    for (long i = 0; i < rounds; i++) {
        miss_ns[i] = chase(&at);
        lookup_ns[i] = lookup_all(npdb, numbers, count);
        resolve_ns[i] = resolve_all(client, answer, numbers, count, &with_url);
        two_ns[i] = resolve_by_two(client, numbers, count);
    }
    if (at == NULL) /* keeps the chase from being optimised away */
        die("impossible");

    printf("{");
    print_values("resolve_ns", resolve_ns, (size_t)rounds);
    printf(",");
    print_values("two_threads_ns", two_ns, (size_t)rounds);
    printf(",");
    print_values("lookup_ns", lookup_ns, (size_t)rounds);
    printf(",");
    print_values("miss_ns", miss_ns, (size_t)rounds);
    printf(",\"with_url\":%.4f}\n", (double)with_url / (double)count);
    free(memory);
    free(resolve_ns);
    free(two_ns);
    free(lookup_ns);
    free(miss_ns);
    sticps_npdb_close(npdb);
    sticps_answer_free(answer);
    sticps_client_free(client);
    free(numbers[0]);
    free(numbers);
    return 0;
}
