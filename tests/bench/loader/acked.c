#include "loader/acked.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void add_range(struct load_acked *acked, uint64_t first, uint64_t last)
{
    if (acked->count == acked->capacity) {
        acked->capacity = acked->capacity == 0 ? 16 : acked->capacity * 2;
        acked->ranges = realloc(acked->ranges, acked->capacity * sizeof(*acked->ranges));
        mrd_assert(acked->ranges != NULL);
    }
    acked->ranges[acked->count++] = (struct load_acked_range){first, last};
}

void load_acked_add(struct load_acked *acked, uint64_t number)
{
    struct load_acked_range *newest = acked->count == 0 ? NULL : &acked->ranges[acked->count - 1];
    mrd_assert(newest == NULL || number > newest->last);
    if (newest != NULL && number == newest->last + 1) {
        newest->last = number;
        return;
    }
    add_range(acked, number, number);
}

void load_acked_print(const struct load_acked *acked, uint32_t connection, struct mrd_buf *out)
{
    for (size_t i = 0; i < acked->count; i++) {
        mrd_buf_printf(out, "%" PRIu32 " %" PRIu64 " %" PRIu64 "\n", connection,
                       acked->ranges[i].first, acked->ranges[i].last);
    }
}

enum mrd_status load_acked_parse(struct mrd_bytes text, uint32_t connection,
                                 struct load_acked *acked, struct mrd_error *err)
{
    const char *at = (const char *)text.data;
    const char *end = at + text.size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        char line[80];
        uint32_t of = 0;
        uint64_t first = 0;
        uint64_t last = 0;
        int used = -1;
        if (newline == NULL || (size_t)(newline - at) >= sizeof(line)) {
            return mrd_fail(err, MRD_E_INVALID, "a line has no end");
        }
        memcpy(line, at, (size_t)(newline - at));
        line[newline - at] = '\0';
        if (sscanf(line, "%" SCNu32 " %" SCNu64 " %" SCNu64 "%n", &of, &first, &last, &used) != 3 ||
            line[used] != '\0' || first > last) {
            return mrd_fail(err, MRD_E_INVALID, "\"%s\" is not \"connection first last\"", line);
        }
        if (of == connection) {
            add_range(acked, first, last);
        }
        at = newline + 1;
    }
    return MRD_OK;
}

void load_acked_fini(struct load_acked *acked)
{
    free(acked->ranges);
    *acked = (struct load_acked){0};
}
