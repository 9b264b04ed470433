#include "distributor/intake_internal.h"

#include <inttypes.h>

#include "codec/snappy_block.h"
#include "wire/references.h"

/* Times beyond +- this cannot be stored (MRD_HEAD_TIME_MAX). */
#define TIME_MAX_MS ((mrd_time_ms)1 << 52)

/* Heads keep a series for longer than so many label epochs after it was named last. */
enum { RECENT_EPOCHS = 1 };
_Static_assert((int)RECENT_EPOCHS < (int)MRD_REFERENCES_EPOCHS_KEPT, "or it may be gone");

/* ---- what is refused ---- */

void dst_take_reject(struct dst_taking *taking, enum dst_kind kind, enum dst_reason reason,
                     uint64_t count, const struct mrd_error *why)
{
    if (count > 0 && (!taking->again || reason == DST_REASON_SERIES_LIMIT)) {
        dst_write_reject(taking->write, kind, reason, count, why);
        mrd_counter_add(taking->intake->options.metrics->rejected[kind][reason], count);
    }
}

static bool time_allowed(const struct dst_taking *taking, mrd_time_ms time_ms)
{
    return mrd_likely(time_ms <= taking->time_max_ms && time_ms >= -TIME_MAX_MS);
}

static void reject_time(struct dst_taking *taking, enum dst_kind kind, mrd_time_ms time_ms)
{
    struct mrd_error why;
    const bool possible = time_ms <= TIME_MAX_MS && time_ms >= -TIME_MAX_MS;
    const enum dst_reason reason = possible ? DST_REASON_FUTURE : DST_REASON_TIME;
    if (dst_take_first(taking, reason) && possible) {
        (void)mrd_fail(&why, MRD_E_INVALID,
                       "timestamp %" PRId64 " ms lies more than limits.creation_grace_period "
                       "(%" PRId64 " ms) in the future: set the sender's clock",
                       time_ms, taking->write->limits.creation_grace_ms);
    } else if (dst_take_first(taking, reason)) {
        (void)mrd_fail(&why, MRD_E_INVALID, "timestamp %" PRId64 " ms cannot be stored", time_ms);
    }
    dst_take_reject(taking, kind, reason, 1, &why);
}

bool dst_take_time(struct dst_taking *taking, enum dst_kind kind, mrd_time_ms time_ms)
{
    if (time_allowed(taking, time_ms)) {
        return true;
    }
    reject_time(taking, kind, time_ms);
    return false;
}

enum mrd_status dst_take_after(struct dst_taking *taking, enum mrd_status status,
                               enum dst_kind kind, uint64_t count, const struct mrd_error *err)
{
    if (mrd_likely(status == MRD_OK)) {
        return status;
    }
    if (status == MRD_E_INVALID || status == MRD_E_LIMIT) {
        dst_take_reject(taking, kind, status == MRD_E_LIMIT ? taking->limited : DST_REASON_LABELS,
                        count, err);
        return MRD_OK;
    }
    return status == MRD_E_NOT_FOUND ? MRD_OK : status; /* in doubt */
}

/* ---- one series entry ---- */

static enum mrd_status parse_labels(struct dst_taking *taking, struct mrd_bytes raw,
                                    struct mrd_error *err)
{
    struct dst_intake *intake = taking->intake;
    struct mrd_label items[MRD_RW_LABELS_MAX];
    size_t count;
    if (taking->v2 == NULL) {
        MRD_TRY(mrd_rw_labels_read(raw, items, &count, err));
    } else {
        MRD_TRY(mrd_rw2_labels_read(taking->v2, raw, items, &count, err));
    }
    MRD_TRY(mrd_labels_validate(items, &count, &taking->write->limits.labels, err));
    mrd_buf_clear(&intake->canonical);
    mrd_labels_encode((struct mrd_labels){items, count}, &intake->canonical);
    return intake->canonical.size <= MRD_BATCH_LABELS_SIZE_MAX
               ? MRD_OK
               : mrd_fail(err, MRD_E_LIMIT, "the labels of a series have %zu bytes, at most %d go",
                          intake->canonical.size, MRD_BATCH_LABELS_SIZE_MAX);
}

/* Parses the labels of a series that is new or must be announced (again) and announces it. MRD_E_INVALID
 * and MRD_E_LIMIT: no series can have these labels. */
static enum mrd_status introduce(struct dst_taking *taking, struct mrd_bytes raw,
                                 struct mrd_id128 key, size_t size_bytes,
                                 struct dst_series **series, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);
static enum mrd_status introduce(struct dst_taking *taking, struct mrd_bytes raw,
                                 struct mrd_id128 key, size_t size_bytes,
                                 struct dst_series **series, struct mrd_error *err)
{
    struct dst_intake *intake = taking->intake;
    taking->limited = DST_REASON_LABEL_LIMIT;
    MRD_TRY(parse_labels(taking, raw, err));
    const struct mrd_bytes canonical = mrd_buf_view(&intake->canonical);
    const mrd_series_id id = mrd_series_id_of(taking->tenant_seed, canonical);
    const uint32_t partition = mrd_series_partition(id, intake->options.batcher.partition_count);
    const bool recent = *series != NULL && taking->epoch - (*series)->epoch <= RECENT_EPOCHS;
    if (taking->write->limits.active_series_max != 0 && !recent) {
        MRD_TRY(dst_take_new(taking, key, id, partition, err));
    }
    if (*series == NULL) {
        *series = dst_series_cache_insert(&intake->cache, key, taking->epoch);
        (*series)->partition = partition;
    }
    taking->misses++;
    if (size_bytes > 0) {
        dst_batcher_reserve(intake->batcher, (*series)->partition, size_bytes + canonical.size);
    }
    return dst_batcher_announce(intake->batcher, *series, taking->write->tenant, id, canonical,
                                err);
}

enum mrd_status dst_take_ready(struct dst_taking *taking, const struct mrd_rw_series *series,
                               struct mrd_id128 key, size_t size_bytes,
                               struct dst_series **out_series, struct mrd_error *err)
{
    struct dst_intake *intake = taking->intake;
    struct dst_series *found = dst_series_cache_find(&intake->cache, key);
    if (found != NULL) {
        dst_batcher_reserve(intake->batcher, found->partition, size_bytes);
    }
    if (found != NULL && dst_batcher_is_announced(intake->batcher, found)) {
        taking->hits++;
    } else {
        MRD_TRY(introduce(taking, series->labels, key, size_bytes, &found, err));
    }
    *out_series = found;
    return MRD_OK;
}

/* Samples that may be written, at most DST_ROW_SAMPLES_MAX. */
struct samples {
    struct mrd_sample items[DST_ROW_SAMPLES_MAX];
    mrd_time_ms start_times_ms[DST_ROW_SAMPLES_MAX];
    size_t count;
    bool started; /* one has a start time */
};

/* Adds a row. MRD_E_INVALID and MRD_E_LIMIT: the labels cannot be. */
static inline enum mrd_status add_row(struct dst_taking *taking, struct mrd_bytes raw,
                                      struct mrd_id128 key, const struct mrd_sample *samples,
                                      const mrd_time_ms *start_times_ms, size_t count,
                                      struct mrd_error *err) MRD_ON(mrd_shard_thread);
static inline enum mrd_status add_row(struct dst_taking *taking, struct mrd_bytes raw,
                                      struct mrd_id128 key, const struct mrd_sample *samples,
                                      const mrd_time_ms *start_times_ms, size_t count,
                                      struct mrd_error *err)
{
    struct dst_intake *intake = taking->intake;
    struct dst_series *series = dst_series_cache_find(&intake->cache, key);
    if (mrd_likely(series != NULL && dst_batcher_is_announced(intake->batcher, series))) {
        taking->hits++;
    } else {
        MRD_TRY(introduce(taking, raw, key, 0, &series, err));
    }
    dst_batcher_row(intake->batcher, taking->write, series, samples, start_times_ms, count);
    return MRD_OK;
}

/* The next samples of a series that may be written; false at the end. */
static bool next_samples(struct dst_taking *taking, struct mrd_bytes *rest, struct samples *out)
{
    struct mrd_sample sample;
    mrd_time_ms start_ms = 0;
    out->count = 0;
    out->started = false;
    while (out->count < DST_ROW_SAMPLES_MAX &&
           (taking->v2 == NULL ? mrd_rw_samples_next(rest, &sample)
                               : mrd_rw2_samples_next(rest, &sample, &start_ms))) {
        if (dst_take_time(taking, DST_KIND_SAMPLES, sample.time_ms)) {
            out->items[out->count] = sample;
            out->start_times_ms[out->count++] = start_ms;
            out->started = out->started || start_ms != 0;
        }
    }
    return out->count > 0;
}

/* A long series becomes several rows, so that a batch can be full between them. */
static enum mrd_status take_samples(struct dst_taking *taking, const struct mrd_rw_series *series,
                                    struct mrd_id128 key, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);
static enum mrd_status take_samples(struct dst_taking *taking, const struct mrd_rw_series *series,
                                    struct mrd_id128 key, struct mrd_error *err)
{
    struct samples samples;
    struct mrd_bytes rest = series->samples;
    while (next_samples(taking, &rest, &samples)) {
        const enum mrd_status status =
            add_row(taking, series->labels, key, samples.items,
                    samples.started ? samples.start_times_ms : NULL, samples.count, err);
        MRD_TRY(dst_take_after(taking, status, DST_KIND_SAMPLES, samples.count, err));
    }
    return MRD_OK;
}

/* Remote write 2.0: "At least one element in samples or in histograms MUST be provided". Prometheus' own sender does
 * otherwise: it sends exemplars in series of their own, which are taken, or all of them would be lost. */
static void reject_empty(struct dst_taking *taking)
{
    struct mrd_error why;
    (void)mrd_fail(&why, MRD_E_INVALID, "TimeSeries must contain at least one sample or histogram");
    taking->write->asked[DST_KIND_SERIES]++;
    dst_take_reject(taking, DST_KIND_SERIES, DST_REASON_EMPTY, 1, &why);
}

static bool is_empty(const struct mrd_rw_series *series)
{
    return series->sample_count + series->histogram_count + series->exemplar_count == 0;
}

static inline enum mrd_status take_series(struct dst_taking *taking,
                                          const struct mrd_rw_series *series, struct mrd_id128 key,
                                          struct mrd_error *err) MRD_ON(mrd_shard_thread);
static inline enum mrd_status take_series(struct dst_taking *taking,
                                          const struct mrd_rw_series *series, struct mrd_id128 key,
                                          struct mrd_error *err)
{
    if (mrd_likely(series->sample_count == 1 && !series->has_start &&
                   time_allowed(taking, series->first.time_ms))) {
        const enum mrd_status status =
            add_row(taking, series->labels, key, &series->first, NULL, 1, err);
        MRD_TRY(dst_take_after(taking, status, DST_KIND_SAMPLES, 1, err));
    } else {
        MRD_TRY(take_samples(taking, series, key, err));
    }
    return mrd_likely(series->others_size == 0) ? MRD_OK
                                                : dst_take_others(taking, series, key, err);
}

/* References that name no symbols: nothing of the series can be written. */
static void reject_references(struct dst_taking *taking, const struct mrd_rw_series *series)
{
    struct mrd_label items[MRD_RW_LABELS_MAX];
    size_t count;
    struct mrd_error why;
    if (mrd_rw2_labels_read(taking->v2, series->labels, items, &count, &why) == MRD_OK) {
        (void)mrd_fail(&why, MRD_E_INVALID, "the references of labels are malformed");
    }
    const enum dst_reason reason = DST_REASON_LABELS;
    if (is_empty(series)) {
        taking->write->asked[DST_KIND_SERIES]++;
        dst_take_reject(taking, DST_KIND_SERIES, reason, 1, &why);
    }
    dst_take_reject(taking, DST_KIND_SAMPLES, reason, series->sample_count, &why);
    dst_take_reject(taking, DST_KIND_HISTOGRAMS, reason, series->histogram_count, &why);
    dst_take_reject(taking, DST_KIND_EXEMPLARS, reason, series->exemplar_count, &why);
}

/* ---- one write ---- */

static enum mrd_status take_chunk(struct dst_taking *taking, size_t count, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);
static enum mrd_status take_chunk(struct dst_taking *taking, size_t count, struct mrd_error *err)
{
    struct dst_intake *intake = taking->intake;
    struct mrd_id128 keys[DST_GROUP];
    for (size_t start = 0; start < count; start += DST_GROUP) {
        const struct mrd_rw_series *series = &intake->series[start];
        const size_t group = MRD_MIN(count - start, (size_t)DST_GROUP);
        MRD_TRY(dst_take_room(taking, group));
        for (size_t i = 0; i < group; i++) {
            keys[i] = dst_series_key(series[i].labels, taking->key_seed);
            dst_series_cache_prefetch(&intake->cache, keys[i]);
        }
        for (size_t i = 0; i < group; i++) {
            if (mrd_likely(!dst_take_is_done(taking, &series[i], &keys[i]))) {
                MRD_TRY(take_series(taking, &series[i], keys[i], err));
            }
        }
    }
    return MRD_OK;
}

/* The same for 2.0, whose keys may fail. */
static enum mrd_status take_chunk_v2(struct dst_taking *taking, size_t count, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);
static enum mrd_status take_chunk_v2(struct dst_taking *taking, size_t count, struct mrd_error *err)
{
    struct dst_intake *intake = taking->intake;
    struct mrd_id128 keys[DST_GROUP];
    bool valid[DST_GROUP];
    for (size_t start = 0; start < count; start += DST_GROUP) {
        const struct mrd_rw_series *series = &intake->series[start];
        const size_t group = MRD_MIN(count - start, (size_t)DST_GROUP);
        MRD_TRY(dst_take_room(taking, group));
        for (size_t i = 0; i < group; i++) {
            valid[i] = mrd_rw2_key(taking->v2, series[i].labels, &keys[i]);
            if (mrd_likely(valid[i])) {
                dst_series_cache_prefetch(&intake->cache, keys[i]);
            }
        }
        for (size_t i = 0; i < group; i++) {
            if (mrd_unlikely(dst_take_is_done(taking, &series[i], valid[i] ? &keys[i] : NULL))) {
                continue;
            }
            if (mrd_unlikely(!valid[i])) {
                reject_references(taking, &series[i]);
            } else if (mrd_unlikely(is_empty(&series[i]))) {
                reject_empty(taking);
            } else {
                MRD_TRY(take_series(taking, &series[i], keys[i], err));
            }
        }
    }
    return MRD_OK;
}

static enum mrd_status decode_body(struct dst_intake *intake, struct dst_write *write,
                                   struct mrd_error *err)
{
    const size_t size_max = write->limits.decoded_bytes_max;
    const enum mrd_status status =
        mrd_snappy_decode(mrd_buf_view(&write->body), size_max, &intake->decoded, err);
    return status == MRD_E_LIMIT ? mrd_fail_prefix(err, MRD_E_INVALID, "limits.decoded_bytes_max")
                                 : status;
}

static mrd_time_ms time_max_of(const struct dst_intake *intake, mrd_time_ms grace_ms)
{
    const mrd_time_ms now_ms = mrd_clock_now_ms(intake->options.batcher.clock);
    return grace_ms == 0 || grace_ms > TIME_MAX_MS - now_ms ? TIME_MAX_MS : now_ms + grace_ms;
}

/* Notes what the write asks for and takes the tenant's tokens for it, the first time. */
static enum mrd_status admit(struct dst_taking *taking, const struct mrd_rw_totals *totals,
                             struct mrd_error *err) MRD_ON(mrd_shard_thread);
static enum mrd_status admit(struct dst_taking *taking, const struct mrd_rw_totals *totals,
                             struct mrd_error *err)
{
    struct dst_intake *intake = taking->intake;
    struct dst_write *write = taking->write;
    taking->epoch = dst_batcher_epoch(intake->batcher);
    taking->time_max_ms = time_max_of(intake, write->limits.creation_grace_ms);
    if (write->doubts != NULL) {
        return MRD_OK;
    }
    write->asked[DST_KIND_SAMPLES] = totals->samples;
    write->asked[DST_KIND_HISTOGRAMS] = totals->histograms;
    write->asked[DST_KIND_EXEMPLARS] = totals->exemplars;
    write->asked[DST_KIND_METADATA] = write->is_v2 ? 0 : totals->metadata; /* 2.0: as it comes */
    return dst_rates_take(intake->options.rates, &write->limits, write->tenant,
                          totals->samples + totals->histograms + totals->exemplars,
                          &write->retry_ms, err);
}

static enum mrd_status take_v1(struct dst_taking *taking, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);
static enum mrd_status take_v1(struct dst_taking *taking, struct mrd_error *err)
{
    struct dst_intake *intake = taking->intake;
    struct mrd_rw_walk walk;
    struct mrd_rw_totals totals;
    size_t count;
    mrd_rw_walk_init(&walk, mrd_buf_view(&intake->decoded), intake->scratch);
    MRD_TRY(mrd_rw_walk_next(&walk, intake->series, DST_CHUNK, &count, err));
    MRD_TRY(mrd_rw_walk_rest(&walk, &totals, err));
    MRD_TRY(admit(taking, &totals, err));
    const struct mrd_bytes metadata = walk.metadata;
    while (count > 0) {
        MRD_TRY(take_chunk(taking, count, err));
        MRD_TRY(mrd_rw_walk_next(&walk, intake->series, DST_CHUNK, &count, err));
    }
    if (metadata.size > 0 && (taking->write->doubts == NULL || !taking->write->doubts->finished)) {
        dst_take_metadata(taking, metadata);
    }
    return MRD_OK;
}

static enum mrd_status take_v2(struct dst_taking *taking, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);
static enum mrd_status take_v2(struct dst_taking *taking, struct mrd_error *err)
{
    struct dst_intake *intake = taking->intake;
    struct mrd_rw2_walk walk;
    struct mrd_rw_totals totals;
    size_t count;
    MRD_TRY(mrd_rw2_walk_init(&walk, mrd_buf_view(&intake->decoded), intake->scratch,
                              taking->key_seed, err));
    taking->v2 = &walk;
    MRD_TRY(mrd_rw2_walk_next(&walk, intake->series, DST_CHUNK, &count, err));
    MRD_TRY(mrd_rw2_walk_rest(&walk, &totals, err));
    MRD_TRY(admit(taking, &totals, err));
    if (totals.metadata > 0) {
        taking->said =
            mrd_arena_alloc(intake->scratch, (walk.symbol_count + 1) * sizeof(*taking->said));
        if (taking->said == NULL) {
            return mrd_arena_fail(intake->scratch, err);
        }
    }
    while (count > 0) {
        MRD_TRY(take_chunk_v2(taking, count, err));
        MRD_TRY(mrd_rw2_walk_next(&walk, intake->series, DST_CHUNK, &count, err));
    }
    return MRD_OK;
}

enum mrd_status dst_take_write(struct dst_intake *intake, struct dst_write *write,
                               struct mrd_error *err)
{
    MRD_TRY(decode_body(intake, write, err));
    mrd_arena_reset(intake->scratch);
    const uint64_t tenant_seed = mrd_tenant_seed(write->tenant);
    struct dst_taking taking = {
        .intake = intake,
        .write = write,
        .tenant_seed = tenant_seed,
        .key_seed = tenant_seed ^ intake->key_secret,
    };
    if (write->doubts != NULL) {
        taking.entries_before = write->doubts->entries;
        taking.metadata = write->doubts->metadata;
    }
    const enum mrd_status status = write->is_v2 ? take_v2(&taking, err) : take_v1(&taking, err);
    mrd_counter_add(intake->options.metrics->series_hits, taking.hits);
    mrd_counter_add(intake->options.metrics->series_misses, taking.misses);
    return dst_doubts_are_open(write->doubts) ? dst_take_pass_end(&taking, status) : status;
}
