#include "loader/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <snappy-c.h>

/* A plain reader of the message, field by field as its specification has them, to check the writer. */

struct field {
    uint64_t number;
    unsigned wire_type;
    uint64_t value;         /* types 0 and 1 */
    struct mrd_bytes bytes; /* type 2 */
};

static bool next_field(struct mrd_reader *in, struct field *field)
{
    if (mrd_reader_left(in) == 0) {
        return false;
    }
    const uint64_t tag = mrd_read_varint(in);
    *field = (struct field){.number = tag >> 3, .wire_type = (unsigned)(tag & 7)};
    switch (field->wire_type) {
    case 0:
        field->value = mrd_read_varint(in);
        break;
    case 1:
        field->value = mrd_read_u64(in);
        break;
    case 2:
        field->bytes = mrd_read_bytes(in, mrd_read_varint(in));
        break;
    default:
        fail_msg("wire type %u", field->wire_type);
    }
    assert_false(in->failed);
    return true;
}

struct read_series {
    struct mrd_label labels[LOAD_LABELS_MAX];
    size_t label_count;
    struct mrd_sample sample;
    unsigned sample_count;
    size_t labels_size;
};

static struct mrd_label read_label(struct mrd_bytes bytes)
{
    struct mrd_reader in = mrd_reader_of(bytes);
    struct mrd_label label = {0};
    struct field field;
    while (next_field(&in, &field)) {
        assert_true(field.number == 1 || field.number == 2);
        *(field.number == 1 ? &label.name : &label.value) = field.bytes;
    }
    return label;
}

static struct mrd_sample read_sample(struct mrd_bytes bytes)
{
    struct mrd_reader in = mrd_reader_of(bytes);
    struct mrd_sample sample = {0};
    struct field field;
    while (next_field(&in, &field)) {
        if (field.number == 1) {
            sample.value = mrd_double_from_bits(field.value);
        } else {
            assert_int_equal(field.number, 2);
            sample.time_ms = (mrd_time_ms)field.value;
        }
    }
    return sample;
}

static struct read_series read_timeseries(struct mrd_bytes bytes)
{
    struct mrd_reader in = mrd_reader_of(bytes);
    struct read_series series = {0};
    struct field field;
    for (const uint8_t *at = in.at; next_field(&in, &field); at = in.at) {
        if (field.number == 1) {
            assert_true(series.label_count < LOAD_LABELS_MAX);
            series.labels[series.label_count++] = read_label(field.bytes);
            series.labels_size += (size_t)(in.at - at);
        } else {
            assert_int_equal(field.number, 2);
            series.sample = read_sample(field.bytes);
            series.sample_count++;
        }
    }
    return series;
}

static void check_series(const struct load_fleet *fleet, const struct load_sample_place *place,
                         const struct read_series *series)
{
    const uint32_t generation = load_fleet_generation(fleet, place->device, place->scrape);
    struct load_label_texts texts;
    struct mrd_label labels[LOAD_LABELS_MAX];
    const size_t count =
        load_fleet_labels(fleet, place->device, generation, place->slot, &texts, labels);
    assert_true(mrd_labels_equal((struct mrd_labels){labels, count},
                                 (struct mrd_labels){series->labels, series->label_count}));
    double values[LOAD_DEVICE_SERIES];
    load_fleet_values(fleet, place->device, generation, place->scrape, values);
    assert_int_equal(series->sample_count, 1);
    assert_true(mrd_double_bits(series->sample.value) == mrd_double_bits(values[place->slot]));
    assert_int_equal(series->sample.time_ms,
                     load_fleet_time_ms(fleet, place->device, place->scrape));
}

static const struct load_plan plans[] = {
    {1, 3001, 5, 4, 2000, 2},
    {9, 10,   0, 3, 2000, 2},
    {3, 70,   0, 2, 25,   1},
};

static void a_body_holds_exactly_the_samples_of_its_request(void **state)
{
    (void)state;
    struct load_fleet fleet = {
        .seed = 3, .churn_per_hour = 40, .start_ms = 1700000000000, .interval_ms = 15000};
    for (size_t p = 0; p < MRD_ARRAY_LEN(plans); p++) {
        mrd_auto(load_label_store_destroy)
        struct load_label_store *store = load_label_store_create(&fleet, &plans[p]);
        mrd_auto(load_encoder_fini)
        struct load_encoder encoder = {.store = store};
        for (uint64_t n = 0; n < load_plan_requests(&plans[p], 0); n++) {
            const struct load_request request = load_plan_request(&plans[p], 0, n);
            struct mrd_reader in = mrd_reader_of(load_body_encode_raw(&encoder, &request));
            struct field field;
            uint32_t index = 0;
            while (next_field(&in, &field)) {
                assert_int_equal(field.number, 1);
                assert_true(index < request.sample_count);
                const struct load_sample_place place =
                    load_request_sample(&plans[p], &request, index++);
                const struct read_series series = read_timeseries(field.bytes);
                check_series(&fleet, &place, &series);
            }
            assert_int_equal(index, request.sample_count);
        }
    }
}

static void the_compressed_body_is_the_raw_one(void **state)
{
    (void)state;
    const struct load_fleet fleet = {.seed = 1, .start_ms = 1700000000000, .interval_ms = 15000};
    const struct load_plan plan = {1, 4000, 0, 1, 2000, 1};
    mrd_auto(load_label_store_destroy)
    struct load_label_store *store = load_label_store_create(&fleet, &plan);
    mrd_auto(load_encoder_fini)
    struct load_encoder encoder = {.store = store};
    const struct load_request request = load_plan_request(&plan, 0, 1);
    struct load_body body = load_body_encode(&encoder, &request);
    const struct mrd_bytes raw = load_body_encode_raw(&encoder, &request);
    size_t size = body.raw_size;
    char *back = malloc(size);
    assert_non_null(back);
    assert_int_equal(snappy_uncompress((const char *)body.data, body.size, back, &size), SNAPPY_OK);
    assert_int_equal(size, raw.size);
    assert_memory_equal(back, raw.data, size);
    free(back);
    load_body_fini(&body);
}

/* What the reports say of the mix: 169 bytes of labels a series (248 for k8s), 22 on the wire. */
static void sizes_are_those_of_the_reports(void **state)
{
    (void)state;
    static const size_t want_label_size[] = {169, 248};
    for (int shape = LOAD_SHAPE_IOT; shape <= LOAD_SHAPE_K8S; shape++) {
        const struct load_fleet fleet = {.seed = 1,
                                         .shape = (enum load_shape)shape,
                                         .start_ms = 1700000000000,
                                         .interval_ms = 15000};
        const struct load_plan plan = {1, 32000, 0, 1, 2000, 1};
        mrd_auto(load_label_store_destroy)
        struct load_label_store *store = load_label_store_create(&fleet, &plan);
        mrd_auto(load_encoder_fini)
        struct load_encoder encoder = {.store = store};
        size_t label_size = 0;
        size_t wire_size = 0;
        for (uint64_t n = 0; n < 16; n++) {
            const struct load_request request = load_plan_request(&plan, 0, n);
            struct load_body body = load_body_encode(&encoder, &request);
            wire_size += body.size;
            load_body_fini(&body);
            struct mrd_reader in = mrd_reader_of(load_body_encode_raw(&encoder, &request));
            for (struct field field; next_field(&in, &field);) {
                label_size += read_timeseries(field.bytes).labels_size;
            }
        }
        assert_in_range(label_size / 32000, want_label_size[shape] - 3, want_label_size[shape] + 3);
        assert_in_range(wire_size / 32000, 18, 30);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_holds_exactly_the_samples_of_its_request),
        cmocka_unit_test(the_compressed_body_is_the_raw_one),
        cmocka_unit_test(sizes_are_those_of_the_reports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
