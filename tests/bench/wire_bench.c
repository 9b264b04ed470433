/* wire_bench.c: what a sample costs on its way from a remote-write body to a batch and back, alone in one thread.
 *
 *   wire_bench [series] [partitions]      default 100000 4
 *
 * Bodies are the load generator's: 2,000 series of one sample. Each figure is the best of several passes
 * over all bodies, in CPU time of this thread, per sample.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/snappy_block.h"
#include "loader/body.h"
#include "wire/batch.h"
#include "wire/remote_write.h"

enum { SCRAPES = 4, PASSES = 7, GROUP = 4096, PARTITIONS_MAX = 64 };

struct bench {
    struct load_body *bodies; /* of all scrapes */
    struct mrd_buf *decoded;
    size_t body_count;
    uint64_t sample_count;
    uint64_t raw_bytes;
    uint64_t snappy_bytes;
    uint32_t partition_count;
    struct mrd_buf scratch;
    struct mrd_rw_series series[GROUP];
    size_t group; /* series that are read in one go */
    uint32_t row;
    struct mrd_batch_builder *builders[PARTITIONS_MAX];
    struct mrd_buf message;
    size_t target_bytes;
    enum mrd_batch_codec codec;
    uint64_t batch_count;
    uint64_t batch_bytes;
    struct mrd_buf *batches; /* kept for reading */
    size_t batch_kept;
    uint64_t sum; /* so that nothing is left out */
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double measure(struct bench *bench, void (*pass)(struct bench *bench))
{
    double best_s = 1e9;
    for (int i = 0; i < PASSES; i++) {
        const double start_s = now_s();
        pass(bench);
        best_s = MRD_MIN(best_s, now_s() - start_s);
    }
    return best_s * 1e9 / (double)bench->sample_count;
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
    bench->decoded = calloc(bench->body_count, sizeof(*bench->decoded));
    mrd_assert(bench->bodies != NULL && bench->decoded != NULL);
    for (size_t i = 0; i < bench->body_count; i++) {
        const struct load_request request = load_plan_request(&plan, 0, i);
        bench->bodies[i] = load_body_encode(&encoder, &request);
        const struct mrd_bytes body = {bench->bodies[i].data, bench->bodies[i].size};
        mrd_assert(mrd_snappy_decode(body, 0, &bench->decoded[i], NULL) == MRD_OK);
        bench->sample_count += bench->bodies[i].sample_count;
        bench->raw_bytes += bench->bodies[i].raw_size;
        bench->snappy_bytes += body.size;
    }
    load_encoder_fini(&encoder);
    load_label_store_destroy(&store);
}

/* ---- reading a write ---- */

static void pass_snappy(struct bench *bench)
{
    for (size_t i = 0; i < bench->body_count; i++) {
        const struct mrd_bytes body = {bench->bodies[i].data, bench->bodies[i].size};
        mrd_assert(mrd_snappy_decode(body, 0, &bench->scratch, NULL) == MRD_OK);
    }
}

typedef void (*group_fn)(struct bench *bench, const struct mrd_rw_series *series, size_t count);

static void walk(struct bench *bench, struct mrd_bytes message, group_fn use)
{
    struct mrd_rw_walk state;
    size_t count;
    mrd_rw_walk_init(&state, message, NULL);
    do {
        mrd_assert(mrd_rw_walk_next(&state, bench->series, bench->group, &count, NULL) == MRD_OK);
        use(bench, bench->series, count);
    } while (count > 0);
}

static void use_nothing(struct bench *bench, const struct mrd_rw_series *series, size_t count)
{
    bench->sum += count + (count > 0 ? series[0].labels.size : 0);
}

static void use_hash(struct bench *bench, const struct mrd_rw_series *series, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bench->sum += mrd_hash128(series[i].labels, 1).low;
    }
}

/* Rows as the distributor makes them, without its look-up: partitions and references as if it had been. */
static void use_rows(struct bench *bench, const struct mrd_rw_series *series, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t key = mrd_hash128(series[i].labels, 1).high;
        struct mrd_batch_builder *builder = bench->builders[key % bench->partition_count];
        mrd_batch_builder_row(builder, 0, bench->row++ / bench->partition_count,
                              series[i].first.time_ms, series[i].first.value);
    }
}

static void pass_walk(struct bench *bench)
{
    for (size_t i = 0; i < bench->body_count; i++) {
        walk(bench, mrd_buf_view(&bench->decoded[i]), use_nothing);
    }
}

static void pass_hash(struct bench *bench)
{
    for (size_t i = 0; i < bench->body_count; i++) {
        walk(bench, mrd_buf_view(&bench->decoded[i]), use_hash);
    }
}

/* ---- batches ---- */

static void batch_restart(struct bench *bench, uint32_t partition)
{
    mrd_batch_builder_reset(bench->builders[partition]);
    mrd_assert(mrd_batch_builder_tenant(bench->builders[partition], MRD_BYTES("anonymous")) == 0);
}

static void batch_finish(struct bench *bench, uint32_t partition)
{
    struct mrd_batch_builder *builder = bench->builders[partition];
    if (mrd_batch_builder_row_count(builder) == 0) {
        return;
    }
    const struct mrd_batch_header header = {.region = MRD_BYTES("local"),
                                            .residency_class = MRD_BYTES("local"),
                                            .instance = MRD_BYTES("distributor-0"),
                                            .partition = partition,
                                            .epoch = 1,
                                            .number = 1,
                                            .hlc = 1};
    mrd_batch_builder_finish(builder, &header, bench->codec, &bench->message);
    bench->batch_count++;
    bench->batch_bytes += bench->message.size;
    if (bench->batches != NULL) {
        struct mrd_buf *kept = &bench->batches[bench->batch_kept++];
        mrd_buf_clear(kept);
        mrd_buf_append_bytes(kept, mrd_buf_view(&bench->message));
    }
    batch_restart(bench, partition);
}

static void finish_full(struct bench *bench, bool all)
{
    for (uint32_t p = 0; p < bench->partition_count; p++) {
        if (all || mrd_batch_builder_size(bench->builders[p]) >= bench->target_bytes) {
            batch_finish(bench, p);
        }
    }
}

/* From the body as sent to finished batches. */
static void pass_whole(struct bench *bench)
{
    bench->batch_count = 0;
    bench->batch_bytes = 0;
    bench->batch_kept = 0;
    bench->row = 0;
    for (uint32_t p = 0; p < bench->partition_count; p++) {
        batch_restart(bench, p);
    }
    for (size_t i = 0; i < bench->body_count; i++) {
        const struct mrd_bytes body = {bench->bodies[i].data, bench->bodies[i].size};
        mrd_assert(mrd_snappy_decode(body, 0, &bench->scratch, NULL) == MRD_OK);
        walk(bench, mrd_buf_view(&bench->scratch), use_rows);
        finish_full(bench, bench->target_bytes == 1);
    }
    finish_full(bench, true);
}

static void pass_read(struct bench *bench)
{
    struct mrd_batch_reader *reader = mrd_batch_reader_create();
    for (size_t i = 0; i < bench->batch_kept; i++) {
        struct mrd_batch batch;
        struct mrd_error err;
        mrd_assert(mrd_batch_read(reader, mrd_buf_view(&bench->batches[i]), &batch, &err) ==
                   MRD_OK);
        bench->sum += batch.references[batch.row_count - 1];
    }
    mrd_batch_reader_destroy(&reader);
}

/* ---- announcements ---- */

/* Labels parsed, checked, made canonical and announced, as for a series that is new. */
static void announce_group(struct bench *bench, const struct mrd_rw_series *series, size_t count)
{
    const struct mrd_label_limits limits = {60, 1024, 4096};
    const uint64_t seed = mrd_tenant_seed(MRD_BYTES("anonymous"));
    for (size_t i = 0; i < count; i++) {
        struct mrd_label labels[MRD_RW_LABELS_MAX];
        size_t label_count;
        mrd_assert(mrd_rw_labels_read(series[i].labels, labels, &label_count, NULL) == MRD_OK);
        mrd_assert(mrd_labels_validate(labels, &label_count, &limits, NULL) == MRD_OK);
        mrd_buf_clear(&bench->scratch);
        mrd_labels_encode((struct mrd_labels){labels, label_count}, &bench->scratch);
        const struct mrd_batch_announcement announcement = {
            .reference = bench->row++,
            .id = mrd_series_id_of(seed, mrd_buf_view(&bench->scratch)),
            .labels = mrd_buf_view(&bench->scratch),
        };
        mrd_batch_builder_announce(bench->builders[0], &announcement);
        mrd_batch_builder_row(bench->builders[0], 0, announcement.reference,
                              series[i].first.time_ms, series[i].first.value);
        if (mrd_batch_builder_size(bench->builders[0]) >= bench->target_bytes) {
            batch_finish(bench, 0);
        }
    }
}

static void pass_announce(struct bench *bench)
{
    bench->batch_count = 0;
    bench->batch_bytes = 0;
    bench->row = 0;
    batch_restart(bench, 0);
    for (size_t i = 0; i < bench->body_count; i++) {
        walk(bench, mrd_buf_view(&bench->decoded[i]), announce_group);
    }
    batch_finish(bench, 0);
}

static void report_announcements(struct bench *bench, const char *name, enum mrd_batch_codec codec)
{
    bench->codec = codec;
    bench->target_bytes = 128 << 10;
    const double announce_ns = measure(bench, pass_announce);
    printf("%-7s new series: %5.0f ns and %5.1f B each, %.0f a batch\n", name, announce_ns,
           (double)bench->batch_bytes / (double)bench->sample_count,
           (double)bench->sample_count / (double)bench->batch_count);
}

static void report_codec(struct bench *bench, const char *name, enum mrd_batch_codec codec,
                         size_t target_bytes, double before_ns)
{
    bench->codec = codec;
    bench->target_bytes = target_bytes;
    bench->batches = NULL;
    const double whole_ns = measure(bench, pass_whole);
    const uint64_t count = bench->batch_count;
    const uint64_t bytes = bench->batch_bytes;
    bench->batches = calloc(count, sizeof(*bench->batches));
    mrd_assert(bench->batches != NULL);
    pass_whole(bench);
    const double read_ns = measure(bench, pass_read);
    printf("%-7s %8.0f samples a batch: build %5.1f ns (whole way %5.1f), read %5.1f ns, "
           "%5.2f B a sample\n",
           name, (double)bench->sample_count / (double)count, whole_ns - before_ns, whole_ns,
           read_ns, (double)bytes / (double)bench->sample_count);
    for (size_t i = 0; i < bench->batch_kept; i++) {
        mrd_buf_fini(&bench->batches[i]);
    }
    free(bench->batches);
    bench->batches = NULL;
}

static void report(struct bench *bench)
{
    const double samples = (double)bench->sample_count;
    printf("%zu bodies, %.0f samples, %.1f B a sample raw, %.1f as sent\n", bench->body_count,
           samples, (double)bench->raw_bytes / samples, (double)bench->snappy_bytes / samples);
    const double snappy_ns = measure(bench, pass_snappy);
    printf("snappy                 %5.1f ns a sample\n", snappy_ns);
    double hash_ns = 0;
    static const size_t groups[] = {64, 512, GROUP};
    for (size_t i = 0; i < MRD_ARRAY_LEN(groups); i++) {
        bench->group = groups[i];
        const double walk_ns = measure(bench, pass_walk);
        hash_ns = measure(bench, pass_hash);
        printf("walk, %4zu at once     %5.1f, with a hash of the labels %5.1f\n", groups[i],
               walk_ns, hash_ns);
    }
    static const struct {
        const char *name;
        enum mrd_batch_codec codec;
    } codecs[] = {
        {"none",   MRD_BATCH_NONE  },
        {"snappy", MRD_BATCH_SNAPPY},
        {"zstd",   MRD_BATCH_ZSTD  }
    };
    for (size_t c = 0; c < MRD_ARRAY_LEN(codecs); c++) {
        report_announcements(bench, codecs[c].name, codecs[c].codec);
    }
    static const size_t targets[] = {1, 32 << 10, 128 << 10}; /* 1: a batch per body */
    for (size_t t = 0; t < MRD_ARRAY_LEN(targets); t++) {
        for (size_t c = 0; c < MRD_ARRAY_LEN(codecs); c++) {
            report_codec(bench, codecs[c].name, codecs[c].codec, targets[t], snappy_ns + hash_ns);
        }
    }
}

int main(int argc, char **argv)
{
    static struct bench bench = {.partition_count = 4};
    const uint64_t series = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    if (argc > 2) {
        bench.partition_count = (uint32_t)strtoul(argv[2], NULL, 10);
    }
    if (series == 0 || bench.partition_count == 0 || bench.partition_count > PARTITIONS_MAX) {
        (void)fprintf(stderr, "usage: wire_bench [series] [partitions, 1 to 64]\n");
        return 2;
    }
    for (uint32_t p = 0; p < bench.partition_count; p++) {
        bench.builders[p] = mrd_batch_builder_create();
        batch_restart(&bench, p);
    }
    make_bodies(&bench, series);
    report(&bench);
    for (size_t i = 0; i < bench.body_count; i++) {
        load_body_fini(&bench.bodies[i]);
        mrd_buf_fini(&bench.decoded[i]);
    }
    for (uint32_t p = 0; p < bench.partition_count; p++) {
        mrd_batch_builder_destroy(&bench.builders[p]);
    }
    free(bench.bodies);
    free(bench.decoded);
    mrd_buf_fini(&bench.scratch);
    mrd_buf_fini(&bench.message);
    return bench.sum == 0;
}
