/* The world of tests/unit/test_day.c: an STI-PA that publishes a list every ten minutes for a day,
 * with signers that change every four hours and two roots, and two mirrors that serve it well,
 * badly, late or not at all. Everything that is signed is made before the day begins; the mirrors
 * are a process of their own, so that what the client takes in memory can be seen. */
#ifndef TESTS_UNIT_DAY_WORLD_H
#define TESTS_UNIT_DAY_WORLD_H

#include "common/signed_list.h"
#include "tests/unit/tls_server.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define DAY_START PKI_NOW
#define DAY_HOUR 3600
#define DAY_PERIOD 600    /* seconds between publications */
#define DAY_LIFETIME 3600 /* of a list */
#define DAY_VERSIONS (24 * DAY_HOUR / DAY_PERIOD)
#define DAY_ENTRIES 200
#define DAY_FEW 60 /* what an accident leaves of them */
#define DAY_SIGNERS 6
#define DAY_ATTACKER DAY_SIGNERS
#define DAY_MIRRORS 2

/* What a mirror does with a request for the list. */
enum offer {
    OFFER_GOOD,      /* the version that it is told, whole; 304 to whoever has it */
    OFFER_DOWN,      /* 503 */
    OFFER_DROPPED,   /* no answer */
    OFFER_TRUNCATED, /* half of it */
    OFFER_GARBAGE,   /* 200 and no list */
    OFFER_TAMPERED,  /* one character of the payload is another */
    OFFER_FORGED,    /* a newer one with other URLs, by a stranger's key */
    OFFER_TWIN,      /* the same number by the true key, with other URLs */
    OFFER_CA_LIST,   /* the genuine list of STI-CAs of that number */
    OFFER_LASTING,   /* valid longer than a list may be */
    OFFER_UNCHANGED, /* 304 whatever was asked */
    OFFERS
};

struct day_version {
    int64_t published, exp;
    int signer;
    uint16_t changed[DAY_ENTRIES + 1]; /* by entry: the version of its URL; 0: not on the list */
    char *good, *tampered, *forged, *twin, *ca_list, *lasting;
};

struct day_mirror {
    atomic_int offer, version;
};

struct day_world {
    EVP_PKEY *root_keys[3]; /* the first, the second, a stranger's */
    X509 *roots[3];
    EVP_PKEY *keys[DAY_SIGNERS + 1];
    char *chains[DAY_SIGNERS + 1];
    struct day_version versions[DAY_VERSIONS + 1]; /* by sequence; 0 is not used */
    struct tls_server *server;
    struct day_mirror *mirrors; /* shared with the process of the mirrors */
    pid_t pid;
    uint64_t random;
};

static inline unsigned day_random(struct day_world *world, unsigned below)
{
    world->random = world->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(world->random >> 33) % below;
}

/* ---- what is published ---- */

static inline void day_url(char *out, size_t room, int entry, int version)
{
    snprintf(out, room, "https://cps%d.example.com/%d", entry, version);
}

/* This one has lost most entries; nobody has given the client his word that it shall. */
static inline bool day_is_accident(int version)
{
    return version % 29 == 17;
}

/* One in thirty URLs changes, one entry in three hundred comes or goes; after an accident all is as
 * it was before. */
static inline void day_change(struct day_world *world, int version)
{
    struct day_version *v = &world->versions[version];
    bool accident = day_is_accident(version), after = day_is_accident(version - 1);
    const uint16_t *before = world->versions[version - 1 - (after ? 1 : 0)].changed;
    for (int i = 0; i < DAY_ENTRIES; i++) {
        bool there = version == 1 || (before[i] != 0) != (day_random(world, 300) == 0);
        bool kept = there && before[i] != 0 && day_random(world, 30) != 0;
        v->changed[i] = (uint16_t)(!there ? 0 : kept ? before[i] : version);
        if (accident && i >= DAY_FEW)
            v->changed[i] = 0;
    }
}

enum day_text { DAY_AS_IT_IS, DAY_OTHER_URLS };

static inline char *day_sign(const struct day_world *world, const struct day_version *v,
                             enum day_text text, int64_t sequence, int64_t exp, int signer)
{
    struct cps_entry entries[DAY_ENTRIES];
    char urls[DAY_ENTRIES][64], x5u[80], *out = NULL;
    size_t count = 0, len = 0;
    for (int i = 0; i < DAY_ENTRIES; i++) {
        if (v->changed[i] == 0)
            continue;
        char spc[8];
        snprintf(spc, sizeof(spc), "%d", 1000 + i);
        if (text == DAY_OTHER_URLS)
            snprintf(urls[i], sizeof(urls[i]), "https://elsewhere%d.example.net/", i);
        else
            day_url(urls[i], sizeof(urls[i]), i, v->changed[i]);
        assert_int_equal(spc_from_claim(spc, 4, &entries[count].spc, NULL), STICPS_OK);
        entries[count++].url = urls[i];
    }
    snprintf(x5u, sizeof(x5u), "https://127.0.0.1:%u/cert/%d", world->server->port, signer);
    assert_int_equal(signed_list_build(entries, count, sequence, exp, x5u, world->keys[signer],
                                       &out, &len, NULL),
                     STICPS_OK);
    return out;
}

static inline char *day_ca_list(const struct day_world *world, const struct day_version *v,
                                int64_t sequence)
{
    char x5u[80], *out = NULL;
    size_t len = 0;
    const char *pem = world->chains[v->signer];
    snprintf(x5u, sizeof(x5u), "https://127.0.0.1:%u/cert/%d", world->server->port, v->signer);
    assert_int_equal(
        trust_list_build(&pem, 1, sequence, v->exp, x5u, world->keys[v->signer], &out, &len, NULL),
        STICPS_OK);
    return out;
}

static inline void day_publish(struct day_world *world, int version)
{
    struct day_version *v = &world->versions[version];
    v->published = DAY_START + (int64_t)(version - 1) * DAY_PERIOD;
    v->exp = v->published + DAY_LIFETIME;
    v->signer = (version - 1) * DAY_SIGNERS / DAY_VERSIONS;
    day_change(world, version);
    v->good = day_sign(world, v, DAY_AS_IT_IS, version, v->exp, v->signer);
    v->forged = day_sign(world, v, DAY_OTHER_URLS, version + 100, v->exp, DAY_ATTACKER);
    v->twin = day_sign(world, v, DAY_OTHER_URLS, version, v->exp, v->signer);
    v->lasting = day_sign(world, v, DAY_AS_IT_IS, version, v->published + 8 * PKI_DAY, v->signer);
    v->ca_list = day_ca_list(world, v, version);
    v->tampered = strdup(v->good);
    char *at = v->tampered + strlen(v->tampered) / 2;
    *at = *at == 'A' ? 'B' : 'A';
}

/* ---- who signs ---- */

static inline void day_root(struct day_world *world, int i, const char *cn)
{
    world->root_keys[i] = pki_p256();
    struct pki_spec spec = pki_ca_spec(cn, world->root_keys[i], NULL, NULL);
    world->roots[i] = pki_make(&spec);
}

/* Valid from an hour before its lists to the end of the last of them. */
static inline void day_signer(struct day_world *world, int i, int root)
{
    world->keys[i] = pki_p256();
    struct pki_spec spec =
        pki_signer_spec(world->keys[i], world->roots[root], world->root_keys[root]);
    if (i != DAY_ATTACKER) {
        spec.begins = i * 4L * DAY_HOUR - DAY_HOUR;
        spec.ends = (i + 1) * 4L * DAY_HOUR + DAY_LIFETIME;
    }
    X509 *cert = pki_make(&spec);
    world->chains[i] = pki_pem(&cert, 1);
    X509_free(cert);
}

/* ---- the mirrors ---- */

static inline char *day_answer(const char *status, const char *headers, const char *body,
                               size_t declared, size_t *len)
{
    char *text = NULL;
    int n = asprintf(&text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s", status, declared,
                     headers, body);
    *len = n > 0 ? (size_t)n : 0;
    return n > 0 ? text : NULL;
}

static inline char *day_whole(const char *headers, const char *body, size_t *len)
{
    return day_answer("200 OK", headers, body, strlen(body), len);
}

static inline char *day_list(const struct day_mirror *mirror, const struct day_world *world,
                             const char *head, size_t *len, bool *last)
{
    int version = atomic_load(&mirror->version);
    const struct day_version *v = &world->versions[version];
    char etag[32], *half;
    snprintf(etag, sizeof(etag), "ETag: \"v%d\"\r\n", version);
    switch ((enum offer)atomic_load(&mirror->offer)) {
    case OFFER_GOOD: {
        const char *has = strcasestr(head, "If-None-Match: ");
        if (has != NULL && strncmp(has + 15, etag + 6, strlen(etag) - 6) == 0)
            return day_answer("304 Not Modified", etag, "", 0, len);
        return day_whole(etag, v->good, len);
    }
    case OFFER_UNCHANGED:
        return day_answer("304 Not Modified", "", "", 0, len);
    case OFFER_TRUNCATED:
        half = day_whole("", v->good, len);
        *len /= 2;
        *last = true;
        return half;
    case OFFER_GARBAGE:
        return day_whole("", "<html>It works!</html>", len);
    case OFFER_TAMPERED:
        return day_whole("", v->tampered, len);
    case OFFER_FORGED:
        return day_whole("", v->forged, len);
    case OFFER_TWIN:
        return day_whole("", v->twin, len);
    case OFFER_CA_LIST:
        return day_whole("", v->ca_list, len);
    case OFFER_LASTING:
        return day_whole("", v->lasting, len);
    case OFFER_DROPPED:
        return NULL;
    default:
        return day_answer("503 Service Unavailable", "", "", 0, len);
    }
}

static inline char *day_answers(void *ctx, const char *head, size_t *len, bool *last)
{
    const struct day_world *world = ctx;
    int n = 0;
    if (sscanf(head, "GET /cert/%d ", &n) == 1 && n >= 0 && n <= DAY_ATTACKER)
        return day_whole("Cache-Control: max-age=1800\r\n", world->chains[n], len);
    if (sscanf(head, "GET /mirror/%d ", &n) == 1 && n >= 0 && n < DAY_MIRRORS)
        return day_list(&world->mirrors[n], world, head, len, last);
    return day_answer("404 Not Found", "", "", 0, len);
}

/* The process of the mirrors ends with this one. */
static inline void day_serve(struct day_world *world)
{
    pid_t parent = getpid();
    world->pid = fork();
    assert_true(world->pid >= 0);
    if (world->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    if (getppid() != parent)
        _exit(1);
    world->server->answers = day_answers;
    world->server->answers_ctx = world;
    tls_server_run(world->server);
    pthread_join(world->server->thread, NULL);
    _exit(1);
}

/* ---- its life ---- */

static inline struct day_world *day_world_new(uint64_t seed)
{
    struct day_world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->random = seed;
    world->mirrors = mmap(NULL, DAY_MIRRORS * sizeof(*world->mirrors), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(world->mirrors != MAP_FAILED);
    world->server = tls_server_new();
    day_root(world, 0, "STI-PA root 1");
    day_root(world, 1, "STI-PA root 2");
    day_root(world, 2, "stranger's root");
    for (int i = 0; i < DAY_SIGNERS; i++)
        day_signer(world, i, i < DAY_SIGNERS / 2 ? 0 : 1);
    day_signer(world, DAY_ATTACKER, 2);
    for (int version = 1; version <= DAY_VERSIONS; version++)
        day_publish(world, version);
    day_serve(world);
    return world;
}

static inline void day_world_free(struct day_world *world)
{
    kill(world->pid, SIGKILL);
    waitpid(world->pid, NULL, 0);
    for (int version = 1; version <= DAY_VERSIONS; version++) {
        struct day_version *v = &world->versions[version];
        char *texts[] = {v->good, v->tampered, v->forged, v->twin, v->ca_list, v->lasting};
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
            free(texts[i]);
    }
    for (int i = 0; i <= DAY_ATTACKER; i++) {
        free(world->chains[i]);
        EVP_PKEY_free(world->keys[i]);
    }
    for (int i = 0; i < 3; i++) {
        X509_free(world->roots[i]);
        EVP_PKEY_free(world->root_keys[i]);
    }
    munmap(world->mirrors, DAY_MIRRORS * sizeof(*world->mirrors));
    tls_server_stop(world->server);
    free(world);
}

#endif
