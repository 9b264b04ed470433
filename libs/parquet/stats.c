#include "parquet/stats.h"

#include <math.h>

static bool is_bytes(const struct mrd_pq_leaf *leaf)
{
    return leaf->type == MRD_PQ_BYTE_ARRAY || leaf->type == MRD_PQ_FIXED;
}

static void add_range(struct mrd_pq_stats *stats, int64_t min, int64_t max)
{
    stats->i.min = stats->bounded ? MRD_MIN(stats->i.min, min) : min;
    stats->i.max = stats->bounded ? MRD_MAX(stats->i.max, max) : max;
    stats->bounded = true;
}

static void add_booleans(struct mrd_pq_stats *stats, const uint8_t *values, size_t count)
{
    uint8_t any = 0;
    uint8_t all = 1;
    for (size_t i = 0; i < count; i++) {
        any |= values[i];
        all &= values[i];
    }
    add_range(stats, all, any);
}

MRD_SIMD_CLONES static void add_i32(struct mrd_pq_stats *stats, const int32_t *values, size_t count)
{
    int32_t min = values[0];
    int32_t max = values[0];
    for (size_t i = 1; i < count; i++) {
        min = values[i] < min ? values[i] : min;
        max = values[i] > max ? values[i] : max;
    }
    add_range(stats, min, max);
}

MRD_SIMD_CLONES static void add_i64(struct mrd_pq_stats *stats, const int64_t *values, size_t count)
{
    int64_t min = values[0];
    int64_t max = values[0];
    for (size_t i = 1; i < count; i++) {
        min = values[i] < min ? values[i] : min;
        max = values[i] > max ? values[i] : max;
    }
    add_range(stats, min, max);
}

/* Returns how many are NaN. A comparison with NaN is false, so it never becomes a bound. */
MRD_SIMD_CLONES static uint64_t range_of(const double *values, size_t count, double *out_min,
                                         double *out_max)
{
    double min = INFINITY;
    double max = -INFINITY;
    uint64_t nans = 0;
    for (size_t i = 0; i < count; i++) {
        min = values[i] < min ? values[i] : min;
        max = values[i] > max ? values[i] : max;
        nans += values[i] != values[i];
    }
    *out_min = min;
    *out_max = max;
    return nans;
}

static void add_doubles(struct mrd_pq_stats *stats, const double *values, size_t count,
                        uint64_t times)
{
    double min;
    double max;
    const uint64_t nans = range_of(values, count, &min, &max);
    stats->nans += nans * times;
    if (nans == count) {
        return;
    }
    stats->d.min = stats->bounded ? fmin(stats->d.min, min) : min;
    stats->d.max = stats->bounded ? fmax(stats->d.max, max) : max;
    stats->bounded = true;
}

/* A bound of bytes that may have been cut: below others that are longer and begin alike. */
struct cut_bytes {
    struct mrd_bytes bytes;
    bool cut;
};

static struct cut_bytes cut(struct mrd_bytes value)
{
    return (struct cut_bytes){
        {value.data, MRD_MIN(value.size, (size_t)MRD_PQ_BOUND_SIZE)},
        value.size > MRD_PQ_BOUND_SIZE,
    };
}

static int cut_compare(struct cut_bytes a, struct cut_bytes b)
{
    const int order = mrd_bytes_compare(a.bytes, b.bytes);
    return order != 0 ? order : (int)a.cut - (int)b.cut;
}

static struct cut_bytes min_of(const struct mrd_pq_stats *stats)
{
    return (struct cut_bytes){
        {stats->b.min, stats->b.min_size},
        stats->b.min_cut
    };
}

static struct cut_bytes max_of(const struct mrd_pq_stats *stats)
{
    return (struct cut_bytes){
        {stats->b.max, stats->b.max_size},
        stats->b.max_cut
    };
}

static void add_cut(struct mrd_pq_stats *stats, struct cut_bytes low, struct cut_bytes high)
{
    if (!stats->bounded || cut_compare(low, min_of(stats)) < 0) {
        stats->b.min_size = (uint8_t)low.bytes.size;
        stats->b.min_cut = low.cut;
        memcpy(stats->b.min, low.bytes.size > 0 ? low.bytes.data : stats->b.min, low.bytes.size);
    }
    if (!stats->bounded || cut_compare(high, max_of(stats)) > 0) {
        stats->b.max_size = (uint8_t)high.bytes.size;
        stats->b.max_cut = high.cut;
        memcpy(stats->b.max, high.bytes.size > 0 ? high.bytes.data : stats->b.max, high.bytes.size);
    }
    stats->bounded = true;
}

static void add_bytes(struct mrd_pq_stats *stats, const struct mrd_bytes *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || values[i].data != values[i - 1].data ||
            values[i].size != values[i - 1].size) {
            add_cut(stats, cut(values[i]), cut(values[i]));
        }
    }
}

static void add_fixed(struct mrd_pq_stats *stats, const uint8_t *values, size_t size, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct cut_bytes value = cut((struct mrd_bytes){values + i * size, size});
        add_cut(stats, value, value);
    }
}

void mrd_pq_stats_add(struct mrd_pq_stats *stats, const struct mrd_pq_leaf *leaf,
                      const struct mrd_pq_batch *batch, uint64_t times)
{
    stats->entries += batch->entries * times;
    stats->nulls += (batch->entries - batch->values) * times;
    if (batch->values == 0) {
        return;
    }
    if (leaf->type == MRD_PQ_BOOLEAN) {
        add_booleans(stats, batch->booleans, batch->values);
    } else if (leaf->type == MRD_PQ_INT32) {
        add_i32(stats, batch->i32, batch->values);
    } else if (leaf->type == MRD_PQ_INT64) {
        add_i64(stats, batch->i64, batch->values);
    } else if (leaf->type == MRD_PQ_DOUBLE) {
        add_doubles(stats, batch->f64, batch->values, times);
    } else if (leaf->type == MRD_PQ_BYTE_ARRAY) {
        add_bytes(stats, batch->bytes, batch->values);
    } else {
        add_fixed(stats, batch->fixed, leaf->fixed_size, batch->values);
    }
}

void mrd_pq_stats_merge(struct mrd_pq_stats *stats, const struct mrd_pq_leaf *leaf,
                        const struct mrd_pq_stats *other)
{
    stats->entries += other->entries;
    stats->nulls += other->nulls;
    stats->nans += other->nans;
    if (!other->bounded) {
        return;
    }
    if (is_bytes(leaf)) {
        add_cut(stats, min_of(other), max_of(other));
    } else if (leaf->type == MRD_PQ_DOUBLE) {
        stats->d.min = stats->bounded ? fmin(stats->d.min, other->d.min) : other->d.min;
        stats->d.max = stats->bounded ? fmax(stats->d.max, other->d.max) : other->d.max;
        stats->bounded = true;
    } else {
        add_range(stats, other->i.min, other->i.max);
    }
}

/* ---- bounds as the file has them ---- */

static struct mrd_pq_bound number_bound(const void *value, size_t size)
{
    struct mrd_pq_bound bound = {.size = (uint8_t)size, .present = true, .exact = true};
    memcpy(bound.data, value, size);
    return bound;
}

static size_t character_begin(const uint8_t *data, size_t size)
{
    size_t at = size - 1;
    while (at > 0 && (data[at] & 0xc0) == 0x80) {
        at--;
    }
    return at;
}

/* The size without a character at the end that the cut has split. */
static size_t whole_characters(const uint8_t *data, size_t size)
{
    for (size_t n = size; n + 4 > size && n > 0; n--) {
        if (mrd_bytes_utf8_valid((struct mrd_bytes){data, n})) {
            return n;
        }
    }
    return 0; /* no UTF-8 at all: the caller treats it as bytes */
}

static uint32_t character_at(const uint8_t *data, size_t size)
{
    static const uint8_t lead_masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t character = data[0] & lead_masks[size];
    for (size_t i = 1; i < size; i++) {
        character = character << 6 | (data[i] & 0x3f);
    }
    return character;
}

static size_t put_character(uint8_t *out, uint32_t c)
{
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    const size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    out[0] = (uint8_t)(leads[size] | c);
    return size;
}

/* The least text above all that begin like this one; absent if there is none. */
static void round_up_text(struct mrd_pq_bound *bound)
{
    size_t size = bound->size;
    while (size > 0) {
        const size_t at = character_begin(bound->data, size);
        uint32_t next = character_at(bound->data + at, size - at) + 1;
        next = next == 0xd800 ? 0xe000 : next; /* surrogates are no characters */
        if (next <= 0x10ffff) {
            bound->size = (uint8_t)(at + put_character(bound->data + at, next));
            return;
        }
        size = at;
    }
    bound->present = false;
}

static void round_up_bytes(struct mrd_pq_bound *bound)
{
    while (bound->size > 0) {
        uint8_t *last = &bound->data[bound->size - 1];
        if (*last != 0xff) {
            *last = (uint8_t)(*last + 1);
            return;
        }
        bound->size--;
    }
    bound->present = false;
}

static struct mrd_pq_bound bytes_bound(struct cut_bytes value, bool text, bool upper)
{
    struct mrd_pq_bound bound = number_bound(value.bytes.data, value.bytes.size);
    bound.exact = !value.cut;
    if (!value.cut) {
        return bound;
    }
    const size_t whole = text ? whole_characters(bound.data, bound.size) : 0;
    bound.size = whole > 0 ? (uint8_t)whole : bound.size;
    if (upper && whole > 0) {
        round_up_text(&bound);
    } else if (upper) {
        round_up_bytes(&bound);
    }
    return bound;
}

struct mrd_pq_bounds mrd_pq_stats_bounds(const struct mrd_pq_stats *stats,
                                         const struct mrd_pq_leaf *leaf)
{
    struct mrd_pq_bounds bounds = {0};
    if (!stats->bounded) {
        return bounds;
    }
    if (is_bytes(leaf)) {
        const bool text = leaf->meaning == MRD_PQ_STRING;
        bounds.min = bytes_bound(min_of(stats), text, false);
        bounds.max = bytes_bound(max_of(stats), text, true);
    } else if (leaf->type == MRD_PQ_DOUBLE) {
        const double min = stats->d.min == 0 ? -0.0 : stats->d.min;
        const double max = stats->d.max == 0 ? 0.0 : stats->d.max;
        bounds.min = number_bound(&min, sizeof(min));
        bounds.max = number_bound(&max, sizeof(max));
    } else {
        /* Little-endian: the low bytes of 64 bits are the narrower number. */
        const size_t size = mrd_pq_value_size(leaf->type, 0);
        bounds.min = number_bound(&stats->i.min, size);
        bounds.max = number_bound(&stats->i.max, size);
    }
    return bounds;
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int64_t integer_of(const struct mrd_pq_bound *bound)
{
    int64_t wide = 0;
    int32_t narrow = 0;
    if (bound->size == sizeof(narrow)) {
        memcpy(&narrow, bound->data, sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, bound->data, bound->size);
    return wide;
}

int mrd_pq_bound_compare(const struct mrd_pq_bound *a, const struct mrd_pq_bound *b,
                         const struct mrd_pq_leaf *leaf)
{
    if (is_bytes(leaf)) {
        return mrd_bytes_compare((struct mrd_bytes){a->data, a->size},
                                 (struct mrd_bytes){b->data, b->size});
    }
    if (leaf->type == MRD_PQ_DOUBLE) {
        double x;
        double y;
        memcpy(&x, a->data, sizeof(x));
        memcpy(&y, b->data, sizeof(y));
        return ORDER(x, y);
    }
    return ORDER(integer_of(a), integer_of(b));
}
