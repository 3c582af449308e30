/* The options of numbers.h: where numbers are looked up, in which order. */
#include "client/options.h"

static enum sticps_err add_kind(struct sticps_options *options, enum number_kind kind,
                                const char *what, struct sticps_error *err)
{
    for (size_t i = 0; i < options->number_kinds_len; i++)
        if (options->number_kinds[i] == kind)
            return fail(err, STICPS_ERR_USAGE, what, "it is among the sources of numbers already");
    options->number_kinds[options->number_kinds_len++] = kind;
    return STICPS_OK;
}

enum sticps_err sticps_options_add_npdb(struct sticps_options *options, struct sticps_error *err)
{
    return add_kind(options, NUMBERS_NPDB, "npdb", err);
}

enum sticps_err sticps_options_add_dip(struct sticps_options *options, sticps_dip_fn *dip,
                                       void *ctx, struct sticps_error *err)
{
    if (dip == NULL)
        return fail(err, STICPS_ERR_USAGE, "dip", "give the function that looks numbers up");
    enum sticps_err code = add_kind(options, NUMBERS_DIP, "dip", err);
    if (code == STICPS_OK) {
        options->dip = dip;
        options->dip_ctx = ctx;
    }
    return code;
}
