/* A day in the life of a client, in simulated time: 2,880 refreshes from two mirrors that flap and
 * a file, 144 publications, signers and anchors that rotate, accidents, attacks, outages longer
 * than a list lives, clock steps and restarts, while four threads resolve. Each answer is held to
 * what the STI-PA has published: its URL is that of the list that it names, that list is out, is
 * not older than one that was held before, and is in force. And the client takes no more memory at
 * the end of the day than after noon. STICPS_SEED gives another day. */
#include "sticps/sticps.h"

#include "tests/unit/day_world.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>

#if defined(__SANITIZE_THREAD__)
#define STEP 120 /* under ThreadSanitizer the day takes ten times as long */
#else
#define STEP 30 /* simulated seconds between refreshes */
#endif
#define STEPS (24 * DAY_HOUR / STEP)
#define HOUR_STEPS (DAY_HOUR / STEP)
#define RESOLVERS 4
#define RESOLVES 1000000
#define BATCH 20
#define GRACE 600
#define NOON_STEP (13 * HOUR_STEPS) /* the client of 12 o'clock has warmed up */
#define MAX_GROWTH (64 * 1024)      /* bytes allocated; buffers of one more connection */
#define MAX_RSS_GROWTH (2 * 1024 * 1024)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_IS_OURS 0 /* the sanitizer's allocator keeps what is freed */
#else
#define MEMORY_IS_OURS 1
#endif

struct day {
    struct day_world *world;
    char dir[64], npdb[96], file[96], anchor_file[96];
    pthread_rwlock_t client_lock; /* written while the client is replaced */
    struct sticps_client *client;
    unsigned anchors; /* the roots in the client's file of anchors, by bits */
    int held;         /* by the director's last refresh */

    _Atomic(int64_t) now; /* the client's clock */
    atomic_uint ticks;    /* how often it was set */
    atomic_int published; /* the newest that is out */
    atomic_int held_at_least;
    atomic_bool over;
    atomic_ullong resolved, unweighed; /* answers; those during which the clock moved */
    atomic_ullong urls, none, stale, expired;
    atomic_bool failed;
    char failure[512];                 /* the first, once `failed` */
    uint64_t counts[STICPS_ERR_COUNT]; /* how sources and single fetches ended, of all clients */
    uint64_t taken;
};

static int64_t clock_of(void *ctx)
{
    return atomic_load(&((struct day *)ctx)->now);
}

static void set_clock(struct day *day, int64_t now)
{
    atomic_store(&day->now, now);
    atomic_fetch_add(&day->ticks, 1);
}

/* ---- the answers ---- */

/* cmocka's asserts belong to the main thread. */
static void complain(struct day *day, const char *what, const struct sticps_answer *answer,
                     int entry, enum sticps_err code)
{
    if (atomic_exchange(&day->failed, true))
        return;
    snprintf(day->failure, sizeof(day->failure),
             "%s: entry %d, %s, list %lld (held at least %d, published %d), %s, %s, clock %+lld",
             what, entry, sticps_err_name(code), (long long)sticps_answer_sequence(answer),
             atomic_load(&day->held_at_least), atomic_load(&day->published),
             sticps_freshness_name(sticps_answer_freshness(answer)), sticps_answer_url(answer),
             (long long)(atomic_load(&day->now) - DAY_START));
}

static enum sticps_freshness freshness_at(int64_t now, int64_t exp)
{
    return now < exp ? STICPS_FRESH : now < exp + GRACE ? STICPS_STALE : STICPS_EXPIRED;
}

/* What the list that the answer names says about the entry. */
static bool is_of_its_list(const struct day *day, const struct sticps_answer *answer, int entry,
                           enum sticps_err code)
{
    const struct day_version *v = &day->world->versions[sticps_answer_sequence(answer)];
    char url[64] = "";
    if (sticps_answer_freshness(answer) == STICPS_EXPIRED)
        return code == STICPS_ERR_LIST_EXPIRED && sticps_answer_url(answer)[0] == '\0';
    if (v->changed[entry] != 0)
        day_url(url, sizeof(url), entry, v->changed[entry]);
    return code == (url[0] != '\0' ? STICPS_OK : STICPS_ERR_CARRIER_HAS_NO_CPS) &&
           strcmp(sticps_answer_url(answer), url) == 0;
}

static void count(struct day *day, const struct sticps_answer *answer, enum sticps_err code)
{
    atomic_fetch_add(code == STICPS_OK ? &day->urls : &day->none, 1);
    if (sticps_answer_freshness(answer) == STICPS_STALE)
        atomic_fetch_add(&day->stale, 1);
    if (sticps_answer_freshness(answer) == STICPS_EXPIRED)
        atomic_fetch_add(&day->expired, 1);
    atomic_fetch_add(&day->resolved, 1);
}

static void resolve_one(struct day *day, struct sticps_answer *answer, unsigned *random)
{
    char number[16];
    int entry = (int)(rand_r(random) % DAY_ENTRIES);
    snprintf(number, sizeof(number), "202%03d%04d", 300 + entry, rand_r(random) % 10000);
    int floor = atomic_load(&day->held_at_least);
    unsigned ticks = atomic_load(&day->ticks);
    int64_t before = atomic_load(&day->now);
    enum sticps_err code = sticps_resolve(day->client, number, answer, NULL);
    int64_t after = atomic_load(&day->now);
    bool weighed = atomic_load(&day->ticks) == ticks; /* then the clock was set once at most */
    int64_t sequence = sticps_answer_sequence(answer);
    enum sticps_freshness freshness = sticps_answer_freshness(answer);
    if (sequence < floor)
        complain(day, "an older list than one that was held", answer, entry, code);
    else if (sequence > atomic_load(&day->published))
        complain(day, "a list that is not out", answer, entry, code);
    else if (!is_of_its_list(day, answer, entry, code))
        complain(day, "an answer that its list does not give", answer, entry, code);
    else if (weighed && freshness != freshness_at(before, day->world->versions[sequence].exp) &&
             freshness != freshness_at(after, day->world->versions[sequence].exp))
        complain(day, "a list taken for fresher or older than it is", answer, entry, code);
    if (!weighed)
        atomic_fetch_add(&day->unweighed, 1);
    count(day, answer, code);
}

static void *resolver_main(void *ctx)
{
    struct day *day = ((void **)ctx)[0];
    unsigned random = (unsigned)(intptr_t)((void **)ctx)[1];
    struct sticps_answer *answer = sticps_answer_new();
    while (answer != NULL && !atomic_load(&day->over) && !atomic_load(&day->failed)) {
        pthread_rwlock_rdlock(&day->client_lock);
        for (int i = 0; i < BATCH; i++)
            resolve_one(day, answer, &random);
        pthread_rwlock_unlock(&day->client_lock);
        const struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    sticps_answer_free(answer);
    return NULL;
}

/* ---- the client's life ---- */

static void add_counts(struct day *day)
{
    for (int code = 0; code < STICPS_ERR_COUNT; code++)
        day->counts[code] +=
            sticps_event_count(day->client, STICPS_EVENT_SOURCE, (enum sticps_err)code);
}

/* The client's file of anchors: the first root alone, both from 8 o'clock, the second alone
 * from 13. */
static void move_anchors(struct day *day, int step)
{
    int hour = step / HOUR_STEPS;
    unsigned anchors = hour < 8 ? 1u : hour < 13 ? 3u : 2u;
    X509 *roots[2];
    size_t count = 0;
    char fresh[112];
    if (anchors == day->anchors)
        return;
    for (unsigned root = 0; root < 2; root++)
        if ((anchors >> root & 1u) != 0)
            roots[count++] = day->world->roots[root];
    char *pem = pki_pem(roots, count);
    snprintf(fresh, sizeof(fresh), "%s.new", day->anchor_file);
    FILE *file = fopen(fresh, "w");
    assert_non_null(file);
    assert_true(fputs(pem, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, day->anchor_file), 0);
    free(pem);
    day->anchors = anchors;
}

/* `number` 0 to 6, one each two hours. */
static void replace_client(struct day *day, int number)
{
    const struct day_world *world = day->world;
    struct sticps_options *options = sticps_options_new();
    assert_non_null(options);
    assert_int_equal(sticps_options_add_anchor_file(options, day->anchor_file, NULL), STICPS_OK);
    for (int i = 0; i < DAY_MIRRORS; i++) {
        char url[80];
        snprintf(url, sizeof(url), "https://127.0.0.1:%u/mirror/%d", world->server->port, i);
        assert_int_equal(sticps_options_add_list_url(options, STICPS_LIST_CPS, url, NULL),
                         STICPS_OK);
    }
    assert_int_equal(sticps_options_add_list_file(options, STICPS_LIST_CPS, day->file, NULL),
                     STICPS_OK);
    assert_int_equal(sticps_options_set_state_dir(options, day->dir, NULL), STICPS_OK);
    assert_int_equal(sticps_options_add_tls_ca_file(options, world->server->ca_path, NULL),
                     STICPS_OK);
    sticps_options_set_lab(options, true);
    sticps_options_set_grace(options, GRACE);
    sticps_options_set_list_timeout(options, 60000);
    sticps_options_set_x5u_timeout(options, 30000);
    sticps_options_set_clock(options, clock_of, day);

    pthread_rwlock_wrlock(&day->client_lock);
    if (day->client != NULL)
        add_counts(day);
    sticps_client_free(day->client);
    day->client = NULL;
    assert_int_equal(sticps_client_new(options, &day->client, NULL), STICPS_OK);
    const char *npdb = day->npdb;
    assert_int_equal(sticps_client_set_npdb(day->client, &npdb, 1, NULL), STICPS_OK);
    if (number > 0)
        assert_int_equal(sticps_list_load(day->client, STICPS_LIST_CPS, NULL), STICPS_OK);
    if (number % 2 == 0) /* the others are driven by the refreshes that wait */
        assert_int_equal(sticps_client_start_thread(day->client, NULL), STICPS_OK);
    if (number == 2 || number == 4)
        assert_int_equal(sticps_list_keep_fresh(day->client, STICPS_LIST_CPS, 1, NULL), STICPS_OK);
    pthread_rwlock_unlock(&day->client_lock);
    sticps_options_free(options);
}

/* ---- what the director expects ---- */

static bool shrinks(const struct day_version *held, const struct day_version *v)
{
    int had = 0, lost = 0;
    for (int i = 0; i < DAY_ENTRIES; i++) {
        had += held->changed[i] != 0;
        lost += held->changed[i] != 0 && v->changed[i] == 0;
    }
    return lost == had || (lost > 20 && lost * 100 > had * 20);
}

static bool is_acceptable(const struct day *day, int version)
{
    const struct day_version *v = &day->world->versions[version];
    int64_t now = atomic_load(&day->now), begins = DAY_START + v->signer * 4L * DAY_HOUR - DAY_HOUR;
    unsigned root = v->signer < DAY_SIGNERS / 2 ? 1u : 2u;
    return version >= day->held && (day->anchors & root) != 0 && now >= begins && now < v->exp &&
           (day->held == 0 || !shrinks(&day->world->versions[day->held], v));
}

static bool is_offered(const struct day *day, int version)
{
    for (int i = 0; i < DAY_MIRRORS; i++)
        if (atomic_load(&day->world->mirrors[i].offer) == OFFER_GOOD &&
            atomic_load(&day->world->mirrors[i].version) == version)
            return true;
    return false;
}

static void refresh(struct day *day, int newest, int on_file)
{
    struct sticps_list *list = NULL;
    enum sticps_list_status status = STICPS_LIST_CURRENT;
    struct sticps_error err = {0};
    bool due = is_offered(day, newest) && is_acceptable(day, newest);
    bool file_due = on_file > 0 && !is_offered(day, newest) && is_acceptable(day, on_file) &&
                    atomic_load(&day->world->mirrors[0].offer) == OFFER_DOWN &&
                    atomic_load(&day->world->mirrors[1].offer) == OFFER_DOWN;
    enum sticps_err code =
        sticps_list_refresh_wait(day->client, STICPS_LIST_CPS, &list, &status, NULL, &err);
    day->taken += code == STICPS_OK && status == STICPS_LIST_TAKEN;
    sticps_list_unref(list);
    list = sticps_list_held(day->client, STICPS_LIST_CPS);
    int held = list != NULL ? (int)sticps_list_sequence(list) : 0;
    sticps_list_unref(list);
    if (due && (code != STICPS_OK || held != newest))
        fail_msg("list %d is offered and good, and %d is held: %s %s (%s)", newest, held,
                 sticps_err_name(code), err.text, err.where);
    if (file_due && held < on_file)
        fail_msg("list %d is on file and good, and %d is held: %s %s", on_file, held,
                 sticps_err_name(code), err.text);
    assert_true(held >= day->held && held <= newest);
    assert_false(day_is_accident(held));
    day->held = held;
    atomic_store(&day->held_at_least, held);
}

/* ---- the world's moves ---- */

static bool is_outage(int step)
{
    int hour = step / HOUR_STEPS;
    return hour == 5 || hour == 6 || hour == 18 || hour == 19;
}

/* Half of the time a mirror is good; else it lags, or is bad in one of the ways, for a while. */
static void move_mirror(struct day *day, int i, int step, int newest, int *until)
{
    struct day_mirror *mirror = &day->world->mirrors[i];
    int offer = atomic_load(&mirror->offer);
    static int lag[DAY_MIRRORS];
    if (is_outage(step)) {
        atomic_store(&mirror->offer, OFFER_DOWN);
        *until = step;
        return;
    }
    if (step >= *until) {
        offer = OFFER_GOOD;
        lag[i] = 0;
        unsigned kind = day_random(day->world, 24);
        if (kind < OFFERS)
            offer = (int)kind;
        else if (kind < OFFERS + 2)
            lag[i] = (int)(1 + day_random(day->world, 12));
        *until = step + 1 + (int)day_random(day->world, 20);
    }
    int version = newest > lag[i] ? newest - lag[i] : 1;
    if (offer == OFFER_TWIN) /* of a list that the client knows: of another nobody could tell */
        version = day->held > 0 ? day->held : 1;
    if (offer == OFFER_TWIN && day->held == 0)
        offer = OFFER_DOWN;
    atomic_store(&mirror->offer, OFFER_DOWN); /* never a new offer with an old version */
    atomic_store(&mirror->version, version);
    atomic_store(&mirror->offer, offer);
}

/* Somebody carries a list to a client that an outage has cut off, and takes it away later. The
 * version that is there, or 0. */
static int move_file(const struct day *day, int step, int newest)
{
    static int on_file;
    int minute = step * STEP / 60;
    if (minute == 6 * 60 + 40 || minute == 19 * 60 + 40) {
        char fresh[112];
        snprintf(fresh, sizeof(fresh), "%s.new", day->file);
        FILE *file = fopen(fresh, "w");
        assert_non_null(file);
        assert_true(fputs(day->world->versions[newest].good, file) >= 0);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(rename(fresh, day->file), 0);
        on_file = newest;
    }
    if (minute == 8 * 60 || minute == 21 * 60) {
        unlink(day->file);
        on_file = 0;
    }
    return on_file;
}

/* How far the client's clock is off. */
static int64_t skew_at(int step)
{
    int hour = step / HOUR_STEPS, minute = step % HOUR_STEPS * STEP / 60;
    if (hour == 3 && minute < 10)
        return 2L * DAY_HOUR;
    if (hour == 9 && minute < 20)
        return -1800;
    if (hour == 15 && minute < 10)
        return -3L * PKI_DAY;
    return hour == 21 && minute < 5 ? 30L * PKI_DAY : 0;
}

/* ---- memory ---- */

struct memory {
    size_t allocated, resident; /* bytes */
};

static struct memory measure(void)
{
    struct memory memory = {0, 0};
#if MEMORY_IS_OURS
    struct mallinfo2 info = mallinfo2();
    memory.allocated = info.uordblks + info.hblkhd;
#endif
    unsigned long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL && fscanf(file, "%lu %lu", &size, &resident) == 2)
        memory.resident = resident * (size_t)sysconf(_SC_PAGESIZE);
    if (file != NULL)
        fclose(file);
    return memory;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Looks once an hour: the most of the hours after noon, the least of the last ones. How many
 * connections a moment finds kept makes no difference then. */
static void look_at_memory(int step, struct memory *noon, struct memory *end)
{
    if (step < NOON_STEP || step % HOUR_STEPS != 0)
        return;
    struct memory is = measure();
    if (step < NOON_STEP + 4 * HOUR_STEPS) {
        noon->allocated = larger(noon->allocated, is.allocated);
        noon->resident = larger(noon->resident, is.resident);
    } else if (step >= STEPS - 4 * HOUR_STEPS) {
        end->allocated = smaller(end->allocated, is.allocated);
        end->resident = smaller(end->resident, is.resident);
    }
}

/* ---- the day ---- */

static void wait_for_resolves(struct day *day, unsigned long long wanted)
{
    const struct timespec pause = {0, 200000};
    while (atomic_load(&day->resolved) < wanted && !atomic_load(&day->failed))
        nanosleep(&pause, NULL);
}

static void live(struct day *day, struct memory *noon, struct memory *end)
{
    pthread_t threads[RESOLVERS];
    void *contexts[RESOLVERS][2];
    int until[DAY_MIRRORS] = {0};
    for (int step = 0; step < STEPS && !atomic_load(&day->failed); step++) {
        int newest = 1 + step * STEP / DAY_PERIOD;
        move_anchors(day, step);
        if (step % (2 * HOUR_STEPS) == 0 && step <= 12 * HOUR_STEPS)
            replace_client(day, step / (2 * HOUR_STEPS));
        atomic_store(&day->published, newest);
        set_clock(day, DAY_START + (int64_t)step * STEP + skew_at(step));
        for (int i = 0; i < DAY_MIRRORS; i++)
            move_mirror(day, i, step, newest, &until[i]);
        if (step == 0) /* the first list comes over the first mirror */
            atomic_store(&day->world->mirrors[0].offer, OFFER_GOOD);
        refresh(day, newest, move_file(day, step, newest));
        for (int i = 0; step == 0 && i < RESOLVERS; i++) {
            contexts[i][0] = day;
            contexts[i][1] = (void *)(intptr_t)(day_random(day->world, 1u << 30));
            assert_int_equal(pthread_create(&threads[i], NULL, resolver_main, contexts[i]), 0);
        }
        wait_for_resolves(day, (unsigned long long)(step + 1) * RESOLVES / STEPS);
        look_at_memory(step, noon, end);
    }
    atomic_store(&day->over, true);
    for (int i = 0; i < RESOLVERS; i++)
        pthread_join(threads[i], NULL);
}

static void build_npdb(const struct day *day)
{
    struct sticps_npdb_build *build = NULL;
    char blocks[96];
    snprintf(blocks, sizeof(blocks), "%s/blocks.csv", day->dir);
    FILE *file = fopen(blocks, "w");
    assert_non_null(file);
    for (int i = 0; i < DAY_ENTRIES; i++)
        fprintf(file, "1202%03d,%d\n", 300 + i, 1000 + i);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(sticps_npdb_build_new(&build, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_add_blocks(build, blocks, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_run(build, day->npdb, NULL), STICPS_OK);
    sticps_npdb_build_free(build);
    unlink(blocks);
}

static double cpu_seconds(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void tell(const struct day *day, const struct memory *noon, const struct memory *end)
{
    printf("%llu resolves: %llu URLs, %llu without; %llu stale, %llu expired, %llu while the clock "
           "moved\n",
           day->resolved, day->urls, day->none, day->stale, day->expired, day->unweighed);
    printf("%d lists published, %" PRIu64 " refreshes took one; sources:", DAY_VERSIONS,
           day->taken);
    for (int code = 0; code < STICPS_ERR_COUNT; code++)
        if (day->counts[code] > 0)
            printf(" %s %" PRIu64, sticps_err_name((enum sticps_err)code), day->counts[code]);
    printf("\nallocated %zu at noon, %zu at the end; resident %zu, %zu\n", noon->allocated,
           end->allocated, noon->resident, end->resident);
    printf("CPU seconds: %.1f, and %.1f of the mirrors\n", cpu_seconds(RUSAGE_SELF),
           cpu_seconds(RUSAGE_CHILDREN));
}

/* Nothing that is said above would be shown by a day on which it did not happen. */
static void assert_it_was_a_bad_day(const struct day *day)
{
    static const enum sticps_err refusals[] = {
        STICPS_ERR_FETCH,   STICPS_ERR_FORM, STICPS_ERR_SIGNER,   STICPS_ERR_SIGNATURE,
        STICPS_ERR_PAYLOAD, STICPS_ERR_EXP,  STICPS_ERR_ROLLBACK, STICPS_ERR_EQUIVOCATION,
        STICPS_ERR_SHRINK,  STICPS_OK};
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (day->counts[refusals[i]] == 0)
            fail_msg("no source ended with %s", sticps_err_name(refusals[i]));
    assert_true(day->taken >= DAY_VERSIONS / 2);
    assert_true(day->resolved >= RESOLVES && day->urls >= RESOLVES / 2);
    assert_true(day->none > 0 && day->stale > 0 && day->expired > 0);
    assert_true(day->unweighed < day->resolved / 10);
}

static void test_a_day(void **state)
{
    const char *given = getenv("STICPS_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20231114;
    struct day *day = calloc(1, sizeof(*day));
    struct memory noon = {0, 0}, end = {SIZE_MAX, SIZE_MAX};
    (void)state;
    printf("STICPS_SEED=%" PRIu64 "\n", seed);
    fflush(stdout); /* the mirrors' process shall not print it again */
    assert_non_null(day);
    day->world = day_world_new(seed);
    pthread_rwlock_init(&day->client_lock, NULL);
    strcpy(day->dir, "/tmp/sticps-day-XXXXXX");
    assert_non_null(mkdtemp(day->dir));
    snprintf(day->npdb, sizeof(day->npdb), "%s/numbers.npdb", day->dir);
    snprintf(day->file, sizeof(day->file), "%s/carried.jwt", day->dir);
    snprintf(day->anchor_file, sizeof(day->anchor_file), "%s/anchors.pem", day->dir);
    build_npdb(day);
    set_clock(day, DAY_START);

    live(day, &noon, &end);
    add_counts(day);
    sticps_client_free(day->client);
    day_world_free(day->world);
    tell(day, &noon, &end);
    if (day->failed)
        fail_msg("%s", day->failure);
    assert_it_was_a_bad_day(day);
    if (MEMORY_IS_OURS) {
        assert_true(end.allocated <= noon.allocated + MAX_GROWTH);
        assert_true(end.resident <= noon.resident + MAX_RSS_GROWTH);
    }
    char command[96];
    snprintf(command, sizeof(command), "rm -r %s", day->dir);
    assert_int_equal(system(command), 0);
    pthread_rwlock_destroy(&day->client_lock);
    free(day);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_day)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
