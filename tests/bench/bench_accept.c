/* What does it cost a client to accept a list, from the received bytes to the list that calls are
 * resolved with? Called by tests/bench/run:
 *
 *     bench_accept HELD NEW CHAIN ANCHOR ROUNDS
 *
 * HELD and NEW are two lists of one STI-PA, the second with the higher sequence, as they were
 * received; CHAIN is the certificate of their signer, ANCHOR what it leads to. In each round a
 * client that holds HELD, in a state directory on tmpfs where there is one, takes NEW. Prints one
 * JSON object: the bytes of NEW; per round the CPU of the thread, in ms, rules 2 to 9 with both
 * writes, whose syncs cost no CPU; and the most memory that was allocated meanwhile, beyond what
 * was before and the received bytes. */
#include "client/gate.h"
#include "client/list_accept.h"
#include "client/lists.h"
#include "common/read_file.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- counting what is allocated ---- */

/* Visible, so that the libraries come here too. */
#define FOR_ALL __attribute__((visibility("default")))

FOR_ALL void *malloc(size_t size);
FOR_ALL void *calloc(size_t count, size_t size);
FOR_ALL void *realloc(void *p, size_t size);
FOR_ALL void free(void *p);

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void __libc_free(void *p);

static atomic_long allocated, most;

static void *count_in(void *p)
{
    long now = atomic_fetch_add(&allocated, (long)malloc_usable_size(p));
    now += (long)malloc_usable_size(p);
    if (now > atomic_load(&most))
        atomic_store(&most, now);
    return p;
}

static void count_out(void *p)
{
    atomic_fetch_sub(&allocated, (long)malloc_usable_size(p));
}

void *malloc(size_t size)
{
    return count_in(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return count_in(__libc_calloc(count, size));
}

void *realloc(void *p, size_t size)
{
    long before = (long)malloc_usable_size(p);
    void *moved = __libc_realloc(p, size);
    if (moved != NULL || size == 0)
        atomic_fetch_sub(&allocated, before);
    return moved != NULL ? count_in(moved) : NULL;
}

void free(void *p)
{
    count_out(p);
    __libc_free(p);
}

/* ---- accepting ---- */

static void die(const char *what)
{
    fprintf(stderr, "bench_accept: %s\n", what);
    exit(1);
}

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct received {
    char *data;
    size_t len;
};

static struct received received_read(const char *path)
{
    struct received text = {0};
    struct sticps_error err;
    if (read_file(path, 16 * 1024 * 1024, &text.data, &text.len, &err) != STICPS_OK)
        die(err.text);
    return text;
}

struct bench {
    struct sticps_options *options;
    struct anchors *anchors;
    struct received chain;
    struct lists *lists;
};

/* As list_source does when the certificate is at hand. */
static void accept_list(const struct bench *bench, const struct received *body)
{
    static const char url[] = "https://127.0.0.1/download/v1/cps-list";
    struct sticps_error err;
    struct list_candidate candidate = {0};
    struct cert_chain *chain = NULL;
    struct signed_list *payload = NULL;
    struct sticps_list *list = NULL;
    enum sticps_list_status status;
    int64_t now = (int64_t)time(NULL), previous;
    if (list_accept_open(body->data, body->len, SIGNED_LIST_CPS_MAPPING, url, bench->options,
                         &candidate, &err) != STICPS_OK ||
        cert_chain_parse(bench->chain.data, bench->chain.len, STICPS_ERR_SIGNER, &chain, &err) !=
            STICPS_OK ||
        list_accept_signer(&candidate, chain, bench->anchors, NULL, now, &err) != STICPS_OK ||
        list_accept_payload(&candidate, now, bench->options, &payload, &err) != STICPS_OK)
        die(err.text);
    jws_clear(&candidate.parts);
    struct list_commit commit = {.kind = STICPS_LIST_CPS,
                                 .candidate = &candidate,
                                 .payload = payload,
                                 .accepted = {.fetched_at = now,
                                              .source = url,
                                              .etag = "",
                                              .x5u = candidate.header.x5u,
                                              .chain = bench->chain.data,
                                              .chain_expires = now + 3600}};
    if (lists_commit(bench->lists, &commit, &status, &previous, &list, &err) != STICPS_OK)
        die(err.text);
    if (status != STICPS_LIST_TAKEN)
        die("the list is not taken");
    sticps_list_unref(list);
    signed_list_free(commit.payload);
    cert_chain_unref(chain);
    list_candidate_clear(&candidate);
}

static void state_make(char dir[64])
{
    snprintf(dir, 64, "%s/bench-accept-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(dir) == NULL)
        die("no folder for the state");
}

static void state_remove(const char *dir)
{
    static const char *const names[] = {"cps-list.json", "cps-list.lock"};
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        die("usage: bench_accept HELD NEW CHAIN ANCHOR ROUNDS");
    long rounds = strtol(argv[5], NULL, 10);
    if (rounds < 1 || rounds > 100)
        die("ROUNDS is 1 to 100");
    static struct gate gate;
    struct sticps_error err;
    struct received held = received_read(argv[1]), new = received_read(argv[2]),
                    anchor = received_read(argv[4]);
    struct bench bench = {.options = sticps_options_new(), .chain = received_read(argv[3])};
    double ms[100], bytes[100];
    gate_init(&gate);
    if (bench.options == NULL || anchors_new(&bench.anchors, &err) != STICPS_OK ||
        anchors_add(bench.anchors, anchor.data, anchor.len, STICPS_ERR_USAGE, &err) != STICPS_OK)
        die("no anchor");
    sticps_options_set_lab(bench.options, true);
    for (long i = 0; i < rounds; i++) {
        char dir[64];
        state_make(dir);
        if (sticps_options_set_state_dir(bench.options, dir, &err) != STICPS_OK ||
            lists_new(bench.options, &gate, &bench.lists, &err) != STICPS_OK)
            die(err.text);
        accept_list(&bench, &held);
        long before = atomic_load(&allocated);
        atomic_store(&most, before);
        double start = cpu_ms();
        accept_list(&bench, &new);
        ms[i] = cpu_ms() - start;
        bytes[i] = (double)(atomic_load(&most) - before);
        lists_free(bench.lists);
        state_remove(dir);
    }
    printf("{\"bytes\":%zu,\"ms\":[", new.len);
    for (long i = 0; i < rounds; i++)
        printf("%s%.2f", i > 0 ? "," : "", ms[i]);
    printf("],\"peak\":[");
    for (long i = 0; i < rounds; i++)
        printf("%s%.0f", i > 0 ? "," : "", bytes[i]);
    printf("]}\n");
    gate_destroy(&gate);
    anchors_free(bench.anchors);
    sticps_options_free(bench.options);
    free(bench.chain.data);
    free(held.data);
    free(new.data);
    free(anchor.data);
    return 0;
}
