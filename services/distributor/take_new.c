/* Series that a tenant with limits.active_series_max did not have in the series cache: new ones, or those that another process or
 * an earlier one of ours has introduced. */
#include <inttypes.h>

#include "distributor/intake_internal.h"

static enum mrd_status refuse(struct dst_taking *taking, struct mrd_error *err)
{
    const struct dst_write *write = taking->write;
    taking->limited = DST_REASON_SERIES_LIMIT;
    if (!dst_take_first(taking, DST_REASON_SERIES_LIMIT)) {
        return MRD_E_LIMIT;
    }
    const struct dst_tally_state state =
        dst_tally_state(taking->intake->options.tallies, write->tally);
    return mrd_fail(err, MRD_E_LIMIT,
                    "tenant \"%.*s\" has %" PRIu64 " active series, limits.active_series_max "
                    "(%" PRIu64 ") allows no new ones: send fewer series, without labels whose "
                    "values change all the time, or have the limit raised",
                    (int)write->tenant.size, (const char *)write->tenant.data, state.series,
                    write->limits.active_series_max);
}

static enum mrd_status by_verdict(struct dst_taking *taking, const struct dst_doubt *doubt,
                                  struct mrd_error *err)
{
    switch (doubt->verdict) {
    case DST_DOUBT_OPEN:
        return MRD_E_NOT_FOUND;
    case DST_DOUBT_REFUSED:
        return refuse(taking, err);
    case DST_DOUBT_ACTIVE:
    case DST_DOUBT_GRANTED:
    case DST_DOUBT_UNANSWERED:
    case DST_VERDICTS:
        break;
    }
    return MRD_OK;
}

enum mrd_status dst_take_new(struct dst_taking *taking, struct mrd_id128 key, mrd_series_id id,
                             uint32_t partition, struct mrd_error *err)
{
    const struct dst_intake_options *options = &taking->intake->options;
    struct dst_write *write = taking->write;
    if (options->asker == NULL) {
        return MRD_OK;
    }
    const struct dst_doubt *known =
        write->doubts == NULL ? NULL : dst_doubts_find(write->doubts, key);
    if (known != NULL) {
        return by_verdict(taking, known, err);
    }
    if (write->tally == NULL) {
        write->tally =
            dst_tallies_borrow(options->tallies, write->tenant, write->limits.active_series_max);
    }
    switch (dst_tally_take(write->tally)) {
    case DST_TALLY_TAKEN:
        return MRD_OK;
    case DST_TALLY_UNCHECKED:
        mrd_counter_add(options->asker_metrics->series[DST_DOUBT_UNANSWERED], 1);
        return MRD_OK;
    case DST_TALLY_ASK:
        break;
    }
    if (write->doubts == NULL) {
        write->doubts = dst_doubts_create();
    }
    dst_doubts_add(write->doubts,
                   &(struct dst_doubt){.key = key, .id = id, .partition = partition});
    return MRD_E_NOT_FOUND;
}

/* ---- passes ---- */

enum mrd_status dst_take_room(const struct dst_taking *taking, size_t entries)
{
    const struct dst_doubts *doubts = taking->write->doubts;
    return doubts == NULL || dst_doubts_room(doubts) >= entries ? MRD_OK : MRD_E_CONFLICT;
}

enum mrd_status dst_take_pass_end(struct dst_taking *taking, enum mrd_status status)
{
    struct dst_doubts *doubts = taking->write->doubts;
    for (size_t i = 0; i < doubts->count; i++) {
        doubts->items[i].done = doubts->items[i].verdict != DST_DOUBT_OPEN;
    }
    doubts->entries = taking->entries;
    doubts->metadata = taking->metadata;
    doubts->finished = doubts->finished || status == MRD_OK;
    return status == MRD_E_CONFLICT ? MRD_OK : status;
}

bool dst_take_skips(struct dst_taking *taking, const struct mrd_rw_series *series,
                    const struct mrd_id128 *key)
{
    const struct dst_doubt *doubt =
        key == NULL ? NULL : dst_doubts_find(taking->write->doubts, *key);
    const bool decided = doubt != NULL && doubt->verdict != DST_DOUBT_OPEN && !doubt->done;
    if (!decided) {
        taking->exemplars += series->exemplar_count; /* looked at in an earlier pass */
    }
    return !decided || series->sample_count + series->histogram_count + series->exemplar_count == 0;
}
