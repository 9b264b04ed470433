#include "rollup/fold.h"

/* Windows that are done side by side: each is a chain of operations that wait for one another. */
enum { LANES = 8 };

size_t mrd_rollup_edges_find(const struct mrd_rollup_edges *edges, size_t at, mrd_time_ms time_ms)
{
    size_t to = edges->count;
    while (at < to && edges->items[at] < time_ms && to - at > 8) {
        const size_t middle = at + (to - at) / 2;
        if (edges->items[middle] < time_ms) {
            at = middle + 1;
        } else {
            to = middle;
        }
    }
    while (at < to && edges->items[at] < time_ms) {
        at++;
    }
    return at;
}

/* ---- columns, as they are where nothing is odd: every row has samples, counters rise, no value is a NaN or infinite ---- */

static inline __attribute__((always_inline)) void add_lanes(const int64_t *in, size_t rows,
                                                            size_t lanes, int64_t *out)
{
    uint64_t sums[LANES] = {0};
    for (size_t k = 0; k < rows; k++) {
        for (size_t i = 0; i < lanes; i++) {
            sums[i] += (uint64_t)in[i * rows + k];
        }
    }
    memcpy(out, sums, lanes * sizeof(*out));
}

static inline __attribute__((always_inline)) void
extreme_lanes(const double *in, bool least, size_t rows, size_t lanes, double *out)
{
    double found[LANES];
    for (size_t i = 0; i < lanes; i++) {
        found[i] = in[i * rows];
    }
    for (size_t k = 1; k < rows; k++) {
        for (size_t i = 0; i < lanes; i++) {
            const double value = in[i * rows + k];
            found[i] = (least ? value < found[i] : value > found[i]) ? value : found[i];
        }
    }
    memcpy(out, found, lanes * sizeof(*out));
}

/* What mrd_kahan_add does, without a branch: the error of a sum is the same number however it is found. */
static inline __attribute__((always_inline)) void add_exactly(double *sum, double *error,
                                                              double value)
{
    const double total = *sum + value;
    const double added = total - *sum;
    *error += (*sum - (total - added)) + (value - added);
    *sum = total;
}

static inline __attribute__((always_inline)) void sum_lanes(const double *in, const double *errors,
                                                            size_t rows, size_t lanes, double *out,
                                                            double *out_errors)
{
    double sums[LANES];
    double rest[LANES];
    for (size_t i = 0; i < lanes; i++) {
        sums[i] = in[i * rows];
        rest[i] = errors == NULL ? 0 : errors[i * rows];
    }
    for (size_t k = 1; k < rows; k++) {
        for (size_t i = 0; i < lanes; i++) {
            add_exactly(&sums[i], &rest[i], in[i * rows + k]);
            if (errors != NULL) {
                add_exactly(&sums[i], &rest[i], errors[i * rows + k]);
            }
        }
    }
    memcpy(out, sums, lanes * sizeof(*out));
    memcpy(out_errors, rest, lanes * sizeof(*out_errors));
}

/* How many windows from `at` on are of one size, LANES at most. */
static size_t lanes_at(const struct mrd_rollup_fold *fold, size_t at)
{
    const uint32_t rows = fold->starts[at + 1] - fold->starts[at];
    size_t lanes = 1;
    while (lanes < LANES && at + lanes < fold->count &&
           fold->starts[at + lanes + 1] - fold->starts[at + lanes] == rows) {
        lanes++;
    }
    return lanes;
}

MRD_SIMD_CLONES static bool are_same(const int64_t *items, size_t count)
{
    int64_t others = 0;
    for (size_t i = 0; i < count; i++) {
        others |= items[i] ^ items[0];
    }
    return others == 0;
}

MRD_SIMD_CLONES static void multiply(const uint32_t *starts, int64_t by, size_t count, int64_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (int64_t)((uint64_t)by * (starts[i + 1] - starts[i]));
    }
}

MRD_SIMD_CLONES static void fold_counts(const struct mrd_rollup_fold *fold, int64_t *out)
{
    const int64_t *in = fold->in[MRD_ROW_COUNT];
    if (fold->same_count != 0) {
        multiply(fold->starts, fold->same_count, fold->count, out);
        return;
    }
    for (size_t at = 0, lanes; at < fold->count; at += lanes) {
        const size_t rows = fold->starts[at + 1] - fold->starts[at];
        lanes = lanes_at(fold, at);
        if (lanes == LANES) {
            add_lanes(in + fold->starts[at], rows, LANES, out + at);
        } else {
            add_lanes(in + fold->starts[at], rows, lanes, out + at);
        }
    }
}

MRD_SIMD_CLONES static void fold_extremes(const struct mrd_rollup_fold *fold, const double *in,
                                          bool least, double *out)
{
    for (size_t at = 0, lanes; at < fold->count; at += lanes) {
        const size_t rows = fold->starts[at + 1] - fold->starts[at];
        lanes = lanes_at(fold, at);
        if (lanes == LANES && least) {
            extreme_lanes(in + fold->starts[at], true, rows, LANES, out + at);
        } else if (lanes == LANES) {
            extreme_lanes(in + fold->starts[at], false, rows, LANES, out + at);
        } else {
            extreme_lanes(in + fold->starts[at], least, rows, lanes, out + at);
        }
    }
}

MRD_SIMD_CLONES static void fold_sums(const struct mrd_rollup_fold *fold, double *out,
                                      double *out_errors)
{
    const double *in = fold->in[MRD_ROW_SUM];
    const double *errors = fold->in[MRD_ROW_COMPENSATION];
    for (size_t at = 0, lanes; at < fold->count; at += lanes) {
        const size_t first = fold->starts[at];
        const size_t rows = fold->starts[at + 1] - first;
        lanes = lanes_at(fold, at);
        if (lanes == LANES && errors == NULL) {
            sum_lanes(in + first, NULL, rows, LANES, out + at, out_errors + at);
        } else {
            sum_lanes(in + first, errors == NULL ? NULL : errors + first, rows, lanes, out + at,
                      out_errors + at);
        }
    }
}

/* How many rows every window has but the first and the last one; 0: not the same number, or there are few windows. */
static size_t rows_of_each(const struct mrd_rollup_fold *fold)
{
    const uint32_t *starts = fold->starts;
    const uint32_t rows = fold->count < 4 ? 0 : starts[2] - starts[1];
    uint32_t others = 0;
    for (size_t i = 1; rows > 0 && i + 1 < fold->count; i++) {
        others |= (starts[i + 1] - starts[i]) ^ rows;
    }
    return others == 0 ? rows : 0;
}

MRD_SIMD_CLONES static void take_every(const int64_t *in, size_t rows, size_t count, int64_t *out)
{
    if (rows == 2) {
        for (size_t i = 0; i < count; i++) {
            out[i] = in[2 * i];
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = in[i * rows];
    }
}

/* Times that are as far apart from one another, a whole number of milliseconds, to milliseconds; false if they are not. */
MRD_SIMD_CLONES static bool times_ramp(int64_t *times, size_t count)
{
    const uint64_t step = (uint64_t)times[1] - (uint64_t)times[0];
    const int64_t first = times[0];
    uint64_t others = 0;
    for (size_t i = 1; i < count; i++) {
        others |= ((uint64_t)times[i] - (uint64_t)times[i - 1]) ^ step;
    }
    if (others != 0 || first < 0 || step % 1000 != 0 || step > (uint64_t)INT64_MAX ||
        times[count - 1] < first) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        times[i] = (int64_t)((uint64_t)(first / 1000) + step / 1000 * i);
    }
    return true;
}

/* Of columns that are those of the first, or the last row. `rows`: rows_of_each. Whether they are times that are found to be evenly apart. */
static bool fold_ends(const struct mrd_rollup_fold *fold, size_t rows, const int64_t *in, bool last,
                      bool in_us, int64_t *out)
{
    const size_t count = fold->count;
    for (size_t i = 0; i < count; i += rows == 0 ? 1 : count - 1) {
        out[i] = in[last ? fold->starts[i + 1] - 1 : fold->starts[i]];
    }
    if (rows > 0) {
        take_every(in + (last ? fold->starts[2] - 1 : fold->starts[1]), rows, count - 2, out + 1);
    }
    if (in_us && count > 1 && times_ramp(out, count)) {
        return true;
    }
    for (size_t i = 0; in_us && i < count; i++) {
        out[i] /= 1000;
    }
    return false;
}

/* ---- what is odd ---- */

/* Below, calls cost more than rows. */
enum { FEW_ROWS = 24 };

MRD_SIMD_CLONES static bool any_zero(const int64_t *items, size_t count)
{
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        found |= items[i] == 0;
    }
    return found;
}

MRD_SIMD_CLONES static bool any_other(const int64_t *items, size_t count)
{
    int64_t found = 0;
    for (size_t i = 0; i < count; i++) {
        found |= items[i];
    }
    return found != 0;
}

MRD_SIMD_CLONES static bool any_not_finite(const double *items, size_t count)
{
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        found |= !(fabs(items[i]) < INFINITY);
    }
    return found;
}

/* Whether a row begins lower than the one before has ended. */
MRD_SIMD_CLONES static bool any_fall(const double *firsts, const double *lasts, size_t count)
{
    bool found = false;
    for (size_t i = 1; i < count; i++) {
        found |= firsts[i] < lasts[i - 1];
    }
    return found;
}

static bool wants(const struct mrd_rollup_fold *fold, enum mrd_rollup_column column)
{
    return (fold->wanted >> column & 1) != 0;
}

static const enum mrd_rollup_column finite_columns[] = {MRD_ROW_SUM, MRD_ROW_COMPENSATION,
                                                        MRD_ROW_MIN, MRD_ROW_MAX};

/* is_odd of a few rows, where there are counts and no changes are wanted. */
static bool are_few_odd(const struct mrd_rollup_fold *fold, size_t from, size_t to)
{
    const int64_t *counts = fold->in[MRD_ROW_COUNT];
    const int64_t *resets = fold->in[MRD_ROW_RESETS];
    const double *firsts = fold->in[MRD_ROW_FIRST];
    const double *lasts = fold->in[MRD_ROW_LAST];
    bool found = wants(fold, MRD_ROW_RESETS) && (firsts == NULL || lasts == NULL);
    for (size_t i = from; fold->same_count == 0 && i < to; i++) {
        found |= counts[i] == 0;
    }
    for (size_t i = from; wants(fold, MRD_ROW_RESETS) && !found && i < to; i++) {
        found = (i > from && firsts[i] < lasts[i - 1]) || (resets != NULL && resets[i] != 0);
    }
    for (size_t k = 0; k < MRD_ARRAY_LEN(finite_columns) && !found; k++) {
        const double *items = fold->in[finite_columns[k]];
        for (size_t i = from; items != NULL && i < to; i++) {
            found |= !(fabs(items[i]) < INFINITY);
        }
    }
    return found;
}

/* Whether rows [from, to) have anything that the loops above do not know of. */
static bool is_odd(const struct mrd_rollup_fold *fold, size_t from, size_t to)
{
    const int64_t *counts = fold->in[MRD_ROW_COUNT];
    const int64_t *resets = fold->in[MRD_ROW_RESETS];
    const double *firsts = fold->in[MRD_ROW_FIRST];
    const double *lasts = fold->in[MRD_ROW_LAST];
    if (counts != NULL && to - from < FEW_ROWS && !wants(fold, MRD_ROW_CHANGES)) {
        return are_few_odd(fold, from, to);
    }
    if (counts == NULL || (fold->same_count == 0 && any_zero(counts + from, to - from)) ||
        wants(fold, MRD_ROW_CHANGES)) {
        return true;
    }
    if (wants(fold, MRD_ROW_RESETS) &&
        (firsts == NULL || lasts == NULL || any_fall(firsts + from, lasts + from, to - from) ||
         (resets != NULL && any_other(resets + from, to - from)))) {
        return true;
    }
    for (size_t k = 0; k < MRD_ARRAY_LEN(finite_columns); k++) {
        const double *items = fold->in[finite_columns[k]];
        if (items != NULL && any_not_finite(items + from, to - from)) {
            return true;
        }
    }
    return false;
}

/* ---- rows one by one ---- */

static void fold_one(const struct mrd_rollup_fold *fold, size_t i, int64_t *const out[])
{
    struct mrd_rollup_columns columns = {.count = fold->starts[fold->count]};
    struct mrd_rollup_row row = mrd_rollup_row_empty(0);
    const int64_t unit = fold->times_in_us ? 1000 : 1;
    memcpy((void *)columns.items, (const void *)fold->in, sizeof(columns.items));
    for (size_t at = fold->starts[i]; at < fold->starts[i + 1]; at++) {
        struct mrd_rollup_floats later = mrd_rollup_columns_floats(&columns, at);
        later.first_at.time_ms /= unit;
        later.last_at.time_ms /= unit;
        mrd_rollup_join_floats(&row.floats, &later);
    }
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        double real;
        int64_t integer;
        if ((mrd_rollup_fold_columns(fold->wanted) >> which & 1) != 0 && out[which] != NULL) {
            mrd_rollup_row_column(&row, (enum mrd_rollup_column)which, &real, &integer);
            out[which][i] = mrd_rollup_column_is_real((enum mrd_rollup_column)which)
                                ? (int64_t)mrd_double_bits(real)
                                : integer;
        }
    }
}

/* ---- all of them ---- */

unsigned mrd_rollup_fold_columns(unsigned wanted)
{
    const unsigned starts = 1U << MRD_ROW_FIRST_ST | 1U << MRD_ROW_LAST_ST; /* there are none */
    unsigned columns = ((wanted & MRD_ROW_ALL) | 1U << MRD_ROW_COUNT) & ~starts;
    if ((columns >> MRD_ROW_SUM & 1) != 0) {
        columns |= 1U << MRD_ROW_COMPENSATION;
    }
    if ((wanted & (MRD_ROW_EXTREMES_OF_RESETS | MRD_ROW_EXTREMES_OF_SUMS)) != 0) {
        columns |= 1U << MRD_ROW_MIN | 1U << MRD_ROW_MAX;
    }
    return columns;
}

/* A column of rows that are as they should be. Whether it has times that are found to be evenly apart. */
static bool fold_column(const struct mrd_rollup_fold *fold, size_t rows,
                        enum mrd_rollup_column which, int64_t *const out[])
{
    const void *in = fold->in[which];
    if (in == NULL && which != MRD_ROW_COMPENSATION) {
        memset(out[which], 0, fold->count * sizeof(*out[which]));
        return false;
    }
    switch ((int)which) {
    case MRD_ROW_COUNT:
        fold_counts(fold, out[which]);
        return false;
    case MRD_ROW_SUM:
        fold_sums(fold, (double *)(void *)out[which], (double *)(void *)out[MRD_ROW_COMPENSATION]);
        return false;
    case MRD_ROW_MIN:
    case MRD_ROW_MAX:
        fold_extremes(fold, in, which == MRD_ROW_MIN, (double *)(void *)out[which]);
        return false;
    case MRD_ROW_FIRST:
    case MRD_ROW_LAST:
        return fold_ends(fold, rows, in, which == MRD_ROW_LAST, false, out[which]);
    case MRD_ROW_FIRST_TS:
    case MRD_ROW_LAST_TS:
        return fold_ends(fold, rows, in, which == MRD_ROW_LAST_TS, fold->times_in_us, out[which]);
    case MRD_ROW_RESETS: /* none */
    case MRD_ROW_LOST:
        memset(out[which], 0, fold->count * sizeof(*out[which]));
        return false;
    case MRD_ROW_COMPENSATION:
        if (fold->in[MRD_ROW_SUM] == NULL) {
            memset(out[which], 0, fold->count * sizeof(*out[which]));
        }
        return false;
    default: /* one by one */
        return false;
    }
}

static bool is_summed_odd(const struct mrd_rollup_fold *fold, int64_t *const out[], size_t i)
{
    double sum;
    if (!wants(fold, MRD_ROW_SUM)) {
        return false;
    }
    memcpy(&sum, &out[MRD_ROW_SUM][i], sizeof(sum));
    return !(fabs(sum) < INFINITY);
}

void mrd_rollup_fold_look(struct mrd_rollup_fold *fold)
{
    const size_t from = fold->starts[0];
    const size_t to = fold->starts[fold->count];
    const int64_t *counts = fold->in[MRD_ROW_COUNT];
    fold->looked = true;
    fold->same_count = counts != NULL && are_same(counts + from, to - from) ? counts[from] : 0;
    fold->plain = !is_odd(fold, from, to);
}

static unsigned join(const struct mrd_rollup_fold *fold, int64_t *const out[MRD_ROW_COLUMNS])
{
    const unsigned columns = mrd_rollup_fold_columns(fold->wanted);
    const bool all_odd = fold->in[MRD_ROW_COUNT] == NULL || wants(fold, MRD_ROW_CHANGES);
    const size_t rows = rows_of_each(fold);
    unsigned even = 0;
    for (unsigned which = 0; which < MRD_ROW_COLUMNS && !all_odd; which++) {
        if ((columns >> which & 1) != 0 && out[which] != NULL &&
            fold_column(fold, rows, (enum mrd_rollup_column)which, out)) {
            even |= 1U << which;
        }
    }
    for (size_t first = 0; first < fold->count; first += LANES) {
        const size_t end = MRD_MIN(first + LANES, fold->count);
        const bool some = !fold->plain && is_odd(fold, fold->starts[first], fold->starts[end]);
        if (!some && !all_odd && !wants(fold, MRD_ROW_SUM)) {
            continue;
        }
        for (size_t i = first; i < end; i++) {
            if (all_odd || (some && is_odd(fold, fold->starts[i], fold->starts[i + 1])) ||
                is_summed_odd(fold, out, i)) {
                fold_one(fold, i, out);
                even = fold->same_count == 0 ? 0 : even; /* rows without samples have no times */
            }
        }
    }
    return even;
}

unsigned mrd_rollup_fold(const struct mrd_rollup_fold *fold, int64_t *const out[MRD_ROW_COLUMNS])
{
    struct mrd_rollup_fold known = *fold;
    if (!known.looked) {
        mrd_rollup_fold_look(&known);
    }
    return join(&known, out);
}
