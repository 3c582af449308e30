/* What can go wrong, as one list of named causes.
 *
 * Every call of the library that can fail returns one of these, and fills in a struct sticps_error
 * for people: what was wrong, where, and what to do. The names (sticps_err_name) are stable: they
 * are what `--json` prints as "code", what logs and counters use, and what PROTOCOL documents. */
#ifndef STICPS_ERROR_H
#define STICPS_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define STICPS_EXPORT __attribute__((visibility("default")))
#define STICPS_MUST_CHECK __attribute__((warn_unused_result))
#define STICPS_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define STICPS_EXPORT
#define STICPS_MUST_CHECK
#define STICPS_PRINTF(f, a)
#endif

/* New causes are added before STICPS_ERR_COUNT; numbers never change their meaning. */
enum sticps_err {
    STICPS_OK = 0,

    /* the host's side */
    STICPS_ERR_NO_MEMORY, /* an allocation failed; nothing was changed */
    STICPS_ERR_USAGE,     /* an argument or option cannot be used as given */
    STICPS_ERR_FILE,      /* a local file cannot be read or written */
    STICPS_ERR_STATE,     /* the state on disk is damaged or not ours */
    STICPS_ERR_CRYPTO,    /* OpenSSL refused to work (not: a signature is wrong) */
    STICPS_ERR_NPDB,      /* a portability file, or the CSV for one, is not well formed */

    /* values */
    STICPS_ERR_TN,  /* not a telephone number */
    STICPS_ERR_SPC, /* not a Service Provider Code */
    STICPS_ERR_URL, /* not a URL that the rules allow */

    /* the network */
    STICPS_ERR_FETCH,   /* nothing whole was received */
    STICPS_ERR_ADDRESS, /* the host's address is in a range that the rules close */

    /* a signed list, in the order of the checks */
    STICPS_ERR_FORM,
    STICPS_ERR_HEADER,
    STICPS_ERR_SIGNER,
    STICPS_ERR_SIGNATURE,
    STICPS_ERR_PAYLOAD,
    STICPS_ERR_VERSION,
    STICPS_ERR_EXP,
    STICPS_ERR_ROLLBACK,
    STICPS_ERR_EQUIVOCATION,
    STICPS_ERR_SHRINK,

    /* verdicts on a PASSporT (ATIS-1000074; the HTTP status is in sticps_err_http_status) */
    STICPS_ERR_MALFORMED,               /* 400 */
    STICPS_ERR_STALE_DATE,              /* 403 */
    STICPS_ERR_BAD_IDENTITY_INFO,       /* 436 */
    STICPS_ERR_UNSUPPORTED_CREDENTIAL,  /* 437 */
    STICPS_ERR_INVALID_IDENTITY_HEADER, /* 438 */

    /* why a number has no CPS URL */
    STICPS_ERR_NOT_A_NUMBER,
    STICPS_ERR_NO_CARRIER,
    STICPS_ERR_CARRIER_HAS_NO_CPS,
    STICPS_ERR_LIST_EXPIRED,
    STICPS_ERR_NO_LIST,

    /* delivery and retrieval */
    STICPS_ERR_REJECTED,  /* the CPS gave a definite no */
    STICPS_ERR_NOT_FOUND, /* the CPS holds nothing for this call */
    STICPS_ERR_BUSY,      /* as much is under way as the options allow */
    STICPS_ERR_PAUSED,    /* the CPS has failed or asked to be left in peace, and is, for a while */
    STICPS_ERR_NO_CONNECTION, /* others had all connections to the CPS until the deadline */

    STICPS_ERR_WOULD_WAIT, /* ENUM was not asked about this number yet: sticps_resolve_start does */

    STICPS_ERR_COUNT
};

/* Details for people. Filled in by a call that fails; untouched by one that succeeds. The caller
 * provides it, every call accepts NULL. Its size is part of the ABI and will not change. */
struct sticps_error {
    enum sticps_err code;
    char where[128]; /* the file, URL, claim or field that is at fault, or "" */
    char text[512];  /* one sentence: what is wrong and what to do */
};

/* The cause's stable name, e.g. "ROLLBACK"; "OK" for STICPS_OK, "UNKNOWN" for a number out of
 * range. Static storage. */
STICPS_EXPORT const char *sticps_err_name(enum sticps_err code);

#ifdef __cplusplus
}
#endif
#endif
