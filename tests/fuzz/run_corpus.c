/* Feeds every file of the directories named as arguments to a fuzz target: so that what fuzzing
 * once found is tested with every build, without a fuzzer. Fails when there is nothing to feed. */
#include "tests/fuzz/target.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        return -1;
    }
    long len = ftell(file);
    uint8_t *data = malloc(len > 0 ? (size_t)len : 1); /* exact, for the sanitizers */
    rewind(file);
    if (len < 0 || data == NULL || fread(data, 1, (size_t)len, file) != (size_t)len) {
        perror(path);
        return -1;
    }
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t)len);
    free(data);
    return 0;
}

static int run_directory(const char *directory, int *count)
{
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        perror(directory);
        return -1;
    }
    int rc = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir(dir)) != NULL;) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        int len = snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        rc = len > 0 && (size_t)len < sizeof(path) ? run_file(path) : -1;
        *count += rc == 0;
    }
    closedir(dir);
    return rc;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++)
        if (run_directory(argv[i], &count) != 0)
            return 1;
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
