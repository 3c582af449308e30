/* The portability database: one read-only file that says, for any telephone number, which carrier
 * serves it. It is built from CSV, mapped into memory, and replaced by building the next one over
 * it (the new file is renamed into place, whoever has the old one open keeps it whole).
 * docs/npdb-format.md describes the file.
 *
 * An open database is immutable: any number of threads may look up in it at once. A build belongs
 * to one thread. Nothing here prints, takes signals or keeps global state.
 *
 * Every call that can fail returns an error code and, when `err` is not NULL, the details; a failed
 * call leaves its out-parameters untouched. */
#ifndef STICPS_NPDB_H
#define STICPS_NPDB_H

#include "sticps/error.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- looking up ---- */

struct sticps_npdb;

/* What the database says about one number. The caller provides it. Its size is part of the ABI and
 * will not change. */
struct sticps_npdb_answer {
    char tn[16];  /* the number looked up, canonical: digits only, country code first */
    char lrn[16]; /* the location routing number of a ported number, canonical; or "" */
    char spc[8];  /* who serves it: OCN or Resp Org ID; "" when the database names nobody */
    int ported;   /* 1: the number has a row of its own; 0: its block decides */
};

/* Maps the file at `path` and checks its structure, which reads all of it once: no lookup can leave
 * a file that has been opened, whatever it contains. With `verify` not 0 the checksums are checked
 * too, so that no damage goes unnoticed. The file must not be written in place while it is open.
 * STICPS_ERR_FILE: cannot be read. STICPS_ERR_NPDB: not a portability file of this version, or
 * damaged. STICPS_ERR_NO_MEMORY. The caller owns *out (sticps_npdb_close). */
STICPS_EXPORT enum sticps_err sticps_npdb_open(const char *path, int verify,
                                               struct sticps_npdb **out,
                                               struct sticps_error *err) STICPS_MUST_CHECK;

/* Accepts NULL. No lookup may be under way. */
STICPS_EXPORT void sticps_npdb_close(struct sticps_npdb *npdb);

/* Who serves `number`, written as people do (+1 202-555-0123, 2025550123)? With `default_country` 1
 * ten digits of North American form get the leading 1; 0 adds nothing. A number that nobody serves
 * is a success with an empty spc. No allocation, lock or system call. STICPS_ERR_TN: not a
 * telephone number. */
STICPS_EXPORT enum sticps_err sticps_npdb_lookup(const struct sticps_npdb *npdb, const char *number,
                                                 unsigned default_country,
                                                 struct sticps_npdb_answer *out,
                                                 struct sticps_error *err) STICPS_MUST_CHECK;

/* ---- looking up in bulk ---- */

/* What is known of a number, as one integer that means something for this open database only: 0
 * when the database does not know the number; STICPS_NPDB_PORTED is set when it has a row of its
 * own. */
#define STICPS_NPDB_UNKNOWN UINT32_C(0)
#define STICPS_NPDB_PORTED UINT32_C(0x80000000)

/* `number` is an E.164 number as an integer, country code first: 12025550123. Anything that is no
 * number is unknown. No allocation, lock or system call; any thread. */
STICPS_EXPORT uint32_t sticps_npdb_find(const struct sticps_npdb *npdb, uint64_t number);

/* The same for `count` numbers: several times as fast, as the memory accesses of 32 of them
 * overlap. `results` has room for `count`. */
STICPS_EXPORT void sticps_npdb_find_batch(const struct sticps_npdb *npdb, const uint64_t *numbers,
                                          size_t count, uint32_t *results);

/* The SPC that a result names, "" when it names nobody; borrowed until sticps_npdb_close. */
STICPS_EXPORT const char *sticps_npdb_result_spc(const struct sticps_npdb *npdb, uint32_t result);

/* The location routing number that a result names, as an integer (12025550000), or 0. */
STICPS_EXPORT uint64_t sticps_npdb_result_lrn(const struct sticps_npdb *npdb, uint32_t result);

/* ---- figures, of an open database and of a build ---- */

enum sticps_npdb_figure {
    STICPS_NPDB_BYTES,  /* size of the file */
    STICPS_NPDB_BLOCKS, /* block prefixes in it */
    STICPS_NPDB_PORTS,  /* ported and toll-free numbers in it */
    STICPS_NPDB_SPCS,   /* different Service Provider Codes in it */
    STICPS_NPDB_LRNS,   /* different location routing numbers in it */
    /* LRNs whose NPA-NXX is in no block: numbers ported to them have no owner */
    STICPS_NPDB_LRNS_WITHOUT_OWNER,

    /* of a build only, 0 for an open database */
    STICPS_NPDB_DUPLICATES, /* rows that said again what another had said */
    STICPS_NPDB_OVERRIDDEN, /* rows that a later one contradicted, with last-wins */
    STICPS_NPDB_FAULTS,     /* rows that were refused */
    STICPS_NPDB_SUPERSEDED, /* rows of blocks that one of a later date replaced or ended */
    STICPS_NPDB_ENDED,      /* rows that said that a number or block is out of service */
    STICPS_NPDB_FUTURE,     /* rows that are not effective yet, left out */
    STICPS_NPDB_SKIPPED,    /* rows left out for their status */

    /* of a build with a base */
    STICPS_NPDB_PORTED_IN,      /* numbers that had no row of their own and have one now */
    STICPS_NPDB_MOVED,          /* numbers that have another owner now */
    STICPS_NPDB_PORTED_BACK,    /* numbers that had a row of their own and have none now */
    STICPS_NPDB_BLOCKS_CHANGED, /* block prefixes that are new, changed or gone */
    STICPS_NPDB_UNCHANGED       /* rows that said what the base says already */
};

/* 0 for a figure that this version does not know. */
STICPS_EXPORT uint64_t sticps_npdb_figure(const struct sticps_npdb *npdb,
                                          enum sticps_npdb_figure which);

/* ---- building ---- */

/* What to build from, and afterwards what came of it. */
struct sticps_npdb_build;

/* The caller owns *out (sticps_npdb_build_free). STICPS_ERR_NO_MEMORY. */
STICPS_EXPORT enum sticps_err sticps_npdb_build_new(struct sticps_npdb_build **out,
                                                    struct sticps_error *err) STICPS_MUST_CHECK;

/* Accepts NULL. */
STICPS_EXPORT void sticps_npdb_build_free(struct sticps_npdb_build *build);

/* Adds a CSV file of blocks, "prefix,SPC": NPA-NXX, NPA-NXX-X or an E.164 prefix, and who owns it;
 * "-" for nobody. The path is copied; the file is read by sticps_npdb_build_run.
 * STICPS_ERR_NO_MEMORY; STICPS_ERR_USAGE for more than 1,000 files. */
STICPS_EXPORT enum sticps_err
sticps_npdb_build_add_blocks(struct sticps_npdb_build *build, const char *path,
                             struct sticps_error *err) STICPS_MUST_CHECK;

/* Adds a CSV file of ported and toll-free numbers, "TN,LRN" or "TN,SPC". As above. */
STICPS_EXPORT enum sticps_err
sticps_npdb_build_add_ports(struct sticps_npdb_build *build, const char *path,
                            struct sticps_error *err) STICPS_MUST_CHECK;

/* What is said about the CSV of a build, each as a text; docs/npdb-format.md has the rules. */
enum sticps_npdb_build_option {
    /* Which column says what, "npa=NPA,nxx=NXX,block=BLOCK_ID,spc=OCN": names of the heading, or
     * positions from 1, or - for none; what is not given is found by its usual names */
    STICPS_NPDB_BLOCKS_COLUMNS,
    STICPS_NPDB_PORTS_COLUMNS, /* "tn=NUMBER,lrn=3" */
    STICPS_NPDB_SEPARATOR,     /* "comma", "semicolon", "tab", "bar"; else found by looking */
    STICPS_NPDB_DATE_ORDER,    /* "ymd", "mdy", "dmy"; else what can only be read in one way */
    STICPS_NPDB_AS_OF,         /* "YYYY-MM-DD"; else today in UTC */
    STICPS_NPDB_SKIP_STATUSES, /* "X": rows with one of these are left out */
    STICPS_NPDB_END_STATUSES,  /* "D": rows with one of these end a block or number */
    STICPS_NPDB_SPID_MAP,      /* path of a CSV, "SPID,OCN" */
    STICPS_NPDB_SPC_MAP        /* path of a CSV, "OCN,OCN", applied after it */
};

/* Sets an option for all files of the build; NULL for what holds without it. The text is copied, a
 * file is read at once. STICPS_ERR_USAGE: the value does not suit the option. STICPS_ERR_FILE,
 * STICPS_ERR_SPC: a table cannot be read. STICPS_ERR_NO_MEMORY. */
STICPS_EXPORT enum sticps_err sticps_npdb_build_set(struct sticps_npdb_build *build,
                                                    enum sticps_npdb_build_option which,
                                                    const char *value,
                                                    struct sticps_error *err) STICPS_MUST_CHECK;

/* Makes the rows of the build changes of the portability file at `path`, which is opened, with all
 * its checksums, when the build runs: what no row speaks of stays as it is there. A number ported
 * back has "-" in place of its owner, a block whose row goes "delete". The result is the file that
 * a build from all rows would give. Its sequence is one more than that of the base unless it is
 * set. The output may be the base. The path is copied. STICPS_ERR_NO_MEMORY. */
STICPS_EXPORT enum sticps_err
sticps_npdb_build_set_base(struct sticps_npdb_build *build, const char *path,
                           struct sticps_error *err) STICPS_MUST_CHECK;

/* With `on` not 0, of two rows that contradict each other the later one counts (in the order in
 * which the files were added); by default that is an error. */
STICPS_EXPORT void sticps_npdb_build_set_last_wins(struct sticps_npdb_build *build, int on);

/* The number that goes into the header of the file, for whoever makes one after the other to tell
 * them apart. 0 unless it is set. */
STICPS_EXPORT void sticps_npdb_build_set_sequence(struct sticps_npdb_build *build,
                                                  uint64_t sequence);

/* How many threads work: 1 for none but the caller's, 0 (the default) for one for each processor,
 * at most 8. The file does not depend on it. Each takes about 20 MB beside the 100 MB that a large
 * build needs. Where threads cannot be started, the build does with fewer. */
STICPS_EXPORT void sticps_npdb_build_set_threads(struct sticps_npdb_build *build, unsigned count);

/* Reading ends when so many rows have been refused; by default, and with 0, all is read and every
 * one is counted. */
STICPS_EXPORT void sticps_npdb_build_set_fault_limit(struct sticps_npdb_build *build,
                                                     uint64_t limit);

/* Called during a run, in the thread that runs it, for each of the first 20 rows that are refused,
 * with borrowed texts: the file, the line (from 1), and what is wrong there. File "" and line 0
 * when two rows of a pipe contradict each other, which cannot be read again to find them. */
STICPS_EXPORT void sticps_npdb_build_on_fault(struct sticps_npdb_build *build,
                                              void (*callback)(const char *file, uint64_t line,
                                                               const char *what, void *arg),
                                              void *arg);

enum sticps_npdb_stage {
    STICPS_NPDB_READING,   /* `done` bytes of CSV of `total`, which is 0 when it is not known */
    STICPS_NPDB_ASSEMBLING /* `done` area codes of `total` */
};

/* Called during a run, in the thread that runs it, often (some hundred times a second): how far it
 * is, and how many rows have been read. */
STICPS_EXPORT void sticps_npdb_build_on_progress(struct sticps_npdb_build *build,
                                                 void (*callback)(enum sticps_npdb_stage stage,
                                                                  uint64_t done, uint64_t total,
                                                                  uint64_t rows, void *arg),
                                                 void *arg);

/* Reads the files and writes the database to `output`: whole and synced to disk, then
 * renamed; a temporary file beside it takes 5 bytes for each ported number meanwhile. A run that is
 * killed leaves neither. The same rows give the same bytes, whatever their order. May be repeated.
 * STICPS_ERR_NPDB: rows are wrong; `err` names the first, nothing is written. STICPS_ERR_FILE: a
 * file cannot be read or written. STICPS_ERR_NO_MEMORY. */
STICPS_EXPORT enum sticps_err sticps_npdb_build_run(struct sticps_npdb_build *build,
                                                    const char *output,
                                                    struct sticps_error *err) STICPS_MUST_CHECK;

/* Of the last run. */
STICPS_EXPORT uint64_t sticps_npdb_build_figure(const struct sticps_npdb_build *build,
                                                enum sticps_npdb_figure which);

#ifdef __cplusplus
}
#endif
#endif
