/* build_rig.h: what tests of the role "build" share: a world with a real log, writes of which it is known what must become of them, and a
 * compactor without its threads, whose store may fail.
 *
 * Include it after cmocka.h and compactor/build.h.
 */
#ifndef CMP_BUILD_RIG_H
#define CMP_BUILD_RIG_H

#include "bus/log_admin.h"
#include "bus/log_writer.h"
#include "bus/nats_fixture.h"
#include "catalog/request.h"
#include "compactor/builder_rig.h"
#include "compactor/logs.h"
#include "objstore/fault_store.h"
#include "objstore/folder_fixture.h"

enum { ROUNDS_MAX = 400, WAIT_MS = 60000, BATCHES = 12 };
static const int64_t MS = 1000000;

struct world {
    struct nats_fixture nats;
    struct mrd_bus *bus;
    struct mrd_log_writer *writer;
    struct mrd_members *members;
    struct mrd_leases *leases;
    struct rig rig;
    size_t published;
    size_t unreadable; /* sequence of a batch that is none; 0: there is none */
    _Atomic size_t acknowledged;
};

#define INSTANCE "c-1"
static const struct mrd_log_identity ANOTHER = {.created_ns = 1700000000000000000};
#define UNREADABLE MRD_BYTES("this is not a batch")

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("%s: %s", mrd_status_name(status), err->text);
    }
}

/* ---- the log ---- */

static void on_ack(void *context, const struct mrd_log_ack *ack)
{
    mrd_assert(ack->status == MRD_OK);
    atomic_fetch_add((_Atomic size_t *)context, 1);
}

static void publish_bytes(struct world *world, struct mrd_bytes bytes)
{
    char id[MRD_LOG_ID_MAX];
    (void)snprintf(id, sizeof(id), "w-%zu", ++world->published);
    const struct mrd_log_batch batch = {
        .partition = 0,
        .residency_class = "eu",
        .id = id,
        .payload = bytes,
        .deadline_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + WAIT_MS * MS,
        .done = on_ack,
        .context = &world->acknowledged,
    };
    struct mrd_error err = {0};
    must(mrd_log_writer_publish(world->writer, &batch, &err), &err);
    while (atomic_load(&world->acknowledged) < world->published) {
        usleep(200);
    }
}

static void publish_unreadable(struct world *world)
{
    publish_bytes(world, UNREADABLE);
    world->unreadable = world->published;
}

static void publish(struct world *world, size_t batches)
{
    for (size_t i = 0; i < batches; i++) {
        /* Stamps are far apart, for blocks of different ranges are merged by stamps alone. */
        rig_batch(&world->rig, 1000 * world->published + rig_random(&world->rig, 900), 40);
        publish_bytes(world, mrd_buf_view(&world->rig.message));
    }
}

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    nats_fixture_start(&world->nats);
    world->bus = nats_fixture_connect(&world->nats);
    const struct mrd_log_config log = {
        .region = "r", .partition_count = 1, .replicas = 1, .bytes_max = 64 << 20};
    struct mrd_error err = {0};
    must(mrd_log_ensure(world->bus, &log, WAIT_MS, &err), &err);
    const struct mrd_log_writer_options writer = {.partition_count = 1};
    must(mrd_log_writer_create(world->bus, &writer, &world->writer, &err), &err);
    struct mrd_member self = {.kind = MRD_MEMBER_COMPACTOR, .instance = INSTANCE};
    const struct mrd_members_options members = {.self = &self, .beat_ms = 20};
    must(mrd_members_create(world->bus, &members, &world->members, &err), &err);
    const struct mrd_leases_options leases = {.holder = INSTANCE};
    must(mrd_leases_create(world->bus, &leases, &world->leases, &err), &err);
    rig_init(&world->rig, 11, 20);
    world->rig.epoch = mrd_batch_epoch_of(mrd_clock_now_ms(mrd_clock_system()));
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;
    mrd_log_writer_destroy(&world->writer);
    mrd_leases_destroy(&world->leases);
    mrd_members_destroy(&world->members);
    rig_fini(&world->rig);
    mrd_bus_close(&world->bus);
    nats_fixture_stop(&world->nats);
    free(world);
    return 0;
}

/* ---- a compactor without its threads ---- */

struct process {
    struct world *world;
    struct mrd_metrics *metrics;
    struct mrd_catalog *catalog;
    struct cmp_build *build;
    struct cmp_role role;
    struct cmp_environment environment;
    _Atomic bool stopping;
};

struct settings {
    uint64_t samples_max;
    bool trim;
    mrd_time_ms references_kept_ms;
    mrd_time_ms log_age_ms;
    bool waits;                    /* builds only what is asked for (cmp_build_want) */
    const struct mrd_clock *clock; /* of building and trimming; NULL: the system's */
};

/* A new process over what there is. Opening the catalog may fail, as all with the store: then there is no role to run. */
static bool process_start(struct process *process, struct world *world, struct mrd_objstore *store,
                          const struct settings *settings)
{
    *process = (struct process){.world = world, .metrics = mrd_metrics_create()};
    struct mrd_error err = {0};
    const struct mrd_catalog_options catalog = {.store = store, .writer = INSTANCE};
    if (mrd_catalog_open(&catalog, NULL, &process->catalog, &err) != MRD_OK) {
        return false;
    }
    const struct cmp_build_options build = {
        .members = world->members,
        .instance = INSTANCE,
        .partition_count = 1,
        .limits = {.samples_max = settings->samples_max, .memory_bytes_max = CMP_BUILD_MEMORY_MIN},
        .build_bytes = settings->waits ? UINT64_MAX : 1,
        .build_age_ms = settings->waits ? (mrd_time_ms)24 * 3600 * 1000 : 1,
        .trim = settings->trim,
        .log_window_ms = 0,
        .log_age_ms = settings->log_age_ms,
        .references_kept_ms = settings->references_kept_ms,
        .metrics = process->metrics,
        .clock = settings->clock == NULL ? mrd_clock_system() : settings->clock,
    };
    process->build = cmp_build_create(&build);
    process->role = cmp_build_role(process->build);
    process->environment = (struct cmp_environment){
        .store = store,
        .catalog = process->catalog,
        .leases = world->leases,
        .bus = world->bus,
        .metrics = process->metrics,
        .clock = mrd_clock_system(),
        .control = {.canceled = &process->stopping},
        .stopping = &process->stopping,
    };
    return true;
}

static void process_end(struct process *process)
{
    if (process->build != NULL) {
        process->role.end(process->role.context, &process->environment);
        cmp_build_destroy(&process->build);
    }
    mrd_catalog_close(&process->catalog);
    mrd_metrics_destroy(&process->metrics);
}

static uint64_t built_of(struct mrd_catalog *catalog)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    const uint64_t built = mrd_catalog_built(state, 0);
    mrd_catalog_unpin(&state);
    return built;
}

/* Runs rounds until all is built, or until `enough` says so. */
static void run_until(struct process *process, bool (*enough)(void *context), void *context)
{
    const int64_t end_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + WAIT_MS * MS;
    for (;;) {
        struct mrd_error err = {0};
        (void)process->role.round(process->role.context, &process->environment, &err);
        if (enough(context)) {
            return;
        }
        if (mrd_clock_monotonic_ns(mrd_clock_system()) > end_ns) {
            fail_msg("not built in %d ms: built %u of %zu, %s", WAIT_MS,
                     (unsigned)built_of(process->catalog), process->world->published, err.text);
        }
        usleep(2000);
    }
}

static bool is_all_built(void *context)
{
    struct process *process = context;
    return built_of(process->catalog) == process->world->published;
}

/* Everything that the catalog in the store names is right, and together it is what was written. */
static void check_content(struct world *world, struct mrd_objstore *store)
{
    struct mrd_catalog *catalog = NULL;
    struct mrd_error err = {0};
    const struct mrd_catalog_options options = {.store = store};
    must(mrd_catalog_open(&options, NULL, &catalog, &err), &err);
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    struct rig found = {0};
    uint64_t covered = 0;
    for (size_t i = 0; i < mrd_catalog_block_count(state); i++) {
        const struct mrd_block_entry *entry = mrd_catalog_block(state, i);
        covered += entry->origin.last_sequence - entry->origin.first_sequence + 1;
        rig_read(&world->rig, store, entry, &found);
    }
    assert_int_equal(covered, mrd_catalog_built(state, 0)); /* each sequence in one block */
    if (world->unreadable > 0) {                            /* or in quarantine beside that */
        char key[64];
        struct mrd_buf kept = {0};
        (void)snprintf(key, sizeof(key), "quarantine/log/0/%020zu.batch", world->unreadable);
        must(mrd_objstore_get(store, key, 1000, NULL, &kept, &err), &err);
        assert_true(mrd_bytes_equal(mrd_buf_view(&kept), UNREADABLE));
        mrd_buf_fini(&kept);
    }
    assert_true(rig_same(&world->rig, &found));
    free(found.writes);
    mrd_catalog_unpin(&state);
    mrd_catalog_close(&catalog);
}

#endif
