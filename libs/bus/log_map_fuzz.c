/* Descriptions of streams: what is read is written the same, and positions rise. */
#include <string.h>

#include "base/macros.h"
#include "bus/log_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[MRD_LOG_MAP_TEXT_MAX];
    if (size >= sizeof(text)) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    struct mrd_log_map map;
    if (mrd_log_map_parse(text, &map, NULL) != MRD_OK) {
        return 0;
    }
    struct mrd_log_map again;
    char written[MRD_LOG_MAP_TEXT_MAX];
    mrd_assert(mrd_log_map_parse(mrd_log_map_format(&map, written), &again, NULL) == MRD_OK);
    mrd_assert(again.erased_known == map.erased_known && again.erased == map.erased);
    mrd_assert(again.count == map.count &&
               memcmp(again.parts, map.parts, map.count * sizeof(map.parts[0])) == 0);
    for (size_t i = 0; i < map.count; i++) {
        const uint64_t from = map.parts[i].from;
        const uint64_t position = mrd_log_map_position(&map, from);
        mrd_assert(mrd_log_map_position(&map, from - 1) < position);
        mrd_assert(mrd_log_map_sequence(&map, position) == from);
        mrd_assert(mrd_log_map_last(&map, from - 1) == position - 1);
    }
    return 0;
}
