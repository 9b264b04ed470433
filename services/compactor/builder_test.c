#include "compactor/builder.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "compactor/builder_rig.h"
#include "model/erasure.h"
#include "objstore/folder_fixture.h"

enum { ARENA_BYTES = 64 << 20 };

struct world {
    char folder[FOLDER_FIXTURE_PATH_MAX];
    struct mrd_objstore *store;
    struct mrd_metrics *metrics;
    struct cmp_build_figures figures;
    struct mrd_arena *arena;
};

static void world_init(struct world *world)
{
    *world = (struct world){.metrics = mrd_metrics_create()};
    world->store = folder_fixture_open(world->folder, NULL);
    world->arena = mrd_arena_create("test", ARENA_BYTES);
    cmp_build_figures_init(&world->figures, world->metrics);
}

static void world_fini(struct world *world)
{
    mrd_objstore_close(&world->store);
    folder_fixture_remove(world->folder);
    mrd_arena_destroy(&world->arena);
    mrd_metrics_destroy(&world->metrics);
}

static struct cmp_builder *builder_new(struct world *world, uint64_t first)
{
    const struct cmp_build_limits limits = {.samples_max = 1000000,
                                            .memory_bytes_max = CMP_BUILD_MEMORY_MIN};
    struct cmp_builder *builder = cmp_builder_create(0, &limits, &world->figures);
    cmp_builder_begin(builder, first);
    return builder;
}

static enum mrd_status take(struct cmp_builder *builder, uint64_t sequence,
                            const char *residency_class, struct mrd_bytes message)
{
    const struct cmp_position position = {.sequence = sequence,
                                          .stored_ms = RIG_T0 + (mrd_time_ms)sequence,
                                          .residency_class = residency_class};
    return cmp_builder_take(builder, &position, message, NULL);
}

static size_t write_blocks(struct world *world, struct cmp_builder *builder,
                           const struct mrd_block_entry **entries)
{
    const struct cmp_build_target target = {.store = world->store, .begun_ms = RIG_T0};
    size_t count = 0;
    struct mrd_error err = {0};
    const enum mrd_status status =
        cmp_builder_write(builder, &target, world->arena, entries, &count, &err);
    if (status != MRD_OK) {
        fail_msg("%s", err.text);
    }
    return count;
}

static struct mrd_buf bytes_of(struct world *world, struct mrd_bytes key)
{
    struct mrd_buf out = {0};
    char text[MRD_OBJSTORE_KEY_SIZE_MAX + 1];
    (void)snprintf(text, sizeof(text), "%.*s", MRD_FMT(key));
    assert_int_equal(mrd_objstore_get(world->store, text, 1 << 30, NULL, &out, NULL), MRD_OK);
    return out;
}

/* The messages of a run, to be taken by several builders. */
struct messages {
    struct mrd_buf items[64];
    size_t count;
};

static void messages_make(struct messages *messages, struct rig *rig, size_t count)
{
    messages->count = count;
    for (size_t i = 0; i < count; i++) {
        rig_batch(rig, 10 * i + rig_random(rig, 30), 1 + rig_random(rig, 300));
        messages->items[i] = rig->message;
        rig->message = (struct mrd_buf){0};
    }
}

static void messages_fini(struct messages *messages)
{
    for (size_t i = 0; i < messages->count; i++) {
        mrd_buf_fini(&messages->items[i]);
    }
}

static void messages_take(const struct messages *messages, size_t from, size_t to,
                          struct cmp_builder *builder)
{
    for (size_t i = from; i < to; i++) {
        assert_int_equal(take(builder, i + 1, "eu", mrd_buf_view(&messages->items[i])), MRD_OK);
    }
}

static void a_block_has_the_last_write_of_each_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct world world;
        world_init(&world);
        struct rig rig;
        rig_init(&rig, seed, 20);
        struct messages messages;
        messages_make(&messages, &rig, 30);
        struct cmp_builder *builder = builder_new(&world, 1);
        messages_take(&messages, 0, 30, builder);
        const struct mrd_block_entry *entries = NULL;
        assert_int_equal(write_blocks(&world, builder, &entries), 1);
        assert_int_equal(entries[0].origin.first_sequence, 1);
        assert_int_equal(entries[0].origin.last_sequence, 30);
        assert_int_equal(entries[0].tenant_count, 2);
        cmp_builder_committed(builder);
        struct rig found = {0};
        rig_read(&rig, world.store, &entries[0], &found);
        const size_t writes = rig.write_count;
        if (!rig_same(&rig, &found)) {
            fail_msg("seed %u", (unsigned)seed);
        }
        assert_int_equal(mrd_counter_value(world.figures.samples) +
                             mrd_counter_value(world.figures.duplicates) +
                             mrd_counter_value(world.figures.overridden),
                         writes);
        free(found.writes);
        cmp_builder_destroy(&builder);
        messages_fini(&messages);
        rig_fini(&rig);
        world_fini(&world);
    }
}

static void who_builds_a_range_again_writes_the_same_objects(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct rig rig;
    rig_init(&rig, 7, 20);
    struct messages messages;
    messages_make(&messages, &rig, 40);
    /* One goes over ranges of ten, another begins at the last, having read only what is announced before it. */
    struct cmp_builder *one = builder_new(&world, 1);
    const struct mrd_block_entry *first = NULL;
    for (size_t at = 0; at < 40; at += 10) {
        messages_take(&messages, at, at + 10, one);
        assert_int_equal(write_blocks(&world, one, &first), 1);
        cmp_builder_committed(one);
        if (at < 30) {
            cmp_builder_begin(one, at + 11);
            cmp_builder_tidy(one);
        }
    }
    struct mrd_buf data = bytes_of(&world, first[0].data.key);
    struct mrd_buf sidecar = bytes_of(&world, first[0].sidecar.key);
    struct cmp_builder *other = builder_new(&world, 31);
    messages_take(&messages, 0, 40, other);
    const struct mrd_block_entry *second = NULL;
    assert_int_equal(write_blocks(&world, other, &second), 1);
    assert_true(mrd_bytes_equal(first[0].id, second[0].id));
    assert_true(mrd_bytes_equal(first[0].data.key, second[0].data.key));
    assert_int_equal(first[0].data.crc32c, second[0].data.crc32c);
    struct mrd_buf data_again = bytes_of(&world, second[0].data.key);
    struct mrd_buf sidecar_again = bytes_of(&world, second[0].sidecar.key);
    assert_true(mrd_bytes_equal(mrd_buf_view(&data), mrd_buf_view(&data_again)));
    assert_true(mrd_bytes_equal(mrd_buf_view(&sidecar), mrd_buf_view(&sidecar_again)));
    mrd_buf_fini(&data);
    mrd_buf_fini(&sidecar);
    mrd_buf_fini(&data_again);
    mrd_buf_fini(&sidecar_again);
    cmp_builder_destroy(&one);
    cmp_builder_destroy(&other);
    messages_fini(&messages);
    rig_fini(&rig);
    world_fini(&world);
}

/* Who cannot resolve what others can has other content, and must not write over theirs. */
static void other_content_has_another_name(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct rig rig;
    rig_init(&rig, 3, 20);
    struct messages messages;
    messages_make(&messages, &rig, 20);
    struct cmp_builder *all = builder_new(&world, 11);
    messages_take(&messages, 0, 20, all);
    struct cmp_builder *late = builder_new(&world, 11);
    messages_take(&messages, 1, 20, late); /* what the first announces was not read */
    assert_true(mrd_counter_value(world.figures.rows_unresolved) > 0);
    const struct mrd_block_entry *first = NULL;
    const struct mrd_block_entry *second = NULL;
    assert_int_equal(write_blocks(&world, all, &first), 1);
    assert_int_equal(write_blocks(&world, late, &second), 1);
    assert_false(mrd_bytes_equal(first[0].id, second[0].id));
    assert_false(mrd_bytes_equal(first[0].data.key, second[0].data.key));
    cmp_builder_destroy(&all);
    cmp_builder_destroy(&late);
    messages_fini(&messages);
    rig_fini(&rig);
    world_fini(&world);
}

static void each_residency_class_has_a_block_of_its_own(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct rig rig;
    rig_init(&rig, 5, 10);
    struct cmp_builder *builder = builder_new(&world, 1);
    static const char *const classes[] = {"eu", "us", "eu", "br"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(classes); i++) {
        rig.residency_class = classes[i];
        rig_batch(&rig, i, 50);
        assert_int_equal(take(builder, i + 1, classes[i], mrd_buf_view(&rig.message)), MRD_OK);
    }
    const struct mrd_block_entry *entries = NULL;
    assert_int_equal(write_blocks(&world, builder, &entries), 3);
    for (size_t i = 0; i < 3; i++) {
        const char *want = i == 0 ? "eu" : i == 1 ? "us" : "br";
        assert_true(mrd_bytes_equal(entries[i].origin.residency_class, mrd_bytes_of(want)));
        char part[64];
        (void)snprintf(part, sizeof(part), "blocks/l0/%s/0/20231114/", want);
        assert_memory_equal(entries[i].data.key.data, part, strlen(part));
    }
    assert_false(mrd_bytes_equal(entries[0].id, entries[1].id));
    /* A batch under the subject of another class is not believed. */
    assert_int_equal(take(builder, 5, "us", mrd_buf_view(&rig.message)), MRD_E_CORRUPT);
    cmp_builder_destroy(&builder);
    rig_fini(&rig);
    world_fini(&world);
}

static void what_cannot_be_read_or_kept_is_left_out_and_counted(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct rig rig;
    rig_init(&rig, 9, 4);
    struct cmp_builder *builder = builder_new(&world, 1);
    rig_batch(&rig, 0, 20);
    assert_int_equal(take(builder, 1, "eu", mrd_buf_view(&rig.message)), MRD_OK);
    rig.message.data[rig.message.size / 2] ^= 1;
    assert_int_equal(take(builder, 2, "eu", mrd_buf_view(&rig.message)), MRD_E_CORRUPT);
    /* 3 and 4 are not in the log any more; then a time that no block can hold. */
    mrd_batch_builder_reset(rig.builder);
    rig.announced[0][1] = false;
    rig_announce(&rig, 0, 1);
    rig_sample(&rig, &(struct rig_write){.series = 1, .time_ms = MRD_BLOCK_TIME_MAX + 1});
    const struct mrd_batch_header header = rig_header(&rig, 0, mrd_hlc_make(RIG_T0, 0));
    mrd_batch_builder_finish(rig.builder, &header, MRD_BATCH_NONE, &rig.message);
    assert_int_equal(take(builder, 5, "eu", mrd_buf_view(&rig.message)), MRD_OK);
    assert_int_equal(mrd_counter_value(world.figures.sequences_missing), 2);
    assert_int_equal(mrd_counter_value(world.figures.refused), 1);
    cmp_builder_lost(builder, 9);
    assert_int_equal(mrd_counter_value(world.figures.sequences_missing), 6);
    assert_int_equal(cmp_builder_last(builder), 9);
    const struct mrd_block_entry *entries = NULL;
    assert_int_equal(write_blocks(&world, builder, &entries), 1);
    assert_int_equal(entries[0].origin.last_sequence, 9);
    struct rig found = {0};
    rig_read(&rig, world.store, &entries[0], &found);
    assert_true(rig_same(&rig, &found));
    free(found.writes);
    cmp_builder_destroy(&builder);
    rig_fini(&rig);
    world_fini(&world);
}

static void a_range_without_samples_makes_no_block(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct rig rig;
    rig_init(&rig, 9, 4);
    struct cmp_builder *builder = builder_new(&world, 1);
    mrd_batch_builder_reset(rig.builder);
    rig_announce(&rig, 0, 1);
    const struct mrd_batch_header header = rig_header(&rig, 0, mrd_hlc_make(RIG_T0, 0));
    mrd_batch_builder_finish(rig.builder, &header, MRD_BATCH_NONE, &rig.message);
    assert_int_equal(take(builder, 1, "eu", mrd_buf_view(&rig.message)), MRD_OK);
    const struct mrd_block_entry *entries = NULL;
    assert_int_equal(write_blocks(&world, builder, &entries), 0);
    assert_int_equal(cmp_builder_last(builder), 1);
    cmp_builder_destroy(&builder);
    rig_fini(&rig);
    world_fini(&world);
}

/* ---- erasures ---- */

struct test_erasure {
    mrd_hlc hlc;
    uint32_t device; /* of tenant beta */
    mrd_time_ms min_ms;
    mrd_time_ms max_ms;
};

static bool erasure_has(const struct test_erasure *erasure, const struct rig_write *write)
{
    return write->series == erasure->device && write->time_ms >= erasure->min_ms &&
           write->time_ms <= erasure->max_ms;
}

/* Makes its message, and takes what it has from the model. */
static void rig_erase(struct rig *rig, const struct test_erasure *erasure)
{
    char device[32];
    (void)snprintf(device, sizeof(device), "d%u", erasure->device);
    struct mrd_matcher matcher;
    assert_int_equal(
        mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("device"), mrd_bytes_of(device), NULL),
        MRD_OK);
    const struct mrd_erasure_selector selector = {&matcher, 1};
    const struct mrd_erasure request = {
        .id = {erasure->hlc, 1},
        .tenant = rig_tenant(erasure->device),
        .hlc = erasure->hlc,
        .time_min_ms = erasure->min_ms,
        .time_max_ms = erasure->max_ms,
        .selectors = &selector,
        .selector_count = 1
    };
    struct mrd_buf encoded = {0};
    assert_int_equal(mrd_erasure_encode(&request, &encoded, NULL), MRD_OK);
    mrd_batch_builder_reset(rig->builder);
    (void)mrd_batch_builder_tenant(rig->builder, request.tenant);
    mrd_batch_builder_erasure(rig->builder, mrd_buf_view(&encoded));
    const struct mrd_batch_header header = {.region = MRD_BYTES("r"),
                                            .residency_class = MRD_BYTES("eu"),
                                            .instance = MRD_BYTES("erasure"),
                                            .epoch = mrd_batch_epoch_of(RIG_T0),
                                            .number = erasure->hlc,
                                            .hlc = erasure->hlc};
    mrd_batch_builder_finish(rig->builder, &header, MRD_BATCH_NONE, &rig->message);
    mrd_buf_fini(&encoded);
    mrd_matcher_fini(&matcher);
    size_t kept = 0;
    for (size_t i = 0; i < rig->write_count; i++) {
        if (!erasure_has(erasure, &rig->writes[i])) {
            rig->writes[kept++] = rig->writes[i];
        }
    }
    rig->write_count = kept;
}

/* Of the writes from `from` on, those that are stamped before an erasure that has them are none. */
static void rig_forget_late(struct rig *rig, size_t from, const struct test_erasure *erasures,
                            size_t count)
{
    size_t kept = from;
    for (size_t i = from; i < rig->write_count; i++) {
        bool erased = false;
        for (size_t k = 0; k < count; k++) {
            erased |=
                rig->writes[i].hlc < erasures[k].hlc && erasure_has(&erasures[k], &rig->writes[i]);
        }
        if (!erased) {
            rig->writes[kept++] = rig->writes[i];
        }
    }
    rig->write_count = kept;
}

/* The range begins at `first`: what is before it was built into other blocks. Returns how many samples were erased. */
static uint64_t run_erasures(uint64_t seed, uint64_t first)
{
    enum { STEPS = 40 };
    struct test_erasure erasures[STEPS];
    size_t count = 0;
    struct world world;
    world_init(&world);
    struct rig rig;
    rig_init(&rig, seed, 12);
    struct cmp_builder *builder = builder_new(&world, first);
    for (uint64_t step = 0; step < STEPS; step++) {
        if (step + 1 == first) {
            rig.write_count = 0;
        }
        if (rig_random(&rig, 5) == 0) {
            const bool all = rig_random(&rig, 2) == 0;
            const mrd_time_ms min_ms = RIG_T0 + 1000 * (mrd_time_ms)rig_random(&rig, 200);
            erasures[count] = (struct test_erasure){
                .hlc = mrd_hlc_make(RIG_T0 + 1000 + 101 * (mrd_time_ms)step, 7),
                .device = (uint32_t)rig_random(&rig, 12),
                .min_ms = all ? INT64_MIN : min_ms,
                .max_ms = all ? INT64_MAX : min_ms + 50000};
            rig_erase(&rig, &erasures[count++]);
        } else {
            const size_t before = rig.write_count;
            /* no two the same: of histograms with one stamp bytes decide that the map does not know */
            rig_batch(&rig, 1000 + 101 * step - 100 * rig_random(&rig, 8),
                      1 + rig_random(&rig, 200));
            rig_forget_late(&rig, before, erasures, count);
        }
        assert_int_equal(take(builder, step + 1, "eu", mrd_buf_view(&rig.message)), MRD_OK);
    }
    const struct mrd_block_entry *entries = NULL;
    assert_int_equal(write_blocks(&world, builder, &entries), 1);
    struct rig found = {0};
    rig_read(&rig, world.store, &entries[0], &found);
    if (!rig_same(&rig, &found)) {
        fail_msg("seed %lu, range from %lu", (unsigned long)seed, (unsigned long)first);
    }
    const uint64_t erased = mrd_counter_value(world.figures.erased);
    free(found.writes);
    cmp_builder_destroy(&builder);
    rig_fini(&rig);
    world_fini(&world);
    return erased;
}

static void what_the_log_erases_is_in_no_block_of_the_range(void **state)
{
    (void)state;
    uint64_t erased[2] = {0, 0};
    for (uint64_t seed = 1; seed <= 15; seed++) {
        erased[0] += run_erasures(seed, 1);
        erased[1] += run_erasures(seed, 20);
    }
    assert_true(erased[0] > 0 && erased[1] > 0);
}

static void series_that_nothing_names_any_more_go(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct cmp_builder *builder = builder_new(&world, 1);
    struct mrd_batch_builder *batch = mrd_batch_builder_create();
    struct mrd_buf message = {0};
    struct mrd_buf labels = {0};
    size_t memory_first = 0;
    /* Forty times 20,000 new series, epochs apart. */
    for (uint64_t round = 0; round < 40; round++) {
        mrd_batch_builder_reset(batch);
        const struct mrd_bytes tenant = MRD_BYTES("t");
        for (uint32_t i = 0; i < 20000; i++) {
            char value[32];
            (void)snprintf(value, sizeof(value), "s-%u-%u", (unsigned)round, i);
            const struct mrd_label label = {MRD_BYTES("__name__"), mrd_bytes_of(value)};
            mrd_buf_clear(&labels);
            mrd_labels_encode((struct mrd_labels){&label, 1}, &labels);
            mrd_batch_builder_announce(
                batch, &(struct mrd_batch_announcement){
                           .reference = i,
                           .tenant = mrd_batch_builder_tenant(batch, tenant),
                           .id = mrd_series_id_of(mrd_tenant_seed(tenant), mrd_buf_view(&labels)),
                           .labels = mrd_buf_view(&labels)});
        }
        const mrd_time_ms now_ms = RIG_T0 + (mrd_time_ms)round * 2 * MRD_BATCH_EPOCH_MS;
        const struct mrd_batch_header header = {.region = MRD_BYTES("r"),
                                                .residency_class = MRD_BYTES("eu"),
                                                .instance = MRD_BYTES("w"),
                                                .epoch = mrd_batch_epoch_of(now_ms),
                                                .number = round + 1,
                                                .hlc = mrd_hlc_make(now_ms, 0)};
        mrd_batch_builder_finish(batch, &header, MRD_BATCH_NONE, &message);
        const struct cmp_position position = {round + 1, now_ms, "eu"};
        assert_int_equal(cmp_builder_take(builder, &position, mrd_buf_view(&message), NULL),
                         MRD_OK);
        cmp_builder_begin(builder, round + 2);
        cmp_builder_tidy(builder);
        if (round == 15) {
            memory_first = cmp_builder_memory(builder);
        }
    }
    assert_true(cmp_builder_memory(builder) < 2 * memory_first);
    mrd_buf_fini(&message);
    mrd_buf_fini(&labels);
    mrd_batch_builder_destroy(&batch);
    cmp_builder_destroy(&builder);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_has_the_last_write_of_each_time),
        cmocka_unit_test(who_builds_a_range_again_writes_the_same_objects),
        cmocka_unit_test(other_content_has_another_name),
        cmocka_unit_test(each_residency_class_has_a_block_of_its_own),
        cmocka_unit_test(what_cannot_be_read_or_kept_is_left_out_and_counted),
        cmocka_unit_test(a_range_without_samples_makes_no_block),
        cmocka_unit_test(what_the_log_erases_is_in_no_block_of_the_range),
        cmocka_unit_test(series_that_nothing_names_any_more_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
