#include "loader/fleet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct load_fleet iot = {.seed = 1, .start_ms = 1700000000000, .interval_ms = 15000};

enum { DEVICES = 500, SCRAPES = 300, COUNT_SLOT = 9, SUM_SLOT = 10, FIRST_GAUGE = 17 };

static void the_same_seed_gives_the_same_world_and_another_seed_another(void **state)
{
    (void)state;
    struct load_fleet other = iot;
    other.seed = 2;
    double first[LOAD_DEVICE_SERIES];
    double again[LOAD_DEVICE_SERIES];
    double foreign[LOAD_DEVICE_SERIES];
    load_fleet_values(&iot, 7, 0, 100, first);
    load_fleet_values(&iot, 8, 0, 100, again);
    load_fleet_values(&iot, 7, 0, 100, again);
    load_fleet_values(&other, 7, 0, 100, foreign);
    assert_memory_equal(first, again, sizeof(first));
    assert_memory_not_equal(first, foreign, sizeof(first));
}

/* Guards figures of past runs: whoever changes the world must know that they do. */
static void the_world_of_seed_1_is_fixed(void **state)
{
    (void)state;
    uint64_t hash = 0;
    for (uint64_t device = 0; device < 50; device++) {
        for (uint64_t scrape = 0; scrape < 50; scrape++) {
            double values[LOAD_DEVICE_SERIES];
            load_fleet_values(&iot, device, 0, scrape, values);
            const mrd_time_ms time_ms = load_fleet_time_ms(&iot, device, scrape);
            hash = mrd_hash64((struct mrd_bytes){(const uint8_t *)values, sizeof(values)}, hash);
            hash = mrd_hash64((struct mrd_bytes){(const uint8_t *)&time_ms, sizeof(time_ms)}, hash);
        }
    }
    if (hash != 0xcf81e5ae1ff13413ULL) {
        fail_msg("the world of seed 1 has the hash %llx", (unsigned long long)hash);
    }
}

static void labels_are_valid_sorted_and_seven_to_nine(void **state)
{
    (void)state;
    const struct mrd_label_limits limits = {.count_max = 9};
    for (int shape = LOAD_SHAPE_IOT; shape <= LOAD_SHAPE_K8S; shape++) {
        struct load_fleet fleet = iot;
        fleet.shape = (enum load_shape)shape;
        for (unsigned slot = 0; slot < LOAD_DEVICE_SERIES; slot++) {
            struct load_label_texts texts;
            struct mrd_label labels[LOAD_LABELS_MAX];
            struct mrd_label checked[LOAD_LABELS_MAX];
            size_t count = load_fleet_labels(&fleet, 3, 0, slot, &texts, labels);
            const size_t made = count;
            assert_in_range(count, 7, 9);
            memcpy(checked, labels, sizeof(labels));
            assert_int_equal(mrd_labels_validate(checked, &count, &limits, NULL), MRD_OK);
            assert_int_equal(count, made);
            assert_memory_equal(checked, labels, count * sizeof(*labels));
        }
    }
}

static int compare_ids(const void *a, const void *b) { return memcmp(a, b, sizeof(mrd_series_id)); }

static void every_series_has_labels_of_its_own(void **state)
{
    (void)state;
    mrd_series_id *ids = calloc(2 * DEVICES * LOAD_DEVICE_SERIES, sizeof(*ids));
    assert_non_null(ids);
    size_t count = 0;
    for (uint32_t generation = 0; generation < 2; generation++) {
        for (uint64_t i = 0; i < DEVICES * LOAD_DEVICE_SERIES; i++) {
            struct load_label_texts texts;
            struct mrd_label labels[LOAD_LABELS_MAX];
            struct mrd_buf canonical = {0};
            const size_t labels_count =
                load_fleet_labels(&iot, i / LOAD_DEVICE_SERIES, generation,
                                  (unsigned)(i % LOAD_DEVICE_SERIES), &texts, labels);
            mrd_labels_encode((struct mrd_labels){labels, labels_count}, &canonical);
            ids[count++] = mrd_series_id_of(0, mrd_buf_view(&canonical));
            mrd_buf_fini(&canonical);
        }
    }
    qsort(ids, count, sizeof(*ids), compare_ids);
    for (size_t i = 1; i < count; i++) {
        assert_false(mrd_id128_equal(ids[i - 1], ids[i]));
    }
    free(ids);
}

static void counters_never_fall_and_buckets_are_cumulative(void **state)
{
    (void)state;
    for (uint64_t device = 0; device < DEVICES; device++) {
        double before[LOAD_DEVICE_SERIES] = {0};
        for (uint64_t scrape = 0; scrape < SCRAPES; scrape++) {
            double now[LOAD_DEVICE_SERIES];
            load_fleet_values(&iot, device, 0, scrape, now);
            for (unsigned i = 0; i < FIRST_GAUGE; i++) {
                assert_true(now[i] >= before[i]);
                assert_true(i == 0 || i >= COUNT_SLOT || now[i] >= now[i - 1]);
            }
            assert_true(now[COUNT_SLOT] == now[COUNT_SLOT - 1]);
            memcpy(before, now, sizeof(now));
        }
    }
}

static void timestamps_ascend_and_stay_near_their_interval(void **state)
{
    (void)state;
    for (mrd_time_ms interval_ms = 1; interval_ms <= 300000; interval_ms *= 7) {
        struct load_fleet fleet = iot;
        fleet.interval_ms = interval_ms;
        for (uint64_t device = 0; device < 50; device++) {
            mrd_time_ms before = INT64_MIN;
            for (uint64_t scrape = 0; scrape < SCRAPES; scrape++) {
                const mrd_time_ms at = load_fleet_time_ms(&fleet, device, scrape);
                const mrd_time_ms begin = fleet.start_ms + (mrd_time_ms)scrape * interval_ms;
                assert_true(at > before);
                assert_true(at >= begin && at < begin + interval_ms);
                before = at;
            }
        }
    }
}

static void three_of_32_series_use_the_full_mantissa(void **state)
{
    (void)state;
    unsigned full = 0;
    for (unsigned slot = 0; slot < LOAD_DEVICE_SERIES; slot++) {
        unsigned with_low_bits = 0;
        for (uint64_t scrape = 0; scrape < SCRAPES; scrape++) {
            double values[LOAD_DEVICE_SERIES];
            load_fleet_values(&iot, 5, 0, scrape, values);
            const double scaled = values[slot] * 1000;
            with_low_bits +=
                scaled - (double)(int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5)) > 1e-9 ||
                (double)(int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5)) - scaled > 1e-9;
        }
        full += with_low_bits > SCRAPES * 9 / 10;
    }
    assert_int_equal(full, 3);
}

static void churn_replaces_the_asked_for_share_of_devices(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    struct load_fleet fleet = iot;
    fleet.churn_per_hour = 0.05;
    unsigned replaced = 0;
    for (uint64_t device = 0; device < MANY; device++) {
        assert_int_equal(load_fleet_generation(&fleet, device, 0), 0);
        assert_int_equal(load_fleet_generation(&iot, device, 100000), 0);
        replaced += load_fleet_generation(&fleet, device, 2 * 240); /* two hours of 15 s */
    }
    assert_in_range(replaced, MANY / 10 * 95 / 100, MANY / 10 * 105 / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_world_and_another_seed_another),
        cmocka_unit_test(the_world_of_seed_1_is_fixed),
        cmocka_unit_test(labels_are_valid_sorted_and_seven_to_nine),
        cmocka_unit_test(every_series_has_labels_of_its_own),
        cmocka_unit_test(counters_never_fall_and_buckets_are_cumulative),
        cmocka_unit_test(timestamps_ascend_and_stay_near_their_interval),
        cmocka_unit_test(three_of_32_series_use_the_full_mantissa),
        cmocka_unit_test(churn_replaces_the_asked_for_share_of_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
