/* sticps npdb lookup: who serves numbers, from the line or, by the million, from standard input. */
#include "client/cli/cli.h"
#include "client/npdb_reader.h"
#include "client/report/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INPUT_SIZE ((size_t)256 * 1024)
#define BATCH 256u

/* One number as it was given; borrowed, not NUL-terminated. */
struct question {
    const char *text;
    size_t len;
    bool is_number;
    struct tn tn;
};

struct lookup {
    const struct npdb *npdb;
    bool lines;     /* from standard input: one line of output for each of input */
    uint64_t asked; /* before the batch */
    int status;
    struct question batch[BATCH];
    size_t batch_len;
    char input[INPUT_SIZE];
};

/* ---- answers ---- */

static json_t *text_or_null(const char *text)
{
    return text[0] != '\0' ? json_string(text) : json_null();
}

static void print_json(struct lookup *lookup, const struct question *question, const char *lrn,
                       const char *spc, bool ported)
{
    char number[64];
    snprintf(number, sizeof(number), "%.*s",
             question->len < sizeof(number) ? (int)question->len : (int)sizeof(number) - 1,
             question->text);
    int status = cli_print_json(json_pack(
        "{s:o, s:s, s:b, s:o, s:o, s:s}", "number", report_text(number), "tn", question->tn.digits,
        "ported", ported, "lrn", text_or_null(lrn), "spc", text_or_null(spc), "code",
        sticps_err_name(spc[0] != '\0' ? STICPS_OK : STICPS_ERR_NO_CARRIER)));
    if (status != CLI_OK)
        lookup->status = status;
}

static void print_text(const struct question *question, const char *lrn, const char *spc,
                       bool ported)
{
    char line[64];
    char *to = stpcpy(line, question->tn.digits);
    *to++ = ' ';
    to = stpcpy(to, spc[0] != '\0' ? spc : "-");
    if (ported)
        to = stpcpy(to, " ported");
    if (lrn[0] != '\0')
        to = stpcpy(stpcpy(to, " lrn "), lrn);
    *to++ = '\n';
    fwrite_unlocked(line, 1, (size_t)(to - line), stdout);
}

/* A line of input has its line of output in any case. */
static void print_no_number(struct lookup *lookup, const struct question *question, uint64_t nth)
{
    struct sticps_error err = {0};
    char where[64];
    snprintf(where, sizeof(where), "%.*s",
             question->len < sizeof(where) ? (int)question->len : (int)sizeof(where) - 1,
             question->text);
    lookup->status = CLI_NO_ANSWER;
    if (lookup->lines && !cli_json()) {
        printf("? line %" PRIu64 " is not a telephone number\n", nth);
        return;
    }
    if (lookup->lines)
        snprintf(where, sizeof(where), "line %" PRIu64, nth);
    fail(&err, STICPS_ERR_NOT_A_NUMBER, where, "not a telephone number");
    if (lookup->lines)
        cli_print_json(cli_error_json(&err));
    else
        cli_fail(&err);
}

static void print_answer(struct lookup *lookup, const struct question *question, uint32_t result)
{
    uint32_t owner = result & NPDB_OWNER;
    const char *spc = npdb_owner_code(lookup->npdb, owner);
    uint64_t key = npdb_owner_lrn(lookup->npdb, owner);
    struct tn lrn = {""};
    if (key != 0)
        tn_from_key(key, &lrn);
    if (spc[0] == '\0')
        lookup->status = CLI_NO_ANSWER;
    if (cli_json())
        print_json(lookup, question, lrn.digits, spc, (result & NPDB_PORTED) != 0);
    else
        print_text(question, lrn.digits, spc, (result & NPDB_PORTED) != 0);
}

static void answer_batch(struct lookup *lookup)
{
    uint64_t numbers[BATCH];
    uint32_t results[BATCH];
    for (size_t i = 0; i < lookup->batch_len; i++) {
        struct question *question = &lookup->batch[i];
        question->is_number =
            tn_from_typed(question->text, question->len, 1, &question->tn, NULL) == STICPS_OK;
        numbers[i] = question->is_number ? tn_key(&question->tn) >> 4 : 0;
    }
    npdb_find_batch(lookup->npdb, numbers, lookup->batch_len, results);
    for (size_t i = 0; i < lookup->batch_len; i++) {
        const struct question *question = &lookup->batch[i];
        lookup->asked++;
        if (!question->is_number)
            print_no_number(lookup, question, lookup->asked);
        else if (question->tn.digits[0] == '0') /* its value does not say how long it is */
            print_answer(lookup, question,
                         npdb_find(lookup->npdb, numbers[i], tn_key(&question->tn) & 15));
        else
            print_answer(lookup, question, results[i]);
    }
    lookup->batch_len = 0;
}

static void ask(struct lookup *lookup, const char *text, size_t len)
{
    while (len > 0 && (text[len - 1] == '\r' || text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    lookup->batch[lookup->batch_len++] = (struct question){.text = text, .len = len};
    if (lookup->batch_len == BATCH)
        answer_batch(lookup);
}

/* ---- standard input ---- */

/* Asks for each whole line of the input; returns how many bytes are left of it. A line that fills
 * all of it is asked for in part, and the rest of it, up to its end, is skipped. */
static size_t take_lines(struct lookup *lookup, size_t len, bool *skip)
{
    const char *at = lookup->input, *end = at + len, *newline;
    while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (!*skip)
            ask(lookup, at, (size_t)(newline - at));
        *skip = false;
        at = newline + 1;
    }
    size_t left = (size_t)(end - at);
    if (left == INPUT_SIZE && !*skip) {
        ask(lookup, at, left);
        *skip = true;
    }
    answer_batch(lookup);
    if (*skip)
        return 0;
    memmove(lookup->input, at, left);
    return left;
}

/* What can be answered is answered before more is waited for, so that a program may ask one by
 * one. */
static void answer_input(struct lookup *lookup)
{
    size_t len = 0;
    bool skip = false;
    for (;;) {
        ssize_t n = read(STDIN_FILENO, lookup->input + len, INPUT_SIZE - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            struct sticps_error err = {0};
            fail(&err, STICPS_ERR_FILE, "standard input", "cannot read: %s", strerror(errno));
            lookup->status = cli_fail(&err);
        }
        if (n <= 0)
            break;
        len = take_lines(lookup, len + (size_t)n, &skip);
        if (fflush(stdout) != 0)
            return; /* main says so */
    }
    if (len > 0) {
        ask(lookup, lookup->input, len);
        answer_batch(lookup);
    }
}

static int run_lookup(int argc, char **argv)
{
    const struct cli_option options[] = {{NULL, 0, CLI_FLAG, NULL, NULL, NULL, false, 0, 0}};
    static struct lookup lookup; /* large */
    struct cli_texts rest;
    struct sticps_error err = {0};
    struct npdb *npdb = NULL;
    if (!cli_parse(&cli_npdb_lookup, options, argc, argv, &rest, 1, CLI_MAX_TEXTS, &lookup.status))
        return lookup.status;
    if (npdb_open(rest.items[0], NPDB_CHECK_STRUCTURE, &npdb, &err) != STICPS_OK)
        return cli_fail(&err);
    lookup.npdb = npdb;
    lookup.lines = rest.len == 1;
    lookup.status = CLI_OK;
    for (size_t i = 1; i < rest.len; i++)
        ask(&lookup, rest.items[i], strlen(rest.items[i]));
    answer_batch(&lookup);
    if (lookup.lines)
        answer_input(&lookup);
    npdb_close(npdb);
    return lookup.status;
}

const struct cli_command cli_npdb_lookup = {
    "npdb lookup",
    "FILE [TN...]",
    "Says who serves each number; without numbers, each line of standard input. Exit status 4 when "
    "one is served by nobody.",
    run_lookup,
};
