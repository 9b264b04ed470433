/* One pass over sources side by side: a heap by their series, and those at the same series by time. */
#include "merge/merge_internal.h"

struct walk {
    struct mrd_merge_source *sources;
    struct mrd_merge_output *output;
    struct mrd_merge_counts *counts;
    size_t *out_bad;
    size_t heap[MRD_MERGE_FAN_IN_MAX]; /* of places in sources: the lowest series first */
    size_t heap_count;
    size_t group[MRD_MERGE_FAN_IN_MAX]; /* those at the series at hand */
    size_t group_count;
};

/* ---- the heap ---- */

static bool comes_before(const struct walk *walk, size_t a, size_t b)
{
    return mrd_block_series_compare(walk->sources[a].piece, walk->sources[b].piece) < 0;
}

static void heap_swap(struct walk *walk, size_t a, size_t b)
{
    const size_t kept = walk->heap[a];
    walk->heap[a] = walk->heap[b];
    walk->heap[b] = kept;
}

static void heap_push(struct walk *walk, size_t source)
{
    size_t at = walk->heap_count++;
    walk->heap[at] = source;
    while (at > 0 && comes_before(walk, walk->heap[at], walk->heap[(at - 1) / 2])) {
        heap_swap(walk, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static size_t heap_pop(struct walk *walk)
{
    const size_t top = walk->heap[0];
    size_t at = 0;
    walk->heap[0] = walk->heap[--walk->heap_count];
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
            if (child < walk->heap_count &&
                comes_before(walk, walk->heap[child], walk->heap[least])) {
                least = child;
            }
        }
        if (least == at) {
            return top;
        }
        heap_swap(walk, at, least);
        at = least;
    }
}

/* ---- one series ---- */

/* Takes the next piece of a source whose piece is used up. False in *out_stays if it is of another series now, or at its end. */
static enum mrd_status advance(struct walk *walk, size_t place, bool *out_stays,
                               struct mrd_error *err)
{
    struct mrd_merge_source *source = &walk->sources[place];
    const enum mrd_status status = mrd_merge_source_next(source, err);
    if (status != MRD_OK) {
        *walk->out_bad = place;
        return status;
    }
    *out_stays = source->piece != NULL &&
                 mrd_block_series_compare(source->piece, &walk->output->series) == 0;
    if (source->piece != NULL && !*out_stays) {
        heap_push(walk, place);
    }
    return MRD_OK;
}

/* Lets go on who has nothing left in its piece. What is in the output may point into it. */
static enum mrd_status advance_group(struct walk *walk, struct mrd_error *err)
{
    size_t kept = 0;
    bool flushed = walk->output->h == 0;
    for (size_t i = 0; i < walk->group_count; i++) {
        const size_t place = walk->group[i];
        bool stays = true;
        if (mrd_merge_source_time(&walk->sources[place]) == INT64_MAX) {
            if (!flushed) {
                MRD_TRY(mrd_merge_output_flush(walk->output, err));
                flushed = true;
            }
            MRD_TRY(advance(walk, place, &stays, err));
        }
        if (stays) {
            walk->group[kept++] = place;
        }
    }
    walk->group_count = kept;
    return MRD_OK;
}

/* The rows that several sources have at one time: the greatest wins. */
static enum mrd_status take_tie(struct walk *walk, mrd_time_ms time_ms, struct mrd_error *err)
{
    struct mrd_merge_row rows[MRD_MERGE_FAN_IN_MAX];
    size_t count = 0;
    size_t best = 0;
    for (size_t i = 0; i < walk->group_count; i++) {
        struct mrd_merge_source *source = &walk->sources[walk->group[i]];
        if (mrd_merge_source_time(source) == time_ms) {
            rows[count] = mrd_merge_source_row(source);
            best = mrd_merge_compare(&rows[count], &rows[best]) > 0 ? count : best;
            count++;
            mrd_merge_source_skip(source);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const bool same = mrd_merge_compare_content(&rows[i], &rows[best]) == 0;
        walk->counts->duplicates += i != best && same;
        walk->counts->overridden += !same;
    }
    return mrd_merge_output_row(walk->output, time_ms, &rows[best], err);
}

/* The earliest rows: those of one source up to where another begins, or those of all that are at one time. */
static enum mrd_status take_earliest(struct walk *walk, struct mrd_error *err)
{
    mrd_time_ms first_ms = INT64_MAX;
    mrd_time_ms second_ms = INT64_MAX;
    struct mrd_merge_source *earliest = NULL;
    for (size_t i = 0; i < walk->group_count; i++) {
        struct mrd_merge_source *source = &walk->sources[walk->group[i]];
        const mrd_time_ms time_ms = mrd_merge_source_time(source);
        if (time_ms < first_ms) {
            second_ms = first_ms;
            first_ms = time_ms;
            earliest = source;
        } else if (time_ms < second_ms) {
            second_ms = time_ms;
        }
    }
    return first_ms == second_ms ? take_tie(walk, first_ms, err)
                                 : mrd_merge_output_run(walk->output, earliest, second_ms, err);
}

static enum mrd_status merge_series(struct walk *walk, struct mrd_error *err)
{
    walk->group[0] = heap_pop(walk);
    walk->group_count = 1;
    MRD_TRY(mrd_merge_output_series(walk->output, walk->sources[walk->group[0]].piece, err));
    while (walk->heap_count > 0 && mrd_block_series_compare(walk->sources[walk->heap[0]].piece,
                                                            &walk->output->series) == 0) {
        walk->group[walk->group_count++] = heap_pop(walk);
    }
    while (walk->group_count > 0) {
        MRD_TRY(take_earliest(walk, err));
        MRD_TRY(advance_group(walk, err));
    }
    return mrd_merge_output_series_end(walk->output, err);
}

enum mrd_status mrd_merge_walk(struct mrd_merge_source *sources, size_t count,
                               struct mrd_merge_output *output, struct mrd_merge_counts *counts,
                               size_t *out_bad, struct mrd_error *err)
{
    struct walk walk = {.sources = sources, .output = output, .counts = counts, .out_bad = out_bad};
    mrd_assert(count <= MRD_MERGE_FAN_IN_MAX);
    for (size_t i = 0; i < count; i++) {
        if (sources[i].piece != NULL) {
            heap_push(&walk, i);
        }
    }
    while (walk.heap_count > 0) {
        MRD_TRY(merge_series(&walk, err));
    }
    return mrd_merge_output_end(output, err);
}
