/* Tells whether a file is another than at the last look, without reading it. Callers: the daemons'
 * files that other software replaces (crl_file, revocation). */
#ifndef COMMON_FILE_STAMP_H
#define COMMON_FILE_STAMP_H

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

struct file_stamp {
    bool looked, there;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

/* Takes a look, and notes it in *seen (zeroed before the first). True when the file is another, was
 * written, came or went since, and at the first look. Call it before reading the file: what changes
 * in between is then noticed at the next look. */
bool file_stamp_changed(struct file_stamp *seen, const char *path);

#endif
