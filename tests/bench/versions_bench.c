/* versions_bench.c: what a sample costs on its way from a body to finished batches, by version of remote write, alone in
 * one thread: snappy, walk, key, look-up in the series cache, rows, batches.
 *
 *   versions_bench [series]      default 100000
 *
 * Bodies are the load generator's, 2,000 series of one sample, as they are (1.0) and said again in 2.0: plain, with
 * metadata on every series, and with a start time on every sample as well. Each figure is the best of several passes over
 * all bodies, in CPU time of this thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/snappy_block.h"
#include "distributor/series_cache.h"
#include "loader/body.h"
#include "wire/batch.h"
#include "wire/remote_write_v2.h"

enum { SCRAPES = 4, PASSES = 7, GROUP = 64, PARTITIONS = 4, TARGET_BYTES = 128 << 10 };

enum variant { V1, V2, V2_METADATA, V2_STARTS, VARIANTS };

static const char *const variant_names[VARIANTS] = {
    [V1] = "1.0",
    [V2] = "2.0",
    [V2_METADATA] = "2.0, metadata",
    [V2_STARTS] = "2.0, metadata, starts",
};

struct bench {
    struct mrd_buf *bodies[VARIANTS]; /* compressed */
    size_t body_count;
    uint64_t sample_count;
    uint64_t raw_bytes[VARIANTS];
    uint64_t packed_bytes[VARIANTS];
    struct mrd_buf raw;
    struct mrd_arena *arena;
    struct dst_series_cache cache;
    struct mrd_batch_builder *builders[PARTITIONS];
    struct mrd_buf message;
    uint64_t batch_bytes;
    uint64_t sum; /* so that nothing is left out */
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fprintf(stderr, "versions_bench: %s\n", err->text);
        exit(1);
    }
}

/* ---- bodies of 2.0 ---- */

/* The symbols of a request under construction: open addressing by hash. */
struct symbols {
    struct mrd_buf fields;
    uint64_t hashes[1 << 16];
    uint32_t numbers[1 << 16]; /* 0: free */
    uint32_t count;
};

static void put_field(struct mrd_buf *out, unsigned field, struct mrd_bytes bytes)
{
    mrd_buf_append_varint(out, field << 3 | 2);
    mrd_buf_append_varint(out, bytes.size);
    mrd_buf_append_bytes(out, bytes);
}

static uint32_t symbol(struct symbols *symbols, struct mrd_bytes text)
{
    const uint64_t hash = mrd_hash64(text, 0);
    size_t at = hash % MRD_ARRAY_LEN(symbols->numbers);
    while (symbols->numbers[at] != 0 && symbols->hashes[at] != hash) {
        at = (at + 1) % MRD_ARRAY_LEN(symbols->numbers);
    }
    if (symbols->numbers[at] == 0) {
        put_field(&symbols->fields, 4, text);
        symbols->hashes[at] = hash;
        symbols->numbers[at] = ++symbols->count; /* 0 is the empty one */
    }
    return symbols->numbers[at];
}

static void put_sample(struct mrd_buf *entry, const struct mrd_sample *sample, bool started)
{
    struct mrd_buf message = {0};
    mrd_buf_append_u8(&message, 0x09);
    mrd_buf_append_u64(&message, mrd_double_bits(sample->value));
    mrd_buf_append_u8(&message, 0x10);
    mrd_buf_append_varint(&message, (uint64_t)sample->time_ms);
    if (started) {
        mrd_buf_append_u8(&message, 0x18);
        mrd_buf_append_varint(&message, (uint64_t)sample->time_ms / 86400000 * 86400000);
    }
    put_field(entry, 2, mrd_buf_view(&message));
    mrd_buf_fini(&message);
}

static void put_metadata(struct mrd_buf *entry, struct symbols *symbols)
{
    struct mrd_buf message = {0};
    mrd_buf_append_u8(&message, 0x08);
    mrd_buf_append_varint(&message, MRD_FAMILY_GAUGE);
    mrd_buf_append_u8(&message, 0x18);
    mrd_buf_append_varint(&message, symbol(symbols, MRD_BYTES("What the device measures.")));
    put_field(entry, 5, mrd_buf_view(&message));
    mrd_buf_fini(&message);
}

static void put_series(struct mrd_buf *out, struct symbols *symbols,
                       const struct mrd_rw_series *series, enum variant variant)
{
    struct mrd_label labels[MRD_RW_LABELS_MAX];
    size_t count;
    struct mrd_error err;
    struct mrd_buf packed = {0};
    struct mrd_buf entry = {0};
    must(mrd_rw_labels_read(series->labels, labels, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        mrd_buf_append_varint(&packed, symbol(symbols, labels[i].name));
        mrd_buf_append_varint(&packed, symbol(symbols, labels[i].value));
    }
    put_field(&entry, 1, mrd_buf_view(&packed));
    put_sample(&entry, &series->first, variant == V2_STARTS);
    if (variant != V2) {
        put_metadata(&entry, symbols);
    }
    put_field(out, 5, mrd_buf_view(&entry));
    mrd_buf_fini(&packed);
    mrd_buf_fini(&entry);
}

/* Says a 1.0 message again in 2.0. */
static void translate(struct mrd_bytes message, enum variant variant, struct mrd_buf *out)
{
    struct symbols *symbols = calloc(1, sizeof(*symbols));
    mrd_assert(symbols != NULL);
    put_field(&symbols->fields, 4, MRD_BYTES_NONE);
    struct mrd_buf entries = {0};
    struct mrd_rw_walk walk;
    struct mrd_rw_series series[GROUP];
    struct mrd_error err;
    size_t count = 1;
    mrd_rw_walk_init(&walk, message, NULL);
    while (count > 0) {
        must(mrd_rw_walk_next(&walk, series, GROUP, &count, &err), &err);
        for (size_t i = 0; i < count; i++) {
            put_series(&entries, symbols, &series[i], variant);
        }
    }
    mrd_buf_clear(out);
    mrd_buf_append_bytes(out, mrd_buf_view(&symbols->fields));
    mrd_buf_append_bytes(out, mrd_buf_view(&entries));
    mrd_buf_fini(&symbols->fields);
    mrd_buf_fini(&entries);
    free(symbols);
}

static void keep(struct bench *bench, enum variant variant, size_t i, struct mrd_bytes raw)
{
    bench->raw_bytes[variant] += raw.size;
    mrd_snappy_encode(raw, &bench->bodies[variant][i]);
    bench->packed_bytes[variant] += bench->bodies[variant][i].size;
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
    struct mrd_buf message = {0};
    bench->body_count = (size_t)load_plan_requests(&plan, 0);
    for (int variant = 0; variant < VARIANTS; variant++) {
        bench->bodies[variant] = calloc(bench->body_count, sizeof(struct mrd_buf));
        mrd_assert(bench->bodies[variant] != NULL);
    }
    for (size_t i = 0; i < bench->body_count; i++) {
        const struct load_request request = load_plan_request(&plan, 0, i);
        struct load_body body = load_body_encode(&encoder, &request);
        struct mrd_error err;
        must(mrd_snappy_decode((struct mrd_bytes){body.data, body.size}, 0, &bench->raw, &err),
             &err);
        keep(bench, V1, i, mrd_buf_view(&bench->raw));
        for (enum variant variant = V2; variant < VARIANTS; variant++) {
            translate(mrd_buf_view(&bench->raw), variant, &message);
            keep(bench, variant, i, mrd_buf_view(&message));
        }
        bench->sample_count += body.sample_count;
        load_body_fini(&body);
    }
    mrd_buf_fini(&message);
    load_encoder_fini(&encoder);
    load_label_store_destroy(&store);
}

/* ---- the way ---- */

static void batch_restart(struct mrd_batch_builder *builder)
{
    mrd_batch_builder_reset(builder);
    mrd_assert(mrd_batch_builder_tenant(builder, MRD_BYTES("anonymous")) == 0);
}

static void finish(struct bench *bench, uint32_t partition)
{
    struct mrd_batch_builder *builder = bench->builders[partition];
    if (mrd_batch_builder_empty(builder)) {
        return;
    }
    const struct mrd_batch_header header = {.region = MRD_BYTES("local"),
                                            .residency_class = MRD_BYTES("local"),
                                            .instance = MRD_BYTES("distributor-0"),
                                            .partition = partition,
                                            .epoch = 1,
                                            .number = 1,
                                            .hlc = 1};
    mrd_batch_builder_finish(builder, &header, MRD_BATCH_NONE, &bench->message);
    bench->batch_bytes += bench->message.size;
    batch_restart(builder);
}

static void add(struct bench *bench, const struct mrd_rw_series *series, struct mrd_id128 key)
{
    struct dst_series *entry = dst_series_cache_find(&bench->cache, key);
    if (mrd_unlikely(entry == NULL)) {
        entry = dst_series_cache_insert(&bench->cache, key, 1);
        entry->partition = (uint32_t)(key.high % PARTITIONS);
        entry->reference = (uint32_t)(bench->cache.count / PARTITIONS);
    }
    struct mrd_batch_builder *builder = bench->builders[entry->partition];
    mrd_batch_builder_row(builder, 0, entry->reference, series->first.time_ms, series->first.value);
    if (series->has_start) {
        struct mrd_bytes rest = series->samples;
        struct mrd_sample sample;
        mrd_time_ms start_ms;
        mrd_assert(mrd_rw2_samples_next(&rest, &sample, &start_ms));
        mrd_batch_builder_start_time(builder, start_ms);
    }
    if (mrd_batch_builder_size(builder) >= TARGET_BYTES) {
        finish(bench, entry->partition);
    }
}

static void take_v1(struct bench *bench)
{
    struct mrd_rw_walk walk;
    struct mrd_rw_series series[GROUP];
    struct mrd_id128 keys[GROUP];
    struct mrd_error err;
    size_t count = 1;
    mrd_rw_walk_init(&walk, mrd_buf_view(&bench->raw), NULL);
    while (count > 0) {
        must(mrd_rw_walk_next(&walk, series, GROUP, &count, &err), &err);
        for (size_t i = 0; i < count; i++) {
            keys[i] = dst_series_key(series[i].labels, 1);
            dst_series_cache_prefetch(&bench->cache, keys[i]);
        }
        for (size_t i = 0; i < count; i++) {
            add(bench, &series[i], keys[i]);
        }
    }
}

/* What the distributor compares before it looks at a text. */
static void look_at_metadata(struct bench *bench, const struct mrd_rw2_walk *walk,
                             const struct mrd_rw_series *series, struct mrd_rw2_metadata *said)
{
    struct mrd_rw2_metadata metadata;
    struct mrd_error err;
    must(mrd_rw2_metadata_read(walk, series, &metadata, &err), &err);
    if (memcmp(&said[metadata.name_symbol], &metadata, sizeof(metadata)) != 0) {
        said[metadata.name_symbol] = metadata;
        bench->sum++;
    }
}

static void take_v2(struct bench *bench)
{
    struct mrd_rw2_walk walk;
    struct mrd_rw_series series[GROUP];
    struct mrd_id128 keys[GROUP];
    struct mrd_error err;
    size_t count = 1;
    mrd_arena_reset(bench->arena);
    must(mrd_rw2_walk_init(&walk, mrd_buf_view(&bench->raw), bench->arena, 1, &err), &err);
    struct mrd_rw2_metadata *said =
        mrd_arena_alloc(bench->arena, walk.symbol_count * sizeof(*said));
    mrd_assert(said != NULL);
    while (count > 0) {
        must(mrd_rw2_walk_next(&walk, series, GROUP, &count, &err), &err);
        for (size_t i = 0; i < count; i++) {
            mrd_assert(mrd_rw2_key(&walk, series[i].labels, &keys[i]));
            dst_series_cache_prefetch(&bench->cache, keys[i]);
        }
        for (size_t i = 0; i < count; i++) {
            add(bench, &series[i], keys[i]);
            if (series[i].has_metadata) {
                look_at_metadata(bench, &walk, &series[i], said);
            }
        }
    }
}

static void pass(struct bench *bench, enum variant variant)
{
    bench->batch_bytes = 0;
    for (size_t i = 0; i < bench->body_count; i++) {
        struct mrd_error err;
        must(mrd_snappy_decode(mrd_buf_view(&bench->bodies[variant][i]), 0, &bench->raw, &err),
             &err);
        if (variant == V1) {
            take_v1(bench);
        } else {
            take_v2(bench);
        }
    }
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        finish(bench, p);
    }
}

static void report(struct bench *bench, enum variant variant)
{
    dst_series_cache_init(&bench->cache, (size_t)1 << 30);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        bench->builders[p] = mrd_batch_builder_create();
        batch_restart(bench->builders[p]);
    }
    pass(bench, variant); /* the series become known */
    double best_s = 1e9;
    for (int i = 0; i < PASSES; i++) {
        const double start_s = now_s();
        pass(bench, variant);
        best_s = MRD_MIN(best_s, now_s() - start_s);
    }
    const double samples = (double)bench->sample_count;
    printf("%-22s %5.1f B a sample raw, %4.1f as sent: %5.1f ns a sample = %.3f CPU s per million, "
           "%.1f M samples/s, batches %4.2f B a sample\n",
           variant_names[variant], (double)bench->raw_bytes[variant] / samples,
           (double)bench->packed_bytes[variant] / samples, best_s * 1e9 / samples,
           best_s * 1e6 / samples, samples / best_s / 1e6, (double)bench->batch_bytes / samples);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        mrd_batch_builder_destroy(&bench->builders[p]);
    }
    dst_series_cache_fini(&bench->cache);
}

int main(int argc, char **argv)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    mrd_assert(bench != NULL);
    bench->arena = mrd_arena_create("bench", 64 << 20);
    make_bodies(bench, argc > 1 ? strtoull(argv[1], NULL, 10) : 100000);
    for (enum variant variant = V1; variant < VARIANTS; variant++) {
        report(bench, variant);
    }
    for (int variant = 0; variant < VARIANTS; variant++) {
        for (size_t i = 0; i < bench->body_count; i++) {
            mrd_buf_fini(&bench->bodies[variant][i]);
        }
        free(bench->bodies[variant]);
    }
    mrd_buf_fini(&bench->raw);
    mrd_buf_fini(&bench->message);
    mrd_arena_destroy(&bench->arena);
    free(bench);
    return 0;
}
