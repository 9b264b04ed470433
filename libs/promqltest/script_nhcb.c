#include "promqltest/script_nhcb.h"

#include <math.h>

#include "base/number.h"

enum { BOUNDS_MAX = 256 };

struct bucket {
    double bound;
    double count; /* cumulative */
};

/* What is known of a histogram at one time. */
struct point {
    struct bucket *buckets; /* sorted by bound */
    size_t bucket_count;
    double count;
    double sum;
    bool has_count;
    bool present;
};

struct script_nhcb_group {
    struct mrd_labels labels;
    struct point *points; /* by position in the load */
    size_t count;
    struct script_nhcb_group *next;
};

enum part { PART_NONE, PART_BUCKET, PART_SUM, PART_COUNT };

static enum part part_of(struct mrd_bytes name, struct mrd_bytes *out_base)
{
    static const char *const suffixes[] = {
        [PART_BUCKET] = "_bucket", [PART_SUM] = "_sum", [PART_COUNT] = "_count"};
    for (int part = PART_BUCKET; part <= PART_COUNT; part++) {
        const struct mrd_bytes suffix = mrd_bytes_of(suffixes[part]);
        if (name.size >= suffix.size &&
            memcmp(name.data + name.size - suffix.size, suffix.data, suffix.size) == 0) {
            *out_base = (struct mrd_bytes){name.data, name.size - suffix.size};
            return (enum part)part;
        }
    }
    return PART_NONE;
}

/* The labels of the whole: without le, with the base name. */
static enum mrd_status base_labels(struct mrd_arena *arena, struct mrd_labels labels,
                                   struct mrd_bytes base, struct mrd_labels *out,
                                   struct mrd_error *err)
{
    struct mrd_label *items = mrd_arena_alloc_array(arena, labels.count + 1, sizeof(*items));
    size_t count = 0;
    if (items == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < labels.count; i++) {
        struct mrd_label label = labels.items[i];
        if (mrd_bytes_equal(label.name, MRD_BYTES("le"))) {
            continue;
        }
        if (mrd_bytes_equal(label.name, MRD_BYTES(MRD_METRIC_NAME))) {
            label.value = base;
        }
        items[count++] = label;
    }
    *out = (struct mrd_labels){items, count};
    return MRD_OK;
}

static enum mrd_status find_group(struct script_nhcb *nhcb, struct mrd_labels labels, size_t count,
                                  struct script_nhcb_group **out, struct mrd_error *err)
{
    struct script_nhcb_group **at = &nhcb->groups;
    while (*at != NULL && !mrd_labels_equal((*at)->labels, labels)) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        *at = mrd_arena_alloc(nhcb->arena, sizeof(**at));
        if (*at == NULL) {
            return mrd_arena_fail(nhcb->arena, err);
        }
        (*at)->labels = labels;
    }
    if ((*at)->count < count) {
        struct point *points = mrd_arena_alloc(nhcb->arena, count * sizeof(*points));
        if (points == NULL) {
            return mrd_arena_fail(nhcb->arena, err);
        }
        for (size_t i = 0; i < (*at)->count; i++) {
            points[i] = (*at)->points[i];
        }
        (*at)->points = points;
        (*at)->count = count;
    }
    *out = *at;
    return MRD_OK;
}

static enum mrd_status add_bucket(struct mrd_arena *arena, struct point *point, double bound,
                                  double count, struct mrd_error *err)
{
    size_t at = point->bucket_count;
    if (point->buckets == NULL) {
        point->buckets = mrd_arena_alloc_array(arena, BOUNDS_MAX + 1, sizeof(*point->buckets));
        if (point->buckets == NULL) {
            return mrd_arena_fail(arena, err);
        }
    }
    if (point->bucket_count == BOUNDS_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "more than %d buckets", BOUNDS_MAX);
    }
    while (at > 0 && point->buckets[at - 1].bound >= bound) {
        at--;
    }
    if (at < point->bucket_count && point->buckets[at].bound == bound) {
        return MRD_OK;
    }
    memmove(point->buckets + at + 1, point->buckets + at,
            (point->bucket_count - at) * sizeof(*point->buckets));
    point->buckets[at] = (struct bucket){bound, count};
    point->bucket_count++;
    return MRD_OK;
}

enum mrd_status script_nhcb_add(struct script_nhcb *nhcb, struct mrd_labels labels,
                                const struct script_value *values, size_t count,
                                struct mrd_error *err)
{
    struct script_nhcb_group *group = NULL;
    struct mrd_bytes base = MRD_BYTES_NONE;
    struct mrd_labels whole = {0};
    double bound = 0;
    const enum part part = part_of(mrd_labels_get(labels, MRD_BYTES(MRD_METRIC_NAME)), &base);
    const struct mrd_bytes le = mrd_labels_get(labels, MRD_BYTES("le"));
    if (part == PART_NONE) {
        return MRD_OK;
    }
    if (part == PART_BUCKET &&
        (!mrd_double_parse((const char *)le.data, le.size, &bound) || isnan(bound))) {
        return MRD_OK;
    }
    MRD_TRY(base_labels(nhcb->arena, labels, base, &whole, err));
    MRD_TRY(find_group(nhcb, whole, count, &group, err));
    for (size_t i = 0; i < count; i++) {
        struct point *point = &group->points[i];
        if (values[i].omitted || values[i].histogram != NULL) {
            continue;
        }
        point->present = true;
        if (part == PART_BUCKET) {
            MRD_TRY(add_bucket(nhcb->arena, point, bound, values[i].value, err));
        } else if (part == PART_SUM) {
            point->sum = values[i].value;
        } else {
            point->count = values[i].value;
            point->has_count = true;
        }
    }
    return MRD_OK;
}

/* ---- conversion ---- */

static enum mrd_status check(struct point *point, struct mrd_error *err)
{
    const size_t last = point->bucket_count == 0 ? 0 : point->bucket_count - 1;
    if (!point->has_count && point->bucket_count > 0) {
        point->count = point->buckets[last].count;
    }
    for (size_t i = 0; i < point->bucket_count; i++) {
        const double before = i == 0 ? 0 : point->buckets[i - 1].count;
        if (point->buckets[i].count < before) {
            return mrd_fail(err, MRD_E_INVALID, "the buckets of a histogram are not cumulative");
        }
    }
    return MRD_OK;
}

static enum mrd_status convert(struct mrd_arena *arena, const struct point *point,
                               struct mrd_float_histogram **out, struct mrd_error *err)
{
    union mrd_histogram_count counts[BOUNDS_MAX + 1];
    double bounds[BOUNDS_MAX];
    size_t bound_count = 0;
    double before = 0;
    for (size_t i = 0; i < point->bucket_count; i++) {
        if (point->buckets[i].bound != INFINITY) {
            counts[bound_count].real = point->buckets[i].count - before;
            bounds[bound_count++] = point->buckets[i].bound;
            before = point->buckets[i].count;
        } else if (point->buckets[i].count != point->count) {
            return mrd_fail(err, MRD_E_INVALID,
                            "the count of a histogram is not its last bucket's");
        }
    }
    counts[bound_count].real = point->count - before;
    const struct mrd_histogram_span span = {0, (uint32_t)bound_count + 1};
    const struct mrd_histogram made = {
        .is_float = true,
        .schema = MRD_HISTOGRAM_SCHEMA_CUSTOM,
        .sum = point->sum,
        .count.real = point->count,
        .positive = {&span, counts, 1, bound_count + 1},
        .custom_values = bounds,
        .custom_value_count = bound_count,
    };
    MRD_TRY(mrd_float_histogram_from(&made, arena, out, err));
    return mrd_float_histogram_compact(*out, arena, err);
}

/* What stands for a point of the classic histogram in the series of native ones. */
static enum mrd_status value_of(const struct script_nhcb *nhcb, struct point *point,
                                struct script_value *out, struct mrd_error *err)
{
    *out = (struct script_value){.omitted = !point->present};
    if (!point->present) {
        return MRD_OK;
    }
    if (mrd_is_stale(point->sum) || mrd_is_stale(point->count)) {
        out->value = mrd_stale_nan();
        return MRD_OK;
    }
    struct mrd_float_histogram *made = NULL;
    MRD_TRY(check(point, err));
    MRD_TRY(convert(nhcb->arena, point, &made, err));
    out->histogram = made;
    return MRD_OK;
}

enum mrd_status script_nhcb_load(const struct script_nhcb *nhcb, struct script_target *target,
                                 mrd_time_ms step_ms, struct mrd_error *err)
{
    for (const struct script_nhcb_group *group = nhcb->groups; group != NULL; group = group->next) {
        struct script_value *values =
            mrd_arena_alloc(nhcb->arena, (group->count + 1) * sizeof(*values));
        mrd_assert(values != NULL);
        for (size_t i = 0; i < group->count; i++) {
            MRD_TRY(value_of(nhcb, &group->points[i], &values[i], err));
        }
        MRD_TRY(target->put(target->context, group->labels, values, group->count, step_ms, err));
    }
    return MRD_OK;
}
