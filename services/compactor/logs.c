#include "compactor/logs.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "compactor/build_internal.h"

enum { LOG_CALL_MS = 5000 };

/* ---- looking ---- */

/* What heads have applied of the log that blocks were built of. */
static void look_at_heads(const struct cmp_logs_options *options, uint32_t partition,
                          struct cmp_log_look *look)
{
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(options->members);
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct mrd_member *member = &snapshot->members[i];
        for (size_t k = 0; k < member->partition_count; k++) {
            const struct mrd_member_partition *record = &member->partitions[k];
            if (record->partition == partition && record->sequence > look->known_end &&
                mrd_log_identity_equal(record->log, look->built.log)) {
                look->known_end = record->sequence;
                (void)snprintf(look->known_by, sizeof(look->known_by), "%s", member->instance);
            }
        }
    }
    mrd_members_release(&snapshot);
}

enum mrd_status cmp_logs_look(const struct cmp_logs_options *options, uint32_t partition,
                              struct cmp_log_look *out, struct mrd_error *err)
{
    struct cmp_log_look look = {.built = cmp_build_known(options->catalog, partition)};
    look.known_end = look.built.sequence;
    look_at_heads(options, partition, &look);
    const enum mrd_status status =
        mrd_log_state_read(options->bus, partition, LOG_CALL_MS, &look.stream, err);
    if (status == MRD_E_NOT_FOUND) {
        look.belongs = CMP_LOG_MISSING;
        look.why = *err;
        *out = look;
        return MRD_OK;
    }
    MRD_TRY(status);
    MRD_TRY(cmp_build_compare(options->bus, &look.built, &look.stream, &look.why, err));
    const struct mrd_log_identity stream = look.stream.identity;
    look.belongs =
        look.why.status == MRD_OK ? (look.built.sequence == 0 ? CMP_LOG_UNBUILT : CMP_LOG_SAME)
        : look.built.log.created_ns == stream.created_ns || look.built.log.created_ns == 0
            ? CMP_LOG_RESTORED
            : CMP_LOG_NEW;
    *out = look;
    return MRD_OK;
}

/* ---- adopting ---- */

/* Requests to erase name places in the log; no message may come to stand at one of them. */
static uint64_t erasures_end(struct mrd_catalog *catalog, uint32_t partition)
{
    uint64_t end = 0;
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    for (size_t i = 0; i < mrd_catalog_erasure_count(state); i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(state, i);
        if (partition < erasure->partition_count) {
            end = MRD_MAX(end, erasure->sequences[partition]);
        }
    }
    mrd_catalog_unpin(&state);
    return end;
}

static enum mrd_status check_lost(const struct cmp_log_look *look, uint64_t lost_through,
                                  struct mrd_error *err)
{
    return lost_through >= look->known_end && lost_through > 0
               ? MRD_OK
               : mrd_fail(
                     err, MRD_E_CONFLICT,
                     "partition %" PRIu32 ": %s. Blocks have the log of before up to %" PRIu64
                     ", and %s knows of it up to %" PRIu64 ". What it took behind %" PRIu64
                     " is in no block: restore its stream, or say that it is lost, through %" PRIu64
                     " at least, and through more if you know that it went further",
                     look->built.partition, look->why.text, look->built.sequence,
                     look->known_by[0] == '\0' ? "nobody else" : look->known_by, look->known_end,
                     look->built.sequence, look->known_end);
}

/* The first message of the stream that blocks cannot have. */
static enum mrd_status first_new(const struct cmp_logs_options *options,
                                 const struct cmp_log_look *look, uint64_t *out_stream_sequence,
                                 struct mrd_error *err)
{
    *out_stream_sequence = 1;
    if (look->belongs != CMP_LOG_RESTORED || look->built.stored_ms == 0) {
        return MRD_OK;
    }
    return mrd_log_stored_after(options->bus, look->built.partition, &look->stream,
                                look->built.stored_ms, LOG_CALL_MS, out_stream_sequence, err);
}

/* The stream's new messages get positions behind `end`, unless an attempt before this one has done it. */
static enum mrd_status adopt_stream(const struct cmp_logs_options *options,
                                    const struct cmp_log_look *look, uint64_t end,
                                    struct mrd_log_identity *out, struct mrd_error *err)
{
    struct mrd_log_adoption adoption = {.log = look->stream.identity, .sequence = end + 1};
    MRD_TRY(first_new(options, look, &adoption.stream_from, err));
    if (mrd_log_map_position(&look->stream.map, adoption.stream_from) > end) {
        *out = look->stream.identity;
        return MRD_OK;
    }
    return mrd_log_adopt(options->bus, look->built.partition, &adoption, LOG_CALL_MS, out, err);
}

static enum mrd_status adopt_once(const struct cmp_logs_options *options, uint32_t partition,
                                  uint64_t lost_through, const struct mrd_objstore_control *control,
                                  bool *out_adopted, struct mrd_error *err)
{
    struct cmp_log_look look;
    MRD_TRY(mrd_catalog_refresh(options->catalog, control, err));
    MRD_TRY(cmp_logs_look(options, partition, &look, err));
    *out_adopted = false;
    if (look.belongs == CMP_LOG_SAME || look.belongs == CMP_LOG_UNBUILT) {
        return MRD_OK;
    }
    if (look.belongs == CMP_LOG_MISSING) {
        return mrd_fail(err, MRD_E_CONFLICT,
                        "partition %" PRIu32 ": there is no stream: restore it, or start any "
                        "service of the region, which makes it anew",
                        partition);
    }
    MRD_TRY(check_lost(&look, lost_through, err));
    uint64_t end = MRD_MAX(lost_through, erasures_end(options->catalog, partition));
    if (look.belongs == CMP_LOG_RESTORED) { /* who reads it already may have used these */
        end = MRD_MAX(end, look.stream.sequence_last);
    }
    struct mrd_log_identity log;
    MRD_TRY(adopt_stream(options, &look, end, &log, err));
    const struct mrd_catalog_log_change change = {.partition = partition,
                                                  .built = look.built.sequence,
                                                  .from = look.built.log,
                                                  .to = log,
                                                  .stored_ms = look.built.stored_ms};
    if (!mrd_log_identity_equal(look.built.log, log)) {
        const struct mrd_catalog_change all = {.logs = &change, .log_count = 1};
        MRD_TRY(mrd_catalog_commit(options->catalog, &all, control, err));
    }
    *out_adopted = true;
    MRD_LOG_WARN("a partition's log was adopted: what was lost of the one before is given up",
                 mrd_log_uint("partition", partition), mrd_log_uint("built", look.built.sequence),
                 mrd_log_uint("goes_on_behind", end), mrd_log_int("created_ns", log.created_ns));
    return MRD_OK;
}

enum mrd_status cmp_logs_adopt(const struct cmp_logs_options *options, uint32_t partition,
                               uint64_t lost_through, const struct mrd_objstore_control *control,
                               bool *out_adopted, struct mrd_error *err)
{
    char key[MRD_LEASE_KEY_MAX];
    struct mrd_lease *lease = NULL;
    (void)snprintf(key, sizeof(key), "logs/%" PRIu32, partition);
    MRD_TRY(mrd_lease_try(options->leases, key, &lease, err));
    if (lease == NULL) {
        return mrd_fail(err, MRD_E_UNAVAILABLE,
                        "partition %" PRIu32 ": its log is being adopted by another compactor",
                        partition);
    }
    enum mrd_status status =
        adopt_once(options, partition, lost_through, control, out_adopted, err);
    mrd_lease_release(&lease);
    return status;
}
