#include "compactor/rows.h"

#include <stdlib.h>

#include "codec/histogram.h"
#include "model/histogram_check.h"

enum {
    ROWS_MIN = 4096,
    PIECE_ROWS = 8192, /* of a series that are handed to the writer at once */
};
#define IS_HISTOGRAM ((uint32_t)1 << 31) /* in `series` */

struct row {
    mrd_time_ms time_ms;
    mrd_hlc hlc;
    mrd_time_ms start_ms;
    union {
        double value;
        const struct mrd_histogram *histogram;
    };
    uint32_t series;
    uint32_t origin;
};
_Static_assert(sizeof(struct row) + sizeof(uint32_t) == CMP_ROW_BYTES, "what a write costs");

struct cmp_rows {
    struct row *items;
    size_t count;
    size_t capacity;
    struct mrd_arena *histograms;
    mrd_hlc hlc_min;
    mrd_hlc hlc_max;
};

struct cmp_rows *cmp_rows_create(void)
{
    struct cmp_rows *rows = calloc(1, sizeof(*rows));
    mrd_assert(rows != NULL);
    rows->histograms = mrd_arena_create("histograms of a range", SIZE_MAX);
    rows->hlc_min = UINT64_MAX;
    return rows;
}

void cmp_rows_destroy(struct cmp_rows **rows)
{
    if (*rows == NULL) {
        return;
    }
    struct cmp_rows *self = MRD_MOVE(*rows);
    mrd_arena_destroy(&self->histograms);
    free(self->items);
    free(self);
}

/* ---- adding ---- */

static struct row *add(struct cmp_rows *rows, const struct cmp_write *write)
{
    if (mrd_unlikely(rows->count == rows->capacity)) {
        mrd_assert(rows->count < CMP_ROWS_MAX);
        rows->capacity = MRD_MAX((size_t)ROWS_MIN, rows->capacity + rows->capacity / 2);
        rows->items = reallocarray(rows->items, rows->capacity, sizeof(*rows->items));
        mrd_assert(rows->items != NULL);
    }
    struct row *row = &rows->items[rows->count++];
    *row = (struct row){.time_ms = write->time_ms,
                        .hlc = write->hlc,
                        .start_ms = write->start_ms,
                        .series = write->series,
                        .origin = write->origin};
    rows->hlc_min = MRD_MIN(rows->hlc_min, write->hlc);
    rows->hlc_max = MRD_MAX(rows->hlc_max, write->hlc);
    return row;
}

void cmp_rows_add(struct cmp_rows *rows, const struct cmp_write *write, double value)
{
    add(rows, write)->value = value;
}

static void *copy(struct mrd_arena *arena, const void *items, size_t count, size_t size)
{
    if (count == 0) {
        return NULL;
    }
    void *to = mrd_arena_alloc_array(arena, count, size);
    mrd_assert(to != NULL);
    return memcpy(to, items, count * size);
}

static struct mrd_histogram_side side_copy(struct mrd_arena *arena,
                                           const struct mrd_histogram_side *side)
{
    return (struct mrd_histogram_side){
        .spans = copy(arena, side->spans, side->span_count, sizeof(*side->spans)),
        .buckets = copy(arena, side->buckets, side->bucket_count, sizeof(*side->buckets)),
        .span_count = side->span_count,
        .bucket_count = side->bucket_count,
    };
}

void cmp_rows_add_histogram(struct cmp_rows *rows, const struct cmp_write *write,
                            const struct mrd_histogram *histogram)
{
    struct mrd_histogram *own = copy(rows->histograms, histogram, 1, sizeof(*histogram));
    own->positive = side_copy(rows->histograms, &histogram->positive);
    own->negative = side_copy(rows->histograms, &histogram->negative);
    own->custom_values = copy(rows->histograms, histogram->custom_values,
                              histogram->custom_value_count, sizeof(*histogram->custom_values));
    struct row *row = add(rows, write);
    row->histogram = own;
    row->series |= IS_HISTOGRAM;
}

/* ---- erasing ---- */

enum { LABELS_ARENA_BYTES = 4 << 20 }; /* of one series */

/* What an erasure says of each series of the table, found out when it is asked for. */
struct selection {
    const struct cmp_series_table *table;
    const struct mrd_erasure *erasure;
    struct mrd_arena *arena;
    enum answer { UNKNOWN, SELECTED, OTHER } * answers;
};

static enum answer answer_of(const struct selection *selection, uint32_t ordinal)
{
    const struct cmp_series *series = cmp_series_table_at(selection->table, ordinal);
    if (!mrd_bytes_equal(series->tenant, selection->erasure->tenant)) {
        return OTHER;
    }
    struct mrd_labels labels;
    mrd_arena_reset(selection->arena);
    const enum mrd_status status =
        mrd_labels_decode(series->labels, selection->arena, &labels, NULL);
    mrd_assert(status == MRD_OK); /* the table has checked them, and they are bounded */
    return mrd_erasure_selects(selection->erasure, labels) ? SELECTED : OTHER;
}

static bool is_selected(const struct selection *selection, const struct row *row)
{
    if (!mrd_erasure_has_time(selection->erasure, row->time_ms)) {
        return false;
    }
    const uint32_t ordinal = row->series & ~IS_HISTOGRAM;
    if (selection->answers[ordinal] == UNKNOWN) {
        selection->answers[ordinal] = answer_of(selection, ordinal);
    }
    return selection->answers[ordinal] == SELECTED;
}

uint64_t cmp_rows_erase(struct cmp_rows *rows, const struct cmp_series_table *table,
                        const struct mrd_erasure *erasure)
{
    struct selection selection = {.table = table, .erasure = erasure};
    selection.arena = mrd_arena_create("labels of a series", LABELS_ARENA_BYTES);
    selection.answers = calloc(cmp_series_table_count(table) + 1, sizeof(*selection.answers));
    mrd_assert(selection.answers != NULL);
    const size_t before = rows->count;
    rows->count = 0;
    rows->hlc_min = UINT64_MAX;
    rows->hlc_max = 0;
    for (size_t i = 0; i < before; i++) {
        const struct row row = rows->items[i];
        if (!is_selected(&selection, &row)) {
            rows->items[rows->count++] = row;
            rows->hlc_min = MRD_MIN(rows->hlc_min, row.hlc);
            rows->hlc_max = MRD_MAX(rows->hlc_max, row.hlc);
        }
    }
    free(selection.answers);
    mrd_arena_destroy(&selection.arena);
    return before - rows->count;
}

size_t cmp_rows_count(const struct cmp_rows *rows) { return rows->count; }

size_t cmp_rows_memory(const struct cmp_rows *rows)
{
    return rows->capacity * CMP_ROW_BYTES + mrd_arena_used(rows->histograms);
}

mrd_hlc cmp_rows_hlc_min(const struct cmp_rows *rows)
{
    mrd_assert(rows->count > 0);
    return rows->hlc_min;
}

mrd_hlc cmp_rows_hlc_max(const struct cmp_rows *rows)
{
    mrd_assert(rows->count > 0);
    return rows->hlc_max;
}

/* ---- which write is the later one ---- */

static void encode_alone(const struct row *row, struct mrd_buf *out)
{
    const struct mrd_histogram_entry entry = {.start_ms = row->start_ms,
                                              .histogram = row->histogram};
    struct mrd_histogram_open open = {0};
    uint64_t *counters = calloc(2 * mrd_histogram_counter_count(row->histogram), sizeof(*counters));
    mrd_assert(counters != NULL);
    const enum mrd_status status =
        mrd_histogram_open_append(&open, MRD_BYTES_NONE, counters, &entry, out, NULL);
    mrd_assert(status == MRD_OK || out->size == 0); /* what can not be stored is less than all */
    free(counters);
}

static int compare_histograms(const struct row *a, const struct row *b)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf left = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf right = {0};
    encode_alone(a, &left);
    encode_alone(b, &right);
    return mrd_bytes_compare(mrd_buf_view(&left), mrd_buf_view(&right));
}

static int compare_numbers(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }

static int compare_values(const struct row *a, const struct row *b)
{
    const bool is_histogram = (a->series & IS_HISTOGRAM) != 0;
    if (is_histogram != ((b->series & IS_HISTOGRAM) != 0)) {
        return is_histogram ? 1 : -1;
    }
    if (is_histogram) {
        return compare_histograms(a, b);
    }
    const int bits = compare_numbers(mrd_double_bits(a->value), mrd_double_bits(b->value));
    return bits != 0 ? bits : a->start_ms < b->start_ms ? -1 : a->start_ms > b->start_ms;
}

/* By time; of one time the last writer first. */
static int compare_rows(const void *a, const void *b, void *context)
{
    const struct row *rows = context;
    const struct row *x = &rows[*(const uint32_t *)a];
    const struct row *y = &rows[*(const uint32_t *)b];
    if (x->time_ms != y->time_ms) {
        return x->time_ms < y->time_ms ? -1 : 1;
    }
    int order = compare_numbers(y->hlc, x->hlc);
    order = order != 0 ? order : compare_numbers(y->origin, x->origin);
    return order != 0 ? order : compare_values(y, x);
}

/* Sorts the writes of a series and keeps one for each time; returns how many. */
static size_t settle(const struct row *rows, uint32_t *order, size_t count,
                     struct cmp_rows_result *result)
{
    size_t rising = 1;
    while (rising < count && rows[order[rising - 1]].time_ms < rows[order[rising]].time_ms) {
        rising++;
    }
    if (rising >= count) {
        return count;
    }
    union {
        const struct row *from;
        void *to;
    } context = {.from = rows}; /* qsort_r takes no const */
    qsort_r(order, count, sizeof(*order), compare_rows, context.to);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        const struct row *winner = &rows[order[kept - 1]];
        const struct row *row = &rows[order[i]];
        if (row->time_ms != winner->time_ms) {
            order[kept++] = order[i];
        } else if (compare_values(row, winner) == 0) {
            result->duplicates++;
        } else {
            result->overridden++;
        }
    }
    return kept;
}

/* ---- series in order ---- */

struct placed {
    struct mrd_bytes metric;
    struct mrd_block_series series; /* without samples */
    size_t first;                   /* of its rows in the order of series */
    size_t count;
};

static int compare_placed(const void *a, const void *b)
{
    const struct placed *x = a;
    const struct placed *y = b;
    const bool one_tenant = x->series.tenant.data == y->series.tenant.data; /* they are interned */
    int order = one_tenant ? 0 : mrd_bytes_compare(x->series.tenant, y->series.tenant);
    order = order != 0 ? order : mrd_bytes_compare(x->metric, y->metric);
    return order != 0 ? order : mrd_labels_compare(x->series.labels, y->series.labels);
}

struct plan {
    uint32_t *order; /* rows, by series in the order of ordinals */
    struct placed *placed;
    size_t placed_count;
    struct mrd_arena *labels;
};

static void plan_fini(struct plan *plan)
{
    free(plan->order);
    free(plan->placed);
    mrd_arena_destroy(&plan->labels);
}

static void place(struct plan *plan, const struct cmp_series *series, size_t first, size_t count)
{
    struct placed *placed = &plan->placed[plan->placed_count++];
    *placed = (struct placed){
        .series = {.tenant = series->tenant, .id = series->id},
          .first = first, .count = count
    };
    /* They were checked when the series was added. */
    const enum mrd_status status =
        mrd_labels_decode(series->labels, plan->labels, &placed->series.labels, NULL);
    mrd_assert(status == MRD_OK);
    placed->metric = mrd_labels_get(placed->series.labels, MRD_BYTES(MRD_METRIC_NAME));
}

/* Rows by series (counting sort: those of a series stay in the order of the log), series in the order of blocks. */
static void plan_make(const struct cmp_rows *rows, const struct cmp_series_table *table,
                      struct plan *plan)
{
    const size_t series_count = cmp_series_table_count(table);
    uint32_t *next = calloc(series_count + 1, sizeof(*next));
    plan->order = calloc(rows->count, sizeof(*plan->order));
    mrd_assert(next != NULL && plan->order != NULL);
    for (size_t i = 0; i < rows->count; i++) {
        next[(rows->items[i].series & ~IS_HISTOGRAM) + 1]++;
    }
    size_t present = 0;
    for (size_t i = 1; i <= series_count; i++) {
        present += next[i] > 0;
        next[i] += next[i - 1];
    }
    for (size_t i = 0; i < rows->count; i++) {
        plan->order[next[rows->items[i].series & ~IS_HISTOGRAM]++] = (uint32_t)i;
    }
    /* next[i] is now the end of i's rows. */
    plan->placed = calloc(present, sizeof(*plan->placed));
    mrd_assert(plan->placed != NULL);
    for (size_t i = 0, first = 0; i < series_count; first = next[i++]) {
        if (next[i] > first) {
            place(plan, cmp_series_table_at(table, (uint32_t)i), first, next[i] - first);
        }
    }
    free(next);
    qsort(plan->placed, plan->placed_count, sizeof(*plan->placed), compare_placed);
}

/* ---- pieces ---- */

struct piece {
    mrd_time_ms times_ms[PIECE_ROWS];
    double values[PIECE_ROWS];
    mrd_time_ms starts_ms[PIECE_ROWS];
    mrd_hlc hlcs[PIECE_ROWS];
    mrd_time_ms histogram_times_ms[PIECE_ROWS];
    struct mrd_histogram histograms[PIECE_ROWS];
    mrd_time_ms histogram_starts_ms[PIECE_ROWS];
    mrd_hlc histogram_hlcs[PIECE_ROWS];
    size_t count;
    size_t histogram_count;
    bool started;
    bool histogram_started;
};

static void piece_add(struct piece *piece, const struct row *row)
{
    if ((row->series & IS_HISTOGRAM) != 0) {
        const size_t at = piece->histogram_count++;
        piece->histogram_times_ms[at] = row->time_ms;
        piece->histograms[at] = *row->histogram;
        piece->histogram_starts_ms[at] = row->start_ms;
        piece->histogram_hlcs[at] = row->hlc;
        piece->histogram_started |= row->start_ms != 0;
        return;
    }
    const size_t at = piece->count++;
    piece->times_ms[at] = row->time_ms;
    piece->values[at] = row->value;
    piece->starts_ms[at] = row->start_ms;
    piece->hlcs[at] = row->hlc;
    piece->started |= row->start_ms != 0;
}

static enum mrd_status piece_write(struct piece *piece, const struct mrd_block_series *key,
                                   struct mrd_block_writer *writer, struct cmp_rows_result *result,
                                   struct mrd_error *err)
{
    struct mrd_block_series series = *key;
    series.samples = (struct mrd_samples){piece->times_ms, piece->values, piece->count,
                                          piece->started ? piece->starts_ms : NULL};
    series.sample_hlcs = piece->hlcs;
    series.histograms = (struct mrd_histograms){
        piece->histogram_times_ms, piece->histograms, piece->histogram_count,
        piece->histogram_started ? piece->histogram_starts_ms : NULL};
    series.histogram_hlcs = piece->histogram_hlcs;
    const enum mrd_status status = mrd_block_writer_add(writer, &series, err);
    if (status == MRD_E_INVALID) {
        if (result->refused == 0) {
            result->refusal = *err;
        }
        result->refused += piece->count + piece->histogram_count;
        return MRD_OK;
    }
    MRD_TRY(status);
    result->samples += piece->count + piece->histogram_count;
    result->histograms += piece->histogram_count;
    return MRD_OK;
}

static enum mrd_status series_write(const struct cmp_rows *rows, const struct placed *placed,
                                    uint32_t *order, struct piece *piece,
                                    struct mrd_block_writer *writer, struct cmp_rows_result *result,
                                    struct mrd_error *err)
{
    const size_t count = settle(rows->items, order, placed->count, result);
    const uint64_t before = result->samples;
    for (size_t at = 0; at < count;) {
        const size_t end = MRD_MIN(count, at + PIECE_ROWS);
        piece->count = piece->histogram_count = 0;
        piece->started = piece->histogram_started = false;
        for (; at < end; at++) {
            piece_add(piece, &rows->items[order[at]]);
        }
        MRD_TRY(piece_write(piece, &placed->series, writer, result, err));
    }
    result->series += result->samples > before ? 1 : 0;
    return MRD_OK;
}

enum mrd_status cmp_rows_write(struct cmp_rows *rows, const struct cmp_series_table *table,
                               struct mrd_block_writer *writer, struct cmp_rows_result *out,
                               struct mrd_error *err)
{
    mrd_assert(rows->count > 0);
    struct cmp_rows_result result = {0};
    mrd_auto(plan_fini)
    struct plan plan = {.labels = mrd_arena_create("labels of a block", SIZE_MAX)};
    plan_make(rows, table, &plan);
    struct piece *piece = malloc(sizeof(*piece));
    mrd_assert(piece != NULL);
    enum mrd_status status = MRD_OK;
    for (size_t i = 0; i < plan.placed_count && status == MRD_OK; i++) {
        const struct placed *placed = &plan.placed[i];
        status =
            series_write(rows, placed, plan.order + placed->first, piece, writer, &result, err);
    }
    free(piece);
    MRD_TRY(status);
    *out = result;
    return MRD_OK;
}
