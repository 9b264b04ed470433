/* What of a partition's log may go. */
#include <inttypes.h>

#include "base/log.h"
#include "compactor/build_internal.h"

enum {
    MARK_MS = 30000,
    MARKS_PER_WINDOW = 8,
    TRIM_EVERY_MS = 10000,
    LOG_CALL_MS = 5000,
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

/* The first sequence that is still needed. */
static uint64_t needed_from(const struct cmp_build *build, const struct build_partition *partition,
                            const struct mrd_log_state *log, uint64_t built)
{
    const struct cmp_build_options *options = &build->options;
    const mrd_time_ms now_ms = mrd_clock_now_ms(options->clock);
    uint64_t first =
        MRD_MIN(built + 1, cmp_builder_references_first(partition->builder,
                                                        now_ms - options->references_kept_ms));
    /* The window saves a new ingester the blocks of the last hours. Before a log refuses writers, it is given up. */
    if (log->bytes < (uint64_t)log->bytes_max / 4 * 3) {
        first = MRD_MIN(first, sequence_before(partition, now_ms - options->log_window_ms));
    }
    return first;
}

enum mrd_status cmp_build_trim(struct cmp_build *build, const struct cmp_environment *environment,
                               struct build_partition *partition, const struct mrd_log_state *log,
                               struct mrd_error *err)
{
    const int64_t now_ns = mrd_clock_monotonic_ns(build->options.clock);
    if (!build->options.trim || partition->builder == NULL || now_ns < partition->trim_ns) {
        return MRD_OK;
    }
    const uint64_t built = cmp_build_built(environment->catalog, partition->number);
    const uint64_t first = needed_from(build, partition, log, built);
    if (first <= log->sequence_first) {
        return MRD_OK;
    }
    MRD_TRY(mrd_log_trim(environment->bus, partition->number, first, LOG_CALL_MS, err));
    mrd_counter_add(build->trimmed, first - log->sequence_first);
    MRD_LOG_INFO("trimmed the log", mrd_log_uint("partition", partition->number),
                 mrd_log_uint("first", first), mrd_log_uint("built", built));
    partition->trim_ns = now_ns + TRIM_EVERY_MS * MS;
    return MRD_OK;
}
