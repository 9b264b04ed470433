#include "distributor/intake_internal.h"

#include <semaphore.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    QUEUE_MAX = 1 << 20,
    SCRATCH_BYTES_MAX = 512 << 20, /* label bytes that are not contiguous, and tables of symbols */
    FAMILIES_BYTES_MAX = 16 << 20, /* half a million metric families */
};

static void complete(void *context, struct dst_write *write)
{
    struct dst_intake *intake = context;
    struct dst_intake_metrics *metrics = intake->options.metrics;
    dst_intake_count(metrics, write);
    if (write->tally != NULL) {
        dst_tallies_give_back(intake->options.tallies, &write->tally);
    }
    const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    mrd_metrics_histogram_observe(metrics->ack_seconds,
                                  (double)(now_ns - mrd_http_received_ns(write->request)) / 1e9);
    /* Relaxed: a bound, not a lock. */
    atomic_fetch_sub_explicit(intake->options.bytes_in_flight, (int64_t)write->body.size,
                              memory_order_relaxed);
    dst_write_answer(&write);
}

static void fail_busy(struct dst_write *write)
{
    if (write->status == MRD_OK) {
        write->status =
            mrd_fail(&write->error, MRD_E_UNAVAILABLE,
                     "too many requests of the tenant wait to hear whether their series are new "
                     "(limits.active_series_max): send again later");
    }
}

static void take(struct dst_intake *intake, struct dst_write *write) MRD_ON(mrd_shard_thread);
static void take(struct dst_intake *intake, struct dst_write *write)
{
    struct mrd_error err;
    enum mrd_status status = dst_take_write(intake, write, &err);
    while (status == MRD_OK && dst_doubts_are_open(write->doubts)) {
        const enum dst_asker_post posted = dst_asker_post(intake->options.asker, write);
        if (posted == DST_ASKER_TAKEN) {
            return; /* it comes back */
        }
        if (posted == DST_ASKER_BUSY) {
            fail_busy(write);
            break;
        }
        status = dst_take_write(intake, write, &err);
    }
    if (status != MRD_OK && write->status == MRD_OK) {
        write->status = status;
        write->error = err;
    }
    if (--write->pending == 0) {
        complete(intake, write);
    }
}

static void run_write(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    mrd_shard_assert_on(shard);
    struct dst_intake *intake = mrd_shard_context(shard);
    struct dst_write *write = MRD_CONTAINER_OF(message, struct dst_write, message);
    write->pending = 1; /* until all of it has been taken in */
    write->intake = intake;
    mrd_counter_add(intake->options.metrics->requests[write->is_v2 ? 1 : 0], 1);
    take(intake, write);
}

static void run_again(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    mrd_shard_assert_on(shard);
    take(mrd_shard_context(shard), MRD_CONTAINER_OF(message, struct dst_write, message));
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

static void intake_free(struct dst_intake **intake)
{
    dst_series_cache_fini(&(*intake)->cache);
    dst_series_cache_fini(&(*intake)->families);
    mrd_buf_fini(&(*intake)->decoded);
    mrd_buf_fini(&(*intake)->canonical);
    mrd_buf_fini(&(*intake)->exemplar_labels);
    mrd_rw_histogram_room_destroy(&(*intake)->histogram_room);
    mrd_arena_destroy(&(*intake)->scratch);
    free(*intake);
    *intake = NULL;
}

enum mrd_status dst_intake_create(const struct dst_intake_options *options,
                                  struct dst_intake **out_intake, struct mrd_error *err)
{
    struct dst_intake *intake = calloc(1, sizeof(*intake));
    mrd_assert(intake != NULL);
    intake->options = *options;
    intake->scratch = mrd_arena_create("label bytes of one write", SCRATCH_BYTES_MAX);
    intake->histogram_room = mrd_rw_histogram_room_create();
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(&intake->key_secret, sizeof(intake->key_secret), 0) ==
               (ssize_t)sizeof(intake->key_secret));
    dst_series_cache_init(&intake->cache, options->cache_bytes_max);
    dst_series_cache_init(&intake->families, FAMILIES_BYTES_MAX);
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
    intake_free(&intake);
    return status;
}

bool dst_intake_post(struct dst_intake *intake, struct dst_write *write)
{
    write->message.run = run_write;
    return mrd_shard_post(intake->shard, &write->message);
}

bool dst_intake_resume(void *context, struct dst_write *write)
{
    (void)context;
    write->message.run = run_again;
    return mrd_shard_post(write->intake->shard, &write->message);
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
    intake_free(intake);
}
