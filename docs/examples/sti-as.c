/* The sending half of an STI-AS: each PASSporT on standard input goes to the CPSs of its called numbers.
 *   cc sti-as.c -o sti-as $(pkg-config --cflags --libs sticps); sticps passport sign … | ./sti-as … */
#include <sticps/sticps.h>
#include <stdio.h>
#include <string.h>
#include <threads.h>

static void on_delivered(void *ctx, enum sticps_err code, const struct sticps_error *err,
                         const struct sticps_delivery *delivery)
{
    (void)ctx, (void)delivery;
    printf("%s %s\n", sticps_err_name(code), code == STICPS_OK ? "" : err->text);
}

int main(int argc, char **argv)
{
    struct sticps_options *options = sticps_options_new();
    struct sticps_client *client = NULL;
    struct sticps_list *list = NULL;
    struct sticps_error err = {STICPS_ERR_USAGE, "", "sti-as ANCHOR STATE-DIR LIST-URL NPDB"};
    char token[16384];
    bool ready = argc == 5 && options != NULL && sticps_options_add_anchor_file(options, argv[1], &err) == STICPS_OK &&
        sticps_options_set_state_dir(options, argv[2], &err) == STICPS_OK &&
        sticps_client_new(options, &client, &err) == STICPS_OK &&
        sticps_client_set_npdb(client, (const char *[]){argv[4]}, 1, &err) == STICPS_OK &&
        sticps_list_fetch_wait(client, STICPS_LIST_CPS, argv[3], &list, NULL, NULL, &err) == STICPS_OK &&
        sticps_client_start_thread(client, &err) == STICPS_OK;
    if (!ready)
        fprintf(stderr, "%s: %s\n", sticps_err_name(err.code), err.text);
    while (ready && fgets(token, sizeof(token), stdin) != NULL) /* one for each call; nothing here waits */
        if (sticps_deliver(client, token, strcspn(token, "\n"), on_delivered, NULL, &err) != STICPS_OK)
            fprintf(stderr, "%s\n", err.text);
    while (ready && sticps_deliveries_under_way(client) > 0)
        thrd_sleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    sticps_list_unref(list);
    sticps_client_free(client);
    sticps_options_free(options);
    return ready ? 0 : 1;
}
