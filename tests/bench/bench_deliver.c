/* What does it cost to deliver PASSporTs, and how long does sticps_deliver keep its caller? Called
 * by tests/bench/run:
 *
 *     bench_deliver STATE_DIR NPDB TOKENS URL CA ROUNDS DELIVERIES
 *
 * TOKENS has one PASSporT a line, whose called number leads to URL. Each round delivers them, over
 * and over, until DELIVERIES are answered, WINDOW at a time: by libsticps, driven by poll and
 * sticps_client_process, and by the peer, libcurl's multi interface as its examples use it: WINDOW
 * easy handles that are set up once and go back in with the next body as soon as they are answered;
 * curl_multi_poll and curl_multi_perform around it. Both in one thread, verifying the server with
 * the same CA, over HTTP/1.1 and kept connections. Anything but 201 ends the program.
 *
 * Prints one JSON object with a value per round: the CPU of the process for one delivery, in µs, by
 * either; and of the calls of sticps_deliver, in µs, while a client's own thread delivers, the
 * median and the 99.9th percentile on the wall clock, and the latter of its thread's CPU time; and
 * how many of 1,000 deliveries arrive that are queued at once for a CPS to which a new client has
 * no connection, within the default deadline. */
#include <sticps/sticps.h>

#include <curl/curl.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WINDOW 32
#define MAX_ROUNDS 100
#define NO_HURRY_MS 60000
#define STORM 1000
#define STORM_MS 400 /* the default deadline */

static void die(const char *what)
{
    fprintf(stderr, "bench_deliver: %s\n", what);
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double process_cpu(void)
{
    return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

struct job {
    const char *state_dir, *npdb, *url, *ca;
    char **tokens;
    size_t tokens_len;
    size_t deliveries;
};

/* The lines of a file. */
static void tokens_read(struct job *job, const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    if (file == NULL)
        die("cannot read the tokens");
    while ((len = getline(&line, &room, file)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        job->tokens = reallocarray(job->tokens, job->tokens_len + 1, sizeof(*job->tokens));
        if (job->tokens == NULL || (job->tokens[job->tokens_len++] = strdup(line)) == NULL)
            die("out of memory");
    }
    free(line);
    fclose(file);
    if (job->tokens_len == 0)
        die("no tokens");
}

/* ---- libsticps, in a loop of ours ---- */

static struct sticps_client *client_open(const struct job *job, unsigned deadline_ms)
{
    struct sticps_error err;
    struct sticps_client *client;
    struct sticps_options *options = sticps_options_new();
    if (options == NULL)
        die("out of memory");
    sticps_options_set_lab(options, true); /* the server is on loopback */
    sticps_options_set_deliver_timeout(options, deadline_ms);
    if (sticps_options_set_state_dir(options, job->state_dir, &err) != STICPS_OK ||
        sticps_options_add_tls_ca_file(options, job->ca, &err) != STICPS_OK ||
        sticps_client_new(options, &client, &err) != STICPS_OK)
        die(err.text);
    sticps_options_free(options);
    if (sticps_list_load(client, STICPS_LIST_CPS, &err) != STICPS_OK ||
        sticps_client_set_npdb(client, &job->npdb, 1, &err) != STICPS_OK)
        die(err.text);
    return client;
}

static void client_start(struct sticps_client *client)
{
    struct sticps_error err;
    if (sticps_client_start_thread(client, &err) != STICPS_OK)
        die(err.text);
}

/* In one thread, as the peer: whoever is answered queues the next. */
struct run {
    struct sticps_client *client;
    const struct job *job;
    size_t sent, answered;
};

static void run_send(struct run *run);

static void on_answered(void *ctx, enum sticps_err code, const struct sticps_error *err,
                        const struct sticps_delivery *delivery)
{
    struct run *run = ctx;
    (void)delivery;
    if (code != STICPS_OK)
        die(err->text);
    run->answered++;
    if (run->sent < run->job->deliveries)
        run_send(run);
}

static void run_send(struct run *run)
{
    const char *token = run->job->tokens[run->sent++ % run->job->tokens_len];
    struct sticps_error err;
    if (sticps_deliver(run->client, token, strlen(token), on_answered, run, &err) != STICPS_OK)
        die(err.text);
}

static double deliver_all(struct sticps_client *client, const struct job *job)
{
    struct run run = {.client = client, .job = job};
    struct sticps_error err;
    struct pollfd fd = {.fd = sticps_client_fd(client), .events = POLLIN};
    double start = process_cpu();
    for (size_t i = 0; i < WINDOW; i++)
        run_send(&run);
    while (run.answered < job->deliveries) {
        if (poll(&fd, 1, 10000) != 1)
            die("nothing happens for ten seconds");
        if (sticps_client_process(client, &err) != STICPS_OK)
            die(err.text);
    }
    return (process_cpu() - start) / (double)job->deliveries * 1e6;
}

/* ---- libsticps, in a thread of its own ---- */

static void on_delivered(void *ctx, enum sticps_err code, const struct sticps_error *err,
                         const struct sticps_delivery *delivery)
{
    (void)delivery;
    if (code != STICPS_OK)
        die(err->text);
    sem_post(ctx);
}

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Of the calls of sticps_deliver, in µs. */
struct call_times {
    double median, p999; /* on the wall clock */
    double cpu_p999;     /* of the thread's CPU: without what else ran on the processor */
};

static double part_of(const double *sorted, size_t len, double part)
{
    return sorted[(size_t)((double)(len - 1) * part)];
}

static struct call_times time_calls(struct sticps_client *client, const struct job *job)
{
    sem_t room;
    struct sticps_error err;
    double *wall = calloc(job->deliveries, sizeof(*wall));
    double *cpu = calloc(job->deliveries, sizeof(*cpu));
    if (wall == NULL || cpu == NULL || sem_init(&room, 0, WINDOW) != 0)
        die("out of memory");
    for (size_t i = 0; i < job->deliveries; i++) {
        const char *token = job->tokens[i % job->tokens_len];
        size_t len = strlen(token);
        while (sem_wait(&room) != 0)
            ;
        double before_cpu = seconds(CLOCK_THREAD_CPUTIME_ID), before = seconds(CLOCK_MONOTONIC);
        if (sticps_deliver(client, token, len, on_delivered, &room, &err) != STICPS_OK)
            die(err.text);
        wall[i] = (seconds(CLOCK_MONOTONIC) - before) * 1e6;
        cpu[i] = (seconds(CLOCK_THREAD_CPUTIME_ID) - before_cpu) * 1e6;
    }
    for (int i = 0; i < WINDOW; i++)
        while (sem_wait(&room) != 0)
            ;
    qsort(wall, job->deliveries, sizeof(*wall), by_size);
    qsort(cpu, job->deliveries, sizeof(*cpu), by_size);
    struct call_times times = {part_of(wall, job->deliveries, 0.5),
                               part_of(wall, job->deliveries, 0.999),
                               part_of(cpu, job->deliveries, 0.999)};
    free(wall);
    free(cpu);
    sem_destroy(&room);
    return times;
}

/* ---- many at once, to a CPS that there is no connection to ---- */

struct storm {
    sem_t ended;
    double arrived; /* written by the client's thread until it has ended */
};

static void on_storm(void *ctx, enum sticps_err code, const struct sticps_error *err,
                     const struct sticps_delivery *delivery)
{
    struct storm *storm = ctx;
    (void)err;
    (void)delivery;
    storm->arrived += code == STICPS_OK;
    sem_post(&storm->ended);
}

/* How many of STORM deliveries arrive within their deadline. */
static double storm_arrived(const struct job *job)
{
    struct storm storm = {.arrived = 0};
    struct sticps_client *client = client_open(job, STORM_MS);
    struct sticps_error err;
    client_start(client);
    if (sem_init(&storm.ended, 0, 0) != 0)
        die("no semaphore");
    for (size_t i = 0; i < STORM; i++) {
        const char *token = job->tokens[i % job->tokens_len];
        if (sticps_deliver(client, token, strlen(token), on_storm, &storm, &err) != STICPS_OK)
            die(err.text);
    }
    for (size_t i = 0; i < STORM; i++)
        while (sem_wait(&storm.ended) != 0)
            ;
    sticps_client_free(client);
    sem_destroy(&storm.ended);
    return storm.arrived;
}

/* ---- libcurl's multi interface ---- */

struct peer {
    CURLM *multi;
    struct curl_slist *headers;
    CURL *easy[WINDOW];
};

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    (void)data;
    (void)context;
    return size * count;
}

static void peer_open(struct peer *peer, const struct job *job)
{
    peer->multi = curl_multi_init();
    peer->headers = curl_slist_append(NULL, "Content-Type: application/passport");
    if (peer->multi == NULL || peer->headers == NULL)
        die("out of memory");
    for (size_t i = 0; i < WINDOW; i++) {
        CURL *easy = peer->easy[i] = curl_easy_init();
        if (easy == NULL)
            die("out of memory");
        curl_easy_setopt(easy, CURLOPT_URL, job->url);
        curl_easy_setopt(easy, CURLOPT_CAINFO, job->ca);
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, peer->headers);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 60000L);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    }
}

static void peer_send(const struct peer *peer, const struct job *job, CURL *easy, size_t number)
{
    const char *token = job->tokens[number % job->tokens_len];
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, token);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(token));
    if (curl_multi_add_handle(peer->multi, easy) != CURLM_OK)
        die("curl_multi_add_handle");
}

static double peer_deliver_all(const struct peer *peer, const struct job *job)
{
    size_t sent = 0, answered = 0;
    int running, left;
    CURLMsg *message;
    double start = process_cpu();
    for (size_t i = 0; i < WINDOW && sent < job->deliveries; i++)
        peer_send(peer, job, peer->easy[i], sent++);
    while (answered < job->deliveries) {
        if (curl_multi_perform(peer->multi, &running) != CURLM_OK)
            die("curl_multi_perform");
        while ((message = curl_multi_info_read(peer->multi, &left)) != NULL) {
            CURL *easy = message->easy_handle;
            long status = 0;
            if (message->msg != CURLMSG_DONE)
                continue;
            if (message->data.result != CURLE_OK)
                die(curl_easy_strerror(message->data.result));
            curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
            if (status != 201)
                die("the peer was answered with another status than 201");
            curl_multi_remove_handle(peer->multi, easy);
            answered++;
            if (sent < job->deliveries)
                peer_send(peer, job, easy, sent++);
        }
        if (answered < job->deliveries &&
            curl_multi_poll(peer->multi, NULL, 0, 10000, NULL) != CURLM_OK)
            die("curl_multi_poll");
    }
    return (process_cpu() - start) / (double)job->deliveries * 1e6;
}

static void peer_close(struct peer *peer)
{
    for (size_t i = 0; i < WINDOW; i++)
        curl_easy_cleanup(peer->easy[i]);
    curl_multi_cleanup(peer->multi);
    curl_slist_free_all(peer->headers);
}

/* ---- both ---- */

static void print_values(const char *name, const double *values, long count)
{
    printf("\"%s\":[", name);
    for (long i = 0; i < count; i++)
        printf("%s%.3f", i > 0 ? "," : "", values[i]);
    printf("]");
}

int main(int argc, char **argv)
{
    if (argc != 8)
        die("usage: bench_deliver STATE_DIR NPDB TOKENS URL CA ROUNDS DELIVERIES");
    struct job job = {.state_dir = argv[1], .npdb = argv[2], .url = argv[4], .ca = argv[5]};
    long rounds = strtol(argv[6], NULL, 10);
    job.deliveries = strtoul(argv[7], NULL, 10);
    if (rounds < 1 || rounds > MAX_ROUNDS || job.deliveries < 1000)
        die("ROUNDS is 1 to 100, DELIVERIES 1,000 or more");
    tokens_read(&job, argv[3]);
    struct peer peer;
    double ours[MAX_ROUNDS + 1], theirs[MAX_ROUNDS + 1];
    double median[MAX_ROUNDS + 1], p999[MAX_ROUNDS + 1], cpu[MAX_ROUNDS + 1];
    double storm[MAX_ROUNDS + 1];
    struct sticps_client *client = client_open(&job, NO_HURRY_MS);
    struct sticps_client *threaded = client_open(&job, NO_HURRY_MS);
    client_start(threaded);
    peer_open(&peer, &job);
    for (long i = 0; i <= rounds; i++) { /* the first one connects, and does not count */
        ours[i] = deliver_all(client, &job);
        theirs[i] = peer_deliver_all(&peer, &job);
        struct call_times times = time_calls(threaded, &job);
        median[i] = times.median;
        p999[i] = times.p999;
        cpu[i] = times.cpu_p999;
        storm[i] = storm_arrived(&job);
    }
    printf("{");
    print_values("deliver_us", ours + 1, rounds);
    printf(",");
    print_values("curl_us", theirs + 1, rounds);
    printf(",");
    print_values("call_median_us", median + 1, rounds);
    printf(",");
    print_values("call_p999_us", p999 + 1, rounds);
    printf(",");
    print_values("call_cpu_p999_us", cpu + 1, rounds);
    printf(",");
    print_values("storm_arrived", storm + 1, rounds);
    printf("}\n");
    peer_close(&peer);
    sticps_client_free(client);
    sticps_client_free(threaded);
    for (size_t i = 0; i < job.tokens_len; i++)
        free(job.tokens[i]);
    free(job.tokens);
    return 0;
}
