/* The role "build" against a real log and a store that fails: whatever happens, blocks have what was written, once. */
#include "compactor/build.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/testing_clock.h"
#include "base/testing_rounds.h"
#include "compactor/build_rig.h"

/* ---- tests ---- */

static void the_log_comes_to_blocks_in_ranges_of_bounded_size(void **state)
{
    struct world *world = *state;
    char folder[FOLDER_FIXTURE_PATH_MAX];
    struct mrd_objstore *store = folder_fixture_open(folder, NULL);
    publish(world, BATCHES / 2);
    publish_unreadable(world);
    publish(world, BATCHES / 2);
    struct process process;
    assert_true(process_start(&process, world, store, &(struct settings){.samples_max = 100}));
    run_until(&process, is_all_built, &process);
    struct mrd_catalog_state *pinned = mrd_catalog_pin(process.catalog);
    assert_in_range(mrd_catalog_block_count(pinned), BATCHES / 3, BATCHES);
    mrd_catalog_unpin(&pinned);
    check_content(world, store);
    /* More comes, and is built by the same builder, which goes on where it was. */
    publish(world, 3);
    run_until(&process, is_all_built, &process);
    check_content(world, store);
    process_end(&process);
    mrd_objstore_close(&store);
    folder_fixture_remove(folder);
}

struct crash {
    struct process *process;
    struct mrd_objstore *faults;
    uint64_t nth;
};

static bool has_crashed_or_is_built(void *context)
{
    struct crash *crash = context;
    return mrd_fault_store_calls(crash->faults) >= crash->nth || is_all_built(crash->process);
}

/* One life that ends with the n-th call to the store, then others until all is built. True if there were n calls. */
static bool crash_at(struct world *world, uint64_t nth, enum mrd_fault_when when)
{
    char folder[FOLDER_FIXTURE_PATH_MAX];
    struct mrd_objstore *inner = folder_fixture_open(folder, NULL);
    struct mrd_objstore *faults = mrd_fault_store_create(inner);
    const struct settings settings = {.samples_max = 320};
    struct process process;
    struct crash crash = {&process, faults, nth};
    mrd_fault_store_arm(faults, &(struct mrd_fault){.nth = nth, .when = when, .crash = true});
    if (process_start(&process, world, faults, &settings)) {
        run_until(&process, has_crashed_or_is_built, &crash);
    }
    process_end(&process);
    const bool happened = mrd_fault_store_disarm(faults);
    assert_true(process_start(&process, world, faults, &settings));
    run_until(&process, is_all_built, &process);
    process_end(&process);
    check_content(world, inner);
    mrd_objstore_close(&faults);
    mrd_objstore_close(&inner);
    folder_fixture_remove(folder);
    return happened;
}

static void a_builder_that_dies_at_any_call_to_the_store_loses_and_doubles_nothing(void **state)
{
    struct world *world = *state;
    uint64_t nth = 1;
    while (crash_at(world, nth, MRD_FAULT_BEFORE) && crash_at(world, nth, MRD_FAULT_AFTER)) {
        nth += testing_stride();
    }
    assert_true(nth > 20); /* it was a walk */
}

/* The process lives, the store comes back. */
static void a_store_that_fails_for_a_while_loses_and_doubles_nothing(void **state)
{
    struct world *world = *state;
    for (uint64_t nth = 1;; nth += testing_stride()) {
        char folder[FOLDER_FIXTURE_PATH_MAX];
        struct mrd_objstore *inner = folder_fixture_open(folder, NULL);
        struct mrd_objstore *faults = mrd_fault_store_create(inner);
        struct process process;
        assert_true(process_start(&process, world, faults, &(struct settings){.samples_max = 320}));
        mrd_fault_store_arm(faults, &(struct mrd_fault){.nth = 3 * nth, .when = MRD_FAULT_AFTER});
        run_until(&process, is_all_built, &process);
        const bool happened = mrd_fault_store_disarm(faults);
        process_end(&process);
        check_content(world, inner);
        mrd_objstore_close(&faults);
        mrd_objstore_close(&inner);
        folder_fixture_remove(folder);
        if (!happened) {
            assert_true(nth > 5);
            return;
        }
    }
}

/* ---- logs that are not as they should be: each with a world of its own ---- */

struct scene {
    struct world *world;
    char folder[FOLDER_FIXTURE_PATH_MAX];
    struct mrd_objstore *store;
    struct process process;
};

static void scene_init(struct scene *scene, const struct settings *settings)
{
    void *world;
    (void)world_make(&world);
    *scene = (struct scene){.world = world};
    scene->store = folder_fixture_open(scene->folder, NULL);
    assert_true(process_start(&scene->process, world, scene->store, settings));
}

static void scene_fini(struct scene *scene)
{
    process_end(&scene->process);
    mrd_objstore_close(&scene->store);
    folder_fixture_remove(scene->folder);
    void *world = scene->world;
    (void)world_end(&world);
}

static double metric(struct scene *scene, const char *name)
{
    struct mrd_buf text = {0};
    mrd_metrics_write(scene->process.metrics, &text);
    mrd_buf_append_u8(&text, 0);
    char line[128];
    (void)snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr((const char *)text.data, line);
    const double value = at == NULL ? -1 : strtod(at + strlen(line), NULL);
    mrd_buf_fini(&text);
    return value;
}

static void an_unreadable_batch_goes_to_quarantine_and_the_rest_is_built(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, &(struct settings){.samples_max = 1000});
    publish(scene.world, 2);
    publish_unreadable(scene.world);
    publish(scene.world, 2);
    run_until(&scene.process, is_all_built, &scene.process);
    check_content(scene.world, scene.store);
    assert_true(metric(&scene, "meridian_build_batches_quarantined_total") == 1);
    scene_fini(&scene);
}

static struct mrd_log_state log_of(const struct scene *scene)
{
    struct mrd_log_state log;
    struct mrd_error err = {0};
    must(mrd_log_state_read(scene->world->bus, 0, 5000, &log, &err), &err);
    return log;
}

/* An age limit, or a hand, has taken what was not in blocks: counted, and the rest is built. */
static void what_the_log_lost_before_it_was_built_is_counted(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, &(struct settings){.samples_max = 1000});
    struct mrd_error err = {0};
    publish(scene.world, 2);
    run_until(&scene.process, is_all_built, &scene.process);
    publish_bytes(scene.world, MRD_BYTES("a"));
    publish_bytes(scene.world, MRD_BYTES("b"));
    must(mrd_log_trim(scene.world->bus, 0, log_of(&scene).identity, 4, 0, 5000, &err), &err);
    publish(scene.world, 1);
    run_until(&scene.process, is_all_built, &scene.process);
    assert_true(metric(&scene, "meridian_build_sequences_missing_total") == 1);
    check_content(scene.world, scene.store);
    /* All of it, to the end. */
    publish_bytes(scene.world, MRD_BYTES("c"));
    publish_bytes(scene.world, MRD_BYTES("d"));
    must(mrd_log_trim(scene.world->bus, 0, log_of(&scene).identity, 8, 0, 5000, &err), &err);
    run_until(&scene.process, is_all_built, &scene.process);
    assert_true(metric(&scene, "meridian_build_sequences_missing_total") == 3);
    scene_fini(&scene);
}

/* ---- who drops what of the log ---- */

static void limit_age(const struct scene *scene, mrd_time_ms age_ms)
{
    const struct mrd_log_config config = {.region = "r",
                                          .partition_count = 1,
                                          .replicas = 1,
                                          .bytes_max = 64 << 20,
                                          .age_ms_max = age_ms,
                                          .age_decides = true};
    struct mrd_error err = {0};
    must(mrd_log_ensure(scene->world->bus, &config, 5000, &err), &err);
}

static bool is_trimmed(void *context) { return log_of(context).sequence_first > 1; }
static bool is_without_age(void *context) { return log_of(context).age_ms_max == 0; }

static void who_trims_takes_the_age_limit_away_whenever_it_comes_back(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene,
               &(struct settings){.samples_max = 1000, .trim = true, .log_age_ms = 3600000});
    for (int i = 0; i < 2; i++) {
        limit_age(&scene, 3600 * 1000);
        assert_false(is_without_age(&scene));
        run_until(&scene.process, is_without_age, &scene);
    }
    publish(scene.world, 2);
    run_until(&scene.process, is_all_built, &scene.process);
    check_content(scene.world, scene.store);
    scene_fini(&scene);
}

static bool age_is_told(void *context)
{
    return metric(context, "meridian_build_log_age_ratio") >= 0.5;
}

static bool age_is_no_more_told(void *context)
{
    return metric(context, "meridian_build_log_age_ratio") == 0;
}

static void what_nears_the_age_limit_before_it_is_built_is_told(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, &(struct settings){.samples_max = 1000});
    limit_age(&scene, 5000);
    run_until(&scene.process, age_is_no_more_told, &scene); /* there is nothing to build */
    const struct mrd_catalog_built_change built = {.partition = 0, .to = 1, .log = ANOTHER};
    const struct mrd_catalog_log_change another = {.partition = 0, .to = ANOTHER};
    const struct mrd_catalog_change change = {.built = &built, .built_count = 1};
    const struct mrd_catalog_change begin = {.logs = &another, .log_count = 1};
    struct mrd_error err = {0};
    must(mrd_catalog_commit(scene.process.catalog, &begin, NULL, &err),
         &err); /* another log: nothing of this one is built */
    publish(scene.world, 2);
    run_until(&scene.process, age_is_told, &scene);
    must(mrd_catalog_commit(scene.process.catalog, &change, NULL, &err), &err);
    run_until(&scene.process, is_trimmed, &scene); /* by age */
    scene_fini(&scene);
}

static bool sees_querier(void *context)
{
    return metric(context, "meridian_build_queriers_without_blocks") == 1;
}
static bool sees_none(void *context)
{
    return metric(context, "meridian_build_queriers_without_blocks") == 0;
}

/* A querier that reads no blocks is left with what it had if the log forgot by age; one that reads them finds there what is gone. */
static void the_log_is_kept_for_queriers_that_read_no_blocks(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, &(struct settings){.samples_max = 1000,
                                          .trim = true,
                                          .log_age_ms = 3600 * 1000,
                                          .references_kept_ms = 1});
    struct mrd_member self = {.kind = MRD_MEMBER_QUERIER, .instance = "q-1"};
    const struct mrd_members_options options = {.self = &self, .beat_ms = 20};
    struct mrd_members *querier = NULL;
    struct mrd_error err = {0};
    must(mrd_members_create(scene.world->bus, &options, &querier, &err), &err);
    run_until(&scene.process, sees_querier, &scene);
    publish(scene.world, 4);
    run_until(&scene.process, is_all_built, &scene.process);
    for (int i = 0; i < 20; i++) {
        (void)scene.process.role.round(scene.process.role.context, &scene.process.environment,
                                       &err);
    }
    assert_false(is_trimmed(&scene));
    self.reads_blocks = true;
    mrd_members_update(querier, &self);
    run_until(&scene.process, sees_none, &scene);
    run_until(&scene.process, is_trimmed, &scene);
    mrd_members_destroy(&querier);
    check_content(scene.world, scene.store);
    scene_fini(&scene);
}

static bool has_failed(void *context)
{
    return metric(context, "meridian_build_partition_failures_total") >= 1;
}

static void of_a_log_that_ends_before_what_is_built_nothing_is_built(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, &(struct settings){.samples_max = 1000});
    struct mrd_error err = {0};
    publish(scene.world, 2);
    const struct mrd_catalog_built_change built = {.partition = 0, .to = 50};
    const struct mrd_catalog_change change = {.built = &built, .built_count = 1};
    must(mrd_catalog_commit(scene.process.catalog, &change, NULL, &err), &err);
    run_until(&scene.process, has_failed, &scene);
    assert_int_equal(built_of(scene.process.catalog), 50);
    scene_fini(&scene);
}

/* Each batch announces series with long label values, so that the index of all would not fit into the writer's memory. */
static void publish_wide(struct world *world, size_t batches)
{
    enum { SERIES = 600, VALUE_SIZE = 3000 };
    struct mrd_batch_builder *builder = mrd_batch_builder_create();
    struct mrd_buf labels = {0};
    struct mrd_buf message = {0};
    char *value = malloc(VALUE_SIZE + 1);
    const struct mrd_bytes tenant = MRD_BYTES("t");
    for (size_t batch = 0; batch < batches; batch++) {
        mrd_batch_builder_reset(builder);
        for (uint32_t i = 0; i < SERIES; i++) {
            const uint32_t reference = (uint32_t)batch * SERIES + i;
            memset(value, 'x', VALUE_SIZE);
            value[VALUE_SIZE] = '\0';
            value[snprintf(value, 16, "%08u", reference)] = 'x';
            const struct mrd_label label = {MRD_BYTES("__name__"), mrd_bytes_of(value)};
            mrd_buf_clear(&labels);
            mrd_labels_encode((struct mrd_labels){&label, 1}, &labels);
            const uint32_t index = mrd_batch_builder_tenant(builder, tenant);
            mrd_batch_builder_announce(
                builder, &(struct mrd_batch_announcement){
                             .reference = reference,
                             .tenant = index,
                             .id = mrd_series_id_of(mrd_tenant_seed(tenant), mrd_buf_view(&labels)),
                             .labels = mrd_buf_view(&labels)});
            mrd_batch_builder_row(builder, index, reference, RIG_T0, 1);
        }
        const struct mrd_batch_header header = rig_header(&world->rig, 0, mrd_hlc_make(RIG_T0, 0));
        mrd_batch_builder_finish(builder, &header, MRD_BATCH_NONE, &message);
        publish_bytes(world, mrd_buf_view(&message));
    }
    free(value);
    mrd_buf_fini(&labels);
    mrd_buf_fini(&message);
    mrd_batch_builder_destroy(&builder);
}

static void a_range_whose_index_is_too_large_is_cut_smaller(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, &(struct settings){.samples_max = 1000000});
    publish_wide(scene.world, 8); /* 14 MB of labels; 12 MiB are for the index */
    run_until(&scene.process, is_all_built, &scene.process);
    assert_true(metric(&scene, "meridian_build_partition_failures_total") >= 1);
    assert_true(metric(&scene, "meridian_build_samples_total") == 8 * 600);
    assert_true(metric(&scene, "meridian_build_blocks_total") >= 2);
    scene_fini(&scene);
}

/* What is announced in a label epoch is named all through it, however early it was. */
static void who_takes_over_resolves_what_was_announced_before(void **state)
{
    (void)state;
    const struct settings settings = {.samples_max = 1000, .references_kept_ms = 1};
    struct scene scene;
    scene_init(&scene, &settings);
    publish(scene.world, 4); /* announces */
    run_until(&scene.process, is_all_built, &scene.process);
    process_end(&scene.process);
    usleep(50000);
    publish(scene.world, 4); /* names what was announced */
    assert_true(process_start(&scene.process, scene.world, scene.store, &settings));
    run_until(&scene.process, is_all_built, &scene.process);
    check_content(scene.world, scene.store);
    scene_fini(&scene);
}

/* Nothing is heard of a table for longer than its announcements are kept, because what names it was not read yet. */
static void what_waits_to_be_built_keeps_the_announcements_that_it_names(void **state)
{
    (void)state;
    struct settings settings = {.samples_max = 1000,
                                .trim = true,
                                .references_kept_ms = 60 * 1000,
                                .waits = true,
                                .clock = &shifted};
    struct scene scene;
    struct mrd_error err = {0};
    ahead_ms = 0;
    scene_init(&scene, &settings);
    publish(scene.world, 4); /* announces */
    cmp_build_want(scene.process.build, 0, scene.world->published);
    run_until(&scene.process, is_all_built, &scene.process);
    publish(scene.world, 4); /* names what was announced */
    ahead_ms = (mrd_time_ms)2 * 60 * 1000;
    for (int i = 0; i < 5; i++) {
        must(scene.process.role.round(scene.process.role.context, &scene.process.environment, &err),
             &err);
    }
    assert_false(is_trimmed(&scene));
    process_end(&scene.process);

    settings.waits = false;
    assert_true(process_start(&scene.process, scene.world, scene.store, &settings));
    run_until(&scene.process, is_all_built, &scene.process);
    check_content(scene.world, scene.store);
    run_until(&scene.process, is_trimmed, &scene); /* what was read is not needed for longer */
    scene_fini(&scene);
}

/* ---- requests to erase ---- */

enum { ERASED_SERIES = 1 };
#define ERASURE_HLC mrd_hlc_make(RIG_T0 + 3600 * 1000, 0)

/* A request, as bytes. */
static void encode_request(struct mrd_id128 id, struct mrd_buf *out)
{
    struct mrd_matcher matcher;
    struct mrd_error err = {0};
    must(mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("device"), MRD_BYTES("d1"), &err),
         &err);
    const struct mrd_erasure_selector selector = {&matcher, 1};
    const struct mrd_erasure erasure = {.id = id,
                                        .tenant = rig_tenant(ERASED_SERIES),
                                        .hlc = ERASURE_HLC,
                                        .time_min_ms = INT64_MIN,
                                        .time_max_ms = INT64_MAX,
                                        .selectors = &selector,
                                        .selector_count = 1};
    must(mrd_erasure_encode(&erasure, out, &err), &err);
    mrd_matcher_fini(&matcher);
}

/* What was written so far of the series is none. */
static void forget_erased(struct rig *rig)
{
    size_t kept = 0;
    for (size_t i = 0; i < rig->write_count; i++) {
        if (rig->writes[i].series != ERASED_SERIES) {
            rig->writes[kept++] = rig->writes[i];
        }
    }
    rig->write_count = kept;
}

/* As a querier does it: the object, the log, the catalog. */
static void erase(struct scene *scene)
{
    const struct mrd_id128 id = {7, 7};
    struct world *world = scene->world;
    struct mrd_error err = {0};
    struct mrd_catalog_request names;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf encoded = {0};
    encode_request(id, &encoded);
    must(mrd_catalog_request_put(scene->store, id, mrd_buf_view(&encoded), NULL, &names, &err),
         &err);
    mrd_batch_builder_reset(world->rig.builder);
    (void)mrd_batch_builder_tenant(world->rig.builder, rig_tenant(ERASED_SERIES));
    mrd_batch_builder_erasure(world->rig.builder, mrd_buf_view(&encoded));
    const struct mrd_batch_header header = {.region = MRD_BYTES("r"),
                                            .residency_class = MRD_BYTES("eu"),
                                            .instance = MRD_BYTES("erasure"),
                                            .epoch = world->rig.epoch,
                                            .number = 1,
                                            .hlc = ERASURE_HLC};
    mrd_batch_builder_finish(world->rig.builder, &header, MRD_BATCH_NONE, &world->rig.message);
    publish_bytes(world, mrd_buf_view(&world->rig.message));
    const uint64_t sequence = world->published;
    const struct mrd_catalog_erasure_change erasure = {
        .id = id,
        .tenant = rig_tenant(ERASED_SERIES),
        .hlc = ERASURE_HLC,
        .time_min_ms = INT64_MIN,
        .time_max_ms = INT64_MAX,
        .request_key = mrd_bytes_of(names.key),
        .request_digest = mrd_bytes_of(names.digest),
        .sequences = &sequence,
        .partition_count = 1,
    };
    const struct mrd_catalog_change change = {.erasures = &erasure, .erasure_count = 1};
    must(mrd_catalog_commit(scene->process.catalog, &change, NULL, &err), &err);
    forget_erased(&world->rig);
}

/* The log has dropped the request: all that was built. */
static bool is_trimmed_to_the_end(void *context)
{
    const struct mrd_log_state log = log_of(context);
    return log.sequence_first > log.sequence_last;
}

/* A copy, or a batch that was resent, comes behind the request, and even after the log has forgotten it: to who has built all the time, and to who
 * takes over and has never met the request. */
static void what_comes_late_behind_a_request_is_in_no_block(void **state)
{
    (void)state;
    for (size_t takes_over = 0; takes_over < 2; takes_over++) {
        const struct settings settings = {
            .samples_max = 1000, .trim = true, .references_kept_ms = 1};
        struct scene scene;
        scene_init(&scene, &settings);
        publish(scene.world, 4);
        erase(&scene);
        publish(scene.world, 2);
        forget_erased(&scene.world->rig); /* stamped before it */
        run_until(&scene.process, is_all_built, &scene.process);
        run_until(&scene.process, is_trimmed_to_the_end, &scene);
        if (takes_over == 1) {
            process_end(&scene.process);
            assert_true(process_start(&scene.process, scene.world, scene.store, &settings));
        }
        /* They bring their labels along. */
        memset(scene.world->rig.announced, 0, sizeof(scene.world->rig.announced));
        publish(scene.world, 4);
        forget_erased(&scene.world->rig);
        run_until(&scene.process, is_all_built, &scene.process);
        assert_true(metric(&scene, "meridian_build_samples_erased_total") > 0);
        check_content(scene.world, scene.store);
        scene_fini(&scene);
    }
}

/* Whoever begins behind a request goes by that. */
static void a_request_that_is_trimmed_leaves_its_stamp_with_the_log(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene,
               &(struct settings){.samples_max = 1000, .trim = true, .references_kept_ms = 1});
    publish(scene.world, 4);
    run_until(&scene.process, is_trimmed_to_the_end, &scene);
    assert_true(log_of(&scene).map.erased_known);
    assert_int_equal(log_of(&scene).map.erased, 0);
    erase(&scene);
    assert_int_equal(log_of(&scene).map.erased, 0); /* it is still there */
    run_until(&scene.process, is_trimmed_to_the_end, &scene);
    assert_int_equal(log_of(&scene).map.erased, ERASURE_HLC);
    publish(scene.world, 2);
    run_until(&scene.process, is_trimmed_to_the_end, &scene);
    assert_int_equal(log_of(&scene).map.erased, ERASURE_HLC);
    scene_fini(&scene);
}

/* The stream was deleted and made anew: its sequences begin again, and pass what is built. */
static void of_another_log_nothing_is_built(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, &(struct settings){.samples_max = 1000});
    struct mrd_error err = {0};
    publish(scene.world, 2);
    run_until(&scene.process, is_all_built, &scene.process);
    const struct mrd_catalog_log_change another = {
        .partition = 0, .built = 2, .from = log_of(&scene).identity, .to = ANOTHER};
    must(mrd_catalog_commit(scene.process.catalog,
                            &(struct mrd_catalog_change){.logs = &another, .log_count = 1}, NULL,
                            &err),
         &err);
    process_end(&scene.process);
    assert_true(process_start(&scene.process, scene.world, scene.store,
                              &(struct settings){.samples_max = 1000}));
    publish(scene.world, 2);
    run_until(&scene.process, has_failed, &scene);
    assert_int_equal(built_of(scene.process.catalog), 2);
    scene_fini(&scene);
}

/* ---- logs that are lost or restored, and adopted ---- */

static void ensure_log(struct world *world)
{
    const struct mrd_log_config log = {
        .region = "r", .partition_count = 1, .replicas = 1, .bytes_max = 64 << 20};
    struct mrd_error err = {0};
    enum mrd_status status = MRD_E_UNAVAILABLE;
    for (int i = 0; i < 200 && status == MRD_E_UNAVAILABLE; i++) {
        usleep(i == 0 ? 0 : 50000);
        status = mrd_log_ensure(world->bus, &log, 2000, &err);
    }
    must(status, &err);
}

/* Writers that start behind it announce all again. */
static void publish_announced(struct world *world, size_t batches)
{
    memset(world->rig.announced, 0, sizeof(world->rig.announced));
    publish(world, batches);
}

static struct cmp_logs_options logs_of(const struct scene *scene)
{
    return (struct cmp_logs_options){.bus = scene->world->bus,
                                     .catalog = scene->process.catalog,
                                     .leases = scene->world->leases,
                                     .members = scene->world->members,
                                     .partition_count = 1};
}

static struct cmp_log_look look_at(const struct scene *scene)
{
    const struct cmp_logs_options options = logs_of(scene);
    struct cmp_log_look look;
    struct mrd_error err = {0};
    must(cmp_logs_look(&options, 0, &look, &err), &err);
    return look;
}

/* The lease bucket is lost with the rest, and is made again by whoever needs it. */
static enum mrd_status adopt(const struct scene *scene, uint64_t lost_through, bool *out_adopted,
                             struct mrd_error *err)
{
    const struct cmp_logs_options options = logs_of(scene);
    enum mrd_status status = MRD_E_UNAVAILABLE;
    for (int i = 0; i < 200 && status == MRD_E_UNAVAILABLE; i++) {
        usleep(i == 0 ? 0 : 50000);
        status = cmp_logs_adopt(&options, 0, lost_through, NULL, out_adopted, err);
    }
    return status;
}

static bool is_built_up_to_its_end(void *context)
{
    const struct scene *scene = context;
    return built_of(scene->process.catalog) == log_of(scene).sequence_last;
}

static void a_log_made_anew_is_built_on_once_it_is_adopted(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, &(struct settings){.samples_max = 1000});
    struct mrd_error err = {0};
    bool adopted = true;
    assert_int_equal(look_at(&scene).belongs, CMP_LOG_UNBUILT);
    publish(scene.world, 3);
    run_until(&scene.process, is_all_built, &scene.process);
    assert_int_equal(look_at(&scene).belongs, CMP_LOG_SAME);
    must(adopt(&scene, 100, &adopted, &err), &err);
    assert_false(adopted); /* there is nothing to be done */
    assert_int_equal(log_of(&scene).sequence_last, 3);

    nats_fixture_lose(&scene.world->nats);
    ensure_log(scene.world);
    publish_announced(scene.world, 5); /* more than there was */
    run_until(&scene.process, has_failed, &scene);
    const struct cmp_log_look look = look_at(&scene);
    assert_int_equal(look.belongs, CMP_LOG_NEW);
    assert_int_equal(look.known_end, 3);
    assert_int_equal(adopt(&scene, 0, &adopted, &err), MRD_E_CONFLICT);
    assert_non_null(strstr(err.text, "is in no block"));
    assert_int_equal(adopt(&scene, 2, &adopted, &err), MRD_E_CONFLICT);
    assert_int_equal(built_of(scene.process.catalog), 3);
    must(adopt(&scene, 5, &adopted, &err), &err);
    assert_true(adopted);
    must(adopt(&scene, 5, &adopted, &err), &err);
    assert_false(adopted);
    assert_int_equal(log_of(&scene).sequence_first, 6);
    assert_int_equal(log_of(&scene).sequence_last, 10);
    run_until(&scene.process, is_built_up_to_its_end, &scene);
    check_content(scene.world, scene.store);
    assert_true(metric(&scene, "meridian_build_sequences_missing_total") == 2); /* 4 and 5 */
    assert_int_equal(look_at(&scene).belongs, CMP_LOG_SAME);
    scene_fini(&scene);
}

/* The copy has 2 of 4 batches, all of which are in blocks. Nothing is lost but numbers. */
static void a_restored_log_is_built_on_from_what_blocks_do_not_have(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, &(struct settings){.samples_max = 1000});
    struct mrd_error err = {0};
    bool adopted = false;
    publish(scene.world, 2);
    nats_fixture_back_up(&scene.world->nats);
    ensure_log(scene.world);
    publish(scene.world, 2);
    run_until(&scene.process, is_all_built, &scene.process);
    nats_fixture_restore(&scene.world->nats);
    ensure_log(scene.world);
    publish_announced(scene.world, 3); /* 3, 4 and 5 of the stream; blocks have another 3 and 4 */
    run_until(&scene.process, has_failed, &scene);
    assert_int_equal(built_of(scene.process.catalog), 4);
    assert_int_equal(look_at(&scene).belongs, CMP_LOG_RESTORED);
    must(adopt(&scene, 4, &adopted, &err), &err);
    assert_true(adopted);
    const struct mrd_log_state log = log_of(&scene);
    assert_int_equal(log.sequence_first, 1);
    assert_int_equal(mrd_log_map_position(&log.map, 2), 2);
    assert_int_equal(mrd_log_map_position(&log.map, 3), 6); /* somebody may have read it as 5 */
    run_until(&scene.process, is_built_up_to_its_end, &scene);
    check_content(scene.world, scene.store);
    scene_fini(&scene);
}

/* The stream is adopted, the catalog is not told: doing it again tells it, and gives no other positions. */
static void an_adoption_that_breaks_off_goes_on_when_it_is_made_again(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, &(struct settings){.samples_max = 1000});
    struct mrd_error err = {0};
    bool adopted = false;
    publish(scene.world, 3);
    run_until(&scene.process, is_all_built, &scene.process);
    nats_fixture_lose(&scene.world->nats);
    ensure_log(scene.world);
    publish_announced(scene.world, 1);
    const struct mrd_log_adoption half = {log_of(&scene).identity, 1, 4};
    struct mrd_log_identity identity;
    must(mrd_log_adopt(scene.world->bus, 0, &half, 5000, &identity, &err), &err);
    run_until(&scene.process, has_failed, &scene); /* not before both say so */
    must(adopt(&scene, 3, &adopted, &err), &err);
    assert_true(adopted);
    assert_true(mrd_log_identity_equal(log_of(&scene).identity, identity));
    run_until(&scene.process, is_built_up_to_its_end, &scene);
    assert_int_equal(built_of(scene.process.catalog), 4);
    check_content(scene.world, scene.store);
    scene_fini(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_comes_to_blocks_in_ranges_of_bounded_size),
        cmocka_unit_test(a_builder_that_dies_at_any_call_to_the_store_loses_and_doubles_nothing),
        cmocka_unit_test(a_store_that_fails_for_a_while_loses_and_doubles_nothing),
        cmocka_unit_test(an_unreadable_batch_goes_to_quarantine_and_the_rest_is_built),
        cmocka_unit_test(what_the_log_lost_before_it_was_built_is_counted),
        cmocka_unit_test(who_trims_takes_the_age_limit_away_whenever_it_comes_back),
        cmocka_unit_test(what_nears_the_age_limit_before_it_is_built_is_told),
        cmocka_unit_test(the_log_is_kept_for_queriers_that_read_no_blocks),
        cmocka_unit_test(of_a_log_that_ends_before_what_is_built_nothing_is_built),
        cmocka_unit_test(who_takes_over_resolves_what_was_announced_before),
        cmocka_unit_test(what_waits_to_be_built_keeps_the_announcements_that_it_names),
        cmocka_unit_test(what_comes_late_behind_a_request_is_in_no_block),
        cmocka_unit_test(a_request_that_is_trimmed_leaves_its_stamp_with_the_log),
        cmocka_unit_test(of_another_log_nothing_is_built),
        cmocka_unit_test(a_range_whose_index_is_too_large_is_cut_smaller),
        cmocka_unit_test(a_log_made_anew_is_built_on_once_it_is_adopted),
        cmocka_unit_test(a_restored_log_is_built_on_from_what_blocks_do_not_have),
        cmocka_unit_test(an_adoption_that_breaks_off_goes_on_when_it_is_made_again),
    };
    return cmocka_run_group_tests(tests, world_make, world_end);
}
