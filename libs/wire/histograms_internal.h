/* histograms_internal.h: a column of native histograms, in which those of one shape share their layout.
 *
 * Layout of the bytes: docs/formats/batch.md, "packed" of section 7. A layout is everything but counts, sum and
 * reset hint; a sender's histograms mostly keep theirs from scrape to scrape, and many series have the same.
 */
#ifndef MRD_WIRE_HISTOGRAMS_INTERNAL_H
#define MRD_WIRE_HISTOGRAMS_INTERNAL_H

#include "base/arena.h"
#include "model/histogram_check.h"

/* An array that grows by doubling. */
struct mrd_u64_column {
    uint64_t *items;
    size_t count;
    size_t capacity;
};

void mrd_u64_column_add(struct mrd_u64_column *column, uint64_t value);

/* A size, then doubles (the column has their bits): a column of values does not know where it ends. */
void mrd_doubles_write(struct mrd_buf *out, const struct mrd_u64_column *column);

/* What is known of a layout: where its bytes are, by their hash. size 0: a free place. */
struct mrd_layout_slot {
    uint64_t hash;
    size_t offset;
    uint32_t size;
    uint32_t index;
};

/* Columns under construction. Zero-initialise. */
struct mrd_histogram_columns {
    struct mrd_buf layouts; /* as in the bytes, one after the other */
    uint32_t layout_count;
    struct mrd_layout_slot *slots; /* by hash, open addressing, at most half full */
    size_t slot_capacity;
    struct mrd_buf layout; /* scratch: of one histogram */
    struct mrd_u64_column layout_of;
    struct mrd_u64_column resets;
    struct mrd_u64_column sums;     /* bits of doubles */
    struct mrd_u64_column integers; /* counts, zero counts and differences of buckets */
    struct mrd_u64_column reals;    /* bits of doubles */
    size_t bucket_count;
    size_t span_count;
    size_t bound_count;
};

void mrd_histogram_columns_fini(struct mrd_histogram_columns *columns);
void mrd_histogram_columns_clear(struct mrd_histogram_columns *columns);

/* Adds a histogram that passes mrd_histogram_check; all of it is copied. */
void mrd_histogram_columns_add(struct mrd_histogram_columns *columns,
                               const struct mrd_histogram *histogram);

static inline size_t mrd_histogram_columns_count(const struct mrd_histogram_columns *columns)
{
    return columns->sums.count;
}

/* What the bytes will be, about; and what they cannot pass. */
size_t mrd_histogram_columns_size(const struct mrd_histogram_columns *columns);
size_t mrd_histogram_columns_size_max(const struct mrd_histogram_columns *columns);

void mrd_histogram_columns_write(const struct mrd_histogram_columns *columns, struct mrd_buf *out);

/* Reads exactly `count` histograms into the arena, whose limit is known to be enough for what the format allows; false
 * if the bytes are not such a column. */
MRD_MUST_CHECK bool mrd_histogram_columns_read(struct mrd_bytes bytes, size_t count,
                                               struct mrd_arena *arena,
                                               const struct mrd_histogram **out);

#endif
