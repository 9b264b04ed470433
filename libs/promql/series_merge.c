#include "promql/series_merge.h"

#include <stdlib.h>

#include "promql/series_join.h"

enum {
    RESETS_BYTES = 1 << 20, /* for layouts compared; without room, nothing is known */
    LABELS_BYTES = 4 << 20, /* of one series, decoded */
    HISTOGRAMS_PER_LOOK = 1024,
};

/* An input and its present series. */
struct lane {
    struct mrd_series_input input;
    struct mrd_source_series series;
    bool begun; /* there was a series before; the next one must come after it */
    uint32_t last_segment;
    struct mrd_labels last; /* points into last_bytes */
    struct mrd_buf last_bytes;
    struct mrd_arena *last_arena;
};

struct mrd_series_merge {
    struct mrd_series_merge_options options;
    struct lane *lanes;
    size_t lane_count;
    size_t *heap; /* lanes that have a series, the first of them on top */
    size_t heap_size;
    size_t *taken; /* lanes whose series was yielded: to be moved on; in the order of the inputs */
    size_t taken_count;
    struct mrd_series_join join;
    struct mrd_arena *resets;
};

struct mrd_series_merge *mrd_series_merge_create(const struct mrd_series_input *inputs,
                                                 size_t count,
                                                 const struct mrd_series_merge_options *options)
{
    struct mrd_series_merge *merge = calloc(1, sizeof(*merge));
    mrd_assert(merge != NULL);
    merge->options = *options;
    merge->lane_count = count;
    merge->lanes = calloc(count + 1, sizeof(*merge->lanes));
    merge->heap = calloc(count + 1, sizeof(*merge->heap));
    merge->taken = calloc(count + 1, sizeof(*merge->taken));
    mrd_assert(merge->lanes != NULL && merge->heap != NULL && merge->taken != NULL);
    for (size_t i = 0; i < count; i++) {
        merge->lanes[i].input = inputs[i];
        merge->taken[merge->taken_count++] = i; /* all are to be moved to their first series */
    }
    return merge;
}

void mrd_series_merge_destroy(struct mrd_series_merge **merge_pointer)
{
    struct mrd_series_merge *merge = *merge_pointer;
    if (merge == NULL) {
        return;
    }
    for (size_t i = 0; i < merge->lane_count; i++) {
        struct lane *lane = &merge->lanes[i];
        if (lane->input.set != NULL) {
            lane->input.close(lane->input.set);
        }
        mrd_buf_fini(&lane->last_bytes);
        mrd_arena_destroy(&lane->last_arena);
    }
    mrd_series_join_fini(&merge->join);
    mrd_arena_destroy(&merge->resets);
    free(merge->lanes);
    free(merge->heap);
    free(merge->taken);
    free(merge);
    *merge_pointer = NULL;
}

/* ---- the order ---- */

static int lane_compare(const struct lane *a, const struct lane *b)
{
    if (a->series.segment != b->series.segment) {
        return a->series.segment < b->series.segment ? -1 : 1;
    }
    return mrd_series_order(a->series.labels, b->series.labels);
}

static bool heap_before(const struct mrd_series_merge *merge, size_t a, size_t b)
{
    const int order = lane_compare(&merge->lanes[a], &merge->lanes[b]);
    return order != 0 ? order < 0 : a < b; /* of one series, the inputs in their order */
}

static void heap_push(struct mrd_series_merge *merge, size_t lane)
{
    size_t at = merge->heap_size++;
    while (at > 0 && heap_before(merge, lane, merge->heap[(at - 1) / 2])) {
        merge->heap[at] = merge->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    merge->heap[at] = lane;
}

static size_t heap_pop(struct mrd_series_merge *merge)
{
    const size_t top = merge->heap[0];
    const size_t last = merge->heap[--merge->heap_size];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= merge->heap_size) {
            break;
        }
        if (child + 1 < merge->heap_size &&
            heap_before(merge, merge->heap[child + 1], merge->heap[child])) {
            child++;
        }
        if (!heap_before(merge, merge->heap[child], last)) {
            break;
        }
        merge->heap[at] = merge->heap[child];
        at = child;
    }
    merge->heap[at] = last;
    return top;
}

/* ---- moving on ---- */

/* A copy: the present series ends when the input moves on. */
static enum mrd_status remember(struct lane *lane, struct mrd_error *err)
{
    if (lane->last_arena == NULL) {
        lane->last_arena = mrd_arena_create("labels of one series", LABELS_BYTES);
    }
    lane->begun = true;
    lane->last_segment = lane->series.segment;
    mrd_buf_clear(&lane->last_bytes);
    mrd_labels_encode(lane->series.labels, &lane->last_bytes);
    mrd_arena_reset(lane->last_arena);
    return mrd_labels_decode(mrd_buf_view(&lane->last_bytes), lane->last_arena, &lane->last, err);
}

static bool is_in_order(const struct lane *lane)
{
    return !lane->begun || lane->series.segment > lane->last_segment ||
           (lane->series.segment == lane->last_segment &&
            mrd_series_order(lane->last, lane->series.labels) < 0);
}

static enum mrd_status out_of_order(const struct lane *lane, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_labels_format(lane->series.labels, &text);
    return mrd_fail(err, MRD_E_CORRUPT,
                    "series of one source are out of order at %.*s (an ingester older than this "
                    "querier has none: upgrade it)",
                    MRD_FMT(mrd_buf_view(&text)));
}

/* The next series of a lane, which then waits in the heap; nothing at its end. */
static enum mrd_status lane_move(struct mrd_series_merge *merge, size_t index,
                                 struct mrd_error *err)
{
    struct lane *lane = &merge->lanes[index];
    bool more = false;
    MRD_TRY(lane->input.next(lane->input.set, &lane->series, &more, err));
    if (!more) {
        return MRD_OK;
    }
    if (!is_in_order(lane)) {
        return out_of_order(lane, err);
    }
    MRD_TRY(remember(lane, err));
    heap_push(merge, index);
    return MRD_OK;
}

/* ---- one series ---- */

static enum mrd_status join_resets(struct mrd_series_merge *merge, struct mrd_error *err)
{
    struct mrd_joined *joined = &merge->join.sides[merge->join.now];
    if (!joined->histograms_joined || merge->options.find_resets == NULL) {
        return MRD_OK;
    }
    if (merge->resets == NULL) {
        merge->resets = mrd_arena_create("resets", RESETS_BYTES);
    }
    mrd_arena_reset(merge->resets);
    for (size_t first = 0; first < joined->histogram_count; first += HISTOGRAMS_PER_LOOK) {
        const size_t end = MRD_MIN(first + HISTOGRAMS_PER_LOOK, joined->histogram_count);
        merge->options.find_resets(joined->histograms, first, end, merge->resets);
        MRD_TRY(mrd_look(&merge->options.look, err));
    }
    return MRD_OK;
}

/* The taken lanes all have the same series. */
static enum mrd_status join_taken(struct mrd_series_merge *merge, struct mrd_source_series *out,
                                  struct mrd_error *err)
{
    mrd_series_join_begin(&merge->join, merge->options.samples_max, &merge->options.look);
    for (size_t i = 0; i < merge->taken_count; i++) {
        const struct mrd_source_series *series = &merge->lanes[merge->taken[i]].series;
        MRD_TRY(mrd_series_join_add(&merge->join, &series->samples, &series->histograms, err));
    }
    MRD_TRY(join_resets(merge, err));
    mrd_series_join_get(&merge->join, &out->samples, &out->histograms);
    return MRD_OK;
}

enum mrd_status mrd_series_merge_next(struct mrd_series_merge *merge, struct mrd_source_series *out,
                                      bool *out_more, struct mrd_error *err)
{
    for (size_t i = 0; i < merge->taken_count; i++) {
        MRD_TRY(lane_move(merge, merge->taken[i], err));
    }
    merge->taken_count = 0;
    *out_more = merge->heap_size > 0;
    if (!*out_more) {
        return MRD_OK;
    }
    merge->taken[merge->taken_count++] = heap_pop(merge);
    const struct lane *first = &merge->lanes[merge->taken[0]];
    while (merge->heap_size > 0 && lane_compare(first, &merge->lanes[merge->heap[0]]) == 0) {
        merge->taken[merge->taken_count++] = heap_pop(merge);
    }
    *out = first->series;
    return merge->taken_count == 1 ? MRD_OK : join_taken(merge, out, err);
}
