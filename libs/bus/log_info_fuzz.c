/* Answers about streams: what is taken makes sense, whatever it is. */
#include <stdlib.h>
#include <string.h>

#include "bus/log_info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mrd_bytes json = {data, size};
    struct mrd_log_state state;
    mrd_time_ms stored_ms;
    struct mrd_error err = {0};
    const enum mrd_status status = mrd_log_info_parse(json, &state, &err);
    if (status == MRD_OK) {
        mrd_assert(state.map.count <= MRD_LOG_MAP_PARTS);
        mrd_assert(state.identity.base == mrd_log_map_base(&state.map));
        mrd_assert(state.messages > 0 || state.stream_first == state.stream_last + 1);
    } else {
        mrd_assert(err.status == status);
    }
    char *config = NULL;
    char *edited = NULL;
    char *again = NULL;
    if (mrd_log_info_config(json, &config, &err) == MRD_OK && status == MRD_OK) {
        const struct mrd_log_map map = {.count = 1, .parts = {{1, 1000}}};
        const struct mrd_log_edit edit = {
            .limits = {true, true, 1 << 20, 0, 0},
              .map = &map
        };
        mrd_assert(mrd_log_config_edit(config, &edit, &edited, &err) == MRD_OK);
        mrd_assert(mrd_log_config_edit(edited, &edit, &again, &err) == MRD_OK);
        mrd_assert(strcmp(edited, again) == 0);
    }
    free(again);
    free(edited);
    free(config);
    if (mrd_log_entry_parse(json, &stored_ms, &err) == MRD_OK) {
        mrd_assert(stored_ms > INT64_MIN / 1000000 && stored_ms < INT64_MAX / 1000000);
    }
    return 0;
}
