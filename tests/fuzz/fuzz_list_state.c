/* client/list_json: what is read is written back the same, and a state that is believed is
 * consistent. */
#include "client/list_json.h"
#include "tests/fuzz/target.h"

#include <string.h>

static void check(const struct list_state *state)
{
    int64_t above = 0;
    MUST(state->seen_len <= LIST_STATE_MAX_SEEN);
    for (size_t i = 0; i < state->seen_len; i++) {
        MUST(state->seen[i].sequence > above);
        above = state->seen[i].sequence;
        MUST(strlen(state->seen[i].sha256) == 64);
    }
    MUST(above <= state->floor);
    if (state->jws == NULL)
        return;
    MUST(strlen(state->jws) == state->jws_len);
    MUST(state->source != NULL && state->etag != NULL && state->x5u != NULL);
    MUST(state->chain != NULL);
    const char *seen = list_state_seen(state, state->sequence);
    MUST(seen != NULL && strcmp(seen, state->sha256) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct list_state state, again;
    struct sticps_error err = {0};
    char *text = NULL;
    size_t text_len = 0;
    enum sticps_err code = list_json_read((const char *)data, len, &state, &err);
    if (code != STICPS_OK) {
        MUST(code == STICPS_ERR_STATE && err.code == code);
        return 0;
    }
    check(&state);
    MUST(list_json_write(&state, &text, &text_len, NULL) == STICPS_OK);
    MUST(list_json_read(text, text_len, &again, NULL) == STICPS_OK);
    MUST(again.floor == state.floor && again.seen_len == state.seen_len);
    MUST((again.jws == NULL) == (state.jws == NULL));
    MUST(state.jws == NULL || strcmp(again.jws, state.jws) == 0);
    list_state_clear(&again);
    list_state_clear(&state);
    free(text);
    return 0;
}
