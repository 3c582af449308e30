/* client/x5u_store: whatever is in the file of a URL, what is read from it is a chain that is well
 * formed and may still be used; and what is kept then is read again as it was. */
#include "client/sha256.h"
#include "client/x5u_store.h"
#include "common/cert.h"
#include "tests/fuzz/target.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define URL "https://cr.example.com/a.crt"
#define NOW 1700000000

static char dir[32], folder[40], path[128];

static void remove_all(void)
{
    unlink(path);
    rmdir(folder);
    rmdir(dir);
}

static struct x5u_store *open_store(void)
{
    char hash[65];
    struct x5u_store *store = NULL;
    /* in memory, where there is such a folder */
    snprintf(dir, sizeof(dir), "%s/fuzz-x5u-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    MUST(mkdtemp(dir) != NULL);
    MUST(sha256_hex(URL, strlen(URL), hash, NULL) == STICPS_OK);
    snprintf(folder, sizeof(folder), "%s/x5u", dir);
    snprintf(path, sizeof(path), "%s/%s.chain", folder, hash);
    MUST(mkdir(folder, 0700) == 0);
    atexit(remove_all);
    const struct sticps_options options = {.state_dir = dir};
    MUST(x5u_store_new(&options, &store, NULL) == STICPS_OK);
    return store;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct x5u_store *store;
    struct cert_chain *chain = NULL;
    int64_t until = 0, again_until = 0;
    if (store == NULL)
        store = open_store();
    FILE *file = fopen(path, "w");
    MUST(file != NULL && fwrite(data, 1, len, file) == len && fclose(file) == 0);
    char *pem = x5u_store_read(store, URL, NOW, &until);
    if (pem == NULL)
        return 0;
    MUST(until > NOW);
    MUST(cert_chain_parse(pem, strlen(pem), STICPS_ERR_STATE, &chain, NULL) == STICPS_OK);
    MUST(until <= cert_chain_first_end(chain));
    x5u_store_write(store, URL, pem, NOW, until);
    char *again = x5u_store_read(store, URL, NOW, &again_until);
    MUST(again != NULL && strcmp(again, pem) == 0 && again_until == until);
    MUST(x5u_store_read(store, URL, until, &again_until) == NULL);
    free(again);
    free(pem);
    cert_chain_unref(chain);
    return 0;
}
