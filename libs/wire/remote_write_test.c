#include "wire/remote_write.h"

#include "codec/snappy_block.h"
#include "wire/write_request.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Bytes of a message written as text: two hex digits a byte, blanks ignored. */
static struct mrd_buf bytes_of(const char *hex)
{
    struct mrd_buf out = {0};
    while (*hex != 0) {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        const char digits[3] = {hex[0], hex[1], 0};
        mrd_buf_append_u8(&out, (uint8_t)strtoul(digits, NULL, 16));
        hex += 2;
    }
    return out;
}

static void put_field(struct mrd_buf *out, uint8_t tag, struct mrd_bytes bytes)
{
    mrd_buf_append_u8(out, tag);
    mrd_buf_append_varint(out, bytes.size);
    mrd_buf_append_bytes(out, bytes);
}

static void put_label(struct mrd_buf *entry, const char *name, const char *value)
{
    struct mrd_buf label = {0};
    put_field(&label, 0x0a, mrd_bytes_of(name));
    put_field(&label, 0x12, mrd_bytes_of(value));
    put_field(entry, 0x0a, mrd_buf_view(&label));
    mrd_buf_fini(&label);
}

static void put_sample(struct mrd_buf *entry, mrd_time_ms time_ms, double value)
{
    struct mrd_buf sample = {0};
    mrd_buf_append_u8(&sample, 0x09);
    mrd_buf_append_u64(&sample, mrd_double_bits(value));
    mrd_buf_append_u8(&sample, 0x10);
    mrd_buf_append_varint(&sample, (uint64_t)time_ms);
    put_field(entry, 0x12, mrd_buf_view(&sample));
    mrd_buf_fini(&sample);
}

static void put_entry(struct mrd_buf *request, struct mrd_buf *entry)
{
    put_field(request, 0x0a, mrd_buf_view(entry));
    mrd_buf_fini(entry);
}

/* The series' samples, all read. */
static size_t samples_of(const struct mrd_rw_series *series, struct mrd_sample *out, size_t max)
{
    struct mrd_bytes rest = series->samples;
    size_t count = 0;
    struct mrd_sample sample;
    while (mrd_rw_samples_next(&rest, &sample)) {
        assert_true(count < max);
        out[count++] = sample;
    }
    return count;
}

static void series_come_with_labels_and_samples(void **state)
{
    (void)state;
    struct mrd_buf request = {0};
    struct mrd_buf first = {0};
    put_label(&first, "__name__", "up");
    put_label(&first, "job", "node");
    put_sample(&first, 1700000000123, 1.5);
    put_entry(&request, &first);
    struct mrd_buf second = {0};
    put_label(&second, "__name__", "down");
    put_sample(&second, -5, -0.0);
    put_sample(&second, 0, mrd_stale_nan());
    put_sample(&second, INT64_MAX, 3);
    put_entry(&request, &second);

    struct mrd_rw_walk walk;
    mrd_rw_walk_init(&walk, mrd_buf_view(&request), NULL);
    struct mrd_rw_series series[4];
    size_t count;
    assert_int_equal(mrd_rw_walk_next(&walk, series, 4, &count, NULL), MRD_OK);
    assert_int_equal(count, 2);
    assert_int_equal(series[0].sample_count, 1);
    assert_int_equal(series[0].first.time_ms, 1700000000123);
    assert_true(series[0].first.value == 1.5);

    struct mrd_label labels[MRD_RW_LABELS_MAX];
    size_t label_count;
    assert_int_equal(mrd_rw_labels_read(series[0].labels, labels, &label_count, NULL), MRD_OK);
    assert_int_equal(label_count, 2);
    assert_true(mrd_bytes_equal(labels[1].name, MRD_BYTES("job")));
    assert_true(mrd_bytes_equal(labels[1].value, MRD_BYTES("node")));

    struct mrd_sample samples[4];
    assert_int_equal(series[1].sample_count, 3);
    assert_int_equal(samples_of(&series[1], samples, 4), 3);
    assert_int_equal(samples[0].time_ms, -5);
    assert_int_equal(mrd_double_bits(samples[0].value), mrd_double_bits(-0.0));
    assert_true(mrd_is_stale(samples[1].value));
    assert_int_equal(samples[1].time_ms, 0);
    assert_int_equal(samples[2].time_ms, INT64_MAX);

    assert_int_equal(mrd_rw_walk_next(&walk, series, 4, &count, NULL), MRD_OK);
    assert_int_equal(count, 0);
    assert_int_equal(walk.totals.series, 2);
    assert_int_equal(walk.totals.samples, 4);
    mrd_buf_fini(&request);
}

/* Whatever six-byte, shorter or longer varint a time has. */
static void every_time_reads_back(void **state)
{
    (void)state;
    for (int bit = 0; bit < 63; bit++) {
        for (int delta = -1; delta <= 1; delta++) {
            const mrd_time_ms time = (mrd_time_ms)(1ULL << bit) + delta;
            struct mrd_buf request = {0};
            struct mrd_buf entry = {0};
            put_sample(&entry, time, 7);
            put_sample(&entry, -time, 8);
            put_entry(&request, &entry);
            struct mrd_rw_walk walk;
            mrd_rw_walk_init(&walk, mrd_buf_view(&request), NULL);
            struct mrd_rw_series series;
            size_t count;
            assert_int_equal(mrd_rw_walk_next(&walk, &series, 1, &count, NULL), MRD_OK);
            struct mrd_sample samples[2];
            assert_int_equal(samples_of(&series, samples, 2), 2);
            assert_int_equal(samples[0].time_ms, time);
            assert_int_equal(samples[1].time_ms, -time);
            mrd_buf_fini(&request);
        }
    }
}

static void scattered_labels_are_brought_together(void **state)
{
    (void)state;
    struct mrd_buf request = {0};
    struct mrd_buf entry = {0};
    put_label(&entry, "a", "1");
    put_sample(&entry, 5, 6);
    put_label(&entry, "b", "2");
    put_entry(&request, &entry);
    struct mrd_buf plain = {0};
    put_label(&plain, "a", "1");
    put_label(&plain, "b", "2");

    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 16);
    struct mrd_rw_walk walk;
    mrd_rw_walk_init(&walk, mrd_buf_view(&request), arena);
    struct mrd_rw_series series;
    size_t count;
    assert_int_equal(mrd_rw_walk_next(&walk, &series, 1, &count, NULL), MRD_OK);
    assert_true(mrd_bytes_equal(series.labels, mrd_buf_view(&plain)));
    assert_int_equal(series.sample_count, 1);

    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *tiny = mrd_arena_create("tiny", 1);
    mrd_rw_walk_init(&walk, mrd_buf_view(&request), tiny);
    assert_int_equal(mrd_rw_walk_next(&walk, &series, 1, &count, NULL), MRD_E_LIMIT);
    mrd_buf_fini(&request);
    mrd_buf_fini(&plain);
}

static void exemplars_histograms_and_metadata_are_counted(void **state)
{
    (void)state;
    /* metadata; a series with a label, two exemplars, one histogram, an unknown field 9 */
    struct mrd_buf request =
        bytes_of("1a 02 08 01  0a 11 0a 02 0a 00 1a 00 1a 01 ff 22 02 01 02 48 07 48 08");
    struct mrd_rw_walk walk;
    mrd_rw_walk_init(&walk, mrd_buf_view(&request), NULL);
    struct mrd_rw_series series;
    size_t count;
    assert_int_equal(mrd_rw_walk_next(&walk, &series, 1, &count, NULL), MRD_OK);
    assert_int_equal(count, 1);
    assert_int_equal(series.exemplar_count, 2);
    assert_int_equal(series.histogram_count, 1);
    assert_int_equal(series.sample_count, 0);
    assert_int_equal(walk.totals.metadata, 1);
    assert_int_equal(walk.totals.exemplars, 2);
    assert_int_equal(walk.totals.histograms, 1);
    mrd_buf_fini(&request);
}

static const struct {
    const char *hex;
    enum mrd_status want;
    size_t want_series;
} message_cases[] = {
    {"",                                    MRD_OK,        0},
    {"0a 00",                               MRD_OK,        1}, /* an empty entry */
    {"50 01 0a 00 52 01 ff",                MRD_OK,        1}, /* unknown fields */
    {"0a 02 12 00",                         MRD_OK,        1}, /* an empty sample */
    {"0a 06 12 04 10 01 10 02",             MRD_OK,        1}, /* the last of two times counts */
    {"0a 80 00",                            MRD_OK,        1}, /* a length of two bytes for 0 */
    {"0a",                                  MRD_E_INVALID, 0},
    {"0a 01",                               MRD_E_INVALID, 0}, /* beyond the end */
    {"0a ff ff ff ff ff ff ff ff ff 01",    MRD_E_INVALID, 0}, /* 2^64 - 1 bytes */
    {"0a ff ff ff ff ff ff ff ff ff 02",    MRD_E_INVALID, 0}, /* more than 64 bits */
    {"0a 80 80 80 80 80 80 80 80 80 80 00", MRD_E_INVALID, 0}, /* eleven bytes */
    {"08 01",                               MRD_E_INVALID, 0}, /* timeseries as a varint */
    {"18 01",                               MRD_E_INVALID, 0}, /* metadata as a varint */
    {"02 00",                               MRD_E_INVALID, 0}, /* field 0 */
    {"0b 0c",                               MRD_E_INVALID, 0}, /* a group */
    {"0e 01",                               MRD_E_INVALID, 0}, /* wire type 6 */
    {"0a 02 0a 01",                         MRD_E_INVALID, 0}, /* a label beyond its entry */
    {"0a 05 12 03 09 01 02",                MRD_E_INVALID, 0}, /* half a value */
    {"0a 04 12 02 08 01",                   MRD_E_INVALID, 0}, /* a value as a varint */
    {"0a 04 12 02 12 00",                   MRD_E_INVALID, 0}, /* a time as bytes */
    {"0a 02 10 01",                         MRD_E_INVALID, 0}, /* samples as a varint */
};

static void malformed_messages_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(message_cases); i++) {
        struct mrd_buf request = bytes_of(message_cases[i].hex);
        struct mrd_rw_walk walk;
        mrd_rw_walk_init(&walk, mrd_buf_view(&request), NULL);
        struct mrd_rw_totals totals = {0};
        struct mrd_error err;
        const enum mrd_status got = mrd_rw_walk_rest(&walk, &totals, &err);
        if (got != message_cases[i].want || totals.series != message_cases[i].want_series) {
            fail_msg("%s: status %d, %zu series", message_cases[i].hex, got, (size_t)totals.series);
        }
        if (got != MRD_OK) {
            assert_non_null(strstr(err.text, "at byte"));
        }
        mrd_buf_fini(&request);
    }
}

static const char *const label_cases[] = {
    "0a 01 0a",    /* half a name */
    "0a 02 08 01", /* a name as a varint */
    "0a 02 10 01", /* a value as a varint */
    "0a 02 02 00", /* field 0 */
    "0a 02 0a 05", /* a name beyond its label */
    "0a 01 ff",
};

static void malformed_labels_are_found_when_they_are_read(void **state)
{
    (void)state;
    struct mrd_label items[MRD_RW_LABELS_MAX];
    size_t count;
    for (size_t i = 0; i < MRD_ARRAY_LEN(label_cases); i++) {
        struct mrd_buf labels = bytes_of(label_cases[i]);
        if (mrd_rw_labels_read(mrd_buf_view(&labels), items, &count, NULL) != MRD_E_INVALID) {
            fail_msg("%s was read", label_cases[i]);
        }
        mrd_buf_fini(&labels);
    }
}

static void labels_beyond_the_bound_are_a_limit(void **state)
{
    (void)state;
    struct mrd_buf labels = {0};
    for (int i = 0; i <= MRD_RW_LABELS_MAX; i++) {
        put_label(&labels, "a", "b");
    }
    struct mrd_label items[MRD_RW_LABELS_MAX];
    size_t count;
    assert_int_equal(mrd_rw_labels_read(mrd_buf_view(&labels), items, &count, NULL), MRD_E_LIMIT);
    mrd_buf_fini(&labels);
}

/* ---- against protobuf-c ---- */

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 33;
}

static struct mrd_buf random_request(uint64_t *seed)
{
    struct mrd_buf request = {0};
    const size_t series_count = random_next(seed) % 20;
    for (size_t i = 0; i < series_count; i++) {
        struct mrd_buf entry = {0};
        char text[320];
        for (uint64_t j = random_next(seed) % 12; j > 0; j--) {
            memset(text, 'a' + (int)(j % 26), sizeof(text));
            text[random_next(seed) % sizeof(text)] = 0;
            text[sizeof(text) - 1] = 0;
            put_label(&entry, "name", text);
        }
        for (uint64_t j = random_next(seed) % 4; j > 0; j--) {
            put_sample(&entry, (mrd_time_ms)(random_next(seed) << (random_next(seed) % 33)),
                       (double)random_next(seed));
        }
        put_entry(&request, &entry);
    }
    return request;
}

static void assert_same_series(const struct mrd_rw_series *series,
                               const Mrd__Wire__TimeSeries *want)
{
    struct mrd_label labels[MRD_RW_LABELS_MAX];
    size_t label_count;
    assert_int_equal(mrd_rw_labels_read(series->labels, labels, &label_count, NULL), MRD_OK);
    assert_int_equal(label_count, want->n_labels);
    for (size_t i = 0; i < label_count; i++) {
        const struct mrd_bytes value = {want->labels[i]->value.data, want->labels[i]->value.len};
        assert_true(mrd_bytes_equal(labels[i].value, value));
    }
    struct mrd_sample samples[8];
    assert_int_equal(samples_of(series, samples, 8), want->n_samples);
    assert_int_equal(series->sample_count, want->n_samples);
    for (size_t i = 0; i < want->n_samples; i++) {
        assert_int_equal(samples[i].time_ms, want->samples[i]->timestamp);
        assert_int_equal(mrd_double_bits(samples[i].value),
                         mrd_double_bits(want->samples[i]->value));
    }
}

static void the_walk_reads_what_protobuf_reads(void **state)
{
    (void)state;
    uint64_t seed = 42;
    for (int round = 0; round < 300; round++) {
        struct mrd_buf request = random_request(&seed);
        Mrd__Wire__WriteRequest *want =
            mrd__wire__write_request__unpack(NULL, request.size, request.data);
        assert_non_null(want);
        struct mrd_rw_walk walk;
        mrd_rw_walk_init(&walk, mrd_buf_view(&request), NULL);
        size_t seen = 0;
        struct mrd_rw_series series[7];
        size_t count;
        do {
            assert_int_equal(mrd_rw_walk_next(&walk, series, 7, &count, NULL), MRD_OK);
            for (size_t i = 0; i < count; i++) {
                assert_true(seen < want->n_timeseries);
                assert_same_series(&series[i], want->timeseries[seen++]);
            }
        } while (count > 0);
        assert_int_equal(seen, want->n_timeseries);
        mrd__wire__write_request__free_unpacked(want, NULL);
        mrd_buf_fini(&request);
    }
}

/* A cut anywhere is either refused or ends between two entries. */
static void truncated_messages_never_read_past_the_end(void **state)
{
    (void)state;
    uint64_t seed = 7;
    struct mrd_buf request = random_request(&seed);
    for (size_t size = 0; size < request.size; size++) {
        uint8_t *exact = malloc(size + 1); /* so that a sanitizer sees a read too far */
        memcpy(exact, request.data, size);
        struct mrd_rw_walk walk;
        mrd_rw_walk_init(&walk, (struct mrd_bytes){exact, size}, NULL);
        struct mrd_rw_totals totals;
        const enum mrd_status got = mrd_rw_walk_rest(&walk, &totals, NULL);
        assert_true(got == MRD_OK || got == MRD_E_INVALID);
        free(exact);
    }
    mrd_buf_fini(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_come_with_labels_and_samples),
        cmocka_unit_test(every_time_reads_back),
        cmocka_unit_test(scattered_labels_are_brought_together),
        cmocka_unit_test(exemplars_histograms_and_metadata_are_counted),
        cmocka_unit_test(malformed_messages_are_refused),
        cmocka_unit_test(malformed_labels_are_found_when_they_are_read),
        cmocka_unit_test(labels_beyond_the_bound_are_a_limit),
        cmocka_unit_test(the_walk_reads_what_protobuf_reads),
        cmocka_unit_test(truncated_messages_never_read_past_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
