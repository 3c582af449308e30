#include "client/npdb_meaning.h"

#include "client/npdb_date.h"
#include "client/npdb_owners.h"
#include "common/spc.h"
#include "common/tn.h"

#include <string.h>
#include <strings.h>

/* How much of a field goes into a message. */
static int shown(const struct npdb_field *field)
{
    return field->len < 32 ? (int)field->len : 32;
}

/* ---- owners ---- */

static enum sticps_err parse_spc(const struct npdb_dialect *dialect, const struct npdb_field *field,
                                 bool is_spid, uint64_t *owner, struct sticps_error *err)
{
    struct spc typed;
    enum sticps_err code = spc_from_typed(field->text, field->len, &typed, err);
    if (code != STICPS_OK)
        return code;
    const struct spc *spc = &typed;
    if (is_spid)
        spc = override_table_find(dialect->options->spids, spc);
    *owner = spc_key(override_table_find(dialect->options->spcs, spc));
    return STICPS_OK;
}

/* ---- blocks ---- */

/* NPA-NXX or NPA-NXX-X, as the North American plan writes them: without the country code. */
static bool is_npa_nxx(const char *digits)
{
    size_t len = strlen(digits);
    return (len == 6 || len == 7) && digits[0] >= '2' && digits[3] >= '2';
}

static bool is_three_digits(const struct npdb_field *field)
{
    if (field->len != 3 || field->text[0] < '2')
        return false;
    for (size_t i = 0; i < 3; i++)
        if (field->text[i] < '0' || field->text[i] > '9')
            return false;
    return true;
}

static enum sticps_err join_npa_nxx(const struct npdb_field *npa, const struct npdb_field *nxx,
                                    struct tn *out, struct sticps_error *err)
{
    if (!is_three_digits(npa) || !is_three_digits(nxx))
        return fail(err, STICPS_ERR_NPDB, NULL,
                    "NPA '%.*s' and NXX '%.*s' are not three digits each, the first one 2 to 9",
                    shown(npa), npa->text, shown(nxx), nxx->text);
    memset(out, 0, sizeof(*out));
    out->digits[0] = '1';
    memcpy(out->digits + 1, npa->text, 3);
    memcpy(out->digits + 4, nxx->text, 3);
    return STICPS_OK;
}

/* Puts the thousand behind an NPA-NXX; A, or nothing, is all of it. */
static enum sticps_err append_block(const struct npdb_field *block, struct tn *prefix,
                                    struct sticps_error *err)
{
    char c = block->len == 1 ? block->text[0] : 'A';
    if (block->len > 1 || ((c < '0' || c > '9') && c != 'A' && c != 'a'))
        return fail(err, STICPS_ERR_NPDB, NULL, "the block '%.*s' is neither a digit nor A",
                    shown(block), block->text);
    if (c == 'A' || c == 'a')
        return STICPS_OK;
    size_t len = strlen(prefix->digits);
    if (prefix->digits[0] != '1' || !is_npa_nxx(prefix->digits + 1) ||
        (len == 8 && prefix->digits[7] != c))
        return fail(err, STICPS_ERR_NPDB, NULL, "%s with the block %c is no NPA-NXX-X",
                    prefix->digits, c);
    prefix->digits[7] = c;
    return STICPS_OK;
}

static enum sticps_err parse_prefix(const struct npdb_field *fields, uint64_t *number,
                                    struct sticps_error *err)
{
    const struct npdb_field *text = &fields[NPDB_COLUMN_NUMBER];
    const struct npdb_field *npa = &fields[NPDB_COLUMN_NPA], *nxx = &fields[NPDB_COLUMN_NXX];
    struct tn prefix;
    enum sticps_err code;
    if (npa->len + nxx->len > 0) {
        code = join_npa_nxx(npa, nxx, &prefix, err);
    } else {
        code = tn_from_typed(text->text, text->len, 0, &prefix, err);
        if (code == STICPS_OK && text->text[0] != '+' && is_npa_nxx(prefix.digits)) {
            memmove(prefix.digits + 1, prefix.digits, 7);
            prefix.digits[0] = '1';
        }
    }
    if (code == STICPS_OK)
        code = append_block(&fields[NPDB_COLUMN_BLOCK], &prefix, err);
    if (code != STICPS_OK)
        return code;
    if (prefix.digits[0] == '1' && strlen(prefix.digits) > 8)
        return fail(err, STICPS_ERR_NPDB, NULL,
                    "the block %s of country code 1 is smaller than a thousand; give its numbers "
                    "as ports",
                    prefix.digits);
    *number = tn_key(&prefix);
    return STICPS_OK;
}

/* In changes: the row of the number or block goes. "-" is a block that has a row and no owner. */
static bool goes_away(const struct npdb_dialect *dialect, const struct npdb_field *owner)
{
    const char *word = dialect->kind == NPDB_CSV_PORTS ? "-" : "delete";
    return dialect->options->changes && owner->len == strlen(word) &&
           strncasecmp(owner->text, word, owner->len) == 0;
}

static enum sticps_err parse_block(const struct npdb_dialect *dialect,
                                   const struct npdb_field *fields, struct npdb_csv_row *row,
                                   struct sticps_error *err)
{
    bool is_spid = fields[NPDB_COLUMN_SPC].len == 0 && fields[NPDB_COLUMN_SPID].len > 0;
    const struct npdb_field *owner = &fields[is_spid ? NPDB_COLUMN_SPID : NPDB_COLUMN_SPC];
    enum sticps_err code = parse_prefix(fields, &row->number, err);
    if (code != STICPS_OK)
        return code;
    if (owner->len == 0)
        return fail(err, STICPS_ERR_NPDB, NULL, "there is no SPC; write - if nobody has the block");
    row->owner = goes_away(dialect, owner) ? NPDB_UNKNOWN : NPDB_NOBODY;
    if (row->owner == NPDB_UNKNOWN || (owner->len == 1 && owner->text[0] == '-'))
        return STICPS_OK;
    return parse_spc(dialect, owner, is_spid, &row->owner, err);
}

/* ---- ports ---- */

/* The column that says where a number is: its LRN where it has one, and a toll-free one, which has
 * none, its Resp Org. */
static enum npdb_column owner_column(const struct npdb_field *fields, bool toll_free)
{
    static const enum npdb_column order[2][3] = {
        {NPDB_COLUMN_LRN, NPDB_COLUMN_SPC, NPDB_COLUMN_SPID},
        {NPDB_COLUMN_SPC, NPDB_COLUMN_SPID, NPDB_COLUMN_LRN}};
    for (size_t i = 0; i < 3; i++)
        if (fields[order[toll_free][i]].len > 0)
            return order[toll_free][i];
    return NPDB_COLUMN_SPC;
}

/* Ten or eleven digits of North American form are an LRN, everything else has to be an SPC: that
 * has five characters at most, so the two cannot be mistaken for each other, whatever the column is
 * called. */
static enum sticps_err parse_port(const struct npdb_dialect *dialect,
                                  const struct npdb_field *fields, struct npdb_csv_row *row,
                                  struct sticps_error *err)
{
    const struct npdb_field *number = &fields[NPDB_COLUMN_NUMBER];
    struct tn tn, lrn;
    enum sticps_err code = tn_from_typed(number->text, number->len, 1, &tn, err);
    if (code != STICPS_OK)
        return code;
    if (tn.digits[0] == '1' && !tn_is_nanp(&tn))
        return fail(err, STICPS_ERR_TN, NULL,
                    "%s begins with country code 1 but is not [2-9]xx[2-9]xxxxxx after it",
                    tn.digits);
    row->number = tn_key(&tn);
    enum npdb_column column = owner_column(fields, tn_is_toll_free(&tn));
    const struct npdb_field *owner = &fields[column];
    if (owner->len == 0)
        return fail(err, STICPS_ERR_NPDB, NULL, "there is neither an LRN nor an SPC");
    row->owner = NPDB_UNKNOWN;
    if (goes_away(dialect, owner))
        return STICPS_OK;
    if (owner->len <= 5)
        return parse_spc(dialect, owner, column == NPDB_COLUMN_SPID, &row->owner, err);
    if (tn_from_typed(owner->text, owner->len, 1, &lrn, NULL) != STICPS_OK || !tn_is_nanp(&lrn))
        return fail(err, STICPS_ERR_NPDB, NULL,
                    "'%.*s' is neither an LRN (ten digits, [2-9]xx[2-9]xxxxxx) nor an SPC",
                    shown(owner), owner->text);
    if (tn_is_toll_free(&tn))
        return fail(err, STICPS_ERR_NPDB, NULL,
                    "the toll-free number %s has an LRN; give its Resp Org ID instead", tn.digits);
    row->owner = tn_key(&lrn);
    return STICPS_OK;
}

/* ---- from when on ---- */

/* An end that is still to come says who has the block until then. An end of a port leaves no row:
 * of two rows for a number there is no telling which is the later one, for ports hold no dates. */
static enum npdb_meaning apply_time(const struct npdb_dialect *dialect,
                                    const struct npdb_field *fields, struct npdb_csv_row *row,
                                    struct sticps_error *err)
{
    const struct npdb_csv_options *options = dialect->options;
    const struct npdb_field *status = &fields[NPDB_COLUMN_STATUS],
                            *date = &fields[NPDB_COLUMN_DATE];
    const char *ends = options->end_statuses != NULL ? options->end_statuses : NPDB_END_STATUSES;
    unsigned orders = options->date_orders != 0 ? options->date_orders : NPDB_DATE_ANY;
    row->since = 0;
    if (date->len > 0 && npdb_date_parse(date->text, date->len, orders, &row->since, err) != 0)
        return NPDB_MEANING_FAULT;
    bool is_end = npdb_status_in(ends, status->text, status->len);
    bool is_future = options->as_of != 0 && row->since > options->as_of;
    if (is_future && !is_end)
        return NPDB_MEANING_FUTURE;
    if (is_future)
        row->since = 0;
    else if (is_end && options->changes)
        row->owner = NPDB_UNKNOWN;
    else if (is_end && dialect->kind == NPDB_CSV_PORTS)
        return NPDB_MEANING_ENDED;
    else if (is_end)
        row->owner = NPDB_ENDED;
    if (dialect->kind == NPDB_CSV_PORTS)
        row->since = 0;
    return NPDB_MEANING_ROW;
}

enum npdb_meaning npdb_meaning_of(const struct npdb_dialect *dialect,
                                  const struct npdb_field fields[NPDB_COLUMN_COUNT],
                                  struct npdb_csv_row *row, struct sticps_error *err)
{
    const struct npdb_field *status = &fields[NPDB_COLUMN_STATUS];
    const char *skips = dialect->options->skip_statuses;
    if (npdb_status_in(skips != NULL ? skips : NPDB_SKIP_STATUSES, status->text, status->len))
        return NPDB_MEANING_SKIPPED;
    enum sticps_err code =
        (dialect->kind == NPDB_CSV_BLOCKS ? parse_block : parse_port)(dialect, fields, row, err);
    return code == STICPS_OK ? apply_time(dialect, fields, row, err) : NPDB_MEANING_FAULT;
}
