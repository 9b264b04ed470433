/* labels.h: label sets, their order, their canonical bytes and the series id.
 *
 * A label set is sorted by name (byte order), names are unique and not empty, values are not empty
 * (an empty value means that the label is absent). Names and values are valid UTF-8.
 *
 * Canonical bytes: for each label in order: varint length, name, varint length, value. They identify
 * the label set: two sets are equal exactly if their canonical bytes are.
 *
 * Threads: label sets are plain values; the arena or buffer behind them decides who may look.
 */
#ifndef MRD_MODEL_LABELS_H
#define MRD_MODEL_LABELS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/hash.h"

#define MRD_METRIC_NAME "__name__"

struct mrd_label {
    struct mrd_bytes name;
    struct mrd_bytes value;
};

/* A borrowed view of `count` labels. */
struct mrd_labels {
    const struct mrd_label *items;
    size_t count;
};

/* The value of the label `name`, or an empty view. */
struct mrd_bytes mrd_labels_get(struct mrd_labels labels, struct mrd_bytes name);

/* Prometheus' order of label sets: label by label, name then value, shorter set first. */
int mrd_labels_compare(struct mrd_labels a, struct mrd_labels b);
static inline bool mrd_labels_equal(struct mrd_labels a, struct mrd_labels b)
{
    return mrd_labels_compare(a, b) == 0;
}

/* Sorts items by name in place. */
void mrd_labels_sort(struct mrd_label *items, size_t count);

/* Bounds on a label set; 0 means none. */
struct mrd_label_limits {
    size_t count_max;
    size_t name_size_max;
    size_t value_size_max;
};

/* Checks what a writer sent: sorts items in place, drops labels with an empty value (*count shrinks),
 * then demands a metric name, non-empty valid UTF-8 names, valid UTF-8 values, no duplicate, and the
 * limits. MRD_E_INVALID or MRD_E_LIMIT with a text that names the label and what to change. */
MRD_MUST_CHECK enum mrd_status mrd_labels_validate(struct mrd_label *items, size_t *count,
                                                   const struct mrd_label_limits *limits,
                                                   struct mrd_error *err);

/* Appends the canonical bytes. The buffer's `failed` tells of its limit. */
void mrd_labels_encode(struct mrd_labels labels, struct mrd_buf *out);

/* Reads canonical bytes: views into `bytes`, the array from the arena. Refuses anything that
 * mrd_labels_encode would not write of a valid set (order, duplicates, empty names or values):
 * MRD_E_CORRUPT; MRD_E_LIMIT from the arena. UTF-8 is not checked again. */
MRD_MUST_CHECK enum mrd_status mrd_labels_decode(struct mrd_bytes bytes, struct mrd_arena *arena,
                                                 struct mrd_labels *out, struct mrd_error *err);

/* Hash of the label set for grouping and matching in memory; not stored. */
uint64_t mrd_labels_hash(struct mrd_labels labels);

/* Appends {a="b", c="d"} with Go's %q escapes, the metric name in front: name{a="b"}. */
void mrd_labels_format(struct mrd_labels labels, struct mrd_buf *out);

/* ---- the series id ---- */

/* Stands for (tenant, label set) everywhere: 128-bit XXH3 of the canonical bytes, seeded with the
 * 64-bit XXH3 of the tenant's name. */
typedef struct mrd_id128 mrd_series_id;

uint64_t mrd_tenant_seed(struct mrd_bytes tenant);
static inline mrd_series_id mrd_series_id_of(uint64_t tenant_seed, struct mrd_bytes canonical)
{
    return mrd_hash128(canonical, tenant_seed);
}

/* The partition that holds a series, of partition_count (at least 1). */
static inline uint32_t mrd_series_partition(mrd_series_id id, uint32_t partition_count)
{
    return (uint32_t)(id.high % partition_count);
}

#endif
