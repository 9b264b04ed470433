/* head_bench.c: what the head costs on the load generator's fleet of devices, alone in one thread.
 *
 *   head_bench [series] [scrapes] [tenants] [starts]      default 100000 480 1 none
 *
 * starts: none, counter (the same start time for all of a series), delta (that of the sample before).
 *
 * Series are created and samples appended as a log brings them: device by device in an arbitrary
 * order that changes with every scrape, batches of 2,000 samples. Only the CPU time of calls to the head counts.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "head/head.h"
#include "loader/fleet.h"

enum { BATCH_SAMPLES = 2000, BATCH_DEVICES = BATCH_SAMPLES / LOAD_DEVICE_SERIES };

struct bench {
    struct mrd_head *head;
    struct load_fleet fleet;
    uint64_t device_count;
    uint64_t scrape_count;
    uint64_t tenant_count;
    enum { STARTS_NONE, STARTS_COUNTER, STARTS_DELTA } starts;
    uint32_t *ordinals; /* by device and slot */
    size_t rss_at_start;
};

/* CPU time of this thread: others share the machine. */
static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static size_t resident_bytes(void)
{
    unsigned long size = 0;
    unsigned long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    mrd_assert(file != NULL && fscanf(file, "%lu %lu", &size, &resident) == 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* A permutation of the devices that differs by scrape: the scrape offsets of a real fleet. */
static uint64_t device_at(const struct bench *bench, uint64_t scrape, uint64_t i)
{
    return (i * 2654435761U + scrape * 97) % bench->device_count;
}

static struct mrd_bytes tenant_of(const struct bench *bench, uint64_t device, char text[32])
{
    (void)snprintf(text, 32, "tenant-%" PRIu64, device % bench->tenant_count);
    return mrd_bytes_of(text);
}

static void create_device(struct bench *bench, uint64_t device, double *spent_s)
{
    struct mrd_head_series_key keys[LOAD_DEVICE_SERIES];
    struct mrd_buf buf = {0};
    size_t ends[LOAD_DEVICE_SERIES];
    char tenant[32];
    const struct mrd_bytes name = tenant_of(bench, device, tenant);
    for (unsigned slot = 0; slot < LOAD_DEVICE_SERIES; slot++) {
        struct load_label_texts texts;
        struct mrd_label labels[LOAD_LABELS_MAX];
        const size_t count = load_fleet_labels(&bench->fleet, device, 0, slot, &texts, labels);
        mrd_labels_encode((struct mrd_labels){labels, count}, &buf);
        ends[slot] = buf.size;
    }
    for (unsigned slot = 0; slot < LOAD_DEVICE_SERIES; slot++) {
        const size_t from = slot == 0 ? 0 : ends[slot - 1];
        const struct mrd_bytes canonical = {buf.data + from, ends[slot] - from};
        keys[slot] = (struct mrd_head_series_key){
            name, mrd_series_id_of(mrd_tenant_seed(name), canonical), canonical};
    }
    const double start_s = now_s();
    for (unsigned slot = 0; slot < LOAD_DEVICE_SERIES; slot++) {
        const enum mrd_status status =
            mrd_head_series(bench->head, &keys[slot], mrd_hlc_make(bench->fleet.start_ms, 0),
                            &bench->ordinals[device * LOAD_DEVICE_SERIES + slot], NULL);
        mrd_assert(status == MRD_OK);
    }
    *spent_s += now_s() - start_s;
    mrd_buf_fini(&buf);
}

static void print_memory(const struct bench *bench, const char *when)
{
    struct mrd_head_stats stats;
    mrd_head_stats(bench->head, &stats);
    const double series = (double)stats.series_count;
    printf("%s: RSS %.0f B a series; counted %.0f:", when,
           (double)(resident_bytes() - bench->rss_at_start) / series,
           (double)stats.memory_bytes_total / series);
    for (int i = 0; i < MRD_HEAD_MEMORY_COUNT; i++) {
        printf(" %s %.1f", mrd_head_memory_name((enum mrd_head_memory)i),
               (double)stats.memory_bytes[i] / series);
    }
    if (stats.sample_count > 0) {
        const size_t bytes = stats.memory_bytes[MRD_HEAD_MEMORY_OPEN] +
                             stats.memory_bytes[MRD_HEAD_MEMORY_SEALED] +
                             stats.memory_bytes[MRD_HEAD_MEMORY_OVERLAY];
        printf("; %.3f B a sample", (double)bytes / (double)stats.sample_count);
    }
    printf("\n");
}

static void create_all(struct bench *bench)
{
    double spent_s = 0;
    for (uint64_t i = 0; i < bench->device_count; i++) {
        create_device(bench, device_at(bench, 0, i), &spent_s);
    }
    const double series = (double)bench->device_count * LOAD_DEVICE_SERIES;
    printf("create: %.0f series, %.0f ns each, %.0f k/s\n", series, spent_s * 1e9 / series,
           series / spent_s / 1e3);
    print_memory(bench, "created");
}

static mrd_time_ms start_of(const struct bench *bench, uint64_t device, uint64_t scrape)
{
    const bool before = bench->starts == STARTS_DELTA && scrape > 0;
    return before ? load_fleet_time_ms(&bench->fleet, device, scrape - 1)
                  : bench->fleet.start_ms - 3600000;
}

static double append_scrape(struct bench *bench, uint64_t scrape)
{
    static uint32_t ordinals[BATCH_SAMPLES];
    static mrd_time_ms times[BATCH_SAMPLES];
    static double values[BATCH_SAMPLES];
    static mrd_time_ms starts[BATCH_SAMPLES];
    double spent_s = 0;
    for (uint64_t first = 0; first < bench->device_count; first += BATCH_DEVICES) {
        const uint64_t count = MRD_MIN(bench->device_count - first, (uint64_t)BATCH_DEVICES);
        for (uint64_t i = 0; i < count; i++) {
            const uint64_t device = device_at(bench, scrape, first + i);
            const mrd_time_ms time_ms = load_fleet_time_ms(&bench->fleet, device, scrape);
            load_fleet_values(&bench->fleet, device, 0, scrape, values + i * LOAD_DEVICE_SERIES);
            for (unsigned slot = 0; slot < LOAD_DEVICE_SERIES; slot++) {
                ordinals[i * LOAD_DEVICE_SERIES + slot] =
                    bench->ordinals[device * LOAD_DEVICE_SERIES + slot];
                times[i * LOAD_DEVICE_SERIES + slot] = time_ms;
                starts[i * LOAD_DEVICE_SERIES + slot] = start_of(bench, device, scrape);
            }
        }
        const struct mrd_head_batch batch = {
            .ordinals = ordinals,
            .row_count = count * LOAD_DEVICE_SERIES,
            .times_ms = times,
            .values = values,
            .sample_count = count * LOAD_DEVICE_SERIES,
            .hlc = mrd_hlc_make(times[0], (uint16_t)first),
            .start_times_ms = bench->starts == STARTS_NONE ? NULL : starts,
        };
        struct mrd_head_append_result result = {0};
        const double start_s = now_s();
        const enum mrd_status status = mrd_head_append(bench->head, &batch, &result, NULL);
        spent_s += now_s() - start_s;
        mrd_assert(status == MRD_OK && result.appended == batch.sample_count);
    }
    return spent_s;
}

static void append_all(struct bench *bench)
{
    double spent_s = 0;
    double worst_s = 0;
    const double series = (double)bench->device_count * LOAD_DEVICE_SERIES;
    for (uint64_t scrape = 0; scrape < bench->scrape_count; scrape++) {
        const double scrape_s = append_scrape(bench, scrape);
        spent_s += scrape_s;
        worst_s = MRD_MAX(worst_s, scrape_s);
        if (scrape == 4) {
            printf("append: first 5 scrapes %.1f ns a sample\n", spent_s * 1e9 / series / 5);
            print_memory(bench, "5 scrapes");
        }
    }
    printf("append: %" PRIu64 " scrapes, %.1f ns a sample, worst scrape %.1f\n",
           bench->scrape_count, spent_s * 1e9 / series / (double)bench->scrape_count,
           worst_s * 1e9 / series);
    print_memory(bench, "appended");
}

static size_t decode_all(const struct mrd_head_selection *selection)
{
    static mrd_time_ms times[MRD_CHUNK_SAMPLES_MAX];
    static double values[MRD_CHUNK_SAMPLES_MAX];
    static mrd_time_ms starts[MRD_CHUNK_SAMPLES_MAX];
    struct mrd_reader reader = mrd_reader_of(mrd_buf_view(&selection->frames));
    size_t samples = 0;
    while (mrd_reader_left(&reader) > 0) {
        struct mrd_frame frame;
        struct mrd_chunk chunk;
        enum mrd_status status = mrd_frame_read(&reader, &frame, NULL);
        while (status == MRD_OK && mrd_frame_read_chunk(&frame, &chunk)) {
            status =
                mrd_chunk_decode(chunk.encoding, chunk.bytes, chunk.count, times, values, NULL);
            if (status == MRD_OK && mrd_chunk_has_starts(chunk.encoding)) {
                status = mrd_chunk_decode_starts(chunk.encoding, chunk.bytes, chunk.count, times,
                                                 starts, NULL);
            }
            samples += chunk.count;
        }
        mrd_assert(status == MRD_OK);
    }
    return samples;
}

static void select_with(struct bench *bench, const char *what, enum mrd_match_type type,
                        const char *name, const char *value, bool labels_only)
{
    struct mrd_matcher matcher;
    mrd_assert(mrd_matcher_init(&matcher, type, mrd_bytes_of(name), mrd_bytes_of(value), NULL) ==
               MRD_OK);
    char tenant[32];
    const struct mrd_head_query query = {.tenant = tenant_of(bench, 0, tenant),
                                         .matchers = &matcher,
                                         .matcher_count = 1,
                                         .time_min_ms = INT64_MIN,
                                         .time_max_ms = INT64_MAX,
                                         .labels_only = labels_only};
    struct mrd_head_cursor *cursor = NULL;
    double match_s = now_s();
    mrd_assert(mrd_head_select(bench->head, &query, &cursor, NULL) == MRD_OK);
    match_s = now_s() - match_s;
    double copy_s = 0;
    double decode_s = 0;
    size_t samples = 0;
    size_t series = 0;
    size_t bytes = 0;
    for (;;) {
        struct mrd_head_selection *selection = NULL;
        const double start_s = now_s();
        mrd_assert(mrd_head_cursor_next(cursor, 1 << 20, &selection, NULL) == MRD_OK);
        copy_s += now_s() - start_s;
        if (selection == NULL) {
            break;
        }
        const double decode_start_s = now_s();
        samples += decode_all(selection);
        decode_s += now_s() - decode_start_s;
        series += selection->series_count;
        bytes += selection->frames.size;
        mrd_head_selection_destroy(&selection);
    }
    printf("select %s: %zu series, %zu samples, %.1f MB; match %.2f ms, copy %.2f ms (%.0f ns a "
           "series), decode %.2f ms (%.2f ns a sample)\n",
           what, series, samples, (double)bytes / 1e6, match_s * 1e3, copy_s * 1e3,
           copy_s * 1e9 / (double)MRD_MAX(series, (size_t)1), decode_s * 1e3,
           decode_s * 1e9 / (double)MRD_MAX(samples, (size_t)1));
    mrd_head_cursor_destroy(&cursor);
    mrd_matcher_fini(&matcher);
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .fleet = {.seed = 1, .start_ms = 1790000000000, .interval_ms = 15000},
        .device_count = (argc > 1 ? strtoull(argv[1], NULL, 10) : 100000) / LOAD_DEVICE_SERIES,
        .scrape_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 480,
        .tenant_count = argc > 3 ? strtoull(argv[3], NULL, 10) : 1,
        .starts = argc > 4 && strcmp(argv[4], "counter") == 0 ? STARTS_COUNTER
                  : argc > 4 && strcmp(argv[4], "delta") == 0 ? STARTS_DELTA
                                                              : STARTS_NONE,
    };
    bench.ordinals = malloc(bench.device_count * LOAD_DEVICE_SERIES * sizeof(uint32_t));
    mrd_assert(bench.ordinals != NULL && bench.tenant_count > 0);
    memset(bench.ordinals, 0, bench.device_count * LOAD_DEVICE_SERIES * sizeof(uint32_t));
    const struct mrd_head_options options = {0};
    mrd_assert(mrd_head_create(&options, &bench.head, NULL) == MRD_OK);
    bench.rss_at_start = resident_bytes();
    create_all(&bench);
    append_all(&bench);
    select_with(&bench, "one metric", MRD_MATCH_EQ, MRD_METRIC_NAME, "sensor_temperature", false);
    select_with(&bench, "all", MRD_MATCH_NE, MRD_METRIC_NAME, "", false);
    for (int i = 0; getenv("HEAD_BENCH_REPEAT") != NULL && i < 20; i++) {
        select_with(&bench, "all", MRD_MATCH_NE, MRD_METRIC_NAME, "", false);
    }
    select_with(&bench, "devices by regex", MRD_MATCH_RE, "device_id", "d-.*7", true);
    mrd_head_destroy(&bench.head);
    free(bench.ordinals);
    return 0;
}
