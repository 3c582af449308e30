/* sticps doctor: what is on this machine - the state, the anchors, the CRL, the portability files.
 * Reads only. */
#include "client/cli/doctor.h"
#include "client/client.h"
#include "client/npdb_reader.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAY 86400
#define NPDB_OLD (7 * DAY)
#define LOCK_TRIES 50 /* as long as a fetch waits for the lock: 5 s */
#define LOCK_PAUSE_MS 100

static void age_text(int64_t seconds, char *out, size_t size)
{
    if (seconds < 2 * 3600)
        snprintf(out, size, "%" PRId64 " minutes", seconds / 60);
    else if (seconds < 2 * DAY)
        snprintf(out, size, "%" PRId64 " hours", seconds / 3600);
    else
        snprintf(out, size, "%" PRId64 " days", seconds / DAY);
}

/* ---- anchors and CRL ---- */

static void look_at_anchors(struct doctor *doctor, const char *path)
{
    struct sticps_error err = {0};
    struct anchors *anchors = NULL;
    enum sticps_err code = anchors_new(&anchors, &err);
    if (code == STICPS_OK)
        code = anchors_add_file(anchors, path, &err);
    if (code != STICPS_OK)
        step_fail(report_add(&doctor->report, "anchor", "file", "%s", path), &err,
                  "Give the STI-PA's certificate as PEM or DER.");
    for (size_t i = 0; code == STICPS_OK && i < anchors_count(anchors); i++) {
        char text[420];
        cert_text(doctor, anchors_get(anchors, i), text, sizeof(text));
        cert_warn(doctor, report_add(&doctor->report, "anchor", "file", "%s: %s", path, text),
                  anchors_get(anchors, i),
                  "Get the STI-PA's next anchor and give it beside this one.");
    }
    anchors_free(anchors);
}

void doctor_anchors(struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->o.anchors.len; i++)
        look_at_anchors(doctor, doctor->o.anchors.items[i]);
}

void doctor_crl(struct doctor *doctor)
{
    char next[21] = "never";
    struct sticps_error err = {0};
    struct crl *crl = NULL;
    const char *path = doctor->o.crl;
    struct anchors *signers = anchor_set_get(doctor->client->crl_signers);
    enum sticps_err code = crl_load(path, &crl, &err);
    if (code == STICPS_OK)
        code = crl_check(crl, signers, doctor->now, STICPS_ERR_SIGNER, &err);
    anchors_free(signers);
    if (crl != NULL && crl_next_update(crl) != INT64_MAX)
        clock_format(crl_next_update(crl), next);
    struct report_step *step =
        report_add(&doctor->report, "crl", "file", "%s%s%s", path,
                   crl != NULL ? ", next update " : "", crl != NULL ? next : "");
    if (code != STICPS_OK) /* as a fetch of a list would, which it would refuse */
        step_fail(step, &err, "Fetch the STI-PA's CRL anew, and name its signer by --crl-signer.");
    else if (crl_next_update(crl) - doctor->now < DAY)
        step_warn(step, "EXPIRES_SOON", "Fetch the STI-PA's CRL anew.",
                  "it is overdue within a day, and then no list is accepted");
    crl_unref(crl);
}

/* ---- the state ---- */

static void look_at_directory(struct doctor *doctor, const char *dir)
{
    struct sticps_error err = {0};
    struct stat stat_of;
    if (stat(dir, &stat_of) != 0 && errno == ENOENT) {
        report_add(&doctor->report, "state", "directory", "%s: the first fetch makes it", dir);
        return;
    }
    bool known = stat(dir, &stat_of) == 0;
    struct report_step *step = report_add(
        &doctor->report, "state", "directory", "%s: owner %ld, mode %03o, user %ld", dir,
        known ? (long)stat_of.st_uid : -1L, known ? stat_of.st_mode & 0777u : 0u, (long)geteuid());
    if (!known || !S_ISDIR(stat_of.st_mode))
        fail(&err, STICPS_ERR_FILE, dir, "%s", known ? "not a directory" : strerror(errno));
    else if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) != 0)
        fail(&err, STICPS_ERR_FILE, dir, "lists cannot be stored there: %s", strerror(errno));
    else if ((stat_of.st_mode & S_IWOTH) != 0)
        step_warn(step, "OPEN", "Take the right to write from others: chmod o-w.",
                  "everybody on this machine may replace the list that calls are routed by");
    if (err.code != STICPS_OK)
        step_fail(step, &err, "Give the directory to the user that runs the client.");
}

/* Looks whether another process keeps the lock, as long as a fetch would wait for it. */
static void look_at_lock(struct doctor *doctor, const char *dir, const char *name)
{
    char path[4200];
    const struct timespec pause = {0, LOCK_PAUSE_MS * 1000000L};
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return; /* nobody has fetched yet */
    bool got = flock(fd, LOCK_EX | LOCK_NB) == 0;
    for (int i = 0; i < LOCK_TRIES && !got; i++) {
        nanosleep(&pause, NULL);
        got = flock(fd, LOCK_EX | LOCK_NB) == 0;
    }
    close(fd);
    struct report_step *step = report_add(&doctor->report, "state", "lock", "%s", path);
    struct sticps_error err;
    fail(&err, STICPS_ERR_STATE, NULL, "another process has kept the lock for %d s",
         LOCK_TRIES * LOCK_PAUSE_MS / 1000);
    if (!got)
        step_fail(step, &err, "Find who has it with lsof, and end what hangs.");
}

static void tell_state(struct doctor *doctor, const char *name, const struct list_state *state)
{
    char age[64], exp[21];
    if (state->jws == NULL) {
        struct report_step *step = report_add(&doctor->report, "state", name,
                                              "no list; the floor is %" PRId64, state->floor);
        if (doctor->o.list_urls.len + doctor->o.list_files.len == 0)
            step_warn(step, sticps_err_name(STICPS_ERR_NO_LIST),
                      "Fetch one with sticps list fetch.",
                      "no number has a CPS until there is one");
        return;
    }
    age_text(doctor->now - state->fetched_at, age, sizeof(age));
    clock_format(state->exp, exp);
    struct report_step *step =
        report_add(&doctor->report, "state", name,
                   "sequence %" PRId64 ", the floor is %" PRId64 ", fetched %s ago from %s, valid "
                   "until %s",
                   state->sequence, state->floor, age, state->source, exp);
    if (state->exp <= doctor->now)
        step_warn(step, sticps_err_name(STICPS_ERR_LIST_EXPIRED), "Fetch a newer list.",
                  "the held list has expired, so that no number has a CPS");
    else if (state->fetched_at > doctor->now + 60)
        step_warn(step, "CLOCK", "Set this machine's clock.",
                  "the held list was fetched in the future");
}

/* False when it is damaged. */
static bool look_at_list(struct doctor *doctor, enum sticps_list_kind kind, const char *name)
{
    struct sticps_error err = {0};
    struct list_state state = {0};
    if (lists_read(doctor->client->lists, kind, &state, &err) != STICPS_OK) {
        step_fail(report_add(&doctor->report, "state", name, "%s", ""), &err, NULL);
        return false;
    }
    if (kind == STICPS_LIST_CPS || state.jws != NULL)
        tell_state(doctor, name, &state);
    list_state_clear(&state);
    return true;
}

bool doctor_state(struct doctor *doctor)
{
    const char *dir = doctor->o.state;
    look_at_directory(doctor, dir);
    look_at_lock(doctor, dir, "cps-list.lock");
    look_at_lock(doctor, dir, "ca-list.lock");
    bool cps = look_at_list(doctor, STICPS_LIST_CPS, "cps-list");
    bool ca = look_at_list(doctor, STICPS_LIST_CA, "ca-list");
    return cps && ca;
}

/* ---- portability ---- */

static void look_at_npdb(struct doctor *doctor, const char *path)
{
    struct sticps_error err = {0};
    struct npdb *npdb = NULL;
    struct stat stat_of = {0};
    char age[64];
    if (npdb_open(path, NPDB_CHECK_ALL, &npdb, &err) != STICPS_OK) {
        step_fail(report_add(&doctor->report, "npdb", "file", "%s", path), &err, NULL);
        return;
    }
    struct npdb_figures figures;
    npdb_figures(npdb, &figures);
    npdb_close(npdb);
    int64_t seconds = stat(path, &stat_of) == 0 ? doctor->now - (int64_t)stat_of.st_mtime : 0;
    age_text(seconds, age, sizeof(age));
    struct report_step *step = report_add(&doctor->report, "npdb", "file",
                                          "%s: %s old, %" PRIu64 " blocks, %" PRIu64
                                          " ported numbers, %" PRIu64 " carriers",
                                          path, age, figures.blocks, figures.ports, figures.spcs);
    if (seconds > NPDB_OLD)
        step_warn(step, "OLD", "Build it from newer data with sticps npdb build.",
                  "numbers that were ported since are looked for at the wrong carrier");
}

void doctor_npdb(struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->o.npdb.len; i++)
        look_at_npdb(doctor, doctor->o.npdb.items[i]);
}
