#include "compactor/build.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "compactor/build_internal.h"
#include "compactor/log_range.h"

enum {
    LOG_CALL_MS = 5000,
    LOG_IDLE_MS = 30000,
    LOG_SHARE = 8, /* so much of a log is built at once, one part of */
    ROUND_MS = 1000,
    PARTITION_PAUSE_MS_MIN = 500,
    PARTITION_PAUSE_MS_MAX = 60 * 1000,
    ENTRIES_BYTES = 64 << 20, /* catalog entries of one range */
};
static const int64_t MS = 1000000;

struct cmp_build *cmp_build_create(const struct cmp_build_options *options)
{
    struct cmp_build *build = calloc(1, sizeof(*build));
    mrd_assert(build != NULL);
    build->options = *options;
    build->partitions = calloc(options->partition_count, sizeof(*build->partitions));
    mrd_assert(build->partitions != NULL);
    for (uint32_t i = 0; i < options->partition_count; i++) {
        build->partitions[i].number = i;
    }
    cmp_build_figures_init(&build->figures, options->metrics);
    cmp_build_metrics_init(build);
    return build;
}

void cmp_build_destroy(struct cmp_build **build)
{
    if (*build == NULL) {
        return;
    }
    struct cmp_build *self = MRD_MOVE(*build);
    mrd_metrics_forget(self->options.metrics, self);
    for (uint32_t i = 0; i < self->options.partition_count; i++) {
        mrd_assert(self->partitions[i].lease == NULL);
        cmp_builder_destroy(&self->partitions[i].builder);
    }
    mrd_catalog_requests_destroy(&self->requests);
    free(self->partitions);
    free(self);
}

void cmp_build_want(struct cmp_build *build, uint32_t partition, uint64_t sequence)
{
    mrd_assert(partition < build->options.partition_count);
    _Atomic uint64_t *wanted = &build->partitions[partition].wanted;
    uint64_t have = atomic_load_explicit(wanted, memory_order_relaxed);
    while (have < sequence &&
           !atomic_compare_exchange_weak_explicit(wanted, &have, sequence, memory_order_relaxed,
                                                  memory_order_relaxed)) {}
}

/* ---- whose partition it is ---- */

const char *cmp_build_owner(const struct mrd_members_snapshot *snapshot, uint32_t partition)
{
    const char *names[MRD_MEMBERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < snapshot->count && count < MRD_MEMBERS_MAX; i++) {
        const struct mrd_member *member = &snapshot->members[i];
        if (member->kind == MRD_MEMBER_COMPACTOR && !member->leaving) {
            names[count++] = member->instance;
        }
    }
    size_t owners[MRD_RING_REPLICAS_MAX];
    return mrd_ring_owners(names, count, partition, 1, owners) == 0 ? NULL : names[owners[0]];
}

static bool is_ours(const struct cmp_build *build, const struct mrd_members_snapshot *snapshot,
                    uint32_t partition)
{
    const char *owner = cmp_build_owner(snapshot, partition);
    return owner != NULL && strcmp(owner, build->options.instance) == 0;
}

static void give_up(struct build_partition *partition)
{
    cmp_builder_destroy(&partition->builder);
    if (partition->lease != NULL) {
        mrd_lease_release(&partition->lease);
    }
    partition->log = (struct mrd_log_identity){0};
    partition->sure = 0;
    atomic_store_explicit(&partition->held, false, memory_order_relaxed);
    atomic_store_explicit(&partition->memory, 0, memory_order_relaxed);
}

/* True if it is ours to build now. */
static enum mrd_status hold(const struct cmp_environment *environment,
                            struct build_partition *partition, bool ours, bool *out_held,
                            struct mrd_error *err)
{
    if (partition->lease != NULL && (!ours || !mrd_lease_held(partition->lease))) {
        MRD_LOG_INFO("gives up building a partition", mrd_log_uint("partition", partition->number),
                     mrd_log_str("reason", ours ? "its lease was lost" : "another is to do it"));
        give_up(partition);
    }
    if (partition->lease == NULL && ours) {
        char key[MRD_LEASE_KEY_MAX];
        (void)snprintf(key, sizeof(key), "build/%" PRIu32, partition->number);
        MRD_TRY(mrd_lease_try(environment->leases, key, &partition->lease, err));
        if (partition->lease != NULL) {
            MRD_LOG_INFO("builds a partition", mrd_log_uint("partition", partition->number));
            partition->waiting_since_ns = 0;
        }
    }
    *out_held = partition->lease != NULL;
    atomic_store_explicit(&partition->held, *out_held, memory_order_relaxed);
    return MRD_OK;
}

/* ---- whether it is due ---- */

static bool is_due(const struct cmp_build *build, struct build_partition *partition,
                   const struct mrd_log_state *log, uint64_t built)
{
    if (log->sequence_last <= built) {
        partition->waiting_since_ns = 0;
        return false;
    }
    const int64_t now_ns = mrd_clock_monotonic_ns(build->options.clock);
    if (partition->waiting_since_ns == 0) {
        partition->waiting_since_ns = now_ns;
    }
    const uint64_t waiting = log->sequence_last - MRD_MAX(built, log->sequence_first - 1);
    const uint64_t bytes = log->messages == 0 ? 0 : log->bytes / log->messages * waiting;
    /* A small log must not fill up while it waits for more. */
    const uint64_t enough =
        MRD_MIN(build->options.build_bytes, (uint64_t)log->bytes_max / LOG_SHARE);
    return bytes >= enough ||
           now_ns - partition->waiting_since_ns >= build->options.build_age_ms * MS ||
           atomic_load_explicit(&partition->wanted, memory_order_relaxed) > built;
}

/* ---- reading ---- */

struct taking {
    struct cmp_build *build;
    struct build_partition *partition;
    const struct cmp_environment *environment;
    enum mrd_status status;
    struct mrd_error *err;
};

/* The bytes stay where somebody can look at them, whatever becomes of the log. */
static enum mrd_status quarantine(const struct taking *taking, const struct mrd_log_entry *entry,
                                  const struct mrd_error *reason, struct mrd_error *err)
{
    char key[MRD_OBJSTORE_KEY_SIZE_MAX + 1];
    (void)snprintf(key, sizeof(key), "quarantine/log/%" PRIu32 "/%020" PRIu64 ".batch",
                   taking->partition->number, entry->sequence);
    MRD_LOG_ERROR("a batch of the log is unreadable and was put into quarantine",
                  mrd_log_uint("partition", taking->partition->number),
                  mrd_log_uint("sequence", entry->sequence), mrd_log_str("key", key),
                  mrd_log_error(reason));
    MRD_TRY(mrd_objstore_put(taking->environment->store, key, entry->payload,
                             &taking->environment->control, err));
    mrd_counter_add(taking->build->figures.quarantined, 1);
    return MRD_OK;
}

static bool take(void *context, const struct mrd_log_entry *entry)
{
    struct taking *taking = context;
    struct cmp_builder *builder = taking->partition->builder;
    if (!mrd_log_identity_equal(entry->log, taking->partition->log)) {
        taking->status = mrd_fail(taking->err, MRD_E_CONFLICT,
                                  "partition %" PRIu32 ": the log has become another meanwhile",
                                  taking->partition->number);
        return false;
    }
    if (entry->sequence <= cmp_builder_taken(builder)) {
        return true;
    }
    const struct cmp_position position = {.sequence = entry->sequence,
                                          .stored_ms = entry->stored_ms,
                                          .residency_class = entry->residency_class};
    struct mrd_error reason = {0};
    const bool in_range = entry->sequence >= cmp_builder_first(builder);
    cmp_build_mark(taking->build, taking->partition, entry->sequence, entry->stored_ms);
    if (cmp_builder_take(builder, &position, entry->payload, &reason) != MRD_OK && in_range) {
        taking->status = quarantine(taking, entry, &reason, taking->err);
    }
    return taking->status == MRD_OK && !cmp_builder_full(builder);
}

/* Where a builder that knows nothing has to begin to resolve what comes after `built`: *out_ms, 0: at the log's first entry. */
static enum mrd_status begin_at(const struct cmp_build *build,
                                const struct cmp_environment *environment,
                                const struct build_partition *partition, uint64_t built,
                                mrd_time_ms *out_ms, struct mrd_error *err)
{
    mrd_time_ms stored_ms = 0;
    const enum mrd_status status = mrd_log_stored_read(environment->bus, partition->number,
                                                       built + 1, LOG_CALL_MS, &stored_ms, err);
    if (status != MRD_OK && status != MRD_E_NOT_FOUND) {
        return status;
    }
    /* A table is used for one label epoch, and for as long as a batch may be late. */
    const mrd_time_ms reach_ms = MRD_BATCH_EPOCH_MS + build->options.references_kept_ms;
    *out_ms = status == MRD_OK ? MRD_MAX(stored_ms - reach_ms, (mrd_time_ms)0) : 0;
    return MRD_OK;
}

/* Entries that were to be read and did not come: has the log lost them? */
static enum mrd_status look_for_lost(const struct cmp_environment *environment,
                                     struct build_partition *partition, uint64_t target,
                                     struct mrd_error *err)
{
    struct mrd_log_state log;
    MRD_TRY(mrd_log_state_read(environment->bus, partition->number, LOG_CALL_MS, &log, err));
    const uint64_t next = cmp_builder_taken(partition->builder) + 1;
    if (log.sequence_first > next) {
        cmp_builder_lost(partition->builder, MRD_MIN(target, log.sequence_first - 1));
        return MRD_OK;
    }
    return mrd_fail(err, MRD_E_UNAVAILABLE,
                    "log of partition %" PRIu32 ": entries from %" PRIu64 " on did not come",
                    partition->number, next);
}

static enum mrd_status read_range(struct cmp_build *build,
                                  const struct cmp_environment *environment,
                                  struct build_partition *partition, uint64_t built,
                                  uint64_t target, struct mrd_error *err)
{
    struct cmp_builder *builder = partition->builder;
    struct taking taking = {
        .build = build, .partition = partition, .environment = environment, .err = err};
    struct cmp_log_range range = {
        .bus = environment->bus,
        .partition = partition->number,
        .sequence_end = target,
        .idle_ms_max = LOG_IDLE_MS,
        .stopping = environment->stopping,
        .take = take,
        .context = &taking,
    };
    if (cmp_builder_taken(builder) == 0) {
        MRD_TRY(begin_at(build, environment, partition, built, &range.time_start_ms, err));
    } else {
        range.sequence_start = cmp_builder_taken(builder) + 1;
    }
    MRD_TRY(cmp_log_range_read(&range, err));
    if (taking.status != MRD_OK) { /* what is not in quarantine yet must not count as built */
        build->store_unusable = taking.status != MRD_E_CONFLICT;
        cmp_builder_destroy(&partition->builder);
        return taking.status;
    }
    if (cmp_builder_taken(builder) < target && !cmp_builder_full(builder)) {
        return look_for_lost(environment, partition, target, err);
    }
    return MRD_OK;
}

/* ---- which log it is ---- */

enum mrd_status cmp_build_compare(struct mrd_bus *bus, const struct mrd_catalog_built *built,
                                  const struct mrd_log_state *log, struct mrd_error *out_why,
                                  struct mrd_error *err)
{
    const struct mrd_log_mark mark = {built->sequence, built->stored_ms};
    bool has = true;
    *out_why = (struct mrd_error){0};
    if (mrd_log_identity_known(built->log) && !mrd_log_identity_equal(built->log, log->identity)) {
        (void)mrd_fail(
            out_why, MRD_E_CORRUPT,
            "the log's stream was made at %" PRId64 " ns (base %" PRIu64
            "), the one that is built at %" PRId64 " ns (base %" PRIu64 "): it was made anew",
            log->identity.created_ns, log->identity.base, built->log.created_ns, built->log.base);
        return MRD_OK;
    }
    MRD_TRY(mrd_log_has_mark(bus, built->partition, log, mark, LOG_CALL_MS, &has, out_why, err));
    if (has) {
        *out_why = (struct mrd_error){0};
    }
    return MRD_OK;
}

/* A log that has ended before what is built may have grown past it since. */
static enum mrd_status compare(const struct cmp_environment *environment,
                               struct build_partition *partition, const struct mrd_log_state *log,
                               struct mrd_error *out_why, struct mrd_error *err)
{
    const struct mrd_catalog_built built = cmp_build_known(environment->catalog, partition->number);
    if (log->sequence_last < built.sequence &&
        (!mrd_log_identity_known(built.log) || mrd_log_identity_equal(built.log, log->identity))) {
        partition->went_back = log->identity;
    }
    MRD_TRY(cmp_build_compare(environment->bus, &built, log, out_why, err));
    if (out_why->status == MRD_OK && mrd_log_identity_equal(partition->went_back, log->identity)) {
        (void)mrd_fail(out_why, MRD_E_CORRUPT,
                       "the log ended before %" PRIu64
                       ", up to which blocks are built (it ends at %" PRIu64
                       " now): it was restored from a copy",
                       built.sequence, log->sequence_last);
    }
    return MRD_OK;
}

static bool is_sure(const struct cmp_environment *environment,
                    const struct build_partition *partition, const struct mrd_log_state *log)
{
    const struct mrd_catalog_built built = cmp_build_known(environment->catalog, partition->number);
    return partition->sure != 0 && partition->sure == mrd_bus_generation(environment->bus) &&
           mrd_log_identity_equal(partition->log, log->identity) &&
           mrd_log_identity_equal(built.log, log->identity) && log->sequence_last >= built.sequence;
}

/* Whether sequences of this log mean what the catalog means. Somebody may have adopted it since the catalog was read. */
static enum mrd_status check_log(const struct cmp_environment *environment,
                                 struct build_partition *partition, const struct mrd_log_state *log,
                                 struct mrd_error *err)
{
    struct mrd_error why = {0};
    const uint64_t generation = mrd_bus_generation(environment->bus);
    if (is_sure(environment, partition, log)) {
        return MRD_OK;
    }
    partition->sure = 0;
    MRD_TRY(compare(environment, partition, log, &why, err));
    if (why.status != MRD_OK) {
        MRD_TRY(mrd_catalog_refresh(environment->catalog, &environment->control, err));
        MRD_TRY(compare(environment, partition, log, &why, err));
    }
    if (why.status != MRD_OK) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "partition %" PRIu32
                        ": %s; nothing is built of it before somebody has decided (mrdctl log "
                        "status, mrdctl log adopt)",
                        partition->number, why.text);
    }
    partition->log = log->identity;
    partition->sure = generation;
    return MRD_OK;
}

enum mrd_status cmp_build_check_again(const struct cmp_environment *environment,
                                      struct build_partition *partition, struct mrd_error *err)
{
    struct mrd_log_state log;
    const struct mrd_log_identity before = partition->log;
    MRD_TRY(mrd_log_state_read(environment->bus, partition->number, LOG_CALL_MS, &log, err));
    partition->sure = 0;
    MRD_TRY(check_log(environment, partition, &log, err));
    return mrd_log_identity_equal(before, partition->log)
               ? MRD_OK
               : mrd_fail(err, MRD_E_CONFLICT,
                          "partition %" PRIu32 ": the log has become another meanwhile",
                          partition->number);
}

/* ---- building ---- */

/* The process or its store is in trouble, not this partition. */
static bool concerns_all(enum mrd_status status)
{
    return status == MRD_E_FATAL || status == MRD_E_CANCELED || status == MRD_E_DENIED;
}

/* A builder whose range begins behind `built`. */
static void builder_ready(struct cmp_build *build, struct build_partition *partition,
                          uint64_t built)
{
    if (partition->builder != NULL && cmp_builder_first(partition->builder) != built + 1) {
        MRD_LOG_INFO("another has built what was begun here",
                     mrd_log_uint("partition", partition->number), mrd_log_uint("built", built));
        if (cmp_builder_taken(partition->builder) <= built) {
            cmp_builder_begin(partition->builder, built + 1);
        } else { /* what lies behind `built` was read and dropped with the range */
            cmp_builder_destroy(&partition->builder);
        }
    }
    if (partition->builder == NULL) {
        struct cmp_build_limits limits = build->options.limits;
        if (partition->samples_max > 0) {
            limits.samples_max = MRD_MIN(limits.samples_max, partition->samples_max);
        }
        partition->builder = cmp_builder_create(partition->number, &limits, &build->figures);
        cmp_builder_begin(partition->builder, built + 1);
        partition->mark_count = 0;
    }
}

static enum mrd_status commit(const struct cmp_environment *environment,
                              const struct build_partition *partition,
                              const struct mrd_block_entry *entries, size_t entry_count,
                              mrd_time_ms begun_ms, struct mrd_error *err)
{
    const uint64_t first = cmp_builder_first(partition->builder);
    const struct mrd_catalog_built_change built = {
        .partition = partition->number,
        .from = first - 1,
        .to = cmp_builder_last(partition->builder),
        .log = partition->log,
        .stored_ms = cmp_builder_last_stored_ms(partition->builder)};
    const struct mrd_catalog_change change = {
        .add = entries,
        .add_count = entry_count,
        .built = &built,
        .built_count = 1,
        .begun_ms = entry_count > 0 ? begun_ms : 0,
    };
    return mrd_catalog_commit(environment->catalog, &change, &environment->control, err);
}

static enum mrd_status check_lease(const struct build_partition *partition, struct mrd_error *err)
{
    return mrd_lease_held(partition->lease)
               ? MRD_OK
               : mrd_fail(err, MRD_E_CONFLICT,
                          "partition %" PRIu32 ": the lease was lost meanwhile", partition->number);
}

/* Writes and commits the range at hand. */
static enum mrd_status write_range(struct cmp_build *build,
                                   const struct cmp_environment *environment,
                                   struct build_partition *partition, struct mrd_error *err)
{
    struct cmp_builder *builder = partition->builder;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("blocks of a range", ENTRIES_BYTES);

    const struct mrd_block_entry *entries = NULL;
    size_t entry_count = 0;
    const mrd_time_ms begun_ms = mrd_clock_now_ms(build->options.clock);
    const mrd_time_ms most_ms = mrd_catalog_grace_ms(environment->catalog) / 2;
    const struct mrd_objstore_control control =
        mrd_objstore_control_within(&environment->control, build->options.clock, most_ms);
    const struct cmp_build_target target = {
        .store = environment->store, .control = &control, .begun_ms = begun_ms};
    /* Whoever has lost the lease does not begin to write: others may have built what is read here long ago, and past a request to erase. */
    MRD_TRY(check_lease(partition, err));
    MRD_TRY(cmp_builder_write(builder, &target, arena, &entries, &entry_count, err));
    MRD_TRY(check_lease(partition, err));
    /* What was read was read since this log was looked at, if it still is the same. */
    MRD_TRY(cmp_build_check_again(environment, partition, err));
    MRD_TRY(commit(environment, partition, entries, entry_count, begun_ms, err));
    cmp_builder_committed(builder);
    MRD_LOG_DEBUG("built", mrd_log_uint("partition", partition->number),
                  mrd_log_uint("first", cmp_builder_first(builder)),
                  mrd_log_uint("last", cmp_builder_last(builder)),
                  mrd_log_uint("blocks", entry_count));
    cmp_builder_begin(builder, cmp_builder_last(builder) + 1);
    cmp_builder_tidy(builder);
    return MRD_OK;
}

/* Reads what fits and builds it. What was read before reading failed is built too, so no rows are left in memory. */
static enum mrd_status build_range(struct cmp_build *build,
                                   const struct cmp_environment *environment,
                                   struct build_partition *partition, uint64_t built,
                                   uint64_t target, struct mrd_error *err)
{
    struct cmp_builder *builder = partition->builder;
    enum mrd_status read = MRD_OK;
    if (cmp_builder_taken(builder) < target && !cmp_builder_full(builder)) {
        read = read_range(build, environment, partition, built, target, err);
    }
    if (partition->builder == NULL || concerns_all(read) ||
        cmp_builder_last(builder) < cmp_builder_first(builder)) {
        return read;
    }
    struct mrd_error own = {0};
    const enum mrd_status status = write_range(build, environment, partition, &own);
    build->store_unusable = status == MRD_E_UNAVAILABLE || status == MRD_E_TIMEOUT;
    if (status != MRD_OK) {
        *err = own;
        return status;
    }
    return read;
}

/* The requests to erase that are not done. What comes late, or once more, is stamped before them and stands behind them, where a builder that was made
 * since may not have met them: the log may have dropped them. Those that the catalog takes from now on stand behind what is built, so in the log. */
static enum mrd_status load_requests(struct cmp_build *build,
                                     const struct cmp_environment *environment,
                                     struct mrd_error *err)
{
    mrd_auto(mrd_catalog_unpin)
    struct mrd_catalog_state *state = mrd_catalog_pin(environment->catalog);
    struct mrd_catalog_requests *requests = NULL;
    if (mrd_catalog_erasure_count(state) > 0) {
        MRD_TRY(mrd_catalog_requests_load_all(environment->store, state, build->requests,
                                              &environment->control, &requests, err));
    }
    mrd_catalog_requests_destroy(&build->requests);
    build->requests = requests;
    return MRD_OK;
}

static enum mrd_status build_ranges(struct cmp_build *build,
                                    const struct cmp_environment *environment,
                                    struct build_partition *partition, uint64_t target,
                                    const struct mrd_erasure *const *erasures, size_t erasure_count,
                                    struct mrd_error *err)
{
    uint64_t built = cmp_build_built(environment->catalog, partition->number);
    while (built < target) {
        builder_ready(build, partition, built);
        cmp_builder_follow(partition->builder, erasures, erasure_count);
        MRD_TRY(build_range(build, environment, partition, built, target, err));
        built = cmp_build_built(environment->catalog, partition->number);
        atomic_store_explicit(&partition->built, built, memory_order_relaxed);
        atomic_store_explicit(&partition->memory, cmp_builder_memory(partition->builder),
                              memory_order_relaxed);
        MRD_TRY(mrd_objstore_check(&environment->control, err));
    }
    return MRD_OK;
}

/* Builds all that the log has up to target. */
static enum mrd_status build_to(struct cmp_build *build, const struct cmp_environment *environment,
                                struct build_partition *partition, uint64_t target,
                                struct mrd_error *err)
{
    MRD_TRY(mrd_catalog_refresh(environment->catalog, &environment->control, err));
    MRD_TRY(load_requests(build, environment, err));
    const size_t count = mrd_catalog_requests_count(build->requests);
    const struct mrd_erasure **erasures = calloc(count + 1, sizeof(const struct mrd_erasure *));
    mrd_assert(erasures != NULL);
    for (size_t i = 0; i < count; i++) {
        const struct mrd_catalog_erasure *of_state;
        erasures[i] = mrd_catalog_requests_at(build->requests, i, &of_state);
    }
    const enum mrd_status status =
        build_ranges(build, environment, partition, target, erasures, count, err);
    if (partition->builder != NULL) {
        cmp_builder_follow(partition->builder, NULL, 0);
    }
    free(erasures);
    MRD_TRY(status);
    partition->waiting_since_ns = 0;
    /* Whoever wants more than the log had says so again. */
    atomic_store_explicit(&partition->wanted, 0, memory_order_relaxed);
    return MRD_OK;
}

static uint64_t log_permille(const struct mrd_log_state *log)
{
    return log->bytes_max <= 0 ? 0 : log->bytes / MRD_MAX((uint64_t)log->bytes_max / 1000, 1U);
}

static enum mrd_status partition_round(struct cmp_build *build,
                                       const struct cmp_environment *environment,
                                       struct build_partition *partition, struct mrd_error *err)
{
    struct mrd_log_state log;
    const mrd_time_ms looked_ms = mrd_clock_now_ms(build->options.clock);
    MRD_TRY(mrd_log_state_read(environment->bus, partition->number, LOG_CALL_MS, &log, err));
    const uint64_t built = cmp_build_built(environment->catalog, partition->number);
    atomic_store_explicit(&partition->built, built, memory_order_relaxed);
    atomic_store_explicit(&partition->log_last, log.sequence_last, memory_order_relaxed);
    atomic_store_explicit(&partition->log_permille, log_permille(&log), memory_order_relaxed);
    MRD_TRY(cmp_build_guard_age(build, environment, partition, &log, built, err));
    MRD_TRY(check_log(environment, partition, &log, err));
    const bool due = is_due(build, partition, &log, built);
    atomic_store_explicit(&partition->waiting_ns, partition->waiting_since_ns,
                          memory_order_relaxed);
    if (due) {
        MRD_TRY(build_to(build, environment, partition, log.sequence_last, err));
    }
    return cmp_build_trim(build, environment, partition, &log, looked_ms, err);
}

/* ---- the round ---- */

/* The partition waits for a while; the others go on. */
static void set_aside(const struct cmp_build *build, struct build_partition *partition,
                      enum mrd_status status, const struct mrd_error *err)
{
    if (status == MRD_E_CONFLICT) {
        MRD_LOG_INFO("a race for a partition was lost",
                     mrd_log_uint("partition", partition->number), mrd_log_error(err));
    } else {
        mrd_counter_add(build->partition_failures, 1);
        MRD_LOG_ERROR("a partition cannot be built for now",
                      mrd_log_uint("partition", partition->number),
                      mrd_log_str("status", mrd_status_name(status)), mrd_log_error(err));
    }
    if (status == MRD_E_LIMIT && partition->builder != NULL) {
        partition->samples_max = MRD_MAX(cmp_builder_samples(partition->builder) / 2, (uint64_t)1);
    }
    if (status != MRD_E_UNAVAILABLE && status != MRD_E_TIMEOUT) {
        cmp_builder_destroy(&partition->builder); /* it is read anew */
    }
    partition->pause_ms =
        MRD_MIN(MRD_MAX(2 * partition->pause_ms, PARTITION_PAUSE_MS_MIN), PARTITION_PAUSE_MS_MAX);
    partition->retry_ns = mrd_clock_monotonic_ns(build->options.clock) + partition->pause_ms * MS;
}

static enum mrd_status round_all(struct cmp_build *build, const struct cmp_environment *environment,
                                 const struct mrd_members_snapshot *snapshot, struct mrd_error *err)
{
    const uint32_t first = build->next;
    for (uint32_t k = 0; k < build->options.partition_count; k++) {
        const uint32_t i = (first + k) % build->options.partition_count;
        struct build_partition *partition = &build->partitions[i];
        bool held = false;
        MRD_TRY(mrd_objstore_check(&environment->control, err));
        MRD_TRY(hold(environment, partition, is_ours(build, snapshot, i), &held, err));
        if (!held || mrd_clock_monotonic_ns(build->options.clock) < partition->retry_ns) {
            continue;
        }
        const enum mrd_status status = partition_round(build, environment, partition, err);
        if (concerns_all(status) || build->store_unusable) {
            build->next = i; /* its range is in memory: no other is read before that is stored */
            return status;
        }
        if (status != MRD_OK) {
            set_aside(build, partition, status, err);
        } else {
            partition->pause_ms = 0;
        }
    }
    return MRD_OK;
}

static enum mrd_status round_run(void *context, const struct cmp_environment *environment,
                                 struct mrd_error *err)
{
    struct cmp_build *build = context;
    build->store_unusable = false;
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(build->options.members);
    cmp_build_look_at_queriers(build, snapshot);
    /* Who has not heard of the others yet would take what is theirs. */
    const enum mrd_status status =
        snapshot->settled ? round_all(build, environment, snapshot, err) : MRD_OK;
    mrd_members_release(&snapshot);
    return status;
}

static void round_end(void *context, const struct cmp_environment *environment)
{
    (void)environment;
    struct cmp_build *build = context;
    for (uint32_t i = 0; i < build->options.partition_count; i++) {
        give_up(&build->partitions[i]);
    }
}

struct mrd_catalog_built cmp_build_known(struct mrd_catalog *catalog, uint32_t partition)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    const struct mrd_catalog_built *built = mrd_catalog_built_find(state, partition);
    const struct mrd_catalog_built known =
        built == NULL ? (struct mrd_catalog_built){.partition = partition} : *built;
    mrd_catalog_unpin(&state);
    return known;
}

uint64_t cmp_build_built(struct mrd_catalog *catalog, uint32_t partition)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    const uint64_t built = mrd_catalog_built(state, partition);
    mrd_catalog_unpin(&state);
    return built;
}

/* ---- figures ---- */

static double read_held(void *context)
{
    const struct cmp_build *build = context;
    double held = 0;
    for (uint32_t i = 0; i < build->options.partition_count; i++) {
        held += atomic_load_explicit(&build->partitions[i].held, memory_order_relaxed) ? 1 : 0;
    }
    return held;
}

static double read_waiting(void *context)
{
    const struct cmp_build *build = context;
    double waiting = 0;
    for (uint32_t i = 0; i < build->options.partition_count; i++) {
        const struct build_partition *partition = &build->partitions[i];
        const uint64_t built = atomic_load_explicit(&partition->built, memory_order_relaxed);
        const uint64_t last = atomic_load_explicit(&partition->log_last, memory_order_relaxed);
        if (atomic_load_explicit(&partition->held, memory_order_relaxed) && last > built) {
            waiting += (double)(last - built);
        }
    }
    return waiting;
}

static double read_oldest(void *context)
{
    const struct cmp_build *build = context;
    const int64_t now_ns = mrd_clock_monotonic_ns(build->options.clock);
    int64_t oldest_ns = 0;
    for (uint32_t i = 0; i < build->options.partition_count; i++) {
        const struct build_partition *partition = &build->partitions[i];
        const int64_t since_ns = atomic_load_explicit(&partition->waiting_ns, memory_order_relaxed);
        if (atomic_load_explicit(&partition->held, memory_order_relaxed) && since_ns != 0) {
            oldest_ns = MRD_MAX(oldest_ns, now_ns - since_ns);
        }
    }
    return (double)oldest_ns / 1e9;
}

static double read_fullest(void *context)
{
    const struct cmp_build *build = context;
    uint64_t permille = 0;
    for (uint32_t i = 0; i < build->options.partition_count; i++) {
        const struct build_partition *partition = &build->partitions[i];
        if (atomic_load_explicit(&partition->held, memory_order_relaxed)) {
            permille = MRD_MAX(
                permille, atomic_load_explicit(&partition->log_permille, memory_order_relaxed));
        }
    }
    return (double)permille / 1000;
}

static double read_nearest_to_age(void *context)
{
    const struct cmp_build *build = context;
    uint64_t permille = 0;
    for (uint32_t i = 0; i < build->options.partition_count; i++) {
        const struct build_partition *partition = &build->partitions[i];
        if (atomic_load_explicit(&partition->held, memory_order_relaxed)) {
            permille = MRD_MAX(
                permille, atomic_load_explicit(&partition->age_permille, memory_order_relaxed));
        }
    }
    return (double)permille / 1000;
}

static double read_blind(void *context)
{
    const struct cmp_build *build = context;
    return (double)atomic_load_explicit(&build->blind, memory_order_relaxed);
}

static double read_memory(void *context)
{
    const struct cmp_build *build = context;
    uint64_t memory = 0;
    for (uint32_t i = 0; i < build->options.partition_count; i++) {
        memory += atomic_load_explicit(&build->partitions[i].memory, memory_order_relaxed);
    }
    return (double)memory;
}

void cmp_build_metrics_init(struct cmp_build *build)
{
    struct mrd_metrics *metrics = build->options.metrics;
    build->partition_failures = mrd_metrics_counter(
        metrics, "meridian_build_partition_failures_total",
        "Times that a partition could not be built and was set aside.", MRD_NO_LABELS);
    build->trimmed = mrd_metrics_counter(metrics, "meridian_build_log_trimmed_entries_total",
                                         "Entries that were trimmed from the log.", MRD_NO_LABELS);
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "meridian_build_partitions",
                         "Partitions that this process builds.", MRD_NO_LABELS, read_held, build);
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "meridian_build_waiting_entries",
                         "Entries of these partitions' logs that are not in blocks yet.",
                         MRD_NO_LABELS, read_waiting, build);
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "meridian_build_waiting_seconds",
                         "How long the oldest of these entries has been waiting.", MRD_NO_LABELS,
                         read_oldest, build);
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "meridian_build_log_full_ratio",
                         "How full the fullest of these partitions' logs is, 0 to 1.",
                         MRD_NO_LABELS, read_fullest, build);
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "meridian_build_log_age_ratio",
                         "How near these partitions' logs are to forgetting by age what is not in "
                         "blocks, 0 to 1.",
                         MRD_NO_LABELS, read_nearest_to_age, build);
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "meridian_build_queriers_without_blocks",
                         "Queriers that read no blocks, for which the log is kept longer.",
                         MRD_NO_LABELS, read_blind, build);
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "meridian_build_memory_bytes",
                         "Memory of references, labels and rows of these partitions.",
                         MRD_NO_LABELS, read_memory, build);
}

struct cmp_role cmp_build_role(struct cmp_build *build)
{
    return (struct cmp_role){.name = CMP_BUILD_ROLE,
                             .interval_ms = ROUND_MS,
                             .round = round_run,
                             .end = round_end,
                             .context = build};
}
