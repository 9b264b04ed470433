#include "promql/state_codec.h"

enum presence { PRESENT_NONE, PRESENT_ALL, PRESENT_SOME /* a bitmap follows */ };
enum column_kind { COLUMN_CONSTANT /* one number */, COLUMN_PLAIN };
enum {
    LABELS_BYTES_MAX = 1 << 20,
    STATE_INCOMPATIBLE = 1,
    STATE_FLOAT_BEFORE = 2,
    STATE_RESET = 4,
    STATE_NO_RESET = 8,
    STATE_VALUE = 16,
    STATE_COMPENSATION = 32,
    STATE_INCREMENTAL = 64,
};

enum mrd_status pql_states_corrupt(struct mrd_error *err, const char *what)
{
    return mrd_fail(err, MRD_E_CORRUPT, "the states of a plan fragment are malformed: %s", what);
}

/* ---- numbers and labels ---- */

void pql_number_write(double value, struct mrd_buf *out)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    mrd_buf_append_u64(out, bits);
}

double pql_number_read(struct mrd_reader *in)
{
    const uint64_t bits = mrd_read_u64(in);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

void pql_labels_write(struct mrd_labels labels, bool drop_name, struct mrd_buf *out)
{
    struct mrd_buf bytes = {0};
    mrd_labels_encode(labels, &bytes);
    mrd_buf_append_varint(out, bytes.size);
    mrd_buf_append_bytes(out, mrd_buf_view(&bytes));
    mrd_buf_append_u8(out, drop_name);
    mrd_buf_fini(&bytes);
}

enum mrd_status pql_labels_read(struct mrd_reader *in, struct mrd_arena *arena,
                                struct mrd_labels *out, bool *out_drop_name, struct mrd_error *err)
{
    const uint64_t size = mrd_read_varint(in);
    const struct mrd_bytes bytes = mrd_read_bytes(in, size);
    const uint8_t drop_name = mrd_read_u8(in);
    if (in->failed || size > LABELS_BYTES_MAX || drop_name > 1) {
        return pql_states_corrupt(err, "labels that end early or are too large");
    }
    MRD_TRY(mrd_labels_decode(bytes, arena, out, err));
    *out_drop_name = drop_name == 1;
    return MRD_OK;
}

/* ---- columns ---- */

/* Which of the steps are there: the bits of a column of values. */
struct steps_set {
    const double *values; /* writing: those that are not none */
    struct mrd_bytes bitmap;
    enum presence presence;
    size_t steps;
};

static bool set_has(const struct steps_set *set, size_t i)
{
    if (set->values != NULL) {
        return !pql_is_none(set->values[i]);
    }
    return set->presence == PRESENT_ALL ||
           (set->presence == PRESENT_SOME && (set->bitmap.data[i / 8] >> (i % 8) & 1) != 0);
}

static void bitmap_write(const struct steps_set *set, struct mrd_buf *out)
{
    for (size_t i = 0; i < set->steps; i += 8) {
        uint8_t byte = 0;
        for (size_t j = i; j < MRD_MIN(i + 8, set->steps); j++) {
            byte |= (uint8_t)(set_has(set, j) << (j - i));
        }
        mrd_buf_append_u8(out, byte);
    }
}

static void set_write(const struct steps_set *set, struct mrd_buf *out)
{
    const size_t points = pql_column_points(set->values, set->steps);
    const enum presence presence = points == 0            ? PRESENT_NONE
                                   : points == set->steps ? PRESENT_ALL
                                                          : PRESENT_SOME;
    mrd_buf_append_u8(out, (uint8_t)presence);
    if (presence == PRESENT_SOME) {
        bitmap_write(set, out);
    }
}

static enum mrd_status set_read(struct mrd_reader *in, size_t steps, struct steps_set *out,
                                struct mrd_error *err)
{
    const uint8_t presence = mrd_read_u8(in);
    *out = (struct steps_set){.presence = (enum presence)presence, .steps = steps};
    if (presence == PRESENT_SOME) {
        out->bitmap = mrd_read_bytes(in, (steps + 7) / 8);
    }
    return in->failed || presence > PRESENT_SOME
               ? pql_states_corrupt(err, "which steps have a value is not said")
               : MRD_OK;
}

static bool same_bits(double a, double b) { return memcmp(&a, &b, sizeof(a)) == 0; }

static bool column_is_constant(const double *column, const struct steps_set *set, double *out)
{
    bool any = false;
    for (size_t i = 0; i < set->steps; i++) {
        if (!set_has(set, i)) {
            continue;
        }
        if (any && !same_bits(column[i], *out)) {
            return false;
        }
        *out = column[i];
        any = true;
    }
    return any;
}

static void column_write(const double *column, const struct steps_set *set, struct mrd_buf *out)
{
    double constant = 0;
    if (column_is_constant(column, set, &constant)) {
        mrd_buf_append_u8(out, COLUMN_CONSTANT);
        pql_number_write(constant, out);
        return;
    }
    mrd_buf_append_u8(out, COLUMN_PLAIN);
    for (size_t i = 0; i < set->steps; i++) {
        if (set_has(set, i)) {
            pql_number_write(column[i], out);
        }
    }
}

static enum mrd_status column_read(struct mrd_reader *in, const struct steps_set *set,
                                   double *column, struct mrd_error *err)
{
    const uint8_t kind = mrd_read_u8(in);
    const double constant = kind == COLUMN_CONSTANT ? pql_number_read(in) : 0;
    if (kind > COLUMN_PLAIN) {
        return pql_states_corrupt(err, "a column of an unknown kind");
    }
    for (size_t i = 0; i < set->steps; i++) {
        if (set_has(set, i)) {
            column[i] = kind == COLUMN_CONSTANT ? constant : pql_number_read(in);
            if (pql_is_none(column[i])) {
                return pql_states_corrupt(err, "a value that is none");
            }
        }
    }
    return in->failed ? pql_states_corrupt(err, "a column that ends early") : MRD_OK;
}

/* ---- histograms ---- */

static void buckets_write(const struct mrd_float_buckets *side, struct mrd_buf *out)
{
    int64_t before = 0;
    mrd_buf_append_varint(out, side->count);
    for (size_t i = 0; i < side->count; i++) {
        mrd_buf_append_zigzag(out, side->indexes[i] - before);
        pql_number_write(side->counts[i], out);
        before = side->indexes[i];
    }
}

static void histogram_write(const struct mrd_float_histogram *histogram, struct mrd_buf *out)
{
    mrd_buf_append_u8(out, (uint8_t)histogram->reset);
    mrd_buf_append_zigzag(out, histogram->schema);
    pql_number_write(histogram->zero_threshold, out);
    pql_number_write(histogram->zero_count, out);
    pql_number_write(histogram->count, out);
    pql_number_write(histogram->sum, out);
    mrd_buf_append_varint(out, histogram->custom_value_count);
    for (size_t i = 0; i < histogram->custom_value_count; i++) {
        pql_number_write(histogram->custom_values[i], out);
    }
    buckets_write(&histogram->positive, out);
    buckets_write(&histogram->negative, out);
}

/* Of a histogram whose buckets are known. */
static void counts_write(const struct mrd_float_histogram *histogram, struct mrd_buf *out)
{
    mrd_buf_append_u8(out, (uint8_t)histogram->reset);
    pql_number_write(histogram->zero_count, out);
    pql_number_write(histogram->count, out);
    pql_number_write(histogram->sum, out);
    for (size_t i = 0; i < histogram->positive.count; i++) {
        pql_number_write(histogram->positive.counts[i], out);
    }
    for (size_t i = 0; i < histogram->negative.count; i++) {
        pql_number_write(histogram->negative.counts[i], out);
    }
}

static bool reset_read(struct mrd_reader *in, enum mrd_histogram_reset *out)
{
    const uint8_t reset = mrd_read_u8(in);
    *out = (enum mrd_histogram_reset)reset;
    return reset <= MRD_HISTOGRAM_GAUGE;
}

/* A count of things of at least item_size bytes each; 0 and failed if they cannot be there. */
static size_t count_read(struct mrd_reader *in, size_t item_size)
{
    const uint64_t count = mrd_read_varint(in);
    if (count > mrd_reader_left(in) / item_size) {
        mrd_reader_fail(in);
        return 0;
    }
    return (size_t)count;
}

static enum mrd_status buckets_read(struct mrd_reader *in, struct mrd_arena *scratch,
                                    struct mrd_histogram_side *out, struct mrd_error *err)
{
    const size_t count = count_read(in, 1 + sizeof(double));
    struct mrd_histogram_span *spans = mrd_arena_alloc_array(scratch, count, sizeof(*spans));
    union mrd_histogram_count *counts = mrd_arena_alloc_array(scratch, count, sizeof(*counts));
    size_t span_count = 0;
    if (count > 0 && (spans == NULL || counts == NULL)) {
        return mrd_arena_fail(scratch, err);
    }
    for (size_t i = 0; i < count; i++) {
        const int64_t delta = mrd_read_zigzag(in);
        counts[i].real = pql_number_read(in);
        if (delta < (i == 0 ? INT32_MIN : 1) || delta > INT32_MAX) {
            return pql_states_corrupt(err, "buckets that do not ascend");
        }
        if (i == 0 || delta > 1) {
            spans[span_count++] = (struct mrd_histogram_span){(int32_t)(delta - (i > 0)), 0};
        }
        spans[span_count - 1].length++;
    }
    *out = (struct mrd_histogram_side){spans, counts, span_count, count};
    return MRD_OK;
}

/* Custom bounds have no zero bucket, but what was computed may have left -0 or NaN in its place. */
static enum mrd_status histogram_make(const struct mrd_histogram *read, struct mrd_arena *arena,
                                      struct mrd_float_histogram **out, struct mrd_error *err)
{
    struct mrd_histogram shape = *read;
    if (read->schema == MRD_HISTOGRAM_SCHEMA_CUSTOM) {
        shape.zero_count.real = 0;
    }
    MRD_TRY(mrd_float_histogram_from(&shape, arena, out, err));
    (*out)->zero_count = read->zero_count.real;
    (*out)->zero_threshold = read->zero_threshold;
    return MRD_OK;
}

static enum mrd_status histogram_read(struct mrd_reader *in, struct mrd_arena *scratch,
                                      struct mrd_arena *arena, struct mrd_float_histogram **out,
                                      struct mrd_error *err)
{
    struct mrd_histogram read = {.is_float = true};
    const bool reset_known = reset_read(in, &read.reset);
    const int64_t schema = mrd_read_zigzag(in);
    read.zero_threshold = pql_number_read(in);
    read.zero_count.real = pql_number_read(in);
    read.count.real = pql_number_read(in);
    read.sum = pql_number_read(in);
    read.custom_value_count = count_read(in, sizeof(double));
    double *bounds = mrd_arena_alloc_array(scratch, read.custom_value_count, sizeof(*bounds));
    if (bounds == NULL && read.custom_value_count > 0) {
        return mrd_arena_fail(scratch, err);
    }
    for (size_t i = 0; i < read.custom_value_count; i++) {
        bounds[i] = pql_number_read(in);
    }
    read.custom_values = bounds;
    MRD_TRY(buckets_read(in, scratch, &read.positive, err));
    MRD_TRY(buckets_read(in, scratch, &read.negative, err));
    if (in->failed || !reset_known || schema < INT32_MIN || schema > INT32_MAX) {
        return pql_states_corrupt(err, "a histogram that ends early or is of an unknown kind");
    }
    read.schema = (int32_t)schema;
    return histogram_make(&read, arena, out, err);
}

static enum mrd_status side_counts_read(struct mrd_reader *in, struct mrd_arena *arena,
                                        struct mrd_float_buckets *side, struct mrd_error *err)
{
    if (side->count == 0) {
        return MRD_OK;
    }
    side->counts = mrd_arena_alloc_array(arena, side->count, sizeof(*side->counts));
    if (side->counts == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < side->count; i++) {
        side->counts[i] = pql_number_read(in);
    }
    return MRD_OK;
}

static enum mrd_status counts_read(struct mrd_reader *in, const struct mrd_float_histogram *shape,
                                   struct mrd_arena *arena, struct mrd_float_histogram **out,
                                   struct mrd_error *err)
{
    struct mrd_float_histogram *made = mrd_arena_alloc(arena, sizeof(*made));
    if (made == NULL) {
        return mrd_arena_fail(arena, err);
    }
    *made = *shape;
    const bool reset_known = reset_read(in, &made->reset);
    made->zero_count = pql_number_read(in);
    made->count = pql_number_read(in);
    made->sum = pql_number_read(in);
    MRD_TRY(side_counts_read(in, arena, &made->positive, err));
    MRD_TRY(side_counts_read(in, arena, &made->negative, err));
    *out = made;
    return in->failed || !reset_known ? pql_states_corrupt(err, "a compensation that ends early")
                                      : MRD_OK;
}

static uint8_t state_flags(const struct pql_histogram_state *state)
{
    const struct pql_histogram_total *total = &state->total;
    const bool value = total->value != NULL && !total->incompatible;
    return (uint8_t)((total->incompatible ? STATE_INCOMPATIBLE : 0) |
                     (state->float_before ? STATE_FLOAT_BEFORE : 0) |
                     (state->reset ? STATE_RESET : 0) | (state->no_reset ? STATE_NO_RESET : 0) |
                     (value ? STATE_VALUE : 0) |
                     (value && total->compensation != NULL ? STATE_COMPENSATION : 0) |
                     (total->incremental ? STATE_INCREMENTAL : 0));
}

static void histogram_state_write(const struct pql_histogram_state *state, struct mrd_buf *out)
{
    const uint8_t flags = state_flags(state);
    mrd_buf_append_u8(out, flags);
    if ((flags & STATE_VALUE) != 0) {
        pql_number_write(state->total.count, out);
        histogram_write(state->total.value, out);
    }
    if ((flags & STATE_COMPENSATION) != 0) {
        counts_write(state->total.compensation, out);
    }
}

static enum mrd_status histogram_state_read(enum mrd_aggregation aggregation, struct mrd_reader *in,
                                            struct pql_histogram_state *state,
                                            struct mrd_arena *arena, struct mrd_arena *scratch,
                                            struct mrd_error *err)
{
    const uint8_t flags = mrd_read_u8(in);
    struct pql_histogram_total *total = &state->total;
    *state = (struct pql_histogram_state){
        .seen = true,
        .float_before = (flags & STATE_FLOAT_BEFORE) != 0,
        .reset = (flags & STATE_RESET) != 0,
        .no_reset = (flags & STATE_NO_RESET) != 0,
        .total = {.arena = arena,
                  .mean = aggregation == MRD_AGG_AVG,
                  .incompatible = (flags & STATE_INCOMPATIBLE) != 0,
                  .incremental = (flags & STATE_INCREMENTAL) != 0},
    };
    if ((flags & STATE_VALUE) != 0) {
        total->count = pql_number_read(in);
        if (!(total->count >= 1)) {
            return pql_states_corrupt(err, "a total of no histogram");
        }
        MRD_TRY(histogram_read(in, scratch, arena, &total->value, err));
    }
    if ((flags & STATE_COMPENSATION) == 0) {
        return MRD_OK;
    }
    if (total->value == NULL) {
        return pql_states_corrupt(err, "a compensation of nothing");
    }
    return counts_read(in, total->value, arena, &total->compensation, err);
}

static void histograms_write(const struct pql_group_histograms *group, size_t steps,
                             struct mrd_buf *out)
{
    size_t count = 0;
    size_t next = 0;
    for (size_t i = 0; i < steps; i++) {
        count += group->states[i].seen;
    }
    mrd_buf_append_varint(out, group->name.size);
    mrd_buf_append_bytes(out, group->name);
    mrd_buf_append_varint(out, count);
    for (size_t i = 0; i < steps; i++) {
        if (group->states[i].seen) {
            mrd_buf_append_varint(out, i - next);
            histogram_state_write(&group->states[i], out);
            next = i + 1;
        }
    }
}

enum mrd_status pql_group_histograms_read(enum mrd_aggregation aggregation, struct mrd_reader *in,
                                          size_t steps, const struct pql_group_state *state,
                                          struct mrd_arena *scratch, struct mrd_error *err)
{
    struct pql_group_histograms *group = state->histograms;
    const struct mrd_bytes name = mrd_read_bytes(in, mrd_read_varint(in));
    const uint64_t count = mrd_read_varint(in);
    uint64_t at = 0;
    if (name.size > 0) {
        group->name = mrd_arena_copy(group->arena, name);
        if (group->name.data == NULL) {
            return mrd_arena_fail(group->arena, err);
        }
    }
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t skipped = mrd_read_varint(in);
        if (in->failed || skipped >= steps - at) {
            return pql_states_corrupt(err, "histograms at steps that are not there");
        }
        at += skipped;
        MRD_TRY(
            histogram_state_read(aggregation, in, &group->states[at], group->arena, scratch, err));
        const struct pql_histogram_total *total = &group->states[at].total;
        if (total->value == NULL && !total->incompatible && pql_is_none(state->values[at])) {
            return pql_states_corrupt(err, "neither a float nor a histogram where there was one");
        }
        at++;
    }
    return in->failed ? pql_states_corrupt(err, "histograms that end early") : MRD_OK;
}

/* ---- groups ---- */

static void flags_write(const bool *column, const struct steps_set *set, struct mrd_buf *out)
{
    bool any = false;
    for (size_t i = 0; i < set->steps; i++) {
        any |= set_has(set, i) && column[i];
    }
    mrd_buf_append_u8(out, any);
    for (size_t i = 0; any && i < set->steps; i += 8) {
        uint8_t byte = 0;
        for (size_t j = i; j < MRD_MIN(i + 8, set->steps); j++) {
            byte |= (uint8_t)((set_has(set, j) && column[j]) << (j - i));
        }
        mrd_buf_append_u8(out, byte);
    }
}

static enum mrd_status flags_read(struct mrd_reader *in, size_t steps, bool *column,
                                  struct mrd_error *err)
{
    const uint8_t any = mrd_read_u8(in);
    const struct mrd_bytes bits = mrd_read_bytes(in, any == 1 ? (steps + 7) / 8 : 0);
    if (in->failed || any > 1) {
        return pql_states_corrupt(err, "flags that end early");
    }
    for (size_t i = 0; i < steps; i++) {
        column[i] = any == 1 && (bits.data[i / 8] >> (i % 8) & 1) != 0;
    }
    return MRD_OK;
}

void pql_group_state_write(enum mrd_aggregation aggregation, const struct pql_group_state *state,
                           size_t steps, struct mrd_buf *out)
{
    const struct pql_group_parts parts = pql_group_parts_of(aggregation);
    const struct steps_set set = {.values = state->values, .steps = steps};
    set_write(&set, out);
    column_write(state->values, &set, out);
    if (parts.second) {
        column_write(state->second, &set, out);
    }
    if (parts.counts) {
        column_write(state->counts, &set, out);
    }
    if (parts.incremental) {
        flags_write(state->incremental, &set, out);
    }
    mrd_buf_append_u8(out, state->histograms != NULL);
    if (state->histograms != NULL) {
        histograms_write(state->histograms, steps, out);
    }
}

enum mrd_status pql_group_state_read(enum mrd_aggregation aggregation, struct mrd_reader *in,
                                     size_t steps, struct pql_group_state *state,
                                     bool *out_histograms, struct mrd_error *err)
{
    const struct pql_group_parts parts = pql_group_parts_of(aggregation);
    struct steps_set set;
    MRD_TRY(set_read(in, steps, &set, err));
    MRD_TRY(column_read(in, &set, state->values, err));
    if (parts.second) {
        MRD_TRY(column_read(in, &set, state->second, err));
    }
    if (parts.counts) {
        MRD_TRY(column_read(in, &set, state->counts, err));
    }
    if (parts.incremental) {
        MRD_TRY(flags_read(in, steps, state->incremental, err));
    }
    const uint8_t histograms = mrd_read_u8(in);
    const bool possible = aggregation == MRD_AGG_SUM || aggregation == MRD_AGG_AVG;
    if (in->failed || histograms > possible) {
        return pql_states_corrupt(err, "histograms where there are none");
    }
    *out_histograms = histograms == 1;
    return MRD_OK;
}
