/* builder_rig.h: for tests and benchmarks: batches of the log with random, conflicting writes, and the map that they must lead to.
 *
 * Include it after cmocka.h where that is used. All writes come from a seed.
 */
#ifndef CMP_BUILDER_RIG_H
#define CMP_BUILDER_RIG_H

#include <stdio.h>
#include <stdlib.h>

#include "block/reader.h"
#include "wire/batch.h"

#define RIG_T0 ((mrd_time_ms)1700000000000)

enum { RIG_SERIES_MAX = 64, RIG_LABELS_MAX = 4 };

/* What a (series, time) has, in the end. */
struct rig_write {
    uint32_t series;
    mrd_time_ms time_ms;
    mrd_hlc hlc;
    uint32_t origin;
    bool is_histogram;
    double value; /* of a histogram: its sum */
    mrd_time_ms start_ms;
};

struct rig {
    uint64_t state; /* of the random numbers */
    uint32_t series_count;
    struct mrd_buf labels[RIG_SERIES_MAX]; /* canonical */
    struct mrd_batch_builder *builder;
    struct mrd_buf message;
    struct rig_write *writes;
    size_t write_count;
    size_t write_capacity;
    uint64_t numbers[2];
    bool announced[2][RIG_SERIES_MAX]; /* per instance */
    const char *residency_class;
    uint64_t epoch; /* of labels */
};

static inline uint64_t rig_random(struct rig *rig, uint64_t below)
{
    rig->state ^= rig->state << 13;
    rig->state ^= rig->state >> 7;
    rig->state ^= rig->state << 17;
    return rig->state % below;
}

static inline struct mrd_bytes rig_tenant(uint32_t series)
{
    return series % 3 == 0 ? MRD_BYTES("alpha") : MRD_BYTES("beta");
}

static inline void rig_init(struct rig *rig, uint64_t seed, uint32_t series_count)
{
    *rig = (struct rig){.state = seed * 2654435761U + 1, .series_count = series_count};
    rig->residency_class = "eu";
    rig->epoch = mrd_batch_epoch_of(RIG_T0);
    rig->builder = mrd_batch_builder_create();
    for (uint32_t i = 0; i < series_count; i++) {
        char name[32];
        char device[32];
        (void)snprintf(name, sizeof(name), "metric_%u", i % 5);
        (void)snprintf(device, sizeof(device), "d%u", i);
        struct mrd_label labels[2] = {
            {MRD_BYTES("__name__"), mrd_bytes_of(name)  },
            {MRD_BYTES("device"),   mrd_bytes_of(device)}
        };
        mrd_labels_encode((struct mrd_labels){labels, 2}, &rig->labels[i]);
    }
}

static inline void rig_fini(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->series_count; i++) {
        mrd_buf_fini(&rig->labels[i]);
    }
    mrd_batch_builder_destroy(&rig->builder);
    mrd_buf_fini(&rig->message);
    free(rig->writes);
}

static inline void rig_note(struct rig *rig, const struct rig_write *write)
{
    if (rig->write_count == rig->write_capacity) {
        rig->write_capacity = MRD_MAX((size_t)1024, 2 * rig->write_capacity);
        rig->writes = reallocarray(rig->writes, rig->write_capacity, sizeof(*rig->writes));
        mrd_assert(rig->writes != NULL);
    }
    rig->writes[rig->write_count++] = *write;
}

/* ---- batches ---- */

static inline const char *rig_instance(unsigned writer) { return writer == 0 ? "w0" : "w1"; }

static inline void rig_announce(struct rig *rig, unsigned writer, uint32_t series)
{
    if (rig->announced[writer][series]) {
        return;
    }
    rig->announced[writer][series] = true;
    const struct mrd_bytes tenant = rig_tenant(series);
    const struct mrd_bytes labels = mrd_buf_view(&rig->labels[series]);
    mrd_batch_builder_announce(
        rig->builder,
        &(struct mrd_batch_announcement){.reference = series,
                                         .tenant = mrd_batch_builder_tenant(rig->builder, tenant),
                                         .id = mrd_series_id_of(mrd_tenant_seed(tenant), labels),
                                         .labels = labels});
}

static inline void rig_histogram(struct rig *rig, const struct rig_write *write)
{
    static const struct mrd_histogram_span span = {1, 2};
    const union mrd_histogram_count buckets[2] = {{.integer = 1}, {.integer = 2}};
    const struct mrd_histogram histogram = {
        .schema = 3,
        .sum = write->value,
        .count = {.integer = 3},
        .positive = { &span, buckets, 1, 2}
    };
    mrd_batch_builder_histogram(rig->builder,
                                mrd_batch_builder_tenant(rig->builder, rig_tenant(write->series)),
                                write->series, write->time_ms, write->start_ms, &histogram);
}

static inline void rig_sample(struct rig *rig, const struct rig_write *write)
{
    const uint32_t tenant = mrd_batch_builder_tenant(rig->builder, rig_tenant(write->series));
    mrd_batch_builder_row(rig->builder, tenant, write->series, write->time_ms, write->value);
    mrd_batch_builder_start_time(rig->builder, write->start_ms);
}

static inline struct mrd_batch_header rig_header(struct rig *rig, unsigned writer, mrd_hlc hlc)
{
    return (struct mrd_batch_header){.region = MRD_BYTES("r"),
                                     .residency_class = mrd_bytes_of(rig->residency_class),
                                     .instance = mrd_bytes_of(rig_instance(writer)),
                                     .epoch = rig->epoch,
                                     .number = ++rig->numbers[writer],
                                     .hlc = hlc};
}

/* Makes the next message: writes to a few times of each series, so that many meet; stamps of the two writers go up and down, and two
 * batches in a row have the same one now and then. */
static inline void rig_batch(struct rig *rig, uint64_t stamp, size_t writes)
{
    const unsigned writer = (unsigned)rig_random(rig, 2);
    const mrd_hlc hlc = mrd_hlc_make(RIG_T0 + (mrd_time_ms)stamp, 0);
    mrd_batch_builder_reset(rig->builder);
    struct mrd_batch_header header = rig_header(rig, writer, hlc);
    for (size_t i = 0; i < writes; i++) {
        struct rig_write write = {
            .series = (uint32_t)rig_random(rig, rig->series_count),
            .time_ms = RIG_T0 + 1000 * (mrd_time_ms)rig_random(rig, 200),
            .hlc = hlc,
            .origin = mrd_batch_origin(&header),
            .is_histogram = rig_random(rig, 8) == 0,
            .value = (double)rig_random(rig, 5),
            .start_ms = rig_random(rig, 3) == 0 ? RIG_T0 - (mrd_time_ms)rig_random(rig, 3) : 0,
        };
        if (write
                .is_histogram) { /* of one batch they are all the same: chunks' bytes decide otherwise */
            write.value = (double)(header.number % 5);
            write.start_ms = header.number % 2 == 0 ? RIG_T0 - 5 : 0;
        }
        rig_announce(rig, writer, write.series);
        (write.is_histogram ? rig_histogram : rig_sample)(rig, &write);
        rig_note(rig, &write);
    }
    mrd_batch_builder_finish(rig->builder, &header, MRD_BATCH_NONE, &rig->message);
}

/* ---- what it must lead to ---- */

static inline int rig_order(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }

/* By series and time; of one time the last writer first. */
static inline int rig_compare(const void *a, const void *b)
{
    const struct rig_write *x = a;
    const struct rig_write *y = b;
    int order = rig_order(x->series, y->series);
    order = order != 0 ? order : x->time_ms < y->time_ms ? -1 : x->time_ms > y->time_ms;
    order = order != 0 ? order : rig_order(y->hlc, x->hlc);
    order = order != 0 ? order : rig_order(y->origin, x->origin);
    order = order != 0 ? order : (int)y->is_histogram - (int)x->is_histogram;
    order = order != 0 ? order : rig_order(mrd_double_bits(y->value), mrd_double_bits(x->value));
    return order != 0 ? order : x->start_ms > y->start_ms ? -1 : x->start_ms < y->start_ms;
}

/* Leaves the winners. */
static inline size_t rig_settle(struct rig_write *writes, size_t count)
{
    qsort(writes, count, sizeof(*writes), rig_compare);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || writes[kept - 1].series != writes[i].series ||
            writes[kept - 1].time_ms != writes[i].time_ms) {
            writes[kept++] = writes[i];
        }
    }
    return kept;
}

/* ---- what is in blocks ---- */

static inline uint32_t rig_series_of(const struct rig *rig, const struct mrd_block_series *series)
{
    for (uint32_t i = 0; i < rig->series_count; i++) {
        if (mrd_id128_equal(series->id, mrd_series_id_of(mrd_tenant_seed(rig_tenant(i)),
                                                         mrd_buf_view(&rig->labels[i])))) {
            mrd_assert(mrd_bytes_equal(series->tenant, rig_tenant(i)));
            return i;
        }
    }
    (void)fprintf(stderr, "a series that nobody sent\n");
    abort();
}

static inline void rig_collect(const struct rig *rig, const struct mrd_block_series *series,
                               struct rig *out)
{
    const uint32_t index = rig_series_of(rig, series);
    const struct mrd_samples *samples = &series->samples;
    for (size_t i = 0; i < samples->count; i++) {
        rig_note(out, &(struct rig_write){.series = index,
                                          .time_ms = samples->times_ms[i],
                                          .hlc = series->sample_hlcs[i],
                                          .value = samples->values[i],
                                          .start_ms = samples->start_times_ms == NULL
                                                          ? 0
                                                          : samples->start_times_ms[i]});
    }
    const struct mrd_histograms *histograms = &series->histograms;
    for (size_t i = 0; i < histograms->count; i++) {
        rig_note(out, &(struct rig_write){.series = index,
                                          .time_ms = histograms->times_ms[i],
                                          .hlc = series->histogram_hlcs[i],
                                          .is_histogram = true,
                                          .value = histograms->items[i].sum,
                                          .start_ms = histograms->start_times_ms == NULL
                                                          ? 0
                                                          : histograms->start_times_ms[i]});
    }
}

/* Appends all that a block has to out->writes. */
static inline void rig_read(const struct rig *rig, struct mrd_objstore *store,
                            const struct mrd_block_entry *entry, struct rig *out)
{
    struct mrd_block *block = NULL;
    struct mrd_block_cursor *cursor = NULL;
    const struct mrd_block_open_options open = {0};
    const struct mrd_block_cursor_options options = {.want_hlc = true};
    mrd_assert(mrd_block_verify(store, entry, &(struct mrd_block_verify_options){0}, NULL) ==
               MRD_OK);
    mrd_assert(mrd_block_open(store, entry, &open, &block, NULL) == MRD_OK);
    mrd_assert(mrd_block_scan(block, &options, &cursor, NULL) == MRD_OK);
    for (;;) {
        const struct mrd_block_series *series = NULL;
        mrd_assert(mrd_block_cursor_next(cursor, &series, NULL) == MRD_OK);
        if (series == NULL) {
            break;
        }
        rig_collect(rig, series, out);
    }
    mrd_block_cursor_close(&cursor);
    mrd_block_close(&block);
}

/* True if what blocks have is what the writes lead to. Says the first difference on stderr. */
static inline bool rig_same(struct rig *rig, struct rig *found)
{
    const size_t want = rig_settle(rig->writes, rig->write_count);
    const size_t have = rig_settle(found->writes, found->write_count);
    for (size_t i = 0; i < MRD_MIN(want, have); i++) {
        const struct rig_write *a = &rig->writes[i];
        const struct rig_write *b = &found->writes[i];
        if (a->series != b->series || a->time_ms != b->time_ms || a->hlc != b->hlc ||
            a->is_histogram != b->is_histogram || a->value != b->value ||
            a->start_ms != b->start_ms) {
            (void)fprintf(
                stderr,
                "series %u time %lld: want %g (start %lld, hlc %llx, histogram %d), found "
                "series %u time %lld: %g (start %lld, hlc %llx, histogram %d)\n",
                a->series, (long long)a->time_ms, a->value, (long long)a->start_ms,
                (unsigned long long)a->hlc, a->is_histogram, b->series, (long long)b->time_ms,
                b->value, (long long)b->start_ms, (unsigned long long)b->hlc, b->is_histogram);
            return false;
        }
    }
    if (want != have) {
        (void)fprintf(stderr, "want %zu samples, found %zu\n", want, have);
    }
    return want == have;
}

#endif
