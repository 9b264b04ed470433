/* merge_bench: how fast blocks are merged, and in how much memory.
 *
 *   merge_bench [blocks] [series] [samples of a series in a block] [overlap: 0 or 1] [memory limit, MiB]
 *
 * Writes level-0 blocks of one tenant into a folder: one after the other in time, or (overlap) each block again a second time, as a replayed
 * log would. Then merges them all. Prints million samples per second of CPU and of time, bytes a sample before and after, and by
 * how much the greatest resident size was above that before the merge.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench_tools.h"
#include "block/writer.h"
#include "merge/merge.h"
#include "objstore/file_store.h"

struct plan {
    size_t blocks;
    size_t series;
    size_t samples;
    size_t copies;
    size_t memory_bytes;
};

/* A counter of whole numbers, a gauge of two decimals, or something that never changes. */
static double value_of(size_t series, double *last)
{
    switch (series % 4) {
    case 0:
    case 1:
        return *last += (double)(bench_chance() % 100);
    case 2:
        return *last = (double)(bench_chance() % 10000) / 100;
    default:
        return 1;
    }
}

static void add_series(struct mrd_block_writer *writer, const struct plan *plan, size_t block,
                       size_t index, struct mrd_error *err)
{
    static mrd_time_ms times_ms[1 << 16];
    static double values[1 << 16];
    char texts[2][32];
    mrd_auto(mrd_buf_fini)
    struct mrd_buf canonical = {0};
    (void)snprintf(texts[0], sizeof(texts[0]), "metric_%04zu", index / 1000);
    (void)snprintf(texts[1], sizeof(texts[1]), "host-%06zu", index % 1000);
    const struct mrd_label items[] = {
        {MRD_BYTES("__name__"), mrd_bytes_of(texts[0])},
        {MRD_BYTES("instance"), mrd_bytes_of(texts[1])},
        {MRD_BYTES("job"),      MRD_BYTES("bench")    },
    };
    struct mrd_block_series series = {
        .tenant = MRD_BYTES("bench"), .labels = {items, 3}
    };
    double last = (double)index;
    mrd_labels_encode(series.labels, &canonical);
    series.id = mrd_series_id_of(mrd_tenant_seed(series.tenant), mrd_buf_view(&canonical));
    bench_chance_state = (block * 1000003 + index) * 2654435761ULL + 1;
    for (size_t i = 0; i < plan->samples; i++) {
        times_ms[i] =
            (mrd_time_ms)(block * plan->samples + i) * 15000 + (mrd_time_ms)(index % 15000);
        values[i] = value_of(index, &last);
    }
    series.samples = (struct mrd_samples){times_ms, values, plan->samples, NULL};
    bench_must(mrd_block_writer_add(writer, &series, err), err);
}

static void write_block(struct mrd_objstore *store, const struct plan *plan, size_t block,
                        size_t copy, struct mrd_arena *arena, struct mrd_block_entry *out)
{
    struct mrd_error err = {0};
    struct mrd_block_writer *writer = NULL;
    const char *name = mrd_arena_printf(arena, "in-%04zu-%zu", block, copy);
    const mrd_hlc fence = 1000 * (block * 2 + copy + 1);
    bench_must(
        mrd_block_writer_create(&(struct mrd_block_writer_options){.store = store,
                                                                   .stem = name,
                                                                   .id = mrd_bytes_of(name),
                                                                   .memory_bytes_max = 512 << 20},
                                &writer, &err),
        &err);
    for (size_t i = 0; i < plan->series; i++) {
        add_series(writer, plan, block, i, &err);
    }
    const struct mrd_block_origin origin = {
        .residency_class = MRD_BYTES("eu"), .hlc_min = fence - 999, .hlc_fence = fence};
    bench_must(mrd_block_writer_finish(writer, &origin, arena, out, &err), &err);
    mrd_block_writer_destroy(&writer);
}

static void measure(struct mrd_objstore *store, const struct plan *plan, struct mrd_arena *arena,
                    const struct mrd_block_entry *const *inputs, size_t count)
{
    struct mrd_error err = {0};
    struct mrd_merge_result result;
    uint64_t in_size = 0;
    uint64_t out_size = 0;
    const struct mrd_merge_options options = {
        .store = store,
        .inputs = inputs,
        .input_count = count,
        .tenant = MRD_BYTES("bench"),
        .min_ms = INT64_MIN,
        .max_ms = INT64_MAX,
        .prefix = "out/",
        .level = 1,
        .memory_bytes_max = plan->memory_bytes,
    };
    bench_forget_peak();
    const size_t before = bench_resident("VmRSS:");
    const double wall = bench_seconds(CLOCK_MONOTONIC);
    const double cpu = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
    bench_must(mrd_merge_run(&options, arena, &result, &err), &err);
    const double cpu_used = bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    const double wall_used = bench_seconds(CLOCK_MONOTONIC) - wall;
    const size_t peak = bench_resident("VmHWM:");
    for (size_t i = 0; i < count; i++) {
        in_size += inputs[i]->data.size + inputs[i]->sidecar.size;
    }
    for (size_t i = 0; i < result.output_count; i++) {
        out_size += result.outputs[i].data.size + result.outputs[i].sidecar.size;
    }
    const double samples = (double)result.samples_in;
    printf("%zu blocks, %zu series, %.1f M samples in, %.1f M out, %u passes, %zu outputs\n", count,
           plan->series, samples / 1e6, (double)result.samples_out / 1e6, result.passes,
           result.output_count);
    printf("  %.1f M samples per second of CPU, %.1f per second\n", samples / cpu_used / 1e6,
           samples / wall_used / 1e6);
    printf("  %.2f bytes a sample in, %.2f out; %.0f MiB above the %.0f MiB before\n",
           (double)in_size / samples, (double)out_size / (double)result.samples_out,
           peak > before ? (double)(peak - before) / 1048576 : 0, (double)before / 1048576);
}

int main(int argc, char **argv)
{
    struct plan plan = {.blocks = bench_argument(argc, argv, 1, 12),
                        .series = bench_argument(argc, argv, 2, 5000),
                        .samples = bench_argument(argc, argv, 3, 480),
                        .copies = 1 + bench_argument(argc, argv, 4, 0),
                        .memory_bytes = bench_argument(argc, argv, 5, 512) << 20};
    char folder[] = "/tmp/mrd-merge-bench-XXXXXX";
    struct mrd_error err = {0};
    struct mrd_objstore *store = NULL;
    struct mrd_arena *arena = mrd_arena_create("bench", SIZE_MAX);
    if (plan.blocks == 0 || plan.series == 0 || plan.samples == 0 || plan.samples > 1 << 16 ||
        plan.copies > 2 || mkdtemp(folder) == NULL) {
        fprintf(stderr, "merge_bench: at least 1 block and series, 1 to 65536 samples\n");
        return 1;
    }
    bench_must(mrd_file_store_open(folder, NULL, &store, &err), &err);
    const size_t count = plan.blocks * plan.copies;
    struct mrd_block_entry *entries = calloc(count, sizeof(*entries));
    const struct mrd_block_entry **inputs = calloc(count, sizeof(*inputs));
    for (size_t i = 0; i < count; i++) {
        write_block(store, &plan, i / plan.copies, i % plan.copies, arena, &entries[i]);
        inputs[i] = &entries[i];
    }
    measure(store, &plan, arena, inputs, count);
    free(inputs);
    free(entries);
    mrd_objstore_close(&store);
    mrd_arena_destroy(&arena);
    return bench_remove_folder(folder) ? 0 : 1;
}
