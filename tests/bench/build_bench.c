/* build_bench: how fast batches of the log become a block of level 0, and in how much memory.
 *
 *   build_bench [series] [samples of a series] [percent of samples out of order]
 *
 * Makes batches in memory as distributors do (2,000 rows, 11 labels a series, announced once), then takes them all into one range and
 * writes its block into a folder. Prints million samples per second of CPU for taking and for writing, bytes a sample, and by how much
 * the greatest resident size was above that of the batches.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench_tools.h"
#include "compactor/builder.h"
#include "objstore/file_store.h"
#include "wire/batch.h"

enum { ROWS = 2000, STEP_MS = 15000 };
#define T0 ((mrd_time_ms)1700000000000)

struct input {
    struct mrd_buf *messages;
    size_t count;
    size_t bytes;
};

/* ---- batches ---- */

static void labels_of(uint32_t series, struct mrd_buf *out)
{
    char values[3][32];
    (void)snprintf(values[0], sizeof(values[0]), "metric_%u_total", series % 100);
    (void)snprintf(values[1], sizeof(values[1]), "10.0.%u.%u:9100", series / 250 % 250,
                   series % 250);
    (void)snprintf(values[2], sizeof(values[2]), "pod-%u", series / 100);
    const struct mrd_label labels[] = {
        {MRD_BYTES("__name__"),  mrd_bytes_of(values[0])   },
        {MRD_BYTES("cluster"),   MRD_BYTES("eu-central-1") },
        {MRD_BYTES("container"), MRD_BYTES("server")       },
        {MRD_BYTES("instance"),  mrd_bytes_of(values[1])   },
        {MRD_BYTES("job"),       MRD_BYTES("node-exporter")},
        {MRD_BYTES("mode"),      MRD_BYTES("idle")         },
        {MRD_BYTES("namespace"), MRD_BYTES("monitoring")   },
        {MRD_BYTES("pod"),       mrd_bytes_of(values[2])   },
        {MRD_BYTES("region"),    MRD_BYTES("eu")           },
        {MRD_BYTES("service"),   MRD_BYTES("node")         },
        {MRD_BYTES("zone"),      MRD_BYTES("a")            },
    };
    mrd_buf_clear(out);
    mrd_labels_encode((struct mrd_labels){labels, MRD_ARRAY_LEN(labels)}, out);
}

static void announce(struct mrd_batch_builder *builder, uint32_t series, struct mrd_buf *labels)
{
    const struct mrd_bytes tenant = MRD_BYTES("t");
    labels_of(series, labels);
    mrd_batch_builder_announce(
        builder, &(struct mrd_batch_announcement){
                     .reference = series,
                     .tenant = mrd_batch_builder_tenant(builder, tenant),
                     .id = mrd_series_id_of(mrd_tenant_seed(tenant), mrd_buf_view(labels)),
                     .labels = mrd_buf_view(labels)});
}

static void finish(struct mrd_batch_builder *builder, struct input *input, mrd_time_ms now_ms)
{
    const struct mrd_batch_header header = {.region = MRD_BYTES("r"),
                                            .residency_class = MRD_BYTES("eu"),
                                            .instance = MRD_BYTES("w"),
                                            .epoch = mrd_batch_epoch_of(T0),
                                            .number = input->count + 1,
                                            .hlc = mrd_hlc_make(now_ms, 0)};
    input->messages = reallocarray(input->messages, input->count + 1, sizeof(*input->messages));
    mrd_assert(input->messages != NULL);
    struct mrd_buf *message = &input->messages[input->count++];
    *message = (struct mrd_buf){0};
    mrd_batch_builder_finish(builder, &header, MRD_BATCH_NONE, message);
    input->bytes += message->size;
    mrd_batch_builder_reset(builder);
}

static struct input make(uint32_t series_count, uint32_t sample_count, uint32_t late_percent)
{
    struct input input = {0};
    struct mrd_batch_builder *builder = mrd_batch_builder_create();
    struct mrd_buf labels = {0};
    for (uint32_t i = 0; i < sample_count; i++) {
        const mrd_time_ms now_ms = T0 + (mrd_time_ms)i * STEP_MS;
        for (uint32_t series = 0; series < series_count; series++) {
            const bool late = bench_chance() % 100 < late_percent;
            if (i == 0) {
                announce(builder, series, &labels);
            }
            mrd_batch_builder_row(builder, mrd_batch_builder_tenant(builder, MRD_BYTES("t")),
                                  series, now_ms - (late ? STEP_MS + 1 : 0),
                                  (double)(bench_chance() % 10000));
            if (mrd_batch_builder_row_count(builder) == ROWS || series + 1 == series_count) {
                finish(builder, &input, now_ms);
            }
        }
    }
    mrd_buf_fini(&labels);
    mrd_batch_builder_destroy(&builder);
    return input;
}

/* ---- building ---- */

static void take_all(struct cmp_builder *builder, const struct input *input)
{
    struct mrd_error err;
    for (size_t i = 0; i < input->count; i++) {
        const struct cmp_position position = {i + 1, T0 + (mrd_time_ms)i, "eu"};
        bench_must(cmp_builder_take(builder, &position, mrd_buf_view(&input->messages[i]), &err),
                   &err);
    }
}

static void run(const struct input *input, uint64_t samples, struct mrd_objstore *store)
{
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct cmp_build_figures figures;
    cmp_build_figures_init(&figures, metrics);
    const struct cmp_build_limits limits = {.samples_max = UINT64_MAX,
                                            .memory_bytes_max = (size_t)2 << 30};
    struct cmp_builder *builder = cmp_builder_create(0, &limits, &figures);
    cmp_builder_begin(builder, 1);
    const double base_mib = (double)(bench_resident("VmRSS") >> 20);
    const double begun = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
    take_all(builder, input);
    const double taken = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
    struct mrd_arena *arena = mrd_arena_create("bench", (size_t)256 << 20);
    const struct cmp_build_target target = {.store = store};
    const struct mrd_block_entry *entries = NULL;
    size_t count = 0;
    struct mrd_error err;
    bench_must(cmp_builder_write(builder, &target, arena, &entries, &count, &err), &err);
    const double written = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
    const double million = (double)samples / 1e6;
    printf("take %.2f M/s, write %.2f M/s, both %.2f M/s of one core; log %.2f, block %.2f bytes a "
           "sample; %.0f MiB above the batches\n",
           million / (taken - begun), million / (written - taken), million / (written - begun),
           (double)input->bytes / (double)samples,
           (double)(entries[0].data.size + entries[0].sidecar.size) / (double)samples,
           (double)(bench_resident("VmHWM") >> 20) - base_mib);
    mrd_arena_destroy(&arena);
    cmp_builder_destroy(&builder);
    mrd_metrics_destroy(&metrics);
}

static uint32_t argument_of(int argc, char **argv, int index, uint32_t initial)
{
    return argc > index ? (uint32_t)strtoul(argv[index], NULL, 10) : initial;
}

int main(int argc, char **argv)
{
    const uint32_t series = argument_of(argc, argv, 1, 50000);
    const uint32_t samples = argument_of(argc, argv, 2, 40);
    struct input input = make(series, samples, argument_of(argc, argv, 3, 0));
    char folder[] = "/tmp/build-bench-XXXXXX";
    struct mrd_objstore *store = NULL;
    struct mrd_error err;
    mrd_assert(mkdtemp(folder) != NULL);
    bench_must(mrd_file_store_open(folder, NULL, &store, &err), &err);
    run(&input, (uint64_t)series * samples, store);
    mrd_objstore_close(&store);
    (void)bench_remove_folder(folder);
    for (size_t i = 0; i < input.count; i++) {
        mrd_buf_fini(&input.messages[i]);
    }
    free(input.messages);
    return 0;
}
