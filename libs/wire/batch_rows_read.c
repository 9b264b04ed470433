/* Reading the columns that rows of samples, histograms and exemplars share. */
#include "wire/batch_internal.h"
#include "wire/runs_internal.h"

static bool tenant_runs_read(const struct mrd_batch_row_arrays *arrays, struct mrd_reader *section,
                             uint64_t run_count, size_t tenant_count, struct mrd_batch_rows *out)
{
    if (run_count == 0 || run_count > out->row_count) {
        return false;
    }
    struct mrd_batch_tenant_run *runs =
        arrays->array_of(arrays->runs, (size_t)run_count, sizeof(*runs));
    uint64_t rows = 0;
    for (size_t i = 0; i < run_count; i++) {
        const uint64_t tenant = mrd_read_varint(section);
        const uint64_t row_count = mrd_read_varint(section);
        if (section->failed || tenant >= tenant_count || row_count == 0 ||
            row_count > out->row_count - rows) {
            return false;
        }
        rows += row_count;
        runs[i] = (struct mrd_batch_tenant_run){(uint32_t)tenant, (uint32_t)row_count};
    }
    out->tenant_runs = runs;
    out->tenant_run_count = (size_t)run_count;
    return rows == out->row_count;
}

static bool references_read(const struct mrd_batch_row_arrays *arrays, struct mrd_reader *section,
                            struct mrd_batch_rows *out)
{
    uint64_t *numbers = arrays->array_of(arrays->numbers, out->row_count, sizeof(*numbers));
    uint32_t *references =
        arrays->array_of(arrays->references, out->row_count, sizeof(*references));
    if (!mrd_runs_read(section, numbers, out->row_count)) {
        return false;
    }
    int64_t expected = 0;
    for (size_t i = 0; i < out->row_count; i++) {
        if (mrd_unlikely(!mrd_batch_reference_next(numbers[i], &expected, &references[i]))) {
            return false;
        }
    }
    out->references = references;
    return true;
}

static bool row_counts_read(const struct mrd_batch_row_arrays *arrays, struct mrd_reader *section,
                            struct mrd_batch_rows *out)
{
    uint64_t *numbers = arrays->array_of(arrays->numbers, out->row_count, sizeof(*numbers));
    uint32_t *counts = arrays->array_of(arrays->counts, out->row_count, sizeof(*counts));
    if (!mrd_runs_read(section, numbers, out->row_count)) {
        return false;
    }
    uint64_t items = 0;
    for (size_t i = 0; i < out->row_count; i++) {
        if (numbers[i] >= out->item_count - items) {
            return false;
        }
        counts[i] = (uint32_t)numbers[i] + 1;
        items += counts[i];
    }
    out->counts = out->row_count == out->item_count ? NULL : counts;
    return items == out->item_count;
}

bool mrd_batch_rows_read(const struct mrd_batch_row_arrays *arrays, struct mrd_reader *section,
                         size_t tenant_count, uint64_t item_count_max, struct mrd_batch_rows *out)
{
    const uint64_t row_count = mrd_read_varint(section);
    const uint64_t item_count = mrd_read_varint(section);
    const uint64_t run_count = mrd_read_varint(section);
    if (section->failed || row_count == 0 || row_count > item_count ||
        item_count > item_count_max) {
        return false;
    }
    out->row_count = (size_t)row_count;
    out->item_count = (size_t)item_count;
    return tenant_runs_read(arrays, section, run_count, tenant_count, out) &&
           references_read(arrays, section, out) && row_counts_read(arrays, section, out);
}

bool mrd_batch_deltas_read(struct mrd_reader *section, uint64_t *values, size_t count)
{
    if (!mrd_runs_read(section, values, count)) {
        return false;
    }
    uint64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        last += (uint64_t)mrd_zigzag_decode(values[i]);
        values[i] = last;
    }
    return true;
}
