/* Rules 8 and 9 where they are kept: in a client that holds its lists in memory alone, and in one
 * with a state directory, which other processes share. */
#include "client/lists.h"

#include "client/list.h"
#include "common/signed_list.h"

#include "tests/unit/one_key.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_URL "https://a.example/l"
#define NOW 1589900000

static char dir[64];

/* A client's lists, as if it had just started. */
struct node {
    struct sticps_options *options;
    struct gate gate;
    struct lists *lists;
};

static int64_t now = NOW;

static int64_t tell_time(void *ctx)
{
    (void)ctx;
    return now;
}

static void start(struct node *node, const char *state_dir)
{
    node->options = sticps_options_new();
    assert_non_null(node->options);
    sticps_options_set_clock(node->options, tell_time, NULL);
    if (state_dir != NULL)
        assert_int_equal(sticps_options_set_state_dir(node->options, state_dir, NULL), STICPS_OK);
    gate_init(&node->gate);
    assert_int_equal(lists_new(node->options, &node->gate, &node->lists, NULL), STICPS_OK);
}

static void stop(struct node *node)
{
    lists_free(node->lists);
    gate_destroy(&node->gate);
    sticps_options_free(node->options);
}

static char *list_of(int64_t sequence, const char *url)
{
    struct spc spc;
    char *jws = NULL;
    size_t len;
    assert_int_equal(spc_from_claim("1234", 4, &spc, NULL), STICPS_OK);
    struct cps_entry entry = {spc, url};
    assert_int_equal(signed_list_build(&entry, url != NULL ? 1 : 0, sequence, NOW + 3600,
                                       "https://a.example/c", key, &jws, &len, NULL),
                     STICPS_OK);
    return jws;
}

/* What passed rules 2 to 7 goes through 8 and 9. */
static enum sticps_err commit(struct node *node, const char *jws)
{
    struct list_candidate candidate;
    struct signed_list *payload = NULL;
    struct sticps_list *held = NULL;
    enum sticps_list_status status;
    int64_t previous;
    assert_int_equal(list_accept_open(jws, strlen(jws), SIGNED_LIST_CPS_MAPPING, LIST_URL,
                                      node->options, &candidate, NULL),
                     STICPS_OK);
    assert_int_equal(list_accept_payload(&candidate, NOW, node->options, &payload, NULL),
                     STICPS_OK);
    struct list_commit commit = {
        .kind = STICPS_LIST_CPS,
        .candidate = &candidate,
        .payload = payload,
        .accepted =
            {
                .fetched_at = NOW,
                .source = LIST_URL,
                .etag = "",
                .x5u = candidate.header.x5u,
                .chain = "",
            },
    };
    enum sticps_err code = lists_commit(node->lists, &commit, &status, &previous, &held, NULL);
    sticps_list_unref(held);
    signed_list_free(commit.payload);
    list_candidate_clear(&candidate);
    return code;
}

static int64_t held_sequence(struct node *node)
{
    struct sticps_list *held = lists_held(node->lists, STICPS_LIST_CPS);
    int64_t sequence = held != NULL ? sticps_list_sequence(held) : 0;
    sticps_list_unref(held);
    return sequence;
}

static void attack(struct node *node, const char *five)
{
    char *six = list_of(6, "https://a.example/");
    char *again = list_of(6, "https://a.example/"), *none = list_of(7, NULL);
    assert_int_equal(commit(node, five), STICPS_OK);
    assert_int_equal(commit(node, six), STICPS_OK);
    assert_int_equal(commit(node, five), STICPS_ERR_ROLLBACK);
    assert_int_equal(commit(node, again), STICPS_ERR_EQUIVOCATION); /* the same, signed again */
    assert_int_equal(commit(node, none), STICPS_ERR_SHRINK);
    assert_int_equal(commit(node, six), STICPS_OK); /* quietly current */
    assert_int_equal(held_sequence(node), 6);
    free(six);
    free(again);
    free(none);
}

static void rollback_in_memory(void **state)
{
    (void)state;
    struct node node;
    char *five = list_of(5, "https://a.example/");
    start(&node, NULL);
    attack(&node, five);
    stop(&node);
    free(five);
}

static void remove_state(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/cps-list.json", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/cps-list.lock", dir);
    unlink(path);
    rmdir(dir);
}

/* Two clients with one state directory: what one has accepted, the other may not go behind, though
 * it holds nothing newer itself. */
static void rollback_between_processes(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/sticps-test-lists-XXXXXX");
    assert_non_null(mkdtemp(dir));
    struct node one, other;
    start(&one, dir);
    start(&other, dir);
    char *five = list_of(5, "https://a.example/");
    assert_int_equal(commit(&other, five), STICPS_OK);
    attack(&one, five);
    assert_int_equal(held_sequence(&other), 5);
    assert_int_equal(commit(&other, five), STICPS_ERR_ROLLBACK);
    char *evil = list_of(6, "https://evil.example/");
    assert_int_equal(commit(&other, evil), STICPS_ERR_EQUIVOCATION);
    assert_int_equal(held_sequence(&other), 5);
    stop(&one);
    stop(&other);
    free(five);
    free(evil);
    remove_state();
}

static void write_state(const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/cps-list.json", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A new process has the list and the floor of the one before; from a state that it cannot read it
 * takes nothing, and leaves it as it is. */
static void restart(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/sticps-test-lists-XXXXXX");
    assert_non_null(mkdtemp(dir));
    struct node node;
    char *five = list_of(5, "https://a.example/"), *four = list_of(4, "https://a.example/");
    start(&node, dir);
    assert_int_equal(commit(&node, five), STICPS_OK);
    stop(&node);
    start(&node, dir);
    assert_int_equal(held_sequence(&node), 0);
    assert_int_equal(lists_load(node.lists, STICPS_LIST_CPS, NULL), STICPS_OK);
    assert_int_equal(held_sequence(&node), 5);
    assert_int_equal(commit(&node, four), STICPS_ERR_ROLLBACK);

    int64_t floor = 0;
    bool dropped = false;
    write_state("{}");
    assert_int_equal(commit(&node, five), STICPS_ERR_STATE);
    assert_int_equal(lists_reset(node.lists, STICPS_LIST_CPS, 0, &floor, &dropped, NULL),
                     STICPS_ERR_STATE);
    assert_int_equal(lists_load(node.lists, STICPS_LIST_CPS, NULL), STICPS_ERR_STATE);
    assert_int_equal(held_sequence(&node), 5);
    assert_int_equal(commit(&node, five), STICPS_ERR_STATE); /* nobody has put it right */
    stop(&node);
    free(five);
    free(four);
    remove_state();
}

static void replace_all(char *text, const char *from, char to)
{
    for (char *at = text; (at = strstr(at, from)) != NULL; at++)
        at[strlen(from) - 1] = to;
}

/* A state that says of its list what the list does not say of itself. */
static void claims_that_were_not_signed(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        char to;
    } rows[] = {{"\"sequence\": 5", '6'}, {"\"exp\": 1", '2'}};
    for (size_t i = 0; i < 2; i++) {
        snprintf(dir, sizeof(dir), "/tmp/sticps-test-lists-XXXXXX");
        assert_non_null(mkdtemp(dir));
        struct node node;
        char path[128], text[4096] = "";
        char *five = list_of(5, "https://a.example/");
        start(&node, dir);
        assert_int_equal(commit(&node, five), STICPS_OK);
        stop(&node);
        snprintf(path, sizeof(path), "%s/cps-list.json", dir);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        assert_true(fread(text, 1, sizeof(text) - 1, file) < sizeof(text) - 1);
        fclose(file);
        replace_all(text, "\"floor\": 5", '6');
        replace_all(text, rows[i].from, rows[i].to);
        write_state(text);
        start(&node, dir);
        assert_int_equal(lists_load(node.lists, STICPS_LIST_CPS, NULL), STICPS_ERR_STATE);
        stop(&node);
        free(five);
        remove_state();
    }
}

/* The operator's word lowers the floor, never raises it. */
static void a_reset_drops_what_is_above_it(void **state)
{
    (void)state;
    struct node node;
    int64_t floor = 0;
    bool dropped = false;
    char *five = list_of(5, "https://a.example/");
    start(&node, NULL);
    attack(&node, five);
    free(five);
    assert_int_equal(lists_reset(node.lists, STICPS_LIST_CPS, -1, &floor, &dropped, NULL),
                     STICPS_ERR_USAGE);
    assert_int_equal(lists_reset(node.lists, STICPS_LIST_CPS, 7, &floor, &dropped, NULL),
                     STICPS_ERR_USAGE);
    assert_int_equal(held_sequence(&node), 6);
    assert_int_equal(lists_reset(node.lists, STICPS_LIST_CPS, 4, &floor, &dropped, NULL),
                     STICPS_OK);
    assert_int_equal(floor, 6);
    assert_true(dropped);
    assert_int_equal(held_sequence(&node), 0);
    assert_int_equal(lists_load(node.lists, STICPS_LIST_CPS, NULL), STICPS_ERR_NO_LIST);
    stop(&node);
}

/* A list that passed all rules but the eighth. */
static struct sticps_list *offer(struct node *node, int64_t sequence)
{
    char *jws = list_of(sequence, "https://a.example/");
    struct list_candidate candidate;
    struct sticps_list *offered = NULL;
    assert_int_equal(list_accept_open(jws, strlen(jws), SIGNED_LIST_CPS_MAPPING, LIST_URL,
                                      node->options, &candidate, NULL),
                     STICPS_OK);
    assert_int_equal(list_from_held(STICPS_LIST_CPS, jws, strlen(jws), candidate.sha256, LIST_URL,
                                    NOW, &offered, NULL),
                     STICPS_OK);
    list_candidate_clear(&candidate);
    free(jws);
    return offered;
}

static void refuses(struct node *node, struct sticps_list *offered, enum sticps_err code)
{
    int64_t floor = 0;
    assert_int_equal(lists_may_recover(node->lists, offered, &floor, NULL), code);
    assert_int_equal(lists_recover(node->lists, offered, &floor, NULL), code);
}

/* An operator thinks about the way back for as long as it takes; what was true when the list was
 * offered is looked at again. */
static void a_recovery_looks_again(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/sticps-test-lists-XXXXXX");
    assert_non_null(mkdtemp(dir));
    struct node node, other;
    int64_t floor = 0;
    char *far = list_of(900, "https://a.example/");
    start(&node, dir);
    start(&other, dir);
    assert_int_equal(commit(&node, far), STICPS_OK);
    struct sticps_list *offered = offer(&node, 5);
    assert_int_equal(lists_may_recover(node.lists, offered, &floor, NULL), STICPS_OK);
    assert_int_equal(floor, 900);

    now = NOW + 3600;
    refuses(&node, offered, STICPS_ERR_EXP);
    assert_int_equal(held_sequence(&node), 900);
    now = NOW + 3599;
    assert_int_equal(lists_recover(node.lists, offered, &floor, NULL), STICPS_OK);
    assert_int_equal(floor, 900);
    assert_int_equal(held_sequence(&node), 5);

    /* somebody else was faster: there is nothing to recover from any more */
    assert_int_equal(lists_reset(other.lists, STICPS_LIST_CPS, 4, &floor, NULL, NULL), STICPS_OK);
    refuses(&node, offered, STICPS_ERR_USAGE);
    write_state("{}");
    refuses(&node, offered, STICPS_ERR_STATE);
    now = NOW;
    sticps_list_unref(offered);
    stop(&node);
    stop(&other);
    free(far);
    char path[128];
    snprintf(path, sizeof(path), "%s/audit.log", dir);
    unlink(path);
    remove_state();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollback_in_memory),
        cmocka_unit_test(rollback_between_processes),
        cmocka_unit_test(restart),
        cmocka_unit_test(claims_that_were_not_signed),
        cmocka_unit_test(a_reset_drops_what_is_above_it),
        cmocka_unit_test(a_recovery_looks_again),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}
