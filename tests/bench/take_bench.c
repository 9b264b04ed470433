/* take_bench.c: what a write costs in a distributor's shard, from its body to batches that the log would get, alone in one thread: the code
 * of the service itself, with a log that takes everything.
 *
 *   take_bench [series] [passes]      default 100000 15
 *
 * Bodies are the load generator's, 2,000 series of one sample, all of them known. Tenants without limits, and with one of active
 * series that is far away. Each figure is the best of the passes, in CPU time of this thread; the variants take turns.
 */
#include <inttypes.h>

#include "bench_tools.h"
#include "distributor/intake_internal.h"
#include "loader/body.h"

enum { SCRAPES = 2, PARTITIONS = 4 };

enum variant { UNLIMITED, LIMITED, VARIANTS };
static const char *const variant_names[VARIANTS] = {
    [UNLIMITED] = "no limit", [LIMITED] = "limits.active_series_max, far away"};

static uint64_t published_bytes;

uint64_t mrd_log_writer_generation(const struct mrd_log_writer *writer)
{
    (void)writer;
    return 1;
}

enum mrd_status mrd_log_writer_ready(struct mrd_log_writer *writer, uint32_t partition,
                                     size_t payload_size, struct mrd_error *err)
{
    (void)writer;
    (void)partition;
    (void)payload_size;
    (void)err;
    return MRD_OK;
}

enum mrd_status mrd_log_writer_publish(struct mrd_log_writer *writer,
                                       const struct mrd_log_batch *batch, struct mrd_error *err)
{
    (void)writer;
    (void)err;
    static _Atomic uint64_t sequence;
    const struct mrd_log_ack ack = {
        .status = MRD_OK,
        .stream_sequence = atomic_fetch_add_explicit(&sequence, 1, memory_order_relaxed) + 1};
    published_bytes += batch->payload.size;
    batch->done(batch->context, &ack);
    return MRD_OK;
}

static void on_complete(void *context, struct dst_write *write)
{
    (void)context;
    (void)write;
    mrd_assert(false); /* the bench keeps its write */
}

static void on_batch(struct mrd_shard *shard)
{
    mrd_shard_assert_on(shard);
    struct dst_intake *intake = mrd_shard_context(shard);
    dst_batcher_idle(intake->batcher);
}

struct bench {
    struct mrd_hlc_clock hlc;
    struct mrd_metrics *metrics;
    struct dst_intake_metrics intake_metrics;
    struct dst_intake *intake;
    struct load_body *bodies;
    size_t body_count;
    uint64_t sample_count;
};

/* As dst_intake_create does, with a shard that this thread is. */
static struct dst_intake *make_intake(struct bench *bench)
{
    struct dst_intake *intake = calloc(1, sizeof(*intake));
    mrd_assert(intake != NULL);
    struct mrd_error err;
    const struct mrd_shard_config shard = {
        .name = "bench", .clock = mrd_clock_system(), .context = intake, .on_batch = on_batch};
    bench_must(mrd_shard_create_stepped(&shard, &intake->shard, &err), &err);
    intake->options = (struct dst_intake_options){
        .batcher = {.shard = intake->shard,
                    .hlc = &bench->hlc,
                    .clock = mrd_clock_system(),
                    .region = "local",
                    .residency_class = "local",
                    .instance = "distributor-0",
                    .partition_count = PARTITIONS,
                    .target_bytes = 128 << 10,
                    .linger_ms_max = 3,
                    .on_complete = on_complete},
        .rates = dst_rates_create(mrd_clock_system()),
        .metrics = &bench->intake_metrics,
    };
    intake->scratch = mrd_arena_create("bench", 512 << 20);
    intake->histogram_room = mrd_rw_histogram_room_create();
    dst_series_cache_init(&intake->cache, 1 << 30);
    dst_series_cache_init(&intake->families, 1 << 20);
    intake->batcher = dst_batcher_create(&intake->options.batcher);
    return intake;
}

static void make_bodies(struct bench *bench, uint64_t series)
{
    const struct load_fleet fleet = {.seed = 1, .start_ms = 1700000000000, .interval_ms = 15000};
    const struct load_plan plan = {.tenant_count = 1,
                                   .tenant_series = series,
                                   .scrape_count = SCRAPES,
                                   .request_samples = 2000,
                                   .connection_count = 1};
    struct load_label_store *store = load_label_store_create(&fleet, &plan);
    struct load_encoder encoder = {.store = store};
    bench->body_count = (size_t)load_plan_requests(&plan, 0);
    bench->bodies = calloc(bench->body_count, sizeof(*bench->bodies));
    mrd_assert(bench->bodies != NULL);
    for (size_t i = 0; i < bench->body_count; i++) {
        const struct load_request request = load_plan_request(&plan, 0, i);
        bench->bodies[i] = load_body_encode(&encoder, &request);
        bench->sample_count += bench->bodies[i].sample_count;
    }
    load_encoder_fini(&encoder);
    load_label_store_destroy(&store);
}

static void run_take(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    mrd_shard_assert_on(shard);
    struct mrd_error err;
    struct dst_write *write = MRD_CONTAINER_OF(message, struct dst_write, message);
    bench_must(dst_take_write(mrd_shard_context(shard), write, &err), &err);
}

/* Takes a body in; all its batches have landed then. */
static void take(struct bench *bench, const struct load_body *body, const struct dst_limits *limits)
{
    struct dst_write write = {.message.run = run_take,
                              .tenant = MRD_BYTES("anonymous"),
                              .limits = *limits,
                              .deadline_ns = INT64_MAX,
                              .pending = 1};
    mrd_buf_append(&write.body, body->data, body->size);
    mrd_assert(mrd_shard_post(bench->intake->shard, &write.message));
    while (mrd_shard_step(bench->intake->shard) > 0 || write.pending > 1) {}
    mrd_assert(write.status == MRD_OK && write.written[DST_KIND_SAMPLES] == body->sample_count);
    mrd_buf_fini(&write.body);
}

static double pass(struct bench *bench, enum variant variant)
{
    struct dst_limits limits = {.decoded_bytes_max = 1 << 30,
                                .histogram_buckets_max = 100,
                                .exemplars_per_request_max = 100,
                                .metadata_per_request_max = 100,
                                .metadata_bytes_max = 1000};
    limits.active_series_max = variant == LIMITED ? UINT64_C(1) << 40 : 0;
    const double before = bench_seconds(CLOCK_THREAD_CPUTIME_ID);
    for (size_t i = 0; i < bench->body_count; i++) {
        take(bench, &bench->bodies[i], &limits);
    }
    return (bench_seconds(CLOCK_THREAD_CPUTIME_ID) - before) / (double)bench->sample_count;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    const size_t passes = bench_argument(argc, argv, 2, 15);
    make_bodies(&bench, bench_argument(argc, argv, 1, 100000));
    bench.metrics = mrd_metrics_create();
    dst_intake_metrics_init(&bench.intake_metrics, bench.metrics);
    mrd_hlc_init(&bench.hlc, mrd_clock_system(), 60000);
    bench.intake = make_intake(&bench);
    (void)pass(&bench, UNLIMITED); /* announces */
    double best[VARIANTS] = {1, 1};
    for (size_t i = 0; i < passes * VARIANTS; i++) {
        const enum variant variant = (enum variant)(i % VARIANTS);
        const double seconds = pass(&bench, variant);
        best[variant] = MRD_MIN(best[variant], seconds);
    }
    for (int i = 0; i < VARIANTS; i++) {
        printf("%-36s %6.1f ns a sample\n", variant_names[i], best[i] * 1e9);
    }
    printf("%" PRIu64 " samples a pass, %" PRIu64 " bytes published\n", bench.sample_count,
           published_bytes);
    return 0; /* all that there is goes with the process */
}
