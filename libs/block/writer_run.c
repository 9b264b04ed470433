#include <stdlib.h>

#include "block/writer_internal.h"

void block_run_clear(struct block_run *run)
{
    run->rows = run->value_count = run->st_count = run->h_count_count = run->chunk_count = 0;
    run->floats = run->histograms = 0;
    mrd_buf_clear(&run->chunk_bytes);
    mrd_buf_clear(&run->chunk_ends);
    run->chunk_open = false;
}

struct block_run *block_run_create(void)
{
    struct block_run *run = malloc(sizeof(*run));
    mrd_assert(run != NULL);
    memset(run, 0, offsetof(struct block_run, ts));
    return run;
}

void block_run_destroy(struct block_run **run_at)
{
    struct block_run *run = MRD_MOVE(*run_at);
    if (run != NULL) {
        mrd_buf_fini(&run->chunk_bytes);
        mrd_buf_fini(&run->chunk_ends);
        mrd_buf_fini(&run->counters);
        mrd_buf_fini(&run->entry);
        free(run);
    }
}

/* ---- chunks of histograms ---- */

void block_run_close_chunk(struct block_run *run)
{
    if (run->chunk_open) {
        run->chunk_bytes.data[run->chunk_begin] = (uint8_t)run->chunk_histograms;
        mrd_buf_append(&run->chunk_ends, &run->chunk_bytes.size, sizeof(size_t));
        run->chunk_open = false;
    }
}

static void chunk_begin(struct block_run *run)
{
    run->chunk_open = true;
    run->chunk_begin = run->chunk_bytes.size;
    run->chunk_histograms = 0;
    run->open = (struct mrd_histogram_open){0};
    mrd_buf_append_u8(&run->chunk_bytes, 0); /* the count, when it is known */
    run->chunk_count++;
}

/* Adds a histogram; *out_first says whether a chunk begins with it. */
static enum mrd_status chunk_add(struct block_run *run, const struct mrd_histogram_entry *of,
                                 bool *out_first, struct mrd_error *err)
{
    const size_t counters = 2 * mrd_histogram_counter_count(of->histogram) * sizeof(uint64_t);
    const size_t size = run->chunk_bytes.size - run->chunk_begin;
    if (run->chunk_open &&
        (run->chunk_histograms == BLOCK_CHUNK_HISTOGRAMS || size >= BLOCK_CHUNK_BYTES)) {
        block_run_close_chunk(run);
    }
    *out_first = !run->chunk_open;
    if (!run->chunk_open) {
        chunk_begin(run);
    }
    if (run->counters.capacity < counters) { /* what is in it stays */
        run->counters.size = run->counters.capacity;
        uint8_t *place = mrd_buf_reserve(&run->counters, counters - run->counters.capacity);
        mrd_assert(place != NULL);
        run->counters.size = 0;
    }
    const size_t begin = run->chunk_begin + 1;
    const struct mrd_bytes written = {run->chunk_bytes.data + begin, run->chunk_bytes.size - begin};
    mrd_buf_clear(&run->entry);
    MRD_TRY(mrd_histogram_open_append(&run->open, written, (uint64_t *)(void *)run->counters.data,
                                      of, &run->entry, err));
    mrd_buf_append_bytes(&run->chunk_bytes, mrd_buf_view(&run->entry));
    run->chunk_histograms++;
    return MRD_OK;
}

/* ---- rows ---- */

static void add_start(struct block_run *run, uint32_t row, mrd_time_ms start_ms)
{
    run->st_def[row] = start_ms != 0;
    run->st[run->st_count] = start_ms * 1000;
    run->st_count += start_ms != 0;
}

static void add_float(struct block_run *run, const struct mrd_block_series *piece, size_t i)
{
    const uint32_t row = run->rows++;
    const double value = piece->samples.values[i];
    run->ts[row] = piece->samples.times_ms[i] * 1000;
    run->value_def[row] = !mrd_is_stale(value);
    run->values[run->value_count] = value;
    run->value_count += !mrd_is_stale(value);
    add_start(run, row,
              piece->samples.start_times_ms == NULL ? 0 : piece->samples.start_times_ms[i]);
    run->h_def[row] = 0;
    run->chunk_def[row] = 0;
    run->hlc[row] = piece->sample_hlcs == NULL ? 0 : (int64_t)piece->sample_hlcs[i];
    run->floats++;
}

static double count_of(const struct mrd_histogram *histogram, union mrd_histogram_count count)
{
    return histogram->is_float ? count.real : (double)count.integer;
}

static void add_numbers(struct block_run *run, uint32_t row, const struct mrd_histogram *histogram)
{
    run->h_def[row] = !mrd_histogram_is_stale(histogram);
    if (run->h_def[row] == 0) {
        return;
    }
    const uint32_t at = run->h_count_count++;
    run->h_count[at] = count_of(histogram, histogram->count);
    run->h_sum[at] = histogram->sum;
    run->h_schema[at] = histogram->schema;
    run->h_zero_threshold[at] = histogram->zero_threshold;
    run->h_zero_count[at] = count_of(histogram, histogram->zero_count);
}

static enum mrd_status add_histogram(struct block_run *run, const struct mrd_block_series *piece,
                                     size_t i, struct mrd_error *err)
{
    const struct mrd_histograms *from = &piece->histograms;
    const struct mrd_histogram_entry entry = {
        .time_ms = from->times_ms[i],
        .start_ms = from->start_times_ms == NULL ? 0 : from->start_times_ms[i],
        .histogram = &from->items[i],
    };
    bool first;
    MRD_TRY(chunk_add(run, &entry, &first, err));
    const uint32_t row = run->rows++;
    run->ts[row] = entry.time_ms * 1000;
    run->value_def[row] = 0;
    add_start(run, row, entry.start_ms);
    add_numbers(run, row, entry.histogram);
    run->chunk_def[row] = first;
    run->hlc[row] = piece->histogram_hlcs == NULL ? 0 : (int64_t)piece->histogram_hlcs[i];
    run->histograms++;
    return MRD_OK;
}

enum mrd_status block_run_add(struct mrd_block_writer *writer, const struct mrd_block_series *piece,
                              struct mrd_error *err)
{
    struct block_run *run = writer->run;
    const struct mrd_samples *samples = &piece->samples;
    const struct mrd_histograms *histograms = &piece->histograms;
    for (size_t f = 0, h = 0; f < samples->count || h < histograms->count;) {
        const bool is_float =
            h == histograms->count ||
            (f < samples->count && samples->times_ms[f] < histograms->times_ms[h]);
        if (is_float) {
            add_float(run, piece, f++);
        } else {
            MRD_TRY(add_histogram(run, piece, h++, err));
        }
        if (run->rows == MRD_BLOCK_PAGE_ROWS || run->chunk_bytes.size >= BLOCK_RUN_CHUNK_BYTES) {
            MRD_TRY(block_run_flush(writer, err));
        }
    }
    return MRD_OK;
}
