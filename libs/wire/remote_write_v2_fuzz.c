/* Any bytes as a remote-write 2.0 message. What the walk accepts is read as protobuf-c reads it; series with valid labels
 * get a key; exemplars and metadata are read without going astray. */
#include <stdlib.h>

#include "wire/remote_write_items.h"
#include "wire/remote_write_v2.h"
#include "wire/write_request_v2.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_labels(const struct mrd_rw2_walk *walk, const struct mrd_rw_series *series,
                         const Mrd__Wire__V2__TimeSeries *want)
{
    struct mrd_label labels[MRD_RW_LABELS_MAX];
    size_t count;
    struct mrd_id128 key;
    const bool keyed = mrd_rw2_key(walk, series->labels, &key);
    const enum mrd_status status = mrd_rw2_labels_read(walk, series->labels, labels, &count, NULL);
    mrd_assert(status != MRD_OK || keyed);
    if (status == MRD_OK) {
        mrd_assert(count * 2 == want->n_labels_refs);
        for (size_t i = 0; i < count; i++) {
            const struct mrd_bytes *name = &walk->symbols[want->labels_refs[2 * i]];
            mrd_assert(mrd_bytes_equal(labels[i].name, *name));
        }
    }
}

static void check_samples(const struct mrd_rw_series *series, const Mrd__Wire__V2__TimeSeries *want)
{
    struct mrd_bytes rest = series->samples;
    struct mrd_sample sample;
    mrd_time_ms start_ms;
    size_t count = 0;
    while (mrd_rw2_samples_next(&rest, &sample, &start_ms)) {
        mrd_assert(count < want->n_samples);
        const Mrd__Wire__V2__Sample *of = want->samples[count];
        mrd_assert(sample.time_ms == of->timestamp && start_ms == of->start_timestamp);
        mrd_assert(mrd_double_bits(sample.value) == mrd_double_bits(of->value));
        mrd_assert(start_ms == 0 || series->has_start);
        count++;
    }
    mrd_assert(count == want->n_samples && count == series->sample_count);
}

static void look_into(const struct mrd_rw2_walk *walk, const struct mrd_rw_series *series)
{
    struct mrd_bytes rest = mrd_rw_series_others(series);
    struct mrd_bytes message;
    size_t count = 0;
    while (mrd_rw_exemplar_next(MRD_RW_2, &rest, &message)) {
        struct mrd_label items[MRD_RW_EXEMPLAR_LABELS_MAX];
        size_t label_count;
        struct mrd_exemplar exemplar;
        struct mrd_error err;
        if (mrd_rw2_exemplar_read(walk, message, items, &label_count, &exemplar, &err) == MRD_OK) {
            (void)!mrd_exemplar_labels_check(items, &label_count, &err);
        }
        count++;
    }
    mrd_assert(count == series->exemplar_count);
    struct mrd_id128 key;
    struct mrd_rw2_metadata metadata;
    if (series->has_metadata && mrd_rw2_key(walk, series->labels, &key) &&
        mrd_rw2_metadata_read(walk, series, &metadata, NULL) == MRD_OK) {
        mrd_assert(metadata.name_symbol < walk->symbol_count);
        mrd_assert(metadata.help_symbol < walk->symbol_count);
    }
}

static void check_series(const struct mrd_rw2_walk *walk, const struct mrd_rw_series *series,
                         const Mrd__Wire__V2__TimeSeries *want)
{
    check_labels(walk, series, want);
    check_samples(series, want);
    mrd_assert(series->exemplar_count == want->n_exemplars);
    mrd_assert(series->histogram_count == want->n_histograms);
    mrd_assert(series->has_metadata == (want->n_metadata > 0));
    look_into(walk, series);
}

static void compare(struct mrd_rw2_walk *walk, struct mrd_bytes message)
{
    Mrd__Wire__V2__Request *want = mrd__wire__v2__request__unpack(NULL, message.size, message.data);
    if (want == NULL) {
        return; /* it refuses long varints that hold 64 bits, and we do not */
    }
    mrd_assert(walk->symbol_count == want->n_symbols);
    struct mrd_rw_series series[5];
    size_t seen = 0;
    size_t count;
    do {
        mrd_assert(mrd_rw2_walk_next(walk, series, MRD_ARRAY_LEN(series), &count, NULL) == MRD_OK);
        for (size_t i = 0; i < count; i++) {
            check_series(walk, &series[i], want->timeseries[seen++]);
        }
    } while (count > 0);
    mrd_assert(seen == want->n_timeseries);
    mrd__wire__v2__request__free_unpacked(want, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 16) {
        return 0;
    }
    const struct mrd_bytes message = {data, size};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("fuzz", size * 48 + 65536);
    struct mrd_rw2_walk walk;
    struct mrd_rw_totals totals;
    struct mrd_error err;
    if (mrd_rw2_walk_init(&walk, message, arena, 7, &err) == MRD_OK &&
        mrd_rw2_walk_rest(&walk, &totals, &err) == MRD_OK) {
        compare(&walk, message);
    }
    return 0;
}
