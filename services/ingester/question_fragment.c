/* Plan fragments: a partition's head as a source of the query engine, which folds it on the worker's thread while the
 * shard makes slices for it. */
#include <stdlib.h>

#include "codec/columns.h"
#include "ingester/questions_internal.h"
#include "promql/fragment.h"

enum {
    LABELS_BYTES_MAX = 4 << 20, /* of one series, decoded */
    HISTOGRAMS_SHARE = 4,       /* one in so many bytes of the memory, for those of one series */
    PACE_SERIES = 16,           /* from one look at the clock to the next */
};

struct mrd_source_set {
    struct ing_question *question;
    mrd_time_ms
        min_ms; /* the select's, or later: the querier may have a bound on how far back to look */
    mrd_time_ms max_ms;
    struct ing_slices slices;
    struct mrd_reader frames; /* of the slice at hand that were not read yet */
    struct mrd_columns columns;
    struct mrd_arena *labels; /* of the series that was yielded last */
};

static enum mrd_status set_open(void *context, const struct mrd_select *select,
                                const struct mrd_query_scope *scope,
                                struct mrd_source_set **out_set, struct mrd_error *err)
{
    struct ing_question *question = context;
    struct mrd_source_set *set = calloc(1, sizeof(*set));
    mrd_assert(set != NULL);
    (void)err;
    set->question = question;
    set->min_ms = MRD_MAX(select->min_ms, question->request.time_min_ms);
    set->max_ms = select->max_ms;
    set->slices.query = (struct mrd_head_query){
        .tenant = question->request.tenant,
        .in_order = question->request.in_order,
        .matchers = select->matchers,
        .matcher_count = select->matcher_count,
        .time_min_ms = set->min_ms,
        .time_max_ms = set->max_ms,
        .histograms_before_ms = question->request.histograms_before_ms,
        .series_max = question->request.series_max,
        .pause = ing_question_pause(question),
    };
    set->columns.look = mrd_query_look(scope->control);
    set->columns.histograms_before_ms = question->request.histograms_before_ms;
    set->columns.samples_limit = (size_t)question->request.samples_max;
    set->columns.histogram_bytes_max = mrd_arena_limit(scope->arena) / HISTOGRAMS_SHARE;
    set->labels = mrd_arena_create("labels of one series", LABELS_BYTES_MAX);
    *out_set = set;
    return MRD_OK;
}

static void set_close(struct mrd_source_set *set)
{
    ing_slices_close(set->question, &set->slices);
    mrd_columns_fini(&set->columns);
    mrd_arena_destroy(&set->labels);
    free(set);
}

/* Samples that this partition may still yield. */
static size_t samples_left(const struct ing_question *question)
{
    const uint64_t limit = question->request.samples_max;
    return limit == 0 ? SIZE_MAX : (size_t)(limit - MRD_MIN(question->trailer.samples, limit));
}

/* Frames of a slice are whole series. */
static enum mrd_status read_series(struct mrd_source_set *set, struct mrd_source_series *out,
                                   struct mrd_error *err)
{
    struct ing_question *question = set->question;
    struct mrd_frame frame;
    MRD_TRY(mrd_frame_read(&set->frames, &frame, err));
    const struct mrd_bytes labels = frame.labels;
    mrd_columns_begin(&set->columns);
    MRD_TRY(mrd_columns_add(&set->columns, &frame, samples_left(question), err));
    MRD_TRY(mrd_columns_finish(&set->columns, set->min_ms, set->max_ms, &out->samples,
                               &out->histograms, err));
    mrd_arena_reset(set->labels);
    MRD_TRY(mrd_labels_decode(labels, set->labels, &out->labels, err));
    question->trailer.samples += out->samples.count + set->columns.histograms.weight;
    return ++question->trailer.series % PACE_SERIES == 0 ? ing_question_pace(question, err)
                                                         : MRD_OK;
}

static enum mrd_status set_next(struct mrd_source_set *set, struct mrd_source_series *out,
                                bool *out_more, struct mrd_error *err)
{
    for (;;) {
        while (mrd_reader_left(&set->frames) == 0) {
            MRD_TRY(ing_question_pace(set->question, err));
            MRD_TRY(ing_slices_next(set->question, &set->slices, err));
            if (set->slices.selection == NULL) {
                *out_more = false;
                return MRD_OK;
            }
            set->question->trailer.chunks += set->slices.selection->chunk_count;
            set->frames = mrd_reader_of(mrd_buf_view(&set->slices.selection->frames));
        }
        MRD_TRY(read_series(set, out, err));
        if (out->samples.count + out->histograms.count > 0) {
            *out_more = true;
            return MRD_OK;
        }
    }
}

static enum mrd_status states_send(struct ing_question *question, struct mrd_bytes states,
                                   struct mrd_error *err)
{
    const size_t piece_max = ing_question_data_max(question);
    while (states.size > 0) {
        const size_t size = MRD_MIN(states.size, piece_max);
        MRD_TRY(ing_question_data(question, (struct mrd_bytes){states.data, size}, err));
        states.data += size;
        states.size -= size;
    }
    return MRD_OK;
}

/* The engine's memory and that of the states that are sent are bounded by the same number each. */
static size_t memory_max(const struct ing_question *question)
{
    const size_t ours = question->options->memory_bytes_max;
    const uint64_t asked = question->request.memory_max;
    return asked == 0 || asked > ours ? ours : (size_t)asked;
}

enum mrd_status ing_question_fragment(struct ing_question *question, struct mrd_error *err)
{
    const struct mrd_source source = {
        .context = question, .open = set_open, .next = set_next, .close = set_close};
    const struct mrd_query_control control = {
        .canceled = mrd_rpc_call_stop_flag(question->call),
        .clock = mrd_clock_system(),
        .deadline_ns = mrd_rpc_call_deadline_ns(question->call),
    };
    struct mrd_fragment fragment;
    struct mrd_buf states;
    enum mrd_status status = mrd_fragment_decode(question->request.fragment, &fragment, err);
    if (status == MRD_E_INVALID) { /* which here is the query's own error only */
        return mrd_fail_prefix(err, MRD_E_UNSUPPORTED, "not understood");
    }
    MRD_TRY(status);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("plan fragment", memory_max(question));
    mrd_buf_init(&states, memory_max(question));
    status = mrd_fragment_run(&fragment, &source, &control, arena, &states, err);
    if (status == MRD_OK) {
        status = states_send(question, mrd_buf_view(&states), err);
    }
    mrd_buf_fini(&states);
    return status;
}
