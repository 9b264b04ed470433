/* block_dump: shows all blocks that the catalog in a folder names, for tests that compare them with what was sent.
 *
 *   block_dump FOLDER
 *
 * Each block is verified to its last byte. Lines, texts as x and hexadecimal digits:
 *   built PARTITION SEQUENCE                                  of the catalog
 *   block ID LEVEL PARTITION FIRST LAST CLASS
 *   rollup ID LEVEL PARTITION FIRST LAST CLASS                without its rows
 *   series TENANT NAME VALUE ...                              of the block before
 *   sample TIME_MS START_MS HLC BITS                          of the series before; bits of the double in hexadecimal
 *   histogram TIME_MS START_MS HLC COUNT SUM_BITS             COUNT is that of integer histograms, else 0
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "block/reader.h"
#include "catalog/catalog.h"
#include "objstore/file_store.h"

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        printf("error %s %s\n", mrd_status_name(status), err->text);
        exit(3);
    }
}

static void show_text(struct mrd_bytes text)
{
    fputs(" x", stdout);
    for (size_t i = 0; i < text.size; i++) {
        printf("%02x", text.data[i]);
    }
}

static void show_series(const struct mrd_block_series *series)
{
    fputs("series", stdout);
    show_text(series->tenant);
    for (size_t i = 0; i < series->labels.count; i++) {
        show_text(series->labels.items[i].name);
        show_text(series->labels.items[i].value);
    }
    fputs("\n", stdout);
    const struct mrd_samples *samples = &series->samples;
    for (size_t i = 0; i < samples->count; i++) {
        printf("sample %" PRId64 " %" PRId64 " %" PRIu64 " %016" PRIx64 "\n", samples->times_ms[i],
               samples->start_times_ms == NULL ? 0 : samples->start_times_ms[i],
               series->sample_hlcs == NULL ? 0 : series->sample_hlcs[i],
               mrd_double_bits(samples->values[i]));
    }
    const struct mrd_histograms *histograms = &series->histograms;
    for (size_t i = 0; i < histograms->count; i++) {
        const struct mrd_histogram *histogram = &histograms->items[i];
        printf("histogram %" PRId64 " %" PRId64 " %" PRIu64 " %" PRIu64 " %016" PRIx64 "\n",
               histograms->times_ms[i],
               histograms->start_times_ms == NULL ? 0 : histograms->start_times_ms[i],
               series->histogram_hlcs == NULL ? 0 : series->histogram_hlcs[i],
               histogram->is_float ? 0 : histogram->count.integer, mrd_double_bits(histogram->sum));
    }
}

static void show_block(struct mrd_objstore *store, const struct mrd_block_entry *entry)
{
    struct mrd_error err;
    printf("%s %.*s %u %" PRIu32 " %" PRIu64 " %" PRIu64 " %.*s\n",
           entry->resolution_ms == 0 ? "block" : "rollup", MRD_FMT(entry->id), entry->level,
           entry->origin.partition, entry->origin.first_sequence, entry->origin.last_sequence,
           MRD_FMT(entry->origin.residency_class));
    const struct mrd_block_verify_options verify = {0};
    must(mrd_block_verify(store, entry, &verify, &err), &err);
    if (entry->resolution_ms != 0) {
        return;
    }
    mrd_auto(mrd_block_close)
    struct mrd_block *block = NULL;
    const struct mrd_block_open_options open = {0};
    must(mrd_block_open(store, entry, &open, &block, &err), &err);
    struct mrd_block_cursor *cursor = NULL;
    const struct mrd_block_cursor_options options = {.want_hlc = true};
    must(mrd_block_scan(block, &options, &cursor, &err), &err);
    const struct mrd_block_series *series = NULL;
    do {
        must(mrd_block_cursor_next(cursor, &series, &err), &err);
        if (series != NULL) {
            show_series(series);
        }
    } while (series != NULL);
    mrd_block_cursor_close(&cursor);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("block_dump FOLDER\n", stderr);
        return 2;
    }
    struct mrd_error err;
    mrd_auto(mrd_objstore_close)
    struct mrd_objstore *store = NULL;
    must(mrd_file_store_open(argv[1], NULL, &store, &err), &err);
    mrd_auto(mrd_catalog_close)
    struct mrd_catalog *catalog = NULL;
    const struct mrd_catalog_options options = {.store = store};
    must(mrd_catalog_open(&options, NULL, &catalog, &err), &err);
    mrd_auto(mrd_catalog_unpin)
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    size_t built_count;
    const struct mrd_catalog_built *builts = mrd_catalog_builts(state, &built_count);
    for (size_t i = 0; i < built_count; i++) {
        printf("built %" PRIu32 " %" PRIu64 "\n", builts[i].partition, builts[i].sequence);
    }
    for (size_t i = 0; i < mrd_catalog_block_count(state); i++) {
        show_block(store, mrd_catalog_block(state, i));
    }
    return 0;
}
