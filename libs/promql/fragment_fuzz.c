/* States of segments from anybody, merged and finished; and fragments from anybody, decoded. */
#include <stdlib.h>

#include "promql/fragment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS = 5 };

static const struct {
    const char *text;
    enum mrd_aggregation aggregation;
} queries[] = {
    {"sum by (a) (m)",         MRD_AGG_SUM    },
    {"avg by (a) (m)",         MRD_AGG_AVG    },
    {"stddev without (b) (m)", MRD_AGG_STDDEV },
    {"max by (a) (m)",         MRD_AGG_MAX    },
    {"count(m)",               MRD_AGG_COUNT  },
    {"topk by (a) (2, m)",     MRD_AGG_TOPK   },
    {"bottomk(3, m)",          MRD_AGG_BOTTOMK},
};

/* Two segments whose states are the two halves of the input behind a header that fits. */
struct mrd_source_set {
    enum mrd_aggregation aggregation;
    struct mrd_bytes halves[2];
    size_t next;
    struct mrd_buf states;
};

static enum mrd_status set_open(void *context, const struct mrd_select *select,
                                const struct mrd_fragment *fragment,
                                const struct mrd_query_scope *scope,
                                struct mrd_source_set **out_set, struct mrd_error *err)
{
    (void)select;
    (void)fragment;
    (void)scope;
    (void)err;
    *out_set = context;
    return MRD_OK;
}

static enum mrd_status set_next(struct mrd_source_set *set, struct mrd_bytes *out, bool *out_more,
                                struct mrd_error *err)
{
    static const uint8_t nothing_said[6] = {0};
    (void)err;
    *out_more = set->next < MRD_ARRAY_LEN(set->halves);
    if (!*out_more) {
        return MRD_OK;
    }
    mrd_buf_clear(&set->states);
    mrd_buf_append_u8(&set->states, MRD_FRAGMENT_VERSION);
    mrd_buf_append_varint(&set->states, (uint64_t)set->aggregation);
    mrd_buf_append_varint(&set->states, STEPS);
    mrd_buf_append(&set->states, nothing_said, sizeof(nothing_said));
    mrd_buf_append_bytes(&set->states, set->halves[set->next++]);
    *out = mrd_buf_view(&set->states);
    return MRD_OK;
}

static void set_close(struct mrd_source_set *set) { mrd_buf_fini(&set->states); }

static void merge(size_t query, struct mrd_bytes bytes)
{
    const size_t half = bytes.size / 2;
    struct mrd_source_set set = {
        .aggregation = queries[query].aggregation,
        .halves = {{bytes.data, half}, {bytes.data + half, bytes.size - half}},
    };
    const struct mrd_source source = {
        .context = &set, .open_fragment = set_open, .next_states = set_next, .close = set_close};
    const struct mrd_promql_options options = {0};
    const struct mrd_promql_request request = {mrd_bytes_of(queries[query].text), 0,
                                               (STEPS - 1) * 1000, 1000, false};
    struct mrd_promql_result result;
    struct mrd_error err;
    struct mrd_arena *arena = mrd_arena_create("fuzz", 1 << 22);
    (void)!mrd_promql_query(&options, &request, &source, NULL, arena, &result, &err);
    mrd_arena_destroy(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrd_fragment fragment;
    struct mrd_error err;
    (void)!mrd_fragment_decode((struct mrd_bytes){data, size}, &fragment, &err);
    if (size > 0) {
        merge(data[0] % MRD_ARRAY_LEN(queries), (struct mrd_bytes){data + 1, size - 1});
    }
    return 0;
}
