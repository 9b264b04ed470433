/* merge_tool: lets tests in other languages have blocks merged and tables kept as the compactor does it.
 *
 *   merge_tool FOLDER < COMMANDS
 *
 * Commands, a line each, words separated by single spaces:
 *   block NUMBER RECEIVED_MS              begins a block of level 0
 *   series TENANT METRIC NAME=VALUE,...|- a series of it, in the order of blocks
 *   sample TS_MS VALUE_BITS|-             a sample of the series; -: a staleness marker
 *   end                                   ends the block and commits it
 *   merge NOW_MS plain|compact            does what is due, until nothing is; prints "merged IN OUT" for each commit
 *   sweep NOW_MS                          prints "swept BLOCKS FILES"
 *   tables                                prints "table TENANT NAME KEY" lines
 * The first error ends it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "block/writer.h"
#include "model/sample.h"
#include "objstore/file_store.h"
#include "upkeep/merge.h"
#include "upkeep/sweep.h"

enum { ROWS_MAX = 1 << 16, LABELS_MAX = 16, LINE_MAX_SIZE = 4096 };

struct maker {
    struct mrd_objstore *store;
    struct mrd_catalog *catalog;
    struct mrd_upkeep_tables tables;
    mrd_time_ms now_ms;
    struct mrd_clock clock;
    bool compact;

    unsigned long number;
    struct mrd_arena *arena; /* of the open block */
    struct mrd_block_writer *writer;
    mrd_time_ms received_ms;
    struct mrd_block_series series;
    struct mrd_label labels[LABELS_MAX];
    mrd_time_ms times_ms[ROWS_MAX];
    double values[ROWS_MAX];
    mrd_hlc hlcs[ROWS_MAX];
    size_t rows;
};

_Noreturn static void misuse(const char *what)
{
    fprintf(stderr, "merge_tool: %s\n", what);
    exit(2);
}

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        misuse(err->text);
    }
}

static mrd_time_ms tool_now(void *context) { return ((const struct maker *)context)->now_ms; }
static int64_t tool_monotonic(void *context)
{
    (void)context;
    return mrd_clock_monotonic_ns(mrd_clock_system());
}

/* ---- blocks ---- */

static struct mrd_bytes keep(struct maker *maker, const char *text)
{
    return mrd_arena_copy(maker->arena, mrd_bytes_of(text));
}

static void begin_block(struct maker *maker, const char *number, const char *received)
{
    struct mrd_error err;
    maker->arena = mrd_arena_create("block", 256 << 20);
    maker->received_ms = strtoll(received, NULL, 10);
    maker->number = strtoul(number, NULL, 10);
    const struct mrd_block_writer_options options = {
        .store = maker->store,
        .stem = mrd_arena_printf(maker->arena, "blocks/l0-%lu", maker->number),
        .id = mrd_bytes_of(mrd_arena_printf(maker->arena, "l0-%lu", maker->number)),
        .keep_hlc = true,
        .memory_bytes_max = 64 << 20};
    must(mrd_block_writer_create(&options, &maker->writer, &err), &err);
}

static void end_series(struct maker *maker)
{
    struct mrd_error err;
    if (maker->rows > 0) {
        maker->series.samples =
            (struct mrd_samples){maker->times_ms, maker->values, maker->rows, NULL};
        maker->series.sample_hlcs = maker->hlcs;
        must(mrd_block_writer_add(maker->writer, &maker->series, &err), &err);
    }
    maker->rows = 0;
}

static void begin_series(struct maker *maker, char *tenant, char *metric, char *pairs)
{
    size_t count = 0;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf canonical = {0};
    end_series(maker);
    maker->labels[count++] = (struct mrd_label){MRD_BYTES("__name__"), keep(maker, metric)};
    for (char *at = strcmp(pairs, "-") == 0 ? NULL : strtok(pairs, ","); at != NULL;
         at = strtok(NULL, ",")) {
        char *value = strchr(at, '=');
        if (value == NULL || count == LABELS_MAX) {
            misuse("labels are NAME=VALUE");
        }
        *value++ = '\0';
        maker->labels[count++] = (struct mrd_label){keep(maker, at), keep(maker, value)};
    }
    mrd_labels_sort(maker->labels, count);
    maker->series = (struct mrd_block_series){
        .tenant = keep(maker, tenant), .labels = {maker->labels, count}
    };
    mrd_labels_encode(maker->series.labels, &canonical);
    maker->series.id =
        mrd_series_id_of(mrd_tenant_seed(maker->series.tenant), mrd_buf_view(&canonical));
}

static void add_sample(struct maker *maker, const char *time, const char *bits)
{
    const uint64_t value = strtoull(bits, NULL, 10);
    if (maker->rows == ROWS_MAX) {
        misuse("too many samples");
    }
    maker->times_ms[maker->rows] = strtoll(time, NULL, 10);
    maker->hlcs[maker->rows] = mrd_hlc_make(maker->received_ms, 0);
    if (strcmp(bits, "-") == 0) {
        maker->values[maker->rows++] = mrd_stale_nan();
    } else {
        memcpy(&maker->values[maker->rows++], &value, sizeof(value));
    }
}

static void end_block(struct maker *maker)
{
    struct mrd_error err;
    struct mrd_block_entry entry;
    const struct mrd_block_origin origin = {.residency_class = MRD_BYTES("eu"),
                                            .first_sequence = maker->number,
                                            .last_sequence = maker->number,
                                            .hlc_min = mrd_hlc_make(maker->received_ms, 0),
                                            .hlc_fence = mrd_hlc_make(maker->received_ms, 0)};
    end_series(maker);
    must(mrd_block_writer_finish(maker->writer, &origin, maker->arena, &entry, &err), &err);
    const struct mrd_catalog_change change = {.add = &entry, .add_count = 1};
    must(mrd_catalog_commit(maker->catalog, &change, NULL, &err), &err);
    mrd_block_writer_destroy(&maker->writer);
    mrd_arena_destroy(&maker->arena);
}

/* ---- merging ---- */

static bool is_compact(void *context, struct mrd_bytes tenant)
{
    (void)tenant;
    return ((const struct maker *)context)->compact;
}

static const mrd_time_ms resolutions_ms[] = {MRD_ROLLUP_5M_MS, MRD_ROLLUP_1H_MS, MRD_ROLLUP_6H_MS,
                                             MRD_ROLLUP_1D_MS};

/* False once nothing is due. */
static bool merge_round(struct maker *maker)
{
    struct mrd_error err;
    struct mrd_upkeep_index index;
    const struct mrd_upkeep_unit *units;
    size_t count;
    const struct mrd_upkeep_plan_options plan = {.now_ms = maker->now_ms,
                                                 .month_delay_ms = 86400000};
    const struct mrd_upkeep_merge_options options = {.store = maker->store,
                                                     .catalog = maker->catalog,
                                                     .clock = &maker->clock,
                                                     .region = "eu",
                                                     .holder = "merge_tool",
                                                     .tables = &maker->tables,
                                                     .memory_bytes_max = 128 << 20,
                                                     .resolutions_ms = resolutions_ms,
                                                     .resolution_count =
                                                         MRD_ARRAY_LEN(resolutions_ms),
                                                     .is_compact = is_compact,
                                                     .context = maker};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("plan", 64 << 20);
    struct mrd_catalog_state *state = mrd_catalog_pin(maker->catalog);
    mrd_upkeep_index_init(&index, state);
    must(mrd_upkeep_plan(state, &index, &plan, arena, &units, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        struct mrd_upkeep_merged merged;
        must(mrd_upkeep_merge(&options, state, &index, &units[i], &merged, &err), &err);
        must(merged.publish_error.status, &merged.publish_error);
        printf("merged %" PRIu64 " %" PRIu64 "\n", merged.samples_in, merged.samples_out);
    }
    mrd_upkeep_index_fini(&index);
    mrd_catalog_unpin(&state);
    return count > 0;
}

static void sweep(struct maker *maker)
{
    struct mrd_error err;
    struct mrd_upkeep_swept swept;
    const struct mrd_upkeep_sweep_options options = {
        .catalog = {.store = maker->store, .clock = &maker->clock},
        .blocks_prefix = "blocks/",
        .region = "eu",
        .tables = &maker->tables
    };
    must(mrd_upkeep_sweep(&options, &swept, &err), &err);
    must(mrd_catalog_refresh(maker->catalog, NULL, &err), &err);
    printf("swept %" PRIu64 " %" PRIu64 "\n", swept.catalog.gone, swept.table_files);
}

static void show_tables(struct maker *maker)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(maker->catalog);
    for (size_t i = 0; i < mrd_catalog_table_count(state); i++) {
        const struct mrd_catalog_table *table = mrd_catalog_table_at(state, i);
        printf("table %.*s %.*s %.*s\n", MRD_FMT(table->tenant), MRD_FMT(table->name),
               MRD_FMT(table->metadata_key));
    }
    mrd_catalog_unpin(&state);
}

static void run_command(struct maker *maker, char *words[4])
{
    if (strcmp(words[0], "block") == 0) {
        begin_block(maker, words[1], words[2]);
    } else if (strcmp(words[0], "series") == 0) {
        begin_series(maker, words[1], words[2], words[3]);
    } else if (strcmp(words[0], "sample") == 0) {
        add_sample(maker, words[1], words[2]);
    } else if (strcmp(words[0], "end") == 0) {
        end_block(maker);
    } else if (strcmp(words[0], "merge") == 0) {
        maker->now_ms = strtoll(words[1], NULL, 10);
        maker->compact = strcmp(words[2], "compact") == 0;
        while (merge_round(maker)) {}
    } else if (strcmp(words[0], "sweep") == 0) {
        maker->now_ms = strtoll(words[1], NULL, 10);
        sweep(maker);
    } else if (strcmp(words[0], "tables") == 0) {
        show_tables(maker);
    } else {
        misuse(words[0]);
    }
}

int main(int argc, char **argv)
{
    static struct maker maker;
    static char line[LINE_MAX_SIZE], root[LINE_MAX_SIZE];
    struct mrd_error err;
    if (argc != 2) {
        misuse("merge_tool FOLDER < COMMANDS");
    }
    maker.clock = (struct mrd_clock){tool_now, tool_monotonic, &maker};
    must(mrd_file_store_open(argv[1], NULL, &maker.store, &err), &err);
    const struct mrd_catalog_options catalog = {.store = maker.store, .clock = &maker.clock};
    must(mrd_catalog_open(&catalog, NULL, &maker.catalog, &err), &err);
    (void)snprintf(root, sizeof(root), "file://%s", argv[1]);
    maker.tables = (struct mrd_upkeep_tables){.store = maker.store,
                                              .clock = &maker.clock,
                                              .root = root,
                                              .region = "eu",
                                              .keep_ms = 86400000};
    while (fgets(line, sizeof(line), stdin) != NULL) {
        char *words[4] = {line, line, line, line};
        size_t count = 0;
        line[strcspn(line, "\n")] = '\0';
        for (char *rest = line, *word; count < 4 && (word = strsep(&rest, " ")) != NULL;) {
            words[count++] = word;
        }
        run_command(&maker, words);
    }
    mrd_catalog_close(&maker.catalog);
    mrd_objstore_close(&maker.store);
    return 0;
}
