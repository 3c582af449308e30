#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[STICPS_ERR_COUNT] = {
    [STICPS_OK] = "OK",
    [STICPS_ERR_NO_MEMORY] = "NO_MEMORY",
    [STICPS_ERR_USAGE] = "USAGE",
    [STICPS_ERR_FILE] = "FILE",
    [STICPS_ERR_STATE] = "STATE",
    [STICPS_ERR_CRYPTO] = "CRYPTO",
    [STICPS_ERR_NPDB] = "NPDB",
    [STICPS_ERR_TN] = "TN",
    [STICPS_ERR_SPC] = "SPC",
    [STICPS_ERR_URL] = "URL",
    [STICPS_ERR_FETCH] = "FETCH",
    [STICPS_ERR_ADDRESS] = "ADDRESS",
    [STICPS_ERR_FORM] = "FORM",
    [STICPS_ERR_HEADER] = "HEADER",
    [STICPS_ERR_SIGNER] = "SIGNER",
    [STICPS_ERR_SIGNATURE] = "SIGNATURE",
    [STICPS_ERR_PAYLOAD] = "PAYLOAD",
    [STICPS_ERR_VERSION] = "VERSION",
    [STICPS_ERR_EXP] = "EXP",
    [STICPS_ERR_ROLLBACK] = "ROLLBACK",
    [STICPS_ERR_EQUIVOCATION] = "EQUIVOCATION",
    [STICPS_ERR_SHRINK] = "SHRINK",
    [STICPS_ERR_MALFORMED] = "MALFORMED",
    [STICPS_ERR_STALE_DATE] = "STALE_DATE",
    [STICPS_ERR_BAD_IDENTITY_INFO] = "BAD_IDENTITY_INFO",
    [STICPS_ERR_UNSUPPORTED_CREDENTIAL] = "UNSUPPORTED_CREDENTIAL",
    [STICPS_ERR_INVALID_IDENTITY_HEADER] = "INVALID_IDENTITY_HEADER",
    [STICPS_ERR_NOT_A_NUMBER] = "NOT_A_NUMBER",
    [STICPS_ERR_NO_CARRIER] = "NO_CARRIER",
    [STICPS_ERR_CARRIER_HAS_NO_CPS] = "CARRIER_HAS_NO_CPS",
    [STICPS_ERR_LIST_EXPIRED] = "LIST_EXPIRED",
    [STICPS_ERR_NO_LIST] = "NO_LIST",
    [STICPS_ERR_REJECTED] = "REJECTED",
    [STICPS_ERR_NOT_FOUND] = "NOT_FOUND",
    [STICPS_ERR_BUSY] = "BUSY",
    [STICPS_ERR_PAUSED] = "PAUSED",
    [STICPS_ERR_WOULD_WAIT] = "WOULD_WAIT",
    [STICPS_ERR_NO_CONNECTION] = "NO_CONNECTION",
};

const char *sticps_err_name(enum sticps_err code)
{
    return (unsigned)code < STICPS_ERR_COUNT ? names[code] : "UNKNOWN";
}

int sticps_err_http_status(enum sticps_err code)
{
    switch (code) {
    case STICPS_ERR_MALFORMED:
        return 400;
    case STICPS_ERR_STALE_DATE:
        return 403;
    case STICPS_ERR_BAD_IDENTITY_INFO:
        return 436;
    case STICPS_ERR_UNSUPPORTED_CREDENTIAL:
        return 437;
    case STICPS_ERR_INVALID_IDENTITY_HEADER:
        return 438;
    default:
        return 500;
    }
}

static void keep_printable(char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
            *s = '?';
}

enum sticps_err fail(struct sticps_error *err, enum sticps_err code, const char *where,
                     const char *format, ...)
{
    if (err == NULL)
        return code;
    err->code = code;
    snprintf(err->where, sizeof(err->where), "%s", where != NULL ? where : "");
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    keep_printable(err->where);
    keep_printable(err->text);
    return code;
}

void fail_context(struct sticps_error *err, const char *format, ...)
{
    if (err == NULL)
        return;
    char context[sizeof(err->text)], whole[2 * sizeof(err->text) + 2];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof(context), format, args);
    va_end(args);
    snprintf(whole, sizeof(whole), "%s: %s", context, err->text);
    memcpy(err->text, whole, sizeof(err->text) - 1);
    err->text[sizeof(err->text) - 1] = '\0';
    keep_printable(err->text);
}
