/* Any bytes as a remote-write message, and as a snappy body around one. What the walk accepts is read
 * as protobuf-c reads it. The walk does not look into labels; where mrd_rw_labels_read accepts them it
 * reads the same too, and it may refuse what protobuf-c lets through (field number 0, groups, a known
 * field of another wire type). */
#include <stdlib.h>

#include "codec/snappy_block.h"
#include "wire/remote_write.h"
#include "wire/write_request.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_bytes(struct mrd_bytes got, ProtobufCBinaryData want)
{
    return mrd_bytes_equal(got, (struct mrd_bytes){want.data, want.len});
}

static void check_labels(const struct mrd_rw_series *series, const Mrd__Wire__TimeSeries *want)
{
    struct mrd_label labels[MRD_RW_LABELS_MAX];
    size_t count;
    const enum mrd_status status = mrd_rw_labels_read(series->labels, labels, &count, NULL);
    if (status == MRD_E_LIMIT) {
        mrd_assert(want->n_labels > MRD_RW_LABELS_MAX);
        return;
    }
    if (status == MRD_E_INVALID) {
        return;
    }
    mrd_assert(status == MRD_OK);
    mrd_assert(count == want->n_labels);
    for (size_t i = 0; i < count; i++) {
        mrd_assert(same_bytes(labels[i].name, want->labels[i]->name));
        mrd_assert(same_bytes(labels[i].value, want->labels[i]->value));
    }
    const struct mrd_label_limits limits = {60, 100, 100};
    struct mrd_error err;
    (void)!mrd_labels_validate(labels, &count, &limits, &err);
}

static void check_series(const struct mrd_rw_series *series, const Mrd__Wire__TimeSeries *want)
{
    check_labels(series, want);
    mrd_assert(series->sample_count == want->n_samples);
    mrd_assert(series->exemplar_count == want->n_exemplars);
    mrd_assert(series->histogram_count == want->n_histograms);
    struct mrd_bytes rest = series->samples;
    struct mrd_sample sample;
    size_t count = 0;
    while (mrd_rw_samples_next(&rest, &sample)) {
        mrd_assert(count < want->n_samples);
        if (count == 0) {
            mrd_assert(sample.time_ms == series->first.time_ms);
        }
        mrd_assert(sample.time_ms == want->samples[count]->timestamp);
        mrd_assert(mrd_double_bits(sample.value) == mrd_double_bits(want->samples[count]->value));
        count++;
    }
    mrd_assert(count == want->n_samples);
}

/* protobuf-c has its own bound on memory: an arena large enough for any input of this size. */
static void compare(struct mrd_bytes message, struct mrd_rw_totals totals)
{
    Mrd__Wire__WriteRequest *want =
        mrd__wire__write_request__unpack(NULL, message.size, message.data);
    if (want == NULL) {
        return; /* it refuses long varints that hold 64 bits, and we do not */
    }
    mrd_assert(totals.series == want->n_timeseries);
    mrd_assert(totals.metadata == want->n_metadata);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("fuzz", message.size * 16 + 65536);
    struct mrd_rw_walk walk;
    mrd_rw_walk_init(&walk, message, arena);
    struct mrd_rw_series series[5];
    size_t seen = 0;
    size_t count;
    do {
        mrd_assert(mrd_rw_walk_next(&walk, series, MRD_ARRAY_LEN(series), &count, NULL) == MRD_OK);
        for (size_t i = 0; i < count; i++) {
            check_series(&series[i], want->timeseries[seen++]);
        }
    } while (count > 0);
    mrd_assert(seen == want->n_timeseries);
    mrd__wire__write_request__free_unpacked(want, NULL);
}

static void walk(struct mrd_bytes message)
{
    struct mrd_rw_walk walk_state;
    struct mrd_rw_totals totals;
    struct mrd_error err;
    mrd_rw_walk_init(&walk_state, message, NULL);
    if (mrd_rw_walk_rest(&walk_state, &totals, &err) == MRD_OK) {
        compare(message, totals);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 16) {
        return 0;
    }
    const struct mrd_bytes bytes = {data, size};
    walk(bytes);
    struct mrd_buf decoded = {0};
    if (mrd_snappy_decode(bytes, 1 << 16, &decoded, NULL) == MRD_OK) {
        walk(mrd_buf_view(&decoded));
    }
    mrd_buf_fini(&decoded);
    return 0;
}
