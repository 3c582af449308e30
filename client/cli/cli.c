#include "client/cli/cli.h"

#include "common/url.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_OPTIONS 32
#define FIRST_LONG 256 /* beyond any letter */
#define HELP_COLUMN 26

/* The command line is one for the process, so is this. */
static bool json_wanted;

bool cli_json(void)
{
    return json_wanted;
}

void cli_look_for_json(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        json_wanted = json_wanted || strcmp(argv[i], "--json") == 0;
}

/* ---- results ---- */

enum cli_exit cli_exit_code(enum sticps_err code)
{
    switch (code) {
    case STICPS_OK:
        return CLI_OK;
    case STICPS_ERR_FETCH:
    case STICPS_ERR_BUSY:
    case STICPS_ERR_PAUSED:
    case STICPS_ERR_NO_CONNECTION:
        return CLI_UNREACHABLE;
    case STICPS_ERR_NOT_A_NUMBER:
    case STICPS_ERR_NO_CARRIER:
    case STICPS_ERR_CARRIER_HAS_NO_CPS:
    case STICPS_ERR_LIST_EXPIRED:
    case STICPS_ERR_NO_LIST:
    case STICPS_ERR_NOT_FOUND:
        return CLI_NO_ANSWER;
    case STICPS_ERR_NO_MEMORY:
    case STICPS_ERR_USAGE:
    case STICPS_ERR_FILE:
    case STICPS_ERR_STATE:
    case STICPS_ERR_CRYPTO:
    case STICPS_ERR_NPDB:
    case STICPS_ERR_TN:
    case STICPS_ERR_SPC:
    case STICPS_ERR_URL:
        return CLI_USAGE;
    default: /* the rules for lists, the verdicts, ADDRESS, REJECTED */
        return CLI_REFUSED;
    }
}

json_t *cli_error_json(const struct sticps_error *err)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "status", "error", "code", sticps_err_name(err->code),
                     "where", err->where, "detail", err->text);
}

int cli_print_json(json_t *value)
{
    /* ASCII: U+009B opens a terminal's escape sequence as well as ESC [ does */
    char *text = value != NULL ? json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(value);
    if (text == NULL) {
        fputs("sticps: NO_MEMORY: out of memory\n", stderr);
        return CLI_USAGE;
    }
    puts(text); /* main looks whether it could be written */
    free(text);
    return CLI_OK;
}

int cli_fail(const struct sticps_error *err)
{
    fprintf(stderr, "sticps: %s: %s", sticps_err_name(err->code), err->text);
    if (err->where[0] != '\0')
        fprintf(stderr, " (%s)", err->where);
    fputc('\n', stderr);
    if (json_wanted)
        cli_print_json(cli_error_json(err));
    return cli_exit_code(err->code);
}

int cli_usage(const char *format, ...)
{
    struct sticps_error err = {0};
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fail(&err, STICPS_ERR_USAGE, NULL, "%s", text);
    return cli_fail(&err);
}

/* ---- options ---- */

static void print_option(const struct cli_option *option)
{
    char left[64];
    if (option->letter != 0)
        snprintf(left, sizeof(left), "-%c, --%s %s", option->letter, option->name,
                 option->argument != NULL ? option->argument : "");
    else
        snprintf(left, sizeof(left), "--%s %s", option->name,
                 option->argument != NULL ? option->argument : "");
    printf("  %-*s %s%s%s\n", HELP_COLUMN, left, option->help,
           option->type == CLI_TEXTS ? " (repeatable)" : "", option->required ? " (required)" : "");
}

static void print_help(const struct cli_command *command, const struct cli_option *options)
{
    printf("usage: sticps %s %s\n\n%s\n\n", command->name, command->arguments, command->summary);
    for (; options->name != NULL; options++)
        print_option(options);
    printf("  %-*s %s\n", HELP_COLUMN, "--json", "print JSON");
    printf("  %-*s %s\n", HELP_COLUMN, "--help", "print this");
}

static bool parse_integer(const char *text, const struct cli_option *option, int *status)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || isspace((unsigned char)*text) ||
        value < option->min || value > option->max) {
        *status = cli_usage("--%s is a whole number from %" PRId64 " to %" PRId64 ", not '%s'",
                            option->name, option->min, option->max, text);
        return false;
    }
    *(int64_t *)option->to = value;
    return true;
}

static bool take(const struct cli_option *option, const char *value, int *status)
{
    struct cli_texts *texts;
    switch (option->type) {
    case CLI_FLAG:
        *(bool *)option->to = true;
        return true;
    case CLI_TEXT:
        *(const char **)option->to = value;
        return true;
    case CLI_INTEGER:
        return parse_integer(value, option, status);
    case CLI_TEXTS:
        texts = option->to;
        if (texts->len < CLI_MAX_TEXTS) {
            texts->items[texts->len++] = value;
            return true;
        }
        *status = cli_usage("--%s is given more than %d times", option->name, CLI_MAX_TEXTS);
        return false;
    }
    return false;
}

static bool was_given(const struct cli_option *option)
{
    if (option->type == CLI_TEXT)
        return *(const char **)option->to != NULL;
    if (option->type == CLI_TEXTS)
        return ((struct cli_texts *)option->to)->len > 0;
    return *(int64_t *)option->to >= option->min; /* preset below it by the command */
}

static bool check_required(const struct cli_command *command, const struct cli_option *options,
                           int *status)
{
    for (; options->name != NULL; options++) {
        if (options->required && !was_given(options)) {
            *status =
                cli_usage("--%s is missing; see sticps %s --help", options->name, command->name);
            return false;
        }
    }
    return true;
}

/* What getopt_long wants to know. Letters stand in `letters`, each long name has FIRST_LONG + its
 * index. */
static void describe(const struct cli_option *options, struct option *longs, char *letters)
{
    int count = 0;
    *letters++ = ':'; /* errors are told apart */
    *letters++ = 'h';
    for (; options[count].name != NULL && count < MAX_OPTIONS; count++) {
        bool value = options[count].type != CLI_FLAG;
        longs[count] = (struct option){options[count].name, value ? required_argument : no_argument,
                                       NULL, FIRST_LONG + count};
        if (options[count].letter != 0) {
            *letters++ = options[count].letter;
            if (value)
                *letters++ = ':';
        }
    }
    *letters = '\0';
    longs[count] = (struct option){"json", no_argument, NULL, 'j'};
    longs[count + 1] = (struct option){"help", no_argument, NULL, 'h'};
    longs[count + 2] = (struct option){NULL, 0, NULL, 0};
}

static const struct cli_option *find_option(const struct cli_option *options, int got)
{
    if (got >= FIRST_LONG)
        return &options[got - FIRST_LONG];
    while (options->name != NULL && options->letter != got)
        options++;
    return options->name != NULL ? options : NULL;
}

bool cli_parse(const struct cli_command *command, const struct cli_option *options, int argc,
               char **argv, struct cli_texts *rest, size_t min_rest, size_t max_rest, int *status)
{
    struct option longs[MAX_OPTIONS + 3];
    char letters[2 * MAX_OPTIONS + 3];
    describe(options, longs, letters);
    cli_look_for_json(argc, argv);

    int got;
    opterr = 0;
    while ((got = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const struct cli_option *option = find_option(options, got);
        if (got == 'h') {
            print_help(command, options);
            *status = CLI_OK;
            return false;
        }
        if (got == '?' || got == ':') {
            *status = cli_usage("%s %s; see sticps %s --help", argv[optind - 1],
                                got == ':' ? "wants a value" : "is no option", command->name);
            return false;
        }
        if (option != NULL && !take(option, optarg, status))
            return false;
    }
    rest->len = 0;
    for (int i = optind; i < argc && rest->len < CLI_MAX_TEXTS; i++)
        rest->items[rest->len++] = argv[i];
    size_t count = (size_t)(argc - optind);
    if (count < min_rest || count > max_rest) {
        *status = cli_usage("usage: sticps %s %s", command->name, command->arguments);
        return false;
    }
    return check_required(command, options, status);
}

/* ---- input ---- */

static enum sticps_err read_all(int fd, const char *path, char *data, size_t max, size_t *len,
                                struct sticps_error *err)
{
    size_t got = 0;
    for (;;) {
        ssize_t n = read(fd, data + got, max + 1 - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, STICPS_ERR_FILE, path, "cannot be read: %s", strerror(errno));
        got += (size_t)n;
        if (got > max)
            return fail(err, STICPS_ERR_FILE, path, "larger than %zu bytes", max);
        if (n == 0)
            break;
    }
    *len = got;
    return STICPS_OK;
}

enum sticps_err cli_read(const char *path, size_t max, char **out, size_t *len,
                         struct sticps_error *err)
{
    bool from_stdin = strcmp(path, "-") == 0;
    int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, STICPS_ERR_FILE, path, "cannot be opened: %s", strerror(errno));
    char *data = malloc(max + 2);
    size_t got = 0;
    enum sticps_err code = data != NULL ? read_all(fd, path, data, max, &got, err)
                                        : fail(err, STICPS_ERR_NO_MEMORY, path, "out of memory");
    if (!from_stdin)
        close(fd);
    if (code != STICPS_OK) {
        free(data);
        return code;
    }
    size_t start = 0;
    while (got > 0 && strchr(" \t\r\n", data[got - 1]) != NULL && data[got - 1] != '\0')
        got--;
    while (start < got && strchr(" \t\r\n", data[start]) != NULL && data[start] != '\0')
        start++;
    memmove(data, data + start, got - start);
    data[got - start] = '\0';
    *out = data;
    *len = got - start;
    return STICPS_OK;
}

void cli_warn_of_lab_x5u(const char *x5u, bool lab)
{
    struct sticps_error err = {0};
    if (!lab && x5u_check(x5u, strlen(x5u), false, &err) != STICPS_OK)
        fprintf(stderr, "sticps: warning: receivers outside a lab refuse this x5u: %s\n", err.text);
}
