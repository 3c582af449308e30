#include "tests/bench/npdb_chase.h"

#include "tests/bench/random.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LINE 64u

static void die(const char *what)
{
    perror(what);
    exit(1);
}

double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* One cycle through all of them (Sattolo's shuffle). */
static uint32_t *cycle_new(size_t lines)
{
    uint32_t *next = malloc(lines * sizeof(*next));
    struct random random = random_stream(1, 1);
    if (next == NULL)
        die("no memory for the walk");
    next[0] = 0;
    for (size_t i = 1; i < lines; i++) { /* i comes in behind j */
        size_t j = random_below(&random, (uint32_t)i);
        next[i] = next[j];
        next[j] = (uint32_t)i;
    }
    return next;
}

struct chase chase_new(const char *dir, size_t size)
{
    char path[PATH_MAX];
    size_t lines = size / LINE;
    uint32_t *next = cycle_new(lines);
    snprintf(path, sizeof(path), "%s/chase.XXXXXX", dir);
    int fd = mkstemp(path);
    FILE *file = fd >= 0 ? fdopen(fd, "w+") : NULL;
    if (file == NULL)
        die(path);
    unlink(path);
    for (size_t i = 0; i < lines; i++) {
        uint64_t line[LINE / 8] = {next[i] * (uint64_t)LINE};
        if (fwrite(line, sizeof(line), 1, file) != 1)
            die(path);
    }
    free(next);
    if (fflush(file) != 0)
        die(path);
    void *memory = mmap(NULL, lines * LINE, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        die(path);
    fclose(file);
    struct chase chase = {.memory = memory, .size = lines * LINE};
    (void)chase_walk(&chase, lines); /* brings all of it in */
    return chase;
}

void chase_free(struct chase *chase)
{
    munmap((void *)(uintptr_t)chase->memory, chase->size);
}

double chase_walk(struct chase *chase, size_t steps)
{
    uint64_t at = chase->at;
    double start = cpu_ns();
    for (size_t i = 0; i < steps; i++)
        memcpy(&at, chase->memory + at, sizeof(at));
    double end = cpu_ns();
    chase->at = at;
    return (end - start) / (double)steps;
}
