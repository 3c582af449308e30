#include "client/npdb_meaning.h"

#include "client/npdb_owners.h"
#include "common/spc.h"
#include "common/tn.h"

#include <string.h>

/* NPA-NXX or NPA-NXX-X, as the North American plan writes them: without the country code. */
static bool is_npa_nxx(const char *digits)
{
    size_t len = strlen(digits);
    return (len == 6 || len == 7) && digits[0] >= '2' && digits[3] >= '2';
}

static enum sticps_err parse_spc(const struct npdb_field *field, uint64_t *owner,
                                 struct sticps_error *err)
{
    struct spc spc;
    enum sticps_err code = spc_from_typed(field->text, field->len, &spc, err);
    if (code == STICPS_OK)
        *owner = spc_key(&spc);
    return code;
}

static enum sticps_err parse_prefix(const struct npdb_field *field, uint64_t *number,
                                    struct sticps_error *err)
{
    struct tn prefix;
    enum sticps_err code = tn_from_typed(field->text, field->len, 0, &prefix, err);
    if (code != STICPS_OK)
        return code;
    if (field->text[0] != '+' && is_npa_nxx(prefix.digits)) {
        memmove(prefix.digits + 1, prefix.digits, 7);
        prefix.digits[0] = '1';
    }
    if (prefix.digits[0] == '1' && strlen(prefix.digits) > 8)
        return fail(err, STICPS_ERR_NPDB, NULL,
                    "the block %s of country code 1 is smaller than a thousand; give its numbers "
                    "as ports",
                    prefix.digits);
    *number = tn_key(&prefix);
    return STICPS_OK;
}

static enum sticps_err parse_block(const struct npdb_field *fields, struct npdb_csv_row *row,
                                   struct sticps_error *err)
{
    const struct npdb_field *owner = &fields[NPDB_COLUMN_SPC];
    enum sticps_err code = parse_prefix(&fields[NPDB_COLUMN_NUMBER], &row->number, err);
    if (code != STICPS_OK)
        return code;
    row->owner = NPDB_NOBODY;
    if (owner->len == 1 && owner->text[0] == '-')
        return STICPS_OK;
    return parse_spc(owner, &row->owner, err);
}

/* Ten or eleven digits of North American form are an LRN, everything else has to be an SPC: that
 * has five characters at most, so the two cannot be mistaken for each other. */
static enum sticps_err parse_port(const struct npdb_field *fields, struct npdb_csv_row *row,
                                  struct sticps_error *err)
{
    const struct npdb_field *number = &fields[NPDB_COLUMN_NUMBER],
                            *owner = &fields[NPDB_COLUMN_SPC];
    struct tn tn, lrn;
    enum sticps_err code = tn_from_typed(number->text, number->len, 1, &tn, err);
    if (code != STICPS_OK)
        return code;
    if (tn.digits[0] == '1' && !tn_is_nanp(&tn))
        return fail(err, STICPS_ERR_TN, NULL,
                    "%s begins with country code 1 but is not [2-9]xx[2-9]xxxxxx after it",
                    tn.digits);
    row->number = tn_key(&tn);
    if (owner->len <= 5)
        return parse_spc(owner, &row->owner, err);
    if (tn_from_typed(owner->text, owner->len, 1, &lrn, NULL) != STICPS_OK || !tn_is_nanp(&lrn))
        return fail(err, STICPS_ERR_NPDB, NULL,
                    "'%.*s' is neither an LRN (ten digits, [2-9]xx[2-9]xxxxxx) nor an SPC",
                    owner->len < 32 ? (int)owner->len : 32, owner->text);
    if (tn_is_toll_free(&tn))
        return fail(err, STICPS_ERR_NPDB, NULL,
                    "the toll-free number %s has an LRN; give its Resp Org ID instead", tn.digits);
    row->owner = tn_key(&lrn);
    return STICPS_OK;
}

enum npdb_meaning npdb_meaning_of(const struct npdb_dialect *dialect,
                                  const struct npdb_field fields[NPDB_COLUMN_COUNT],
                                  struct npdb_csv_row *row, struct sticps_error *err)
{
    row->since = 0;
    enum sticps_err code =
        (dialect->kind == NPDB_CSV_BLOCKS ? parse_block : parse_port)(fields, row, err);
    return code == STICPS_OK ? NPDB_MEANING_ROW : NPDB_MEANING_FAULT;
}
