#include "distributor/intake.h"

#include <inttypes.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/random.h>

#include "wire/remote_write.h"
#include "wire/snappy_block.h"

enum {
    GROUP = 64, /* series whose cache slots are asked for before the first is looked at */
    /* Series that are read in one go. A write that has more is walked to its end first, so that a malformed one
     * leaves nothing behind. */
    CHUNK = 4096,
    QUEUE_MAX = 1 << 20,
    TENANTS_SHOWN_MAX = 500,       /* with counters of their own */
    SCRATCH_BYTES_MAX = 512 << 20, /* label bytes that a sender did not write contiguously */
};

/* Times beyond +- this cannot be stored (MRD_HEAD_TIME_MAX). */
#define TIME_MAX_MS ((mrd_time_ms)1 << 52)

struct dst_intake {
    struct dst_intake_options options;
    struct mrd_shard *shard;
    struct dst_batcher *batcher;
    struct dst_batcher_stats counted; /* of the batcher, as far as it stands in the metrics */
    struct dst_series_cache cache;
    struct mrd_buf decoded;
    struct mrd_buf canonical;
    struct mrd_arena *scratch;
    uint64_t key_secret; /* so that nobody can make label bytes with the key of another's series */
    struct mrd_rw_series series[CHUNK];
};

/* What stays the same for all series of a write. */
struct taking {
    struct dst_intake *intake;
    struct dst_write *write;
    uint64_t tenant_seed;
    uint64_t key_seed;
    uint32_t epoch;
    mrd_time_ms time_max_ms;
    uint64_t hits;
    uint64_t misses;
};

void dst_intake_metrics_init(struct dst_intake_metrics *metrics, struct mrd_metrics *registry)
{
    const struct {
        struct mrd_counter **counter;
        const char *name;
        const char *help;
    } counters[] = {
        {&metrics->requests,       "meridian_distributor_requests_total",            "Write requests taken in."  },
        {&metrics->accepted,       "meridian_distributor_samples_accepted_total",
         "Samples that the log has and the sender was told so."                                                  },
        {&metrics->failed,         "meridian_distributor_samples_failed_total",
         "Samples of requests answered with 503 because the log did not take them."                              },
        {&metrics->limited,        "meridian_distributor_samples_limited_total",
         "Samples of requests answered with 429."                                                                },
        {&metrics->exemplars,      "meridian_distributor_exemplars_ignored_total",
         "Exemplars received; they are not stored yet."                                                          },
        {&metrics->metadata,       "meridian_distributor_metadata_ignored_total",
         "Metadata entries received; they are not stored yet."                                                   },
        {&metrics->series_hits,    "meridian_distributor_series_cache_hits_total",
         "Series entries found in the series cache with a reference ready for use."                              },
        {&metrics->series_misses,  "meridian_distributor_series_cache_misses_total",
         "Series entries whose labels were parsed."                                                              },
        {&metrics->batches,        "meridian_distributor_batches_total",             "Batches handed to the log."},
        {&metrics->batch_bytes,    "meridian_distributor_batch_bytes_total",
         "Bytes of the batches handed to the log."                                                               },
        {&metrics->announcements,  "meridian_distributor_announcements_total",
         "Series announced with their labels."                                                                   },
        {&metrics->batches_failed, "meridian_distributor_batches_failed_total",
         "Batches that the log did not acknowledge in time or did not take."                                     },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(counters); i++) {
        *counters[i].counter =
            mrd_metrics_counter(registry, counters[i].name, counters[i].help, MRD_NO_LABELS);
    }
    for (int i = 0; i < DST_REASONS; i++) {
        metrics->rejected[i] =
            mrd_metrics_counter(registry, "meridian_distributor_samples_rejected_total",
                                "Samples that can never be written, by reason.",
                                MRD_LABELS({"reason", dst_reason_name((enum dst_reason)i)}));
    }
    metrics->tenant_accepted = mrd_metrics_counter_vec(
        registry, "meridian_distributor_tenant_samples_accepted_total",
        "Samples that the log has, by tenant; beyond the first tenants as \"other\".", "tenant",
        MRD_NO_LABELS, TENANTS_SHOWN_MAX);
    metrics->tenant_rejected = mrd_metrics_counter_vec(
        registry, "meridian_distributor_tenant_samples_rejected_total",
        "Samples that can never be written or are over the rate, by tenant.", "tenant",
        MRD_NO_LABELS, TENANTS_SHOWN_MAX);
    metrics->ack_seconds =
        mrd_metrics_histogram(registry, "meridian_distributor_ack_seconds",
                              "Time from a complete request to its acknowledgement.", MRD_NO_LABELS,
                              mrd_bounds_seconds, mrd_bounds_seconds_count);
}

/* ---- one series entry ---- */

static void reject(struct taking *taking, enum dst_reason reason, uint64_t count,
                   const struct mrd_error *why)
{
    dst_write_reject(taking->write, reason, count, why);
    mrd_counter_add(taking->intake->options.metrics->rejected[reason], count);
}

static bool time_allowed(const struct taking *taking, mrd_time_ms time_ms)
{
    return mrd_likely(time_ms <= taking->time_max_ms && time_ms >= -TIME_MAX_MS);
}

static void reject_time(struct taking *taking, mrd_time_ms time_ms)
{
    struct mrd_error why;
    if (time_ms > TIME_MAX_MS || time_ms < -TIME_MAX_MS) {
        (void)mrd_fail(&why, MRD_E_INVALID, "timestamp %" PRId64 " ms cannot be stored", time_ms);
        reject(taking, DST_REASON_TIME, 1, &why);
        return;
    }
    (void)mrd_fail(&why, MRD_E_INVALID,
                   "timestamp %" PRId64 " ms lies more than limits.creation_grace_period "
                   "(%" PRId64 " ms) in the future: set the sender's clock",
                   time_ms, taking->intake->options.limits.creation_grace_ms);
    reject(taking, DST_REASON_FUTURE, 1, &why);
}

/* The next samples of a series that may be written, at most DST_ROW_SAMPLES_MAX; 0 at the end. */
static size_t next_samples(struct taking *taking, struct mrd_bytes *rest,
                           struct mrd_sample samples[DST_ROW_SAMPLES_MAX])
{
    size_t count = 0;
    while (count < DST_ROW_SAMPLES_MAX && mrd_rw_samples_next(rest, &samples[count])) {
        if (time_allowed(taking, samples[count].time_ms)) {
            count++;
        } else {
            reject_time(taking, samples[count].time_ms);
        }
    }
    return count;
}

static enum mrd_status parse_labels(struct dst_intake *intake, struct mrd_bytes raw,
                                    struct mrd_error *err)
{
    struct mrd_label items[MRD_RW_LABELS_MAX];
    size_t count;
    MRD_TRY(mrd_rw_labels_read(raw, items, &count, err));
    MRD_TRY(mrd_labels_validate(items, &count, &intake->options.limits.labels, err));
    mrd_buf_clear(&intake->canonical);
    mrd_labels_encode((struct mrd_labels){items, count}, &intake->canonical);
    return intake->canonical.size <= MRD_BATCH_LABELS_SIZE_MAX
               ? MRD_OK
               : mrd_fail(err, MRD_E_LIMIT, "the labels of a series have %zu bytes, at most %d go",
                          intake->canonical.size, MRD_BATCH_LABELS_SIZE_MAX);
}

/* Parses the labels of a series that is new or must be announced (again) and announces it. MRD_E_INVALID
 * and MRD_E_LIMIT: no series can have these labels. */
static enum mrd_status introduce(struct taking *taking, struct mrd_bytes raw, struct mrd_id128 key,
                                 struct dst_series **series, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);
static enum mrd_status introduce(struct taking *taking, struct mrd_bytes raw, struct mrd_id128 key,
                                 struct dst_series **series, struct mrd_error *err)
{
    struct dst_intake *intake = taking->intake;
    MRD_TRY(parse_labels(intake, raw, err));
    const struct mrd_bytes canonical = mrd_buf_view(&intake->canonical);
    const mrd_series_id id = mrd_series_id_of(taking->tenant_seed, canonical);
    if (*series == NULL) {
        *series = dst_series_cache_insert(&intake->cache, key, taking->epoch);
        (*series)->partition = mrd_series_partition(id, intake->options.batcher.partition_count);
    }
    taking->misses++;
    return dst_batcher_announce(intake->batcher, *series, taking->write->tenant, id, canonical,
                                err);
}

/* Adds a row for samples that may be written. MRD_E_INVALID and MRD_E_LIMIT: the labels cannot be. */
static enum mrd_status add_row(struct taking *taking, struct mrd_bytes raw, struct mrd_id128 key,
                               const struct mrd_sample *samples, size_t count,
                               struct mrd_error *err) MRD_ON(mrd_shard_thread);
static enum mrd_status add_row(struct taking *taking, struct mrd_bytes raw, struct mrd_id128 key,
                               const struct mrd_sample *samples, size_t count,
                               struct mrd_error *err)
{
    struct dst_intake *intake = taking->intake;
    struct dst_series *series = dst_series_cache_find(&intake->cache, key);
    if (mrd_likely(series != NULL && dst_batcher_is_announced(intake->batcher, series))) {
        taking->hits++;
    } else {
        MRD_TRY(introduce(taking, raw, key, &series, err));
    }
    dst_batcher_row(intake->batcher, taking->write, series, samples, count);
    taking->write->written += count;
    return MRD_OK;
}

/* Labels that no series can have are said so, for `count` samples; anything else fails the write. */
static enum mrd_status after_row(struct taking *taking, enum mrd_status status, uint64_t count,
                                 const struct mrd_error *err)
{
    if (mrd_likely(status == MRD_OK) || (status != MRD_E_INVALID && status != MRD_E_LIMIT)) {
        return status;
    }
    reject(taking, status == MRD_E_LIMIT ? DST_REASON_LABEL_LIMIT : DST_REASON_LABELS, count, err);
    return MRD_OK;
}

/* A long series becomes several rows, so that a batch can be full between them. */
static enum mrd_status take_samples(struct taking *taking, const struct mrd_rw_series *series,
                                    struct mrd_id128 key, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);
static enum mrd_status take_samples(struct taking *taking, const struct mrd_rw_series *series,
                                    struct mrd_id128 key, struct mrd_error *err)
{
    struct mrd_sample samples[DST_ROW_SAMPLES_MAX];
    struct mrd_bytes rest = series->samples;
    size_t count;
    while ((count = next_samples(taking, &rest, samples)) > 0) {
        const enum mrd_status status = add_row(taking, series->labels, key, samples, count, err);
        MRD_TRY(after_row(taking, status, count, err));
    }
    return MRD_OK;
}

static enum mrd_status take_series(struct taking *taking, const struct mrd_rw_series *series,
                                   struct mrd_id128 key, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);
static enum mrd_status take_series(struct taking *taking, const struct mrd_rw_series *series,
                                   struct mrd_id128 key, struct mrd_error *err)
{
    if (mrd_unlikely(series->histogram_count > 0)) {
        struct mrd_error why;
        (void)mrd_fail(&why, MRD_E_UNSUPPORTED,
                       "native histograms are not supported by this version: send classic ones");
        reject(taking, DST_REASON_HISTOGRAM, series->histogram_count, &why);
    }
    if (mrd_likely(series->sample_count == 1 && time_allowed(taking, series->first.time_ms))) {
        const enum mrd_status status = add_row(taking, series->labels, key, &series->first, 1, err);
        return after_row(taking, status, 1, err);
    }
    return take_samples(taking, series, key, err);
}

/* ---- one write ---- */

static enum mrd_status take_chunk(struct taking *taking, size_t count, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);
static enum mrd_status take_chunk(struct taking *taking, size_t count, struct mrd_error *err)
{
    struct dst_intake *intake = taking->intake;
    struct mrd_id128 keys[GROUP];
    for (size_t start = 0; start < count; start += GROUP) {
        const struct mrd_rw_series *series = &intake->series[start];
        const size_t group = MRD_MIN(count - start, (size_t)GROUP);
        for (size_t i = 0; i < group; i++) {
            keys[i] = dst_series_key(series[i].labels, taking->key_seed);
            dst_series_cache_prefetch(&intake->cache, keys[i]);
        }
        for (size_t i = 0; i < group; i++) {
            MRD_TRY(take_series(taking, &series[i], keys[i], err));
        }
    }
    return MRD_OK;
}

static enum mrd_status decode_body(struct dst_intake *intake, struct dst_write *write,
                                   struct mrd_error *err)
{
    const size_t size_max = intake->options.limits.decoded_bytes_max;
    const enum mrd_status status =
        mrd_snappy_decode(mrd_buf_view(&write->body), size_max, &intake->decoded, err);
    return status == MRD_E_LIMIT ? mrd_fail_prefix(err, MRD_E_INVALID, "limits.decoded_bytes_max")
                                 : status;
}

static mrd_time_ms time_max_of(const struct dst_intake *intake)
{
    const mrd_time_ms grace_ms = intake->options.limits.creation_grace_ms;
    const mrd_time_ms now_ms = mrd_clock_now_ms(intake->options.batcher.clock);
    return grace_ms == 0 || grace_ms > TIME_MAX_MS - now_ms ? TIME_MAX_MS : now_ms + grace_ms;
}

static enum mrd_status take_write(struct dst_intake *intake, struct dst_write *write,
                                  struct mrd_error *err) MRD_ON(mrd_shard_thread);
static enum mrd_status take_write(struct dst_intake *intake, struct dst_write *write,
                                  struct mrd_error *err)
{
    MRD_TRY(decode_body(intake, write, err));
    mrd_arena_reset(intake->scratch);
    struct mrd_rw_walk walk;
    struct mrd_rw_totals totals;
    size_t count;
    mrd_rw_walk_init(&walk, mrd_buf_view(&intake->decoded), intake->scratch);
    MRD_TRY(mrd_rw_walk_next(&walk, intake->series, CHUNK, &count, err));
    MRD_TRY(mrd_rw_walk_rest(&walk, &totals, err));
    write->samples = totals.samples + totals.histograms;
    mrd_counter_add(intake->options.metrics->exemplars, totals.exemplars);
    mrd_counter_add(intake->options.metrics->metadata, totals.metadata);
    MRD_TRY(dst_rates_take(intake->options.rates, &intake->options.limits, write->tenant,
                           write->samples, &write->retry_ms, err));
    const uint64_t tenant_seed = mrd_tenant_seed(write->tenant);
    struct taking taking = {
        .intake = intake,
        .write = write,
        .tenant_seed = tenant_seed,
        .key_seed = tenant_seed ^ intake->key_secret,
        .epoch = dst_batcher_epoch(intake->batcher),
        .time_max_ms = time_max_of(intake),
    };
    while (count > 0) {
        MRD_TRY(take_chunk(&taking, count, err));
        MRD_TRY(mrd_rw_walk_next(&walk, intake->series, CHUNK, &count, err));
    }
    mrd_counter_add(intake->options.metrics->series_hits, taking.hits);
    mrd_counter_add(intake->options.metrics->series_misses, taking.misses);
    return MRD_OK;
}

static void count_by_tenant(struct dst_intake_metrics *metrics, const struct dst_write *write)
{
    uint64_t rejected = write->status == MRD_E_LIMIT ? write->samples : 0;
    for (int i = 0; i < DST_REASONS; i++) {
        rejected += write->rejected[i];
    }
    if (rejected > 0) {
        mrd_counter_add(mrd_counter_vec_at(metrics->tenant_rejected, write->tenant), rejected);
    }
    if (write->status == MRD_OK && write->written > 0) {
        mrd_counter_add(mrd_counter_vec_at(metrics->tenant_accepted, write->tenant),
                        write->written);
    }
}

static void complete(void *context, struct dst_write *write)
{
    struct dst_intake *intake = context;
    struct dst_intake_metrics *metrics = intake->options.metrics;
    mrd_counter_add(write->status == MRD_OK        ? metrics->accepted
                    : write->status == MRD_E_LIMIT ? metrics->limited
                                                   : metrics->failed,
                    write->status == MRD_OK ? write->written : write->samples);
    count_by_tenant(metrics, write);
    const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    mrd_metrics_histogram_observe(metrics->ack_seconds,
                                  (double)(now_ns - mrd_http_received_ns(write->request)) / 1e9);
    /* Relaxed: a bound, not a lock. */
    atomic_fetch_sub_explicit(intake->options.bytes_in_flight, (int64_t)write->body.size,
                              memory_order_relaxed);
    dst_write_answer(&write);
}

static void run_write(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    mrd_shard_assert_on(shard);
    struct dst_intake *intake = mrd_shard_context(shard);
    struct dst_write *write = MRD_CONTAINER_OF(message, struct dst_write, message);
    write->pending = 1; /* until all of it has been taken in */
    mrd_counter_add(intake->options.metrics->requests, 1);
    struct mrd_error err;
    const enum mrd_status status = take_write(intake, write, &err);
    if (status != MRD_OK && write->status == MRD_OK) {
        write->status = status;
        write->error = err;
    }
    if (--write->pending == 0) {
        complete(intake, write);
    }
}

/* ---- the shard ---- */

static void count_batches(struct dst_intake *intake) MRD_ON(mrd_shard_thread);
static void count_batches(struct dst_intake *intake)
{
    struct dst_batcher_stats now;
    dst_batcher_stats(intake->batcher, &now);
    const struct dst_batcher_stats *last = &intake->counted;
    struct dst_intake_metrics *metrics = intake->options.metrics;
    mrd_counter_add(metrics->batches, now.batches - last->batches);
    mrd_counter_add(metrics->batch_bytes, now.batch_bytes - last->batch_bytes);
    mrd_counter_add(metrics->announcements, now.announcements - last->announcements);
    mrd_counter_add(metrics->batches_failed, now.failed - last->failed);
    intake->counted = now;
}

static void on_batch(struct mrd_shard *shard)
{
    mrd_shard_assert_on(shard);
    struct dst_intake *intake = mrd_shard_context(shard);
    dst_batcher_idle(intake->batcher);
    count_batches(intake);
}

enum mrd_status dst_intake_create(const struct dst_intake_options *options,
                                  struct dst_intake **out_intake, struct mrd_error *err)
{
    struct dst_intake *intake = calloc(1, sizeof(*intake));
    mrd_assert(intake != NULL);
    intake->options = *options;
    intake->scratch = mrd_arena_create("label bytes of one write", SCRATCH_BYTES_MAX);
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(&intake->key_secret, sizeof(intake->key_secret), 0) ==
               (ssize_t)sizeof(intake->key_secret));
    dst_series_cache_init(&intake->cache, options->cache_bytes_max);
    const struct mrd_shard_config shard = {
        .name = "intake",
        .queue_max = QUEUE_MAX,
        .clock = options->batcher.clock,
        .context = intake,
        .on_batch = on_batch,
    };
    struct dst_batcher_options batcher = options->batcher;
    batcher.on_complete = complete;
    batcher.context = intake;
    const enum mrd_status status = mrd_shard_create(&shard, &intake->shard, err);
    if (status == MRD_OK) {
        batcher.shard = intake->shard;
        intake->batcher = dst_batcher_create(&batcher);
        *out_intake = intake;
        return MRD_OK;
    }
    dst_series_cache_fini(&intake->cache);
    mrd_arena_destroy(&intake->scratch);
    free(intake);
    return status;
}

bool dst_intake_post(struct dst_intake *intake, struct dst_write *write)
{
    write->message.run = run_write;
    return mrd_shard_post(intake->shard, &write->message);
}

struct limits_message {
    struct mrd_shard_message message;
    struct dst_limits limits;
};

static void run_limits(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    struct dst_intake *intake = mrd_shard_context(shard);
    struct limits_message *mine = MRD_CONTAINER_OF(message, struct limits_message, message);
    intake->options.limits = mine->limits;
    free(mine);
}

void dst_intake_limits_set(struct dst_intake *intake, const struct dst_limits *limits)
{
    struct limits_message *mine = malloc(sizeof(*mine));
    mrd_assert(mine != NULL);
    *mine = (struct limits_message){.message.run = run_limits, .limits = *limits};
    if (!mrd_shard_post(intake->shard, &mine->message)) {
        free(mine); /* the shard stops: no write will need them */
    }
}

struct flush_message {
    struct mrd_shard_message message;
    sem_t done;
};

static void run_flush(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    mrd_shard_assert_on(shard);
    struct dst_intake *intake = mrd_shard_context(shard);
    dst_batcher_flush(intake->batcher);
    sem_post(&MRD_CONTAINER_OF(message, struct flush_message, message)->done);
}

void dst_intake_flush(struct dst_intake *intake)
{
    struct flush_message mine = {.message.run = run_flush};
    sem_init(&mine.done, 0, 0);
    if (mrd_shard_post(intake->shard, &mine.message)) {
        while (sem_wait(&mine.done) != 0) { /* a signal; wait on */
        }
    }
    sem_destroy(&mine.done);
}

void dst_intake_destroy(struct dst_intake **intake)
{
    if (*intake == NULL) {
        return;
    }
    mrd_shard_stop((*intake)->shard);
    dst_batcher_destroy(&(*intake)->batcher);
    mrd_shard_destroy(&(*intake)->shard);
    dst_series_cache_fini(&(*intake)->cache);
    mrd_buf_fini(&(*intake)->decoded);
    mrd_buf_fini(&(*intake)->canonical);
    mrd_arena_destroy(&(*intake)->scratch);
    free(*intake);
    *intake = NULL;
}
