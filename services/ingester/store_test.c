#include "ingester/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const mrd_time_ms T0 = 1700000000000;
static const mrd_time_ms HOUR = 3600 * 1000;

struct rig {
    struct ing_budget budget;
    struct ing_store *store;
    struct mrd_batch_builder *builder;
    struct mrd_buf message;
    uint64_t sequence;
    uint64_t number;
};

static void rig_init(struct rig *rig, mrd_time_ms age_ms_max, size_t budget)
{
    *rig = (struct rig){.budget = {.limit = budget}};
    const struct ing_store_options options = {.bucket_ms = 2 * HOUR, .budget = &rig->budget};
    assert_int_equal(ing_store_create(&options, &rig->store, NULL), MRD_OK);
    ing_store_age(rig->store, age_ms_max);
    rig->builder = mrd_batch_builder_create();
}

static void rig_fini(struct rig *rig)
{
    mrd_batch_builder_destroy(&rig->builder);
    mrd_buf_fini(&rig->message);
    ing_store_destroy(&rig->store);
    assert_int_equal(atomic_load(&rig->budget.used), 0);
}

/* Builds the next batch: one sample at `time_ms` of each of `count` series from `first` on. */
static void build(struct rig *rig, mrd_time_ms time_ms, uint32_t first, uint32_t count,
                  bool announce)
{
    mrd_batch_builder_reset(rig->builder);
    const struct mrd_bytes tenant = MRD_BYTES("t");
    const uint32_t index = mrd_batch_builder_tenant(rig->builder, tenant);
    struct mrd_buf labels = {0};
    for (uint32_t i = first; i < first + count; i++) {
        char value[32];
        snprintf(value, sizeof(value), "series-%u", i);
        const struct mrd_label label = {MRD_BYTES("__name__"), mrd_bytes_of(value)};
        mrd_buf_clear(&labels);
        mrd_labels_encode((struct mrd_labels){&label, 1}, &labels);
        const struct mrd_bytes canonical = mrd_buf_view(&labels);
        if (announce) {
            mrd_batch_builder_announce(
                rig->builder, &(struct mrd_batch_announcement){
                                  .reference = i,
                                  .tenant = index,
                                  .id = mrd_series_id_of(mrd_tenant_seed(tenant), canonical),
                                  .labels = canonical});
        }
        mrd_batch_builder_row(rig->builder, index, i, time_ms, 1.0);
    }
    const struct mrd_batch_header header = {.region = MRD_BYTES("r"),
                                            .residency_class = MRD_BYTES("c"),
                                            .instance = MRD_BYTES("w"),
                                            .epoch = mrd_batch_epoch_of(time_ms),
                                            .number = ++rig->number,
                                            .hlc = mrd_hlc_make(time_ms, 0)};
    mrd_batch_builder_finish(rig->builder, &header, MRD_BATCH_NONE, &rig->message);
    mrd_buf_fini(&labels);
}

static enum mrd_status apply(struct rig *rig, mrd_time_ms stored_ms)
{
    const struct ing_position position = {.sequence = ++rig->sequence, .stored_ms = stored_ms};
    return ing_store_apply(rig->store, mrd_buf_view(&rig->message), &position, NULL);
}

static uint64_t figure(const _Atomic uint64_t *value) { return atomic_load(value); }

static void on_hole(void *context, const struct mrd_number_hole *hole)
{
    (void)hole;
    *(size_t *)context += 1;
}

static void the_same_batch_again_changes_nothing(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 0, 0);
    build(&rig, T0, 0, 100, true);
    assert_int_equal(apply(&rig, T0), MRD_OK);
    assert_int_equal(apply(&rig, T0), MRD_OK);
    ing_store_publish(rig.store);
    const struct ing_store_figures *figures = ing_store_figures(rig.store);
    assert_int_equal(figure(&figures->samples), 100);
    assert_int_equal(figure(&figures->samples_stored), 100);
    assert_int_equal(figure(&figures->duplicate_samples), 100);
    assert_int_equal(figure(&figures->batches_duplicate), 1);
    rig_fini(&rig);
}

/* The next batch: two histograms of each of the first `count` series, which it does not announce. */
static void build_histograms(struct rig *rig, mrd_time_ms time_ms, uint32_t count)
{
    static const struct mrd_histogram_span span = {1, 3};
    static const union mrd_histogram_count buckets[] = {
        {.integer = 1}, {.integer = 2}, {.integer = 3}};
    const struct mrd_histogram histogram = {
        .schema = 3, .sum = 12.5, .count = {.integer = 6},
                .positive = { &span, buckets, 1, 3}
    };
    mrd_batch_builder_reset(rig->builder);
    const uint32_t index = mrd_batch_builder_tenant(rig->builder, MRD_BYTES("t"));
    for (uint32_t i = 0; i < count; i++) {
        mrd_batch_builder_histogram(rig->builder, index, i, time_ms, 0, &histogram);
        mrd_batch_builder_histogram(rig->builder, index, i, time_ms + 1, 0, &histogram);
    }
    const struct mrd_batch_header header = {.region = MRD_BYTES("r"),
                                            .residency_class = MRD_BYTES("c"),
                                            .instance = MRD_BYTES("w"),
                                            .epoch = mrd_batch_epoch_of(time_ms),
                                            .number = ++rig->number,
                                            .hlc = mrd_hlc_make(time_ms, 0)};
    mrd_batch_builder_finish(rig->builder, &header, MRD_BATCH_NONE, &rig->message);
}

static void histograms_are_applied_like_samples(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 6 * HOUR, 0);
    build(&rig, T0, 0, 10, true);
    assert_int_equal(apply(&rig, T0), MRD_OK);
    build_histograms(&rig, T0 + 1000, 12); /* two of the series were never announced */
    assert_int_equal(apply(&rig, T0), MRD_OK);
    assert_int_equal(apply(&rig, T0), MRD_OK); /* again */
    ing_store_publish(rig.store);
    const struct ing_store_figures *figures = ing_store_figures(rig.store);
    assert_int_equal(figure(&figures->histograms), 20);
    assert_int_equal(figure(&figures->samples), 30);
    assert_int_equal(figure(&figures->histograms_stored), 20);
    assert_int_equal(figure(&figures->samples_stored), 30);
    assert_int_equal(figure(&figures->duplicate_samples), 20);
    assert_int_equal(figure(&figures->rows_unresolved), 4);
    assert_true(figure(&figures->memory[MRD_HEAD_MEMORY_HISTOGRAMS]) > 0);
    size_t holes = 0;
    ing_store_tidy(rig.store, T0 + 20 * HOUR, 1000, on_hole, &holes);
    assert_int_equal(figure(&figures->histograms_stored), 0);
    rig_fini(&rig);
}

static void rows_before_the_first_readable_entry_are_no_loss(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 0, 0);
    rig.sequence = 1000; /* the log begins in the middle of a life */
    rig.number = 50;
    build(&rig, T0, 0, 10, false);
    assert_int_equal(apply(&rig, T0), MRD_OK);
    const struct ing_store_figures *figures = ing_store_figures(rig.store);
    assert_int_equal(figure(&figures->rows_before_window), 10);
    assert_int_equal(figure(&figures->rows_unresolved), 0);
    build(&rig, T0 + HOUR, 0, 10, false); /* by now each epoch's announcements were in reach */
    assert_int_equal(apply(&rig, T0 + HOUR), MRD_OK);
    assert_int_equal(figure(&figures->rows_unresolved), 10);
    size_t holes = 0;
    ing_store_tidy(rig.store, T0 + 2 * HOUR, 1000, on_hole, &holes);
    assert_int_equal(holes, 0); /* nor are the numbers before it missing */
    rig_fini(&rig);
}

/* What a reader may rely on: from there on, the head has it all. */
static void the_store_says_from_where_on_it_has_all(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 6 * HOUR, 0);
    const struct ing_store_figures *figures = ing_store_figures(rig.store);
    assert_int_equal(figure(&figures->sequence_first), 0);
    rig.sequence = 1000;
    build(&rig, T0, 0, 10, false); /* announced before the log's first entry */
    assert_int_equal(apply(&rig, T0), MRD_OK);
    assert_int_equal(figure(&figures->sequence_first), 1002);
    build(&rig, T0 + 1000, 0, 10, true);
    assert_int_equal(apply(&rig, T0 + 1000), MRD_OK);
    assert_int_equal(figure(&figures->sequence_first), 1002);
    build(&rig, T0 + HOUR, 0, 10, true);
    assert_int_equal(apply(&rig, T0 + HOUR), MRD_OK);
    assert_int_equal(figure(&figures->sequence_first), 1002);
    size_t holes = 0;
    ing_store_tidy(rig.store, T0 + 6 * HOUR - HOUR / 2, 1000, on_hole, &holes);
    assert_int_equal(figure(&figures->sequence_first), 1002);
    ing_store_tidy(rig.store, T0 + 6 * HOUR - HOUR / 10, 1000, on_hole, &holes); /* soon to go */
    assert_int_equal(figure(&figures->samples_stored), 20);
    assert_int_equal(figure(&figures->sequence_first), 1003);
    rig.sequence = 2000; /* and the log was trimmed under our eyes */
    build(&rig, T0 + HOUR, 0, 10, true);
    const struct ing_position position = {
        .sequence = 2001, .missing_before = 996, .stored_ms = T0 + HOUR};
    assert_int_equal(ing_store_apply(rig.store, mrd_buf_view(&rig.message), &position, NULL),
                     MRD_OK);
    assert_int_equal(figure(&figures->sequence_first), 2001);
    rig_fini(&rig);
}

static void apply_of(struct rig *rig, struct mrd_log_identity log, uint64_t sequence,
                     uint32_t first)
{
    build(rig, T0 + (mrd_time_ms)sequence, first, 10, true);
    const struct ing_position position = {.log = log, .sequence = sequence, .stored_ms = T0};
    assert_int_equal(ing_store_apply(rig->store, mrd_buf_view(&rig->message), &position, NULL),
                     MRD_OK);
}

/* Made anew, and adopted later. What the head has of each stays. */
static void what_is_held_is_told_of_the_log_that_was_read_last(void **state)
{
    (void)state;
    static const struct mrd_log_identity one = {1700000000000000000, 0};
    static const struct mrd_log_identity two = {1800000000000000000, 0};
    static const struct mrd_log_identity adopted = {1800000000000000000, 1000};
    const struct {
        struct mrd_log_identity log;
        uint64_t sequence;
        uint64_t first;
    } steps[] = {
        {one,     1,    1   },
        {one,     2,    1   },
        {two,     1,    1   },
        {two,     2,    1   },
        {two,     1,    0   }, /* the same log has gone backwards */
        {two,     2,    0   },
        {adopted, 1001, 1001},
        {adopted, 1002, 1001},
    };
    struct rig rig;
    rig_init(&rig, 6 * HOUR, 0);
    assert_false(mrd_log_identity_known(ing_store_held(ing_store_figures(rig.store)).log));
    for (size_t i = 0; i < MRD_ARRAY_LEN(steps); i++) {
        apply_of(&rig, steps[i].log, steps[i].sequence, (uint32_t)i * 10);
        const struct ing_held held = ing_store_held(ing_store_figures(rig.store));
        assert_true(mrd_log_identity_equal(held.log, steps[i].log));
        assert_int_equal(held.first, steps[i].first);
        assert_int_equal(held.held, steps[i].first);
    }
    ing_store_publish(rig.store);
    assert_int_equal(figure(&ing_store_figures(rig.store)->series), 10 * MRD_ARRAY_LEN(steps));
    rig_fini(&rig);
}

static void of_an_empty_log_the_head_begins_with_its_next_entry(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 6 * HOUR, 0);
    const struct ing_store_figures *figures = ing_store_figures(rig.store);
    ing_store_begin(rig.store, (struct mrd_log_identity){0}, 1001);
    assert_int_equal(figure(&figures->sequence_first), 1001);
    assert_int_equal(figure(&figures->sequence_held), 1001);
    rig.sequence = 1000;
    build(&rig, T0, 0, 10, true);
    assert_int_equal(apply(&rig, T0), MRD_OK);
    assert_int_equal(figure(&figures->sequence_first), 1001);
    rig_fini(&rig);
}

/* That something will be forgotten is said long before; meanwhile who was told of it before still gets an answer. */
static void what_was_said_is_true_for_some_minutes(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 6 * HOUR, 0);
    const struct ing_store_figures *figures = ing_store_figures(rig.store);
    const mrd_time_ms minute = HOUR / 60;
    size_t holes = 0;
    rig.sequence = 1000;
    build(&rig, T0, 0, 10, true);
    assert_int_equal(apply(&rig, T0), MRD_OK);
    build(&rig, T0 + HOUR, 0, 10, true);
    assert_int_equal(apply(&rig, T0 + HOUR), MRD_OK);
    static const struct {
        mrd_time_ms before_gone;
        uint64_t first, held;
    } cases[] = {
        {20, 1001, 1001},
        {15, 1002, 1001},
        {11, 1002, 1001},
        {10, 1002, 1002},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        ing_store_tidy(rig.store, T0 + 6 * HOUR - cases[i].before_gone * minute, 1000, on_hole,
                       &holes);
        assert_int_equal(figure(&figures->samples_stored), 20);
        assert_int_equal(figure(&figures->sequence_first), cases[i].first);
        assert_int_equal(figure(&figures->sequence_held), cases[i].held);
    }
    rig.sequence = 2000; /* what is lost is not there any more */
    build(&rig, T0 + HOUR, 0, 10, true);
    const struct ing_position position = {
        .sequence = 2001, .missing_before = 996, .stored_ms = T0 + HOUR};
    assert_int_equal(ing_store_apply(rig.store, mrd_buf_view(&rig.message), &position, NULL),
                     MRD_OK);
    assert_int_equal(figure(&figures->sequence_held), 2001);
    rig_fini(&rig);
}

static void a_missing_number_is_reported_as_a_hole(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 0, 0);
    build(&rig, T0, 0, 1, true);
    assert_int_equal(apply(&rig, T0), MRD_OK);
    rig.number += 3;
    build(&rig, T0 + 1, 0, 1, true);
    assert_int_equal(apply(&rig, T0 + 1), MRD_OK);
    build(&rig, T0 + 2 * MRD_REFERENCES_HOLE_MS, 0, 1, true);
    assert_int_equal(apply(&rig, T0 + 2 * MRD_REFERENCES_HOLE_MS), MRD_OK);
    size_t holes = 0;
    ing_store_tidy(rig.store, 0, 1000, on_hole, &holes);
    assert_int_equal(holes, 1);
    assert_int_equal(figure(&ing_store_figures(rig.store)->batches_missing), 3);
    rig_fini(&rig);
}

static void what_the_log_has_forgotten_is_forgotten(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 6 * HOUR, 0);
    size_t holes = 0;
    for (mrd_time_ms time_ms = T0; time_ms <= T0 + 24 * HOUR; time_ms += HOUR / 2) {
        build(&rig, time_ms, 0, 50, true);
        assert_int_equal(apply(&rig, time_ms), MRD_OK);
        ing_store_tidy(rig.store, 0, 1000, on_hole, &holes);
    }
    const struct ing_store_figures *figures = ing_store_figures(rig.store);
    assert_int_equal(figure(&figures->rows_unresolved), 0);
    assert_true(figure(&figures->samples_dropped) >= 50 * 2 * 14);
    /* All of the last six hours is there, and little more than a bucket beyond. */
    assert_true(figure(&figures->samples_stored) >= 50 * 12);
    assert_true(figure(&figures->samples_stored) <= 50 * 2 * 11);
    assert_int_equal(holes, 0);
    rig_fini(&rig);
}

static uint64_t known_of(struct rig *rig, uint32_t series, uint8_t *out_bits)
{
    char value[32];
    snprintf(value, sizeof(value), "series-%u", series);
    const struct mrd_label label = {MRD_BYTES("__name__"), mrd_bytes_of(value)};
    struct mrd_buf labels = {0};
    mrd_labels_encode((struct mrd_labels){&label, 1}, &labels);
    const mrd_series_id id =
        mrd_series_id_of(mrd_tenant_seed(MRD_BYTES("t")), mrd_buf_view(&labels));
    mrd_buf_fini(&labels);
    uint64_t total = 0;
    assert_int_equal(mrd_head_known(ing_store_head(rig->store), MRD_BYTES("t"), &id, 1, NULL,
                                    out_bits, &total, NULL),
                     MRD_OK);
    return total;
}

/* What limits.active_series_max counts. */
static void series_that_are_not_written_any_more_are_not_active_some_hours_later(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 3 * HOUR, 0);
    size_t holes = 0;
    uint8_t bits;
    build(&rig, T0, 0, 50, true);
    assert_int_equal(apply(&rig, T0), MRD_OK);
    for (mrd_time_ms time_ms = T0; time_ms <= T0 + 12 * HOUR; time_ms += HOUR / 4) {
        build(&rig, time_ms, 100, 5, true);
        assert_int_equal(apply(&rig, time_ms), MRD_OK);
        for (int i = 0; i < 20; i++) {
            ing_store_tidy(rig.store, 0, 1000, on_hole, &holes);
        }
        const uint64_t count = known_of(&rig, 7, &bits);
        assert_true(time_ms > T0 + 2 * HOUR || (count == 55 && bits == 1));
        assert_true(time_ms < T0 + 8 * HOUR || (count == 5 && bits == 0));
        (void)known_of(&rig, 103, &bits);
        assert_int_equal(bits, 1);
    }
    rig_fini(&rig);
}

static void a_batch_refused_for_memory_is_whole_when_tried_again(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 0, 64 << 20);
    build(&rig, T0, 0, 2000, true);
    atomic_store(&rig.budget.used, 65 << 20); /* another partition has it all */
    assert_int_equal(apply(&rig, T0), MRD_E_LIMIT);
    rig.sequence--;
    const struct ing_store_figures *figures = ing_store_figures(rig.store);
    assert_int_equal(figure(&figures->batches), 0);
    atomic_store(&rig.budget.used, 0);
    assert_int_equal(apply(&rig, T0), MRD_OK);
    ing_store_publish(rig.store);
    assert_int_equal(figure(&figures->samples_stored), 2000);
    assert_int_equal(figure(&figures->batches), 1);
    rig_fini(&rig);
}

static void bytes_that_are_no_batch_are_quarantined(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 0, 0);
    build(&rig, T0, 0, 10, true);
    for (size_t i = 0; i < rig.message.size; i++) { /* one byte wrong, anywhere */
        rig.message.data[i] ^= 0x55;
        assert_int_not_equal(apply(&rig, T0), MRD_OK);
        rig.message.data[i] ^= 0x55;
    }
    assert_int_equal(figure(&ing_store_figures(rig.store)->batches_quarantined), rig.message.size);
    rig.sequence = 0;
    assert_int_equal(apply(&rig, T0), MRD_OK);
    rig_fini(&rig);
}

/* Without an age limit the head follows the log's beginning, a quarter of an hour behind, and says so at once. */
static void what_the_log_was_trimmed_of_is_forgotten(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 0, 0);
    size_t holes = 0;
    for (uint32_t i = 0; i < 40; i++) { /* every half an hour: batches 1 to 40 */
        const mrd_time_ms now_ms = T0 + i * HOUR / 2;
        build(&rig, now_ms, 0, 10, true);
        assert_int_equal(apply(&rig, now_ms), MRD_OK);
    }
    const struct ing_store_figures *figures = ing_store_figures(rig.store);
    ing_store_tidy(rig.store, 0, 1000, on_hole, &holes);
    assert_int_equal(figure(&figures->samples_dropped), 0);
    ing_store_trimmed(rig.store, 1); /* nothing is gone */
    ing_store_tidy(rig.store, 0, 1000, on_hole, &holes);
    assert_int_equal(figure(&figures->samples_dropped), 0);
    assert_int_equal(figure(&figures->sequence_first), 1);
    ing_store_trimmed(rig.store, 21); /* ten hours */
    ing_store_tidy(rig.store, 0, 1000, on_hole, &holes);
    assert_int_equal(figure(&figures->sequence_first), 21);
    assert_int_equal(figure(&figures->sequence_held), 1); /* who was told so before still gets it */
    const mrd_time_ms said_ms = T0 + 39 * HOUR / 2;
    ing_store_tidy(rig.store, said_ms + HOUR / 12, 1000, on_hole, &holes);
    assert_int_equal(figure(&figures->sequence_held), 21);
    ing_store_tidy(rig.store, said_ms + HOUR / 4 - 1, 1000, on_hole, &holes);
    assert_int_equal(figure(&figures->samples_dropped), 0);
    ing_store_tidy(rig.store, said_ms + HOUR / 4, 1000, on_hole, &holes);
    /* Whole buckets of two hours that end before 9:30. */
    assert_in_range(figure(&figures->samples_dropped), 10 * 2 * 6, 10 * 20);
    ing_store_tidy(rig.store, 0, 1000, on_hole, &holes);
    ing_store_publish(rig.store);
    assert_int_equal(figure(&figures->samples_stored) + figure(&figures->samples_dropped), 400);
    rig_fini(&rig);
}

/* Two days of writes, a batch every ten minutes, with other series all the time. What the head holds then. */
static void live_for_two_days(struct rig *rig, bool trims, uint64_t *out_series,
                              uint64_t *out_samples, uint64_t *out_bytes)
{
    enum { STEPS = 48 * 6, WINDOW_STEPS = 3 * 6, SERIES = 200, COME_AND_GO = 20 };
    size_t holes = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        const mrd_time_ms now_ms = T0 + step * HOUR / 6;
        build(rig, now_ms, step * COME_AND_GO, SERIES, true);
        assert_int_equal(apply(rig, now_ms), MRD_OK);
        if (trims && step > WINDOW_STEPS) {
            ing_store_trimmed(rig->store, step - WINDOW_STEPS);
        }
        while (ing_store_tidy(rig->store, now_ms, 1000, on_hole, &holes)) {}
    }
    assert_int_equal(holes, 0);
    const struct ing_store_figures *figures = ing_store_figures(rig->store);
    assert_in_range(figure(&figures->sequence_first), trims ? STEPS - 4 - WINDOW_STEPS : 1,
                    trims ? STEPS - 1 - WINDOW_STEPS : 1);
    assert_int_equal(figure(&figures->rows_unresolved), 0);
    *out_series = figure(&figures->series);
    *out_samples = figure(&figures->samples_stored);
    *out_bytes = figure(&figures->memory_total);
}

static void a_head_holds_the_window_that_its_log_holds(void **state)
{
    (void)state;
    struct rig all;
    struct rig trimmed;
    uint64_t series[2];
    uint64_t samples[2];
    uint64_t bytes[2];
    rig_init(&all, 0, 0);
    rig_init(&trimmed, 0, 0);
    live_for_two_days(&all, false, &series[0], &samples[0], &bytes[0]);
    live_for_two_days(&trimmed, true, &series[1], &samples[1], &bytes[1]);
    assert_int_equal(samples[0], 288 * 200);
    assert_int_equal(series[0], 287 * 20 + 200);
    /* Three hours, the quarter of an hour of warning, and what chunks of two hours and series' label epochs round up to. */
    assert_in_range(samples[1], 18 * 200, 33 * 200);
    assert_in_range(series[1], 200, series[0] / 4);
    assert_in_range(bytes[1], 1, bytes[0] / 2);
    rig_fini(&all);
    rig_fini(&trimmed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_holds_the_window_that_its_log_holds),
        cmocka_unit_test(what_the_log_was_trimmed_of_is_forgotten),
        cmocka_unit_test(the_same_batch_again_changes_nothing),
        cmocka_unit_test(histograms_are_applied_like_samples),
        cmocka_unit_test(rows_before_the_first_readable_entry_are_no_loss),
        cmocka_unit_test(the_store_says_from_where_on_it_has_all),
        cmocka_unit_test(what_was_said_is_true_for_some_minutes),
        cmocka_unit_test(what_is_held_is_told_of_the_log_that_was_read_last),
        cmocka_unit_test(of_an_empty_log_the_head_begins_with_its_next_entry),
        cmocka_unit_test(a_missing_number_is_reported_as_a_hole),
        cmocka_unit_test(what_the_log_has_forgotten_is_forgotten),
        cmocka_unit_test(series_that_are_not_written_any_more_are_not_active_some_hours_later),
        cmocka_unit_test(a_batch_refused_for_memory_is_whole_when_tried_again),
        cmocka_unit_test(bytes_that_are_no_batch_are_quarantined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
