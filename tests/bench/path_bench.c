/* path_bench.c: the way of a sample through the libraries, stage by stage in one thread, without
 * sockets, log or threads: what the whole path cannot go below.
 *
 *   path_bench [series] [scrapes] [partitions] [requests per batch]     default 100000 60 4 4
 *
 * Bodies of the load generator are decompressed, walked, hashed, looked up, put into batches, and the
 * batches read and appended to heads. CPU time per sample is printed for each stage and codec.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/snappy_block.h"
#include "distributor/series_cache.h"
#include "head/head.h"
#include "loader/body.h"
#include "wire/batch.h"
#include "wire/remote_write.h"

enum { WALK_MAX = 64, SAMPLES_OF_A_BODY = 2000 };

enum stage {
    STAGE_SNAPPY,
    STAGE_WALK, /* with hash and look-up, as they interleave */
    STAGE_BUILD,
    STAGE_FINISH,
    STAGE_READ,
    STAGE_APPEND,
    STAGE_COUNT
};

static const char *const stage_names[STAGE_COUNT] = {
    [STAGE_SNAPPY] = "snappy decode",    [STAGE_WALK] = "walk + hash + look-up",
    [STAGE_BUILD] = "rows into batches", [STAGE_FINISH] = "finish batch (codec, crc)",
    [STAGE_READ] = "read batch",         [STAGE_APPEND] = "append to head",
};

struct partition {
    struct mrd_batch_builder *builder;
    struct mrd_head *head;
    uint32_t *ordinals; /* by reference */
    uint32_t reference_count;
    uint64_t number;
};

struct bench {
    struct load_fleet fleet;
    struct load_plan plan;
    struct load_encoder encoder;
    struct dst_series_cache cache;
    struct partition *partitions;
    uint32_t partition_count;
    uint32_t requests_per_batch;
    enum mrd_batch_codec codec;
    struct mrd_batch_reader *reader;
    struct mrd_buf message;
    struct mrd_buf raw;
    double seconds[STAGE_COUNT];
    uint64_t samples;
    uint64_t batch_bytes;
    uint64_t batch_count;
};

/* CPU time of this thread: others share the machine. */
static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void lap(struct bench *bench, enum stage stage, double *since_s)
{
    const double now = now_s();
    bench->seconds[stage] += now - *since_s;
    *since_s = now;
}

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fprintf(stderr, "path_bench: %s\n", err->text);
        exit(1);
    }
}

static void announce(struct bench *bench, const struct mrd_rw_series *series,
                     struct dst_series *entry)
{
    struct mrd_label labels[MRD_RW_LABELS_MAX];
    size_t count = 0;
    struct mrd_error err = {0};
    struct mrd_buf canonical = {0};
    must(mrd_rw_labels_read(series->labels, labels, &count, &err), &err);
    must(mrd_labels_validate(labels, &count, &(struct mrd_label_limits){0}, &err), &err);
    mrd_labels_encode((struct mrd_labels){labels, count}, &canonical);
    const mrd_series_id id =
        mrd_series_id_of(mrd_tenant_seed(MRD_BYTES("anonymous")), mrd_buf_view(&canonical));
    entry->partition = mrd_series_partition(id, bench->partition_count);
    struct partition *partition = &bench->partitions[entry->partition];
    entry->reference = partition->reference_count++;
    const uint32_t tenant = mrd_batch_builder_tenant(partition->builder, MRD_BYTES("anonymous"));
    mrd_batch_builder_announce(
        partition->builder,
        &(struct mrd_batch_announcement){entry->reference, tenant, id, mrd_buf_view(&canonical)});
    mrd_buf_fini(&canonical);
}

struct row {
    uint32_t partition;
    uint32_t reference;
    struct mrd_sample sample;
};

static size_t walk_body(struct bench *bench, struct row *rows)
{
    struct mrd_rw_walk walk;
    struct mrd_error err = {0};
    struct mrd_rw_series series[WALK_MAX];
    struct mrd_id128 keys[WALK_MAX];
    size_t count = 0;
    size_t row_count = 0;
    mrd_rw_walk_init(&walk, mrd_buf_view(&bench->raw), NULL);
    for (;;) {
        must(mrd_rw_walk_next(&walk, series, WALK_MAX, &count, &err), &err);
        if (count == 0) {
            return row_count;
        }
        for (size_t i = 0; i < count; i++) {
            keys[i] = dst_series_key(series[i].labels, 1);
            dst_series_cache_prefetch(&bench->cache, keys[i]);
        }
        for (size_t i = 0; i < count; i++) {
            struct dst_series *entry = dst_series_cache_find(&bench->cache, keys[i]);
            if (entry == NULL) {
                entry = dst_series_cache_insert(&bench->cache, keys[i], 1);
                announce(bench, &series[i], entry);
            }
            rows[row_count++] = (struct row){entry->partition, entry->reference, series[i].first};
        }
    }
}

static void read_batch(struct bench *bench, struct partition *partition, double *since_s)
{
    struct mrd_batch batch;
    struct mrd_error err = {0};
    must(mrd_batch_read(bench->reader, mrd_buf_view(&bench->message), &batch, &err), &err);
    lap(bench, STAGE_READ, since_s);
    for (size_t i = 0; i < batch.announcement_count; i++) {
        const struct mrd_batch_announcement *new = &batch.announcements[i];
        const struct mrd_head_series_key key = {batch.tenants[new->tenant], new->id, new->labels};
        must(mrd_head_series(partition->head, &key, batch.header.hlc,
                             &partition->ordinals[new->reference], &err),
             &err);
    }
    uint32_t *ordinals = malloc(batch.row_count * sizeof(*ordinals));
    mrd_assert(ordinals != NULL);
    for (size_t i = 0; i < batch.row_count; i++) {
        ordinals[i] = partition->ordinals[batch.references[i]];
    }
    struct mrd_head_append_result result = {0};
    const struct mrd_head_batch columns = {
        .ordinals = ordinals,
        .sample_counts = batch.sample_counts,
        .row_count = batch.row_count,
        .times_ms = batch.times_ms,
        .values = batch.values,
        .sample_count = batch.sample_count,
        .hlc = batch.header.hlc,
        .origin = 1,
    };
    must(mrd_head_append(partition->head, &columns, &result, &err), &err);
    mrd_assert(result.appended == batch.sample_count);
    free(ordinals);
    lap(bench, STAGE_APPEND, since_s);
}

static void send_batches(struct bench *bench, double *since_s)
{
    for (uint32_t i = 0; i < bench->partition_count; i++) {
        struct partition *partition = &bench->partitions[i];
        if (mrd_batch_builder_row_count(partition->builder) == 0) {
            continue;
        }
        const struct mrd_batch_header header = {
            .region = MRD_BYTES("local"),
            .residency_class = MRD_BYTES("eu"),
            .instance = MRD_BYTES("bench-0"),
            .partition = i,
            .epoch = 1,
            .number = ++partition->number,
            .hlc = mrd_hlc_make(bench->fleet.start_ms, (uint16_t)partition->number),
        };
        mrd_batch_builder_finish(partition->builder, &header, bench->codec, &bench->message);
        mrd_batch_builder_reset(partition->builder);
        (void)mrd_batch_builder_tenant(partition->builder, MRD_BYTES("anonymous"));
        bench->batch_bytes += bench->message.size;
        bench->batch_count++;
        lap(bench, STAGE_FINISH, since_s);
        read_batch(bench, partition, since_s);
    }
}

static void take_body(struct bench *bench, const struct load_body *body, bool send)
{
    static struct row rows[SAMPLES_OF_A_BODY];
    struct mrd_error err = {0};
    double since_s = now_s();
    must(mrd_snappy_decode((struct mrd_bytes){body->data, body->size}, 0, &bench->raw, &err), &err);
    lap(bench, STAGE_SNAPPY, &since_s);
    const size_t count = walk_body(bench, rows);
    lap(bench, STAGE_WALK, &since_s);
    for (size_t i = 0; i < count; i++) {
        struct mrd_batch_builder *builder = bench->partitions[rows[i].partition].builder;
        mrd_batch_builder_row(builder, 0, rows[i].reference, rows[i].sample.time_ms,
                              rows[i].sample.value);
    }
    lap(bench, STAGE_BUILD, &since_s);
    bench->samples += count;
    if (send) {
        send_batches(bench, &since_s);
    }
}

static void begin(struct bench *bench)
{
    bench->partitions = calloc(bench->partition_count, sizeof(*bench->partitions));
    mrd_assert(bench->partitions != NULL);
    for (uint32_t i = 0; i < bench->partition_count; i++) {
        struct partition *partition = &bench->partitions[i];
        struct mrd_error err = {0};
        partition->builder = mrd_batch_builder_create();
        (void)mrd_batch_builder_tenant(partition->builder, MRD_BYTES("anonymous"));
        must(mrd_head_create(&(struct mrd_head_options){0}, &partition->head, &err), &err);
        partition->ordinals = calloc(bench->plan.tenant_series, sizeof(uint32_t));
        mrd_assert(partition->ordinals != NULL);
    }
    dst_series_cache_init(&bench->cache, (size_t)1 << 30);
    bench->reader = mrd_batch_reader_create();
}

static void end(struct bench *bench)
{
    for (uint32_t i = 0; i < bench->partition_count; i++) {
        mrd_batch_builder_destroy(&bench->partitions[i].builder);
        mrd_head_destroy(&bench->partitions[i].head);
        free(bench->partitions[i].ordinals);
    }
    free(bench->partitions);
    dst_series_cache_fini(&bench->cache);
    mrd_batch_reader_destroy(&bench->reader);
    mrd_buf_fini(&bench->message);
    mrd_buf_fini(&bench->raw);
}

static void print(const struct bench *bench)
{
    static const char *const codecs[] = {"none", "snappy", "zstd"};
    double all = 0;
    printf("codec %s: %.1f B a sample in %" PRIu64 " batches of %" PRIu64 " B\n",
           codecs[bench->codec], (double)bench->batch_bytes / (double)bench->samples,
           bench->batch_count, bench->batch_bytes / bench->batch_count);
    for (int i = 0; i < STAGE_COUNT; i++) {
        all += bench->seconds[i];
        printf("  %-28s %7.1f ns a sample\n", stage_names[i],
               bench->seconds[i] * 1e9 / (double)bench->samples);
    }
    printf("  %-28s %7.1f ns a sample = %.3f CPU s per million\n", "all",
           all * 1e9 / (double)bench->samples, all * 1e6 / (double)bench->samples);
}

/* Scrape by scrape, so that only a part of the bodies is in memory. */
static void run(struct bench *bench, uint64_t scrapes)
{
    begin(bench);
    const uint64_t requests = load_plan_requests(&bench->plan, 0);
    const uint64_t warm = requests / scrapes * 2; /* two scrapes: the series become known */
    for (uint64_t n = 0; n < requests; n++) {
        const struct load_request request = load_plan_request(&bench->plan, 0, n);
        struct load_body body = load_body_encode(&bench->encoder, &request);
        if (n == warm) {
            memset(bench->seconds, 0, sizeof(bench->seconds));
            bench->samples = bench->batch_bytes = bench->batch_count = 0;
        }
        take_body(bench, &body, n % bench->requests_per_batch == bench->requests_per_batch - 1);
        load_body_fini(&body);
    }
    print(bench);
    end(bench);
}

static uint64_t argument(int argc, char **argv, int index, uint64_t otherwise)
{
    const uint64_t value = argc > index ? strtoull(argv[index], NULL, 10) : otherwise;
    mrd_assert(value > 0);
    return value;
}

int main(int argc, char **argv)
{
    const uint64_t scrapes = argument(argc, argv, 2, 60);
    for (int codec = MRD_BATCH_NONE; codec <= MRD_BATCH_ZSTD; codec++) {
        struct bench bench = {
            .fleet = {.seed = 1,               .start_ms = 1700000000000, .interval_ms = 15000},
            .plan = { .tenant_count = 1,
                      .tenant_series = argument(argc, argv, 1, 100000),
                      .scrape_count = scrapes,
                      .request_samples = SAMPLES_OF_A_BODY,
                      .connection_count = 1},
            .partition_count = (uint32_t)argument(argc, argv, 3, 4),
            .requests_per_batch = (uint32_t)argument(argc, argv, 4, 4),
            .codec = (enum mrd_batch_codec)codec,
        };
        mrd_auto(load_label_store_destroy)
        struct load_label_store *store = load_label_store_create(&bench.fleet, &bench.plan);
        bench.encoder.store = store;
        run(&bench, scrapes);
        load_encoder_fini(&bench.encoder);
    }
    return 0;
}
