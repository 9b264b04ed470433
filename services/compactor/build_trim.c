/* What of a partition's log may go. */
#include <inttypes.h>

#include "base/log.h"
#include "compactor/build_internal.h"

enum {
    MARK_MS = 30000,
    MARKS_PER_WINDOW = 8,
    TRIM_EVERY_MS = 10000,
    LOG_CALL_MS = 5000,
    AGE_LOOK_MS = 30000,
    AGE_PERMILLE_WARN = 500, /* of the log's age limit */
    TELL_MS = 60000,
};
static const int64_t MS = 1000000;

void cmp_build_mark(const struct cmp_build *build, struct build_partition *partition,
                    uint64_t sequence, mrd_time_ms stored_ms)
{
    const mrd_time_ms apart_ms =
        MRD_MIN((mrd_time_ms)MARK_MS, build->options.log_window_ms / MARKS_PER_WINDOW);
    struct build_mark *marks = partition->marks;
    partition->last = (struct build_mark){sequence, stored_ms};
    if (partition->mark_count > 0 &&
        stored_ms < marks[partition->mark_count - 1].stored_ms + apart_ms) {
        return;
    }
    if (partition->mark_count == BUILD_MARKS_MAX) { /* every second one goes */
        for (size_t i = 0; i < BUILD_MARKS_MAX / 2; i++) {
            marks[i] = marks[2 * i];
        }
        partition->mark_count = BUILD_MARKS_MAX / 2;
    }
    marks[partition->mark_count++] = (struct build_mark){sequence, stored_ms};
}

/* Of what was stored up to before_ms: the sequence behind it or behind an earlier one, 0: none is known. A log that nothing comes into any more is
 * emptied in the end, and so are the requests to erase in it. */
static uint64_t sequence_before(const struct build_partition *partition, mrd_time_ms before_ms)
{
    uint64_t sequence = 0;
    for (size_t i = 0; i < partition->mark_count; i++) {
        if (partition->marks[i].stored_ms <= before_ms) {
            sequence = partition->marks[i].sequence + 1;
        }
    }
    return partition->last.sequence > 0 && partition->last.stored_ms <= before_ms
               ? partition->last.sequence + 1
               : sequence;
}

/* Queriers that read no blocks have what is in the log, and no less of it than they would have if it forgot by age. */
static mrd_time_ms window_ms(const struct cmp_build *build)
{
    const struct cmp_build_options *options = &build->options;
    if (atomic_load_explicit(&build->blind, memory_order_relaxed) == 0) {
        return options->log_window_ms;
    }
    return options->log_age_ms == 0 ? INT64_MAX / 2
                                    : MRD_MAX(options->log_window_ms, options->log_age_ms);
}

/* Whether the log has no such position behind `first`; where a stream was lost, what it had lies between the positions of the next. */
static bool is_gone(const struct mrd_log_state *log, uint64_t first, uint64_t sequence)
{
    const uint64_t at = mrd_log_map_sequence(&log->map, sequence);
    return sequence < first || mrd_log_map_position(&log->map, at) != sequence;
}

/* The greatest stamp of the requests that the log does not have, if it begins at `first`; 0: it has had none. Those that are done it does not have. Who begins
 * behind a request goes by that, and leaves to blocks what stands behind it and is stamped before it. They have that: a request's own message keeps it here for
 * references_kept, and until all that was read is built. */
static mrd_hlc requests_gone(const struct build_partition *partition,
                             const struct mrd_catalog_state *state, const struct mrd_log_state *log,
                             uint64_t first)
{
    mrd_hlc last = 0;
    for (size_t i = 0; i < mrd_catalog_receipt_count(state); i++) {
        last = MRD_MAX(last, mrd_catalog_receipt_at(state, i)->hlc);
    }
    for (size_t i = 0; i < mrd_catalog_erasure_count(state); i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(state, i);
        if (partition->number < erasure->partition_count &&
            is_gone(log, first, erasure->sequences[partition->number])) {
            last = MRD_MAX(last, erasure->hlc);
        }
    }
    return last;
}

/* The first sequence that is still needed. What was not read yet may name tables that were not heard of since; it was stored after the last entry
 * that was read, or after the log was looked at. */
static uint64_t needed_from(const struct cmp_build *build, const struct build_partition *partition,
                            const struct mrd_log_state *log, mrd_time_ms looked_ms, uint64_t built)
{
    const struct cmp_build_options *options = &build->options;
    const mrd_time_ms now_ms = mrd_clock_now_ms(options->clock);
    const bool has_read_all = log->sequence_last <= cmp_builder_taken(partition->builder);
    const mrd_time_ms read_ms =
        has_read_all ? looked_ms : MRD_MIN(looked_ms, partition->last.stored_ms);
    uint64_t first =
        MRD_MIN(built + 1, cmp_builder_references_first(partition->builder,
                                                        read_ms - options->references_kept_ms));
    /* The window saves a new ingester the blocks of the last hours. Before a log refuses writers, it is given up. */
    if (log->bytes < (uint64_t)log->bytes_max / 4 * 3) {
        first = MRD_MIN(first, sequence_before(partition, now_ms - window_ms(build)));
    }
    return first;
}

/* ---- who drops what ---- */

void cmp_build_look_at_queriers(struct cmp_build *build,
                                const struct mrd_members_snapshot *snapshot)
{
    size_t blind = 0;
    const char *name = "";
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct mrd_member *member = &snapshot->members[i];
        if (member->kind == MRD_MEMBER_QUERIER && !member->reads_blocks) {
            blind++;
            name = member->instance;
        }
    }
    atomic_store_explicit(&build->blind, blind, memory_order_relaxed);
    if (blind > 0 && build->options.trim) {
        MRD_LOG_EVERY(
            TELL_MS, MRD_LEVEL_WARN,
            "a querier reads no blocks, so the log is kept as long as log.max_age says and "
            "answers of that querier end there: give it the compactors' objstore settings",
            mrd_log_str("querier", name), mrd_log_uint("queriers", blind));
    }
}

/* Trimming is off, and the log forgets by age. */
static enum mrd_status look_at_age(const struct cmp_environment *environment,
                                   struct build_partition *partition,
                                   const struct mrd_log_state *log, uint64_t built,
                                   const struct mrd_clock *clock, struct mrd_error *err)
{
    mrd_time_ms stored_ms = 0;
    const uint64_t oldest = MRD_MAX(built + 1, log->sequence_first);
    const enum mrd_status status = mrd_log_stored_read(environment->bus, partition->number, oldest,
                                                       LOG_CALL_MS, &stored_ms, err);
    if (status != MRD_OK && status != MRD_E_NOT_FOUND) {
        return status;
    }
    const mrd_time_ms age_ms = mrd_clock_now_ms(clock) - stored_ms;
    const uint64_t permille =
        status == MRD_OK && age_ms > 0 ? (uint64_t)(age_ms * 1000 / log->age_ms_max) : 0;
    atomic_store_explicit(&partition->age_permille, permille, memory_order_relaxed);
    if (permille >= AGE_PERMILLE_WARN) {
        MRD_LOG_EVERY(TELL_MS, MRD_LEVEL_ERROR,
                      "the log will forget by age what is not in blocks: compactor.trim=true takes "
                      "its age limit away, a greater log.max_age in all services gives time",
                      mrd_log_uint("partition", partition->number), mrd_log_uint("first", oldest),
                      mrd_log_int("stored_ms_ago", age_ms),
                      mrd_log_int("max_age_ms", log->age_ms_max));
    }
    return MRD_OK;
}

enum mrd_status cmp_build_guard_age(const struct cmp_build *build,
                                    const struct cmp_environment *environment,
                                    struct build_partition *partition,
                                    const struct mrd_log_state *log, uint64_t built,
                                    struct mrd_error *err)
{
    if (log->age_ms_max > 0 && build->options.trim) {
        MRD_LOG_WARN("the log had an age limit, by which it would forget what is not in blocks: it "
                     "is taken away, since compactors trim it (log.max_age is for regions without)",
                     mrd_log_uint("partition", partition->number),
                     mrd_log_int("max_age_ms", log->age_ms_max));
        return mrd_log_age_clear(environment->bus, partition->number, LOG_CALL_MS, err);
    }
    const int64_t now_ns = mrd_clock_monotonic_ns(build->options.clock);
    if (log->age_ms_max == 0 || log->sequence_last <= built) {
        atomic_store_explicit(&partition->age_permille, 0, memory_order_relaxed);
        return MRD_OK;
    }
    if (now_ns < partition->age_ns) {
        return MRD_OK;
    }
    partition->age_ns = now_ns + MRD_MIN((mrd_time_ms)AGE_LOOK_MS, log->age_ms_max / 10) * MS;
    return look_at_age(environment, partition, log, built, build->options.clock, err);
}

/* ---- trimming ---- */

enum mrd_status cmp_build_trim(struct cmp_build *build, const struct cmp_environment *environment,
                               struct build_partition *partition, const struct mrd_log_state *log,
                               mrd_time_ms looked_ms, struct mrd_error *err)
{
    const int64_t now_ns = mrd_clock_monotonic_ns(build->options.clock);
    if (!build->options.trim || partition->builder == NULL || now_ns < partition->trim_ns) {
        return MRD_OK;
    }
    mrd_auto(mrd_catalog_unpin)
    struct mrd_catalog_state *state = mrd_catalog_pin(environment->catalog);
    const uint64_t built = mrd_catalog_built(state, partition->number);
    if (cmp_builder_taken(partition->builder) < built) {
        return MRD_OK; /* what is announced before is not known here */
    }
    const uint64_t first = needed_from(build, partition, log, looked_ms, built);
    if (first <= log->sequence_first) {
        return MRD_OK;
    }
    MRD_TRY(cmp_build_check_again(environment, partition, err));
    /* A state that says so much is built has all requests that stand before. */
    MRD_TRY(mrd_log_trim(environment->bus, partition->number, partition->log, first,
                         requests_gone(partition, state, log, first), LOG_CALL_MS, err));
    mrd_counter_add(build->trimmed, first - log->sequence_first);
    MRD_LOG_INFO("trimmed the log", mrd_log_uint("partition", partition->number),
                 mrd_log_uint("first", first), mrd_log_uint("built", built));
    partition->trim_ns = now_ns + TRIM_EVERY_MS * MS;
    return MRD_OK;
}
