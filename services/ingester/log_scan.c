#include "ingester/log_scan.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/threads.h"
#include "bus/log_reader.h"
#include "wire/references.h"

enum { LOOK_MS = 50 };

struct scan {
    const struct ing_log_scan_options *options;
    struct ing_scanned *scanned; /* sorted by series, then time */
    size_t count;

    /* of the reader's thread */
    struct mrd_references *references; /* what they name is the series' first place in `scanned` */
    struct mrd_batch_reader *reader;
    uint64_t epoch;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool done;
    bool rewound;
};

static int compare_ids(mrd_series_id a, mrd_series_id b) { return memcmp(&a, &b, sizeof(a)); }

static int compare(const void *a, const void *b)
{
    const struct mrd_head_contested *x = &((const struct ing_scanned *)a)->sample;
    const struct mrd_head_contested *y = &((const struct ing_scanned *)b)->sample;
    const int ids = compare_ids(x->id, y->id);
    return ids != 0 ? ids : (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
}

/* The first place that is not before (id, time_ms). */
static size_t place_of(const struct scan *scan, mrd_series_id id, mrd_time_ms time_ms)
{
    const struct ing_scanned key = {
        .sample = {.id = id, .time_ms = time_ms}
    };
    size_t from = 0;
    size_t to = scan->count;
    while (from < to) {
        const size_t middle = (from + to) / 2;
        if (compare(&scan->scanned[middle], &key) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

static bool is_series(const struct scan *scan, size_t place, mrd_series_id id)
{
    return place < scan->count && mrd_id128_equal(scan->scanned[place].sample.id, id);
}

/* ---- batches (the reader's thread) ---- */

static void learn(struct scan *scan, const struct mrd_batch *batch,
                  struct mrd_reference_table *table)
{
    for (size_t i = 0; i < batch->announcement_count; i++) {
        const struct mrd_batch_announcement *from = &batch->announcements[i];
        const size_t place = place_of(scan, from->id, INT64_MIN);
        if (is_series(scan, place, from->id)) {
            mrd_reference_table_set(scan->references, table, from->reference, (uint32_t)place);
        }
    }
}

static void note(struct ing_scanned *scanned, const struct mrd_head_verdict *write)
{
    const bool other = scanned->values > 0 &&
                       (mrd_double_bits(scanned->verdict.value) != mrd_double_bits(write->value) ||
                        scanned->verdict.start_ms != write->start_ms);
    if (scanned->values == 0 || mrd_head_is_later(write, &scanned->verdict)) {
        scanned->verdict = *write;
    }
    scanned->values = scanned->values == 0 ? 1 : other ? 2 : scanned->values;
}

static void look_at_row(struct scan *scan, const struct mrd_batch *batch, size_t first,
                        size_t count, uint32_t series)
{
    const mrd_series_id id = scan->scanned[series].sample.id;
    for (size_t i = first; i < first + count; i++) {
        const size_t place = place_of(scan, id, batch->times_ms[i]);
        if (is_series(scan, place, id) &&
            scan->scanned[place].sample.time_ms == batch->times_ms[i]) {
            note(&scan->scanned[place],
                 &(struct mrd_head_verdict){
                     batch->header.hlc, mrd_batch_origin(&batch->header), batch->values[i],
                     batch->start_times_ms == NULL ? 0 : batch->start_times_ms[i]});
        }
    }
}

static void ignore_hole(void *context, const struct mrd_number_hole *hole)
{
    (void)context;
    (void)hole; /* the partition itself has reported it */
}

/* A batch that can not be read was counted and reported when the head was filled. */
static void look_at(struct scan *scan, const struct mrd_log_entry *entry)
{
    struct mrd_batch batch;
    struct mrd_error ignored;
    if (mrd_batch_read(scan->reader, entry->payload, &batch, &ignored) != MRD_OK) {
        return;
    }
    const uint64_t epoch = mrd_batch_epoch_of(entry->stored_ms);
    if (epoch != scan->epoch) {
        scan->epoch = epoch;
        (void)mrd_references_expire(
            scan->references,
            epoch < MRD_REFERENCES_EPOCHS_KEPT ? 0 : epoch - MRD_REFERENCES_EPOCHS_KEPT,
            entry->stored_ms, ignore_hole, NULL);
    }
    struct mrd_reference_instance *instance =
        mrd_references_instance(scan->references, batch.header.instance);
    struct mrd_reference_table *table =
        mrd_reference_instance_table(scan->references, instance, batch.header.epoch);
    learn(scan, &batch, table);
    size_t at = 0;
    for (size_t row = 0; row < batch.row_count; row++) {
        const size_t count = batch.sample_counts == NULL ? 1 : batch.sample_counts[row];
        const uint32_t series = mrd_reference_table_get(table, batch.references[row]);
        if (series != MRD_HEAD_ORDINAL_NONE) {
            look_at_row(scan, &batch, at, count, series);
        }
        at += count;
    }
}

static void end(struct scan *scan, bool rewound)
{
    pthread_mutex_lock(&scan->lock);
    scan->done = true;
    scan->rewound |= rewound;
    pthread_cond_signal(&scan->changed);
    pthread_mutex_unlock(&scan->lock);
}

static void on_entry(void *context, struct mrd_log_entry *entry)
{
    struct scan *scan = context;
    const uint64_t sequence = entry->sequence;
    if (sequence <= scan->options->sequence_end) {
        look_at(scan, entry);
    }
    mrd_log_entry_fini(entry);
    if (sequence >= scan->options->sequence_end) {
        end(scan, false);
    }
}

static void on_event(void *context, enum mrd_log_event event, const char *text)
{
    (void)text;
    if (event == MRD_LOG_REWOUND || event == MRD_LOG_CAUGHT_UP) {
        end(context, event == MRD_LOG_REWOUND);
    }
}

/* ---- the caller ---- */

static enum mrd_status await(struct scan *scan, struct mrd_error *err)
{
    const struct ing_log_scan_options *options = scan->options;
    enum mrd_status status = MRD_OK;
    pthread_mutex_lock(&scan->lock);
    while (!scan->done && status == MRD_OK) {
        const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
        const int64_t until_ns = now_ns + LOOK_MS * INT64_C(1000000);
        const struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
        pthread_cond_timedwait(&scan->changed, &scan->lock, &until);
        if (atomic_load_explicit(options->stop, memory_order_relaxed)) {
            status = mrd_fail(err, MRD_E_CANCELED, "scan of partition %" PRIu32 ": stopped",
                              options->partition);
        } else if (now_ns > options->deadline_ns) {
            status = mrd_fail(err, MRD_E_TIMEOUT, "scan of partition %" PRIu32 " takes too long",
                              options->partition);
        }
    }
    if (status == MRD_OK && scan->rewound) {
        status = mrd_fail(err, MRD_E_UNAVAILABLE, "the log of partition %" PRIu32 " went backwards",
                          options->partition);
    }
    pthread_mutex_unlock(&scan->lock);
    return status;
}

static enum mrd_status run(struct scan *scan, struct mrd_error *err)
{
    const struct mrd_log_reader_options reader = {
        .partition = scan->options->partition,
        .time_start_ms = scan->options->time_start_ms,
        .on_entry = on_entry,
        .on_event = on_event,
        .context = scan,
    };
    struct mrd_log_reader *log = NULL;
    MRD_TRY(mrd_log_reader_create(scan->options->bus, &reader, &log, err));
    const enum mrd_status status = await(scan, err);
    mrd_log_reader_destroy(&log);
    return status;
}

enum mrd_status ing_log_scan(const struct ing_log_scan_options *options,
                             struct ing_scanned *scanned, size_t count, struct mrd_error *err)
{
    struct scan scan = {.options = options, .scanned = scanned, .count = count};
    qsort(scanned, count, sizeof(*scanned), compare);
    scan.references = mrd_references_create();
    scan.reader = mrd_batch_reader_create();
    pthread_mutex_init(&scan.lock, NULL);
    mrd_cond_init(&scan.changed);
    const enum mrd_status status = run(&scan, err);
    pthread_cond_destroy(&scan.changed);
    pthread_mutex_destroy(&scan.lock);
    mrd_batch_reader_destroy(&scan.reader);
    mrd_references_destroy(&scan.references);
    return status;
}
