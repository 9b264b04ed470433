#include "rollup/slide.h"

#include "model/sample.h"
#include "rollup/evaluate_internal.h"

/* What functions look at. Those of a kind share the code below, which the compiler makes for each kind by itself. */
enum kind { KIND_NONE, KIND_CHANGE, KIND_SUM, KIND_MIN, KIND_MAX, KIND_COUNT };

static enum kind kind_of(enum mrd_rollup_function function)
{
    switch ((int)function) {
    case MRD_ROLLUP_RATE:
    case MRD_ROLLUP_INCREASE:
    case MRD_ROLLUP_DELTA:
        return KIND_CHANGE;
    case MRD_ROLLUP_SUM:
    case MRD_ROLLUP_AVG:
        return KIND_SUM;
    case MRD_ROLLUP_MIN:
        return KIND_MIN;
    case MRD_ROLLUP_MAX:
        return KIND_MAX;
    case MRD_ROLLUP_COUNT:
    case MRD_ROLLUP_PRESENT:
        return KIND_COUNT;
    default:
        return KIND_NONE;
    }
}

/* As much of struct mrd_rollup_floats as is looked at. */
struct term {
    mrd_time_ms end_ms;
    uint64_t count;
    double min; /* KIND_CHANGE, KIND_SUM: for whether sums are safe */
    double max;
    union {
        struct mrd_kahan sum;
        struct {
            double first;
            double last;
            mrd_time_ms first_ms;
            mrd_time_ms last_ms;
            uint64_t resets;
            double lost;
        };
    };
};

/* ---- rows ---- */

bool mrd_rollup_slide_begin(struct mrd_rollup_slide *slide,
                            const struct mrd_rollup_question *question)
{
    slide->question = *question;
    mrd_buf_clear(&slide->terms);
    return kind_of(question->function) != KIND_NONE;
}

void mrd_rollup_slide_fini(struct mrd_rollup_slide *slide)
{
    mrd_buf_fini(&slide->terms);
    mrd_buf_fini(&slide->suffixes);
    mrd_buf_fini(&slide->changes);
}

static void *room(struct mrd_buf *buf, size_t size)
{
    void *place = mrd_buf_reserve(buf, size);
    mrd_assert(place != NULL);
    return place;
}

static void widen(struct term *term, double value)
{
    term->min = value < term->min ? value : term->min;
    term->max = value > term->max ? value : term->max;
}

/* As mrd_rollup_columns_row has it. */
static inline __attribute__((always_inline)) void
load(enum kind kind, const struct mrd_rollup_columns *columns, size_t i, struct term *out)
{
    out->end_ms = columns->ends_ms[i];
    out->count = (uint64_t)mrd_rollup_integer(columns, MRD_ROW_COUNT, i);
    if (kind != KIND_COUNT) {
        out->min = mrd_rollup_real(columns, MRD_ROW_MIN, i);
        out->max = mrd_rollup_real(columns, MRD_ROW_MAX, i);
        if (columns->items[MRD_ROW_FIRST] != NULL && columns->items[MRD_ROW_LAST] != NULL) {
            widen(out, mrd_rollup_real(columns, MRD_ROW_FIRST, i));
            widen(out, mrd_rollup_real(columns, MRD_ROW_LAST, i));
        }
    }
    if (kind == KIND_SUM) {
        out->sum.sum = mrd_rollup_real(columns, MRD_ROW_SUM, i);
        out->sum.compensation = mrd_rollup_real(columns, MRD_ROW_COMPENSATION, i);
    }
    if (kind == KIND_CHANGE) {
        out->first = mrd_rollup_real(columns, MRD_ROW_FIRST, i);
        out->last = mrd_rollup_real(columns, MRD_ROW_LAST, i);
        out->first_ms = mrd_rollup_integer(columns, MRD_ROW_FIRST_TS, i);
        out->last_ms = mrd_rollup_integer(columns, MRD_ROW_LAST_TS, i);
        out->resets = (uint64_t)mrd_rollup_integer(columns, MRD_ROW_RESETS, i);
        out->lost = mrd_rollup_real(columns, MRD_ROW_LOST, i);
    }
}

static inline __attribute__((always_inline)) void load_all(enum kind kind,
                                                           const struct mrd_rollup_columns *columns,
                                                           size_t from, size_t count,
                                                           struct term *out)
{
    for (size_t i = 0; i < count; i++) {
        load(kind, columns, from + i, &out[i]);
    }
}

bool mrd_rollup_slide_add_columns(struct mrd_rollup_slide *slide,
                                  const struct mrd_rollup_columns *columns, mrd_time_ms begin_ms,
                                  mrd_time_ms end_ms)
{
    if (columns->states != NULL || columns->items[MRD_ROW_FIRST_ST] != NULL) {
        return false;
    }
    size_t from = 0;
    size_t to = columns->count;
    while (from < to && columns->ends_ms[from] <= begin_ms) {
        from++;
    }
    while (to > from && columns->ends_ms[to - 1] > end_ms) {
        to--;
    }
    struct term *terms = room(&slide->terms, (to - from) * sizeof(*terms));
    switch (kind_of(slide->question.function)) {
    case KIND_CHANGE:
        load_all(KIND_CHANGE, columns, from, to - from, terms);
        break;
    case KIND_SUM:
        load_all(KIND_SUM, columns, from, to - from, terms);
        break;
    case KIND_MIN:
    case KIND_MAX:
        load_all(KIND_MIN, columns, from, to - from, terms);
        break;
    case KIND_COUNT:
        load_all(KIND_COUNT, columns, from, to - from, terms);
        break;
    case KIND_NONE:
        mrd_assert(false);
        break;
    }
    slide->terms.size += (to - from) * sizeof(*terms);
    return true;
}

bool mrd_rollup_slide_add_row(struct mrd_rollup_slide *slide, const struct mrd_rollup_row *row)
{
    const struct mrd_rollup_floats *floats = &row->floats;
    const struct mrd_rollup_question *question = &slide->question;
    const bool starts = question->use_start_timestamps && floats->count > 0 &&
                        (floats->overlaps || floats->first_at.start_ms != 0);
    if (row->histograms.count > 0 || starts) {
        return false;
    }
    struct term term = {
        .end_ms = row->end_ms, .count = floats->count, .min = floats->min, .max = floats->max};
    if (kind_of(question->function) == KIND_SUM) {
        term.sum = floats->sum;
    } else {
        const enum mrd_rollup_reset_by by = mrd_rollup_reset_kind(question);
        term.first = floats->first;
        term.last = floats->last;
        term.first_ms = floats->first_at.time_ms;
        term.last_ms = floats->last_at.time_ms;
        term.resets = floats->resets[by];
        term.lost = floats->lost[by];
    }
    mrd_buf_append(&slide->terms, &term, sizeof(term));
    return true;
}

/* ---- joining: as join_floats of row.c ---- */

static inline __attribute__((always_inline)) void join(enum kind kind, struct term *term,
                                                       const struct term *later)
{
    if (later->count == 0) {
        return;
    }
    if (term->count == 0) {
        *term = *later;
        return;
    }
    term->count += later->count;
    if (kind == KIND_CHANGE) {
        const double before = term->last;
        const bool fell = later->first < before;
        term->resets += later->resets + fell;
        term->lost += fell ? before : 0;
        term->lost += later->lost;
        term->last = later->last;
        term->last_ms = later->last_ms;
    }
    if (kind == KIND_SUM) {
        term->sum =
            mrd_kahan_add(mrd_kahan_add(term->sum, later->sum.sum), later->sum.compensation);
    }
    if (kind == KIND_MIN || kind == KIND_SUM || kind == KIND_CHANGE) {
        term->min = later->min < term->min || isnan(term->min) ? later->min : term->min;
    }
    if (kind == KIND_MAX || kind == KIND_SUM || kind == KIND_CHANGE) {
        term->max = later->max > term->max || isnan(term->max) ? later->max : term->max;
    }
}

/* What joins the rows of one range after the other, in the order in which exec_coarse.c joins whole rows. */
struct joiner {
    const struct term *terms;
    struct term *suffixes; /* of [suffix_from, suffix_to): the joined rows from each on */
    size_t suffix_to;
    struct term rest; /* the joined rows from suffix_to on */
    size_t rest_to;
};

/* The rows [from, to) as one; neither bound ever goes back. */
static inline __attribute__((always_inline)) struct term
join_range(enum kind kind, struct joiner *joiner, size_t from, size_t to)
{
    if (to - from == 1) {
        return joiner->terms[from];
    }
    if (from >= joiner->suffix_to) {
        joiner->suffixes[to - 1] = joiner->terms[to - 1];
        for (size_t i = to - 1; i > from; i--) {
            joiner->suffixes[i - 1] = joiner->terms[i - 1];
            join(kind, &joiner->suffixes[i - 1], &joiner->suffixes[i]);
        }
        joiner->suffix_to = to;
        joiner->rest = (struct term){.count = 0};
        joiner->rest_to = to;
    }
    for (; joiner->rest_to < to; joiner->rest_to++) {
        join(kind, &joiner->rest, &joiner->terms[joiner->rest_to]);
    }
    struct term all = joiner->suffixes[from];
    join(kind, &all, &joiner->rest);
    return all;
}

/* ---- answers: as evaluate.c ---- */

/* Of each range: what its change is made of; many are made at once. */
struct changes {
    double *difference;
    double *first;
    double *to_start_ms;
    double *sampled_ms;
    double *to_end_ms;
    double *steps; /* samples but one; below 1: no answer */
};
enum { CHANGE_ARRAYS = 6 };

static struct changes changes_of(struct mrd_rollup_slide *slide, size_t count)
{
    double *all = room(&slide->changes, CHANGE_ARRAYS * count * sizeof(*all));
    return (struct changes){
        all, all + count, all + 2 * count, all + 3 * count, all + 4 * count, all + 5 * count};
}

static const char *note_change(const struct mrd_rollup_question *question, const struct term *term,
                               const struct changes *changes, size_t i)
{
    double difference = term->last - term->first;
    if (question->function != MRD_ROLLUP_DELTA && term->resets > 0) {
        if (term->resets > 1 && !mrd_rollup_sum_is_safe(term->min, term->max, term->resets + 2)) {
            return MRD_ROLLUP_LOST_MAY_OVERFLOW;
        }
        difference += term->lost;
    }
    changes->difference[i] = difference;
    changes->first[i] = term->first;
    changes->to_start_ms[i] = (double)(term->first_ms - question->begin_ms);
    changes->sampled_ms[i] = (double)(term->last_ms - term->first_ms);
    changes->to_end_ms[i] = (double)(question->end_ms - term->last_ms);
    changes->steps[i] = (double)(term->count - 1);
    return NULL;
}

MRD_SIMD_CLONES static void stretch(struct changes changes, bool counter, double range_s,
                                    size_t count, double *restrict out)
{
    const double *restrict differences = changes.difference;
    const double *restrict firsts = changes.first;
    const double *restrict to_start_ms = changes.to_start_ms;
    const double *restrict sampled_ms = changes.sampled_ms;
    const double *restrict to_end_ms = changes.to_end_ms;
    const double *restrict steps = changes.steps;
    const double none = mrd_stale_nan();
    for (size_t i = 0; i < count; i++) {
        const struct mrd_rollup_change change = {.difference = differences[i],
                                                 .first = firsts[i],
                                                 .to_start = to_start_ms[i] / 1000,
                                                 .sampled = sampled_ms[i] / 1000,
                                                 .to_end = to_end_ms[i] / 1000,
                                                 .steps = steps[i]};
        const double value = mrd_rollup_change_of(&change, counter, range_s);
        out[i] = steps[i] < 1 ? none : value;
    }
}

static inline __attribute__((always_inline)) const char *
answer(enum kind kind, const struct mrd_rollup_question *question, const struct term *term,
       const struct changes *changes, size_t i, double *out)
{
    switch (kind) {
    case KIND_CHANGE:
        return note_change(question, term, changes, i);
    case KIND_SUM:
        if (!mrd_rollup_sum_is_safe(term->min, term->max, term->count)) {
            return MRD_ROLLUP_SUM_MAY_OVERFLOW;
        }
        out[i] = question->function == MRD_ROLLUP_SUM
                     ? mrd_rollup_sum_by(&term->sum, 1)
                     : mrd_rollup_sum_by(&term->sum, (double)term->count);
        return NULL;
    case KIND_MIN:
        out[i] = term->min;
        return NULL;
    case KIND_MAX:
        out[i] = term->max;
        return NULL;
    case KIND_COUNT:
        out[i] = question->function == MRD_ROLLUP_PRESENT ? 1 : (double)term->count;
        return NULL;
    case KIND_NONE:
        break;
    }
    return NULL;
}

static inline __attribute__((always_inline)) const char *
answer_all(enum kind kind, struct mrd_rollup_slide *slide, const struct mrd_rollup_ranges *ranges,
           struct changes changes, double *out)
{
    const size_t count = slide->terms.size / sizeof(struct term);
    struct mrd_rollup_question question = slide->question;
    struct joiner joiner = {.terms = (const struct term *)(const void *)slide->terms.data,
                            .suffixes = room(&slide->suffixes, count * sizeof(struct term))};
    size_t from = 0;
    size_t to = 0;
    for (size_t i = 0; i < ranges->count; i++) {
        question.end_ms = ranges->end_ms + (mrd_time_ms)i * ranges->step_ms;
        question.begin_ms = question.end_ms - ranges->range_ms;
        while (to < count && joiner.terms[to].end_ms <= question.end_ms) {
            to++;
        }
        while (from < to && joiner.terms[from].end_ms <= question.begin_ms) {
            from++;
        }
        struct term term = {.count = 0};
        if (from < to) {
            term = join_range(kind, &joiner, from, to);
        }
        if (term.count > 0) {
            const char *why = answer(kind, &question, &term, &changes, i, out);
            if (why != NULL) {
                return why;
            }
        } else if (kind == KIND_CHANGE) {
            changes.steps[i] = 0;
            changes.sampled_ms[i] = 0;
            changes.difference[i] = 0;
            changes.first[i] = 0;
            changes.to_start_ms[i] = 0;
            changes.to_end_ms[i] = 0;
        }
    }
    return NULL;
}

const char *mrd_rollup_slide_answer(struct mrd_rollup_slide *slide,
                                    const struct mrd_rollup_ranges *ranges, double *out)
{
    const enum mrd_rollup_function function = slide->question.function;
    struct changes changes = {0};
    if (slide->terms.size == 0) {
        return NULL;
    }
    switch (kind_of(function)) {
    case KIND_CHANGE:
        changes = changes_of(slide, ranges->count);
        break;
    case KIND_SUM:
        return answer_all(KIND_SUM, slide, ranges, changes, out);
    case KIND_MIN:
        return answer_all(KIND_MIN, slide, ranges, changes, out);
    case KIND_MAX:
        return answer_all(KIND_MAX, slide, ranges, changes, out);
    case KIND_COUNT:
        return answer_all(KIND_COUNT, slide, ranges, changes, out);
    case KIND_NONE:
        mrd_assert(false);
        return NULL;
    }
    const char *why = answer_all(KIND_CHANGE, slide, ranges, changes, out);
    if (why == NULL) {
        const double range_s =
            function == MRD_ROLLUP_RATE ? mrd_rollup_range_seconds(ranges->range_ms) : 1;
        stretch(changes, function != MRD_ROLLUP_DELTA, range_s, ranges->count, out);
    }
    return why;
}
